"""The artifact stores there are: on local disk, in memory, in Google Cloud Storage, or wherever a URL says."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Unpack

from aioartifacts.errors import InvalidConfigError
from aioartifacts.options import OpenOptions, StoreOptions, check_limits, check_retry
from aioartifacts.store import ArtifactStore
from aioartifacts.types import Durability, Limits, RetryPolicy


class LocalArtifactStore(ArtifactStore):
    """Artifacts in a folder on local disk."""

    _kind = "local"

    def __init__(
        self,
        base_path: str | os.PathLike[str] = ".aioartifacts_store",
        *,
        name: str = "local",
        durability: Durability = "full",
        **options: Unpack[StoreOptions],
    ) -> None:
        """Make a store in the folder *base_path*, which is created by the first save.

        With ``durability="full"`` a save that has returned survives a power cut; with ``"process"``, which spares the fsyncs, it
        survives a killed process only. *options* are those of `ArtifactStore`.

        Raises:
            InvalidConfigError: an option makes no sense.
        """
        from aioartifacts.objects.local import LocalObjectStore

        super().__init__(LocalObjectStore(base_path, durability=durability), name=name, **options)

    @property
    def base_path(self) -> str:
        """The folder, as an absolute path."""
        return str(self._objects.config()["base_path"])


class MemoryArtifactStore(ArtifactStore):
    """Artifacts in this process's memory: for tests, and for steps that run side by side."""

    _kind = "memory"

    def __init__(self, *, name: str = "memory", **options: Unpack[StoreOptions]) -> None:
        """Make an empty store. *options* are those of `ArtifactStore`.

        Raises:
            InvalidConfigError: an option makes no sense.
        """
        from aioartifacts.objects.memory import MemoryObjectStore

        super().__init__(MemoryObjectStore(name), name=name, **options)


class GCSArtifactStore(ArtifactStore):
    """Artifacts in a Google Cloud Storage bucket. Needs the extra ``gcs``."""

    _kind = "gcs"

    def __init__(
        self,
        name: str = "gcs",
        bucket_name: str | None = None,
        project_id: str | None = None,
        prefix: str = "aioartifacts",
        *,
        endpoint: str | None = None,
        credentials: Any = None,
        **options: Unpack[StoreOptions],
    ) -> None:
        """Make a store in a bucket, below *prefix*. Touches neither disk nor network.

        *credentials*: a credentials file, ``"anonymous"``, an `aioartifacts.objects.gcs.AccessToken`, a function that returns a token, or
        None for Application Default Credentials. *endpoint* is for emulators and private endpoints. *options* are those of
        `ArtifactStore`.

        Raises:
            InvalidConfigError: an option makes no sense. Without a bucket, `validate` and every other verb say so.
        """
        from aioartifacts.objects.gcs import GCSObjectStore

        objects = GCSObjectStore(
            bucket_name,
            prefix,
            project=project_id,
            endpoint=endpoint,
            credentials=credentials,
            connections=check_limits(options.get("limits", Limits())).transfers,
            retry=check_retry(options.get("retry", RetryPolicy())),
        )
        super().__init__(objects, name=name, **options)


def open_store(url: str | os.PathLike[str], **options: Unpack[OpenOptions]) -> ArtifactStore:
    """Open the artifact store a URL names: a folder, ``file:///…``, ``memory://``, ``gs://bucket/prefix``, or a plug-in's scheme.

    *options* are those of the store's class, and of `ArtifactStore`. Folders are taken literally (``~`` is one). Each ``memory://``
    is a store of its own, whatever its name. Touches neither disk nor network.

    Raises:
        InvalidConfigError: the URL is nonsense, or an option is.
    """
    from aioartifacts.objects.url import find_store, parse_url

    parsed = parse_url(url)
    given: dict[str, Any] = {**options}
    for option in _IN_THE_URL.get(parsed.scheme, ()):
        if option in given:
            raise InvalidConfigError(f"{url!r} says the {option} already; leave {option}= out")
    opener = _OPENERS.get(parsed.scheme)
    if opener is not None:
        return opener(parsed.place, parsed.prefix, given)
    return ArtifactStore(find_store(parsed.scheme)(parsed.place), name=given.pop("name", parsed.scheme), **given)


_IN_THE_URL = {"file": ("base_path",), "gs": ("bucket_name", "prefix")}
_OPENERS: dict[str, Callable[[str, str, dict[str, Any]], ArtifactStore]] = {
    "file": lambda place, _prefix, options: LocalArtifactStore(place, **options),
    "gs": lambda place, prefix, options: GCSArtifactStore(bucket_name=place, prefix=prefix, **options),
    "memory": lambda place, _prefix, options: MemoryArtifactStore(name=options.pop("name", place or "memory"), **options),
}
