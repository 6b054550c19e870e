"""Saving over what is there: one step, no leftovers, and rivals told apart."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from opened import BIG, KINDS, beneath, document, everything, forge, keys, over, part, read, record, write

from aioartifacts import (
    ArtifactExistsError,
    ConflictError,
    EncodeError,
    MetadataError,
    RecordError,
    RetryPolicy,
)
from aioartifacts.objects.base import Buffers
from aioartifacts.record import decode_record
from aioartifacts.testing import Fault, FaultyObjectStore

pytestmark = pytest.mark.asyncio


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param

OTHER = bytes(reversed(BIG))


@pytest.mark.parametrize("first", [b"small", BIG])
@pytest.mark.parametrize("second", [b"tiny", OTHER])
async def test_saving_again_replaces(store, objects, first, second):
    await store.save(first, "a", {"n": 1})
    await store.save(second, "a")
    assert await store.load("a") == second
    assert await store.get_metadata("a") == {}
    assert len(keys(objects)) == (2 if len(second) > 16_384 else 1)


async def test_saving_another_type_replaces(store):
    await store.save({"a": 1}, "a")
    await store.save("text", "a")
    assert await store.load("a") == "text"
    assert (await store.info("a")).format == "str"


async def test_overwriting_leaves_neighbours(store):
    for path in ("a", "a/b", "ab", "b/a"):
        await store.save(BIG + path.encode(), path)
    await store.save(OTHER, "a")
    for path in ("a/b", "ab", "b/a"):
        assert await store.load(path) == BIG + path.encode()


@pytest.mark.parametrize("first", [b"small", BIG])
async def test_create_only_keeps_what_is_there(store, objects, first):
    await store.save(first, "a")
    before = everything(objects)
    with pytest.raises(ArtifactExistsError, match="overwrite=False") as caught:
        await store.save(OTHER, "a", overwrite=False)
    assert (caught.value.path, caught.value.operation) == ("a", "save")
    assert everything(objects) == before


async def test_create_only_creates(store):
    await store.save(BIG, "a", overwrite=False)
    assert await store.load("a") == BIG


@pytest.mark.parametrize("found", ["record", "nothing yet"])
async def test_create_only_loses_to_a_rival_and_leaves_nothing(kind, tmp_path, found):
    objects = beneath(kind, tmp_path / "root")
    await over(kind, objects).save(b"rival", "other")
    rival = read(objects, "other/metadata.json").replace(b'"path":"other"', b'"path":"a"')

    def commit_first(verb, key):
        fields = document(objects, "other") | {"path": "a"}
        forge(objects, "a", fields)
        return ArtifactExistsError("exists")

    faulty = FaultyObjectStore(objects, Fault("put", lambda: commit_first("put", ""), key="a/metadata.json"))
    with pytest.raises(ArtifactExistsError):
        await over(kind, faulty).save(BIG, "a", overwrite=False)
    assert faulty.fired
    assert rival
    assert keys(objects) == ["a/metadata.json", "other/metadata.json"]
    assert await over(kind, objects).load("a") == b"rival"


@pytest.mark.parametrize("failure", ["encode", "metadata"])
async def test_failed_overwrite_keeps_what_is_there(store, objects, failure):
    await store.save(BIG, "a", {"n": 1})
    before = everything(objects)
    if failure == "encode":
        with pytest.raises(EncodeError):
            await store.save(Unpicklable(), "a")
    else:
        with pytest.raises(MetadataError):
            await store.save(OTHER, "a", {"n": float("nan")})
    assert everything(objects) == before


async def test_write_ids_are_never_used_twice(store, objects):
    seen = set()
    for _ in range(20):
        await store.save(1, "a")
        seen.add(record(objects, "a").write_id)
    assert len(seen) == 20


async def test_rival_in_between_is_replaced_and_its_part_removed(kind, tmp_path):
    objects = beneath(kind, tmp_path / "root")
    rival = over(kind, objects)
    await rival.save(b"first", "a")
    replaced = await rival_record(kind, tmp_path, objects)

    def replace() -> ConflictError:
        for key, data in replaced.items():
            write(objects, key, data)
        return ConflictError("replaced meanwhile")

    # The first put of the record is refused because there is one, the second because the rival came in between.
    faulty = FaultyObjectStore(objects, Fault("put", replace, key="a/metadata.json", nth=2))
    await over(kind, faulty).save(BIG, "a")
    assert faulty.fired
    assert await rival.load("a") == BIG
    assert keys(objects) == sorted(["a/metadata.json", part(objects, "a")])


async def rival_record(kind, tmp_path, objects):
    """What a rival would have written to ``a``."""
    aside = beneath(kind, tmp_path / "aside")
    await over(kind, aside).save(OTHER, "a")
    return everything(aside)


async def test_rival_who_deletes_in_between_does_no_harm(kind, tmp_path):
    objects = beneath(kind, tmp_path / "root")
    await over(kind, objects).save(OTHER, "a")
    gone = part(objects, "a")

    def delete() -> ConflictError:
        objects.delete("a/metadata.json")
        objects.delete(gone)
        return ConflictError("deleted meanwhile")

    faulty = FaultyObjectStore(objects, Fault("put", delete, key="a/metadata.json", nth=2))
    await over(kind, faulty).save(BIG, "a")
    assert faulty.fired
    assert await over(kind, objects).load("a") == BIG


async def test_rivals_without_end_are_a_conflict_after_the_deadline(kind, tmp_path):
    objects = beneath(kind, tmp_path / "root")
    await over(kind, objects).save(b"theirs", "a")
    faulty = FaultyObjectStore(objects, Fault("put", lambda: ConflictError("rival"), key="a/metadata.json", times=None))
    store = over(kind, faulty, retry=RetryPolicy(deadline=10, base=0.0))
    ticks = itertools.count(0, 3)
    store._config = dataclasses.replace(store._config, clock=lambda: next(ticks))
    with pytest.raises(ConflictError, match="again and again for 10 s") as caught:
        await store.save(BIG, "a")
    assert (caught.value.path, caught.value.operation) == ("a", "save")
    assert len(faulty.fired) == 5
    assert keys(objects) == ["a/metadata.json"]
    assert await over(kind, objects).load("a") == b"theirs"


async def test_deadline_of_zero_still_replaces(opened):
    store = opened(retry=RetryPolicy(deadline=0))
    await store.save(1, "a")
    await store.save(2, "a")
    assert await store.load("a") == 2


async def test_damaged_record_is_replaced(store, objects):
    await store.save(1, "a")
    write(objects, "a/metadata.json", read(objects, "a/metadata.json")[:-30])
    await store.save(2, "a")
    assert await store.load("a") == 2


async def test_empty_record_is_replaced(store, objects):
    write(objects, "a/metadata.json", b"")
    await store.save(2, "a")
    assert await store.load("a") == 2


@pytest.mark.parametrize("like_today", [True, False])
async def test_record_of_a_newer_version_is_not_replaced(store, objects, like_today):
    await store.save(BIG, "a")
    fields = document(objects, "a")
    if not like_today:
        fields["path"] = {"new": "shape"}
    forge(objects, "a", fields | {"aioartifacts": 2})
    before = everything(objects)
    with pytest.raises(RecordError, match="upgrade"):
        await store.save(2, "a")
    assert everything(objects) == before


async def test_record_of_a_newer_version_is_not_deleted(store, objects):
    await store.save(BIG, "a")
    forge(objects, "a", document(objects, "a") | {"aioartifacts": 2})
    before = everything(objects)
    with pytest.raises(RecordError, match="upgrade"):
        await store.delete("a")
    assert everything(objects) == before


async def test_record_of_another_path_is_not_replaced(store, objects):
    """On a disk that folds case, ``Model`` finds the record of ``model``."""
    await store.save(BIG, "model")
    write(objects, "Model/metadata.json", read(objects, "model/metadata.json"))
    before = everything(objects)
    with pytest.raises(ConflictError, match="does not tell the two names apart"):
        await store.save(2, "Model")
    assert everything(objects) == before


async def test_create_only_save_of_another_case_is_refused_too(store, objects):
    await store.save(1, "model")
    write(objects, "Model/metadata.json", read(objects, "model/metadata.json"))
    with pytest.raises(ArtifactExistsError):
        await store.save(2, "Model", overwrite=False)


async def test_foreign_document_is_not_overwritten(store, objects):
    write(objects, "a/metadata.json", b'{"somebody": "else"}')
    with pytest.raises(ConflictError, match="neither aioartifacts nor FlowyML"):
        await store.save(BIG, "a")
    assert everything(objects) == {"a/metadata.json": b'{"somebody": "else"}'}


async def test_commit_is_conditional(kind, tmp_path):
    objects = beneath(kind, tmp_path / "root")
    await over(kind, objects).save(1, "a")
    first = objects.get("a/metadata.json").info.generation
    await over(kind, objects).save(2, "a")
    with pytest.raises(ConflictError):
        objects.put("a/metadata.json", Buffers(b"x"), if_generation=first)
    assert decode_record(read(objects, "a/metadata.json"), "a").record.path == "a"


class Unpicklable:
    def __reduce__(self):
        raise ValueError("cannot be pickled")
