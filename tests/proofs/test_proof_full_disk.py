"""A disk that really is full: the old artifact is kept, the error is ours, and with room again everything works."""

from __future__ import annotations

from pathlib import Path

import proof_writer
import pytest
from figures import count
from proof_disk import small_disk
from proof_leftovers import leftovers, loaded

import aioartifacts as aa
from aioartifacts import sync

PAGE = 4096


@pytest.mark.parametrize("durability", ["full", "process"])
@pytest.mark.parametrize("operation", ["save", "overwrite", "multipart", "delete"])
def test_full_disk_keeps_the_old_artifact(tmp_path: Path, operation: str, durability: str) -> None:
    outcomes = set()
    for free in range(26):  # pages; the operation needs some more each time it gets further
        with small_disk(tmp_path / "disk", size=PAGE * 64, inodes=100) as disk:
            store = proof_writer.open_facade(str(disk / "root"), durability)
            old = proof_writer.old_of(operation)
            store.validate()
            if old is not None:
                store.save(old, proof_writer.PATH)
            fill(disk, free)
            outcomes.add(attempt(store, disk, operation))
        count("full disk", points=1)
    assert "done" in outcomes
    assert ("refused" in outcomes) == (operation != "delete")


@pytest.mark.parametrize("operation", ["save", "overwrite", "multipart"])
def test_disk_without_inodes_keeps_the_old_artifact(tmp_path: Path, operation: str) -> None:
    outcomes = []
    for inodes in range(2, 30):
        with small_disk(tmp_path / "disk", size=PAGE * 200, inodes=inodes) as disk:
            store = proof_writer.open_facade(str(disk / "root"), "full")
            old = proof_writer.old_of(operation)
            if old is not None:
                try:
                    store.save(old, proof_writer.PATH)
                except aa.StoreError:
                    continue
            outcomes.append(attempt(store, disk, operation))
        count("full disk", points=1)
    assert {"done", "refused"} == set(outcomes)


def attempt(store: sync.LocalArtifactStore, disk: Path, operation: str) -> str:
    path, new, refusal = proof_writer.PATH, proof_writer.new_of(operation), None
    try:
        if operation == "delete":
            store.delete(path)
        else:
            store.save(new, path)
    except aa.StoreError as error:
        refusal = str(error)
    assert refusal is None or "disk is full" in refusal
    assert loaded(store, path) == (new if refusal is None else proof_writer.old_of(operation))
    assert leftovers(disk / "root") == []
    (disk / "filler").unlink(missing_ok=True)
    return "done" if refusal is None else "refused"


def fill(disk: Path, free: int) -> None:
    """Leave only so many pages."""
    with (disk / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(PAGE))
        except OSError:
            file.truncate(max(0, file.tell() - free * PAGE))
