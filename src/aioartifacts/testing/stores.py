"""Stores that remember, fail, or wait on purpose, in front of any other store of their kind."""

from __future__ import annotations

import asyncio
import functools
import itertools
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from aioartifacts.errors import InvalidConfigError, StoreError
from aioartifacts.objects.base import AsyncObjectStore, BlockingObjectStore, ObjectData, ObjectStore
from aioartifacts.testing.forwarding import AsyncForwarding, BlockingForwarding, Details, Forwarding

T = TypeVar("T")
S = TypeVar("S", bound=ObjectStore)
_HANG = 60.0


# remember


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One call of a verb."""

    verb: str
    key: str
    """The key, or the prefix of a listing; empty for verbs without one."""
    details: Details = field(default_factory=dict)
    """The other arguments by name. A body is told by its size, and ``into`` by whether it was given."""


class _Recording(Forwarding[S]):
    def __init__(self, inner: S) -> None:
        super().__init__(inner)
        self.calls: list[RecordedCall] = []
        """Every call so far, in the order in which they began. Objects of a ``put_many`` follow it as a ``put`` each."""

    def keys(self, verb: str) -> list[str]:
        """The keys *verb* was called with, in order."""
        return [call.key for call in self.calls if call.verb == verb]

    def before(self, verb: str, key: str, details: Details) -> None:
        self.calls.append(RecordedCall(verb, key, details))


class RecordingObjectStore(_Recording[BlockingObjectStore], BlockingForwarding):
    """Remembers every call, in `calls`."""


class AsyncRecordingObjectStore(_Recording[AsyncObjectStore], AsyncForwarding):
    """Remembers every call, in `calls`."""


# fail


@dataclass(frozen=True, slots=True)
class Fault:
    """What is to go wrong, and when: an *error* is raised, or *damage* is done to the bytes that ``get`` or ``map`` answer.

    Attributes:
        verb: the verb, or ``"*"`` for any. An object of a ``put_many`` counts as a ``put``.
        error: raised; a function is called for an error of its own each time.
        damage: makes wrong bytes of right ones; `truncate` and `flip_bit` give such functions.
        key: a pattern of keys as in `fnmatch`, where ``*`` covers ``/`` too.
        nth: the first call, among those that match, to go wrong; from 1.
        times: how many calls in a row go wrong; None for all that follow.
        when: raise ``"before"`` the call reaches the store, or ``"after"`` it was carried out, as when an answer is lost. Faults
            after, and damage, count only calls that were carried out.
    """

    verb: str
    error: BaseException | Callable[[], BaseException] | None = None
    damage: Callable[[bytes], bytes] | None = None
    key: str = "*"
    nth: int = 1
    times: int | None = 1
    when: Literal["before", "after"] = "before"

    def __post_init__(self) -> None:
        if (self.error is None) == (self.damage is None):
            raise InvalidConfigError("a fault has either error= or damage=")
        if self.damage is not None and self.verb not in ("get", "map", "*"):
            raise InvalidConfigError(f"only what get and map answer can be damaged, not {self.verb!r}")


def truncate(size: int) -> Callable[[bytes], bytes]:
    """Damage: only the first *size* bytes arrive."""
    return lambda data: data[:size]


def flip_bit(position: int = 0) -> Callable[[bytes], bytes]:
    """Damage: the lowest bit of byte *position* is wrong; counted from the end when negative."""

    def damage(data: bytes) -> bytes:
        damaged = bytearray(data)
        damaged[position] ^= 1
        return bytes(damaged)

    return damage


class _Faulty(Forwarding[S]):
    def __init__(self, inner: S, *faults: Fault) -> None:
        super().__init__(inner)
        self.fired: list[tuple[str, str]] = []
        """Verb and key of every call that went wrong by script; a test that scripts a fault should look."""
        self._faults = [(fault, itertools.count(1)) for fault in faults]
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[object, ...]:
        if self._faults:
            raise InvalidConfigError(
                "a store with scripted faults is not pickled: each copy would count its calls anew"
            )
        return super().__reduce__()

    def script(self, *faults: Fault) -> None:
        """Add faults; their counting starts now."""
        with self._lock:
            self._faults.extend((fault, itertools.count(1)) for fault in faults)

    def heal(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._faults.clear()

    def before(self, verb: str, key: str, details: Details) -> None:
        self._raise(verb, key, self._due(verb, key, lambda fault: fault.error is not None and fault.when == "before"))

    def after(self, verb: str, key: str, answer: T) -> T:
        self._raise(verb, key, self._due(verb, key, lambda fault: fault.error is not None and fault.when == "after"))
        if verb == "file" and any(fault.damage for fault, _ in self._faults):
            return None  # type: ignore[return-value]  # file() may always answer None; here it would get round the damage
        if isinstance(answer, ObjectData | memoryview):
            for fault in self._due(verb, key, lambda fault: fault.damage is not None):
                assert fault.damage is not None
                self.fired.append((verb, key))
                answer = _damaged(answer, fault.damage)  # type: ignore[assignment]  # a type of the same kind
        return answer

    def _due(self, verb: str, key: str, kind: Callable[[Fault], bool]) -> list[Fault]:
        """The faults of a kind that are to happen in this call; counts it."""
        due = []
        with self._lock:
            for fault, counter in self._faults:
                if kind(fault) and fault.verb in (verb, "*") and fnmatchcase(key, fault.key):
                    count = next(counter) - fault.nth
                    if count >= 0 and (fault.times is None or count < fault.times):
                        due.append(fault)
        return due

    def _raise(self, verb: str, key: str, due: list[Fault]) -> None:
        for fault in due:
            assert fault.error is not None
            self.fired.append((verb, key))
            raise fault.error if isinstance(fault.error, BaseException) else fault.error()


def _damaged(answer: ObjectData | memoryview, damage: Callable[[bytes], bytes]) -> ObjectData | memoryview:
    if isinstance(answer, memoryview):
        return memoryview(damage(bytes(answer)))
    data = damage(bytes(answer.data))
    if isinstance(answer.data, memoryview) and not answer.data.readonly and len(data) <= len(answer.data):
        answer.data[: len(data)] = data  # the caller looks into the view it gave
        return ObjectData(answer.info, answer.data[: len(data)])
    return ObjectData(answer.info, data)


class FaultyObjectStore(_Faulty[BlockingObjectStore], BlockingForwarding):
    """Fail as scripted.

    For example, the answer to the first record written is lost::

        FaultyObjectStore(store, Fault("put", TransientStoreError("lost"), key="*/metadata.json", when="after"))

    While damage is scripted ``file`` answers None, so that no reading gets round it.
    """


class AsyncFaultyObjectStore(_Faulty[AsyncObjectStore], AsyncForwarding):
    """Fails as scripted; see `FaultyObjectStore`."""


# wait


class _Waitable(Protocol):
    async def wait(self) -> object: ...


Gate: TypeAlias = threading.Event | Callable[[str, str], object]
AsyncGate: TypeAlias = _Waitable | Callable[[str, str], Awaitable[object]]


class _Slow(Forwarding[S]):
    def __init__(
        self,
        inner: S,
        gate: Any = None,
        *,
        verb: str = "*",
        key: str = "*",
        when: Literal["before", "after"] = "before",
    ) -> None:
        super().__init__(inner)
        self.gate = gate
        self.verb = verb
        self.key = key
        self.when: Literal["before", "after"] = when
        self.waiting: list[tuple[str, str]] = []
        """Verb and key of every call that stands at the gate."""

    def __reduce__(self) -> tuple[object, ...]:
        if self.gate is not None:
            raise InvalidConfigError("a store with a gate is not pickled: nobody could open the gate of the copy")
        rebuild = functools.partial(type(self), verb=self.verb, key=self.key, when=self.when)
        return (rebuild, (self.inner,))

    def _held(self, when: str, verb: str, key: str) -> bool:
        return when == self.when and self.verb in (verb, "*") and fnmatchcase(key, self.key)


class SlowObjectStore(_Slow[BlockingObjectStore], BlockingForwarding):
    """Holds calls at a *gate*, before they reach the store or after they were carried out, until a test lets them go.

    The gate is a `threading.Event` to wait for, or a function called with verb and key. `entered` is set when a call gets there.

    Raises:
        StoreError: from a held verb, when nobody set the event within a minute.
    """

    def __init__(
        self,
        inner: BlockingObjectStore,
        gate: Gate | None = None,
        *,
        verb: str = "*",
        key: str = "*",
        when: Literal["before", "after"] = "before",
    ) -> None:
        super().__init__(inner, gate, verb=verb, key=key, when=when)
        self.entered = threading.Event()

    def before(self, verb: str, key: str, details: Details) -> None:
        self._hold("before", verb, key)

    def after(self, verb: str, key: str, answer: T) -> T:
        self._hold("after", verb, key)
        return answer

    def _hold(self, when: str, verb: str, key: str) -> None:
        if not self._held(when, verb, key):
            return
        self.waiting.append((verb, key))
        self.entered.set()
        try:
            if isinstance(self.gate, threading.Event):
                if not self.gate.wait(_HANG):
                    raise StoreError(
                        f"nobody opened the gate for {verb} within {_HANG:.0f} s", path=key, operation=verb
                    )
            elif self.gate is not None:
                self.gate(verb, key)
        finally:
            self.waiting.remove((verb, key))


class AsyncSlowObjectStore(_Slow[AsyncObjectStore], AsyncForwarding):
    """Holds calls as `SlowObjectStore` does; the gate is an event of asyncio or anyio, or a coroutine function of verb and key."""

    def __init__(
        self,
        inner: AsyncObjectStore,
        gate: AsyncGate | None = None,
        *,
        verb: str = "*",
        key: str = "*",
        when: Literal["before", "after"] = "before",
    ) -> None:
        super().__init__(inner, gate, verb=verb, key=key, when=when)
        self.entered = asyncio.Event()

    async def abefore(self, verb: str, key: str, details: Details) -> None:
        await self._hold("before", verb, key)

    async def aafter(self, verb: str, key: str, answer: T) -> T:
        await self._hold("after", verb, key)
        return answer

    async def _hold(self, when: str, verb: str, key: str) -> None:
        if not self._held(when, verb, key):
            return
        self.waiting.append((verb, key))
        self.entered.set()
        try:
            if self.gate is not None:
                opened: Any = self.gate(verb, key) if callable(self.gate) else self.gate.wait()
                await opened
        finally:
            self.waiting.remove((verb, key))
