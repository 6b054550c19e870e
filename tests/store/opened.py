"""Stores of every kind, and what lies beneath them, read and written behind their backs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aioartifacts import ArtifactStore, LocalArtifactStore
from aioartifacts.checksum import crc32c, hex32
from aioartifacts.objects.base import BlockingObjectStore, Buffers
from aioartifacts.objects.local import LocalObjectStore
from aioartifacts.objects.memory import MemoryObjectStore
from aioartifacts.record import Record, decode_record
from aioartifacts.testing import AsyncObjectStoreAdapter

KINDS = ("local", "local-full", "memory", "async")
BIG = b"0123456789abcdef" * 4096
"""64 KiB: too much for a record."""


def beneath(kind: str, root: Path) -> BlockingObjectStore:
    """A fresh object store, *kind* being one of `KINDS`."""
    if kind.startswith("local"):
        return LocalObjectStore(root, durability="full" if kind == "local-full" else "process")
    return MemoryObjectStore("here")


def over(kind: str, objects: BlockingObjectStore, **options: Any) -> ArtifactStore:
    """The artifact store of that kind over *objects*."""
    options = {"trust": "all"} | options
    if kind == "async":
        return ArtifactStore(AsyncObjectStoreAdapter(objects), **options)
    if isinstance(objects, LocalObjectStore):
        return LocalArtifactStore(objects.root, durability=objects.durability, **options)
    return ArtifactStore(objects, name="memory", **options)


def keys(objects: BlockingObjectStore) -> list[str]:
    """All objects, sorted."""
    return sorted(info.key for info in objects.list())


def everything(objects: BlockingObjectStore) -> dict[str, bytes]:
    return {key: read(objects, key) for key in keys(objects)}


def read(objects: BlockingObjectStore, key: str) -> bytes:
    return bytes(objects.get(key).data)


def write(objects: BlockingObjectStore, key: str, data: bytes) -> None:
    objects.put(key, Buffers(data))


def record(objects: BlockingObjectStore, path: str) -> Record:
    return decode_record(read(objects, f"{path}/metadata.json"), path).record


def part(objects: BlockingObjectStore, path: str) -> str:
    """The key of the artifact's first part."""
    return f"{path}/{record(objects, path).file}"


def document(objects: BlockingObjectStore, path: str) -> dict[str, Any]:
    """The fields of a record."""
    found: dict[str, Any] = json.loads(read(objects, f"{path}/metadata.json"))
    return found


def forge(objects: BlockingObjectStore, path: str, fields: dict[str, Any]) -> None:
    """Write a record of *fields*, with the checksum it should have. A signature stays what it was."""
    fields = {key: value for key, value in fields.items() if key != "checksum"}
    body = json.dumps(fields, separators=(",", ":")).encode()[:-1]
    write(objects, f"{path}/metadata.json", body + f',"checksum":"{hex32(crc32c(body))}"}}'.encode())


def tree(root: Path) -> dict[str, bytes | str | None]:
    """Every name below *root*: what is in the files, where links lead, None for folders."""
    found: dict[str, bytes | str | None] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        else:
            found[name] = path.read_bytes() if path.is_file() else None
    return found
