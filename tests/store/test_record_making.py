"""What goes into a record, and where it is made: off the loop when that may take long, and never such that it cannot be read back."""

from __future__ import annotations

import threading

import pytest
from opened import keys, over

from aioartifacts import ArtifactNotFoundError, Buffers, EncodeError, Materializer, Part
from aioartifacts.materializers.base import Dump

pytestmark = pytest.mark.asyncio


class Thing:
    """Something only the materializers here know."""


def dumping(dump):
    class ThingMaterializer(Materializer):
        name = "thing"
        format = "thing"
        safe = True

        def accepts(self, obj):
            return isinstance(obj, Thing)

        def dump(self, obj):
            return dump

        def load(self, parts):
            return Thing()

    return ThingMaterializer


@pytest.mark.parametrize(
    "dump",
    [
        Dump([Part("a", Buffers(b"x" * 20_000))], meta={"a": object()}),
        Dump([Part("a", Buffers(b"x" * 20_000))], meta={"a": "\ud800"}),
        Dump([Part("\ud800", Buffers(b"x"))]),
        Dump([Part("a", Buffers(b"1")), Part("a", Buffers(b"2"))]),
    ],
    ids=["meta that is not JSON", "meta that is not UTF-8", "part's name that is not UTF-8", "two parts of one name"],
)
async def test_dump_that_no_record_can_hold_is_refused(store, objects, dump):
    store.materializers.register(dumping(dump), types=Thing)
    with pytest.raises(EncodeError, match="thing"):
        await store.save(Thing(), "a")
    assert keys(objects) == []
    with pytest.raises(ArtifactNotFoundError):
        await store.load("a")


@pytest.mark.parametrize(
    ("dump", "told"),
    [
        (b"abc", "gave a bytes"),
        (None, "gave a NoneType"),
        (Dump(Part("a", Buffers(b"1"))), "gave a Dump of a Part"),
        (Dump(part for part in [Part("a", Buffers(b"1"))]), "gave a Dump of a generator"),
        (Dump([b"1"]), "gave a bytes among the parts"),
        (Dump([Part("a", b"1")]), "gave the part 'a' a body of type bytes"),
        (Dump([Part(7, Buffers(b"1"))]), "gave a part the name 7"),
        (Dump([], meta=[1]), "gave meta of type list"),
    ],
    ids=["bytes", "nothing", "bare part", "parts to be had once", "bare bytes", "bare body", "number for a name", "meta"],
)
async def test_dump_that_is_none_is_refused_with_how_it_should_be(store, objects, dump, told):
    store.materializers.register(dumping(dump), types=Thing)
    with pytest.raises(EncodeError, match=r"'a': the materializer 'thing' .*Dump\(\[Part\(name, Buffers\(data\)\)") as caught:
        await store.save(Thing(), "a")
    assert told in str(caught.value)
    assert keys(objects) == []


async def test_signing_key_is_asked_for_in_a_worker(objects):
    """It may have to be fetched from somewhere."""
    threads = []

    def fetch():
        threads.append(threading.current_thread())
        return b"k" * 32

    store = over("async", objects, signing_key=fetch)
    await store.save({"a": 1}, "a")
    assert await store.load("a") == {"a": 1}
    assert await store.exists("a")
    assert (await store.info("a")).signed
    assert threads
    assert threading.current_thread() not in threads
