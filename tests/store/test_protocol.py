"""The steps themselves, driven by hand: no store, no thread, no loop."""

from __future__ import annotations

import dataclasses
import itertools
import pickle
import subprocess
import sys

import pytest
from opened import BIG, beneath, everything, keys, over, write

from aioartifacts import ArtifactExistsError, ArtifactNotFoundError, ConflictError, InvalidPathError, StoreError
from aioartifacts.keys import check_path, path_of_part, path_of_record
from aioartifacts.materializers.registry import MaterializerRegistry
from aioartifacts.objects.base import ObjectData
from aioartifacts.operations import Commit, Compute, Delete, Get, Head, Inlined, Put, Stored, Uncertain, Wait
from aioartifacts.protocol import Config, delete, save
from aioartifacts.record import Record, encode_record
from aioartifacts.testing import Fault, FaultyObjectStore
from aioartifacts.trust import Keyring
from aioartifacts.types import GRACE, ObjectInfo, RetryPolicy

CONFIG = Config(materializers=MaterializerRegistry(), trust="all")


def begin(obj, config=CONFIG, **options):
    """A save up to its commit: the steps, and that commit."""
    steps = save(obj, "a", config, **options)
    operation = next(steps)
    while isinstance(operation, Head):
        operation = steps.throw(ArtifactNotFoundError("gone"))
    assert isinstance(operation, Compute)
    operation = steps.send(operation.call())
    if isinstance(operation, tuple):
        assert all(isinstance(put, Put) for put in operation)
        operation = steps.send(put_all(operation))
    return steps, operation


def put_all(puts):
    small = [put for put in puts if put.body.size <= put.inline_max]
    return tuple(Inlined(b"{}", 0, None) if put in small else Stored(put.body.size, 0, None) for put in puts)


SLEPT = """
import sys, time
told = getattr(time, 'clock_gettime', None)
time.clock_gettime = lambda clock: told(clock) + (100_000 if clock == time.CLOCK_BOOTTIME else 0)
from aioartifacts.operations import Config
assert sys.platform != "linux" or Config(None).clock() > time.monotonic() + 90_000
"""


def test_sleep_counts_as_time_that_a_save_takes():
    """A sweep elsewhere does not wait for a machine that sleeps."""
    subprocess.run([sys.executable, "-c", SLEPT], check=True, timeout=60)


def reads(operation):
    return type(operation) is Get and operation.key == "a/metadata.json"


def done(steps, answer=None):
    with pytest.raises(StopIteration) as stop:
        steps.send(answer)
    return stop.value.value


def stored(data, generation=5):
    return ObjectData(ObjectInfo("a/metadata.json", len(data), generation), data)


def old_record(**changes):
    fields = {
        "path": "a", "write_id": "0" * 32, "type": "x", "serializer": "x", "format": "x", "file": None, "size": 0, "parts": (),
        "created": "", "environment": {}, "producer": {}, "summary": {}, "metadata": {}, "meta": {}, "safe": True,
    }  # fmt: skip
    return encode_record(Record(**(fields | changes)), Keyring())


def test_save_creates_first():
    steps, commit = begin(BIG)
    assert (type(commit), commit.key, commit.if_generation) == (Commit, "a/metadata.json", 0)
    done(steps)


def test_save_replaces_exactly_what_it_has_read():
    steps, _ = begin(BIG)
    assert reads(steps.throw(ArtifactExistsError("exists")))
    commit = steps.send(stored(old_record(), generation=7))
    assert commit.if_generation == 7
    done(steps)


def test_save_waits_between_conflicts():
    steps, _ = begin(BIG)
    steps.throw(ArtifactExistsError("exists"))
    steps.send(stored(old_record()))
    assert isinstance(steps.throw(ConflictError("changed")), Wait)
    assert reads(steps.send(None))
    assert steps.send(stored(old_record(), generation=8)).if_generation == 8
    done(steps)


@pytest.mark.parametrize("obj", [{"inlined": 1}, BIG], ids=["inlined", "with a part"])
def test_rivals_without_end_are_a_conflict_even_when_answers_are_lost(obj):
    """An answer is lost, and a rival replaces at once what may have been committed: for ever, as far as the store goes."""
    ticks = itertools.count(0, 3)
    config = dataclasses.replace(CONFIG, clock=lambda: next(ticks), retry=RetryPolicy(deadline=30))
    steps, operation = begin(obj, config)
    waits = []

    def carry_out(operation):
        for _ in range(100):
            if isinstance(operation, Commit):
                operation = steps.throw(Uncertain(ConflictError("rival")))
            elif isinstance(operation, tuple) and isinstance(operation[0], Put):
                operation = steps.send(put_all(operation))
            elif reads(operation):
                operation = steps.send(stored(old_record()))
            else:
                waits.append(isinstance(operation, Wait))
                operation = steps.send(None)

    with pytest.raises(ConflictError, match="again and again for 30 s"):
        carry_out(operation)
    assert sum(waits) > 1


def test_failed_commit_discards_the_parts():
    steps, _ = begin(BIG)
    steps.throw(ArtifactExistsError("exists"))
    (discard,) = steps.send(stored(old_record(), generation=None))
    assert isinstance(discard, Delete)
    with pytest.raises(ConflictError, match="which version"):
        steps.send(None)


def test_interrupted_commit_is_looked_for():
    steps, commit = begin(BIG)
    assert reads(steps.throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        steps.send(stored(commit.data))  # it is in place: nothing is removed


def test_interrupted_before_the_commit_discards_the_parts():
    steps, _ = begin(BIG)
    assert reads(steps.throw(KeyboardInterrupt()))
    assert all(isinstance(operation, Delete) for operation in steps.send(stored(old_record())))
    with pytest.raises(KeyboardInterrupt):
        steps.send(None)


def test_save_that_was_slower_than_a_sweep_s_grace_does_not_commit():
    ticks = itertools.count(0, GRACE + 1)
    steps, discard = begin(BIG, dataclasses.replace(CONFIG, clock=lambda: next(ticks)))
    assert all(isinstance(operation, Delete) for operation in discard)
    with pytest.raises(StoreError, match="save it again"):
        steps.send(None)


def test_create_only_looks_before_it_encodes():
    steps = save(object(), "a", CONFIG, overwrite=False)
    assert next(steps) == Head("a/metadata.json")
    with pytest.raises(ArtifactExistsError):
        steps.send(ObjectInfo("a/metadata.json", 1))


def test_delete_removes_the_record_first():
    steps = delete("a", CONFIG)
    assert reads(next(steps))
    assert steps.send(stored(old_record(), generation=7)) == Delete("a/metadata.json", 7)
    assert done(steps) is True


# Loading while others write


@pytest.mark.asyncio
async def test_artifact_that_never_stands_still_is_a_conflict():
    """Every time a part is asked for, it has just been replaced."""
    objects = beneath("memory", None)
    versions = []
    for _ in range(40):
        aside = beneath("memory", None)
        await over("memory", aside).save(BIG, "a")
        versions.append(everything(aside))

    def replace():
        for key in keys(objects):
            objects.delete(key)
        for key, data in versions.pop().items():
            write(objects, key, data)
        return ArtifactNotFoundError("gone")

    replace()
    faulty = FaultyObjectStore(objects, Fault("*", replace, key="a/.part*", times=None))
    with pytest.raises(ConflictError, match="read it again"):
        await over("memory", faulty).load("a")


# Names


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("a/metadata.json", "a"),
        ("a/b/metadata.json", "a/b"),
        ("metadata.json", None),
        ("/metadata.json", None),
        ("a/metadata.jso", None),
        ("a/../metadata.json", None),
        (".aioartifacts/x/metadata.json", None),
        ("a/", None),
    ],
)
def test_path_of_a_record(key, path):
    assert path_of_record(key) == path


W = "0" * 32


@pytest.mark.parametrize(
    ("key", "path"),
    [
        (f"a/.part-{W}.data.bin", "a"),
        (f"a/b/.parts-{W}/x.npy", "a/b"),
        (f".part-{W}.data.bin", None),
        (f"a/.part-{W}", None),
        (f"a/.part-{W[1:]}.x", None),
        (f"a/.parts-{W}/x/y", None),
        (f"../.part-{W}.x", None),
        ("a/metadata.json", None),
        ("a/b", None),
    ],
)
def test_path_of_a_part(key, path):
    assert path_of_part(key) == path


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/a", "absolute"),
        ("gs://b/a", "URI"),
        ("a\\b", "backslash"),
        ("C:a", "drive"),
        ("\ud800", "surrogate"),
        ("é" * 400, "longer than 700"),
        ("a//b", "empty segment"),
        ("a/con.txt", "device"),
        ("a/.aioartifacts", "reserved"),
        ("a.", "ends in a dot"),
        (" a", "starts with a space"),
        ("é" * 128, "segment longer than 255"),
        (7, "plain str"),
    ],
)
def test_error_says_which_rule_is_broken(path, reason):
    with pytest.raises(InvalidPathError, match=reason):
        check_path(path)


def test_empty_keyring_pickles():
    assert pickle.loads(pickle.dumps(Keyring())) == Keyring()
