"""Roots, locations, errors and owners of the local store."""

from __future__ import annotations

import errno
import os
import pickle

import pytest
from local_files import KEY, files, put

from aioartifacts.errors import (
    InvalidConfigError,
    InvalidPathError,
    PermissionDeniedError,
    StoreError,
)
from aioartifacts.objects.base import Buffers
from aioartifacts.objects.local import LocalObjectStore, posix


def failing(monkeypatch, code):
    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(posix, "open_beneath", fail)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_refused_access_is_a_permission_error_of_ours(store, monkeypatch, code):
    put(store, KEY)
    failing(monkeypatch, code)
    for attempt in (
        lambda: store.get(KEY),
        lambda: store.delete(KEY),
        lambda: list(store.list("project")),
        lambda: put(store, KEY),
        store.validate,
    ):
        with pytest.raises(PermissionDeniedError) as caught:
            attempt()
        assert caught.value.__cause__.errno == code
        assert type(pickle.loads(pickle.dumps(caught.value))) is PermissionDeniedError


@pytest.mark.parametrize("code", [errno.EIO, errno.EMFILE, errno.ENOSPC, errno.EDQUOT])
def test_failing_disk_is_a_store_error_with_a_remedy(store, monkeypatch, code):
    put(store, KEY)
    failing(monkeypatch, code)
    with pytest.raises(StoreError, match=f"{KEY}.*{os.strerror(code)}; "):
        store.get(KEY)


def test_root_that_is_a_file_is_told_by_every_verb(tmp_path):
    (tmp_path / "root").write_bytes(b"")
    store = LocalObjectStore(tmp_path / "root")
    for attempt in (lambda: store.get(KEY), lambda: put(store, KEY), lambda: list(store.list()), store.validate):
        with pytest.raises(StoreError, match="root"):
            attempt()


def test_validate_makes_the_root_and_leaves_no_trial(store):
    store.validate()
    assert os.path.isdir(store.root)
    assert files(store.root) == set()


@pytest.mark.parametrize("verb", ["validate", "put"])
def test_root_that_could_never_be_made(store, monkeypatch, verb):
    """As below /proc, where making a folder fails as if the one above were missing."""

    def fail(folder, *_, **__):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), folder)

    monkeypatch.setattr(os, "mkdir", fail)
    with pytest.raises(PermissionDeniedError) as caught:
        store.validate() if verb == "validate" else store.put("a", Buffers(b"x"))
    above = os.path.dirname(store.root)
    what = store.root if verb == "validate" else f"'a' in {store.root}"
    assert caught.value.message == (
        f"cannot {verb} {what}: no folder can be made in {above}; give this user the right to do so, or choose another root"
    )


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o775, 0o2770])
def test_root_not_writable_for_others_is_ours(store, mode):
    os.mkdir(store.root)
    os.chmod(store.root, mode)
    assert store.doubt() is None


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702])
def test_root_writable_for_others_is_not_ours(store, mode):
    os.mkdir(store.root)
    os.chmod(store.root, mode)
    assert store.doubt()


def test_root_of_another_user_is_not_ours_unless_we_are_the_superuser(store, monkeypatch):
    os.mkdir(store.root)
    owner = os.stat(store.root).st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert store.doubt()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert store.doubt() is None


def test_missing_root_will_be_ours(store):
    assert store.doubt() is None
    assert not os.path.exists(store.root)


@pytest.mark.parametrize("name", ["plain", "with space", "100%", "a#b?c", "é模型", "per%20cent"])
def test_location_and_url_lead_back_to_the_path(tmp_path, name):
    store = LocalObjectStore(tmp_path / name)
    for path in ("a/b", "with space/#1?/100%/%41", "模型/é", ""):
        assert store.relative(store.location(path)) == path
    assert store.relative(store.url) == ""
    assert store.relative(f"{store.url}/a%20b") == "a b"
    assert store.relative(store.url.replace("file:///", "FILE://localhost/") + "/a") == "a"


@pytest.mark.parametrize(
    "location",
    [
        "/elsewhere",
        "{root}x/a",
        "{root}/../a",
        "{root}/a/../../b",
        "{url}/%2e%2e/a",
        "file://host{root}/a",
        "{url}/a?b",
        "{url}/a#b",
        "gs://bucket/a",
        "memory://x",
    ],
)
def test_location_outside_is_refused(store, location):
    with pytest.raises(InvalidPathError):
        store.relative(location.format(root=store.root, url=store.url))


def test_relative_root_is_of_the_folder_at_construction(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = LocalObjectStore("store")
    monkeypatch.chdir("/")
    put(store, KEY)
    assert (tmp_path / "store" / KEY).exists()


@pytest.mark.parametrize("root", ["", "/", "//", "a\0b", b"bytes"])
def test_impossible_root_is_refused(root):
    with pytest.raises(InvalidConfigError):
        LocalObjectStore(root)


def test_unknown_durability_is_refused(tmp_path):
    with pytest.raises(InvalidConfigError):
        LocalObjectStore(tmp_path, durability="none")


def test_pickles_with_its_durability(store):
    again = pickle.loads(pickle.dumps(store))
    assert (again.root, again.durability) == (store.root, "process")
