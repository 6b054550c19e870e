"""The suite for materializers, with one fresh process for all the classes of a module, for each would import the same libraries again."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from exactly import difference

from aioartifacts.materializers.registry import MaterializerRegistry
from aioartifacts.sync import LocalArtifactStore
from aioartifacts.testing import MaterializerSuite
from aioartifacts.testing.materializer_suite import load_in_a_fresh_process


class Together(MaterializerSuite):
    def same(self, saved: Any, loaded: Any) -> bool:
        return difference(saved, loaded) is None

    def test_examples_come_back_in_a_fresh_process(self, loaded_elsewhere: Path) -> None:  # type: ignore[override]
        there = stored(self.materializer, loaded_elsewhere / type(self).__name__)
        examples = self.examples()
        assert len(there.list_artifacts()) == len(examples)
        for number, (name, obj) in enumerate(examples.items()):
            assert self.same(obj, there.load(f"examples/{number}")), name


def load_elsewhere(module: ModuleType, folder: Path) -> None:
    """Have another process load the examples of a module's suites, and save them again in a store by the name of each."""
    jobs = []
    for name, suite in vars(module).items():
        if isinstance(suite, type) and issubclass(suite, Together) and name.startswith("Test"):
            here = stored(suite.materializer, folder / "here" / name)
            for number, obj in enumerate(suite().examples().values()):
                here.save(obj, f"examples/{number}", format=suite.materializer.format)
            jobs.append((suite.materializer, folder / "here" / name, folder / name))
    load_in_a_fresh_process(*jobs)


def stored(cls: type[Any], folder: Path) -> LocalArtifactStore:
    registry = MaterializerRegistry()
    registry.register(cls())
    return LocalArtifactStore(folder, materializers=registry, trust="all", durability="process")
