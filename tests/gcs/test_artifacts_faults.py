"""Every fault at every request of every verb, for artifacts of every size: the verb works all the same, and leaves nothing behind.

Listings are not tried with flipped bits: they carry no digest, and TLS is what keeps them whole.
"""

from __future__ import annotations

import gc
import random
import warnings

import anyio
import pytest
from artifact_places import CHUNKS, PART, SMALL, Thing, names, opened, orphans
from store_places import fault, requests, server

from aioartifacts import ArtifactError, Limits, RetryPolicy, TransientStoreError
from aioartifacts.types import MIB

__all__ = ["server"]
pytestmark = pytest.mark.asyncio

FAULTS = {
    "429": {"action": "status", "status": 429},
    "408": {"action": "status", "status": 408},
    "503": {"action": "status", "status": 503},
    "503 though applied": {"action": "status", "status": 503, "when": "applied"},
    "503 half way": {"action": "status", "status": 503, "after_bytes": 300},
    "dropped": {"action": "drop"},
    "dropped half way": {"action": "drop", "after_bytes": 300},
    "dropped though applied": {"action": "drop", "when": "applied"},
    "truncated": {"action": "truncate"},
    "stalled": {"action": "stall"},
    "stalled though applied": {"action": "stall", "when": "applied"},
    "stalled in the answer": {"action": "stall", "when": "answer"},
}
SIZES = {
    "small": (SMALL, {}),
    "one part": (PART, {}),
    "in chunks": (Thing(CHUNKS), {}),
    "in parallel": (bytes(9 * MIB) + b"1", {"chunk_size": 5 * MIB, "parallel_from": 8 * MIB}),
}
OLD = Thing(PART)


async def save(store, value):
    await store.save(value, "a")
    return await store.load("a") == value


async def overwrite(store, value):
    return await save(store, value)


async def load(store, value):
    return await store.load("a") == value


async def look(store, value):
    return await store.exists("a") and (await store.info("a")).size == await store.size("a") > 0


async def list_all(store, value):
    return await store.list_artifacts() == ["a"] and await store.list_artifacts("a") == ["a"]


async def delete(store, value):
    return await store.delete("a") is True and not await store.exists("a")


VERBS = {"save": save, "overwrite": overwrite, "load": load, "look": look, "list": list_all, "delete": delete}
CASES = [
    *(("save", size) for size in SIZES),
    *(("overwrite", size) for size in ("small", "one part", "in chunks")),
    ("load", "one part"), ("load", "in parallel"), ("look", "one part"), ("list", "one part"), ("delete", "small"), ("delete", "one part"),
]  # fmt: skip


def unfinished_bytes(server):
    """Bytes in unfinished uploads. One that was opened while its answer was lost may remain; the service forgets it, and it is empty."""
    open_sessions = [one for one in server.state.sessions.values() if one.result is None and not one.cancelled]
    return sum(one.content.size for one in open_sessions) + sum(len(one.parts) for one in server.state.multiparts.values())


async def prepare(server, store, verb, value):
    server.faults.remove()
    server.control.reset()
    if verb != "save":
        await store.save(OLD if verb == "overwrite" else value, "a")
    server.journal.clear()


@pytest.mark.parametrize(("verb", "size"), CASES)
@pytest.mark.parametrize("trouble", FAULTS)
async def test_trouble_with_any_request_of_a_verb_is_survived(server, verb, size, trouble):
    value, options = SIZES[size]
    async with opened(server, **options) as store:
        await prepare(server, store, verb, value)
        assert await VERBS[verb](store, value)
        count = len(requests(server))
    if "stalled" in trouble:
        options = options | {"sock_read": 0.2}
    async with opened(server, **options) as store:
        for nth in range(1, count + 1):
            await prepare(server, store, verb, value)
            fault(server, **FAULTS[trouble], nth=nth, count=1)
            assert await VERBS[verb](store, value), nth
            assert server.faults.installed()[0]["fired"] == 1
            server.faults.remove()
            server.control.release()
            # A rival may have replaced a commit of which no answer came, and removed its parts. So it is done anew, with others.
            assert len(orphans(server)) <= (verb == "overwrite"), nth
            await store.sweep(grace=0, dry_run=False)
            assert orphans(server) == set(), nth
            assert names(server) == set() if verb == "delete" else "a/metadata.json" in names(server)
            assert unfinished_bytes(server) == 0, nth


@pytest.mark.parametrize(("verb", "size"), [case for case in CASES if case[0] in ("load", "look", "delete")])
async def test_bit_flipped_on_its_way_down_never_comes_through(server, verb, size):
    value, options = SIZES[size]
    async with opened(server, **options) as store:
        await prepare(server, store, verb, value)
        await VERBS[verb](store, value)
        for nth in range(1, len(requests(server)) + 1):
            await prepare(server, store, verb, value)
            fault(server, "flip", nth=nth, count=1, query="alt=media")
            assert await VERBS[verb](store, value), nth


@pytest.mark.parametrize(("verb", "size"), [case for case in CASES if case[0] in ("save", "overwrite")])
async def test_bit_flipped_in_an_answer_to_a_save_leaves_old_or_new(server, verb, size):
    value, options = SIZES[size]
    async with opened(server, **options) as store:
        await prepare(server, store, verb, value)
        await VERBS[verb](store, value)
        for nth in range(1, len(requests(server)) + 1):
            await prepare(server, store, verb, value)
            fault(server, "flip", nth=nth, count=1)
            try:
                await store.save(value, "a")
                saved = True
            except ArtifactError:
                saved = False
            server.faults.remove()
            found = await store.load("a") if await store.exists("a") else None
            assert found == value or (not saved and found == (OLD if verb == "overwrite" else None)), nth
            assert orphans(server) == set(), nth


@pytest.mark.parametrize("when", ["before", "applied"])
async def test_what_never_gets_better_is_an_error_after_the_deadline(server, when):
    async with opened(server, retry=RetryPolicy(deadline=0.05, base=0.01, cap=0.01)) as store:
        fault(server, "status", status=503, when=when)
        with pytest.raises(TransientStoreError, match="503"):
            await store.save(SMALL, "a")
        with pytest.raises(TransientStoreError, match="503"):
            await store.load("a")
    assert names(server) == (set() if when == "before" else {"a/metadata.json"})


def storm(server):
    """Nearly every fourth request meets with a fault of some kind."""
    kinds = [FAULTS[name] for name in FAULTS if "stalled" not in name] + [{"action": "flip", "query": "alt=media"}]
    for seed, kind in enumerate(kinds):
        fault(server, **kind, probability=0.25 / len(kinds), seed=seed)


def objects():
    found = {f"p/{number}": {"n": number, "text": "x" * (number % 500)} for number in range(440)}
    found |= {f"p/{number}": Thing(PART + bytes([number % 256])) for number in range(440, 490)}
    return found | {f"p/{number}": Thing(CHUNKS + bytes([number % 256])) for number in range(490, 500)}


async def test_five_hundred_saves_in_a_storm(server):
    first = objects()
    second = {path: {"again": path} if number % 3 else value for number, (path, value) in enumerate(reversed(first.items()))}
    async with opened(server, limits=Limits(transfers=16)) as store:
        storm(server)
        for value in (first, second):
            saved = await store.save_many(value, on_error="collect")
            assert {path: outcome.error for path, outcome in saved.items() if not outcome.ok} == {}
            loaded = await store.load_many(value, on_error="collect")
            assert {path: outcome.error for path, outcome in loaded.items() if not outcome.ok} == {}
            assert {path: outcome.value for path, outcome in loaded.items()} == value
        troubled = sum(rule["fired"] for rule in server.faults.installed())
        assert troubled / len(requests(server)) > 0.18
        server.faults.remove()
        assert await store.load_many(second) == second
        assert await store.list_artifacts() == sorted(second)
        # A commit whose answer was lost, and which is then refused, may have been replaced with its parts: it is done anew with others.
        assert len(orphans(server)) < 20
        await store.sweep(grace=0, dry_run=False)
        assert (await store.verify()).ok
    assert orphans(server) == set()
    assert unfinished_bytes(server) == 0


async def test_deletes_in_a_storm(server):
    async with opened(server) as store:
        await store.save_many(objects())
        storm(server)
        assert await store.delete_many(objects()) == dict.fromkeys(objects(), True)
        server.faults.remove()
    assert names(server) == set()


async def test_rivals_in_a_storm(server):
    """Every writer ends, nobody is told of a conflict that was none, and what remains is one of the values, whole."""
    values = [Thing(PART + bytes([number])) if number % 2 else {"n": number} for number in range(12)]
    async with opened(server) as one, opened(server) as other:
        storm(server)
        async with anyio.create_task_group() as group:
            for number, value in enumerate(values):
                group.start_soon((one if number % 2 else other).save, value, "a")
        server.faults.remove()
        assert await one.load("a") in values
        assert len(orphans(server)) <= 12, "of writes that may have been replaced already when they were told of nothing"
        await one.sweep(grace=0, dry_run=False)
        assert await one.load("a") in values
    assert orphans(server) == set()


async def test_nothing_is_left_open_after_trouble(server):
    store_options = {"sock_read": 0.05}
    async with opened(server, **store_options) as store:
        for name in FAULTS:
            fault(server, **FAULTS[name], nth=random.Random(name).randint(1, 5), count=1)
        await store.save(Thing(CHUNKS), "a")
        assert await store.load("a") == Thing(CHUNKS)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del store
        gc.collect()
    assert [str(warning.message) for warning in caught] == []
