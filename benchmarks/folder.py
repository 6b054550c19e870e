"""Folders as artifacts: ten thousand small files, and three files of 1 GiB."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import aioartifacts as aa
from benchmarks import ours
from benchmarks.harness import Contender, Row, Unable, Workload


class Folders(ours.OneByOne):
    """``format="folder"``."""

    name = "aioartifacts, await"

    async def save(self, objects: Mapping[str, object]) -> None:
        for key, obj in objects.items():
            try:
                await self.store.save(obj, key, format="folder")
            except (aa.UnknownFormatError, aa.MissingDependencyError) as error:
                raise Unable("cannot do") from error

    async def load(self, keys: Sequence[str]) -> list[object]:
        try:
            return await super().load(keys)
        except aa.ArtifactNotFoundError as error:
            raise Unable("cannot do") from error


class CopyTree(Contender):
    """``shutil.copytree``: neither atomic nor verified."""

    name = "shutil.copytree"
    durability = "torn"

    def save(self, objects: Mapping[str, Path]) -> None:
        for key, source in objects.items():
            shutil.copytree(source, self.folder / key)

    def load(self, keys: Sequence[str]) -> list[Path]:
        for key in keys:
            shutil.copytree(self.folder / key, self.folder / f"{key}-loaded")
        return [self.folder / f"{key}-loaded" for key in keys]


def workloads(quick: bool) -> Sequence[Workload]:
    def small(folder: Path) -> None:
        for number in range(20 if quick else 10_000):
            (folder / f"file{number}.txt").write_bytes(os.urandom(1_000))

    def large(folder: Path) -> None:
        for number in range(3):
            with (folder / f"file{number}.bin").open("wb") as file:
                for _ in range(1 if quick else 1_024):
                    file.write(os.urandom(1 << 20))

    return [
        _workload("folder: 10,000 files of 1 KB", small),
        _workload("folder: 3 files of 1 GiB", large),
    ]


def _workload(name: str, fill: Callable[[Path], None]) -> Workload:
    made = tempfile.TemporaryDirectory(prefix="benchmarks-folder-")
    source = Path(made.name)
    fill(source)
    size = sum(entry.stat().st_size for entry in os.scandir(source))

    def save(who: Contender) -> object:
        assert made.name  # keeps the folder
        return who.save({"folder": source})

    return Workload(
        name,
        "no fsync",
        [Row("save", save, bytes=size), Row("load", lambda who: who.load(["folder"]), bytes=size)],
        [Folders, CopyTree],
    )
