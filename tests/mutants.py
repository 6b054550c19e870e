"""Which small mistakes in the core the tests would not notice: ``make mutants``, or ``python tests/mutants.py keys trust …``.

Needs ``pip install mutmut==3.8.1``, whose operators make the mutants, and a POSIX system. mutmut's own runner leaves out decorated functions and
all code outside functions; this one has them too. pytest collects once, in a copy of the repository. A tracing run tells which test calls
which function. Each mutant is then tried in a fork: the code of its functions takes the place of the old one, and the tests of its function run
up to the first failure. Survivors are printed as differences; what each of them means is told in docs/guarantees.md.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libcst as cst
import pytest
from _pytest.config import Config, _prepareconfig
from _pytest.main import Session
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.file_mutation import MutationVisitor, OuterFunctionProvider
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode

LOCAL = [
    "tests/objects/test_conformance_local.py::TestDurableLocalObjectStore",
    "tests/objects/test_local_stepwise.py",
    *(
        f"tests/objects/test_local_{name}.py"
        for name in [
            "answers",
            "cleanup",
            "config",
            "drafts",
            "durability",
            "links",
            "messages",
            "reading",
            "rivals",
            "sweeping",
            "tree",
            "windows",
        ]
    ),
]
TESTS = {
    "keys": ["tests/pure/test_key_rules.py"],
    "record": ["tests/pure/test_record_codec.py"],
    "trust": ["tests/pure/test_trust_rules.py"],
    **{f"objects/local/{name}": LOCAL for name in ("content", "draft", "oserrors", "posix", "store")},
}
# They start processes, which would import this file.
DESELECTED = ["create_has_one_winner_among_processes", "conditional_replaces_of_processes_lose_no_update"]
ELSEWHERE = "<module>"


@dataclass
class Mutant:
    function: str
    line: int
    source: str
    difference: list[str]


class Visitor(MutationVisitor):
    METADATA_DEPENDENCIES = (PositionProvider, OuterFunctionProvider)

    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.FunctionDef) and node.decorators:
            return False
        return bool(super()._skip_node_and_children(node))

    def _create_mutations(self, node: cst.CSTNode) -> None:
        before = len(self.mutations)
        super()._create_mutations(node)
        position = self.get_metadata(PositionProvider, node, None)
        for mutation in self.mutations[before:]:
            mutation.line = position.start.line if position else 0


def mutants(source: str) -> Iterator[Mutant]:
    """Those of functions, and of a module's own lines; not those of the lines of classes."""
    visitor = Visitor(
        mutation_operators, IgnoredCode(**{name: set() for name in inspect.signature(IgnoredCode).parameters})
    )
    module = MetadataWrapper(cst.parse_module(source)).visit(visitor)
    seen = {source}
    for mutation in visitor.mutations:
        function = mutation.contained_by_top_level_function
        if function is not None and not isinstance(function, cst.FunctionDef):
            continue
        code = module.deep_replace(mutation.original_node, mutation.mutated_node).code
        try:
            compile(code, "mutant", "exec")
        except SyntaxError:
            continue
        if code not in seen:
            seen.add(code)
            difference = difflib.unified_diff(source.splitlines(), code.splitlines(), n=0, lineterm="")
            lines = [line for line in difference if not line.startswith(("+++", "---", "@@"))]
            yield Mutant(function.name.value if function else ELSEWHERE, mutation.line, code, lines)


def exchange(name: str, file: Path, source: str) -> None:
    """Put the mutant in the place of the module that everybody has imported already."""
    old, new = sys.modules[name], types.ModuleType(name)
    new.__file__, new.__package__ = str(file), old.__package__
    exec(compile(source, str(file), "exec"), vars(new))
    for key, value in list(vars(new).items()):
        was = vars(old).get(key)
        if key.startswith("__") or isinstance(value, types.ModuleType):
            continue
        if getattr(value, "__module__", None) == name and isinstance(value, type):
            for attribute, member in vars(value).items():
                exchange_code(vars(was).get(attribute), member)
        elif getattr(value, "__module__", None) == name and callable(value):
            if hasattr(was, "cache_clear"):
                was.cache_clear()
            twin = vars(old).get(value.__name__)
            if twin is not was and twin is not None:
                rebind(key, was, twin)
            else:
                exchange_code(was, value)
        elif (
            not isinstance(value, type)
            and not callable(value)
            and value != was
            and type(value).__module__ != "msgspec.json"
        ):
            rebind(key, was, value)


def exchange_code(old: Any, new: Any) -> None:
    for attribute in ("__func__", "fget", "__wrapped__"):
        while hasattr(old, attribute) and hasattr(new, attribute):
            old, new = getattr(old, attribute), getattr(new, attribute)
    if isinstance(old, types.FunctionType) and isinstance(new, types.FunctionType):
        old.__code__, old.__defaults__, old.__kwdefaults__ = new.__code__, new.__defaults__, new.__kwdefaults__


def rebind(key: str, old: object, new: object) -> None:
    for module in list(sys.modules.values()):
        names = getattr(module, "__dict__", {})
        if key in names and names[key] is old:
            names[key] = new


class Runner:
    """A pytest that has collected, and runs some of its tests in a fork."""

    def __init__(self, tests: list[str], scratch: Path) -> None:
        self.scratch = scratch
        self.config: Config = _prepareconfig(
            [
                "-x",
                "-p",
                "no:cacheprovider",
                "-o",
                "addopts=",
                "-p",
                "no:terminal",
                "-o",
                "faulthandler_timeout=0",
                "-k",
                " and ".join(f"not {name}" for name in DESELECTED),
                *tests,
            ]
        )
        self.config._do_configure()
        self.session = Session.from_config(self.config)
        self.config.hook.pytest_sessionstart(session=self.session)
        self.config.hook.pytest_collection(session=self.session)
        self.tests = {item.nodeid: item for item in self.session.items}

    def run(
        self, names: list[str], plugin: Callable[[int], object], prepare: Callable[[], None], seconds: float
    ) -> tuple[str, str]:
        """How the tests ended, and what the plugin wrote into the pipe that it was made with."""
        reading, writing = os.pipe()
        folder = Path(tempfile.mkdtemp(dir=self.scratch))
        child = os.fork()
        if child == 0:
            try:
                self._in_child(names, plugin(writing), prepare, folder)
            finally:
                os._exit(3)
        os.close(writing)
        told, ended, status = [], False, None
        limit = time.monotonic() + seconds
        while not ended and time.monotonic() < limit:
            if select.select([reading], [], [], 0.1)[0] and (piece := os.read(reading, 1 << 16)):
                told.append(piece)
            else:
                pid, status = os.waitpid(child, os.WNOHANG)
                ended = pid != 0
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        if not ended:
            os.waitpid(child, 0)
        os.close(reading)
        shutil.rmtree(folder, ignore_errors=True)
        if not ended:
            return "too slow", b"".join(told).decode()
        return ("survived" if status == 0 else "killed"), b"".join(told).decode()

    def _in_child(self, names: list[str], plugin: object, prepare: Callable[[], None], folder: Path) -> None:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for fd in (1, 2):
            os.dup2(nowhere, fd)
        resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
        os.environ["TMPDIR"], tempfile.tempdir = str(folder), None
        factory = self.config._tmp_path_factory  # type: ignore[attr-defined]
        factory._given_basetemp, factory._basetemp = folder / "pytest", None
        self.session.items = [self.tests[name] for name in names]
        self.session.testscollected = len(names)
        try:
            prepare()
            self.config.pluginmanager.register(plugin)
            self.config.hook.pytest_runtestloop(session=self.session)
        except BaseException:
            os._exit(1)
        os._exit(1 if self.session.testsfailed else 0)


class Tracing:
    """Tells of each test how long it took, and which functions of *file* it called."""

    def __init__(self, pipe: int, file: Path) -> None:
        self.pipe, self.file = pipe, str(file)
        self.called: set[str] = set()

    def _trace(self, frame: types.FrameType, event: str, argument: object) -> None:
        if frame.f_code.co_filename == self.file:
            self.called.add(frame.f_code.co_qualname.partition(".<locals>")[0].rpartition(".")[2])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        self.called.clear()
        start = time.monotonic()
        sys.settrace(self._trace)
        threading.settrace(self._trace)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)
            told = [item.nodeid, time.monotonic() - start, sorted(self.called)]
            os.write(self.pipe, json.dumps(told).encode() + b"\n")


class Failures:
    def __init__(self, pipe: int) -> None:
        self.pipe = pipe

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            os.write(self.pipe, report.nodeid.encode() + b"\n")


def main(which: str, copy: Path, scratch: Path) -> None:
    file = copy / "src" / "aioartifacts" / f"{which}.py"
    name = f"aioartifacts.{which.replace('/', '.')}"
    source = file.read_text("utf-8")
    found = list(mutants(source))
    runner = Runner(TESTS[which], scratch)
    assert importlib.import_module(name).__file__ == str(file)
    ending, told = runner.run(list(runner.tests), lambda pipe: Tracing(pipe, file), lambda: None, 600)
    if ending != "survived":
        raise SystemExit(f"{which}: without a mutant, too, tests fail")
    rows = [json.loads(line) for line in told.splitlines()]
    took = {test: seconds for test, seconds, _ in rows}
    calls = {test: set(called) for test, _, called in rows}
    kills: dict[tuple[str, str], int] = {}
    survivors = 0
    for mutant in found:
        chosen = [test for test in took if mutant.function in (ELSEWHERE, *calls[test])]
        chosen.sort(key=lambda test: (-kills.get((mutant.function, test), 0), took[test]))
        seconds = 15 + 5 * sum(took[test] for test in chosen)
        ending, told = runner.run(chosen, Failures, lambda: exchange(name, file, mutant.source), seconds)
        if (
            ending == "survived" and mutant.function == ELSEWHERE
        ):  # what is made of a module's lines may not be exchangeable
            file.write_text(mutant.source, "utf-8")
            command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *TESTS[which]]
            ending = "survived" if subprocess.run(command, cwd=copy, capture_output=True).returncode == 0 else "killed"
            file.write_text(source, "utf-8")
        for test in told.splitlines():
            kills[mutant.function, test] = kills.get((mutant.function, test), 0) + 1
        if ending == "survived":
            survivors += 1
            print(f"{which}.py:{mutant.line}, {mutant.function}", *mutant.difference, sep="\n  ", flush=True)
    print(f"{which}.py: {len(found) - survivors} of {len(found)} killed, {1 - survivors / len(found):.1%}", flush=True)


if __name__ == "__main__":
    root = Path(__file__).parents[1]
    if os.environ.get("AIOARTIFACTS_MUTANTS"):
        main(sys.argv[1], Path.cwd(), Path(os.environ["AIOARTIFACTS_MUTANTS"]))
    else:
        with tempfile.TemporaryDirectory() as made:
            copied = Path(made).resolve() / "copy"
            for folder in ("src", "tests", "examples"):
                shutil.copytree(root / folder, copied / folder, ignore=shutil.ignore_patterns("__pycache__"))
            shutil.copy(root / "pyproject.toml", copied)
            environment = os.environ | {
                "AIOARTIFACTS_MUTANTS": made, "PYTHONPATH": str(copied / "src"), "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": made,
            }  # fmt: skip
            for given in sys.argv[1:] or TESTS:
                subprocess.run([sys.executable, "tests/mutants.py", given], cwd=copied, env=environment, check=True)
