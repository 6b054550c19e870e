"""Every verb over a bucket, in both colours, single and in bulk; objects of every size and make."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from artifact_places import CHUNKS, PART, SMALL, Thing, artifacts, names, opened, orphans, records, write
from store_places import BUCKET, fault, requests, server

import aioartifacts.sync
from aioartifacts import (
    ArtifactExistsError,
    ArtifactNotFoundError,
    EncodeError,
    GCSArtifactStore,
    IntegrityError,
    Limits,
    UntrustedArtifactError,
)
from aioartifacts.testing.pytest_plugin import BUCKET as SHARED
from aioartifacts.types import MIB

__all__ = ["server"]

FRAME = pd.DataFrame(
    {"n": np.arange(40_000), "f": np.linspace(0, 1, 40_000), "s": pd.Series([f"row {n}" for n in range(40_000)], dtype="category")}
)
OBJECTS: dict[str, object] = {
    "plain": SMALL,
    "bytes that are a part": PART,
    "bytes in chunks": CHUNKS,
    "empty bytes": b"",
    "a pickle over 16 KiB": Thing(bytes(range(256)) * 100),
    "a pickle over a chunk": Thing(CHUNKS),
    "an array in chunks": np.arange(200_000, dtype="float64"),
    "a frame in chunks": FRAME,
    "nested": {"a": [1, {2, 3}, (4.5, None)], "b": "é" * 5000},
}


class Async:
    """The verbs as coroutines, called by blocking tests."""

    def __init__(self, server: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._store = GCSArtifactStore(bucket_name=SHARED, endpoint=server.url, credentials="anonymous", **options)

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        return lambda *given, **options: self._runner.run(getattr(self._store, verb)(*given, **options))

    def close(self) -> None:
        self._runner.run(self._store.aclose())
        self._runner.close()


def blocking(server: Any, **options: Any) -> aioartifacts.sync.GCSArtifactStore:
    return aioartifacts.sync.GCSArtifactStore(bucket_name=SHARED, endpoint=server.url, credentials="anonymous", **options)


@pytest.fixture(params=[Async, blocking], ids=["async", "blocking"])
def store(request, gcs_server):
    found = request.param(gcs_server, trust="all")
    yield found
    found.close()


def equal(left: object, right: object) -> bool:
    if isinstance(left, pd.DataFrame):
        pd.testing.assert_frame_equal(left, right)
        return True
    return bool(np.array_equal(left, right)) if isinstance(left, np.ndarray) else left == right


@pytest.mark.parametrize("what", OBJECTS)
def test_what_was_saved_is_loaded(store, what):
    store.save(OBJECTS[what], "a/b")
    loaded = store.load("a/b")
    assert type(loaded) is type(OBJECTS[what])
    assert equal(loaded, OBJECTS[what])


def test_looking(store):
    location = store.save(SMALL, "x/y", {"k": [1, None]})
    assert store.exists("x/y")
    assert store.get_metadata("x/y") == {"k": [1, None]}
    info = store.info("x/y")
    assert (info.path, info.location, info.size) == ("x/y", location, store.size("x/y"))
    assert store.validate() is True


def test_what_is_not_there(store):
    assert (store.exists("a"), store.size("a"), store.get_metadata("a"), store.delete("a")) == (False, 0, None, False)
    for verb in (store.load, store.info):
        with pytest.raises(ArtifactNotFoundError):
            verb("a")


def test_overwriting_and_deleting(store):
    store.save(PART, "a")
    store.save({"second": 2}, "a")
    assert store.load("a") == {"second": 2}
    assert store.delete("a") is True
    assert store.delete("a") is False
    with pytest.raises(ArtifactNotFoundError):
        store.load("a")


def test_create_only_save(store):
    store.save(1, "a", overwrite=False)
    with pytest.raises(ArtifactExistsError):
        store.save(2, "a", overwrite=False)
    assert store.load("a") == 1


def test_many(store):
    saved = store.save_many({f"p/{number}": {"n": number} for number in range(40)})
    assert saved["p/7"] == f"gs://{SHARED}/aioartifacts/p/7"
    assert store.load_many(saved.values()) == {location: {"n": number} for number, location in enumerate(saved.values())}
    assert store.list_artifacts("p") == sorted(saved)
    assert store.delete_many(["p/0", "p/1", "nothing"]) == {"p/0": True, "p/1": True, "nothing": False}
    assert store.delete_tree("p") == 38
    assert store.list_artifacts() == []


def test_many_with_failures(store):
    with pytest.raises(ExceptionGroup) as raised:
        store.load_many(["nothing"])
    assert isinstance(raised.value.exceptions[0], ArtifactNotFoundError)
    store.save(1, "one")
    outcomes = store.load_many(["one", "nothing"], on_error="collect")
    assert outcomes["one"].unwrap() == 1
    assert isinstance(outcomes["nothing"].error, ArtifactNotFoundError)


def test_materializing(store):
    location = store.materialize(FRAME, name="features", run_id="r1", step_name="prep", project_name="churn")
    assert equal(store.load(location), FRAME)
    found = store.materialize_many({"a": 1, "b": PART}, "r1", "train", "churn")
    assert store.load_many(found.values()) == {found["a"]: 1, found["b"]: PART}
    assert len(store.list_artifacts("churn")) == 3


def test_upkeep(store):
    store.save_many({"a": PART, "b": SMALL})
    assert store.verify().ok
    assert store.verify().artifacts == 2
    assert list(store.sweep(dry_run=False).removed) == []


@pytest.mark.asyncio
async def test_pickles_are_refused_by_default_with_the_choices(server):
    async with GCSArtifactStore(bucket_name=BUCKET, endpoint=server.url, credentials="anonymous") as store:
        await store.save(Thing(b"x"), "a")
        with pytest.raises(UntrustedArtifactError) as caught:
            await store.load("a")
    assert "trust=" in str(caught.value)
    assert "signing_key" in str(caught.value)


@pytest.mark.asyncio
async def test_signed_pickle_is_loaded_where_the_key_is_known(server):
    key = b"k" * 32
    async with opened(server, signing_key=key, trust=None) as store, opened(server, trust="data") as other:
        await store.save(Thing(CHUNKS), "a")
        assert await store.load("a") == Thing(CHUNKS)
        with pytest.raises(UntrustedArtifactError):
            await other.load("a")


@pytest.mark.asyncio
async def test_iterating_tells_of_everything(server):
    async with opened(server) as store:
        await store.save_many({f"p/{number}": number for number in range(10)})
        assert sorted([info.path async for info in store.iter_artifacts("p")]) == [f"p/{number}" for number in range(10)]


@pytest.mark.asyncio
async def test_artifact_below_another_s_path(server):
    async with opened(server) as store:
        await store.save("above", "a")
        await store.save("below", "a/b")
        await store.delete("a")
        assert await store.load("a/b") == "below"


@pytest.mark.asyncio
async def test_two_prefixes_of_a_bucket_do_not_see_each_other(server):
    async with opened(server, prefix="one") as one, opened(server, prefix="one-more") as other, opened(server) as all_of_it:
        await one.save(1, "a")
        assert await other.list_artifacts() == []
        assert await all_of_it.list_artifacts() == ["one/a"]


@pytest.mark.asyncio
async def test_failed_encoding_leaves_nothing(server):
    class Broken:
        def __reduce__(self) -> Any:
            raise RuntimeError("no")

    async with opened(server) as store:
        with pytest.raises(EncodeError):
            await store.save([bytes(300_000), Broken()], "a")
    assert names(server) == set()


@pytest.mark.asyncio
async def test_damaged_part_is_noticed(server):
    async with opened(server) as store:
        await store.save(PART, "a")
        part = server.state.find(BUCKET, f"a/{records(server)['a'].file}")
        write(server, part.name, PART[:-1] + b"x")
        with pytest.raises(IntegrityError, match="damaged"):
            await store.load("a")
        write(server, part.name, PART[:-1])
        with pytest.raises(IntegrityError, match="damaged"):
            await store.load("a")


@pytest.mark.asyncio
async def test_requests_in_flight_are_bounded_by_the_limits(server):
    fault(server, "latency", latency_ms=5)
    async with opened(server, limits=Limits(transfers=3)) as store:
        await store.save_many({f"p/{number}": PART for number in range(30)})
        await store.load_many([f"p/{number}" for number in range(30)])
    assert 1 < server.journal.peak <= 3


@pytest.mark.asyncio
async def test_large_object_goes_up_and_down_in_parallel(server):
    array = np.arange(3 * MIB, dtype="float64")
    async with opened(server, chunk_size=5 * MIB, parallel_from=8 * MIB) as store:
        await store.save(array, "a")
        assert sum("partNumber=" in entry["query"] for entry in requests(server)) == 5
        assert np.array_equal(await store.load("a"), array)
    assert orphans(server) == set()


@pytest.mark.asyncio
@pytest.mark.parametrize("budget", [MIB, MIB // 4], ids=["in memory", "in files"])
async def test_object_larger_than_the_byte_budget_is_loaded(server, budget):
    array = np.arange(3 * MIB, dtype="uint8")
    async with opened(server, limits=Limits(memory=budget)) as store:
        await store.save(array, "a")
        assert np.array_equal(await store.load("a"), array)


@pytest.mark.asyncio
async def test_materializer_is_looked_up_in_a_worker_for_the_first_time(server):
    threads = []
    async with artifacts(server) as store:
        await store.save(SMALL, "a")
        lookup = store.materializers.for_format

        @functools.wraps(lookup)
        def for_format(format):
            threads.append(threading.current_thread())
            return lookup(format)

        store.materializers.for_format = for_format
        assert await store.load("a") == await store.load("a") == SMALL
    assert threads[0] is not threading.current_thread(), "it may import a library"
    assert threads[-1] is threading.current_thread(), "which is done once"
