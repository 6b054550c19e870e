"""`verify` and `sweep`: what is damaged, what killed writers left, and that nothing else is touched."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

import aioartifacts as aa
from aioartifacts.keys import path_of_part, record_key
from aioartifacts.objects.base import BlockingObjectStore, Buffers
from aioartifacts.objects.local import LocalObjectStore
from aioartifacts.objects.memory import MemoryObjectStore
from aioartifacts.testing import AsyncObjectStoreAdapter, Fault, FaultyObjectStore

pytestmark = pytest.mark.asyncio

LARGE = b"x" * 20_000
LOST = ".part-" + "0" * 32 + ".data.bin"
MANY_LOST = ".parts-" + "1" * 32


@pytest.fixture(params=["local", "memory"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> BlockingObjectStore:
    return LocalObjectStore(tmp_path / "root") if request.param == "local" else MemoryObjectStore()


@pytest_asyncio.fixture(params=["blocking", "async"])
async def store(request: pytest.FixtureRequest, objects: BlockingObjectStore) -> AsyncIterator[aa.ArtifactStore]:
    kind = objects if request.param == "blocking" else AsyncObjectStoreAdapter(objects)
    async with aa.ArtifactStore(kind, trust="all") as opened:
        yield opened


def keys(objects: BlockingObjectStore) -> set[str]:
    return {info.key for info in objects.list()}


def part_key(objects: BlockingObjectStore, path: str) -> str:
    return next(key for key in keys(objects) if path_of_part(key) == path)


async def test_sound_store_is_verified(store: aa.ArtifactStore) -> None:
    await store.save(LARGE, "a")
    await store.save(LARGE, "a/b")
    await store.save({"small": 1}, "c")
    report = await store.verify()
    assert (report.ok, report.artifacts, report.orphans) == (True, 3, [])
    assert report.size == sum([await store.size(path) for path in ("a", "a/b", "c")])


async def test_prefix_bounds_what_is_verified(store: aa.ArtifactStore) -> None:
    for path in ("a/x", "a/y", "ab"):
        await store.save(1, path)
    assert (await store.verify("a")).artifacts == 2


async def test_damaged_part_is_reported(store: aa.ArtifactStore, objects: BlockingObjectStore) -> None:
    await store.save(LARGE, "a")
    await store.save(LARGE, "b")
    objects.put(part_key(objects, "a"), Buffers(b"y" + LARGE[1:]))
    report = await store.verify()
    assert not report.ok
    assert list(report.damaged) == ["a"]
    assert isinstance(report.damaged["a"], aa.IntegrityError)


async def test_missing_part_is_reported(store: aa.ArtifactStore, objects: BlockingObjectStore) -> None:
    await store.save(LARGE, "a")
    objects.delete(part_key(objects, "a"))
    report = await store.verify()
    assert "missing" in str(report.damaged["a"])


@pytest.mark.parametrize("size", [0, 1, 10, 100, -1])
async def test_torn_record_is_reported(store: aa.ArtifactStore, objects: BlockingObjectStore, size: int) -> None:
    await store.save(1, "a")
    whole = bytes(objects.get(record_key("a")).data)
    for torn in (whole[:-1] if size < 0 else whole[:size], bytes(len(whole)), whole[:size].ljust(len(whole), b"\0")):
        objects.put(record_key("a"), Buffers(torn))
        assert isinstance((await store.verify()).damaged["a"], aa.RecordError)
        with pytest.raises(aa.RecordError):
            [info async for info in store.iter_artifacts()]
        assert await store.delete("a"), "it can have been ours"


async def test_what_cannot_be_read_is_reported(store: aa.ArtifactStore, objects: BlockingObjectStore) -> None:
    await store.save_many({"a": LARGE, "b": LARGE, "c": 1})
    denied = Fault(
        "get", lambda: aa.PermissionDeniedError("not for you", path="b/metadata.json"), key="b/metadata.json", times=None
    )
    faulty = aa.ArtifactStore(FaultyObjectStore(objects, denied))
    report = await faulty.verify()
    assert (report.artifacts, list(report.orphans)) == (3, [])
    error = report.damaged["b"]
    assert report.damaged.keys() == {"b"}
    assert isinstance(error, aa.PermissionDeniedError)
    assert (error.path, error.operation) == ("b", "verify")
    assert list((await faulty.sweep(grace=0, dry_run=False)).removed) == []
    assert await store.load("b") == LARGE


async def test_store_that_cannot_be_reached_is_no_damage(store: aa.ArtifactStore, objects: BlockingObjectStore) -> None:
    await store.save(1, "a")
    away = Fault("get", lambda: aa.TransientStoreError("away", path="a/metadata.json"), times=None)
    with pytest.raises(aa.TransientStoreError) as caught:
        await aa.ArtifactStore(FaultyObjectStore(objects, away)).verify()
    assert caught.value.operation == "verify"


async def test_damaged_record_is_reported(store: aa.ArtifactStore, objects: BlockingObjectStore) -> None:
    await store.save(1, "a")
    objects.put(record_key("a"), Buffers(b'{"aioartifacts":1}'))
    assert isinstance((await store.verify()).damaged["a"], aa.RecordError)


async def test_verify_runs_no_code(store: aa.ArtifactStore, objects: BlockingObjectStore) -> None:
    await store.save(_Explosive(), "a", format="pickle")
    careful = aa.ArtifactStore(objects, trust="data")
    assert (await careful.verify()).ok


class _Explosive:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return (_explode, ("decoded",))


def _explode(reason: str) -> None:
    raise AssertionError(reason)


async def test_orphans_are_reported_and_swept(store: aa.ArtifactStore, objects: BlockingObjectStore) -> None:
    await store.save(LARGE, "a")
    await store.save(LARGE, "gone/b")
    before = keys(objects)
    lost = {f"a/{LOST}", f"a/{MANY_LOST}/one", f"a/{MANY_LOST}/two", f"never/committed/{LOST}"}
    for key in lost:
        objects.put(key, Buffers(b"lost"))
    assert set((await store.verify()).orphans) == lost
    dry = await store.sweep(grace=0)
    assert (set(dry.removed), dry.size, dry.dry_run) == (lost, 16, True)
    assert keys(objects) == before | lost
    assert set((await store.sweep(grace=0, dry_run=False)).removed) == lost
    assert keys(objects) == before
    assert await store.load("a") == LARGE


async def test_young_orphans_are_left_alone(store: aa.ArtifactStore, objects: BlockingObjectStore) -> None:
    objects.put(f"a/{LOST}", Buffers(b"perhaps about to be committed"))
    assert (await store.sweep(dry_run=False)).removed == []
    assert keys(objects) == {f"a/{LOST}"}


async def test_parts_of_a_damaged_record_are_left_alone(store: aa.ArtifactStore, objects: BlockingObjectStore) -> None:
    await store.save(LARGE, "a")
    objects.put(record_key("a"), Buffers(b"damaged"))
    assert (await store.sweep(grace=0, dry_run=False)).removed == []


async def test_what_is_no_part_is_left_alone(store: aa.ArtifactStore, objects: BlockingObjectStore) -> None:
    strangers = {"notes.txt", "a/.part-notes", f"a/.part-{'0' * 32}", "a/.partial"}
    for key in strangers:
        objects.put(key, Buffers(b"somebody's"))
    assert (await store.sweep(grace=0, dry_run=False)).removed == []
    assert keys(objects) == strangers


async def test_progress_is_told(store: aa.ArtifactStore) -> None:
    for path in ("a", "b", "c"):
        await store.save(path, path)
    events: list[aa.TransferEvent] = []
    report = await store.verify(on_progress=events.append)
    assert {event.path for event in events} == {"a", "b", "c"}
    assert [event.artifacts for event in events] == [1, 2, 3]
    assert events[-1] == aa.TransferEvent("verify", events[-1].path, report.artifacts, report.size)


async def test_progress_of_a_sweep_is_told(store: aa.ArtifactStore, objects: BlockingObjectStore) -> None:
    for path in ("a", "b"):
        await store.save(LARGE, path)
        objects.delete(record_key(path))
    events: list[aa.TransferEvent] = []
    report = await store.sweep(grace=0, on_progress=events.append)
    assert {event.path for event in events} == {"a", "b"}
    assert events[-1] == aa.TransferEvent("sweep", events[-1].path, 2, report.size)


@pytest.mark.parametrize("grace", [-1.0, float("nan")])
async def test_senseless_grace_is_refused(store: aa.ArtifactStore, grace: float) -> None:
    with pytest.raises(aa.InvalidConfigError):
        await store.sweep(grace=grace)


async def test_temporary_files_and_empty_folders_are_swept(tmp_path: Path) -> None:
    store = aa.LocalArtifactStore(tmp_path / "root")
    await store.save(1, "kept")
    draft = tmp_path / "root" / ".aioartifacts" / "tmp" / "left-by-a-killed-writer"
    draft.write_bytes(b"12345")
    (tmp_path / "root" / "empty" / "folder").mkdir(parents=True)
    assert (await store.sweep(dry_run=False)).removed == []
    os.utime(draft, (1, 1))
    assert (await store.sweep()).removed == [".aioartifacts/tmp/left-by-a-killed-writer"]
    assert draft.exists()
    report = await store.sweep(dry_run=False)
    assert (len(report.removed), report.size) == (1, 5)
    assert not draft.exists()
    assert not (tmp_path / "root" / "empty").exists()
    assert await store.load("kept") == 1


async def test_sweep_of_nothing(tmp_path: Path) -> None:
    store = aa.LocalArtifactStore(tmp_path / "never-used")
    assert (await store.sweep(dry_run=False)).removed == []
    assert not (tmp_path / "never-used").exists()


async def test_a_save_slower_than_the_grace_does_not_commit(objects: BlockingObjectStore) -> None:
    store = aa.ArtifactStore(objects)
    times = iter([0.0, 90_000.0])
    store._config = replace(store._config, clock=lambda: next(times))
    with pytest.raises(aa.StoreError, match="took longer"):
        await store.save(LARGE, "a")
    assert keys(objects) == set()


async def test_errors_tell_which_verb_it_was(objects: BlockingObjectStore) -> None:
    store = aa.ArtifactStore(FaultyObjectStore(objects, Fault("list", lambda: aa.StoreError("no"), times=None)))
    for verb in (store.verify, store.sweep):
        with pytest.raises(aa.StoreError) as raised:
            await verb()
        assert raised.value.operation == verb.__name__
