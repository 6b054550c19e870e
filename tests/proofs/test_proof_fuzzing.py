"""Damaged, random and hostile records: the decoder answers or refuses with an error of ours, and never anything else."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable

from figures import count
from proof_scale import scaled

import aioartifacts as aa
from aioartifacts import legacy, sync
from aioartifacts.checksum import crc32c, hex32
from aioartifacts.errors import RecordError
from aioartifacts.keys import record_key
from aioartifacts.objects.base import Buffers
from aioartifacts.objects.memory import MemoryObjectStore
from aioartifacts.record import ForeignRecord, decode_record, owner_of

TOKENS = [
    b"null", b"true", b"false", b"0", b"-1", b"1e999", b"NaN", b"1" * 400, b'""', b'"\\ud800"', b'"\\u0000"', b"[]", b"{}",
    b"[" * 2_000, b'{"a":' * 1_500, b"\xff\xfe", b"\xed\xa0\x80", b"\0", b'"aioartifacts":2', b'"aioartifacts":1.0', b',"path":"b"',
    b'"../../etc/passwd"', b'"file":"../x"', b'"size":-1', b'"size":99999999999999999999', b'"parts":{}', b'"data":"!"', b"\\", b'"',
    b"{", b"}", b"[", b"]", b":", b",",
]  # fmt: skip


def seeds() -> list[bytes]:
    found = []
    for options in ({}, {"signing_key": b"k" * 32}, {"inline_max": 0}):
        for value in ({"a": [1, 2.5, None]}, b"x" * 40_000, {1, 2}):
            objects = MemoryObjectStore()
            sync.ArtifactStore(objects, **options).save(value, "a0", {"m": {"x": 1}})  # type: ignore[arg-type]
            found.append(bytes(objects.get(record_key("a0")).data))
    flowyml = {"type": "dict", "serializer": "pickle", "file": "data.pkl", "run_id": "r", "metadata": {"a": 1}}
    return [*found, json.dumps(flowyml).encode(), json.dumps({"materializer": "pandas"}).encode(), b"{}", b"[]", b""]


def mutate(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    mutated = bytearray(data)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(mutated) + 1)
        end = min(len(mutated), at + rng.choice((0, 1, 2, 5, 20, 100)))
        match rng.randrange(6):
            case 0 if at < len(mutated):
                mutated[at] ^= 1 << rng.randrange(8)
            case 1:
                mutated[at:end] = b""
            case 2:
                mutated[at:end] = rng.choice(TOKENS)
            case 3:
                mutated[at:at] = mutated[at:end]
            case 4:
                mutated[at:end] = rng.choice(others)[at : at + 40]
            case _:
                mutate_value(rng, mutated)
    return with_checksum(bytes(mutated)) if rng.random() < 0.7 else bytes(mutated)


def mutate_value(rng: random.Random, data: bytearray) -> None:
    """Put a token in the place of some field's value."""
    start = data.find(b'":', rng.randrange(len(data) + 1))
    if start >= 0:
        end = min((i for mark in b",}]" if (i := data.find(mark, start)) >= 0), default=len(data))
        data[start + 2 : end] = rng.choice(TOKENS)


def with_checksum(data: bytes) -> bytes:
    """The record as its writer would have left it, so that the checksum hides nothing."""
    body = data.rpartition(b',"checksum":"')[0] or data[:-1]
    return body + f',"checksum":"{hex32(crc32c(body))}"}}'.encode()


def decode(data: bytes) -> str:
    try:
        decode_record(data, "a0")
    except RecordError:
        outcome = "refused"
    except ForeignRecord:
        outcome = "foreign"
        legacy.describe_folder("a0", data)
        legacy.describe_folder("a0", data, ["data.pkl", "metadata.json"])
        with contextlib.suppress(RecordError):
            legacy.describe_bare("a0", data)
    else:
        outcome = "decoded"
    owner_of(data)
    return outcome


def attack(times: int, attempt: Callable[[bytes], str], name: str) -> None:
    rng = random.Random(11)
    known = seeds()
    outcomes = dict.fromkeys(("decoded", "foreign", "refused"), 0)
    for _ in range(times):
        data = mutate(rng, rng.choice(known), known)
        try:
            outcomes[attempt(data)] += 1
        except Exception as error:
            raise AssertionError(f"raw {type(error).__name__} from {data!r}") from error
    assert all(outcomes.values()), "the inputs must reach all of the decoder"
    count(name, inputs=times, **outcomes)


def test_record_decoder_raises_errors_of_ours_only() -> None:
    attack(scaled(20_000, 1_000_000), decode, "fuzzing, the decoder")


def test_store_raises_errors_of_ours_only_whatever_the_record() -> None:
    objects = MemoryObjectStore()
    store = sync.ArtifactStore(objects, trust="data")

    def attempt(data: bytes) -> str:
        objects.put(record_key("a0"), Buffers(data))
        outcome = "decoded"
        for verb in (store.load, store.info, store.get_metadata, store.size):
            try:
                verb("a0")
            except RecordError:
                outcome = "refused"
            except aa.ArtifactError:
                outcome = "foreign"
        return outcome

    attack(scaled(3_000, 100_000), attempt, "fuzzing, all of a store")
