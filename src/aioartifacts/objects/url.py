"""What a store's URL says: ``"folder"``, ``"file:///…"``, ``"memory://name"``, ``"gs://bucket/prefix"``, or a plug-in's scheme."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import cast
from urllib.parse import unquote_to_bytes

from aioartifacts.errors import InvalidConfigError, InvalidPathError
from aioartifacts.keys import check_prefix
from aioartifacts.objects.base import AsyncObjectStore, BlockingObjectStore

ENTRY_POINTS = "aioartifacts.stores"
"""Group of entry points: the name is a scheme, the value a function from a URL to an object store."""

StoreFactory = Callable[[str], BlockingObjectStore | AsyncObjectStore]

# Two characters at least: one is a drive on Windows.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(//)?", re.ASCII)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", re.ASCII)
_MEMORY = re.compile(r"[A-Za-z0-9._-]*", re.ASCII)
_FORMS = "use a folder, file:///…, memory://, gs://bucket/prefix, or the scheme of an installed plug-in"


@dataclass(frozen=True, slots=True)
class StoreURL:
    """A store's URL, taken apart."""

    scheme: str
    """``"file"``, ``"memory"``, ``"gs"``, or what a plug-in serves; lower case."""
    place: str
    """The folder (file; relative ones stay so), the name (memory; may be empty), the bucket (gs), else the whole URL."""
    prefix: str = ""
    """Where in the bucket (gs); taken literally, without a ``/`` at either end."""


def parse_url(url: str | os.PathLike[str]) -> StoreURL:
    """Take a store's URL apart. Touches neither disk nor network.

    ``file://`` URLs are percent-decoded. Folders, buckets and prefixes are taken literally.

    Raises:
        InvalidConfigError: *url* is nonsense; the message says which.
    """
    given = os.fspath(url) if isinstance(url, str | os.PathLike) else None
    if type(given) is not str or not given or "\0" in given:
        raise InvalidConfigError(f"{url!r} does not name a store: {_FORMS}")
    if isinstance(url, os.PathLike):
        return StoreURL("file", given)
    match = _SCHEME.match(given)
    if match is None:
        return StoreURL("file", given)
    scheme, rest = match[1].lower(), given[match.end() :]
    parse = _PARSERS.get(scheme)
    if match[2] is None:
        if parse is not None:
            raise InvalidConfigError(
                f"{given!r} lacks the '//' of a URL: write {scheme}://…, or ./{given} for a folder"
            )
        return StoreURL("file", given)
    return StoreURL(scheme, given) if parse is None else parse(given, rest)


def find_store(scheme: str) -> StoreFactory:
    """Load the plug-in that serves *scheme*.

    Raises:
        InvalidConfigError: none is installed, or it cannot be imported.
    """
    for entry in entry_points(group=ENTRY_POINTS, name=scheme):
        try:
            return cast(StoreFactory, entry.load())
        except (ImportError, AttributeError) as error:
            raise InvalidConfigError(
                f"the plug-in {entry.value!r} for {scheme}:// cannot be loaded: {error}"
            ) from error
    raise InvalidConfigError(f"no installed plug-in serves {scheme}:// (entry points {ENTRY_POINTS!r}): {_FORMS}")


def _parse_file(url: str, rest: str) -> StoreURL:
    host, slash, encoded = rest.partition("/")
    if host.lower() not in ("", "localhost") or not slash:
        raise InvalidConfigError(f"{url!r} is no folder of this machine: write file:///absolute/folder")
    if "?" in encoded or "#" in encoded:
        raise InvalidConfigError(f"{url!r} holds '?' or '#'; in a folder's name, write %3F or %23")
    folder = os.fsdecode(unquote_to_bytes(encoded))
    if "\0" in folder or not folder.strip("/"):
        raise InvalidConfigError(f"{url!r} does not name a folder")
    return StoreURL("file", folder if os.name == "nt" else f"/{folder}")


def _parse_memory(url: str, rest: str) -> StoreURL:
    if _MEMORY.fullmatch(rest) is None:
        raise InvalidConfigError(f"{url!r}: the name of a memory store is letters, digits, '.', '_' and '-'")
    return StoreURL("memory", rest)


def _parse_gs(url: str, rest: str) -> StoreURL:
    bucket, _, prefix = rest.partition("/")
    if _BUCKET.fullmatch(bucket) is None:
        raise InvalidConfigError(f"{url!r}: {bucket!r} is no name of a bucket; write gs://bucket or gs://bucket/prefix")
    if prefix == "/":
        raise InvalidConfigError(f"{url!r}: the prefix is empty; write gs://{bucket}")
    prefix = prefix.removesuffix("/")
    try:
        return StoreURL("gs", bucket, check_prefix(prefix))
    except InvalidPathError as error:
        raise InvalidConfigError(f"{url!r}: {error.message}") from error


_PARSERS: dict[str, Callable[[str, str], StoreURL]] = {"file": _parse_file, "memory": _parse_memory, "gs": _parse_gs}
