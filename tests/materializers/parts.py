"""Parts in memory, to try a materializer without a store."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from aioartifacts.materializers.base import Dump, Materializer, Parts
from aioartifacts.types import JSON, LoadOptions


class MemoryParts(Parts):
    """What a store would hand to ``load``; a context manager, so that the files of `path` go away."""

    def __init__(
        self,
        data: Mapping[str, bytes],
        meta: Mapping[str, JSON] | None = None,
        *,
        mmap: bool = False,
        trusted: bool = True,
        columns: tuple[str, ...] | None = None,
    ) -> None:
        self.data = dict(data)
        self.names = tuple(self.data)
        self.meta = {} if meta is None else meta
        self.options = LoadOptions(mmap=mmap, columns=columns)
        self.trusted = trusted
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def size(self, name: str) -> int:
        return len(self.data[name])

    def read(self, name: str) -> memoryview:
        return memoryview(self.data[name]) if self.options.mmap else memoryview(bytearray(self.data[name]))

    def open(self, name: str) -> BinaryIO:
        return BufferedReader(BytesIO(self.data[name]))  # type: ignore[arg-type, return-value, unused-ignore]

    def path(self, name: str) -> str:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="parts-")
        path = Path(self._folder.name, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.data[name])
        return str(path)

    def __enter__(self) -> MemoryParts:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()


def written(dump: Dump) -> dict[str, bytes]:
    """The bytes of every part; written out twice, because a body must be repeatable."""
    data: dict[str, bytes] = {}
    for part in dump.parts:
        assert part.name not in data, "part names are unique"
        first, again = BytesIO(), BytesIO()
        part.body.write_to(first)
        part.body.write_to(again)
        data[part.name] = first.getvalue()
        assert again.getvalue() == data[part.name], "a body writes the same bytes every time"
        if part.body.size is not None:
            assert part.body.size == len(data[part.name]), "a body's size is what it writes"
    return data


def through_record(meta: Mapping[str, JSON]) -> dict[str, JSON]:
    """*meta* as the record gives it back: it must be plain JSON."""
    import msgspec

    back: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(meta))
    assert back == dict(meta), "meta survives a JSON round trip"
    return back


def load(
    materializer: Materializer,
    data: Mapping[str, bytes],
    meta: Mapping[str, JSON] | None = None,
    *,
    mmap: bool = False,
    trusted: bool = True,
    columns: tuple[str, ...] | None = None,
) -> Any:
    """Decode parts given as bytes."""
    with MemoryParts(data, meta, mmap=mmap, trusted=trusted, columns=columns) as parts:
        return materializer.load(parts)


def roundtrip(
    materializer: Materializer,
    obj: object,
    *,
    mmap: bool = False,
    trusted: bool = True,
    columns: tuple[str, ...] | None = None,
) -> Any:
    """Dump *obj*, write every body out, and load it again."""
    dump = materializer.dump(obj)
    return load(materializer, written(dump), through_record(dump.meta), mmap=mmap, trusted=trusted, columns=columns)


def elsewhere(materializer: Materializer, obj: object, told: str, folder: Path, *, trusted: bool = False) -> str:
    """What *told*, an expression of `back`, prints in a fresh process that has loaded *obj*."""
    dump = materializer.dump(obj)
    data = written(dump)
    for name, content in data.items():
        (folder / name).write_bytes(content)
    cls = type(materializer)
    code = (
        f"import sys\nfrom pathlib import Path\nfrom parts import load\nfrom {cls.__module__} import {cls.__name__}\n"
        f"data = {{name: Path({str(folder)!r}, name).read_bytes() for name in {list(data)!r}}}\n"
        f"back = load({cls.__name__}(), data, {through_record(dump.meta)!r}, trusted={trusted})\n"
        f"print({told})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.strip()
