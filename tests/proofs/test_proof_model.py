"""Any sequence of verbs, crashes and reopenings does to every store what it does to a dict; and all stores agree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import proof_writer
import pytest
from figures import FULL, count
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from proof_scale import scaled

import aioartifacts as aa
from aioartifacts import sync
from aioartifacts.objects.base import AsyncObjectStore, BlockingObjectStore
from aioartifacts.objects.gcs import GCSObjectStore
from aioartifacts.objects.local import LocalObjectStore
from aioartifacts.objects.memory import MemoryObjectStore
from aioartifacts.testing import AsyncFaultyObjectStore, Fault, FaultyObjectStore
from aioartifacts.testing.gcs_server import GCSServerProcess
from aioartifacts.types import KIB

PATHS = st.sampled_from(["a", "a/b", "a/b/c", "ab", "x y/ü", "a.b"])
PREFIXES = st.sampled_from(["", "a", "a/b", "ab", "x y"])
VALUES = st.one_of(
    st.integers(),
    st.dictionaries(st.text(max_size=5), st.none() | st.booleans() | st.floats(allow_nan=False), max_size=4),
    st.binary(min_size=200, max_size=300).map(lambda seed: seed * 2),  # larger than what is inlined below
    st.tuples(st.binary(max_size=300), st.binary(min_size=1, max_size=300)).map(lambda both: proof_writer.Pair(*both)),
)
METADATA = st.none() | st.dictionaries(st.text(max_size=5), st.integers(-5, 5), max_size=2)
BUCKET = "model"


class Crash(BaseException):
    """From here on the process does nothing any more."""


@contextmanager
def crashing() -> Iterator[None]:
    """Let a crash pass, or several at once: what is no `Exception` leaves a task group as a group."""
    try:
        yield
    except Crash:
        pass
    except BaseExceptionGroup as group:
        if group.split(Crash)[1] is not None:
            raise


class Subject:
    """A store under test, and the object store beneath it, which can be told to crash."""

    def __init__(self, objects: BlockingObjectStore | AsyncObjectStore) -> None:
        self.objects = objects
        self.open()

    def reopen(self) -> None:
        """Let go of the old store, as the end of a process would."""
        self.faults.heal()
        self.store.close()
        self.open()

    def open(self) -> None:
        self.faults: FaultyObjectStore | AsyncFaultyObjectStore
        if isinstance(self.objects, BlockingObjectStore):
            self.faults = FaultyObjectStore(self.objects)
        else:
            self.faults = AsyncFaultyObjectStore(self.objects)
        self.store = sync.ArtifactStore(
            self.faults,
            trust="all",
            inline_max=200,
            materializers=proof_writer.registry(),
            retry=aa.RetryPolicy(5.0, 0, 0),
        )


class Machine(RuleBasedStateMachine):
    folder: Path
    server: GCSServerProcess

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, tuple[Any, dict[str, Any]]] = {}
        type(self).number += 1
        self.server.reset()
        gcs = GCSObjectStore(BUCKET, endpoint=self.server.url, credentials="anonymous", chunk_size=256 * KIB)
        local = LocalObjectStore(self.folder / str(self.number), durability="process")
        self.subjects = [Subject(MemoryObjectStore()), Subject(local), Subject(gcs)]

    number = 0

    def outcomes(self, call: Any) -> list[Any]:
        """What a verb answers on each of the stores: a value, or the class of the error."""
        answers = []
        for subject in self.subjects:
            try:
                answers.append(call(subject.store))
            except aa.ArtifactError as error:
                answers.append(type(error))
        count("model", steps=1)
        return answers

    def agreed(self, call: Any) -> Any:
        first, *others = self.outcomes(call)
        assert others == [first] * len(others), (first, *others)
        return first

    @rule(path=PATHS, value=VALUES, metadata=METADATA)
    def save(self, path: str, value: Any, metadata: dict[str, Any] | None) -> None:
        locations = self.outcomes(lambda store: store.save(value, path, metadata))
        assert all(isinstance(location, str) for location in locations), locations
        self.model[path] = value, metadata or {}

    @rule(path=PATHS, value=VALUES)
    def save_new(self, path: str, value: Any) -> None:
        outcomes = self.outcomes(lambda store: store.save(value, path, overwrite=False))
        if path in self.model:
            assert outcomes == [aa.ArtifactExistsError] * 3
        else:
            assert all(isinstance(location, str) for location in outcomes), outcomes
            self.model[path] = value, {}

    @rule(path=PATHS)
    def load(self, path: str) -> None:
        found = self.agreed(lambda store: (store.load(path), store.get_metadata(path)))
        assert found == self.model.get(path, aa.ArtifactNotFoundError)

    @rule(path=PATHS)
    def delete(self, path: str) -> None:
        assert self.agreed(lambda store: store.delete(path)) is (path in self.model)
        self.model.pop(path, None)

    @rule(prefix=PREFIXES)
    def list(self, prefix: str) -> None:
        expected = sorted(p for p in self.model if not prefix or p == prefix or p.startswith(f"{prefix}/"))
        assert self.agreed(lambda store: store.list_artifacts(prefix)) == expected

    @rule(prefix=PREFIXES)
    def sweep(self, prefix: str) -> None:
        self.outcomes(lambda store: store.sweep(prefix, grace=0, dry_run=False))
        assert self.agreed(lambda store: store.verify(prefix).orphans) == []

    @rule()
    def reopen(self) -> None:
        for subject in self.subjects:
            subject.reopen()

    @rule(
        path=PATHS, value=VALUES, n=st.sampled_from([1, 2, 1, 3, 2, 4, 6]), after=st.booleans(), deletes=st.booleans()
    )
    def crash(self, path: str, value: Any, n: int, after: bool, deletes: bool) -> None:
        """Nothing works from the n-th call on: what was there before is there, or what was to come."""
        old, new = self.model.get(path), None if deletes else (value, {})
        for subject in self.subjects:
            subject.faults.script(Fault("*", error=Crash, nth=n, times=None, when="after" if after else "before"))
            with crashing():
                if deletes:
                    subject.store.delete(path)
                else:
                    subject.store.save(value, path)
            crashed = bool(subject.faults.fired)
            subject.reopen()
            found = self.found(subject.store, path)
            assert found in ((old, new) if crashed else (new,))
            count("model", crashes=crashed)
            # Doing it again, as somebody would, brings all stores to the same state.
            if deletes:
                subject.store.delete(path)
            else:
                subject.store.save(value, path)
        if new is None:
            self.model.pop(path, None)
        else:
            self.model[path] = new

    @staticmethod
    def found(store: sync.ArtifactStore, path: str) -> Any:
        try:
            return store.load(path), store.get_metadata(path)
        except aa.ArtifactNotFoundError:
            return None

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def sizes_agree(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(sorted(self.model)))
        assert self.agreed(lambda store: store.size(path)) > 0 or not self.model[path][0]
        assert self.agreed(lambda store: store.exists(path)) is True

    @invariant()
    def everything_is_listed(self) -> None:
        assert self.agreed(lambda store: store.list_artifacts()) == sorted(self.model)

    def teardown(self) -> None:
        for subject in self.subjects:
            subject.faults.heal()
        for path, expected in self.model.items():
            assert self.agreed(lambda store, path=path: (store.load(path), store.get_metadata(path))) == expected
        assert self.agreed(lambda store: store.verify().ok) is True
        for subject in self.subjects:
            subject.store.close()
        count("model", runs=1)


@pytest.fixture(scope="module")
def server() -> Iterator[GCSServerProcess]:
    with GCSServerProcess("--bucket", BUCKET) as running:
        yield running


def test_memory_local_and_gcs_do_what_a_dict_does(tmp_path: Path, server: GCSServerProcess) -> None:
    Machine.folder, Machine.server = tmp_path, server
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=scaled(25, 400),
            stateful_step_count=scaled(20, 40),
            deadline=None,
            derandomize=not FULL,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
