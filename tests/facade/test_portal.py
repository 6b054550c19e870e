"""The event-loop thread behind the facade: one per process, whoever asks first, and however often."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from aioartifacts import StoreError
from aioartifacts import portal as module
from aioartifacts.portal import Portal


@pytest.fixture
def portal():
    made = Portal()
    yield made
    made.stop()


async def where():
    return threading.current_thread()


def test_all_threads_share_one_loop(portal):
    found = []
    start = threading.Barrier(8)

    def call():
        start.wait()
        found.append(portal.call(where))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert found[0] is not threading.current_thread()


def test_it_starts_anew_after_it_was_stopped(portal):
    first = portal.call(where)
    portal.stop()
    assert not first.is_alive()
    assert portal.call(where) is not first


def test_what_it_runs_cannot_wait_for_it(portal):
    async def inside():
        return portal.call(where)

    with pytest.raises(StoreError, match="its own event-loop thread"):
        portal.call(inside)


def test_it_does_not_wait_for_a_thread_while_the_interpreter_ends(portal, monkeypatch):
    """Python before 3.12 lets such a thread begin never, and whoever starts it waits for ever."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "is_finalizing", lambda: True)
        with pytest.raises(StoreError, match="before the interpreter shuts down"):
            portal.call(where)
    assert portal.call(where).is_alive()


def test_interrupted_before_it_could_be_started(portal, monkeypatch):
    """Ctrl-C comes at any point; nothing waits for what will never begin."""
    loop = portal._running_loop()
    schedule = loop.call_soon_threadsafe
    calls = []

    def interrupted(callback, *args):
        calls.append(callback)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return schedule(callback, *args)

    monkeypatch.setattr(loop, "call_soon_threadsafe", interrupted)
    with pytest.raises(KeyboardInterrupt):
        portal.call(where)
    monkeypatch.undo()
    assert portal.call(where).is_alive()


@pytest.mark.parametrize("when", ["before its loop runs", "after"])
def test_interrupted_while_it_starts(portal, monkeypatch, when):
    """The next call starts another thread, and the first one ends."""
    made = []

    class Running(module.SimpleQueue):
        def get(self):
            made.append(portal._thread)
            if when == "after":
                super().get()
            raise KeyboardInterrupt

    closed = []
    owner = Owner(portal, closed)
    with monkeypatch.context() as patch:
        patch.setattr(module, "SimpleQueue", Running)
        with pytest.raises(KeyboardInterrupt):
            portal.call(where)
    made[0].join(30)
    assert not made[0].is_alive()
    assert closed == [], "its stores have never been in that loop"
    assert portal.call(where) is not made[0]
    del owner


def test_interruption_after_it_was_stopped_is_raised(portal, monkeypatch):
    def interrupted(*_):
        portal.stop()
        raise KeyboardInterrupt

    monkeypatch.setattr(module.Done, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        portal.call(where)


class Owner:
    """Something that the portal closes."""

    def __init__(self, portal, told, aclose=None):
        self.told = told
        portal.close_with(self, aclose or self.closer(told))

    @staticmethod
    def closer(told):
        async def aclose():
            told.append(threading.current_thread().name)

        return aclose


def test_what_is_gone_is_closed_on_the_loop(portal):
    told = []
    owner = Owner(portal, told)
    portal.call(where)
    assert told == []
    del owner
    portal.call(where)  # comes after what the loop has been asked before
    portal.call(where)
    assert told == ["aioartifacts-portal"]
    portal.stop()
    assert len(told) == 1


def test_what_is_left_is_closed_at_the_end_once_nothing_uses_it(portal):
    told = []
    owner = Owner(portal, told)
    started = threading.Event()

    async def use():
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            told.append("used")

    def call():
        with pytest.raises(StoreError, match="was stopped"):
            portal.call(use)

    user = threading.Thread(target=call)
    user.start()
    started.wait()
    portal.stop()
    user.join()
    assert told == ["used", "aioartifacts-portal"]
    del owner


def test_what_cannot_be_closed_is_logged(portal, caplog):
    async def broken():
        raise ValueError("no")

    told = []
    owners = [Owner(portal, told, broken), Owner(portal, told)]
    thread = portal.call(where)
    portal.stop()
    assert not thread.is_alive()
    assert caplog.messages == ["a store could not be closed: ValueError: no"]
    assert len(told) == 1
    del owners


def test_what_will_not_close_does_not_hold_up_the_end(portal, monkeypatch):
    monkeypatch.setattr(module, "_CLOSING_TIME", 0.0)
    owner = Owner(portal, [], lambda: asyncio.Event().wait())
    thread = portal.call(where)
    portal.stop()
    assert not thread.is_alive()
    del owner


FORKED = """
import os, sys, threading
from aioartifacts.portal import portal
async def where():
    return threading.get_ident()
portal.call(where)
child = os.fork()
if child == 0:
    start, found = threading.Barrier(8), []
    def call():
        start.wait()
        found.append(portal.call(where))
    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    os._exit(0 if len(set(found)) == 1 else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_threads_of_a_forked_child_share_one_loop():
    subprocess.run([sys.executable, "-c", FORKED], check=True, timeout=120)
