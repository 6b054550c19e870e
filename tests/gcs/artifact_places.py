"""Artifact stores on a server in this process, objects of every size, and what is left in the bucket."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Any

from store_places import AT_ONCE, BUCKET, CHUNK, stored

from aioartifacts import ArtifactStore, GCSArtifactStore
from aioartifacts.objects.gcs import GCSObjectStore
from aioartifacts.record import decode_record
from aioartifacts.types import KIB

SMALL = {"accuracy": 0.93, "labels": ("a", "b")}
PART = b"0123456789abcdef" * (4 * KIB)
"""64 KiB: too much for a record, one request."""
CHUNKS = bytes(range(251)) * 2600
"""650 kB: three chunks of a resumable upload."""


class Thing:
    """Nothing but a pickle holds it."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Thing) and other.data == self.data

    __hash__ = None  # type: ignore[assignment]


def artifacts(server, prefix="", **options: Any) -> ArtifactStore:
    """A store whose chunks are of 256 KiB; *options* are those of either store."""
    below = {"credentials": "anonymous", "chunk_size": CHUNK, "retry": options.get("retry", AT_ONCE)}
    for name in ("chunk_size", "parallel", "parallel_from", "sock_read", "connections"):
        if name in options:
            below[name] = options.pop(name)
    options = {"trust": "all", "retry": AT_ONCE} | options
    return ArtifactStore(GCSObjectStore(BUCKET, prefix, endpoint=server.url, **below), name="gcs", **options)


def as_users_have_it(server, **options: Any) -> GCSArtifactStore:
    return GCSArtifactStore(bucket_name=BUCKET, endpoint=server.url, credentials="anonymous", **options)


@asynccontextmanager
async def opened(server, **options: Any):
    async with artifacts(server, **options) as store:
        yield store


def names(server) -> set[str]:
    return set(server.state.bucket(BUCKET).objects)


def records(server) -> dict[str, Any]:
    """The record of every artifact, by path."""
    found = {}
    for name in names(server):
        path, _, last = name.rpartition("/")
        if last == "metadata.json":
            found[path] = decode_record(stored(server, name), path).record
    return found


def orphans(server) -> set[str]:
    """Objects that are neither records nor named by one; every part that a record names must be there."""
    found = names(server)
    for path, record in records(server).items():
        named = {f"{path}/{part.file}" for part in record.parts if part.file}
        assert named <= found, f"{path} has lost parts: {named - found}"
        found = found - named - {f"{path}/metadata.json"}
    return found


def write(server, name: str, data: bytes) -> None:
    """Put an object into the bucket behind everybody's back."""
    from aioartifacts.testing.gcs_server.state import Description, Preconditions

    content = server.state.rope()
    content.append(data)
    server.state.commit(BUCKET, name, content, Description(), Preconditions())
