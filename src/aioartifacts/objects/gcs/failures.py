"""What the service's refusals and the network's failures mean to us: an `ArtifactError`, without a secret in it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime

import msgspec

from aioartifacts.errors import (
    ArtifactError,
    ArtifactExistsError,
    ArtifactNotFoundError,
    ConflictError,
    PermissionDeniedError,
    StoreError,
    TransientStoreError,
)

TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses after which Cloud Storage asks to try again ("Retry strategy")."""

_SECRETS = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[^\s'\"<>,;]+"), r"\1 …"),
    (re.compile(r"\bya29\.[\w.~+/=-]+"), "ya29.…"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), "eyJ…"),
    (re.compile(r"-----BEGIN[^-]*-----.*?(?:-----END[^-]*-----|\Z)", re.DOTALL), "…"),
    (
        re.compile(
            r"(?i)\b(upload_?id|x-goog-signature|x-goog-credential|signature|access_?token|refresh_?token|id_?token|"
            r"client_?secret|assertion|private_?key|authorization)(\"?\s*[=:]\s*\"?|%3D)[^\s&'\"<>,;]+"
        ),
        r"\1\2…",
    ),
)
_XML_MESSAGE = re.compile(r"<(Code|Message|Details)>([^<]*)</")
_SHOWN = 400


class _Detail(msgspec.Struct):
    message: str = ""


class _Refusal(msgspec.Struct):
    error: _Detail


def scrub(text: str, secrets: Iterable[str | None] = ()) -> str:
    """*text* without *secrets*, and without anything that looks like a token, a signature or an upload session."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "…")
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def refusal(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    operation: str,
    key: str | None,
    place: str,
    creating: bool = False,
    secrets: Iterable[str | None] = (),
) -> ArtifactError:
    """The error for an answer with a status that was not hoped for."""
    said = scrub(said_by_service(body), secrets)[:_SHOWN]
    what = f"{operation} of {key!r} in {place}" if key is not None else f"{operation} in {place}"
    because = f" ({said})" if said else ""
    if status in TRANSIENT:
        return TransientStoreError(
            f"{what}: Cloud Storage answered {status}{because}; trying again may help",
            path=key,
            operation=operation,
            retry_after=retry_after(headers.get("Retry-After")),
            refused=status == 429,  # a limit is looked at before anything is done; the others may come from behind
        )
    if status == 401:
        return PermissionDeniedError(
            f"{what}: Cloud Storage does not accept the credentials{because}; renew them ('gcloud auth application-default login'), "
            "or pass credentials=",
            path=key,
            operation=operation,
        )
    if status == 403:
        return PermissionDeniedError(
            f"{what}: Cloud Storage refuses access{because}; grant the account 'roles/storage.objectUser' on the bucket",
            path=key,
            operation=operation,
        )
    if status == 404:
        if key is None or operation == "put" or "bucket does not exist" in said:
            return StoreError(f"{what}: there is no such bucket; create it, or correct its name", path=key, operation=operation)
        return ArtifactNotFoundError(f"{what}: there is no such object", path=key, operation=operation)
    if status == 412 and creating:
        return ArtifactExistsError(f"{what}: it exists already; delete it first, or overwrite it", path=key, operation=operation)
    if status == 412:
        return ConflictError(
            f"{what}: it is not at the generation expected, somebody else replaced or deleted it; read it again",
            path=key,
            operation=operation,
        )
    return StoreError(f"{what}: Cloud Storage answered {status}{because}", path=key, operation=operation)


def said_by_service(body: bytes) -> str:
    """The message in an error's body: JSON, XML or plain text."""
    try:
        return msgspec.json.decode(body, type=_Refusal).error.message
    except msgspec.MsgspecError:
        text = body.decode("utf-8", "replace").strip()
    tagged = _XML_MESSAGE.findall(text)
    if tagged:
        return ": ".join(value for _, value in tagged)
    return "" if text.startswith("<") else " ".join(text.split())


def retry_after(value: str | None) -> float | None:
    """Seconds to wait, from a ``Retry-After`` header: a number, or a date (RFC 9110, section 10.2.3)."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, when.timestamp() - time.time())
