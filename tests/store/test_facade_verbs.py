"""The facade's own handles and iterators; what its verbs do is tested through the async stores."""

from __future__ import annotations

import pickle

import pytest

import aioartifacts.sync
from aioartifacts import ArtifactNotFoundError, InvalidPathError


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


