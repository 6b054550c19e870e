"""Carry out the steps of `aioartifacts.protocol` over a blocking object store, in whatever thread this is called in."""

from __future__ import annotations

import copy
import functools
import sys
import time
from collections.abc import Sequence
from typing import Any, TypeVar

from aioartifacts.budget import LARGE, ByteBudget
from aioartifacts.errors import ArtifactError
from aioartifacts.jobs import Aside, Cancelled, Job
from aioartifacts.objects.base import BlockingObjectStore, Buffers, PutRequest
from aioartifacts.operations import Commit, Compute, Decode, Delete, Get, Head, ListUnder, Operation, Put, Steps, Wait
from aioartifacts.parts import StoredParts, with_parts
from aioartifacts.putting import put_all, put_one
from aioartifacts.types import Outcome

T = TypeVar("T")


def drive(
    steps: Steps[T],
    objects: BlockingObjectStore,
    job: Job[Any],
    budget: ByteBudget,
    operation: Operation | tuple[Operation, ...] | None = None,
) -> T:
    """Carry out *steps* to the end, and return their result. They are waiting for *operation*, when it is given.

    When the job is cancelled, or this thread interrupted at whatever point, that is thrown into the steps, and what they do to clean
    up is carried out before the exception leaves.
    """
    answer: Any = None
    error: BaseException | None = None
    while True:
        try:
            if operation is not None:
                answer = perform(operation, objects, job, budget)
            while True:
                if error is None:
                    operation = steps.send(answer)
                else:
                    thrown, error = error, None
                    operation = steps.throw(thrown)
                answer = perform(operation, objects, job, budget)
        except Aside as moved:
            moved.resume = functools.partial(_resume, steps, objects, budget, operation)
            raise
        except BaseException as raised:
            if ended(steps):
                if type(raised) is StopIteration:
                    return raised.value  # type: ignore[no-any-return]
                raise
            error, operation = raised, None
            if isinstance(raised, Cancelled):
                job = undisturbed()


def _resume(
    steps: Steps[T],
    objects: BlockingObjectStore,
    budget: ByteBudget,
    operation: Operation | tuple[Operation, ...] | None,
    job: Job[Any],
) -> T:
    return drive(steps, objects, job, budget, operation)


def ended(steps: Steps[Any]) -> bool:
    """Whether a generator has returned or raised: what has just been caught is then its own, and nothing is left to clean up."""
    return getattr(steps, "gi_frame", None) is None


def undisturbed() -> Job[None]:
    """The job under which steps clean up, which have been told already that they are cancelled."""
    return Job(lambda job: None, lambda: None)


def drive_together(
    many: Sequence[Steps[T]], objects: BlockingObjectStore, job: Job[Any], budget: ByteBudget
) -> list[Outcome[T]]:
    """Carry out several steps side by side, so that the store can make what they put durable together.

    The outcomes come in the order of *many*.
    """
    outcomes: list[Outcome[T]] = [Outcome()] * len(many)
    turns: list[tuple[int, Any, BaseException | None]] = [(i, None, None) for i in range(len(many))]
    jobs: list[Job[Any]] = [job] * len(many)
    while turns:
        following: list[tuple[int, Any, BaseException | None]] = []
        commits: list[tuple[int, Commit]] = []
        for index, answer, error in turns:
            if isinstance(error, Cancelled):
                jobs[index] = undisturbed()
            try:
                operation = many[index].send(answer) if error is None else many[index].throw(error)
            except StopIteration as stop:
                outcomes[index] = Outcome(stop.value)
                continue
            except BaseException as raised:  # an outcome; whoever asked for it raises what is no Exception
                outcomes[index] = Outcome(error=raised)
                continue
            if type(operation) is Commit:
                commits.append((index, operation))
                continue
            try:
                following.append((index, perform(operation, objects, jobs[index], budget), None))
            except BaseException as raised:  # thrown into the steps, in their next turn
                following.append((index, None, raised))
        following.extend(_commit_together(commits, objects, job))
        turns = following
    return outcomes


def _commit_together(
    commits: list[tuple[int, Commit]], objects: BlockingObjectStore, job: Job[Any]
) -> list[tuple[int, Any, BaseException | None]]:
    if not commits:
        return []
    try:
        job.check()
        answers = objects.put_many([PutRequest(c.key, Buffers(c.data), c.if_generation) for _, c in commits])
    except ArtifactError as raised:
        # Each of the steps will have its own path told.
        return [(index, None, _same(raised)) for index, _ in commits]
    except BaseException as raised:  # thrown into the steps, in their next turn
        return [(index, None, raised) for index, _ in commits]
    return [
        (index, None, answer if isinstance(answer, BaseException) else None)
        for (index, _), answer in zip(commits, answers, strict=True)
    ]


def _same(error: ArtifactError) -> ArtifactError:
    found = copy.copy(error)
    found.__cause__ = error.__cause__
    return found


def perform(
    operation: Operation | tuple[Operation, ...], objects: BlockingObjectStore, job: Job[Any], budget: ByteBudget
) -> Any:
    """Carry out one operation, or several one after another."""
    match operation:
        case Get(key, versioned):
            job.check()
            # A range, even if of everything, has no generation to be computed.
            return objects.get(key) if versioned else objects.get(key, length=sys.maxsize)
        case Commit(key, data, if_generation):
            job.check()
            objects.put(key, Buffers(data), if_generation=if_generation)
            return None
        case Decode():
            job.check()
            return _decode(operation, objects, job, budget)
        case Compute(call):
            job.check()
            return call()
        case Put():
            job.check()
            return put_one(operation, objects, job)
        case Head(key):
            job.check()
            return objects.head(key)
        case Delete(key, if_generation):
            return objects.delete(key, if_generation=if_generation)
        case ListUnder(prefix):
            job.check()
            return list(objects.list(prefix))
        case Wait(seconds):
            job.check()
            time.sleep(seconds)
            return None
        case tuple():
            return _perform_all(operation, objects, job, budget)


def _perform_all(
    operations: tuple[Operation, ...], objects: BlockingObjectStore, job: Job[Any], budget: ByteBudget
) -> tuple[Any, ...]:
    if len(operations) > 1 and all(type(operation) is Put for operation in operations):
        return put_all([op for op in operations if isinstance(op, Put)], objects, job)
    answers: list[Any] = []
    failure: BaseException | None = None
    for operation in operations:
        try:
            answers.append(perform(operation, objects, job, budget))
        except BaseException as error:
            # Deletes are what is left to clean up: one that fails must not keep the others from being tried.
            if type(operation) is not Delete:
                raise
            failure = failure or error
    if failure is not None:
        raise failure
    return tuple(answers)


def _decode(operation: Decode[T], objects: BlockingObjectStore, job: Job[Any], budget: ByteBudget) -> T:
    size = sum(source.size for source in operation.sources if source.key is not None)
    if size <= LARGE:
        return with_parts(StoredParts(operation, objects, job), operation.call)
    job.outgrow()
    holder = object()
    try:
        budget.take(0 if operation.options.mmap else size, job, holder)
        return with_parts(StoredParts(operation, objects, job), operation.call)
    finally:
        budget.give(holder)
