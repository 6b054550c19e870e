"""Many at once: keyed by path or name, each by itself, errors in a group or collected."""

from __future__ import annotations

import pytest
from opened import BIG, keys

from aioartifacts import (
    ArtifactError,
    ArtifactNotFoundError,
    EncodeError,
    InvalidConfigError,
    InvalidPathError,
    Outcome,
    StoreError,
    UntrustedArtifactError,
)
from aioartifacts.testing import Fault, FaultyObjectStore

pytestmark = pytest.mark.asyncio


class Unpicklable:
    def __reduce__(self):
        raise ValueError("cannot be pickled")


async def test_all_are_saved_and_loaded(store):
    artifacts = {f"many/{i}": {"i": i, "pad": "x" * (i % 7)} for i in range(200)}
    locations = await store.save_many(artifacts)
    assert locations.keys() == artifacts.keys()
    assert await store.load_many(artifacts) == artifacts
    assert await store.list_artifacts() == sorted(artifacts)
    loaded = await store.load_many(locations.values())
    assert loaded == {locations[path]: obj for path, obj in artifacts.items()}


async def test_answers_are_in_the_order_of_the_questions(store):
    artifacts = {f"p{i}": (BIG * 8 if i % 5 == 0 else i) for i in range(40)}
    assert list(await store.save_many(artifacts)) == list(artifacts)
    assert list(await store.load_many(artifacts)) == list(artifacts)
    assert list(await store.load_many(reversed(artifacts), on_error="collect")) == list(reversed(artifacts))
    assert list(await store.delete_many(artifacts)) == list(artifacts)


async def test_nothing_is_nothing(store):
    assert await store.save_many({}) == {}
    assert await store.load_many([]) == {}
    assert await store.materialize_many({}, "r", "s") == {}
    assert await store.delete_many([]) == {}


async def test_small_and_large_together(store):
    artifacts = {f"p{i}": BIG * 20 + bytes([i]) if i % 3 == 0 else i for i in range(30)}
    await store.save_many(artifacts)
    assert await store.load_many(artifacts) == artifacts


async def test_duplicates_are_loaded_once(store):
    await store.save(1, "a")
    assert await store.load_many(["a", "a", "a"]) == {"a": 1}
    assert await store.delete_many(["a", "a"]) == {"a": True}


async def test_paths_may_come_from_an_iterator(store):
    await store.save_many({"a": 1, "b": 2})
    assert await store.load_many(path for path in ("a", "b")) == {"a": 1, "b": 2}
    assert await store.delete_many(iter(["a", "b"])) == {"a": True, "b": True}


@pytest.mark.parametrize("verb", ["load_many", "delete_many"])
@pytest.mark.parametrize("paths", ["a", b"a"])
async def test_one_path_is_not_many(store, verb, paths):
    with pytest.raises(InvalidPathError, match="several paths"):
        await getattr(store, verb)(paths)


async def test_save_many_needs_a_mapping(store):
    with pytest.raises(InvalidConfigError, match="mapping"):
        await store.save_many(["a"])
    with pytest.raises(InvalidConfigError, match="mapping"):
        await store.materialize_many(["a"], "r", "s")


async def test_two_names_of_one_artifact(store):
    location = await store.save(0, "a")
    await store.save_many({"a": BIG, location: BIG})
    assert await store.load("a") == BIG
    assert await store.list_artifacts() == ["a"]


async def test_delete_many_answers_which_there_were(store):
    await store.save_many({"a": 1, "b": 2})
    assert await store.delete_many(["a", "c"]) == {"a": True, "c": False}
    assert await store.list_artifacts() == ["b"]


@pytest.mark.parametrize("on_error", ["ignore", None, True])
async def test_on_error_is_one_of_two_words(store, on_error):
    with pytest.raises(InvalidConfigError, match="on_error"):
        await store.save_many({"a": 1}, on_error=on_error)
    assert await store.list_artifacts() == []


async def test_overwrite_false_holds_for_each(store):
    await store.save(1, "a")
    outcomes = await store.save_many({"a": 2, "b": 2}, overwrite=False, on_error="collect")
    assert (outcomes["a"].ok, outcomes["b"].ok) == (False, True)
    assert await store.load_many(["a", "b"]) == {"a": 1, "b": 2}


# Errors


async def test_failures_are_raised_as_a_group(store, objects):
    with pytest.raises(ExceptionGroup, match="save_many: 1 failed") as caught:
        await store.save_many({"bad": Unpicklable()})
    (error,) = caught.value.exceptions
    assert isinstance(error, EncodeError)
    assert (error.path, error.operation) == ("bad", "save_many")
    assert keys(objects) == []


async def test_group_holds_only_errors_of_ours(store):
    await store.save_many({f"p{i}": i for i in range(20)})
    with pytest.raises(ExceptionGroup) as caught:
        await store.load_many(["p1", "missing", "../bad", "p2"])
    assert all(isinstance(error, ArtifactError) for error in caught.value.exceptions)


async def test_except_star_catches_by_kind(store):
    caught = []
    try:
        await store.load_many(["missing"])
    except* ArtifactNotFoundError as group:
        caught = list(group.exceptions)
    assert [error.path for error in caught] == ["missing"]


async def test_what_was_done_before_a_failure_stays_complete(store):
    artifacts = {f"p{i}": i for i in range(100)} | {"bad": Unpicklable()} | {f"q{i}": i for i in range(100)}
    with pytest.raises(ExceptionGroup):
        await store.save_many(artifacts)
    for path in await store.list_artifacts():
        assert await store.load(path) == artifacts[path]


async def test_every_outcome_is_collected(store):
    await store.save_many({"a": 1, "b": BIG})
    outcomes = await store.load_many(["a", "missing", "b", "../bad"], on_error="collect")
    assert list(outcomes) == ["a", "missing", "b", "../bad"]
    assert outcomes["a"] == Outcome(1)
    assert outcomes["b"].unwrap() == BIG
    assert isinstance(outcomes["missing"].error, ArtifactNotFoundError)
    assert isinstance(outcomes["../bad"].error, InvalidPathError)
    assert outcomes["missing"].error.operation == "load_many"


async def test_outcome():
    good: Outcome[int] = Outcome(3)
    bad: Outcome[int] = Outcome(error=ArtifactNotFoundError("gone", path="a"))
    assert (good.ok, good.unwrap(), good.error) == (True, 3, None)
    assert (bad.ok, bad.value) == (False, None)
    with pytest.raises(ArtifactNotFoundError, match="gone"):
        bad.unwrap()
    assert Outcome(None).ok


@pytest.mark.parametrize("position", [0, 49, 99])
async def test_collect_goes_on_after_a_failure(store, position):
    artifacts: dict[str, object] = {f"p{i:02}": i for i in range(100)}
    artifacts[f"p{position:02}"] = Unpicklable()
    outcomes = await store.save_many(artifacts, on_error="collect")
    assert [path for path, outcome in outcomes.items() if not outcome.ok] == [f"p{position:02}"]
    assert len(await store.list_artifacts()) == 99


async def test_materialize_many_is_keyed_by_name(store):
    locations = await store.materialize_many({"model": BIG, "metrics": {"acc": 0.93}}, "r1", "train", "churn")
    assert list(locations) == ["model", "metrics"]
    assert await store.load_many(locations.values()) == {locations["model"]: BIG, locations["metrics"]: {"acc": 0.93}}


async def test_materialize_many_collects(store):
    outcomes = await store.materialize_many({"good": 1, "bad/name": 2, "worse": Unpicklable()}, "r1", "s", on_error="collect")
    assert {name: outcome.ok for name, outcome in outcomes.items()} == {"good": True, "bad/name": False, "worse": False}
    assert isinstance(outcomes["bad/name"].error, InvalidPathError)
    assert outcomes["worse"].error.operation == "materialize_many"


async def test_untrusted_ones_are_told_one_by_one(opened):
    await opened().save_many({"data": 1, "code": print}, on_error="raise")
    outcomes = await opened(trust="data").load_many(["data", "code"], on_error="collect")
    assert outcomes["data"].unwrap() == 1
    assert isinstance(outcomes["code"].error, UntrustedArtifactError)


async def test_failure_of_one_record_is_the_failure_of_that_artifact(kind, objects):
    from opened import over

    faulty = FaultyObjectStore(objects, Fault("put", lambda: StoreError("broken", path="x"), key="p7/metadata.json"))
    outcomes = await over(kind, faulty).save_many({f"p{i}": BIG for i in range(20)}, on_error="collect")
    assert [path for path, outcome in outcomes.items() if not outcome.ok] == ["p7"]
    assert not any(key.startswith("p7/") for key in keys(objects))
