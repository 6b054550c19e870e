"""Worker threads that drain a queue, in two lanes, so that small jobs never wait behind large ones.

A hop into a thread and back costs more than a small save does (`python -m benchmarks small`, "the facade in executor hops"), so a worker
takes job after job, and the loop is told of whatever has finished since it last looked. There are two lanes. Jobs start in the first, of
*workers* threads. A job that turns out to be large leaves it (`Job.outgrow`), which lets another thread take over, and goes on in the
second lane, of as many threads again; so small jobs never wait behind large ones, and no more than twice *workers* threads compute at a
time.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections import deque
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Literal, TypeAlias

from aioartifacts.errors import StoreError
from aioartifacts.forks import start_anew_after_fork
from aioartifacts.jobs import DEPTH, Aside, Batch, Job

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

    def __del__(self) -> None:
        self._dismiss()

    def here(self) -> WorkerPool:
        """The pool for calls made here: this one; or, from inside a job, one that no job around it can keep busy."""
        pool = self
        for _ in range(DEPTH.get()):
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
                    if job.cancelled:  # while it was on its way, where nobody found it
                        self._recall()
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
