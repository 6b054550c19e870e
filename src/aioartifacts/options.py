"""Options of artifact stores and of their verbs: what there are, their defaults, and whether those given make sense."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypedDict

from aioartifacts.errors import InvalidConfigError, InvalidPathError
from aioartifacts.objects.base import AsyncObjectStore, BlockingObjectStore
from aioartifacts.trust import SigningKey
from aioartifacts.types import Limits, LoadOptions, RetryPolicy, Trust

if TYPE_CHECKING:
    from aioartifacts.materializers.registry import MaterializerRegistry


class StoreOptions(TypedDict, total=False):
    """Options that every artifact store takes."""

    trust: Trust | None
    """What may be decoded: ``"data"``, ``"signed"`` or ``"all"``. Default: ``"signed"`` with a *signing_key*; else ``"all"`` in memory and
    in a local folder that only we can write to, and ``"data"`` anywhere else."""
    signing_key: SigningKey | None
    """32 bytes or more, or a callable that gives them: what is saved is signed with it (HMAC-SHA256)."""
    verification_keys: tuple[SigningKey, ...]
    """Further keys whose signatures are valid, for rotation."""
    limits: Limits
    """How much is done at once."""
    retry: RetryPolicy
    """When failed requests are tried again, and how long rivals for one path are waited for."""
    inline_max: int
    """Largest payload, in bytes, that is kept inside the record; 16 KiB by default."""
    previews: bool
    """Whether saving puts a small preview (first rows, a thumbnail) into the record; it does by default."""
    materializers: MaterializerRegistry
    """The registry to use instead of a fresh default one."""


def check_retry(retry: RetryPolicy) -> RetryPolicy:
    if not isinstance(retry, RetryPolicy):
        raise InvalidConfigError(f"retry is a RetryPolicy, not {retry!r}")
    return retry


_SYNCING_WORKERS = 4
"""Threads that wait for a disk together: it makes what they sync durable at once. Sixteen are slower than four."""


def default_limits(objects: BlockingObjectStore | AsyncObjectStore) -> Limits:
    """How much is done at once when nobody says: more threads where saves wait for a disk."""
    limits = Limits()
    return replace(limits, workers=max(_SYNCING_WORKERS, limits.workers)) if is_durable(objects) else limits


def is_durable(objects: BlockingObjectStore | AsyncObjectStore) -> bool:
    """Whether saves wait for a disk."""
    return getattr(objects, "durability", "process") == "full"


def check_limits(limits: Limits) -> Limits:
    if not isinstance(limits, Limits):
        raise InvalidConfigError(f"limits is a Limits, not {limits!r}")
    for option in ("transfers", "workers", "memory"):
        value = getattr(limits, option)
        if type(value) is not int or value < 1:
            raise InvalidConfigError(f"Limits.{option} is a positive int, not {value!r}")
    return limits


def check_inline_max(inline_max: int) -> int:
    if type(inline_max) is not int or inline_max < 0:
        raise InvalidConfigError(f"inline_max is a number of bytes, not {inline_max!r}")
    return inline_max


def load_options(mmap: bool, verify: bool, columns: Iterable[str] | None) -> LoadOptions:
    if isinstance(columns, str) or not isinstance(columns, Iterable | None):
        raise InvalidConfigError(f"columns is several names, a list for example, not {columns!r}")
    return LoadOptions(mmap=mmap, verify=verify, columns=None if columns is None else tuple(columns))


def check_type(as_type: type[Any] | None) -> None:
    try:
        isinstance(None, as_type or object)
    except TypeError as error:
        raise InvalidConfigError(f"as_type is a class such as isinstance() takes, not {as_type!r}") from error


def check_many(paths: Iterable[str]) -> dict[str, None]:
    """The paths, each once, in their order."""
    if isinstance(paths, str | bytes):
        raise InvalidPathError(f"several paths are wanted, a list for example, not the single {paths!r}")
    try:
        return dict.fromkeys(paths)
    except TypeError as error:
        raise InvalidPathError(f"several paths are wanted, a list of str for example: {error}") from error


def check_mapping(objects: Mapping[str, object]) -> Mapping[str, object]:
    if not isinstance(objects, Mapping):
        raise InvalidConfigError(
            f"what to save many of is a mapping of names to objects, not a {type(objects).__name__}"
        )
    return objects
