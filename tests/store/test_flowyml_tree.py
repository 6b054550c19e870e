"""A tree that FlowyML wrote, through every kind of store; `tests/legacy` tests what is special to reading it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from opened import BIG, everything, keys, over, write

import aioartifacts.sync
from aioartifacts import (
    ConflictError,
    IntegrityError,
    LocalArtifactStore,
    RecordError,
    StoreError,
    UntrustedArtifactError,
)
from aioartifacts.testing import Fault, FaultyObjectStore

pytestmark = pytest.mark.asyncio

FIXTURES = Path(__file__).parent.parent / "fixtures" / "flowyml"
PREP = "churn/2026-11-20/run-1/data/prep"


@pytest.fixture
def objects(objects):
    """The same tree in every kind of store."""
    for path in (FIXTURES / "store").rglob("*"):
        if path.is_file():
            write(objects, path.relative_to(FIXTURES / "store").as_posix(), path.read_bytes())
    return objects


async def test_everything_is_loaded(store):
    assert await store.load("experiments/first") == {"a": (1, 2)}
    assert await store.load("experiments/model.pkl") == [1, 2, 3]
    assert await store.load(f"{PREP}/metrics") == {"accuracy": 0.93, "labels": ("a", "b")}
    assert (await store.load(f"{PREP}/frame"))["n"].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(await store.load(f"{PREP}/array_nan"), [1.0, np.nan])


async def test_reading_changes_nothing(store, objects):
    before = everything(objects)
    for path in await store.list_artifacts():
        await store.load(path)
        await store.info(path)
        await store.size(path)
    await store.load("experiments/first")
    assert everything(objects) == before


async def test_location_is_accepted(store):
    location = (await store.info(f"{PREP}/text")).location
    assert await store.load(location) == "plain"


@pytest.mark.parametrize("path", ["experiments/first", f"{PREP}/metrics", f"{PREP}/estimator"])
async def test_pickles_are_under_the_rule_of_trust(opened, path):
    with pytest.raises(UntrustedArtifactError, match="trust="):
        await opened(trust="data").load(path)


async def test_bare_pickles_are_found_by_name_but_not_listed(store):
    """Telling them from any other file would mean to open every file of the tree."""
    assert await store.exists("experiments/first")
    assert await store.size("experiments/first") > 0
    assert await store.get_metadata("experiments/first") == json.loads((FIXTURES / "store/experiments/first.meta.json").read_text())
    assert await store.list_artifacts("experiments") == []
    assert [info async for info in store.iter_artifacts("experiments")] == []


async def test_metadata_of_a_folder_is_empty(store):
    assert await store.get_metadata(f"{PREP}/metrics") == {}


async def test_deleting_a_bare_pickle_leaves_its_neighbours(store, objects):
    before = set(keys(objects))
    assert await store.delete("experiments/first") is True
    assert set(keys(objects)) == before - {"experiments/first"}
    assert await store.delete("experiments/first") is False


async def test_deleting_a_folder_removes_what_it_describes(store, objects):
    before = set(keys(objects))
    assert await store.delete(f"{PREP}/metrics") is True
    assert set(keys(objects)) == before - {f"{PREP}/metrics/data.pkl", f"{PREP}/metrics/metadata.json"}


async def test_deleting_a_folder_whose_payload_is_gone(store, objects):
    objects.delete(f"{PREP}/metrics/data.pkl")
    with pytest.raises(IntegrityError, match=r"data\.pkl"):
        await store.load(f"{PREP}/metrics")
    assert await store.delete(f"{PREP}/metrics") is True
    assert not await store.exists(f"{PREP}/metrics")


async def test_saving_over_a_folder_removes_what_it_described(store, objects):
    before = set(keys(objects))
    await store.save({"accuracy": 1.0}, f"{PREP}/metrics")
    assert await store.load(f"{PREP}/metrics") == {"accuracy": 1.0}
    assert set(keys(objects)) == before - {f"{PREP}/metrics/data.pkl"}


async def test_saving_over_a_bare_pickle_on_disk_is_refused(root):
    shutil.copytree(FIXTURES / "store", root)
    store = LocalArtifactStore(root, durability="process")
    with pytest.raises(StoreError, match="move it out of the way"):
        await store.save(BIG, "experiments/first")
    assert await LocalArtifactStore(root, trust="all").load("experiments/first") == {"a": (1, 2)}


async def test_folder_replaced_while_it_is_deleted(kind, objects):
    faulty = FaultyObjectStore(objects, Fault("delete", lambda: ConflictError("changed"), key="*/metrics/metadata.json"))
    store = over(kind, faulty, retry=aioartifacts.RetryPolicy(base=0))
    assert await store.delete(f"{PREP}/metrics") is True
    assert faulty.fired
    assert not await store.exists(f"{PREP}/metrics")


async def test_tree_is_deleted(store, objects):
    count = len(await store.list_artifacts("churn"))
    assert await store.delete_tree("churn") == count > 5
    assert await store.list_artifacts("churn") == []
    assert await store.exists("experiments/first")


async def test_foreign_document_is_neither_read_nor_removed(store, objects):
    write(objects, "theirs/metadata.json", b'{"name": "something else"}')
    before = everything(objects)
    for call in (store.load, store.info, store.delete, store.size):
        with pytest.raises(RecordError, match="neither aioartifacts nor FlowyML"):
            await call("theirs")
    assert everything(objects) == before


async def test_new_artifacts_live_beside_the_old_ones(store):
    location = await store.materialize(BIG, "new", "run-1", "prep", "churn")
    assert await store.load(location) == BIG
    assert len(await store.list_artifacts("churn")) > 5
    assert await store.load("versions/m-1.1") == {"version": 1}
