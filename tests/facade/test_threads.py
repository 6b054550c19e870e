"""One facade, eight threads at once."""

from __future__ import annotations

import copy
import gc
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from aioartifacts import sync
from aioartifacts.errors import ArtifactExistsError, ArtifactNotFoundError, StoreError
from aioartifacts.objects.local import LocalObjectStore
from aioartifacts.objects.memory import MemoryObjectStore
from aioartifacts.testing import AsyncObjectStoreAdapter

THREADS = 8
BIG = os.urandom(300_000)


@pytest.fixture(params=["local", "memory", "async"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> sync.ArtifactStore:
    if request.param == "local":
        return sync.LocalArtifactStore(tmp_path, durability="process")
    if request.param == "memory":
        return sync.MemoryArtifactStore()
    return sync.ArtifactStore(AsyncObjectStoreAdapter(LocalObjectStore(tmp_path, durability="process")), trust="all")


def at_once(call: Callable[[int], object]) -> list[object]:
    """What *call* returned, or raised, in each of the threads, which begin together."""
    found: list[object] = [None] * THREADS
    start = threading.Barrier(THREADS)

    def work(number: int) -> None:
        start.wait()
        try:
            found[number] = call(number)
        except Exception as error:
            found[number] = error

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_each_gets_its_own(store: sync.ArtifactStore) -> None:
    def work(number: int) -> object:
        found = []
        for i in range(5):
            path = store.save({"of": number, "i": i}, f"{number}/{i}", {"of": number})
            found.append((store.load(path), store.get_metadata(path)))
        store.save_many({f"{number}/m/{i}": BIG if i == 3 else (number, i) for i in range(10)})
        assert store.load_many(store.list_artifacts(f"{number}/m"))[f"{number}/m/3"] == BIG
        assert {info.path for info in store.iter_artifacts(f"{number}/m")} == {f"{number}/m/{i}" for i in range(10)}
        return found, store.delete_tree(f"{number}/m")

    assert at_once(work) == [([({"of": n, "i": i}, {"of": n}) for i in range(5)], 10) for n in range(THREADS)]
    assert len(store.list_artifacts()) == THREADS * 5


def test_of_those_who_create_one_path_one_wins(store: sync.ArtifactStore) -> None:
    found = at_once(lambda number: store.save(number, "x", overwrite=False))
    lost = [outcome for outcome in found if isinstance(outcome, ArtifactExistsError)]
    assert len(lost) == THREADS - 1
    assert not isinstance(found[store.load("x")], ArtifactExistsError)


def test_all_may_replace_one_path_while_it_is_read(store: sync.ArtifactStore) -> None:
    whole = {number: bytes([number]) * 40_000 for number in range(THREADS)}
    store.save(whole[0], "x")

    def work(number: int) -> object:
        for _ in range(2):
            store.save(whole[number], "x")
            assert store.load("x") in whole.values()
        return True

    assert at_once(work) == [True] * THREADS
    assert store.verify().ok
    assert store.sweep(grace=0).removed == []


def test_of_those_who_delete_one_path_at_least_one_finds_it(store: sync.ArtifactStore) -> None:
    store.save(BIG, "x")
    found = at_once(lambda number: store.delete("x"))
    assert set(found) <= {True, False}
    assert True in found
    assert not store.exists("x")
    with pytest.raises(ArtifactNotFoundError):
        store.load("x")


def test_a_bulk_does_not_wait_for_a_thread_while_the_interpreter_ends(
    store: sync.ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "is_finalizing", lambda: True)
        with pytest.raises((StoreError, ExceptionGroup), match=r"save_many|before the interpreter shuts down"):
            store.save_many({"a": BIG, "b": {"b": print}})
    assert store.list_artifacts() == []
    store.save_many({"a": BIG, "b": 2})


class Shared(AsyncObjectStoreAdapter):
    """Somebody's object store, under more than one facade."""

    closed = 0

    async def aclose(self) -> None:
        self.closed += 1
        await super().aclose()


def test_a_facade_that_is_gone_closes_nothing_of_others() -> None:
    objects = Shared(MemoryObjectStore("shared"))
    first, second = sync.ArtifactStore(objects), sync.ArtifactStore(objects)
    copied = copy.copy(second)
    first.save({"a": 1}, "x")
    del first, copied
    gc.collect()
    assert second.load("x") == {"a": 1}
    assert objects.closed == 0
    second.close()
    assert objects.closed == 1
