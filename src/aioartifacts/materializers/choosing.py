"""Which columns of a frame ``columns=`` asks for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aioartifacts.errors import DecodeError

_SHOWN = 100


def chosen(wanted: Sequence[object], labels: Iterable[object]) -> list[int]:
    """The places of the columns *wanted*, in that order; all of those that share a label.

    Raises:
        DecodeError: there is none of that label; the message lists those that can be chosen.
    """
    places: dict[object, list[int]] = {}
    for place, label in enumerate(labels):
        if isinstance(label, str):
            places.setdefault(label, []).append(place)
    missing = [label for label in wanted if not isinstance(label, str) or label not in places]
    if missing:
        there = ", ".join(map(repr, list(places)[:_SHOWN])) + (", …" if len(places) > _SHOWN else "")
        raise DecodeError(
            f"there is no column {', '.join(map(repr, missing[:_SHOWN]))} to be chosen by name; "
            + (f"there are {there}" if there else "no column has a str for a name")
        )
    return [place for label in wanted for place in places[label]]


def no_frame(kind: str) -> DecodeError:
    """The error for ``columns=`` where there are none."""
    return DecodeError(f"columns= is for frames, and this is a {kind}; leave it out")
