"""The temporary file of a put: what it is told to write, what it says when that fails, and what is left of it."""

from __future__ import annotations

import errno
import io
import os
from array import array

import pytest
from local_files import files, put

from aioartifacts.errors import StoreError
from aioartifacts.objects.base import Buffers, Producer
from aioartifacts.objects.local import content
from aioartifacts.objects.local.draft import Before, Draft
from aioartifacts.objects.local.posix import Tree
from aioartifacts.types import MIB

EIO = "Input/output error; the disk reports a failure: look at the system log before trusting it again"


@pytest.fixture
def tree(tmp_path):
    with Tree(str(tmp_path / "root")) as made:
        yield made


def fail(*_, **__):
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_sink_says_how_many_bytes_it_took(tree):
    draft = Draft(tree, "a")
    assert draft.write(b"") == 0
    assert draft.write(b"abc") == 3
    assert draft.write(memoryview(array("d", [1.0, 2.0]))) == 16
    assert draft.close().size == 19


def test_info_is_of_the_file(store):
    info = put(store, "a", b"data")
    status = os.stat(store.location("a"))
    assert (info.key, info.size, info.updated, info.crc32c) == ("a", 4, status.st_mtime, None)


@pytest.mark.parametrize("view", [memoryview.toreadonly, memoryview])
def test_generation_is_of_the_file_even_if_the_body_uses_its_memory_again(store, view):
    def produce(sink):
        memory = bytearray(b"first")
        sink.write(view(memoryview(memory)))
        memory[:] = b"other"

    info = store.put("a", Producer(produce))
    assert store.get("a").data == b"first"
    assert info.generation == store.get("a").info.generation


def test_generation_of_what_went_through_a_buffer_of_pythons(store):
    class Raw(io.RawIOBase):
        def __init__(self, sink):
            self.sink = sink

        def writable(self):
            return True

        def write(self, data):
            return self.sink.write(data)

    def produce(sink):
        with io.BufferedWriter(Raw(sink)) as file:
            file.write(b"data" * 1000)

    info = store.put("a", Producer(produce))
    assert info.generation == store.get("a").info.generation


@pytest.mark.parametrize(
    ("pieces", "read"),
    [
        ([b"data"], 0), ([memoryview(b"xdata")[1:]], 0), ([b"", b"data"], 1), ([b"data", b""], 0), ([b"da", b"ta"], 1),
        ([bytearray(b"data")], 1), ([memoryview(bytearray(b"data"))], 1),
    ],
)  # fmt: skip
def test_file_is_read_again_only_when_its_bytes_are_not_at_hand(store, monkeypatch, pieces, read):
    reads = []
    reading = content.read
    monkeypatch.setattr(content, "read", lambda *arguments: reads.append(arguments) or reading(*arguments))
    info = store.put("a", Producer(lambda sink: [sink.write(piece) for piece in pieces]))
    assert len(reads) == read
    assert info.generation == store.get("a").info.generation


def test_body_that_writes_after_it_was_done(tree):
    draft = Draft(tree, "a/x")
    draft.fill(Buffers(b"data"))
    draft.close()
    with pytest.raises(StoreError) as caught:
        draft.write(b"more")
    assert caught.value.message == f"cannot put 'a/x' in {tree.root}: the body writes after it was done"
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EBADF


@pytest.mark.parametrize("function", ["fstat", "close"])
def test_file_that_cannot_be_finished(tree, monkeypatch, function):
    draft = Draft(tree, "a/x")
    draft.fill(Buffers(b"data"))
    with monkeypatch.context() as failing:
        failing.setattr(os, function, fail)
        with pytest.raises(StoreError) as caught:
            draft.close()
    error = caught.value
    assert (error.message, error.path, error.operation) == (f"cannot put 'a/x' in {tree.root}: {EIO}", "a/x", "put")
    assert isinstance(error.__cause__, OSError)
    draft.discard()
    assert files(tree.root) == set()


@pytest.mark.parametrize(("size", "asked"), [(MIB - 1, []), (MIB, [MIB]), (None, [])])
def test_room_is_set_aside_from_a_mebibyte_on(store, monkeypatch, size, asked):
    sizes = []
    monkeypatch.setattr(Tree, "reserve", staticmethod(lambda fd, size: sizes.append(size)))
    store.put("a", Producer(lambda sink: sink.write(b"x"), size=size))
    assert sizes == asked


def test_room_that_was_not_needed_is_given_back(store):
    store.put("a", Producer(lambda sink: sink.write(b"x" * MIB), size=4 * MIB))
    assert os.stat(store.location("a")).st_blocks * 512 < 2 * MIB


def test_discarding_closes_once_and_tells_no_errors(tree, monkeypatch):
    close, closed = os.close, []

    def closing(fd):
        closed.append(fd)
        close(fd)
        fail()

    draft = Draft(tree, "a")
    draft.write(b"data")
    fd = draft.fd
    with monkeypatch.context() as failing:
        failing.setattr(os, "close", closing)
        failing.setattr(os, "unlink", fail)
        draft.discard()
        draft.discard()
    assert closed == [fd]


def test_letting_go_of_what_was_kept_tells_no_errors(store, monkeypatch):
    put(store, "a", b"old")
    with Tree(store.root) as tree:
        before = Before(tree, "a")
        before.keep()
        with monkeypatch.context() as failing:
            failing.setattr(os, "unlink", fail)
            before.forget()
        before.forget()
    assert files(store.root) == {"a"}


def test_descriptor_zero_is_one_like_any_other(tree):
    """A process without standard input gets it for the first file that it opens."""
    create = tree.create_draft

    class Zero:
        root = tree.root
        discard_draft = tree.discard_draft

        @staticmethod
        def create_draft(name):
            fd = create(name)
            os.dup2(fd, 0)
            os.close(fd)
            return 0

    saved = os.dup(0)
    try:
        draft = Draft(Zero(), "a")
        for piece in (b"da", b"ta"):
            draft.write(piece)
        assert (draft.fd, os.pread(0, 10, 0)) == (0, b"data")
        draft.discard()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(0)
    finally:
        os.dup2(saved, 0)
        os.close(saved)


VERBS = {
    "replace": lambda store: put(store, "a/x", b"data"),
    "create": lambda store: put(store, "b/y", b"data", if_generation=0),
    "get": lambda store: store.get("a/x"),
    "map": lambda store: store.map("a/x"),
    "list": lambda store: list(store.list()),
    "delete": lambda store: store.delete("a/x"),
    "validate": lambda store: store.validate(),
}


@pytest.mark.parametrize("verb", VERBS)
def test_store_in_a_process_without_standard_input(durable, walk, verb):
    put(durable, "a/x", b"data")
    saved = os.dup(0)
    os.close(0)
    before = len(os.listdir("/proc/self/fd"))
    try:
        VERBS[verb](durable)
        assert len(os.listdir("/proc/self/fd")) == before
    finally:
        os.dup2(saved, 0)
        os.close(saved)
