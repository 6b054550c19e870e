"""Requests to Cloud Storage on one event loop: gcloud-aio-storage's session and token, one attempt each, errors translated."""

from __future__ import annotations

import asyncio
import copy
import os
import warnings
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import aiohttp
import anyio
import anyio.to_thread
import msgspec
import yarl
from aiohttp.abc import AbstractStreamWriter
from gcloud.aio.auth import Token
from gcloud.aio.storage import Storage

from aioartifacts.errors import ArtifactError, StoreError, TransientStoreError
from aioartifacts.objects.gcs.auth import Tokens, tokens
from aioartifacts.objects.gcs.failures import refusal, scrub
from aioartifacts.objects.gcs.settings import Settings
from aioartifacts.types import KIB, MIB

T = TypeVar("T")
Reader = Callable[[aiohttp.ClientResponse], Awaitable[T | ArtifactError]]

PIECE = MIB
"""Bytes handed to the socket at a time: large enough to be fast, small enough that copying what it does not take is not felt."""
AT_ONCE = 32 * KIB
"""Bytes of body that aiohttp hands to the socket without waiting for anything."""
BUFFER = 4 * MIB
"""Bytes read ahead for a large download."""
GRACE = 10.0
"""Seconds that a cancelled call waits for the answer to a commit it has sent already."""
ERROR_MAX = 16 * KIB


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Request(msgspec.Struct, frozen=True):
    """What is asked. Built anew for each attempt; nothing in it is shared or changed."""

    method: str
    url: str
    """Not shown: that of an upload session is a secret."""
    operation: str
    key: str | None
    headers: dict[str, str] = {}
    body: Sequence[memoryview] | None = None
    accept: frozenset[int] = frozenset({200})
    raw: bool = False
    """Leave the answer's body as it is stored: without it, aiohttp unpacks gzip."""
    expect: int = 0
    """Bytes of answer expected."""
    patience: float = 1.0
    """How many times longer than usual the answer may take."""
    creating: bool = False
    """Whether a failed precondition means that the object exists."""

    def __repr__(self) -> str:
        return f"Request({self.method!r}, operation={self.operation!r}, key={self.key!r})"


class Client:
    """One session, on one event loop, in one process."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession, source: Tokens) -> None:
        self.settings = settings
        self._session = session
        # No __del__: this may be in a cycle, where aiohttp's might come first and complain of what the caller has never seen.
        self._finalizer = weakref.finalize(
            self, _complain, session, asyncio.get_running_loop(), os.getpid(), settings.endpoint
        )
        self._tokens = source
        # All arguments are given, so that it looks up no credentials and heeds no STORAGE_EMULATOR_HOST; the session is ours, so that
        # its verify_ssl, which follows that variable, applies to nothing. The token it would use is never asked for.
        self._storage = Storage(
            session=cast(Any, session), token=cast(Token, source), api_root=settings.endpoint, api_is_dev=False
        )
        self._ours = f"{settings.endpoint}/"
        self._origin = yarl.URL(settings.endpoint).origin()
        self._timeout = _timeout(settings, 1.0)

    @classmethod
    async def open(cls, settings: Settings) -> Client:
        """Open a session on the running loop.

        Raises:
            InvalidConfigError: the credentials file is missing or is none.
        """
        connector = aiohttp.TCPConnector(limit=settings.connections, ttl_dns_cache=300, keepalive_timeout=30)
        session = aiohttp.ClientSession(
            connector=connector, headers={"User-Agent": "aioartifacts"}, cookie_jar=aiohttp.DummyCookieJar()
        )
        try:
            source = await anyio.to_thread.run_sync(tokens, settings.credentials, session)
            return cls(settings, session, source)
        except BaseException:
            await session.close()
            raise

    async def aclose(self) -> None:
        try:
            await self._tokens.aclose()
        finally:
            try:
                await self._session.close()
            finally:
                if self._session.closed:  # at once; what it then waits for is the other side
                    self._finalizer.detach()

    async def call(self, request: Request) -> Answer:
        """Send a request once, and read the answer whole.

        Raises:
            TransientStoreError: the network failed, or the service is busy.
            ArtifactError: the status is not among ``request.accept``; see `failures.refusal`.
        """
        return await self.stream(request, _read_whole)

    async def stream(self, request: Request, read: Reader[T]) -> T:
        """Like `call`, the answer being read by *read*."""
        outcome = await self._attempt(request, _payload(request, self.settings.sock_read), read)
        return _value(outcome)

    async def commit(self, request: Request, undo: Callable[[Answer], Coroutine[Any, Any, object]] | None = None) -> Answer:
        """Like `call`, for a request that leaves something in the service.

        When the caller is cancelled after the last byte was sent, the answer is waited for, and *undo* called with it, before the
        cancellation goes on: nothing happens in the service after the call has returned. When it is cancelled before that, the service
        never gets the request whole.
        """
        payload = _payload(request, self.settings.sock_read)
        task = asyncio.create_task(self._attempt(request, payload, _read_whole))
        try:
            await _ended(task)
            return _value(task.result())
        except asyncio.CancelledError:
            if payload is None or not payload.stop():
                await _wait(task, GRACE)
            if not task.done():
                task.cancel()
                await _wait(task, GRACE)
            if undo is not None and not task.cancelled() and isinstance(answer := task.result(), Answer):
                await finish(undo(answer))
            raise

    async def _attempt(self, request: Request, payload: Payload | None, read: Reader[T]) -> T | ArtifactError:
        # Errors are returned from here, not raised: neither this frame, which knows the token, nor aiohttp's exception, whose repr
        # shows it, may hang on to what the caller gets.
        token: str | None = None
        url = yarl.URL(request.url, encoded=True)
        if request.url.startswith(self._ours) or url.origin() == self._origin:
            got = await self._tokens.get()
            if isinstance(got, ArtifactError):
                # One renewal fails many requests at once; each gets an error of its own.
                failure = copy.copy(got)
                failure.path, failure.operation = request.key, request.operation
                return failure
            token = got
        headers = dict(request.headers)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if payload is None and request.method in ("POST", "PUT"):
            headers["Content-Length"] = "0"
        try:
            response = await self._storage.session.request(
                request.method,
                cast(str, url),  # aiohttp would quote a str again
                headers,
                auto_raise_for_status=False,
                data=payload,
                timeout=self._timeout if request.patience == 1.0 else _timeout(self.settings, request.patience),
                allow_redirects=False,
                auto_decompress=not request.raw,
                read_bufsize=max(64 * KIB, min(BUFFER, request.expect)),
            )
            async with response:
                if response.status in request.accept:
                    return await read(response)
                said = await _read_beginning(response)
        except (aiohttp.ClientError, OSError) as error:
            return _transport_failure(error, request, token)
        except RuntimeError:
            if not self._session.closed:
                raise
            return StoreError(
                f"{request.operation} of {request.key!r}: the store was closed meanwhile",
                path=request.key,
                operation=request.operation,
            )
        place = f"gs://{self.settings.bucket}"
        if response.status == 401 and token is not None and self._tokens.reject(token):
            return TransientStoreError(
                f"{request.operation} of {request.key!r} in {place}: Cloud Storage no longer accepts the access token; "
                "trying again gets a new one",
                path=request.key,
                operation=request.operation,
            )
        return refusal(
            response.status,
            response.headers,
            said,
            operation=request.operation,
            key=request.key,
            place=place,
            creating=request.creating,
            secrets=(token,),
        )


class Payload(aiohttp.Payload):
    """Buffers sent one after the other without a copy, each piece within the time allowed.

    aiohttp's own read timeout starts after the last byte was sent; a service that stops reading would hold it for ever.
    """

    _autoclose = True

    def __init__(self, buffers: Sequence[memoryview], stall: float) -> None:
        super().__init__(buffers, content_type="application/octet-stream")
        self._buffers = buffers
        self._size = sum([buffer.nbytes for buffer in buffers])
        self._at_once = self._size <= AT_ONCE
        self._stall = stall
        self._sent = False
        self._stopped = False

    def stop(self) -> bool:
        """Send nothing more. Answers False when everything was sent already."""
        self._stopped = not self._sent
        return self._stopped

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        if self._consumed:
            # aiohttp sends idempotent requests again on its own when a kept connection was dropped; retrying is not its business.
            raise ConnectionResetError("the connection was lost while the request was sent")
        self._consumed = True
        if self._at_once and not self._stopped:
            for buffer in self._buffers:
                await writer.write(buffer)
            self._sent = True
            return
        for buffer in self._buffers:
            for start in range(0, buffer.nbytes, PIECE):
                if self._stopped:
                    # Cancelling a request does not keep aiohttp's writer from running once more, and small ones are whole by then.
                    raise ConnectionResetError("the call was cancelled")
                async with asyncio.timeout(self._stall):
                    await writer.write(buffer[start : start + PIECE])
        self._sent = True

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("a body is sent as it is")


_CLOSING: set[asyncio.Task[None]] = set()


def _complain(session: aiohttp.ClientSession, loop: asyncio.AbstractEventLoop, pid: int, endpoint: str) -> None:
    """Say that a client was never closed, and close it as far as that can be done now."""
    if session.closed or os.getpid() != pid:
        return
    if loop.is_closed():
        connector = session.connector
        session.detach()
        if connector is not None:
            for _ in connector.close().__await__():
                break  # nothing is waited for on a closed loop
    elif loop.is_running():
        with suppress(RuntimeError):  # it has just been closed
            loop.call_soon_threadsafe(lambda: _keep(loop.create_task(session.close())))
    warnings.warn(
        f"connections to {endpoint} were never closed: use the store with 'async with', or await its aclose()",
        ResourceWarning,
        stacklevel=2,
    )


def _keep(task: asyncio.Task[None]) -> None:
    """Hold on to a task until it has ended; its loop does not."""
    _CLOSING.add(task)
    task.add_done_callback(_CLOSING.discard)


def _timeout(settings: Settings, patience: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(
        total=None, sock_connect=settings.sock_connect, sock_read=settings.sock_read * patience
    )


def _payload(request: Request, stall: float) -> Payload | None:
    return None if request.body is None else Payload(request.body, stall)


def _value(outcome: T | ArtifactError) -> T:
    if isinstance(outcome, ArtifactError):
        raise outcome
    return outcome


async def _read_whole(response: aiohttp.ClientResponse) -> Answer | ArtifactError:
    return Answer(response.status, response.headers, await response.read())


async def _read_beginning(response: aiohttp.ClientResponse) -> bytes:
    """An error's body up to `ERROR_MAX`; a single read would give what has arrived so far, and a message cut in two is not understood."""
    said = bytearray()
    while len(said) < ERROR_MAX and (piece := await response.content.read(ERROR_MAX - len(said))):
        said += piece
    return bytes(said)


async def finish(work: Coroutine[Any, Any, object]) -> None:
    """Await *work*, which cleans up, to its end in spite of cancellations; but not for long, and its failures are not raised."""
    task = asyncio.create_task(work)
    cancelled = await _wait(task, GRACE)
    if not task.done():
        task.cancel()
        cancelled = await _wait(task, GRACE) or cancelled
    if not task.cancelled():
        task.exception()
    if cancelled:
        raise asyncio.CancelledError


async def _ended(task: asyncio.Task[Any]) -> None:
    """Wait until *task* has ended; a cancellation of the waiting does not reach it."""
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(_: object) -> None:
        if not ended.done():
            ended.set_result(None)

    task.add_done_callback(end)
    await ended


async def _wait(task: asyncio.Task[Any], seconds: float) -> bool:
    """Wait for *task* in spite of cancellations; answers whether there were any. The shield keeps anyio from repeating one for ever."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    cancelled = False
    with anyio.CancelScope(shield=True):
        while not task.done() and (left := until - loop.time()) > 0:
            try:
                await asyncio.wait([task], timeout=left)
            except asyncio.CancelledError:
                cancelled = True
    return cancelled


def _transport_failure(error: aiohttp.ClientError | OSError, request: Request, token: str | None) -> ArtifactError:
    what = f"{request.operation} of {request.key!r}" if request.key is not None else request.operation
    detail = scrub(str(error), (token, request.url))[:200]
    shown = f"{type(error).__name__}: {detail}" if detail else type(error).__name__
    if isinstance(error, aiohttp.ClientSSLError | aiohttp.InvalidURL):
        return StoreError(
            f"{what}: no trusted connection to Cloud Storage ({shown}); check endpoint= and the machine's certificates",
            path=request.key,
            operation=request.operation,
        )
    return TransientStoreError(
        f"{what}: the connection to Cloud Storage failed ({shown}); trying again may help",
        path=request.key,
        operation=request.operation,
    )
