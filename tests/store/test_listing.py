"""Listing: by whole segments, sorted, without what is no artifact; and removing trees."""

from __future__ import annotations

import pytest
from opened import BIG, everything, keys, over, read, write

from aioartifacts import (
    ArtifactNotFoundError,
    ConflictError,
    InvalidPathError,
    LocalArtifactStore,
    RecordError,
    StoreError,
)
from aioartifacts.testing import Fault, FaultyObjectStore

pytestmark = pytest.mark.asyncio

PATHS = ["a", "a/b", "a/b/c", "ab", "a b", "a-b/c", "z/ö", "A"]




async def test_all_paths_sorted(store):
    await store.save_many(dict.fromkeys(PATHS, BIG))
    assert await store.list_artifacts() == sorted(PATHS)


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("", sorted(PATHS)),
        ("a", ["a", "a/b", "a/b/c"]),
        ("a/b", ["a/b", "a/b/c"]),
        ("a/b/c", ["a/b/c"]),
        ("a b", ["a b"]),
        ("z", ["z/ö"]),
        ("z/ö", ["z/ö"]),
        ("missing", []),
        ("a/missing", []),
        ("a/b/c/d", []),
    ],
)
async def test_prefix_is_whole_segments(store, prefix, expected):
    await store.save_many(dict.fromkeys(PATHS, 1))
    assert await store.list_artifacts(prefix) == expected
    assert sorted([info.path async for info in store.iter_artifacts(prefix)]) == expected


async def test_empty_store_lists_nothing(store):
    assert await store.list_artifacts() == []
    assert [info async for info in store.iter_artifacts()] == []


async def test_parts_and_strangers_are_not_listed(store, objects):
    await store.save({"a": BIG}, "a", format="pickle")
    write(objects, "README.md", b"hello")
    write(objects, "b/notes.txt", b"hello")
    assert await store.list_artifacts() == ["a"]


async def test_record_under_an_illegal_path_is_not_listed(store, objects):
    await store.save(1, "a")
    write(objects, "con/metadata.json", read(objects, "a/metadata.json"))
    write(objects, "metadata.json", read(objects, "a/metadata.json"))
    assert await store.list_artifacts() == ["a"]
    assert [info.path async for info in store.iter_artifacts()] == ["a"]


async def test_deleted_ones_are_not_listed(store):
    await store.save_many({"a": 1, "b": BIG})
    await store.delete_many(["a", "b"])
    assert await store.list_artifacts() == []


async def test_location_of_the_store_lists_everything(root):
    store = LocalArtifactStore(root, durability="process")
    await store.save(1, "a")
    assert await store.list_artifacts(str(root)) == await store.list_artifacts(root.as_uri()) == ["a"]


@pytest.mark.parametrize("prefix", ["../x", "/etc", "a//b", "a/", None, b"a", "a\0"])
async def test_illegal_prefix_is_refused(store, prefix):
    with pytest.raises(InvalidPathError):
        await store.list_artifacts(prefix)
    with pytest.raises(InvalidPathError):
        [info async for info in store.iter_artifacts(prefix)]


async def test_iteration_tells_what_info_tells(store):
    await store.save_many({"a": 1, "b/c": BIG})
    await store.save("x", "d", {"k": "v"})
    assert {info.path: info async for info in store.iter_artifacts()} == {
        path: await store.info(path) for path in ("a", "b/c", "d")
    }


async def test_iteration_over_more_than_a_page(store):
    paths = {f"n/{i}": i for i in range(1100)}
    await store.save_many(paths)
    assert {info.path async for info in store.iter_artifacts("n")} == paths.keys()


async def test_iteration_may_be_abandoned(store):
    await store.save_many({f"n/{i}": i for i in range(20)})
    infos = store.iter_artifacts()
    assert (await anext(infos)).path.startswith("n/")
    await infos.aclose()
    assert len(await store.list_artifacts()) == 20


async def test_what_vanishes_during_iteration_is_left_out(kind, objects):
    await over(kind, objects).save_many({"a": 1, "b": 2})
    gone = Fault("get", lambda: ArtifactNotFoundError("gone"), key="b/metadata.json")
    faulty = FaultyObjectStore(objects, gone, Fault("head", lambda: ArtifactNotFoundError("gone"), key="b"))
    assert [info.path async for info in over(kind, faulty).iter_artifacts()] == ["a"]
    assert faulty.fired


async def test_damaged_record_is_told_by_iteration(store, objects):
    await store.save(1, "a")
    write(objects, "a/metadata.json", read(objects, "a/metadata.json")[:-1])
    assert await store.list_artifacts() == ["a"]
    with pytest.raises(RecordError) as caught:
        [info async for info in store.iter_artifacts()]
    assert (caught.value.path, caught.value.operation) == ("a", "iter_artifacts")


STRANGE = [b'{"name":"mine"}', b"not json", b"[1]", b"\xff\xfe", b"name: mine\n"]
"""What others may call metadata.json."""


@pytest.mark.parametrize("data", STRANGE)
async def test_strangers_are_left_out_of_iteration(store, objects, data):
    await store.save(1, "a")
    write(objects, "b/metadata.json", data)
    assert [info.path async for info in store.iter_artifacts()] == ["a"]
    assert await store.list_artifacts() == ["a", "b"], "which reads nothing"


@pytest.mark.parametrize("data", STRANGE)
async def test_strangers_are_neither_deleted_nor_replaced(store, objects, data):
    write(objects, "b/metadata.json", data)
    for call in (store.delete("b"), store.load("b"), store.info("b")):
        with pytest.raises(RecordError, match="neither aioartifacts nor FlowyML"):
            await call
    with pytest.raises(ConflictError, match="neither aioartifacts nor FlowyML"):
        await store.save(1, "b")
    assert everything(objects) == {"b/metadata.json": data}


@pytest.mark.parametrize("data", STRANGE)
async def test_delete_tree_goes_past_strangers(store, objects, data):
    await store.save_many({"a/1": 1, "a/2": BIG})
    write(objects, "a/b/metadata.json", data)
    assert await store.delete_tree("a") == 2
    assert everything(objects) == {"a/b/metadata.json": data}


# delete_tree


async def test_delete_tree_removes_by_whole_segments(store, objects):
    await store.save_many(dict.fromkeys(PATHS, BIG))
    assert await store.delete_tree("a") == 3
    assert await store.list_artifacts() == sorted(set(PATHS) - {"a", "a/b", "a/b/c"})
    assert not any(key.startswith("a/") for key in keys(objects))
    assert await store.delete_tree("a") == 0


async def test_delete_tree_takes_a_location(store):
    location = await store.save(BIG, "a")
    await store.save(BIG, "a/b")
    assert await store.delete_tree(location) == 2


async def test_delete_tree_leaves_strangers(store, objects):
    await store.save(1, "a/b")
    write(objects, "a/notes.txt", b"mine")
    assert await store.delete_tree("a") == 1
    assert everything(objects) == {"a/notes.txt": b"mine"}


@pytest.mark.parametrize("prefix", ["", None])
async def test_delete_tree_refuses_the_whole_store(store, prefix):
    await store.save(1, "a")
    with pytest.raises(InvalidPathError):
        await store.delete_tree(prefix)
    assert await store.exists("a")


async def test_delete_tree_refuses_the_location_of_the_store(store):
    location = await store.save(1, "a")
    with pytest.raises(InvalidPathError, match="whole store"):
        await store.delete_tree(location.removesuffix("/a"))
    assert await store.exists("a")


@pytest.mark.parametrize("kind", ["memory", "async"])
async def test_delete_tree_over_more_than_a_page(kind, store):
    await store.save_many({f"n/{i}": i for i in range(1100)})
    assert await store.delete_tree("n") == 1100
    assert await store.list_artifacts() == []


async def test_failure_of_delete_tree_is_no_group(kind, objects):
    await over(kind, objects).save_many({"n/a": 1, "n/b": 2})
    faulty = FaultyObjectStore(objects, Fault("delete", lambda: StoreError("broken", path="n/a"), key="n/a/metadata.json"))
    with pytest.raises(StoreError, match="broken") as caught:
        await over(kind, faulty).delete_tree("n")
    assert caught.value.operation == "delete_tree"


async def test_listing_s_failure_names_the_verb(kind, objects):
    await over(kind, objects).save(1, "a")
    faulty = FaultyObjectStore(objects, Fault("list", lambda: ConflictError("broken"), times=None))
    store = over(kind, faulty)
    with pytest.raises(ConflictError) as caught:
        await store.list_artifacts()
    assert caught.value.operation == "list_artifacts"
    with pytest.raises(ConflictError) as caught:
        await store.delete_tree("a")
    assert caught.value.operation == "delete_tree"
