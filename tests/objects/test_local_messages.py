"""What the local store says when the system refuses something: the message to the letter, the path, the verb and the cause."""

from __future__ import annotations

import ctypes
import errno
import os
from types import SimpleNamespace

import pytest
from local_files import put

from aioartifacts.errors import (
    ArtifactError,
    ArtifactExistsError,
    ArtifactNotFoundError,
    ConflictError,
    InvalidPathError,
    PermissionDeniedError,
    StoreError,
    TransientStoreError,
)
from aioartifacts.objects.base import Buffers, PutRequest
from aioartifacts.objects.local import posix
from aioartifacts.objects.local import store as local
from aioartifacts.objects.local.draft import Draft
from aioartifacts.objects.local.oserrors import _REMEDIES, translate
from aioartifacts.objects.local.posix import Tree


def told(error: BaseException) -> tuple[object, ...]:
    assert isinstance(error, ArtifactError)
    return (type(error), error.message, error.path, error.operation)


def refusal(call, *args, **kwargs) -> ArtifactError:
    with pytest.raises(ArtifactError) as caught:
        call(*args, **kwargs)
    return caught.value


def failing(monkeypatch, owner, name, code=errno.EIO):
    raised = OSError(code, os.strerror(code))

    def fail(*_, **__):
        raise raised

    monkeypatch.setattr(owner, name, fail)
    return raised


@pytest.mark.parametrize(
    ("code", "cls", "ending"),
    [
        (errno.ENAMETOOLONG, InvalidPathError, "; use a shorter name"),
        (errno.EACCES, PermissionDeniedError, "; give this user the right to do so, or choose another root"),
        (errno.EPERM, PermissionDeniedError, "; give this user the right to do so, or choose another root"),
        (errno.EROFS, PermissionDeniedError, "; give this user the right to do so, or choose another root"),
        (errno.EAGAIN, TransientStoreError, ""),
        (errno.EBUSY, TransientStoreError, ""),
        (errno.ESTALE, TransientStoreError, ""),
        (errno.EDOM, StoreError, ""),
        *((code, StoreError, f"; {remedy}") for code, remedy in _REMEDIES.items()),
    ],
)
def test_errors_of_the_system_are_translated(code, cls, ending):
    error = OSError(code, os.strerror(code))
    assert told(translate(error, "/root", "a/b", "get")) == (
        cls, f"cannot get 'a/b' in /root: {os.strerror(code)}{ending}", "a/b", "get",
    )  # fmt: skip
    assert told(translate(error, "/root", "", "list", outcome="half of it")) == (
        cls, f"cannot list /root: {os.strerror(code)} (half of it){ending}", "", "list",
    )  # fmt: skip


def test_error_without_a_number_is_translated():
    assert told(translate(OSError("odd"), "/root", "a", "put")) == (
        StoreError,
        "cannot put 'a' in /root: odd",
        "a",
        "put",
    )


EIO = "the disk reports a failure: look at the system log before trusting it again"


def said(store, what, key, operation, outcome=""):
    place = f"{key!r} in {store.root}" if key else store.root
    outcome = f" ({outcome})" if outcome else ""
    return (StoreError, f"cannot {what} {place}: Input/output error{outcome}; {EIO}", key, operation)


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize(
    ("function", "options"),
    [("write", {}), ("fsync", {}), ("close", {}), ("rename", {}), ("link", {"if_generation": 0})],
)
def test_put_that_fails(durable, monkeypatch, function, options, many):
    put(durable, "a/y")
    if function == "close":
        raised = OSError(errno.EIO, os.strerror(errno.EIO))
        monkeypatch.setattr(
            Draft, "close", lambda _: (_ for _ in ()).throw(translate(raised, durable.root, "a/x", "put"))
        )
    else:
        raised = failing(monkeypatch, os, function)
    if many:
        error = durable.put_many([PutRequest("a/x", Buffers(b"data"), options.get("if_generation"))])[0]
    else:
        error = refusal(put, durable, "a/x", **options)
    assert told(error) == said(durable, "put", "a/x", "put")
    if function != "close":
        assert error.__cause__ is raised


@pytest.mark.parametrize(
    ("verb", "function"),
    [
        ("get", "open"),
        ("get", "read"),
        ("head", "open"),
        ("map", "open"),
        ("delete", "is_object"),
        ("delete", "unlink"),
    ],
)
def test_verb_that_fails(store, monkeypatch, verb, function):
    put(store, "a/x")
    raised = failing(monkeypatch, local, "read") if function == "read" else failing(monkeypatch, Tree, function)
    error = refusal(getattr(store, verb), "a/x")
    assert told(error) == said(store, verb, "a/x", verb)
    assert error.__cause__ is raised


@pytest.mark.parametrize(
    ("call", "owner", "function", "operation"),
    [
        (lambda store: store.validate(), Tree, "create_draft", "validate"),
        (lambda store: store.validate(), Tree, "lock", "validate"),
        (lambda store: store.doubt(), os, "stat", "examine"),
        (lambda store: list(store.list()), Tree, "scan", "list"),
    ],
)
def test_verb_of_the_whole_store_that_fails(store, monkeypatch, call, owner, function, operation):
    put(store, "a/x")
    raised = failing(monkeypatch, owner, function)
    error = refusal(call, store)
    assert told(error) == said(store, operation, "", operation)
    assert error.__cause__ is raised


def test_listing_and_sweeping_that_fail_name_the_folder(store, monkeypatch):
    put(store, "a/x")
    raised = failing(monkeypatch, Tree, "drafts")
    error = refusal(store.sweep_drafts, 0.0, dry_run=True)
    assert told(error) == said(store, "sweep", ".aioartifacts/tmp", "sweep")
    assert error.__cause__ is raised
    failing(monkeypatch, Tree, "scan")
    assert told(refusal(list, store.list("a"))) == said(store, "list", "a", "list")


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("rival", ["created", "replaced", "without links"])
def test_name_that_cannot_be_made_durable(durable, monkeypatch, rival, many):
    outcome = {
        "created": "nothing was stored",
        "replaced": "what was there before is there again",
        "without links": "the new content is in place, but might not survive a power cut",
    }[rival]
    put(durable, "a/y")
    if rival != "created":
        put(durable, "a/x", b"old")
    if rival == "without links":
        failing(monkeypatch, os, "link", errno.EPERM)
    raised = failing(monkeypatch, Tree, "sync")
    error = durable.put_many([PutRequest("a/x", Buffers(b"data"))])[0] if many else refusal(put, durable, "a/x")
    assert told(error) == said(durable, "put", "a/x", "put", outcome)
    assert error.__cause__ is raised


@pytest.mark.parametrize(
    ("links", "outcome"), [(True, "it is there again"), (False, "it is gone, but a power cut might bring it back")]
)
def test_delete_that_cannot_be_made_durable(durable, monkeypatch, links, outcome):
    put(durable, "a/x", b"old")
    raised = failing(monkeypatch, Tree, "sync")
    if not links:
        failing(monkeypatch, os, "link", errno.EPERM)
    error = refusal(durable.delete, "a/x")
    assert told(error) == said(durable, "delete", "a/x", "delete", outcome)
    assert error.__cause__ is raised


def test_undone_delete_spares_what_a_rival_has_created_since(durable, monkeypatch):
    put(durable, "a/x", b"old")
    sync = Tree.sync

    def rival_then_fail(tree, folder):
        monkeypatch.setattr(Tree, "sync", sync)
        put(durable, "a/x", b"rival", if_generation=0)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Tree, "sync", rival_then_fail)
    assert "might bring it back" in refusal(durable.delete, "a/x").message
    assert durable.get("a/x").data == b"rival"


def test_undone_create_spares_what_a_rival_has_put_since(durable, monkeypatch):
    put(durable, "a/y")
    sync = Tree.sync

    def rival_then_fail(tree, folder):
        monkeypatch.setattr(Tree, "sync", sync)
        put(durable, "a/x", b"rival")
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Tree, "sync", rival_then_fail)
    assert "the new content is in place" in refusal(put, durable, "a/x", if_generation=0).message
    assert durable.get("a/x").data == b"rival"


@pytest.mark.parametrize("verb", ["get", "head", "delete", "map", "list", "put"])
def test_odd_keys(store, verb):
    for key in ("../x", "/x", "a//b", ".aioartifacts/x", "a\0b", ""):
        if key or verb != "list":
            error = refusal(
                put if verb == "put" else getattr(store, verb), *((store, key) if verb == "put" else (key,))
            )
            assert told(error) == (InvalidPathError, f"{key!r} is no key of an object", key, verb)
    key = "a\ud800"
    error = refusal(put if verb == "put" else getattr(store, verb), *((store, key) if verb == "put" else (key,)))
    assert told(error) == (InvalidPathError, f"{key!r} cannot be a file's name on this system", key, verb)
    assert isinstance(error.__cause__, UnicodeEncodeError)


def test_odd_keys_among_many(durable):
    assert told(durable.put_many([PutRequest("../x", Buffers(b""))])[0]) == (
        InvalidPathError, "'../x' is no key of an object", "../x", "put",
    )  # fmt: skip


@pytest.mark.parametrize("verb", ["get", "head", "map"])
def test_what_is_not_there(store, verb):
    put(store, "a/b/x")
    assert told(refusal(getattr(store, verb), "a/x")) == (
        ArtifactNotFoundError, f"there is no 'a/x' in {store.root}", "a/x", verb,
    )  # fmt: skip
    assert told(refusal(getattr(store, verb), "a/b")) == (
        ArtifactNotFoundError, f"'a/b' in {store.root} is no regular file, and so no object", "a/b", verb,
    )  # fmt: skip


def test_rivals_are_told(store):
    first = put(store, "a/x", b"1")
    assert told(refusal(put, store, "a/x", if_generation=0)) == (
        ArtifactExistsError,
        "'a/x' exists already",
        "a/x",
        "put",
    )
    put(store, "a/x", b"2")
    replaced = "'a/x' was replaced meanwhile: read it again, then try again"
    assert told(refusal(put, store, "a/x", if_generation=first.generation)) == (ConflictError, replaced, "a/x", "put")
    assert told(refusal(store.delete, "a/x", if_generation=first.generation)) == (
        ConflictError,
        replaced,
        "a/x",
        "delete",
    )
    deleted = "'a/y' was deleted meanwhile: read it again, then try again"
    assert told(refusal(put, store, "a/y", if_generation=first.generation)) == (ConflictError, deleted, "a/y", "put")
    (store_folder := os.path.join(store.root, "a", "z")) and os.mkdir(store_folder)
    assert told(refusal(put, store, "a/z", if_generation=0)) == (
        StoreError, f"cannot put 'a/z': something that is no regular file has that name in {store.root}; move it away", "a/z", "put",
    )  # fmt: skip


def test_root_that_is_a_file(store):
    with open(store.root, "w"):
        pass
    assert refusal(store.validate).message == (
        f"{store.root} cannot be the root of a store: it, or something above it, is a file and no folder"
    )


@pytest.mark.parametrize(
    ("system", "machine", "refused", "has"),
    [
        ("linux", "x86_64", False, True),
        ("linux", "alpha", False, False),
        ("darwin", "x86_64", False, False),
        ("linux", "x86_64", True, False),
    ],
)
def test_openat2_is_used_where_it_is(monkeypatch, system, machine, refused, has):
    tried = []

    def open_at_once(root, name, flags):
        assert os.readlink(f"/proc/self/fd/{root}") == "/"
        assert (name, flags) == (".", posix._PATH)
        tried.append(name)
        if refused:
            raise OSError(errno.ENOSYS, "no")
        return os.open("/", os.O_RDONLY)

    monkeypatch.setattr(posix, "_open_at_once", open_at_once)
    monkeypatch.setattr(posix.sys, "platform", system)
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=machine))
    before = len(os.listdir("/proc/self/fd"))
    assert posix._has_openat2() is has
    assert tried == (["."] if has or refused else [])
    assert len(os.listdir("/proc/self/fd")) == before


def test_rename_without_hard_links_says_what_failed(monkeypatch):
    no_links = OSError(errno.EPERM, "no links")
    with pytest.raises(FileNotFoundError) as caught:
        posix._rename_new("missing", "target", -100, -100, no_links)
    assert (caught.value.strerror, caught.value.filename) == (os.strerror(errno.ENOENT), "target")
    assert caught.value.__cause__ is no_links
    monkeypatch.setattr(posix, "_libc", object())
    with pytest.raises(OSError, match="no links") as caught:
        posix._rename_new("missing", "target", -100, -100, no_links)
    assert caught.value is no_links


def test_writing_back_begins_with_the_whole_file(durable, monkeypatch):
    asked = []
    libc = SimpleNamespace(sync_file_range=lambda *arguments: asked.append(arguments))
    monkeypatch.setattr(posix, "_libc", libc)
    Tree.start_writing_back(7)
    ((fd, start, length, flags),) = asked
    assert fd == 7
    assert [type(value) for value in (start, length, flags)] == [ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    assert (start.value, length.value, flags.value) == (0, 0, 2)
    asked.clear()
    durable.put_many([PutRequest("a", Buffers(b"1"), 0), PutRequest("b", Buffers(b"2"), 0)])
    assert len(asked) == 2
    assert all(type(fd) is int and fd > 2 for fd, *_ in asked)
