"""What cannot be saved is refused with its place, and nothing is left of the attempt; what cannot be decoded is a DecodeError."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import aioartifacts as aa
from aioartifacts.sync import LocalArtifactStore


class Holder:
    def __init__(self, what: Any) -> None:
        self.what = what


class Exiting:
    def __reduce__(self) -> tuple[Any, ...]:
        return _exit, ()


def _exit() -> None:
    raise SystemExit(3)


def _generator() -> Any:
    return (n for n in range(3))


BAD: dict[str, Callable[[], Any]] = {
    "generator": _generator,
    "lock": threading.Lock,
    "one that refuses": lambda: _Refusing(),
}
PLACES: dict[str, Callable[[Any], Any]] = {
    "$": lambda bad: bad,
    "$['rows'][1]": lambda bad: {"rows": [1, bad]},
    "$[0].what": lambda bad: [Holder(bad)],
    "$['a']['b'][2]": lambda bad: {"a": {"b": (1, 2, bad)}},
}


class _Refusing:
    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("cannot pickle this")


@pytest.mark.parametrize("inline_max", [0, 1 << 20])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("bad", BAD)
def test_place_is_named_and_nothing_is_left(bad: str, place: str, inline_max: int, tmp_path: Path) -> None:
    store = LocalArtifactStore(tmp_path / "s", inline_max=inline_max)
    with pytest.raises(aa.EncodeError) as caught:
        store.save(PLACES[place](BAD[bad]()), "a/b")
    assert f"{place} cannot be pickled" in str(caught.value)
    assert caught.value.path == "a/b"
    assert store.list_artifacts() == []
    assert [path for path in tmp_path.rglob("*") if path.is_file() and ".aioartifacts" not in path.parts] == []
    assert list(tmp_path.rglob(".part*")) == []


def test_open_file_is_refused(tmp_path: Path) -> None:
    store = LocalArtifactStore(tmp_path / "s")
    with open(tmp_path / "f", "w") as file, pytest.raises(aa.EncodeError, match=r"\$\['log'\] cannot be pickled"):
        store.save({"log": file}, "a")


def test_failed_save_leaves_what_was_there(tmp_path: Path) -> None:
    store = LocalArtifactStore(tmp_path, inline_max=0)
    store.save([1], "a")
    with pytest.raises(aa.EncodeError):
        store.save([list(range(300_000)), threading.Lock()], "a")
    assert store.load("a") == [1]
    assert store.verify().orphans == []


def test_decoding_that_exits_is_an_error(tmp_path: Path) -> None:
    store = LocalArtifactStore(tmp_path)
    store.save(Exiting(), "a")
    with pytest.raises(aa.DecodeError, match="SystemExit: 3"):
        store.load("a")
