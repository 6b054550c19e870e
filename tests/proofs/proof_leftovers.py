"""What a writer that died or failed has left behind in a local store, and that the store goes on working."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import proof_writer

from aioartifacts import sync
from aioartifacts.record import decode_record


def prepare(folder: Path, operation: str) -> Path:
    """A store with the old artifact in it, to be copied."""
    root = folder / "template"
    store = proof_writer.open_facade(str(root), "process")
    old = proof_writer.old_of(operation)
    if operation == "materialize":
        store.run("run", date=proof_writer.DAY).materialize(old, "model", "step")
    elif old is not None:
        store.save(old, proof_writer.PATH)
    else:
        root.mkdir()
    return root


def loaded(store: sync.LocalArtifactStore, path: str) -> Any:
    """The object, or None when the store says, by every verb alike, that there is none."""
    if not store.exists(path):
        assert store.list_artifacts() == []
        assert store.get_metadata(path) is None
        return None
    assert store.list_artifacts() == [path]
    return store.load(path)


def leftovers(root: Path) -> list[str]:
    """Files that neither are a record, nor a part that one names, nor a lock; and folders without a file."""
    named: set[Path] = set()
    for record in root.rglob("metadata.json"):
        path = str(record.parent.relative_to(root))
        found = decode_record(record.read_bytes(), path).record
        named |= {record} | {record.parent / part.file for part in found.parts if part.file is not None}
    internal = root / ".aioartifacts"
    left = []
    for entry in root.rglob("*"):
        if entry.is_dir():
            if internal not in (entry, *entry.parents) and not any(entry.iterdir()):
                left.append(str(entry.relative_to(root)) + "/")
        elif entry not in named and internal / "locks" not in entry.parents:
            left.append(str(entry.relative_to(root)))
    return left


def misplaced(root: Path) -> list[str]:
    """Leftovers that are neither below ``.aioartifacts`` nor parts without a record nor empty folders."""
    return [
        name
        for name in leftovers(root)
        if not name.endswith("/") and not name.startswith(".aioartifacts/tmp/") and "/.part" not in name
    ]


def judge(root: Path, operation: str, durability: str) -> str:
    """``"old"`` or ``"new"``, after everything else that must hold has been checked: sweep, verify, and a save that follows."""
    store = proof_writer.open_facade(str(root), durability)
    path = proof_writer.path_of(operation)
    found = loaded(store, path)
    if found == proof_writer.new_of(operation):
        which = "new"
    else:
        assert found == proof_writer.old_of(operation), "neither the old artifact nor the new one"
        which = "old"
    assert misplaced(root) == []
    store.sweep(grace=0, dry_run=False)
    assert leftovers(root) == []
    assert store.verify().ok
    assert loaded(store, path) == found
    store.save("after", path)
    assert store.load(path) == "after"
    return which
