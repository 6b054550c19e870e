from collections.abc import AsyncIterator

import plain_http
import pytest_asyncio

from aioartifacts.testing.pytest_plugin import gcs_server, gcs_server_process

__all__ = ["client", "gcs_server", "gcs_server_process"]


@pytest_asyncio.fixture
async def client() -> AsyncIterator[plain_http.Client]:
    async with plain_http.serving() as found:
        yield found
