"""A put to the local store that fails leaves nothing; files have the modes that the umask allows."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

import pytest
from local_files import KEY, files, put

from aioartifacts.errors import (
    ArtifactError,
    StoreError,
)
from aioartifacts.objects.base import FileBody, Producer


def test_no_file_is_opened_before_the_first_write(store):
    def produce(sink):
        assert not os.path.exists(store.root)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.put(KEY, Producer(produce))
    assert not os.path.exists(store.root)


@pytest.mark.parametrize(
    "error", [ValueError("x"), OSError(errno.ENOSPC, "x"), KeyboardInterrupt(), ArtifactError("x")]
)
def test_temporary_file_of_a_raising_body_is_removed(store, error):
    seen = []

    def produce(sink):
        sink.write(b"x")
        seen.extend(files(store.root))
        raise error

    with pytest.raises(type(error)) as caught:
        store.put(KEY, Producer(produce))
    assert caught.value is error
    assert len(seen) == 1
    assert seen[0].startswith(".aioartifacts/tmp/")
    assert files(store.root) == set()


def test_full_disk_is_told_even_when_the_body_hides_it(store, monkeypatch):
    def full(fd, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def swallow(sink):
        with contextlib.suppress(StoreError):
            sink.write(b"x")

    def wrap(sink):
        try:
            sink.write(b"x")
        except StoreError as error:
            raise RuntimeError("the library failed") from error

    monkeypatch.setattr(os, "write", full)
    for produce in (swallow, wrap, lambda sink: sink.write(b"x")):
        with pytest.raises(StoreError, match="free some space") as caught:
            store.put(KEY, Producer(produce))
        assert caught.value.path == KEY
    assert files(store.root) == set()


def test_short_writes_are_continued(store, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data)[:3]))
    put(store, KEY, b"0123456789")
    assert store.get(KEY).data == b"0123456789"


def test_missing_source_file_is_the_bodys_own_error(store, tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        store.put(KEY, FileBody(str(tmp_path / "missing")))
    assert not isinstance(caught.value, ArtifactError)


def test_folders_made_for_a_put_that_fails_are_removed(store, monkeypatch):
    put(store, "a/x")

    def fail(*args, **kwargs):
        raise OSError(errno.EIO, "x")

    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(StoreError):
        put(store, "a/b/c/d", if_generation=0)
    assert os.listdir(os.path.join(store.root, "a")) == ["x"]


def test_descriptors_are_closed(store, walk):
    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    before = descriptors()
    put(store, KEY, if_generation=0)
    for attempt in (
        lambda: put(store, KEY),
        lambda: put(store, KEY, if_generation=0),
        lambda: put(store, KEY, if_generation="x"),
        lambda: put(store, f"{KEY}/x"),
        lambda: store.get(KEY),
        lambda: store.get("project"),
        lambda: store.get("missing/x"),
        lambda: next(store.list()),
        lambda: store.delete("missing/x"),
        lambda: store.delete(KEY),
        lambda: store.validate(),
    ):
        with contextlib.suppress(ArtifactError):
            attempt()
        assert descriptors() == before


@pytest.mark.parametrize(
    ("umask", "file", "folder"),
    [(0o022, 0o644, 0o755), (0o002, 0o664, 0o775), (0o077, 0o600, 0o700), (0, 0o664, 0o775)],
)
def test_umask_decides_who_shares_but_others_never_write(store, umask, file, folder):
    before = os.umask(umask)
    try:
        put(store, KEY)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(store.location(KEY)).st_mode) == file
    for path in (store.root, os.path.dirname(store.location(KEY))):
        assert stat.S_IMODE(os.stat(path).st_mode) == folder
