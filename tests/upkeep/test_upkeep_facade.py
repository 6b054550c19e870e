"""`verify` and `sweep` from ordinary code."""

from __future__ import annotations

from pathlib import Path

from aioartifacts import sync

LOST = ".part-" + "0" * 32 + ".data.bin"


def test_facade_verifies_and_sweeps(tmp_path: Path) -> None:
    store = sync.LocalArtifactStore(tmp_path)
    store.save(b"x" * 20_000, "a")
    (tmp_path / "a" / LOST).write_bytes(b"lost")
    assert store.verify().orphans == [f"a/{LOST}"]
    assert store.sweep(grace=0, dry_run=False).removed == [f"a/{LOST}"]
    assert store.load("a") == b"x" * 20_000
