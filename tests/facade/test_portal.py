"""The event-loop thread behind the facade: one per process, whoever asks first, and however often."""

from __future__ import annotations

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


def test_interruption_after_it_was_stopped_is_raised(portal, monkeypatch):
    def interrupted(*_):
        portal.stop()
        raise KeyboardInterrupt

    monkeypatch.setattr(module.Done, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        portal.call(where)


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
