"""The conformance suite that says when a materializer is done."""

from __future__ import annotations

import json
import os
import pickle
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from aioartifacts import Declined, Materializer, MaterializerRegistry
from aioartifacts.errors import UntrustedArtifactError
from aioartifacts.sync import ArtifactStore, LocalArtifactStore, MemoryArtifactStore
from aioartifacts.testing.audit import watching
from aioartifacts.testing.memory_parts import load_parts, written
from aioartifacts.types import KIB, MIB, LoadOptions

_ran: list[str] = []

_CHILD = """
import importlib, json, sys
sys.path[:0] = json.loads(sys.argv[1])
from aioartifacts.sync import LocalArtifactStore
from aioartifacts import MaterializerRegistry
for module, name, *folders in json.loads(sys.argv[2]):
    cls = importlib.import_module(module)
    for part in name.split("."):
        cls = getattr(cls, part)
    registry = MaterializerRegistry()
    registry.register(cls())
    here, there = (LocalArtifactStore(f, materializers=registry, trust="all", durability="process") for f in folders)
    for path in here.list_artifacts():
        there.save(here.load(path), path, format=here.info(path).format)
"""


def load_in_a_fresh_process(*jobs: tuple[type, Path, Path]) -> None:
    """Have another process load what is in stores, each with one class of materializer, and save it in others.

    A materializer whose library takes long to import may share the process with others, by what it puts in the place of
    `MaterializerSuite.test_examples_come_back_in_a_fresh_process`.
    """
    given = [(cls.__module__, cls.__qualname__, str(here), str(there)) for cls, here, there in jobs]
    done = subprocess.run(  # the arguments are ours
        [sys.executable, "-c", _CHILD, json.dumps(sys.path), json.dumps(given)],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


class MaterializerSuite:
    """Every law of `aioartifacts.materializers.base`.

    A materializer's author subclasses it::

        class TestTracks(MaterializerSuite):
            materializer = TrackMaterializer

            def examples(self):
                return {"empty": Track("a", []), "two": Track("b", [(0.0, 1.0), (2.0, 3.0)])}

            def same(self, saved, loaded):
                return (saved.name, saved.points) == (loaded.name, loaded.points)

    *same* has to be strict: types, dtypes, order, flags. Give also a large example (`large`),
    which shows that memory stays bounded. No test is skipped. The class of the materializer must be importable, for another
    process loads what this one saved.
    """

    materializer: type[Materializer]
    held_max = 64 * MIB
    """Bytes that writing out the large example may take beside it; reading damaged parts may take as much."""
    flips = 40
    """Damaged copies of each part that are tried, for each kind of damage."""
    imports: tuple[str, ...] = ()
    """Top-level packages that the library may try to import by itself while it decodes."""
    fragile = False
    """Whether the library ends the process when a part is damaged. Only a format that is not safe may say so: then a store's digests
    and its trust are what keep damaged parts from it."""

    def examples(self) -> Mapping[str, object]:
        """Objects to save, by name: the hard ones."""
        raise AssertionError("a MaterializerSuite needs examples()")

    def same(self, saved: Any, loaded: Any) -> bool:
        """Whether the two are equal in everything that matters."""
        return type(saved) is type(loaded) and bool(saved == loaded)

    def large(self) -> object | None:
        """An object of some hundred MiB, when the format is for such."""
        return None

    def _made(self) -> Materializer:
        return type(self).materializer()

    def _stores(self, folder: Path, **options: Any) -> Iterator[ArtifactStore]:
        for inline_max in (0, 16 * KIB):
            for local in (False, True):
                registry = MaterializerRegistry()
                registry.register(self._made())
                given = {"materializers": registry, "inline_max": inline_max, **options}
                if local:
                    yield LocalArtifactStore(folder / str(inline_max), durability="process", **given)
                else:
                    yield MemoryArtifactStore(**given)

    def test_names_itself_and_its_format(self) -> None:
        made = self._made()
        assert isinstance(made, Materializer)
        assert made.name
        assert made.format
        assert isinstance(made.safe, bool)

    def test_accepts_its_examples_and_no_stranger(self) -> None:
        made = self._made()
        assert self.examples(), "there are examples"
        for name, obj in self.examples().items():
            assert made.accepts(obj), name

        class Stranger:
            pass

        if made.accepts(Stranger()):
            with pytest.raises(Declined):
                made.dump(Stranger())

    def test_bodies_write_the_same_bytes_every_time(self) -> None:
        made = self._made()
        for name, obj in self.examples().items():
            dump = made.dump(obj)
            names = [part.name for part in dump.parts]
            assert len(set(names)) == len(names), name
            first = written(dump)
            assert written(dump) == first, name
            for part in dump.parts:
                assert part.body.size in (None, len(first[part.name])), (
                    f"{name}: {part.name} says another size than it writes"
                )

    def test_meta_summary_and_preview_are_small_json(self) -> None:
        made = self._made()
        for name, obj in self.examples().items():
            for told in (made.dump(obj).meta, made.summary(obj), made.preview(obj)):
                text = json.dumps(dict(told), allow_nan=False)
                assert json.loads(text) == dict(told), name
                assert len(text) <= 64 * KIB, name

    def test_examples_come_back_from_every_store(self, tmp_path: Path) -> None:
        for store in self._stores(tmp_path, trust="all"):
            for number, (name, obj) in enumerate(self.examples().items()):
                path = f"examples/{number}"
                store.save(obj, path, format=self._made().format)
                for mmap in (False, True):
                    assert self.same(obj, store.load(path, mmap=mmap)), f"{name} in {store!r}, mmap={mmap}"

    def test_safe_is_what_a_store_that_trusts_nobody_loads(self, tmp_path: Path) -> None:
        for store in self._stores(tmp_path, trust="data"):
            for name, obj in self.examples().items():
                store.save(obj, "example", format=self._made().format)
                if store.info("example").safe:
                    assert self.same(obj, store.load("example")), name
                else:
                    with pytest.raises(UntrustedArtifactError):
                        store.load("example")

    def test_examples_come_back_in_a_fresh_process(self, tmp_path: Path) -> None:
        here, there = ([*self._stores(tmp_path / part, trust="all")][1] for part in ("here", "there"))
        examples = self.examples()
        for number, obj in enumerate(examples.values()):
            here.save(obj, f"examples/{number}", format=self._made().format)
        load_in_a_fresh_process((type(self._made()), tmp_path / "here" / "0", tmp_path / "there" / "0"))
        for number, (name, obj) in enumerate(examples.items()):
            assert self.same(obj, there.load(f"examples/{number}")), name

    def test_large_example_is_never_held_encoded(self) -> None:
        obj = self.large()
        dump = self._made().dump(obj) if obj is not None else None

        class Nowhere:
            largest = 0

            def write(self, data: Any, /) -> None:
                self.largest = max(self.largest, memoryview(data).nbytes)

        if dump is not None:
            tracemalloc.start()
            try:
                for part in dump.parts:
                    part.body.write_to(Nowhere())
                held = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert held < self.held_max

    def test_damaged_parts_are_an_error_or_another_object_and_no_more(self) -> None:
        """Of a format that is not safe only cut parts are tried: what else a damaged pickle does, nobody knows."""
        made = self._made()
        if self.fragile:
            assert not made.safe, "a safe format survives damage"
            return
        for name, obj in self.examples().items():
            dump = made.dump(obj)
            data = written(dump)
            safe = made.safe if dump.safe is None else dump.safe
            for part in data:
                for how, damaged in _damaged(data[part], self.flips, flips=safe):
                    self._load_damaged(made, {**data, part: damaged}, dump.meta, safe, f"{name}: {part} {how}")
                rest = {other: body for other, body in data.items() if other != part}
                self._load_damaged(made, rest, dump.meta, safe, f"{name}: {part} missing")

    def test_safe_format_runs_nothing_it_finds(self) -> None:
        made = self._made()
        for name, obj in self.examples().items():
            dump = made.dump(obj)
            if not (made.safe if dump.safe is None else dump.safe):
                continue
            data = written(dump)
            with watching(self.imports) as done:
                load_parts(made, data, dump.meta)
            assert not done, f"{name}: loading it did {done}"
            for part in data:
                for protocol in (0, 2, 5):
                    self._load_damaged(
                        made,
                        {**data, part: pickle.dumps(_Trap(), protocol)},
                        dump.meta,
                        True,
                        f"{name}: a pickle as {part}",
                    )
        assert not _ran

    def _load_damaged(
        self, made: Materializer, data: dict[str, bytes], meta: Mapping[str, Any], safe: bool, what: str
    ) -> None:
        done: list[str] = []
        tracemalloc.start()
        try:
            with watching(self.imports) as done:
                load_parts(made, data, meta, trusted=not safe, options=LoadOptions())
        except Exception:  # noqa: S110  # any will do: `reading.decode` makes a DecodeError of it; what counts is what was done before
            pass
        finally:
            held = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert held < self.held_max + 20 * sum(map(len, data.values())), f"{what}: reading it took {held} bytes"
        if safe:
            assert not done, f"{what}: reading it did {done}"


class _Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return _ran.append, ("unpickled",)


def _damaged(data: bytes, count: int, *, flips: bool) -> Iterator[tuple[str, bytes]]:
    yield "empty", b""
    chance = random.Random(len(data))
    for at in sorted(
        {0, 1, len(data) // 2, max(len(data) - 1, 0), *(chance.randrange(len(data) + 1) for _ in range(count // 4))}
    ):
        yield f"cut at {at}", data[:at]
    if not flips or not data:
        return
    yield "zeros", bytes(len(data))
    yield "with more behind it", data + b"\0" * 100
    for number in range(count):
        # Headers lie at the beginning, indexes at the end, so most damage is done there.
        at = min(int(len(data) * chance.random() ** 3), len(data) - 1)
        at = len(data) - 1 - at if number % 3 == 2 else at
        flipped = bytearray(data)
        flipped[at] ^= 1 << chance.randrange(8)
        yield f"with a bit flipped at {at}", bytes(flipped)
