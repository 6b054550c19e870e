"""Materializers without a store: parts in memory, written, read back, and read in another process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aioartifacts.materializers.base import Dump, Materializer
from aioartifacts.testing import memory_parts
from aioartifacts.types import JSON, LoadOptions


class MemoryParts(memory_parts.MemoryParts):
    """What a store would hand to ``load``, its options one by one."""

    def __init__(
        self,
        data: Mapping[str, bytes],
        meta: Mapping[str, JSON] | None = None,
        *,
        mmap: bool = False,
        trusted: bool = True,
        columns: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__(data, meta or {}, trusted=trusted, options=LoadOptions(mmap=mmap, columns=columns))


def written(dump: Dump) -> dict[str, bytes]:
    """The bytes of every part; written out twice, because a body must be repeatable."""
    data = memory_parts.written(dump)
    assert len(data) == len(dump.parts), "part names are unique"
    assert memory_parts.written(dump) == data, "a body writes the same bytes every time"
    for part in dump.parts:
        assert part.body.size in (None, len(data[part.name])), "a body's size is what it writes"
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
