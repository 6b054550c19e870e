"""The facade inside a running event loop, as in a notebook: the same verbs, and nothing of theirs depends on that loop."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from programs import KINDS, run

import aioartifacts
from aioartifacts.objects.memory import MemoryObjectStore
from aioartifacts.testing import AsyncObjectStoreAdapter


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_kind_of_call(kind: str, tmp_path: Path) -> None:
    program = """
big = os.urandom(300_000)
async def main():
    assert store.load(store.save({"a": (1, 2)}, "x", {"who": "me"}), dict) == {"a": (1, 2)}
    assert store.get_metadata("x") == {"who": "me"}
    assert store.load(store.materialize(big, "n", "r", "s")) == big
    assert store.save_many({f"m/{i}": big if i == 7 else i for i in range(50)}).keys() == {f"m/{i}" for i in range(50)}
    assert store.load_many(store.list_artifacts("m")) == {f"m/{i}": big if i == 7 else i for i in range(50)}
    assert sorted(info.path for info in store.iter_artifacts("m")) == store.list_artifacts("m")
    assert store.delete_tree("m") == 50
    with store.open_part("x") as stream:
        assert stream.read()
    try:
        store.load("m/1")
    except ArtifactNotFoundError as error:
        assert error.path == "m/1"
    else:
        raise AssertionError
    await asyncio.sleep(0)
    store.close()
    return store.load("x")
assert asyncio.run(main()) == store.load("x")
print("done")
"""
    assert run(program, kind, tmp_path) == "done\n"


def test_while_tasks_of_that_loop_call_it_in_threads(kind: str, tmp_path: Path) -> None:
    program = """
async def main():
    saves = [asyncio.create_task(asyncio.to_thread(store.save, i, f"t/{i}")) for i in range(8)]
    for i in range(8):
        store.save(i, f"here/{i}")
        await asyncio.sleep(0)
    await asyncio.gather(*saves)
    return store.list_artifacts()
assert asyncio.run(main()) == sorted(f"{place}/{i}" for place in ("here", "t") for i in range(8))
print("done")
"""
    assert run(program, kind, tmp_path) == "done\n"


def test_an_iteration_goes_on_after_the_loop_in_which_it_began(kind: str, tmp_path: Path) -> None:
    program = """
store.save_many({f"n/{i}": i for i in range(5)})
async def main():
    infos = store.iter_artifacts()
    return next(infos), infos
first, infos = asyncio.run(main())
assert sorted(info.path for info in (first, *infos)) == store.list_artifacts()
print("done")
"""
    assert run(program, kind, tmp_path) == "done\n"


VERBS: dict[str, Callable[[aioartifacts.ArtifactStore], Coroutine[Any, Any, object]]] = {
    "save": lambda store: store.save(1, "a"),
    "load": lambda store: store.load("a"),
    "save_many": lambda store: store.save_many({"a": 1}),
    "list": lambda store: store.list_artifacts(),
    "validate": lambda store: store.validate(),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("kind", ["memory", "async", "gcs"])
def test_an_async_store_where_no_loop_of_asyncio_runs_says_so(kind: str, verb: str) -> None:
    """Under trio, for one."""
    if kind == "gcs":
        store: aioartifacts.ArtifactStore = aioartifacts.GCSArtifactStore(bucket_name="bucket", credentials="anonymous")
    else:
        objects = MemoryObjectStore()
        store = aioartifacts.ArtifactStore(AsyncObjectStoreAdapter(objects) if kind == "async" else objects)
    call = VERBS[verb](store)
    with pytest.raises(aioartifacts.StoreError, match="trio is not supported"):
        call.send(None)
