"""May this record be decoded here? The one choke point, passed before any byte of an artifact is decoded.

Trust belongs to the store, never to the artifact. ``"data"`` decodes only formats that cannot run code, ``"signed"`` also anything
whose record carries a valid HMAC under one of the store's keys, ``"all"`` decodes everything. Saving is never refused.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from aioartifacts.errors import ArtifactError, InvalidConfigError, StoreError, UntrustedArtifactError
from aioartifacts.types import Trust

KEY_MIN = 32
"""Bytes; HMAC keys shorter than the hash's output weaken it (RFC 2104, section 3)."""

SigningKey: TypeAlias = bytes | Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys of a signed store: the first signs, all of them verify. Never shown, never pickled."""

    keys: tuple[SigningKey, ...] = field(default=(), repr=False)

    def __bool__(self) -> bool:
        return bool(self.keys)

    def __reduce__(self) -> tuple[object, ...]:
        if self.keys:
            raise InvalidConfigError(
                "a store with signing keys is not pickled, so that keys never end up in files or queues; "
                "build the store anew in the other process"
            )
        return (Keyring, ())

    def sign(self, message: bytes) -> str:
        """HMAC-SHA256 of *message* (RFC 2104) under the first key, in hex."""
        return _hmac(self.keys[0], message)

    def verify(self, message: bytes, signature: str) -> bool:
        """Whether any of the keys made *signature*; compared in constant time."""
        given = signature.encode("utf-8", "replace")
        return any([hmac.compare_digest(_hmac(key, message).encode(), given) for key in self.keys])


def keyring(signing_key: SigningKey | None, verification_keys: Sequence[SigningKey] = ()) -> Keyring:
    """Check keys given as configuration.

    Raises:
        InvalidConfigError: a key is neither `KEY_MIN` bytes or more nor a callable, or only verification keys were given.
    """
    if signing_key is None:
        if verification_keys:
            raise InvalidConfigError("verification_keys= needs signing_key= as well: what is saved here must be signed")
        return Keyring()
    given: object = verification_keys
    if isinstance(given, bytes | str) or not isinstance(given, Sequence):
        raise InvalidConfigError(f"verification_keys is several keys, a tuple for example, not a {type(verification_keys).__name__}")
    keys = (signing_key, *verification_keys)
    for key in keys:
        if not callable(key):
            _check_key(key)
    return Keyring(keys)


def _check_key(key: object) -> bytes:
    if not isinstance(key, bytes) or len(key) < KEY_MIN:
        raise InvalidConfigError(f"a signing key is bytes, {KEY_MIN} or more (secrets.token_bytes({KEY_MIN})), or a callable")
    return key


def _hmac(key: SigningKey, message: bytes) -> str:
    return hmac.new(_check_key(_fetch(key) if callable(key) else key), message, hashlib.sha256).hexdigest()


def _fetch(key: Callable[[], bytes]) -> bytes:
    try:
        return key()
    except ArtifactError:
        raise
    except Exception as error:  # whose message may hold a secret
        raise StoreError(f"a signing key could not be had: {type(error).__name__}; see what caused this") from error


def check_trust(
    *, path: str, format: str, safe: bool, signature_valid: bool, trust: Trust, doubt: str | None = None
) -> bool:
    """Decide whether an artifact may be decoded, and answer whether code from it may be run meanwhile.

    *safe* is what the materializer says of its format **and** the record of this artifact; a record alone is not believed. *doubt* is why
    *trust* is no more than ``"data"``, when nobody chose that.

    Raises:
        UntrustedArtifactError: decoding can run code, and the store does not trust this artifact.
    """
    if trust == "all" or (trust == "signed" and signature_valid):
        return True
    if safe:
        return False
    if trust == "signed":
        raise UntrustedArtifactError(
            f"{path!r} is in format {format!r}, decoding it can run code, and its record carries no valid signature of this store's "
            "keys. Save it again from a store with the key; or, if you trust whoever wrote it, open the store with trust='all'",
            path=path,
            format=format,
        )
    because = f", and this store is not trusted by default: {doubt}" if doubt else ""
    raise UntrustedArtifactError(
        f"{path!r} is in format {format!r}, and decoding it can run code{because}. If you trust whoever can write to this store, open it "
        "with trust='all'; or sign what you save, with signing_key=… on both sides",
        path=path,
        format=format,
    )
