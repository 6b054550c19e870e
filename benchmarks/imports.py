"""What it costs to import the library, beside what it cannot do without; each in an interpreter of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import ClassVar

from benchmarks.harness import Contender, Row, Workload


class Import(Contender):
    """``import aioartifacts``."""

    name = "import aioartifacts"
    kind = "ours"
    durability = ""
    statement: ClassVar[str] = "import aioartifacts"

    def start(self) -> str:
        code = f"import time; began = time.process_time(); {self.statement}; print(time.process_time() - began)"
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


class ImportStore(Import):
    """What a program pays once it opens a store; the package itself imports nothing before it is used."""

    name = "from aioartifacts import open_store"
    statement = "from aioartifacts import open_store"


class ImportBase(Import):
    """What it is built on."""

    name = "import anyio, asyncio, msgspec"
    kind = "raw"
    statement = "import anyio, asyncio, msgspec"


class ImportAnyio(Import):
    """anyio alone, which imports asyncio when a loop is run."""

    name = "import anyio"
    kind = "peer"
    statement = "import anyio"


class Bare(Import):
    """The interpreter."""

    name = "nothing"
    kind = "aside"
    statement = "pass"


def workloads(quick: bool) -> Sequence[Workload]:
    row = Row("start an interpreter and import", lambda who: who.start(), check=lambda told: float(told) >= 0)
    return [Workload("imports", "in a new interpreter", [row], [Import, ImportStore, ImportBase, ImportAnyio, Bare])]
