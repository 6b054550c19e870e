"""Lost answers, passing failures and uncertain commits: what is tried again, and what is never removed."""

from __future__ import annotations

import pytest
from opened import BIG, beneath, everything, keys, over, part, record, write

from aioartifacts import (
    ArtifactNotFoundError,
    ArtifactStore,
    ConflictError,
    IntegrityError,
    PermissionDeniedError,
    RetryPolicy,
    StoreError,
    TransientStoreError,
)
from aioartifacts.testing import AsyncFaultyObjectStore, AsyncObjectStoreAdapter, Fault, FaultyObjectStore

pytestmark = pytest.mark.asyncio

OTHER = bytes(reversed(BIG))
QUICK = RetryPolicy(deadline=10, base=0.0, cap=0.0)
NEVER = RetryPolicy(deadline=0, base=0.0, cap=0.0)
RECORD = "a/metadata.json"
PART = "a/.part*"


def lost():
    return TransientStoreError("no answer; try again", path="a")


def rivalry(kind, objects, path="a"):
    """Has a rival replace the artifact completely, parts and all."""

    def act():
        for key in keys(objects):
            objects.delete(key)
        for key, data in theirs.items():
            write(objects, key, data)
        return lost()

    theirs: dict[str, bytes] = {}
    return theirs, act


async def written_by_a_rival(kind, tmp_path, payload):
    aside = beneath(kind, tmp_path / "aside")
    await over(kind, aside).save(payload, "a")
    return everything(aside)


@pytest.fixture
def kind():
    """Only what drives async stores tries again; a disk's failures do not pass."""
    return "async"


@pytest.fixture
def faulty(objects):
    return FaultyObjectStore(objects)


@pytest.fixture
def store(faulty):
    return over("async", faulty, retry=QUICK)


@pytest.mark.parametrize("payload", [b"small", BIG])
@pytest.mark.parametrize("existing", [None, b"old", OTHER])
async def test_lost_answer_to_a_commit_is_a_success(store, faulty, objects, payload, existing):
    if existing is not None:
        await over("async", objects).save(existing, "a")
    faulty.script(Fault("put", lost, key=RECORD, when="after"))
    await store.save(payload, "a")
    assert len(faulty.fired) == 1
    assert await store.load("a") == payload
    assert await store.list_artifacts() == ["a"]
    assert len(keys(objects)) <= 2


async def test_lost_answer_to_a_create_only_commit_is_a_success(store, faulty, objects):
    faulty.script(Fault("put", lost, key=RECORD, when="after"))
    await store.save(BIG, "a", overwrite=False)
    assert faulty.fired
    assert await store.load("a") == BIG


@pytest.mark.parametrize("verb", ["put", "get", "head", "delete"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_passing_failures_are_tried_again(store, faulty, objects, verb, when):
    faulty.script(Fault(verb, lost, times=2, when=when))
    await store.save(BIG, "a")
    await store.save(OTHER, "a")
    assert await store.load("a") == OTHER
    assert await store.exists("a")
    assert await store.delete("a") is True
    assert len(faulty.fired) == 2
    assert not any(key == RECORD for key in keys(objects))


async def test_part_is_put_again(store, faulty, objects):
    faulty.script(Fault("put", lost, key=PART, times=3))
    await store.save(BIG, "a")
    assert [verb for verb, _ in faulty.fired] == ["put"] * 3
    assert await store.load("a") == BIG


async def test_part_of_unknown_size_is_put_again(store, faulty, objects):
    value = ["x" * 1000 + str(i) for i in range(5000)]
    faulty.script(Fault("put", lost, key=PART, times=2), Fault("put", lost, key=PART, when="after"))
    await store.save(value, "a", format="pickle")
    assert len(faulty.fired) == 3
    assert await store.load("a") == value


async def test_lost_answers_everywhere(store, faulty):
    """Every call goes wrong once, before or after it was carried out."""
    import itertools

    for when in ("before", "after"):
        for verb in ("put", "get", "head", "delete"):  # listings are resumed by the object store itself
            counter = itertools.count()
            faulty.heal()
            faulty.script(Fault(verb, lambda counter=counter: TransientStoreError(str(next(counter))), times=1, when=when))
            await store.save_many({"a": BIG, "b": 1})
            assert await store.load_many(["a", "b"]) == {"a": BIG, "b": 1}
            await store.save(OTHER, "a")
            assert await store.list_artifacts() == ["a", "b"]
            assert await store.delete_many(["a", "b"]) == {"a": True, "b": True}


@pytest.mark.parametrize("verb", ["save", "load", "exists", "delete"])
async def test_deadline_ends_it(objects, verb):
    await over("async", objects).save(BIG, "a")
    faulty = FaultyObjectStore(objects, Fault("*", lost, times=None))
    store = over("async", faulty, retry=NEVER)
    names = ("load", "exists", "delete")
    calls = {"save": lambda: store.save(OTHER, "a")} | {name: lambda name=name: getattr(store, name)("a") for name in names}
    with pytest.raises(TransientStoreError):
        await calls[verb]()
    assert await over("async", objects).load("a") == BIG


async def test_what_does_not_pass_is_not_tried_again(store, faulty, objects):
    faulty.script(Fault("put", lambda: PermissionDeniedError("no"), times=None))
    with pytest.raises(PermissionDeniedError):
        await store.save(BIG, "a")
    assert len(faulty.fired) == 1
    assert keys(objects) == []


# Uncertain commits


@pytest.mark.parametrize("kind", ["local", "memory", "async"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_parts_are_never_removed_after_an_uncertain_commit(kind, objects, when):
    await over(kind, objects).save(OTHER, "a")
    faulty = FaultyObjectStore(objects, Fault("put", lost, key=RECORD, nth=1 if when == "after" else 2, times=None, when=when))
    with pytest.raises(TransientStoreError):
        await over(kind, faulty, retry=NEVER).save(BIG, "a")
    assert faulty.fired
    # Whoever turns out to be there is complete.
    assert await over(kind, objects).load("a") == (BIG if when == "after" else OTHER)
    assert len([key for key in keys(objects) if key.startswith("a/.part")]) == 2


@pytest.mark.parametrize("kind", ["local", "memory", "async"])
@pytest.mark.parametrize("existing", [None, OTHER])
async def test_commit_that_failed_after_it_was_made_keeps_its_parts(kind, objects, existing):
    """Such as a disk that cannot say whether the record would survive a power cut."""
    if existing is not None:
        await over(kind, objects).save(existing, "a")
    failure = Fault("put", lambda: StoreError("might not be durable; save again", path="a"), key=RECORD, when="after")
    with pytest.raises(StoreError, match="might not be durable"):
        await over(kind, FaultyObjectStore(objects, failure)).save(BIG, "a")
    assert await over(kind, objects).load("a") == BIG


@pytest.mark.parametrize("kind", ["local", "memory", "async"])
async def test_commit_that_failed_for_good_leaves_nothing(kind, objects):
    await over(kind, objects).save(OTHER, "a")
    before = everything(objects)
    faulty = FaultyObjectStore(objects, Fault("put", lambda: StoreError("disk full", path="a"), key=RECORD, times=None))
    with pytest.raises(StoreError, match="disk full"):
        await over(kind, faulty).save(BIG, "a")
    assert everything(objects) == before


@pytest.mark.parametrize("kind", ["local", "memory", "async"])
async def test_when_nobody_can_tell_the_parts_stay(kind, objects):
    faulty = FaultyObjectStore(
        objects,
        Fault("put", lambda: StoreError("disk failed", path="a"), key=RECORD, when="after"),
        Fault("get", lambda: StoreError("cannot read", path="a"), times=1),
    )
    with pytest.raises(StoreError, match="disk failed"):
        await over(kind, faulty).save(BIG, "a")
    assert len(faulty.fired) == 2
    assert await over(kind, objects).load("a") == BIG


async def test_refusal_after_a_lost_answer_leaves_the_parts(store, faulty, objects):
    """The first attempt may yet arrive, though the second one was refused."""
    faulty.script(Fault("put", lost, key=RECORD), Fault("put", lambda: PermissionDeniedError("no"), key=RECORD, nth=2))
    with pytest.raises(PermissionDeniedError):
        await store.save(BIG, "a")
    assert len(keys(objects)) == 1


async def test_commit_replaced_by_a_rival_before_its_answer_was_missed(store, faulty, objects, tmp_path):
    """The rival has removed the parts of this write, so putting its record again would name parts that are gone."""
    theirs, act = rivalry("async", objects)
    theirs.update(await written_by_a_rival("async", tmp_path, OTHER))
    faulty.script(Fault("put", act, key=RECORD, when="after"))
    await store.save(BIG, "a")
    assert faulty.fired
    assert await store.load("a") == BIG
    assert keys(objects) == sorted([RECORD, part(objects, "a")])


async def test_commit_deleted_by_a_rival_before_its_answer_was_missed(store, faulty, objects):
    _, act = rivalry("async", objects)
    # The second attempt is told of a conflict, since the rival's record was there then; it is gone when looked at.
    faulty.script(Fault("put", act, key=RECORD, when="after"), Fault("put", lambda: ConflictError("changed"), key=RECORD, nth=2))
    await store.save(BIG, "a")
    assert len(faulty.fired) == 2
    assert await store.load("a") == BIG


async def test_small_commit_replaced_by_a_rival_before_its_answer_was_missed(store, faulty, objects, tmp_path):
    theirs, act = rivalry("async", objects)
    theirs.update(await written_by_a_rival("async", tmp_path, OTHER))
    faulty.script(Fault("put", act, key=RECORD, when="after"))
    await store.save(b"small", "a")
    assert await store.load("a") == b"small"
    assert keys(objects) == [RECORD]


async def test_lost_answer_to_a_delete_still_says_that_there_was_one(store, faulty, objects):
    await store.save(BIG, "a")
    faulty.script(Fault("delete", lost, key=RECORD, when="after"))
    assert await store.delete("a") is True
    assert keys(objects) == []


# Parts that cannot be removed


@pytest.mark.parametrize("kind", ["local", "memory", "async"])
async def test_old_parts_that_cannot_be_removed_are_no_failure(kind, objects, caplog):
    await over(kind, objects).save(OTHER, "a")
    old = part(objects, "a")
    faulty = FaultyObjectStore(objects, Fault("delete", lambda: StoreError("busy"), key=PART, times=None))
    store = over(kind, faulty)
    await store.save(BIG, "a")
    assert await store.load("a") == BIG
    assert old in keys(objects)
    assert "until a sweep" in caplog.text
    assert await store.delete("a") is True
    assert not await store.exists("a")


@pytest.mark.parametrize("kind", ["local", "memory", "async"])
async def test_first_failure_is_the_one_to_hear_of(kind, objects, caplog):
    faulty = FaultyObjectStore(
        objects,
        Fault("put", lambda: ConflictError("x"), key="never"),
        Fault("put", lambda: StoreError("disk full", path="a"), key=RECORD, times=None),
        Fault("delete", lambda: StoreError("busy"), times=None),
    )
    with pytest.raises(StoreError, match="disk full"):
        await over(kind, faulty).save(BIG, "a")
    assert "until a sweep" in caplog.text
    assert await over(kind, objects).exists("a") is False


async def test_store_that_keeps_something_else_is_noticed(objects):
    class Forgetful(AsyncObjectStoreAdapter):
        async def put(self, key, body, *, if_generation=None):
            info = await super().put(key, body, if_generation=if_generation)
            return type(info)(info.key, info.size - 1, info.generation) if ".part" in key else info

    with pytest.raises(IntegrityError, match="save again"):
        await ArtifactStore(Forgetful(objects), trust="all").save(BIG, "a")
    assert keys(objects) == []


async def test_retry_after_is_respected_by_the_deadline(objects):
    hint = Fault("get", lambda: TransientStoreError("busy", retry_after=3600), times=None)
    faulty = AsyncFaultyObjectStore(AsyncObjectStoreAdapter(objects), hint)
    store = ArtifactStore(faulty, trust="all", retry=RetryPolicy(deadline=60))
    with pytest.raises(TransientStoreError) as caught:
        await store.load("a")
    assert "given up after 1 attempts" in caught.value.__notes__[0]
    assert len(faulty.fired) == 1


async def test_missing_is_not_tried_again(store, faulty):
    faulty.script(Fault("get", lambda: ArtifactNotFoundError("gone"), times=None))
    with pytest.raises(ArtifactNotFoundError):
        await store.load("a")
    assert len(faulty.fired) <= 2


async def test_record_names_what_was_put(store, faulty, objects):
    faulty.script(Fault("put", lost, key=RECORD, times=1))
    await store.save(BIG, "a")
    assert f"a/{record(objects, 'a').file}" in keys(objects)
