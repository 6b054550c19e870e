"""Stores that remember, fail and wait; and the suite itself, on stores that are right and on stores that are wrong."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import threading

import pytest
from dict_store import DictObjectStore, DictSuite

from aioartifacts.errors import (
    ArtifactNotFoundError,
    InvalidConfigError,
    TransientStoreError,
)
from aioartifacts.objects.base import (
    AsyncObjectStore,
    BlockingObjectStore,
    Buffers,
    ObjectStore,
    Producer,
    PutRequest,
)
from aioartifacts.testing import (
    AsyncFaultyObjectStore,
    AsyncObjectStoreAdapter,
    AsyncRecordingObjectStore,
    AsyncSlowObjectStore,
    Fault,
    FaultyObjectStore,
    RecordedCall,
    RecordingObjectStore,
    SlowObjectStore,
    flip_bit,
    truncate,
)
from aioartifacts.testing.driving import ChunkedBody
from aioartifacts.types import ObjectInfo


class TestDictObjectStore(DictSuite):
    @pytest.fixture
    def store(self):
        return DictObjectStore()


class TestAsyncObjectStoreAdapter(DictSuite):
    @pytest.fixture
    def store(self):
        return AsyncObjectStoreAdapter(DictObjectStore(), chunk_size=100_000)


class TestBlockingWrappers(DictSuite):
    @pytest.fixture
    def store(self):
        return RecordingObjectStore(FaultyObjectStore(SlowObjectStore(DictObjectStore())))


class TestAsyncWrappers(DictSuite):
    @pytest.fixture
    def store(self):
        adapter = AsyncObjectStoreAdapter(DictObjectStore(), chunk_size=100_000)
        return AsyncRecordingObjectStore(AsyncFaultyObjectStore(AsyncSlowObjectStore(adapter)))


# nothing gets round a wrapper

BLOCKING = (RecordingObjectStore, FaultyObjectStore, SlowObjectStore)
ASYNC = (AsyncRecordingObjectStore, AsyncFaultyObjectStore, AsyncSlowObjectStore)


def _contract(kind: type[ObjectStore]) -> set[str]:
    methods = {name for cls in (ObjectStore, kind) for name, value in vars(cls).items() if inspect.isfunction(value)}
    return {name for name in methods if name == "__reduce__" or not name.startswith("_")}


WRAPPERS = pytest.mark.parametrize(
    ("wrapper", "kind"),
    [
        *((cls, BlockingObjectStore) for cls in BLOCKING),
        *((cls, AsyncObjectStore) for cls in (*ASYNC, AsyncObjectStoreAdapter)),
    ],
)


@WRAPPERS
def test_wrapper_overrides_every_method_of_the_contract(wrapper, kind):
    assert {"put", "list", "validate", "location"} < _contract(kind)
    inherited = {
        name
        for name in _contract(kind)
        if getattr(wrapper, name) in (vars(kind).get(name), vars(ObjectStore).get(name))
    }
    assert inherited == set()


@WRAPPERS
def test_wrapper_takes_every_argument_of_the_contract(wrapper, kind):
    for name in _contract(kind):
        parameters = inspect.signature(getattr(kind, name)).parameters
        assert inspect.signature(getattr(wrapper, name)).parameters.keys() == parameters.keys()


@pytest.mark.parametrize("wrapper", BLOCKING)
def test_wrapper_takes_over_what_the_store_says_of_itself(wrapper):
    inner = DictObjectStore()
    inner.trusted_by_default = True
    store = wrapper(inner)
    assert (store.url, store.config(), store.trusted_by_default, store.doubt()) == (
        inner.url,
        {"kind": "dict"},
        True,
        None,
    )


# remember


def test_recording_store_tells_verb_key_and_details():
    store = RecordingObjectStore(DictObjectStore())
    store.put("a", Buffers(b"abc"), if_generation=0)
    store.get("a", start=1)
    list(store.list("a", name="x"))
    assert store.calls == [
        RecordedCall("put", "a", {"if_generation": 0, "size": 3}),
        RecordedCall("get", "a", {"start": 1, "length": None, "into": False}),
        RecordedCall("list", "a", {"name": "x"}),
    ]
    assert store.keys("put") == ["a"]


def test_recording_store_tells_a_call_that_fails():
    store = RecordingObjectStore(DictObjectStore())
    with pytest.raises(ArtifactNotFoundError):
        store.head("missing")
    assert store.keys("head") == ["missing"]


def test_recording_store_tells_a_batch_and_its_objects():
    store = RecordingObjectStore(DictObjectStore())
    store.put_many([PutRequest("a", Buffers(b"1")), PutRequest("b", Producer(lambda sink: sink.write(b"2")))])
    assert [(call.verb, call.key) for call in store.calls] == [("put_many", ""), ("put", "a"), ("put", "b")]
    assert store.calls[0].details == {"keys": ("a", "b")}


@pytest.mark.asyncio
async def test_async_recording_store_tells_calls():
    store = AsyncRecordingObjectStore(AsyncObjectStoreAdapter(DictObjectStore()))
    await store.put("a", ChunkedBody(Buffers(b"abc")))
    await store.aclose()
    assert store.calls == [RecordedCall("put", "a", {"if_generation": None, "size": 3}), RecordedCall("aclose", "")]


# fail


def _faulty(*faults: Fault) -> FaultyObjectStore:
    store = FaultyObjectStore(DictObjectStore(), *faults)
    store.inner.put("a", Buffers(b"0123"))
    return store


def test_fault_before_keeps_the_call_from_the_store():
    store = _faulty(Fault("put", TransientStoreError("scripted")))
    with pytest.raises(TransientStoreError):
        store.put("a", Buffers(b"new"))
    assert bytes(store.get("a").data) == b"0123"
    assert store.fired == [("put", "a")]


def test_fault_after_loses_the_answer_of_a_call_that_was_carried_out():
    store = _faulty(Fault("put", TransientStoreError("scripted"), when="after"))
    with pytest.raises(TransientStoreError):
        store.put("a", Buffers(b"new"))
    assert bytes(store.get("a").data) == b"new"


def test_fault_strikes_the_nth_matching_calls_only():
    store = _faulty(Fault("head", lambda: TransientStoreError("scripted"), key="a*", nth=2, times=2))
    store.put("b", Buffers(b""))
    outcomes = []
    for key in ("a", "b", "a", "a", "b", "a"):
        try:
            outcomes.append(store.head(key).key)
        except TransientStoreError:
            outcomes.append("fault")
    assert outcomes == ["a", "b", "fault", "fault", "b", "a"]


def test_fault_without_end_lasts_until_healed():
    store = _faulty(Fault("*", lambda: TransientStoreError("scripted"), times=None))
    for verb in (store.head, store.get, store.delete):
        with pytest.raises(TransientStoreError):
            verb("a")
    store.heal()
    assert store.head("a").size == 4


def test_fault_added_later_counts_from_then():
    store = _faulty()
    store.head("a")
    store.script(Fault("head", TransientStoreError("scripted")))
    with pytest.raises(TransientStoreError):
        store.head("a")


def test_fault_strikes_one_object_of_a_batch():
    lost = TransientStoreError("lost")
    store = _faulty(Fault("put", TransientStoreError("first"), key="x"), Fault("put", lost, key="z", when="after"))
    answers = store.put_many([PutRequest(key, Buffers(key.encode())) for key in "xyz"])
    assert isinstance(answers[0], TransientStoreError)
    assert isinstance(answers[1], ObjectInfo)
    assert answers[2] is lost
    assert sorted(info.key for info in store.list()) == ["a", "y", "z"]


def test_fault_of_a_listing_strikes_at_its_beginning_or_its_end():
    store = _faulty(
        Fault("list", TransientStoreError("scripted")), Fault("list", TransientStoreError("scripted"), when="after")
    )
    with pytest.raises(TransientStoreError):
        next(store.list())
    listing = store.list()
    assert next(listing).key == "a"
    with pytest.raises(TransientStoreError):
        next(listing)


@pytest.mark.parametrize(("damage", "damaged"), [(truncate(1), b"0"), (flip_bit(), b"1123"), (flip_bit(-1), b"0122")])
def test_damage_changes_what_is_read_and_not_what_is_stored(damage, damaged):
    store = _faulty(Fault("get", damage=damage), Fault("get", damage=damage), Fault("map", damage=damage))
    store.heal()
    store.script(Fault("*", damage=damage, times=3))
    into = bytearray(4)
    assert bytes(store.get("a").data) == damaged
    assert bytes(store.get("a", into=memoryview(into)).data) == into[: len(damaged)] == damaged
    assert bytes(store.map("a")) == damaged
    assert bytes(store.get("a").data) == b"0123"


def test_damage_cannot_be_got_round_by_reading_the_file():
    class Filed(DictObjectStore):
        def file(self, key):
            return "/some/file"

    assert FaultyObjectStore(Filed()).file("a") == "/some/file"
    assert FaultyObjectStore(Filed(), Fault("get", damage=truncate(0))).file("a") is None


@pytest.mark.parametrize(
    "options", [{}, {"error": OSError(), "damage": truncate(1)}, {"damage": truncate(1), "verb": "put"}]
)
def test_fault_that_makes_no_sense_is_refused(options):
    with pytest.raises(InvalidConfigError):
        Fault(**{"verb": "get", **options})


@pytest.mark.asyncio
async def test_async_faulty_store_loses_an_answer():
    inner = DictObjectStore()
    store = AsyncFaultyObjectStore(
        AsyncObjectStoreAdapter(inner), Fault("put", TransientStoreError("lost"), when="after")
    )
    with pytest.raises(TransientStoreError):
        await store.put("a", ChunkedBody(Buffers(b"data")))
    assert list(inner.objects) == ["a"]


@pytest.mark.parametrize(
    "store",
    [
        FaultyObjectStore(DictObjectStore(), Fault("get", OSError())),
        SlowObjectStore(DictObjectStore(), threading.Event()),
    ],
)
def test_scripted_store_refuses_to_be_pickled(store):
    with pytest.raises(InvalidConfigError, match="not pickled"):
        pickle.dumps(store)


# wait


@pytest.mark.parametrize(("when", "meanwhile"), [("before", set()), ("after", {"a"})])
def test_slow_store_holds_a_call_until_the_gate_opens(when, meanwhile):
    gate = threading.Event()
    store = SlowObjectStore(DictObjectStore(), gate, verb="put", when=when)
    thread = threading.Thread(target=store.put, args=("a", Buffers(b"data")))
    thread.start()
    assert store.entered.wait(30)
    assert set(store.inner.objects) == meanwhile
    assert store.waiting == [("put", "a")]
    gate.set()
    thread.join(30)
    assert set(store.inner.objects) == {"a"}
    assert store.waiting == []


def test_slow_store_calls_a_function_for_matching_calls_only():
    held = []
    store = SlowObjectStore(DictObjectStore(), lambda verb, key: held.append((verb, key)), verb="put", key="*/x")
    for key in ("a/x", "a/y"):
        store.put(key, Buffers(b""))
        store.head(key)
    assert held == [("put", "a/x")]


@pytest.mark.asyncio
@pytest.mark.parametrize(("when", "meanwhile"), [("before", set()), ("after", {"a"})])
async def test_async_slow_store_holds_a_call_until_the_gate_opens(when, meanwhile):
    gate = asyncio.Event()
    inner = DictObjectStore()
    store = AsyncSlowObjectStore(AsyncObjectStoreAdapter(inner), gate, verb="put", when=when)
    async with asyncio.TaskGroup() as group:
        group.create_task(store.put("a", ChunkedBody(Buffers(b"data"))))
        await store.entered.wait()
        assert set(inner.objects) == meanwhile
        gate.set()
    assert set(inner.objects) == {"a"}


@pytest.mark.asyncio
async def test_adapter_commits_nothing_after_a_cancelled_put():
    entered, gate = threading.Event(), threading.Event()
    inner = DictObjectStore()
    slow = SlowObjectStore(inner, lambda verb, key: entered.set() or gate.wait(30), verb="put")
    task = asyncio.create_task(AsyncObjectStoreAdapter(slow).put("a", ChunkedBody(Buffers(b"data"))))
    await asyncio.to_thread(entered.wait, 30)
    task.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done(), "the thread is still at it"
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert inner.objects == {}
