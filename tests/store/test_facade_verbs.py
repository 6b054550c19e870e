"""The facade's own handles and iterators; what its verbs do is tested through the async stores."""

from __future__ import annotations

import pickle

import pytest

import aioartifacts.sync
from aioartifacts import ArtifactNotFoundError, DecodeError, InvalidPathError


@pytest.fixture
def store(root):
    return aioartifacts.sync.LocalArtifactStore(root, durability="process")


def test_iteration_may_be_abandoned(store):
    store.save_many({f"n/{i}": i for i in range(20)})
    infos = store.iter_artifacts()
    assert next(infos).path.startswith("n/")
    infos.close()
    assert sorted(info.path for info in store.iter_artifacts("n")) == store.list_artifacts()


def test_errors_are_those_of_the_async_store(store):
    with pytest.raises(ArtifactNotFoundError):
        store.load("missing")
    with pytest.raises(InvalidPathError):
        store.save(1, "../a")
    with pytest.raises(ExceptionGroup, match="load_many: 1 failed"):
        store.load_many(["missing"])


def test_materializers_are_the_store_s(store):
    assert store.materializers is store.materializers
    assert "npy" in store.materializers.formats()


def test_run_of_the_facade_pickles_with_its_store(store):
    run = store.run("r1", "churn", date="2026-11-20")
    run.materialize(1, "n", "s")
    again = pickle.loads(pickle.dumps(run))
    assert (again.path("n", "s"), again.load("n", "s"), again.store.load(run.path("n", "s"))) == (run.path("n", "s"), 1, 1)




def test_every_verb(store):
    """The facade adds nothing to them, so each is called once."""
    location = store.save({"a": 1}, "x/a", {"n": 1})
    assert store.load(location) == store.load("x/a", dict) == {"a": 1}
    assert (store.exists("x/a"), store.exists("x/b")) == (True, False)
    assert store.get_metadata("x/a") == {"n": 1}
    assert store.info("x/a").size == store.size("x/a") > 0
    assert store.list_artifacts("x") == ["x/a"]
    assert store.load(store.materialize(1, "n", "r", "s")) == 1
    assert store.load_many(store.materialize_many({"n": 1, "m": 2}, "r", "s").values())
    run = store.run("r1", "p", date="2026-11-20")
    assert run.materialize_many({"n": 1}, "s").keys() == {"n"}
    assert run.load("n", "s") == 1
    with pytest.raises(DecodeError, match="not a str") as caught:
        run.load("n", "s", str)
    assert (caught.value.operation, caught.value.path) == ("load", "p/2026-11-20/r1/data/s/n")
    assert store.delete_many(["x/a", "x/b"]) == {"x/a": True, "x/b": False}
    assert store.delete_tree("p") == 1
    assert store.delete("x/a") is False
    assert store.verify().artifacts == 2
    assert store.sweep(grace=0).dry_run is True
    assert store.validate() is True
    assert (store.name, store.to_dict()["type"]) == ("local", "local")
    with store as same:
        assert same is store


def test_over_an_async_object_store(tmp_path):
    from opened import BIG, beneath

    from aioartifacts.testing import AsyncObjectStoreAdapter

    with aioartifacts.sync.ArtifactStore(AsyncObjectStoreAdapter(beneath("memory", None)), trust="all") as store:
        store.save_many({"a": BIG, "b": 1})
        assert store.load_many(["a", "b"]) == {"a": BIG, "b": 1}
        assert sorted(info.path for info in store.iter_artifacts()) == ["a", "b"]
