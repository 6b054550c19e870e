"""Materializers that save into a folder, adapted."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import pytest
from parts import load, roundtrip, written

from aioartifacts.errors import DecodeError, EncodeError, InvalidConfigError, UntrustedArtifactError
from aioartifacts.materializers.base import FileBody
from aioartifacts.materializers.directory import directory_materializer
from aioartifacts.materializers.registry import MaterializerRegistry


class Graph:
    def __init__(self, nodes: list[str]) -> None:
        self.nodes = nodes


class GraphMaterializer:
    """As FlowyML has them."""

    def save(self, obj: Graph, directory: Path) -> None:
        (directory / "nested").mkdir()
        for index, node in enumerate(obj.nodes):
            (directory / "nested" / f"{index}.txt").write_text(node, encoding="utf-8")
        (directory / "count").write_text(str(len(obj.nodes)), encoding="utf-8")

    def load(self, directory: Path) -> Graph:
        count = int((directory / "count").read_text(encoding="utf-8"))
        return Graph([(directory / "nested" / f"{i}.txt").read_text(encoding="utf-8") for i in range(count)])


class Saving:
    def __init__(self, save: Any) -> None:
        self.save = save

    def load(self, directory: Path) -> list[str]:
        return sorted(os.listdir(directory))


def test_files_become_parts_and_come_back() -> None:
    materializer = directory_materializer(GraphMaterializer, types=Graph)
    assert set(written(materializer.dump(Graph(["a", "b"])))) == {"count", "nested/0.txt", "nested/1.txt"}
    assert roundtrip(materializer, Graph(["a", "b"])).nodes == ["a", "b"]


def test_name_and_format_follow_the_class() -> None:
    materializer = directory_materializer(GraphMaterializer())
    assert (materializer.name, materializer.format, materializer.safe) == (
        "GraphMaterializer",
        "directory-graphmaterializer",
        False,
    )
    named = directory_materializer(GraphMaterializer, name="g", format="graph-2", safe=True)
    assert (named.name, named.format, named.safe) == ("g", "graph-2", True)


def test_the_folder_lives_as_long_as_the_bodies_and_no_longer() -> None:
    dump = directory_materializer(GraphMaterializer).dump(Graph(["a"]))
    body = dump.parts[0].body
    assert isinstance(body, FileBody)
    path = body.path
    del dump
    gc.collect()
    assert os.path.exists(path)
    del body
    gc.collect()
    assert not os.path.exists(os.path.dirname(path))


def test_it_registers_for_its_types() -> None:
    registry = MaterializerRegistry()
    materializer = registry.register(directory_materializer(GraphMaterializer, types=Graph), types=Graph)
    assert next(iter(registry.candidates(Graph([])))) is materializer
    assert registry.for_format(materializer.format) is materializer


def test_can_handle_decides_where_no_types_are_given() -> None:
    class Picky(GraphMaterializer):
        def can_handle(self, obj: object) -> bool:
            return obj == 5

    assert directory_materializer(Picky).accepts(5)
    assert not directory_materializer(Picky).accepts(6)


def test_it_needs_trust_unless_declared_safe() -> None:
    with pytest.raises(UntrustedArtifactError):
        roundtrip(directory_materializer(GraphMaterializer), Graph(["a"]), trusted=False)
    assert roundtrip(directory_materializer(GraphMaterializer, safe=True), Graph(["a"]), trusted=False).nodes == ["a"]


def test_a_link_is_refused() -> None:
    for target in ("/etc/hostname", "/etc"):
        saving = Saving(lambda obj, directory, target=target: os.symlink(target, directory / "link"))
        with pytest.raises(EncodeError, match="not a regular file"):
            directory_materializer(saving).dump(1)


def test_saving_nothing_is_an_error() -> None:
    with pytest.raises(EncodeError, match="saved no file"):
        directory_materializer(Saving(lambda obj, directory: None)).dump(1)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a//b", "", "a\\..\\b", "c:x", "a\0b"])
def test_a_part_does_not_lead_out_of_the_folder(name: str) -> None:
    with pytest.raises(DecodeError):
        load(directory_materializer(GraphMaterializer), {name: b"x"})


def test_something_else_is_no_materializer() -> None:
    with pytest.raises(InvalidConfigError, match="no save"):
        directory_materializer(object())
