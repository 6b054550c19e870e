"""The event-loop thread behind the facade: one per process, started when first needed, never in the way of the interpreter's exit."""

from __future__ import annotations

import asyncio
import atexit
import logging
import threading
import weakref
from collections.abc import Callable, Coroutine
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from aioartifacts.errors import StoreError
from aioartifacts.forks import start_anew_after_fork
from aioartifacts.pool import start_thread
from aioartifacts.workers import Done

T = TypeVar("T")
_log = logging.getLogger("aioartifacts")

_PATIENCE = 10.0
"""Seconds that calls of other threads, still under way when the interpreter ends, are given to clean up."""
_CLOSING_TIME = 5.0
"""Seconds that stores are then given to close."""


class Portal:
    """Runs coroutines in an event loop of its own, for callers in any thread, with or without a running loop.

    The thread is a daemon, and is stopped in an orderly way at exit: ``anyio.from_thread.start_blocking_portal`` left open keeps
    the interpreter from ending. After a fork the child starts a thread of its own; the parent's did not come along.
    """

    def __init__(self) -> None:
        self._closers: dict[object, Callable[[], Coroutine[Any, Any, object]]] = {}
        self._reset()
        start_anew_after_fork(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closing: set[asyncio.Task[None]] = set()

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

    def close_with(self, owner: object, aclose: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Have *aclose* awaited in the loop when *owner* is gone, or when the loop ends; what it raises is logged."""
        key = object()
        self._closers[key] = aclose
        weakref.finalize(owner, self._close, key).atexit = False  # then it is too late

    def _close(self, key: object) -> None:
        # The owner may go at any point of any thread, where locks may be held: none is taken here.
        aclose, loop = self._closers.pop(key, None), self._loop
        if aclose is not None and loop is not None:
            with suppress(RuntimeError):  # the loop has just been closed, and all with it
                loop.call_soon_threadsafe(self._start_closing, loop, aclose)

    def _start_closing(self, loop: asyncio.AbstractEventLoop, aclose: Callable[[], Coroutine[Any, Any, object]]) -> None:
        task = loop.create_task(_logged(aclose))
        self._closing.add(task)  # the loop itself would not hold on to it
        task.add_done_callback(self._closing.discard)

    def _close_all(self, loop: asyncio.AbstractEventLoop) -> None:
        """In the loop's thread, when it does not run any more: end what it still does, then close what lives as long as it."""
        left = asyncio.all_tasks(loop) - self._closing
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
        for aclose in list(self._closers.values()):
            self._start_closing(loop, aclose)
        if self._closing:
            loop.run_until_complete(asyncio.wait(list(self._closing), timeout=_CLOSING_TIME))

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._thread is threading.current_thread():
                raise StoreError("the blocking facade was called on its own event-loop thread; await the async store there")
            if self._loop is None or self._thread is None or not self._thread.is_alive():
                self._loop = None
                self._start()
            assert self._loop is not None
            return self._loop

    def _start(self) -> None:
        running: SimpleQueue[None] = SimpleQueue()
        loops: list[asyncio.AbstractEventLoop] = []
        abandoned = False

        def main() -> None:
            with asyncio.Runner() as runner:
                loop = runner.get_loop()
                loops.append(loop)
                loop.call_soon(running.put, None)
                if not abandoned:  # else nobody may have seen the loop in time to stop it
                    loop.run_forever()
                if not abandoned:
                    self._close_all(loop)

        self._thread = threading.Thread(target=main, name="aioartifacts-portal", daemon=True)
        try:
            try:
                start_thread(self._thread)
            except RuntimeError as error:
                raise StoreError(
                    f"the event-loop thread behind the facade cannot be started ({error}); save and load before the interpreter shuts down"
                ) from error
            atexit.register(self.stop)
            running.get()
            self._loop = loops[0]
        except BaseException:  # Ctrl-C: the next call starts another
            abandoned = True
            for loop in loops:
                with suppress(RuntimeError):  # it has been closed already
                    loop.call_soon_threadsafe(loop.stop)
            raise

    def stop(self) -> None:
        """End the thread, cancelling what still runs in it, and close the stores that used it."""
        atexit.unregister(self.stop)
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is not None and thread is not None and thread.is_alive():
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_PATIENCE)


async def _logged(aclose: Callable[[], Coroutine[Any, Any, object]]) -> None:
    try:
        await aclose()
    except Exception as error:
        _log.warning("a store could not be closed: %s: %s", type(error).__name__, error)


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
