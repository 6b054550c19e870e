"""Faults on demand: which requests they hit, and what they do to them."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from .wire import ApiError

Action = Literal["status", "drop", "stall", "truncate", "flip", "latency", "bandwidth"]
When = Literal["before", "commit", "applied", "answer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong, and with which requests.

    ``status``     answer *status* (with *headers*, *message*) instead
    ``drop``       close the connection without an answer
    ``stall``      wait until released (``POST /_control/release``) or for *timeout* seconds, then go on
    ``truncate``   announce the whole answer, send *after_bytes* of its body (default: half), close
    ``flip``       invert one bit of the answer's body, in byte *after_bytes* (default: the middle one)
    ``latency``    wait *latency_ms* before looking at the request
    ``bandwidth``  at most *rate* bytes per second and connection, each way

    *when* places ``status``, ``drop`` and ``stall``: ``before`` the request takes effect, or once it was ``applied``
    (its answer is lost). ``before`` with *after_bytes* reads that much of the request's body first; a resumable upload
    keeps what it read, in whole 256 KiB. A stall may also wait at the ``commit``, with the body read and nothing
    applied (and it applies afterwards even if the client has gone), or in the middle of the ``answer``.

    Requests are selected by *method*, and by regular expressions searched for in the decoded *path* and in the raw
    *query*. Of those, the *nth* (the first is 1) or each with *probability* (drawn from *seed*), at most *count* times.
    Of several faults for one request the first installed wins; ``latency`` and ``bandwidth`` add to it.
    """

    action: Action
    method: str | None = None
    path: str | None = None
    query: str | None = None
    nth: int | tuple[int, ...] | None = None
    probability: float = 1.0
    seed: int = 0
    count: int | None = None
    when: When = "before"
    status: int = 503
    message: str = "We encountered an internal error. Please try again."
    headers: Mapping[str, str] | None = None
    after_bytes: int | None = None
    timeout: float = 30.0
    latency_ms: float = 0.0
    rate: int | None = None

    def __post_init__(self) -> None:
        if self.action not in get_args(Action) or self.when not in get_args(When):
            raise ValueError(f"no such fault: {self.action!r} {self.when!r}")
        if self.when in ("commit", "answer") and self.action != "stall":
            raise ValueError(f"when={self.when!r} is for a stall only")
        if self.action == "bandwidth" and not (self.rate or 0) > 0:
            raise ValueError("a bandwidth fault needs a rate above 0, in bytes per second")
        for pattern in (self.path, self.query):
            if pattern is not None:
                re.compile(pattern)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Fault:
        """Raises ApiError: not a fault."""
        known = {item.name for item in fields(cls)}
        if unknown := set(value) - known:
            raise ApiError(400, f"A fault has no {sorted(unknown)}; it has {sorted(known)}")
        given = dict(value)
        if isinstance(given.get("nth"), list):
            given["nth"] = tuple(given["nth"])
        try:
            return cls(**given)
        except (TypeError, ValueError, re.error) as error:
            raise ApiError(400, f"Not a fault: {error}") from error

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True)
class Plan:
    """What is going to happen to one request."""

    fault: Fault | None = None
    latency: float = 0.0
    rate: int | None = None

    def joined(self, other: Plan) -> Plan:
        """Both plans at once; *other* has no fault of its own."""
        rates = [rate for rate in (self.rate, other.rate) if rate is not None]
        return Plan(self.fault, self.latency + other.latency, min(rates, default=None))


NO_PLAN = Plan()


class _Rule:
    def __init__(self, id: int, fault: Fault) -> None:
        self.id = id
        self.fault = fault
        self.seen = 0
        self.fired = 0
        self._random = random.Random(fault.seed)
        self._path = re.compile(fault.path) if fault.path is not None else None
        self._query = re.compile(fault.query) if fault.query is not None else None
        self._nth = (fault.nth,) if isinstance(fault.nth, int) else fault.nth

    def hits(self, method: str, path: str, query: str) -> bool:
        fault = self.fault
        if fault.method is not None and fault.method.upper() != method:
            return False
        if self._path is not None and not self._path.search(path):
            return False
        if self._query is not None and not self._query.search(query):
            return False
        self.seen += 1
        if fault.count is not None and self.fired >= fault.count:
            return False
        if self._nth is not None and self.seen not in self._nth:
            return False
        if fault.probability < 1.0 and self._random.random() >= fault.probability:
            return False
        self.fired += 1
        return True


class Faults:
    """The faults installed on one server."""

    def __init__(self) -> None:
        self._rules: list[_Rule] = []
        self._next_id = 1

    def add(self, fault: Fault) -> int:
        """Install a fault; returns its number."""
        rule = _Rule(self._next_id, fault)
        self._next_id += 1
        self._rules.append(rule)
        return rule.id

    def remove(self, ids: Iterable[int] | None = None) -> None:
        """Remove these faults, or all."""
        gone = None if ids is None else set(ids)
        self._rules = [] if gone is None else [rule for rule in self._rules if rule.id not in gone]

    def installed(self) -> list[dict[str, Any]]:
        """Each fault with its number, how many requests it selected and how many it hit."""
        return [
            {"id": rule.id, "seen": rule.seen, "fired": rule.fired} | rule.fault.to_json() for rule in self._rules
        ]

    def plan(self, method: str, path: str, query: str) -> Plan:
        if not self._rules:
            return NO_PLAN
        plan = Plan()
        for rule in self._rules:
            fault = rule.fault
            adds = fault.action in ("latency", "bandwidth")
            if (plan.fault is not None and not adds) or not rule.hits(method, path, query):
                continue
            if fault.action == "latency":
                plan.latency += fault.latency_ms / 1000
            elif fault.action == "bandwidth":
                plan.rate = fault.rate if plan.rate is None else min(plan.rate, fault.rate or plan.rate)
            else:
                plan.fault = fault
        return plan
