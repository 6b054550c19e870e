"""The server: which API a request belongs to, and its way through faults, authentication and the log."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self
from weakref import WeakKeyDictionary

from aiohttp import web

from .batch import handle_batch
from .control import Control
from .download import download
from .exchange import CLOSE, Connection, Dropped, Exchange, Interrupted
from .faults import Fault, Faults
from .journal import Journal
from .json_api import JsonApi
from .stalls import Stalls
from .state import Preconditions, State
from .tokens import Tokens
from .uploads import Uploads
from .wire import Answer, ApiError, Call, decode_name, no_such_route, parse_number
from .xml_api import XmlApi

_READ_BUFFER = 512 * 1024
_SHUTDOWN = 2.0


class GCSServer:
    """Google Cloud Storage's protocol on 127.0.0.1, with everything in memory.

    It follows the public documentation of the JSON and XML APIs, not any one client: Google's own client, gcsfs and
    obstore pass the same tests on it. There is no versioning, access control, encryption or retention.

    *buckets* exist from the start. *require_token* refuses what carries no bearer token from ``/token``. *md5* off
    leaves out MD5 digests, for speed. *latency_ms* delays every request, *bandwidth* limits the bytes per second of
    each connection, both ways. *port* 0 takes a free one.

        async with GCSServer(buckets=("b",)) as server:
            ...  # server.url
    """

    def __init__(
        self,
        *,
        buckets: tuple[str, ...] = (),
        port: int = 0,
        require_token: bool = False,
        md5: bool = True,
        latency_ms: float = 0.0,
        bandwidth: int | None = None,
    ) -> None:
        self.state = State(md5=md5)
        self.faults = Faults()
        self.journal = Journal()
        self.tokens = Tokens()
        self.url = ""
        self._port = port
        self._require_token = require_token
        self.stalls = Stalls()
        self.control = Control(self.state, self.faults, self.journal, self.tokens, self.stalls, buckets=buckets)
        self._standing = Faults()
        if latency_ms:
            self._standing.add(Fault(action="latency", latency_ms=latency_ms))
        if bandwidth is not None:
            self._standing.add(Fault(action="bandwidth", rate=bandwidth))
        self._has_standing = bool(latency_ms) or bandwidth is not None
        self._json = JsonApi(self.state)
        self._uploads = Uploads(self.state)
        self._xml = XmlApi(self.state)
        self._connections: WeakKeyDictionary[Any, Connection] = WeakKeyDictionary()
        self._runner: web.ServerRunner | None = None

    async def start(self) -> None:
        # Bodies stay as they were sent: a gzip encoding belongs to the object.
        server = web.Server(
            self._handle,
            access_log=None,
            auto_decompress=False,
            read_bufsize=_READ_BUFFER,
            max_line_size=64 * 1024,
            max_field_size=64 * 1024,
        )
        runner = self._runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self._port, backlog=1024)
        await site.start()
        port = runner.addresses[0][1]
        self.url = self.state.base_url = f"http://127.0.0.1:{port}"
        self.control.reset()

    async def stop(self) -> None:
        self.control.release()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    def add_fault(self, fault: Fault) -> int:
        """Install a fault, and make stalls hold again after a release."""
        self.stalls.arm()
        return self.faults.add(fault)

    def _connection(self, request: web.BaseRequest) -> Connection:
        connection = self._connections.get(request.transport)
        if connection is None:
            connection = Connection()
            if request.transport is not None:
                self._connections[request.transport] = connection
        return connection

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        exchange = Exchange(request, self._connection(request), self.stalls)
        if exchange.path.startswith("/_control/"):
            return await self._handle_control(exchange)
        entry = self.journal.begin(exchange)
        try:
            exchange.plan = self.faults.plan(exchange.method, exchange.decoded_path, exchange.query_text)
            if self._has_standing:
                standing = self._standing.plan(exchange.method, exchange.path, exchange.query_text)
                exchange.plan = exchange.plan.joined(standing)
            if exchange.plan.fault is not None:
                entry.action = exchange.plan.fault.action
            answer = await self._answer_or_fail(exchange)
            entry.status = answer.status
            sent = await exchange.send(answer)
            entry.visible = sent is not CLOSE or not request.keep_alive
            return sent
        except Dropped:
            exchange.abort()
            return CLOSE
        except (ConnectionError, web.RequestPayloadError):
            return CLOSE
        finally:
            self.journal.end(entry, exchange)

    async def _handle_control(self, exchange: Exchange) -> web.StreamResponse:
        segments = exchange.path.split("/")[2:]
        try:
            answer = await self.control.handle(await self._call(exchange, segments))
        except ApiError as error:
            answer = error.as_json()
        return await exchange.send(answer)

    async def _answer_or_fail(self, exchange: Exchange) -> Answer:
        """The answer, or what a fault puts in its place. Raises Dropped."""
        try:
            await exchange.start()
            answer = await self._answer(exchange)
        except Interrupted as interrupted:
            if interrupted.fault.action == "drop":
                raise Dropped from None
            await exchange.drain()
            return _failure(interrupted.fault)
        fault = exchange.plan.fault
        if fault is None or fault.when != "applied":
            return answer
        if fault.action == "drop":
            raise Dropped
        if fault.action == "status":
            return _failure(fault)
        if fault.action == "stall":
            await exchange.stall(fault)
        return answer

    async def _answer(self, exchange: Exchange) -> Answer:
        """The answer without faults. An error is answered in the words of the API that was called."""
        path = exchange.path
        is_json = path.startswith(("/storage/v1/", "/upload/", "/resumable/", "/batch"))
        is_media = path.startswith("/download/")
        try:
            try:
                if path in ("/token", "/oauth2/v4/token") and exchange.method == "POST":
                    return self.tokens.grant(await exchange.read())
                # A resumable session's address is its own authorization.
                if self._require_token and "upload_id=" not in exchange.query_text:
                    self.tokens.check(exchange.headers.get("Authorization"))
                if is_json:
                    return await self._answer_json(exchange)
                if is_media:
                    return self._answer_media(exchange, path.removeprefix("/download"))
                return await self._answer_xml(exchange)
            except ApiError:
                await exchange.drain()
                raise
        except ApiError as error:
            if is_json:
                return error.as_text() if "alt=media" in exchange.query_text else error.as_json()
            return error.as_text() if is_media else error.as_xml()

    async def _answer_json(self, exchange: Exchange) -> Answer:
        path = exchange.path
        if path.startswith("/storage/v1/"):
            if exchange.method == "GET" and exchange.query.get("alt") == "media":
                return self._answer_media(exchange, path)
            call = await self._call(exchange, path.split("/")[3:])
            await exchange.commit()
            return self._json.handle(call)
        if path.startswith("/batch"):
            call = await self._call(exchange, [])
            await exchange.commit()
            return handle_batch(call, self._json.handle)
        match path.removeprefix("/resumable").split("/"):
            case ["", "upload", "storage", "v1", "b", bucket, "o"]:
                return await self._uploads.handle(exchange, decode_name(bucket))
        raise no_such_route(path)

    def _answer_media(self, exchange: Exchange, path: str) -> Answer:
        match path.split("/"):
            case ["", "storage", "v1", "b", bucket, "o", name] if exchange.method in ("GET", "HEAD"):
                query = exchange.query
                generation = parse_number("generation", query.get("generation"))
                conditions = Preconditions.from_query(query)
                bucket, name = decode_name(bucket), decode_name(name)
                return download(self.state, bucket, name, generation, conditions, exchange.headers, xml=False)
        raise no_such_route(path)

    async def _answer_xml(self, exchange: Exchange) -> Answer:
        raw_bucket, _, raw_name = exchange.path.removeprefix("/").partition("/")
        bucket, name = decode_name(raw_bucket), decode_name(raw_name)
        if not bucket:
            raise no_such_route(exchange.path)
        if name and exchange.method in ("GET", "HEAD") and "uploadId=" not in exchange.query_text:
            generation = parse_number("generation", exchange.query.get("generation"))
            conditions = Preconditions.from_headers(exchange.headers)
            return download(self.state, bucket, name, generation, conditions, exchange.headers, xml=True)
        return await self._xml.handle(exchange, bucket, name)

    async def _call(self, exchange: Exchange, segments: list[str]) -> Call:
        body = await exchange.read()
        return Call(exchange.method, segments, exchange.query, exchange.headers, body, self.url)


def _failure(fault: Fault) -> Answer:
    headers = list((fault.headers or {}).items())
    return ApiError(fault.status, fault.message, reason="backendError", headers=headers).as_json()
