"""Keys, object names, URLs: how one is turned into another, and nothing is normalised on the way."""

from __future__ import annotations

import re
from urllib.parse import quote

from aioartifacts.errors import ConflictError, InvalidPathError
from aioartifacts.keys import URI
from aioartifacts.types import Generation

NAME_MAX = 1024
"""Bytes of UTF-8 in an object's name (Cloud Storage, "Object name requirements")."""
FIELDS = "name,size,generation,crc32c,updated"

_PLAIN_NAME = re.compile(r"[\w.~/-]*", re.ASCII).fullmatch
_PLAIN_VALUE = re.compile(r"[\w.~,-]*", re.ASCII).fullmatch


class Names:
    """The names of one bucket and prefix."""

    __slots__ = ("_api", "_folder", "_upload", "_xml", "bucket", "prefix", "url")

    def __init__(self, endpoint: str, bucket: str, prefix: str) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self.url = f"gs://{bucket}/{prefix}" if prefix else f"gs://{bucket}"
        self._folder = f"{prefix}/" if prefix else ""
        self._api = f"{endpoint}/storage/v1/b/{bucket}"
        self._upload = f"{endpoint}/upload/storage/v1/b/{bucket}/o"
        self._xml = f"{endpoint}/{bucket}"

    def name(self, key: str) -> str:
        """The object's name in the bucket.

        Raises:
            InvalidPathError: Cloud Storage cannot have an object of that name.
        """
        name = self._folder + key
        try:
            size = len(name.encode())
        except UnicodeEncodeError:
            size = 0
        if not key or not 0 < size <= NAME_MAX or name in (".", "..") or "\n" in name or "\r" in name:
            raise InvalidPathError(
                f"{ascii(key)[:120]} cannot be the name of an object: names are 1 to {NAME_MAX} bytes of UTF-8 without line ends",
                path=key,
            )
        return name

    def key(self, name: str) -> str | None:
        """The inverse of `name`; None for what is no object of ours: outside the prefix, or a console's folder marker."""
        if not name.startswith(self._folder) or name.endswith("/") or len(name) == len(self._folder):
            return None
        return name[len(self._folder) :]

    def listing_prefix(self, prefix: str) -> str:
        """What the names of all objects below *prefix* start with."""
        return f"{self._folder}{prefix}/" if prefix else self._folder

    def bucket_url(self, **params: str | int | None) -> str:
        return self._api + _query(params)

    def objects_url(self, **params: str | int | None) -> str:
        return f"{self._api}/o" + _query(params)

    def object_url(self, key: str, **params: str | int | None) -> str:
        return f"{self._api}/o/{_segment(self.name(key))}" + _query(params)

    def rewrite_url(self, source: str, target: str, **params: str | int | None) -> str:
        return f"{self.object_url(source)}/rewriteTo/b/{self.bucket}/o/{_segment(self.name(target))}" + _query(params)

    def upload_url(self, **params: str | int | None) -> str:
        return self._upload + _query(params)

    def xml_url(self, key: str, **params: str | int | None) -> str:
        return f"{self._xml}/{quote(self.name(key), safe='/')}" + _query(params)

    def location(self, path: str) -> str:
        return f"{self.url}/{path}" if path else self.url

    def relative(self, location: str) -> str | None:
        """See `ObjectStore.relative`."""
        if not URI.match(location):
            return None
        if location in (self.url, f"{self.url}/"):
            return ""
        if location.startswith(f"{self.url}/"):
            path = location[len(self.url) + 1 :]
            if not {".", ".."} & set(path.split("/")):
                return path
        raise InvalidPathError(
            f"{location!r} is outside this store, which is {self.url!r}; open a store on that bucket and prefix", path=location
        )


def precondition(if_generation: Generation | None, *, key: str, operation: str) -> str | None:
    """The value of ``ifGenerationMatch``.

    Raises:
        ConflictError: it is no generation that Cloud Storage could ever have given.
    """
    if if_generation is None:
        return None
    text = str(if_generation)
    if not (text.isascii() and text.isdigit()):
        raise ConflictError(
            f"{key!r} cannot be at generation {text[:40]!r}: that is not a generation of Cloud Storage; read the object again",
            path=key,
            operation=operation,
        )
    return text


def _query(params: dict[str, str | int | None]) -> str:
    given = "&".join([f"{name}={_value(str(value))}" for name, value in params.items() if value is not None])
    return f"?{given}" if given else ""


# Most names and values need no quoting, and every request has several; `quote` would look at each character in Python.


def _segment(name: str) -> str:
    """An object's name as one segment of a path."""
    return name.replace("/", "%2F") if _PLAIN_NAME(name) else quote(name, safe="")


def _value(text: str) -> str:
    return text if _PLAIN_VALUE(text) else quote(text, safe="")
