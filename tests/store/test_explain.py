"""Whether this interpreter can load an artifact, said without decoding it; and parts as streams. In both colours."""

from __future__ import annotations

import enum
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import aioartifacts as aa
from aioartifacts import sync
from aioartifacts.checksum import crc32c, hex32
from aioartifacts.materializers.registry import Entry


class Tool:
    """Something only pickle can hold."""


class Kind(enum.Enum):
    A = 1


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


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module of a few classes."""
    folder = tmp_path / "here"
    (folder / "shop").mkdir(parents=True)
    (folder / "shop" / "__init__.py").touch()
    (folder / "shop" / "models.py").write_text(
        "import enum\nfrom dataclasses import dataclass\n@dataclass\nclass Point:\n    x: int\n"
        "class Outer:\n    class Kind(enum.Enum):\n        A = 1\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    from shop import models  # type: ignore[import-not-found]

    yield models
    forget()


def forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]


@pytest.mark.parametrize("trust", ["data", "all", None])
@pytest.mark.parametrize("name", ["Point", "Outer.Kind"])
@pytest.mark.parametrize("state", ["imported", "parent imported", "not imported", "module gone", "class gone"])
def test_class_of_fields_is_as_loadable_as_it_is_said_to_be(
    models: Any, tmp_path: Path, trust: aa.Trust | None, name: str, state: str
) -> None:
    store = sync.MemoryArtifactStore(trust=trust)
    store.save(models.Point(1) if name == "Point" else models.Outer.Kind.A, "a")
    if state == "class gone":
        del models.Point, models.Outer
    elif state != "imported":
        forget()
    if state == "parent imported":
        import shop  # noqa: F401
    if state == "module gone":
        (tmp_path / "here").rename(tmp_path / "there")
    before = set(sys.modules)
    found = store.explain("a")
    assert set(sys.modules) == before, "nothing is imported to find it out"
    assert found.loadable is (not found.reasons)
    try:
        store.load("a")
    except aa.ArtifactError as error:
        assert not found.loadable
        if isinstance(error, aa.UntrustedArtifactError):
            assert "trust='all'" in found.reasons[0]
    else:
        assert found.loadable


def test_type_that_no_class_can_have(tmp_path: Path) -> None:
    store = sync.LocalArtifactStore(tmp_path, trust="data")
    store.save(Kind.A, "a")
    record = tmp_path / "a" / "metadata.json"
    for name in ("", ".", "x", "a." * 100_000, "os.system", "é.\\u0000"):
        fields = json.loads(record.read_text()) | {"type": name}
        fields.pop("checksum")
        body = json.dumps(fields, separators=(",", ":")).encode()[:-1]
        record.write_bytes(body + f',"checksum":"{hex32(crc32c(body))}"}}'.encode())
        assert not store.explain("a").loadable


def test_array_whose_dtypes_have_no_package_here(monkeypatch: pytest.MonkeyPatch) -> None:
    import ml_dtypes

    store = sync.MemoryArtifactStore()
    store.save(np.zeros(2, ml_dtypes.bfloat16), "a")
    assert store.explain("a").loadable
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    found = store.explain("a")
    assert (found.loadable, found.install) == (False, "ml_dtypes")
    with pytest.raises(aa.MissingDependencyError, match="pip install 'ml_dtypes'") as caught:
        store.load("a")
    assert (caught.value.install, caught.value.path, caught.value.operation) == ("ml_dtypes", "a", "load")


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
