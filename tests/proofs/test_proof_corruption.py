"""Every bit flipped, every truncation, parts exchanged, records copied: all of it is noticed, and nothing wrong is ever returned."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import proof_writer
import pytest
from figures import count
from proof_scale import sample, scaled

import aioartifacts as aa
from aioartifacts import sync
from aioartifacts.keys import record_key
from aioartifacts.objects.base import BlockingObjectStore, Buffers
from aioartifacts.objects.local import LocalObjectStore
from aioartifacts.objects.memory import MemoryObjectStore

KEY = b"k" * 32
SMALL = {"loss": 0.25, "steps": [1, 2, 3], "name": "ünïcode"}


@pytest.fixture(params=["memory", "local"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> BlockingObjectStore:
    return MemoryObjectStore() if request.param == "memory" else LocalObjectStore(tmp_path, durability="process")


def opened(objects: BlockingObjectStore, *, signed: bool = False, inline_max: int = 16_384) -> sync.ArtifactStore:
    key = KEY if signed else None
    return sync.ArtifactStore(objects, signing_key=key, inline_max=inline_max, materializers=proof_writer.registry())


def content(objects: BlockingObjectStore) -> dict[str, bytes]:
    return {info.key: bytes(objects.get(info.key).data) for info in list(objects.list())}


def replaced(objects: BlockingObjectStore, key: str, damaged: Iterable[bytes]) -> Iterator[bytes]:
    """Put one damaged content after another in the place of an object, and at last the sound one."""
    sound = bytes(objects.get(key).data)
    for data in damaged:
        objects.put(key, Buffers(data))
        yield data
    objects.put(key, Buffers(sound))


def assert_noticed(load: Callable[[], object], what: object) -> None:
    try:
        found = load()
    except aa.IntegrityError:
        return
    raise AssertionError(f"unnoticed: {what!r}; loaded {found!r:.100}")


def bit_flips(data: bytes, every: int) -> Iterator[bytes]:
    for bit in sample(range(8 * len(data)), every, offset=len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bytes(flipped)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("inline_max", [16_384, 0])
def test_every_flipped_bit_and_every_truncation_is_noticed(
    objects: BlockingObjectStore, signed: bool, inline_max: int
) -> None:
    store = opened(objects, signed=signed, inline_max=inline_max)
    store.save(SMALL, "a")
    for key, data in content(objects).items():
        for damaged in replaced(objects, key, bit_flips(data, every=5)):
            assert_noticed(lambda: store.load("a"), (key, damaged))
            count("corruption", bits=1)
        for damaged in replaced(objects, key, (data[:size] for size in sample(range(len(data)), 3))):
            assert_noticed(lambda: store.load("a"), (key, damaged))
            count("corruption", truncations=1)
        for damaged in replaced(objects, key, (data + more for more in (b" ", b"\n", b"\0", data))):
            assert_noticed(lambda: store.load("a"), (key, damaged))
    assert store.load("a") == SMALL


def test_verbs_that_read_records_only_notice_every_flipped_bit_of_one() -> None:
    objects = MemoryObjectStore()
    store = opened(objects)
    store.save(SMALL, "a", {"owner": "somebody"})
    record = content(objects)[record_key("a")]
    for damaged in replaced(objects, record_key("a"), bit_flips(record, every=7)):
        for look in (store.info, store.get_metadata, store.size):
            assert_noticed(lambda look=look: look("a"), damaged)  # type: ignore[misc]
        assert list(store.verify().damaged) == ["a"]
    assert store.verify().ok


def test_random_flips_in_a_mebibyte_are_noticed(objects: BlockingObjectStore) -> None:
    rng = random.Random(7)
    store = opened(objects)
    sound = rng.randbytes(1 << 20)
    store.save(sound, "a")
    (part,) = content(objects).keys() - {record_key("a")}

    def damaged() -> Iterator[bytes]:
        for _ in range(scaled(150, 10_000)):
            data = bytearray(sound)
            for _ in range(rng.choice((1, 1, 2, 3, 64))):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            if data != sound:
                yield bytes(data)

    for data in replaced(objects, part, damaged()):
        assert_noticed(lambda: store.load("a"), "a flip in 1 MiB")
        if data[0] & 1:
            assert_noticed(lambda: store.load("a", mmap=True), "a flip in 1 MiB, mapped")
        count("corruption", flips_in_1_MiB=1)
    assert store.load("a") == sound


def test_parts_exchanged_between_artifacts_or_within_one_are_noticed(objects: BlockingObjectStore) -> None:
    store = opened(objects)
    rng = random.Random(3)
    for path in ("a", "b", "c/d"):
        store.save(proof_writer.Pair(rng.randbytes(20_000), rng.randbytes(20_000)), path)
    sound = content(objects)
    parts = sorted(key for key in sound if "/.parts-" in key)
    for one in parts:
        for other in parts:
            if one != other:
                objects.put(one, Buffers(sound[other]))
                assert_noticed(lambda one=one: store.load(one.partition("/.")[0]), (one, other))  # type: ignore[misc]
                objects.put(one, Buffers(sound[one]))
                count("corruption", exchanged=1)
    assert store.verify().ok


@pytest.mark.parametrize("signed", [False, True])
def test_record_copied_to_another_path_is_noticed(objects: BlockingObjectStore, signed: bool) -> None:
    store = opened(objects, signed=signed)
    store.save(SMALL, "a")
    store.save(SMALL, "b")
    record = content(objects)[record_key("a")]
    for path in ("b", "c", "a/a", "A" if isinstance(objects, MemoryObjectStore) else "d"):
        objects.put(record_key(path), Buffers(record))
        assert_noticed(lambda path=path: store.load(path), path)  # type: ignore[misc]
        count("corruption", copied_records=1)
    assert store.load("a") == SMALL


def test_signature_of_another_record_is_worth_nothing() -> None:
    objects = MemoryObjectStore()
    store = opened(objects, signed=True)
    store.save({1, 2}, "a", format="pickle")
    store.save({1, 3}, "b", format="pickle")
    records = {path: content(objects)[record_key(path)] for path in "ab"}
    head, mark, _ = records["a"].partition(b',"signature":"')
    _, _, other = records["b"].partition(b',"signature":"')
    from aioartifacts.checksum import crc32c, hex32

    body = head + mark + other[:65]
    objects.put(record_key("a"), Buffers(body + f',"checksum":"{hex32(crc32c(body))}"}}'.encode()))
    with pytest.raises(aa.UntrustedArtifactError):
        store.load("a")
    assert store.load("b") == {1, 3}
