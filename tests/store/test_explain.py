"""Whether this interpreter can load an artifact, said without decoding it; and parts as streams. In both colours."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import aioartifacts as aa
from aioartifacts import sync
from aioartifacts.materializers.registry import Entry


class Tool:
    """Something only pickle can hold."""


class Drifted(aa.Materializer):
    name = format = "drifted"
    safe = True
    packages = ("numpy",)

    def accepts(self, obj: object) -> bool:
        return type(obj) is Tool

    def dump(self, obj: object) -> aa.Dump:
        return aa.Dump([aa.Part("a.bin", aa.Buffers(b"a"))])

    def load(self, parts: aa.Parts) -> object:
        raise ValueError("moved")


def explained(store: sync.ArtifactStore, obj: object, path: str = "a") -> aa.Explanation:
    store.save(obj, path)
    return store.explain(path)


def test_what_can_be_loaded(tmp_path: Path) -> None:
    found = explained(sync.LocalArtifactStore(tmp_path), np.arange(3))
    assert (found.loadable, found.reasons, found.cautions, found.install) == (True, (), (), None)
    assert (found.path, found.format, found.type) == ("a", "npy", "numpy.ndarray")
    assert found.environment["numpy"] == np.__version__


def test_nothing_is_decoded_or_even_read(tmp_path: Path) -> None:
    store = sync.LocalArtifactStore(tmp_path, inline_max=0)
    store.save([1], "a")
    for part in tmp_path.glob("a/.part*"):
        part.unlink()
    assert store.explain("a").loadable


def test_what_is_not_trusted() -> None:
    found = explained(sync.MemoryArtifactStore(trust="data"), Tool())
    assert not found.loadable
    assert "trust='all'" in found.reasons[0]


def test_unknown_format() -> None:
    store = sync.MemoryArtifactStore()
    store.materializers.register(Drifted(), types=Tool)
    store.save(Tool(), "a")
    other = sync.ArtifactStore(store._store._objects)
    found = other.explain("a")
    assert not found.loadable
    assert "no materializer for format 'drifted'" in found.reasons[0]


def test_missing_package_comes_with_what_to_install() -> None:
    entry = Entry("npy", "aioartifacts.materializers.no_such_module:X", packages=("numpy",), extra="numpy")
    store = sync.MemoryArtifactStore()
    store.save(np.arange(3), "a")
    found = sync.ArtifactStore(
        store._store._objects, materializers=aa.MaterializerRegistry([entry]), trust="data"
    ).explain("a")
    assert not found.loadable
    assert found.install == "aioartifacts[numpy]"
    assert "pip install 'aioartifacts[numpy]'" in found.reasons[0]


def test_other_versions_are_a_caution_and_are_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    store = sync.MemoryArtifactStore()
    store.materializers.register(Drifted(), types=Tool)
    monkeypatch.setattr(np, "__version__", "1.0.old")
    store.save(Tool(), "a")
    monkeypatch.undo()
    found = store.explain("a")
    assert found.loadable
    assert found.cautions == (f"written with numpy 1.0.old, and here is {np.__version__}",)
    with pytest.raises(aa.DecodeError, match=r"written with numpy 1\.0\.old .*try those versions"):
        store.load("a")


def test_class_whose_module_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone_by_then.py").write_text("class A:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import gone_by_then  # type: ignore[import-not-found]

    store = sync.MemoryArtifactStore()
    store.save(gone_by_then.A(), "a")
    monkeypatch.undo()
    del sys.modules["gone_by_then"]
    (tmp_path / "gone_by_then.py").unlink()
    assert store.explain("a").cautions == ("it is a gone_by_then.A, and there is no module 'gone_by_then' here",)


def test_nothing_there() -> None:
    with pytest.raises(aa.ArtifactNotFoundError):
        sync.MemoryArtifactStore().explain("a")


def make(kind: str, tmp_path: Path, **options: Any) -> sync.ArtifactStore:
    return (
        sync.MemoryArtifactStore(**options)
        if kind == "memory"
        else sync.LocalArtifactStore(tmp_path / "s", durability="process", **options)
    )


@pytest.mark.parametrize("kind", ["memory", "local"])
@pytest.mark.parametrize("inline_max", [0, 1 << 20])
def test_part_is_a_seekable_stream(kind: str, inline_max: int, tmp_path: Path) -> None:
    store = make(kind, tmp_path, inline_max=inline_max, trust="data")
    store.save(b"0123456789", "a")
    with store.open_part("a") as stream:
        assert stream.read(3) == b"012"
        stream.seek(-2, 2)
        assert stream.read() == b"89"


@pytest.mark.parametrize("kind", ["memory", "local"])
def test_part_stays_whole_when_the_artifact_is_replaced(kind: str, tmp_path: Path) -> None:
    store = make(kind, tmp_path, inline_max=0)
    store.save(b"old" * 1000, "a")
    with store.open_part("a", "data.bin") as stream:
        store.save(b"new", "a")
        assert stream.read() == b"old" * 1000


def test_unknown_part_is_named_beside_those_there_are() -> None:
    store = sync.MemoryArtifactStore()
    store.save(b"x", "a")
    with pytest.raises(aa.ArtifactNotFoundError, match=r"no part 'b'; there are 'data\.bin'"):
        store.open_part("a", "b")


def test_damaged_part_is_not_opened(tmp_path: Path) -> None:
    store = sync.LocalArtifactStore(tmp_path, inline_max=0)
    store.save(b"0123456789", "a")
    (part,) = tmp_path.glob("a/.part*")
    part.write_bytes(b"0123456780")
    with pytest.raises(aa.IntegrityError):
        store.open_part("a")


@pytest.mark.asyncio
async def test_in_async_code(tmp_path: Path) -> None:
    async with aa.LocalArtifactStore(tmp_path) as store:
        await store.save(b"x", "a")
        assert (await store.explain("a")).loadable
        with await store.open_part("a") as stream:
            assert stream.read() == b"x"
