"""What steps leave behind, at ``project/date/run_id/data/step/name``; the run handle that pins the date."""

from __future__ import annotations

import datetime
from types import SimpleNamespace

import pytest
from opened import BIG, KINDS, keys

import aioartifacts.run
from aioartifacts import InvalidConfigError, InvalidPathError, Run

pytestmark = pytest.mark.asyncio


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param

NOV_20 = datetime.datetime(2026, 11, 20, 23, 59, 59, tzinfo=datetime.UTC)


@pytest.fixture
def now(monkeypatch):
    """The store's clock."""
    clock = SimpleNamespace(time=NOV_20)

    class Datetime(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            assert tz is datetime.UTC
            return clock.time

    fake = SimpleNamespace(datetime=Datetime, date=datetime.date, UTC=datetime.UTC)
    monkeypatch.setattr(aioartifacts.run, "datetime", fake)
    return clock


async def test_layout(store, now):
    location = await store.materialize([1], "features", "r1", "prep", "churn")
    assert location.endswith("/churn/2026-11-20/r1/data/prep/features")
    assert await store.list_artifacts() == ["churn/2026-11-20/r1/data/prep/features"]
    assert await store.load(location) == [1]


async def test_project_is_default_by_default(store, now):
    await store.materialize(obj=1, name="n", run_id="r", step_name="s")
    assert await store.list_artifacts() == ["default/2026-11-20/r/data/s/n"]


async def test_producer_is_recorded(store, now):
    location = await store.materialize(BIG, "n", "r", "s", "p")
    assert (await store.info(location)).producer == {"project": "p", "date": "2026-11-20", "run": "r", "step": "s", "name": "n"}


async def test_materializing_again_replaces(store, objects, now):
    await store.materialize(BIG, "n", "r", "s")
    location = await store.materialize(2, "n", "r", "s")
    assert await store.load(location) == 2
    assert len(keys(objects)) == 1


async def test_date_is_that_of_the_call(store, now):
    first = await store.materialize(1, "n", "r", "s")
    now.time += datetime.timedelta(seconds=2)
    second = await store.materialize(2, "n", "r", "s")
    assert "/2026-11-20/" in first
    assert "/2026-11-21/" in second
    assert await store.load(first) == 1


async def test_run_keeps_its_date_past_midnight(store, now):
    run = store.run("r1", "churn")
    first = await run.materialize(1, "n", "s")
    now.time += datetime.timedelta(days=3)
    assert await run.materialize(2, "n", "s") == first
    assert await run.load("n", "s") == await store.load(first) == 2
    many = await run.materialize_many({"a": 1, "b": BIG}, "s")
    assert all("/2026-11-20/" in location for location in many.values())
    assert run.date == datetime.date(2026, 11, 20)


@pytest.mark.parametrize(
    "date",
    [
        "2026-11-20",
        datetime.date(2026, 11, 20),
        datetime.datetime(2026, 11, 20, 12, 30),
        datetime.datetime(2026, 11, 20, 12, 30, tzinfo=datetime.UTC),
    ],
)
async def test_run_of_a_given_date(store, date):
    run = store.run("r1", "churn", date=date)
    assert run.path("n", "s") == "churn/2026-11-20/r1/data/s/n"
    await run.materialize(1, "n", "s")
    assert await store.list_artifacts("churn") == ["churn/2026-11-20/r1/data/s/n"]


@pytest.mark.parametrize("date", ["", "yesterday", "2026-13-01", 20261120, 1.5, b"2026-11-20"])
async def test_date_that_is_none_is_refused(store, date):
    with pytest.raises(InvalidConfigError, match="YYYY-MM-DD"):
        store.run("r1", date=date)


async def test_run_collects(store):
    run = store.run("r1", date="2026-11-20")
    outcomes = await run.materialize_many({"a": 1, "b/c": 2}, "s", on_error="collect")
    assert {name: outcome.ok for name, outcome in outcomes.items()} == {"a": True, "b/c": False}


async def test_run_is_what_the_store_makes(store):
    run = store.run("r1", "p", date="2026-11-20")
    assert type(run) is Run
    assert (run.run_id, run.project_name, run.store) == ("r1", "p", store)


BAD = ["", ".", "..", "a/b", "../x", "/etc", "a\0b", "metadata.json", ".part-x", "con", "x" * 256, None, 7, b"n"]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("component", ["name", "run_id", "step_name", "project_name"])
async def test_component_that_is_no_segment_is_refused(store, objects, component, bad):
    components = {"name": "n", "run_id": "r", "step_name": "s", "project_name": "p"} | {component: bad}
    with pytest.raises(InvalidPathError, match=component) as caught:
        await store.materialize(1, **components)
    assert caught.value.operation == "materialize"
    assert keys(objects) == []


async def test_components_that_are_too_long_together_are_refused(store, objects):
    with pytest.raises(InvalidPathError, match="longer than 700"):
        await store.materialize(1, "n" * 200, "r" * 200, "s" * 200, "p" * 200)
    assert keys(objects) == []
