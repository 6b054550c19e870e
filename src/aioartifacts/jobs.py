"""Calls to be made in worker threads: one by itself, or many under one roof, and how they learn that nobody wants them any more."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")
K = TypeVar("K")

DEPTH: contextvars.ContextVar[int] = contextvars.ContextVar("aioartifacts_depth", default=0)
"""How many jobs what runs here is within."""


def nested(inside: int = 1) -> bool:
    """Whether this is called by a materializer that uses a store itself: from a job, or with *inside* 2, from a job within a job.

    A job that waits for another one must not wait for what it holds itself, a worker, a slot, or bytes of the budget.
    """
    return DEPTH.get() >= inside


class Cancelled(BaseException):
    """Thrown into a job's steps when its caller has been cancelled. Never leaves the engine."""


class Aside(BaseException):
    """Thrown into a large job when too many large ones wait already: it gives its thread back, and goes on when there is room.

    *resume* is what is called then, for the whole call if nobody sets it. Never leaves the engine.
    """

    resume: Callable[[Job[Any]], Any] | None = None


class Job(Generic[T]):
    """One call to be made in a worker thread."""

    __slots__ = (
        "_call", "_context", "_depth", "_leave", "_on_done",
        "aside", "batch", "cancelled", "error", "movable", "outgrown", "result",
    )  # fmt: skip

    def __init__(
        self,
        call: Callable[[Job[T]], T],
        on_done: Callable[[], None],
        context: contextvars.Context | None = None,
        depth: int | None = None,
    ) -> None:
        self.cancelled = False
        self.outgrown = False
        self.movable = False
        """Whether `outgrow` may throw `Aside`."""
        self.aside = False
        """Whether it has, and the job is to be run again."""
        self.batch: Batch[Any, Any] | None = None
        """The one it is of."""
        self.result: T | None = None
        self.error: BaseException | None = None
        self._call = call
        self._on_done = on_done
        self._context = context or contextvars.copy_context()
        self._depth = (DEPTH.get() if depth is None else depth) + 1
        self._leave: Callable[[Job[Any], bool], None] | None = None

    def check(self) -> None:
        """Raise `Cancelled` if the caller has been cancelled."""
        if self.cancelled:
            raise Cancelled

    def outgrow(self, *, waits: bool = False) -> None:
        """Say that this job is a large one, or, with *waits*, one that will mostly wait for the loop. Returns when it may go on.

        Raises:
            Cancelled: the caller has been cancelled meanwhile.
            Aside: the job is *movable*, and has to wait without its thread.
        """
        leave, self._leave = self._leave, None
        self.outgrown = True
        if leave is not None:
            leave(self, waits)
        self.check()

    def run(self, leave: Callable[[Job[Any], bool], None] | None) -> None:
        """Make the call, keep its outcome, and tell whoever waits; unless it went aside."""
        self._leave = leave
        try:
            if not self.outgrown:
                self.check()  # one that has been aside has something to clean up, and looks itself
            self.result = self._context.run(self._make)
        except Aside as moved:
            self._call = moved.resume or self._call
            self.aside = True
            return
        except BaseException as error:  # handed to whoever waits, whatever it is
            self.error = error
        self._leave = None
        del self._call  # with what it holds, before whoever waits gives back the memory for it
        self._on_done()

    def _make(self) -> T:
        DEPTH.set(self._depth)
        return self._call(self)

    def outcome(self) -> T:
        """What the call returned, or what it raised."""
        error, self.error = self.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback refers to this frame
        return self.result  # type: ignore[return-value]


class Batch(Generic[K, T]):
    """Many calls under one roof: made one after another by however many workers are free, reported once.

    A call gets its job and this batch, and puts what it has got into `results` and `errors`.

    Attributes:
        quick: what it is made of takes so little time that two threads would mostly wait for the interpreter's lock; one worker at a time
            then does all that has not been outgrown. The calls keep it up to date.
    """

    def __init__(
        self,
        calls: Iterator[Callable[[Job[None], Batch[K, T]], None]],
        on_done: Callable[[], None],
        *,
        fail_fast: bool,
        quick: bool = False,
    ) -> None:
        self.quick = quick
        self.results: dict[K, T] = {}
        self.errors: dict[K, BaseException] = {}
        self.outgrew = False
        """Whether some of its calls have had to go aside."""
        self.crash: BaseException | None = None
        """What a call raised instead of reporting it."""
        self._context = contextvars.copy_context()
        self._depth = DEPTH.get()
        self._calls = calls
        self._on_done = on_done
        self._fail_fast = fail_fast
        self._lock = threading.Lock()
        self._jobs: set[Job[None]] = set()
        self.cancelled = False
        self._exhausted = False

    def crowded(self) -> bool:
        """Whether a worker more would do no good."""
        with self._lock:
            return self.quick and not all(job.outgrown for job in self._jobs)

    def take(self) -> Job[None] | None:
        """The next job; None when there is none left, now and for ever."""
        with self._lock:
            if self._exhausted:
                return None
            call = None if self.cancelled else next(self._calls, None)
            if call is None:
                if not self._jobs:
                    self._on_done()
                self._exhausted = True  # last: whoever is interrupted in between comes again
                return None
            made = call
            job: Job[None] = Job(
                lambda job: made(job, self), lambda: self._finish(job), self._context.copy(), self._depth
            )
            job.batch = self
            self._jobs.add(job)
            return job

    def _finish(self, job: Job[None]) -> None:
        with self._lock:
            self._jobs.discard(job)
            if job.error is not None and not isinstance(job.error, Cancelled):
                self.crash = self.crash or job.error
            if (self._fail_fast and self.errors) or self.crash is not None:
                self._cancel()
            if self._exhausted and not self._jobs:
                self._on_done()

    def cancel(self) -> None:
        """Start no further call, and tell the running ones."""
        with self._lock:
            self._cancel()

    def _cancel(self) -> None:
        self.cancelled = True
        for job in self._jobs:
            job.cancelled = True
