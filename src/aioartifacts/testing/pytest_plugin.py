"""pytest fixtures: a Google Cloud Storage server for the tests that need one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aioartifacts.testing.gcs_server import GCSServerProcess

BUCKET = "test-bucket"


@pytest.fixture(scope="session")
def gcs_server_process() -> Iterator[GCSServerProcess]:
    """One server process for the whole session. Tests use ``gcs_server``."""
    with GCSServerProcess("--bucket", BUCKET) as server:
        yield server


@pytest.fixture
def gcs_server(gcs_server_process: GCSServerProcess) -> Iterator[GCSServerProcess]:
    """A server with one empty bucket, ``test-bucket``, and nothing left over from another test."""
    gcs_server_process.reset()
    yield gcs_server_process
    gcs_server_process.clear_faults()
    gcs_server_process.release()
