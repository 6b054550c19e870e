"""Access tokens: gcloud-aio-auth knows where to get one; when to, and what a failure means, is decided here.

Its own ``Token.get`` is not used (gcloud-aio-auth 5.6.0): a cancelled caller cancels the refresh under everybody else who waits for
it, a refused key is retried five times with pauses, and a failed refresh in the background is logged with its headers.
``test_a_cancelled_caller_does_not_cancel_the_refresh_for_the_others`` and its neighbours say what we need instead.
"""

from __future__ import annotations

import asyncio
import inspect
import io
import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, cast

import aiohttp
from gcloud.aio.auth import Token
from gcloud.aio.auth.token import Type

from aioartifacts.errors import (
    ArtifactError,
    InvalidConfigError,
    PermissionDeniedError,
    StoreError,
    TransientStoreError,
)
from aioartifacts.objects.gcs.failures import TRANSIENT, scrub
from aioartifacts.objects.gcs.settings import AccessToken, Credentials, TokenProvider

SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
"""Objects only; gcloud-aio-storage would ask for full control of buckets and their policies."""
REFRESH_TIMEOUT = 20
"""Seconds for one request to a token endpoint."""
EARLY = 225.0
"""Seconds before its end of life that a token is renewed, at most a tenth of its life (google-auth uses the same number)."""

_REMEDY = "check the file given as credentials= or GOOGLE_APPLICATION_CREDENTIALS, or run 'gcloud auth application-default login'"


class Tokens(ABC):
    """Where access tokens come from."""

    @abstractmethod
    async def get(self) -> str | None | ArtifactError:
        """A token, None when requests go without, or what went wrong. Errors are returned, so that no frame with a token is kept."""

    def reject(self, token: str) -> bool:
        """Forget *token*, which the service did not accept; answers whether the next one may be another."""
        return False

    async def aclose(self) -> None:  # noqa: B027  # most have nothing under way
        """Stop what is under way."""


class Anonymous(Tokens):
    async def get(self) -> str | None | ArtifactError:
        return None


class Given(Tokens):
    """One fixed token."""

    def __init__(self, token: AccessToken) -> None:
        self._token = token

    async def get(self) -> str | None | ArtifactError:
        return self._token.value


class Provided(Tokens):
    """Whatever the user's function returns, asked before each request."""

    def __init__(self, provider: TokenProvider) -> None:
        self._provider = provider

    async def get(self) -> str | None | ArtifactError:
        try:
            token = self._provider()
            if inspect.isawaitable(token):
                token = await token
            return AccessToken(token).value
        except InvalidConfigError:
            return PermissionDeniedError("the function given as credentials= did not return an access token")
        except Exception as error:
            # Its message may hold anything, the token included.
            return PermissionDeniedError(f"the function given as credentials= raised {type(error).__name__}")


class Renewed(Tokens):
    """Tokens of a credentials file or of the machine, renewed shortly before they end; one renewal at a time."""

    def __init__(self, source: Token) -> None:
        self._source = source
        self._value: str | None = None
        self._renew_at = 0.0
        self._given_at = 0.0
        self._renewal: asyncio.Task[str | ArtifactError] | None = None

    async def get(self) -> str | None | ArtifactError:
        if self._value is not None and time.time() < self._renew_at:
            return self._value
        if self._renewal is None or self._renewal.done():
            # A task of its own: whoever is cancelled while waiting must not take the token from the others.
            self._renewal = asyncio.create_task(self._renew())
        renewal = self._renewal
        await asyncio.wait([renewal])
        if renewal.cancelled():
            return StoreError("the store was closed while it waited for an access token")
        return renewal.result()

    def reject(self, token: str) -> bool:
        if token == self._value:
            self._value = None
            # A token that is refused as soon as it was given will not get better.
            return time.monotonic() - self._given_at > 10.0
        return True

    async def aclose(self) -> None:
        if self._renewal is not None and not self._renewal.done():
            self._renewal.cancel()
            await asyncio.wait([self._renewal])
        self._renewal = None
        self._value = None

    async def _renew(self) -> str | ArtifactError:
        try:
            answer = await self._source.refresh(timeout=REFRESH_TIMEOUT)
            token = AccessToken(answer.value).value
        except Exception as error:
            return self._failure(error)
        life = float(answer.expires_in)
        self._given_at = time.monotonic()
        self._renew_at = time.time() + life - min(EARLY, life / 10)
        self._value = token
        return token

    def _failure(self, error: Exception) -> ArtifactError:
        if isinstance(error, aiohttp.ClientResponseError):
            said = scrub(error.message, _strings(self._source.service_data))[:300]
            if error.status in TRANSIENT:
                return TransientStoreError(f"no access token: the token endpoint answered {error.status} ({said})")
            return PermissionDeniedError(f"no access token: the token endpoint answered {error.status} ({said}); {_REMEDY}")
        if isinstance(error, aiohttp.ClientConnectorError) and self._source.token_type is Type.GCE_METADATA:
            return PermissionDeniedError(f"no credentials were found, and this is no Google Cloud machine; {_REMEDY}")
        if isinstance(error, aiohttp.ClientError | OSError):
            return TransientStoreError(f"no access token: the token endpoint cannot be reached ({type(error).__name__})")
        return PermissionDeniedError(f"no access token: the credentials cannot be used ({type(error).__name__}); {_REMEDY}")


def tokens(credentials: Credentials, session: aiohttp.ClientSession) -> Tokens:
    """Where tokens for *credentials* come from. Blocking, it may read a file.

    Raises:
        InvalidConfigError: the credentials file is missing or is none.
    """
    if isinstance(credentials, AccessToken):
        return Given(credentials)
    if credentials == "anonymous":
        return Anonymous()
    if callable(credentials):
        return Provided(credentials)
    path = credentials if credentials is not None else os.environ.get("GOOGLE_APPLICATION_CREDENTIALS") or None
    # Read here: gcloud-aio-auth takes an unreadable file for no file, and goes on to ask the metadata server.
    file = None if path is None else io.StringIO(_read(os.fspath(path)))
    failure: str
    try:
        return Renewed(Token(service_file=file, session=cast(Any, session), scopes=[SCOPE]))
    except Exception as error:
        failure = type(error).__name__
    raise InvalidConfigError(f"the credentials cannot be used ({failure}); {_REMEDY}")


def _read(path: str) -> str:
    text = ""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        usable = isinstance(document := json.loads(text), dict) and isinstance(document.get("type"), str)
        reason = "is not a credentials file: JSON with a field 'type'"
    except OSError as error:
        usable, reason = False, f"cannot be read: {error.strerror}"
    except ValueError:
        usable, reason = False, "is not a credentials file: it is not JSON"
    if not usable:
        raise InvalidConfigError(f"{path!r} {reason}; {_REMEDY}")
    return text


def _strings(value: object) -> Iterable[str]:
    """Every string worth hiding in a credentials file: long ones that are neither addresses nor names of accounts."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, str) and len(value) >= 12 and not value.startswith("https://") and "@" not in value:
        yield value
