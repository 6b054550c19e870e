"""The only door into threads: a pool whose workers drain a queue, and calls into it that survive cancellation.

A hop into a thread and back costs more than a small save does, so a worker takes job after job, and the loop is told of whatever has
finished since it last looked. There are two lanes. Jobs start in the first, of *workers* threads. A job that turns out to be large leaves
it (`Job.outgrow`), which lets another thread take over, and goes on in the second lane, of as many threads again; so small jobs never
wait behind large ones, and no more than twice *workers* threads compute at a time.

A call that is cancelled drops its job if it has not started; otherwise it tells the job, waits until the thread is done, and only
then lets go. So nothing happens any more after a cancelled call has returned. (``anyio.to_thread.run_sync`` and ``asyncio.to_thread``
let the thread finish later when the task is cancelled natively; tests/concurrency/test_workers.py would notice if that changed.)
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import anyio

from aioartifacts.errors import StoreError
from aioartifacts.forks import start_anew_after_fork

T = TypeVar("T")
K = TypeVar("K")


_depth: contextvars.ContextVar[int] = contextvars.ContextVar("aioartifacts_depth", default=0)


def nested(inside: int = 1) -> bool:
    """Whether this is called by a materializer that uses a store itself: from a job, or with *inside* 2, from a job within a job.

    A job that waits for another one must not wait for what it holds itself, a worker, a slot, or bytes of the budget.
    """
    return _depth.get() >= inside


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
        self._depth = (_depth.get() if depth is None else depth) + 1
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
        _depth.set(self._depth)
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
        self._depth = _depth.get()
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


_Lane: TypeAlias = Literal["first", "second", "none"]
_FIRST: _Lane = "first"
_SECOND: _Lane = "second"
_NONE: _Lane = "none"


class WorkerPool:
    """Threads for one store, started when first needed, and anew after a fork.

    They never keep the interpreter from ending. What they are in the middle of then ends as in a process that is killed, so nothing
    half-written is ever seen.
    """

    def __init__(self, workers: int, parked: int = 32) -> None:
        self.workers = workers
        self._parked_max = parked
        self._reset()
        start_anew_after_fork(self)

    def _reset(self) -> None:
        # Taken in C. That of a Condition is taken in Python, where Ctrl-C can come between taking it and noting that it is to be let go.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._jobs: deque[Job[Any]] = deque()
        self._batches: deque[Batch[Any, Any]] = deque()
        self._aside: deque[Job[Any]] = deque()
        self._batch_next = False
        self._draining = 0
        self._large = 0
        self._parked = 0
        self._idle = 0
        self._open = True
        self._summons: SimpleQueue[bool] = SimpleQueue()
        self._deeper: WorkerPool | None = None

    def __reduce__(self) -> tuple[object, ...]:
        return (WorkerPool, (self.workers, self._parked_max))

    def __del__(self) -> None:
        self._dismiss()

    def here(self) -> WorkerPool:
        """The pool for calls made here: this one; or, from inside a job, one that no job around it can keep busy."""
        pool = self
        for _ in range(_depth.get()):
            with pool._lock:
                if pool._deeper is None:
                    pool._deeper = WorkerPool(self.workers, self._parked_max)
            pool = pool._deeper
        return pool

    def submit(self, work: Job[Any] | Batch[Any, Any]) -> None:
        """Queue a job or a batch, and see to it that workers come for it.

        Raises:
            StoreError: no thread can be started; the interpreter is shutting down.
        """
        with self._lock:
            self._open = True
            try:
                self._recruit(len(self._jobs) + 1 if isinstance(work, Job) else 1 if work.quick else self.workers)
            except RuntimeError as error:
                if not self._draining:
                    raise StoreError(
                        f"no worker thread can be started ({error}); save and load before the interpreter shuts down"
                    ) from error
            if isinstance(work, Job):
                self._jobs.append(work)
            else:
                self._batches.append(work)

    def _recruit(self, wanted: int) -> None:
        """Fill the first lane with up to *wanted* workers. Needs the lock. A `RuntimeError` means that the interpreter shuts down."""
        while self._draining < self.workers and wanted > 0:
            if self._idle:
                self._idle -= 1
                self._summons.put(True)
            else:
                start_thread(
                    threading.Thread(
                        target=_attend, args=(weakref.ref(self), self._summons), name="aioartifacts", daemon=True
                    )
                )
            self._draining += 1
            wanted -= 1

    def cancel(self, work: Job[Any] | Batch[Any, Any]) -> bool:
        """Tell a job or a batch that nobody wants it any more; True when the job had not started, and now never will."""
        if isinstance(work, Batch):
            work.cancel()
        else:
            work.cancelled = True
        with self._lock:
            self._changed.notify_all()  # those waiting for the second lane
            if isinstance(work, Batch):
                work.take()  # settles it, when no worker has come for it yet
            elif work in self._jobs and not work.outgrown:
                self._jobs.remove(work)
                return True
            self._recall()
        return False

    def _recall(self) -> None:
        """Have those who went aside, and have been cancelled since, clean up at once. Needs the lock."""
        for job in [job for job in self._aside if job.cancelled]:
            self._aside.remove(job)
            self._jobs.appendleft(job)
            with suppress(RuntimeError):  # the interpreter shuts down: what is queued waits for those who run
                self._recruit(1)

    def close(self) -> None:
        """Let idle threads end. The pool may be used again."""
        with self._lock:
            self._open = False
            self._dismiss()
            deeper = self._deeper
        if deeper is not None:
            deeper.close()

    def _dismiss(self) -> None:
        idle, self._idle = self._idle, 0
        for _ in range(idle):
            self._summons.put(False)

    # In the worker threads

    def _drain(self) -> bool:
        lane = _FIRST
        job: Job[Any] | None = None

        def leave(job: Job[Any], waits: bool) -> None:
            nonlocal lane
            lane = self._leave(job, waits)

        while True:
            with self._lock:
                if job is not None and job.aside:
                    job.aside = False
                    self._aside.append(job)
                    if job.batch is not None:
                        job.batch.outgrew = True
                elif job is not None and job.batch is not None and job.batch.cancelled:
                    self._changed.notify_all()  # others of it may wait to be large
                    self._recall()
                elif job is not None and job.batch is not None and not job.batch.quick:
                    with suppress(RuntimeError):  # the interpreter shuts down: what is queued waits for this very thread
                        self._recruit(self.workers * bool(self._batches))
                if lane is _SECOND and (self._parked or not self._aside):
                    self._large -= 1
                    self._changed.notify_all()
                    lane = _NONE
                if lane is _NONE:
                    if self._draining >= self.workers:
                        return self._stays()
                    self._draining += 1
                    lane = _FIRST
                if lane is _FIRST and self._aside and self._large < self.workers:
                    self._draining -= 1
                    self._large += 1
                    lane = _SECOND
                    with suppress(RuntimeError):  # the interpreter shuts down: what is queued waits for this very thread
                        self._recruit(len(self._jobs) + self.workers * bool(self._batches))
                job = self._aside.popleft() if lane is _SECOND else self._next()
                if job is None:
                    self._draining -= 1
                    return self._stays()
            job.run(leave if lane is _FIRST else None)

    def _stays(self) -> bool:
        """Whether this thread is to wait for more to do. Needs the lock."""
        self._idle += self._open
        return self._open

    def _next(self) -> Job[Any] | None:
        """Single calls and batches by turns; batches one job each in turn. Needs the lock."""
        self._batch_next = not self._batch_next
        if self._jobs and not (self._batch_next and self._batches):
            return self._jobs.popleft()
        for _ in range(len(self._batches)):
            batch = self._batches[0]
            # Of what has outgrown its place, more would only go aside too.
            if (self._aside and batch.outgrew) or batch.crowded():
                self._batches.rotate(-1)
                continue
            job = batch.take()
            if job is not None:
                self._batches.rotate(-1)
                return job
            self._batches.popleft()
        return self._jobs.popleft() if self._jobs else None

    def _leave(self, job: Job[Any], waits: bool) -> _Lane:
        """Leave the first lane: for none, if the job only *waits*, else for a place in the second one, however long that takes.

        When too many wait for that already, the job goes aside, or stays where it is if it cannot, so that threads are bounded.
        """
        with self._lock:
            if not waits and self._large >= self.workers and self._parked >= self._parked_max:
                if job.movable and not job.cancelled:
                    raise Aside
                return _FIRST
            self._draining -= 1
            with suppress(RuntimeError):  # the interpreter shuts down: what is queued waits for this very thread
                self._recruit(len(self._jobs) + self.workers * bool(self._batches))
            if waits:
                return _NONE
            self._parked += 1
            while self._large >= self.workers and not job.cancelled:
                self._changed.wait()
            self._parked -= 1
            self._large += 1
            return _SECOND


def _attend(pool: weakref.ref[WorkerPool], summons: SimpleQueue[bool]) -> None:
    """What a worker thread does; between its turns it does not keep its pool alive."""
    while True:
        attended = pool()
        if attended is None:
            return
        stays = attended._drain()
        del attended
        if not stays or not summons.get():
            return


def start_thread(thread: threading.Thread) -> None:
    """Start a thread.

    Raises:
        RuntimeError: none can be started. Python before 3.12 would wait for ever for one that is started while the interpreter ends.
    """
    if sys.is_finalizing():
        raise RuntimeError("can't start new thread at interpreter shutdown")
    thread.start()


# On the event loop


class Waiter:
    """Wakes one task on its loop when something in a thread is done; several are woken by one message."""

    __slots__ = ("_mailbox", "_woken", "done", "future")

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self.done = False
        self.future: asyncio.Future[None] = mailbox.loop.create_future()

    def post(self) -> None:
        """Called in a worker thread, once."""
        self._mailbox.post(self)

    async def wait(self, cancel: Callable[[], bool]) -> None:
        """Wait until it is done, whatever happens; on cancellation call *cancel*, which answers whether nothing is left to wait for."""
        try:
            await self.future
        except asyncio.CancelledError:
            if not self.done and not cancel():
                # Not asyncio.shield alone: under an anyio scope it would be cancelled again at once, and spin.
                with anyio.CancelScope(shield=True):
                    while not self.done:
                        self.future = self._mailbox.loop.create_future()
                        try:
                            await self.future
                        except asyncio.CancelledError:
                            continue
            raise


class Mailbox:
    """Carries word from worker threads to one event loop; what comes in before the loop has looked shares a message."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._lock = threading.Lock()
        self._done: list[Waiter] = []

    def post(self, waiter: Waiter) -> None:
        """Wake *waiter*; called in a worker thread."""
        with self._lock:
            self._done.append(waiter)
            first = len(self._done) == 1
        if first:
            try:
                self.loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:
                with self._lock:  # the loop is closed: nobody waits any more
                    self._done.clear()

    def _deliver(self) -> None:
        with self._lock:
            done, self._done = self._done, []
        for waiter in done:
            waiter.done = True
            if not waiter.future.done():
                waiter.future.set_result(None)


class LoopWorkers:
    """A worker pool as coroutines see it."""

    def __init__(self, pool: WorkerPool) -> None:
        self.pool = pool
        self._mailbox: Mailbox | None = None

    def __reduce__(self) -> tuple[object, ...]:
        return (LoopWorkers, (self.pool,))

    def _waiter(self) -> Waiter:
        loop = asyncio.get_running_loop()
        mailbox = self._mailbox
        if mailbox is None or mailbox.loop is not loop:
            mailbox = self._mailbox = Mailbox(loop)
        return Waiter(mailbox)

    async def call(self, call: Callable[[Job[T]], T]) -> T:
        """Make *call* in a worker thread. When this is cancelled, it returns after the thread is done with it, not before."""
        waiter, pool = self._waiter(), self.pool.here()
        job = Job(call, waiter.post)
        pool.submit(job)
        await waiter.wait(lambda: pool.cancel(job))
        return job.outcome()

    async def call_many(
        self, calls: Iterator[Callable[[Job[None], Batch[K, T]], None]], *, fail_fast: bool, quick: bool = False
    ) -> Batch[K, T]:
        """Make many calls in worker threads. Cancellation as in `call`."""
        waiter, pool = self._waiter(), self.pool.here()
        batch: Batch[K, T] = Batch(calls, waiter.post, fail_fast=fail_fast, quick=quick)
        pool.submit(batch)
        await waiter.wait(lambda: pool.cancel(batch))
        if batch.crash is not None:
            raise batch.crash
        return batch


class Done:
    """Tells a thread that something has ended. Unlike a `threading.Event`, it can be interrupted at any point and waited for again."""

    __slots__ = ("_word", "ended")

    def __init__(self) -> None:
        self.ended = False
        self._word: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """It has ended."""
        self.ended = True
        self._word.put(None)

    def wait(self) -> None:
        """Wait for the end."""
        while not self.ended:
            with suppress(Empty):
                # A signal that comes just before the thread falls asleep does not wake it, so it looks now and then.
                self._word.get(timeout=0.5)


class CallerWorkers:
    """A worker pool as ordinary code sees it: single calls run in the caller's own thread."""

    def __init__(self, pool: WorkerPool) -> None:
        self.pool = pool

    def __reduce__(self) -> tuple[object, ...]:
        return (CallerWorkers, (self.pool,))

    async def call(self, call: Callable[[Job[T]], T]) -> T:
        """Make *call* here and now."""
        job = Job(call, _nothing)
        deeper = _depth.set(_depth.get() + 1)
        try:
            return call(job)
        finally:
            _depth.reset(deeper)

    async def call_many(
        self, calls: Iterator[Callable[[Job[None], Batch[K, T]], None]], *, fail_fast: bool, quick: bool = False
    ) -> Batch[K, T]:
        """Make many calls in worker threads and wait for them. An interruption (Ctrl-C) is raised after they are done."""
        pool = self.pool.here()
        done = Done()
        batch: Batch[K, T] = Batch(calls, done.set, fail_fast=fail_fast, quick=quick)
        try:
            pool.submit(batch)
            done.wait()
        except BaseException:
            while not done.ended:
                with suppress(KeyboardInterrupt):  # the first one is raised below
                    pool.cancel(batch)
                    done.wait()
            raise
        if batch.crash is not None:
            raise batch.crash
        return batch


def _nothing() -> None:
    """For jobs that nobody is waiting for in another thread."""
