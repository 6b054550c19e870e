"""Nothing is left behind, and nothing is taken along."""

from __future__ import annotations

import os

import pytest
from opened import BIG, KINDS, everything, keys, part, record, tree, write
from pieces import Pieces, PiecesMaterializer

from aioartifacts import EncodeError, LocalArtifactStore

pytestmark = pytest.mark.asyncio


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param

OTHER = bytes(reversed(BIG))


@pytest.fixture
def store(store):
    store.materializers.register(PiecesMaterializer)
    return store


async def test_several_parts_lie_in_a_folder_of_their_own(store, objects):
    await store.save(Pieces(BIG, OTHER, BIG), "a")
    write_id = record(objects, "a").write_id
    assert keys(objects) == [*(f"a/.parts-{write_id}/{i}.bin" for i in range(3)), "a/metadata.json"]
    assert (await store.load("a")).pieces == (BIG, OTHER, BIG)
    assert (await store.info("a")).parts == 3


async def test_small_parts_go_into_the_record_together(store, objects):
    await store.save(Pieces(b"a", b"b", b""), "a")
    assert keys(objects) == ["a/metadata.json"]
    assert (await store.load("a")).pieces == (b"a", b"b", b"")


async def test_small_parts_beside_large_ones(store, objects):
    await store.save(Pieces(b"a", BIG), "a")
    assert (await store.load("a")).pieces == (b"a", BIG)
    assert await store.delete("a")
    assert keys(objects) == []


async def test_artifact_without_parts(store, objects):
    await store.save(Pieces(), "a")
    assert (await store.load("a")).pieces == ()
    assert await store.size("a") == 0
    assert (await store.info("a")).parts == 0
    assert await store.delete("a")
    assert keys(objects) == []


@pytest.mark.parametrize("second", [Pieces(OTHER), Pieces(b"x"), Pieces(), b"x", BIG])
async def test_overwriting_removes_exactly_the_old_parts(store, objects, second):
    await store.save(Pieces(BIG, OTHER), "a")
    await store.save(Pieces(BIG, OTHER), "a/b")
    old = [f"a/{found.file}" for found in record(objects, "a").parts]
    stranger = "a/.part-" + "0" * 32 + ".other"
    write(objects, stranger, b"in flight")
    before = set(keys(objects))
    await store.save(second, "a")
    new = {f"a/{found.file}" for found in record(objects, "a").parts if found.file}
    assert set(keys(objects)) == (before - set(old)) | new


async def test_delete_leaves_neighbours(store, objects):
    await store.save_many({"a": BIG, "a/b": BIG, "a/b/c": BIG, "ab": BIG})
    write(objects, "a/notes.txt", b"mine")
    await store.delete("a/b")
    assert await store.list_artifacts() == ["a", "a/b/c", "ab"]
    await store.delete("a")
    assert await store.list_artifacts() == ["a/b/c", "ab"]
    assert await store.load_many(["a/b/c", "ab"]) == {"a/b/c": BIG, "ab": BIG}
    assert "a/notes.txt" in keys(objects)


async def test_failed_save_leaves_nothing(store, objects):
    with pytest.raises(EncodeError):
        await store.save(Pieces(BIG, None), "a/b")
    assert everything(objects) == {}


# On disk


@pytest.fixture
def local(root):
    store = LocalArtifactStore(root, durability="process", trust="all")
    store.materializers.register(PiecesMaterializer)
    return store


async def test_delete_removes_empty_folders(local, root):
    await local.save_many({"x/y/z": BIG, "x/other": 1, "solo/deep/er": Pieces(BIG, OTHER)})
    await local.delete("x/y/z")
    await local.delete("solo/deep/er")
    assert sorted(name for name in os.listdir(root) if name != ".aioartifacts") == ["x"]
    assert sorted(os.listdir(root / "x")) == ["other"]


async def test_no_temporary_file_remains(local, root):
    await local.save_many({f"p{i}": BIG if i % 2 else i for i in range(20)})
    await local.save(Pieces(BIG, OTHER), "a")
    with pytest.raises(EncodeError):
        await local.save(Pieces(None), "b")
    left = [name for name, content in tree(root / ".aioartifacts").items() if content is not None and "locks" not in name]
    assert left == []


async def test_folder_left_by_a_killed_writer_blocks_nothing(local, root):
    (root / "a" / ".parts-0").mkdir(parents=True)
    (root / "a" / "b").mkdir()
    assert await local.exists("a") is False
    await local.save(BIG, "a")
    await local.save(BIG, "a/b")
    assert await local.load_many(["a", "a/b"]) == {"a": BIG, "a/b": BIG}


async def test_orphan_of_a_killed_writer_is_not_listed_and_can_be_swept(local, root):
    await local.save(BIG, "a")
    orphan = root / "a" / (".part-" + "0" * 32 + ".data.bin")
    orphan.write_bytes(b"x")
    assert await local.list_artifacts() == ["a"]
    report = await local.sweep(grace=0, dry_run=False)
    assert list(report.removed) == [f"a/{orphan.name}"]
    assert not orphan.exists()
    assert await local.load("a") == BIG


async def test_part_s_name_is_readable(store, objects):
    await store.save(BIG, "a")
    assert part(objects, "a").endswith(".data.bin")
