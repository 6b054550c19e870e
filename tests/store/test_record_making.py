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
