"""What the local store syncs, in which order, and what it makes of a failed sync."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path

import pytest
from local_files import KEY, files, put

from aioartifacts.errors import (
    StoreError,
)
from aioartifacts.objects.base import Buffers, Producer, PutRequest
from aioartifacts.objects.local import LocalObjectStore, posix
from aioartifacts.objects.local import store as local


@pytest.fixture
def calls(monkeypatch):
    """What is synced and renamed, in order: names relative to the test's folder, temporary files as ``tmp``."""
    made = []

    def name(fd):
        path = os.readlink(f"/proc/self/fd/{fd}")
        return (
            "tmp"
            if ".aioartifacts" in path
            else path.partition("/root")[2] or ("/" if path.endswith("/root") else "above")
        )

    def recorded(verb, label):
        original = getattr(os, verb)

        def call(*args, **kwargs):
            made.append((verb, label(*args, **kwargs)))
            return original(*args, **kwargs)

        monkeypatch.setattr(os, verb, call)

    recorded("fsync", name)
    recorded("link", lambda name, leaf, **__: f"{name}, kept" if re.fullmatch("[0-9a-f]{24}", leaf) else leaf)
    recorded("rename", lambda _, leaf, **__: leaf)
    return made


def test_create_syncs_file_then_links_then_syncs_folders_upward(durable, calls):
    put(durable, "a/b/c", if_generation=0)
    assert calls == [
        ("fsync", "tmp"),
        ("link", "c"),
        ("fsync", "/a/b"),
        ("fsync", "/a"),
        ("fsync", "/"),
        ("fsync", "above"),
    ]


def test_later_put_syncs_file_and_its_folder_only(durable, calls):
    put(durable, "a/b/c", if_generation=0)
    calls.clear()
    put(durable, "a/b/d", if_generation=0)
    put(durable, "a/b/d")
    put(durable, "a/e/f", if_generation=0)
    assert calls == [
        ("fsync", "tmp"), ("link", "d"), ("fsync", "/a/b"),
        ("fsync", "tmp"), ("link", "d, kept"), ("rename", "d"), ("fsync", "/a/b"),
        ("fsync", "tmp"), ("link", "f"), ("fsync", "/a/e"), ("fsync", "/a"),
    ]  # fmt: skip


def test_delete_of_a_record_syncs_the_folder_that_is_left(durable, calls):
    put(durable, "a/x")
    put(durable, "a/b/metadata.json")
    put(durable, f"a/.part-{'0' * 32}.data")
    calls.clear()
    durable.delete(f"a/.part-{'0' * 32}.data")
    assert calls == []
    durable.delete("a/b/metadata.json")
    assert calls == [("link", "metadata.json, kept"), ("fsync", "/a")]


def test_process_durability_syncs_nothing(store, calls):
    put(store, KEY)
    store.put_many([PutRequest("a", Buffers(b""))])
    store.delete(KEY)
    assert [verb for verb, _ in calls] == ["rename", "rename"]


def test_put_many_syncs_each_file_and_each_folder_once_and_files_before_names(durable, calls):
    put(durable, "a/b/x")
    calls.clear()
    requests = [PutRequest(f"a/{folder}/{i}", Buffers(b"data"), 0) for folder in "bc" for i in range(60)]
    assert [info.size for info in durable.put_many(requests)] == [4] * 120
    assert calls.count(("fsync", "tmp")) == 120
    assert calls[-3:] == [("fsync", "/a/b"), ("fsync", "/a/c"), ("fsync", "/a")]
    assert len(calls) == 120 + 120 + 3
    for batch in range(0, 240, 2 * local.BATCH):
        verbs = [verb for verb, _ in calls[batch : batch + 2 * local.BATCH] if batch + 2 * local.BATCH <= 240]
        assert verbs == sorted(verbs), "in a batch, all files are synced before the first gets its name"


def test_put_many_holds_few_files_open(durable):
    most = []

    def produce(sink):
        sink.write(b"x")
        most.append(len(os.listdir("/proc/self/fd")))

    before = len(os.listdir("/proc/self/fd"))
    durable.put_many([PutRequest(f"a/{i}", Producer(produce)) for i in range(200)])
    assert max(most) - before <= 64
    assert len(os.listdir("/proc/self/fd")) == before


def test_put_many_answers_each_failure_and_stores_the_others(durable):
    put(durable, "exists", b"old")
    error = ZeroDivisionError()

    def produce(sink):
        sink.write(b"x")
        raise error

    answers = durable.put_many(
        [
            PutRequest("a", Buffers(b"a"), 0),
            PutRequest("exists", Buffers(b"new"), 0),
            PutRequest("raises", Producer(produce)),
            PutRequest("../x", Buffers(b"")),
            PutRequest("exists", Buffers(b"new"), "stale"),
            PutRequest("b", Buffers(b"b")),
        ]
    )
    assert [type(answer).__name__ for answer in answers] == [
        "ObjectInfo", "ArtifactExistsError", "ZeroDivisionError", "InvalidPathError", "ConflictError", "ObjectInfo",
    ]  # fmt: skip
    assert answers[2] is error
    assert files(durable.root) == {"a", "b", "exists"}
    assert durable.get("exists").data == b"old"


def test_interrupted_put_many_leaves_no_temporary_file(durable):
    def produce(sink):
        sink.write(b"x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        durable.put_many([PutRequest("a", Buffers(b"a")), PutRequest("b", Producer(produce))])
    assert files(durable.root) == set()


def failing_sync(monkeypatch, which):
    """Let the fsync of a folder or of a file fail, once; a later call would claim success, as the kernel does."""
    fsync, calls = os.fsync, []

    def fail_once(fd):
        is_folder = stat.S_ISDIR(os.fstat(fd).st_mode)
        if is_folder == (which == "folder"):
            calls.append(fd)
            if len(calls) == 1:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", fail_once)
    return calls


@pytest.mark.parametrize("many", [False, True])
def test_failed_sync_of_the_file_is_final(durable, monkeypatch, many):
    put(durable, "a/x")
    calls = failing_sync(monkeypatch, "file")
    error = outcome(durable, "a/y", many)
    assert isinstance(error, StoreError)
    assert "disk reports a failure" in str(error)
    assert len(calls) == 1
    assert files(durable.root) == {"a/x"}


@pytest.mark.parametrize("many", [False, True])
def test_create_whose_name_cannot_be_made_durable_is_undone(durable, monkeypatch, many):
    put(durable, "a/x")
    failing_sync(monkeypatch, "folder")
    error = outcome(durable, "a/y", many, if_generation=0)
    assert "nothing was stored" in str(error)
    assert files(durable.root) == {"a/x"}


@pytest.mark.parametrize("many", [False, True])
def test_replace_whose_name_cannot_be_made_durable_is_undone(durable, monkeypatch, many):
    put(durable, "a/x", b"old")
    failing_sync(monkeypatch, "folder")
    assert "what was there before is there again" in str(outcome(durable, "a/x", many))
    assert durable.get("a/x").data == b"old"
    assert files(durable.root) == {"a/x"}


def test_delete_that_cannot_be_made_durable_is_undone(durable, monkeypatch):
    put(durable, "a/b/x", b"old")
    failing_sync(monkeypatch, "folder")
    with pytest.raises(StoreError, match="it is there again"):
        durable.delete("a/b/x")
    assert durable.get("a/b/x").data == b"old"
    assert files(durable.root) == {"a/b/x"}


def test_undoing_a_replace_spares_what_a_rival_has_put_since(durable, monkeypatch):
    put(durable, "a/x", b"old")
    sync = posix.Tree.sync

    def rival_then_fail(tree, folder):
        monkeypatch.setattr(posix.Tree, "sync", sync)
        put(durable, "a/x", b"rival")
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(posix.Tree, "sync", rival_then_fail)
    assert "in place" in str(outcome(durable, "a/x", False))
    assert durable.get("a/x").data == b"rival"
    assert files(durable.root) == {"a/x"}


@pytest.mark.parametrize("verb", ["replace", "delete"])
def test_without_hard_links_a_failed_sync_says_what_is_there(durable, monkeypatch, verb):
    put(durable, "a/x", b"old")
    failing_sync(monkeypatch, "folder")

    def refuse(*_, **__):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "link", refuse)
    if verb == "replace":
        assert "might not survive a power cut" in str(outcome(durable, "a/x", False))
        assert durable.get("a/x").data == b"data"
    else:
        with pytest.raises(StoreError, match="might bring it back"):
            durable.delete("a/x")
        assert files(durable.root) == set()


def outcome(store, key, many, **options):
    if many:
        return store.put_many([PutRequest(key, Buffers(b"data"), options.get("if_generation"))])[0]
    try:
        return put(store, key, **options)
    except StoreError as error:
        return error


@pytest.mark.parametrize("claimed", [1, 3 * 2**20])
def test_size_is_what_was_written_whatever_the_body_claims(tmp_path: Path, claimed: int) -> None:
    store = LocalObjectStore(tmp_path / "root")
    store.put("a", Producer(lambda sink: sink.write(b"x" * 2**21), size=claimed))
    assert (tmp_path / "root" / "a").read_bytes() == b"x" * 2**21
