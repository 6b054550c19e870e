"""The local store among threads and processes that write at once."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from local_files import KEY, files, put

from aioartifacts.errors import (
    ArtifactExistsError,
    ConflictError,
    StoreError,
)
from aioartifacts.objects.local import LocalObjectStore, posix


def test_create_has_one_winner_among_threads(store):
    line = threading.Barrier(8)

    def create(i):
        line.wait()
        try:
            put(store, KEY, b"%d" % i, if_generation=0)
        except ArtifactExistsError:
            return None
        return b"%d" % i

    with ThreadPoolExecutor(8) as pool:
        winners = [w for w in pool.map(create, range(8)) if w is not None]
    assert winners == [store.get(KEY).data]
    assert files(store.root) == {KEY}


def _create_in_process(store, line, i, queue):
    line.wait()
    try:
        put(store, KEY, b"%d" % i, if_generation=0)
        queue.put(i)
    except ArtifactExistsError:
        queue.put(None)


def _count_in_process(store, line, i, queue):
    line.wait()
    _count(store, 50)
    queue.put(i)


def _count(store, times):
    for _ in range(times):
        while True:
            got = store.get(KEY)
            try:
                put(store, KEY, b"%d" % (int(got.data) + 1), if_generation=got.info.generation)
                break
            except ConflictError:
                pass


def in_processes(target, store, n=3):
    context = multiprocessing.get_context("spawn")
    line, queue = context.Barrier(n), context.Queue()
    processes = [context.Process(target=target, args=(store, line, i, queue)) for i in range(n)]
    for process in processes:
        process.start()
    answers = [queue.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    return answers


def test_create_has_one_winner_among_processes(store):
    winners = [i for i in in_processes(_create_in_process, store) if i is not None]
    assert [b"%d" % i for i in winners] == [store.get(KEY).data]


def test_conditional_replaces_of_threads_lose_no_update(store, walk):
    put(store, KEY, b"0")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: _count(store, 25), range(8)))
    assert store.get(KEY).data == b"200"


def test_conditional_replaces_of_processes_lose_no_update(store):
    put(store, KEY, b"0")
    in_processes(_count_in_process, store)
    assert store.get(KEY).data == b"150"


@pytest.mark.parametrize("rival", ["put", "delete"])
def test_unconditional_rival_waits_between_comparing_and_replacing(store, monkeypatch, rival):
    generation = put(store, KEY, b"old").generation
    check, flock = LocalObjectStore._check_generation, fcntl.flock
    started, arrived = [], threading.Event()

    def check_while_the_rival_waits(self, *args):
        check(self, *args)
        monkeypatch.setattr(fcntl, "flock", lambda *args: arrived.set() or flock(*args))
        started.append(
            threading.Thread(target=lambda: put(store, KEY, b"rival") if rival == "put" else store.delete(KEY))
        )
        started[0].start()
        assert arrived.wait(60), "the rival must ask for the lock"
        assert store.get(KEY).data == b"old"

    monkeypatch.setattr(LocalObjectStore, "_check_generation", check_while_the_rival_waits)
    put(store, KEY, b"new", if_generation=generation)
    started[0].join()
    if rival == "put":
        assert store.get(KEY).data == b"rival"
    else:
        assert files(store.root) == set()


def test_put_outlives_deletes_that_prune_its_folder(store, walk):
    stop = threading.Event()

    def prune():
        while not stop.is_set():
            put(store, "a/b/old")
            store.delete("a/b/old")

    pruner = threading.Thread(target=prune)
    pruner.start()
    try:
        for i in range(150):
            put(store, f"a/b/{i}", if_generation=0)
            store.delete(f"a/b/{i}")
    finally:
        stop.set()
        pruner.join()
    assert files(store.root) == set()


def test_put_makes_a_folder_again_that_was_pruned_before_the_link(store, monkeypatch):
    link, pruned = os.link, []

    def prune_first(*args, **kwargs):
        if not pruned:
            pruned.append(os.rmdir(os.path.join(store.root, "a/b")))
        link(*args, **kwargs)

    monkeypatch.setattr(os, "link", prune_first)
    put(store, "a/b/c", if_generation=0)
    assert pruned
    assert files(store.root) == {"a/b/c"}


def test_put_gives_up_on_a_folder_that_is_pruned_each_time(store, monkeypatch):
    calls = []

    def prune_first(*args, **kwargs):
        calls.append(os.rmdir(os.path.join(store.root, "a/b")))
        raise FileNotFoundError(errno.ENOENT, "x")

    monkeypatch.setattr(os, "link", prune_first)
    with pytest.raises(StoreError, match="try again"):
        put(store, "a/b/c", if_generation=0)
    assert len(calls) == posix.ATTEMPTS
    assert files(store.root) == set()


def test_delete_prunes_upward_and_keeps_siblings_and_root(store, walk):
    put(store, "a/b/c/d")
    put(store, "a/x")
    os.mkdir(os.path.join(store.root, "a/empty"))
    store.delete("a/b/c/d")
    assert sorted(os.listdir(os.path.join(store.root, "a"))) == ["empty", "x"]
    os.rmdir(os.path.join(store.root, "a/empty"))
    store.delete("a/x")
    assert os.listdir(store.root) == [".aioartifacts"]


def test_delete_in_a_missing_root_makes_nothing(store):
    store.delete(KEY)
    assert not os.path.exists(store.root)


def test_root_removed_between_puts_is_made_again(store):
    put(store, KEY)
    shutil.rmtree(store.root)
    put(store, KEY, if_generation=0)
    assert store.get(KEY).data == b"data"


def test_create_without_hard_links_renames_and_still_refuses_what_exists(store, monkeypatch):
    def no_links(*args, **kwargs):
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    put(store, KEY, b"first", if_generation=0)
    with pytest.raises(ArtifactExistsError):
        put(store, KEY, b"second", if_generation=0)
    assert store.get(KEY).data == b"first"
    assert files(store.root) == {KEY}
