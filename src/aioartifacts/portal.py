"""The event-loop thread behind the facade: one per process, started when first needed, never in the way of the interpreter's exit."""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from aioartifacts.errors import StoreError
from aioartifacts.forks import start_anew_after_fork
from aioartifacts.pool import start_thread
from aioartifacts.workers import Done

T = TypeVar("T")

_PATIENCE = 10.0
"""Seconds that calls of other threads, still under way when the interpreter ends, are given to clean up."""


class Portal:
    """Runs coroutines in an event loop of its own, for callers in any thread, with or without a running loop.

    The thread is a daemon, and is stopped in an orderly way at exit: ``anyio.from_thread.start_blocking_portal`` left open keeps
    the interpreter from ending. After a fork the child starts a thread of its own; the parent's did not come along.
    """

    def __init__(self) -> None:
        self._reset()
        start_anew_after_fork(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def call(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run the coroutine that *function* makes, in the caller's context variables, and return its result.

        An interruption (Ctrl-C) cancels the work, waits until it has ended, and is then raised.

        Raises:
            StoreError: called from the loop thread itself, which would wait for itself; or when no thread can be started any more.
        """
        loop = self._running_loop()
        call = _Call(loop, function)
        try:
            loop.call_soon_threadsafe(call.start)  # takes the caller's context along
            call.ended.wait()
        except BaseException as error:
            if loop.is_closed():
                if isinstance(error, RuntimeError):  # the loop's, which takes no more calls
                    raise _stopped() from error
                raise
            told = False
            while not call.ended.ended:
                with suppress(KeyboardInterrupt):  # the first one is raised below
                    if not told:
                        loop.call_soon_threadsafe(call.cancel)
                        told = True
                    call.ended.wait()
            raise
        return call.outcome()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._thread is threading.current_thread():
                raise StoreError("the blocking facade was called on its own event-loop thread; await the async store there")
            if self._loop is None or self._thread is None or not self._thread.is_alive():
                self._loop = self._start()
            return self._loop

    def _start(self) -> asyncio.AbstractEventLoop:
        running: SimpleQueue[asyncio.AbstractEventLoop] = SimpleQueue()

        def main() -> None:
            with asyncio.Runner() as runner:
                loop = runner.get_loop()
                loop.call_soon(running.put, loop)
                loop.run_forever()

        self._thread = threading.Thread(target=main, name="aioartifacts-portal", daemon=True)
        try:
            start_thread(self._thread)
        except RuntimeError as error:
            raise StoreError(
                f"the event-loop thread behind the facade cannot be started ({error}); save and load before the interpreter shuts down"
            ) from error
        atexit.register(self.stop)
        return running.get()

    def stop(self) -> None:
        """End the thread, cancelling what still runs in it."""
        atexit.unregister(self.stop)
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is not None and thread is not None and thread.is_alive():
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_PATIENCE)


class _Call(Generic[T]):
    """One coroutine on the loop, and whoever waits for it in a thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, function: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self.ended = Done()
        self._loop = loop
        self._function = function
        self._task: asyncio.Task[T] | None = None

    def start(self) -> None:
        self._task = self._loop.create_task(self._function())
        self._task.add_done_callback(lambda task: self.ended.set())

    def cancel(self) -> None:
        if self._task is None:
            self.ended.set()  # interrupted before it could be started
        else:
            self._task.cancel()

    def outcome(self) -> T:
        task, self._task = self._task, None
        if task is None or task.cancelled():
            raise _stopped()
        return task.result()


def _stopped() -> StoreError:
    return StoreError("the event-loop thread behind the facade was stopped before the call had ended")


portal = Portal()
"""The one of this process."""
