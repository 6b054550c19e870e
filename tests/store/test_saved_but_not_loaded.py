"""Saving is never refused; but a store that will not load what it has just saved says so, once for each format."""

from __future__ import annotations

import pytest

from aioartifacts import ArtifactStore, LocalArtifactStore, MemoryArtifactStore, UntrustedArtifactError
from aioartifacts.objects.memory import MemoryObjectStore
from aioartifacts.testing import AsyncObjectStoreAdapter

pytestmark = pytest.mark.asyncio

KEY = b"k" * 32


class Stranger:
    pass


def bucket(**options):
    return ArtifactStore(AsyncObjectStoreAdapter(MemoryObjectStore("m")), **options)


@pytest.mark.parametrize(
    "opened", [bucket, lambda: bucket(trust="data"), lambda: MemoryArtifactStore(trust="data")], ids=["bucket", "data", "memory"]
)
async def test_a_format_that_the_store_will_not_load_is_told_once(opened, caplog):
    async with opened() as store:
        for path in ("a", "b"):
            await store.save(Stranger(), path)
        with pytest.raises(UntrustedArtifactError):
            await store.load("a")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.messages[0].startswith("'a' is saved as 'pickle', which this store will not load, as decoding it can run code: ")


async def test_each_store_tells(caplog):
    for _ in range(2):
        async with bucket() as store:
            await store.save_many({"a": Stranger()})
    assert len(caplog.messages) == 2


@pytest.mark.parametrize(
    "opened",
    [
        lambda root: bucket(trust="all"),
        lambda root: bucket(signing_key=KEY),
        lambda root: MemoryArtifactStore(),
        lambda root: LocalArtifactStore(root),
    ],
    ids=["all", "signed", "memory", "folder"],
)
async def test_nothing_is_told_where_it_is_loaded(opened, root, caplog):
    async with opened(root) as store:
        await store.save(Stranger(), "a")
        await store.load("a")
    assert not caplog.records


async def test_nothing_is_told_of_data(caplog):
    async with bucket() as store:
        await store.save({"a": 1}, "a")
    assert not caplog.records


async def test_nothing_is_told_of_a_format_that_was_asked_for(caplog):
    async with bucket() as store:
        await store.save({"a": 1}, "a", format="pickle")
    assert not caplog.records


async def test_nobody_asks_whose_a_folder_is(root, caplog):
    root.mkdir()
    root.chmod(0o777)
    async with LocalArtifactStore(root, durability="process") as store:
        await store.save(Stranger(), "a")
    assert not caplog.records
