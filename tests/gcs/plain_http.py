"""Plain requests to the storage server, with nothing between a test and the protocol."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from aioartifacts.testing.gcs_server import GCSServer

BUCKET = "bkt"
MIB = 1024 * 1024
CHUNK = 256 * 1024


@dataclass(frozen=True)
class Reply:
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        """The JSON API's word for an error."""
        reason: str = self.json()["error"]["errors"][0]["reason"]
        return reason


class Client:
    def __init__(self, server: GCSServer, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session

    async def send(self, method: str, target: str, body: Any = b"", **headers: str) -> Reply:
        """*target* is sent as it is; underscores in header names become hyphens."""
        url = URL(target if target.startswith("http") else self.server.url + target, encoded=True)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, bytes) and len(body) > MIB:
            body = io.BytesIO(body)  # what aiohttp asks for
        async with self.session.request(method, url, data=body, headers=named, allow_redirects=False) as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    async def put(self, name: str, body: bytes, query: str = "", **headers: str) -> Reply:
        target = f"/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={quote(name, safe='')}{query}"
        return await self.send("POST", target, body, **headers)

    async def read(self, name: str, query: str = "", **headers: str) -> Reply:
        return await self.send("GET", f"{object_path(name)}?alt=media{query}", **headers)

    async def stat(self, name: str, query: str = "") -> Reply:
        return await self.send("GET", f"{object_path(name)}?{query}")

    async def begin(self, name: str, resource: dict[str, Any] | None = None, query: str = "", **headers: str) -> str:
        """Open a resumable upload; returns its address."""
        target = f"/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable&name={quote(name, safe='')}{query}"
        reply = await self.send("POST", target, json.dumps(resource or {}).encode(), **headers)
        assert reply.status == 200, reply
        return reply.headers["Location"]

    async def chunk(self, location: str, body: bytes, content_range: str, **headers: str) -> Reply:
        return await self.send("PUT", location, body, Content_Range=content_range, **headers)


def object_path(name: str) -> str:
    return f"/storage/v1/b/{BUCKET}/o/{quote(name, safe='')}"


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Client]:
    """A server in this loop, and a client that neither follows redirects nor decompresses."""
    async with (
        GCSServer(buckets=(BUCKET,), **options) as server,
        aiohttp.ClientSession(auto_decompress=False, headers={"Accept-Encoding": "identity"}) as session,
    ):
        yield Client(server, session)
