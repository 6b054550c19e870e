"""Options of artifact stores and of their verbs: what there are, their defaults, and whether those given make sense.

Every check raises `InvalidConfigError`, or `InvalidPathError` where paths are wanted.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypedDict

from aioartifacts.errors import InvalidConfigError, InvalidPathError
from aioartifacts.objects.base import AsyncObjectStore, BlockingObjectStore
from aioartifacts.trust import SigningKey
from aioartifacts.types import Durability, Limits, LoadOptions, RetryPolicy, Trust

if TYPE_CHECKING:
    from aioartifacts.materializers.registry import MaterializerRegistry


class StoreOptions(TypedDict, total=False):
    """Options that every artifact store takes."""

    trust: Trust | None
    """What may be decoded: ``"data"``, ``"signed"`` or ``"all"``. Default: ``"signed"`` with a *signing_key*; else ``"all"`` in memory and
    in a local folder that only we can write to, and ``"data"`` anywhere else."""
    signing_key: SigningKey | None
    """32 bytes or more, or a callable that gives them: what is saved is signed with it (HMAC-SHA256)."""
    verification_keys: Sequence[SigningKey]
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


class OpenOptions(StoreOptions, total=False):
    """Options of `open_store`: those of the store's class that the URL does not say already."""

    name: str
    """What the store is called in `to_dict`."""
    durability: Durability
    """Of a folder: ``"full"`` survives a power cut, ``"process"`` a killed process only."""
    project_id: str | None
    """Of a bucket."""
    endpoint: str | None
    """Of a bucket: where the service is, for emulators and private endpoints."""
    credentials: Any
    """Of a bucket; see `GCSArtifactStore`."""


def check_retry(retry: RetryPolicy) -> RetryPolicy:
    if not isinstance(retry, RetryPolicy):
        raise InvalidConfigError(f"retry is a RetryPolicy, not {retry!r}")
    for option in ("deadline", "base", "cap"):
        value = getattr(retry, option)
        if type(value) not in (int, float) or not value >= 0:  # nor is NaN
            raise InvalidConfigError(f"RetryPolicy.{option} is a number of seconds, 0 or more, not {value!r}")
    return retry


def check_objects(objects: object, cls: type) -> None:
    if not isinstance(objects, BlockingObjectStore | AsyncObjectStore):
        opener = f"; open_store({objects!r}) opens a folder or a URL" if isinstance(objects, str | os.PathLike) else ""
        raise InvalidConfigError(f"{cls.__name__} needs an object store, not {objects!r}{opener}")


def check_names(options: Set[str], cls: type) -> None:
    """Refuse options that a store of the class *cls* does not have."""
    unknown = sorted(options - StoreOptions.__annotations__.keys())
    if unknown:
        own = [name for name in inspect.signature(cls).parameters if name != "options"]
        there = ", ".join((*own, *StoreOptions.__annotations__))
        raise InvalidConfigError(f"{cls.__name__} has no option {unknown[0]!r}; there are {there}")


def check_flag(value: bool, name: str) -> bool:
    if type(value) is not bool:
        raise InvalidConfigError(f"{name} is True or False, not {value!r}")
    return value


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
    """The options of `load`, checked."""
    if isinstance(columns, str) or not isinstance(columns, Iterable | None):
        raise InvalidConfigError(f"columns is several names, a list for example, not {columns!r}")
    check_flag(mmap, "mmap")
    check_flag(verify, "verify")
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
