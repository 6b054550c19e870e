"""What a Google Cloud Storage store is told once: where, as whom, how much; checked here, before any request."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NoReturn, TypeAlias
from urllib.parse import urlsplit

from aioartifacts.errors import InvalidConfigError, InvalidPathError
from aioartifacts.keys import check_path
from aioartifacts.types import KIB, MIB, RetryPolicy

PUBLIC_ENDPOINT = "https://storage.googleapis.com"
CHUNK_UNIT = 256 * KIB
"""Chunks of a resumable upload are multiples of this (Cloud Storage, "Resumable uploads")."""
PART_MIN = 5 * MIB
PARTS_MAX = 10_000
"""Limits of a multipart upload (Cloud Storage, "Quotas & limits")."""

_COMPONENT = re.compile(r"[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?", re.ASCII)
_IP = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}", re.ASCII)


class AccessToken:
    """An OAuth 2.0 access token, as ``gcloud auth print-access-token`` prints it. Never shown, never pickled, never renewed."""

    __slots__ = ("value",)

    def __init__(self, value: str) -> None:
        if type(value) is not str or not value or not value.isascii() or not value.isprintable() or " " in value:
            raise InvalidConfigError("an access token is one line of printable ASCII without spaces")
        self.value = value

    def __repr__(self) -> str:
        return "AccessToken(…)"

    def __reduce__(self) -> NoReturn:
        raise InvalidConfigError(
            "an access token is not pickled, so that it never ends up in files or queues; "
            "give credentials= a function that returns one, or a service-account file"
        )


TokenProvider: TypeAlias = Callable[[], str | Awaitable[str]]
Credentials: TypeAlias = str | os.PathLike[str] | AccessToken | TokenProvider | None


@dataclass(frozen=True, slots=True)
class Settings:
    """See `GCSObjectStore` for what each of them means."""

    bucket: str | None
    prefix: str
    project: str | None
    endpoint: str
    credentials: Credentials = field(repr=False)
    chunk_size: int
    parallel: int
    parallel_from: int
    connections: int
    sock_connect: float
    sock_read: float
    retry: RetryPolicy

    def __post_init__(self) -> None:
        if self.bucket is not None:
            check_bucket(self.bucket)
        _check_prefix(self.prefix)
        _check_endpoint(self.endpoint)
        _check_credentials(self.credentials)
        if self.project is not None and (type(self.project) is not str or not self.project):
            raise InvalidConfigError("project= is a project id, or None")
        if type(self.chunk_size) is not int or self.chunk_size <= 0 or self.chunk_size % CHUNK_UNIT:
            raise InvalidConfigError(f"chunk_size={self.chunk_size!r} is not a positive multiple of {CHUNK_UNIT} bytes")
        for name in ("parallel", "parallel_from", "connections"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise InvalidConfigError(f"{name}={value!r} is not a positive integer")
        for name in ("sock_connect", "sock_read"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not 0 < value < float("inf"):
                raise InvalidConfigError(f"{name}={value!r} is not a positive number of seconds")


def resolve_endpoint(endpoint: str | None, credentials: Credentials) -> tuple[str, Credentials]:
    """The endpoint to use, and the credentials that may go there.

    ``STORAGE_EMULATOR_HOST``, when no endpoint is given, names an emulator; nobody's credentials are sent to it. Apart from that the
    variable has no effect (gcloud-aio-storage on its own would turn off authentication and TLS verification by it).
    """
    if endpoint is not None:
        return (endpoint.rstrip("/") if type(endpoint) is str else endpoint), credentials
    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    if emulator:
        return (emulator if "://" in emulator else f"http://{emulator}").rstrip("/"), "anonymous"
    return PUBLIC_ENDPOINT, credentials


def check_bucket(bucket: str) -> None:
    """Refuse what cannot be a bucket (Cloud Storage, "Bucket name requirements"); it goes into URLs unquoted.

    Raises:
        InvalidConfigError: it cannot.
    """
    reason = _not_a_bucket(bucket)
    if reason is not None:
        raise InvalidConfigError(f"{ascii(bucket)[:120]} is not a bucket name: {reason}; give the bare name, as in 'my-bucket'")


def _not_a_bucket(bucket: object) -> str | None:
    if type(bucket) is not str:
        return "it is not a str"
    components = bucket.split(".")
    if not 3 <= len(bucket) <= (222 if len(components) > 1 else 63):
        return "it has fewer than 3 or more than 63 characters (222 with dots)"
    if _IP.fullmatch(bucket):
        return "it looks like an IP address"
    for component in components:
        if len(component) > 63:
            return "a dot-separated component has more than 63 characters"
        if not _COMPONENT.fullmatch(component):
            return "only lower-case letters, digits, '-', '_' and '.' are allowed, and letters or digits at both ends"
    if bucket.startswith("goog") or "google" in bucket:
        return "names that start with 'goog' or contain 'google' are reserved"
    return None


def _check_prefix(prefix: str) -> None:
    if type(prefix) is str and not prefix:
        return
    try:
        check_path(prefix)
    except InvalidPathError as error:
        raise InvalidConfigError(f"prefix: {error.message}, without '/' at either end") from None


def _check_endpoint(endpoint: str) -> None:
    valid = False
    if type(endpoint) is str and endpoint.isascii() and endpoint.isprintable() and " " not in endpoint:
        try:
            parts = urlsplit(endpoint)
            _ = parts.port
        except ValueError:
            parts = urlsplit("")
        plain = not (parts.query or parts.fragment or "@" in parts.netloc or "?" in endpoint or "#" in endpoint)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and plain
    if not valid:
        # Not shown: what is wrong with it may be a password in it.
        raise InvalidConfigError("the endpoint is not of the form 'https://host[:port]'")


def _check_credentials(credentials: Credentials) -> None:
    if credentials is None or callable(credentials) or isinstance(credentials, AccessToken | os.PathLike):
        return
    if type(credentials) is not str or not credentials:
        raise InvalidConfigError(
            "credentials= is the path of a credentials file, 'anonymous', AccessToken(…), a function that returns a token, "
            "or None for Application Default Credentials"
        )
    if credentials.startswith(("ya29.", "{", "Bearer ", "-----BEGIN")):
        raise InvalidConfigError(
            "credentials= looks like a secret, not like the path of a file; wrap a token as AccessToken(…), and keep keys in a file"
        )
