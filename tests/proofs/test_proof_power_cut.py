"""A power cut, on a disk of the test's own: no artifact is torn, and none is lost whose save had returned.

The disk is ext4 on a loop device, and the power is cut by ``FS_IOC_SHUTDOWN``: what was not flushed is gone after mounting it again.
"""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import proof_busy_writer
import proof_tracing
import proof_writer
from figures import count
from proof_disk import FLUSHED_LOG, NOTHING_FLUSHED, cut_power, disk, make_disk
from proof_leftovers import leftovers
from proof_scale import scaled

import aioartifacts as aa

ALL_KEYS = [*proof_busy_writer.KEYS, *proof_busy_writer.BULK_KEYS]


def write_until_cut(
    root: Path, durability: str, first: int, acknowledged: int, how: int
) -> tuple[dict[str, int], dict[str, int]]:
    """Let writers go on until so many operations have been acknowledged; returns the last started and the last done, by key."""
    command = [sys.executable, proof_busy_writer.__file__, str(root / "store"), durability, str(first)]
    started, done = dict.fromkeys(ALL_KEYS, first), dict.fromkeys(ALL_KEYS, first)
    seen, cut = 0, False
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=proof_tracing.ENVIRONMENT) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            word, *rest = line.split()
            if word == "failed":
                assert cut, line
                continue
            {"start": started, "done": done}[word][rest[0]] = int(rest[1])
            seen += word == "done"
            if seen == acknowledged and not cut:
                cut_power(root, how)
                cut = True
    assert writer.returncode == 0
    return started, done


def damage(root: Path, durability: str, started: dict[str, int], done: dict[str, int]) -> tuple[list[str], list[str]]:
    """Keys that are torn, and keys that have lost what had been acknowledged."""
    torn, lost = [], []
    store = proof_writer.open_facade(str(root / "store"), durability)
    for key in ALL_KEYS:
        try:
            found = store.load(key)
        except aa.ArtifactNotFoundError:
            found = None
        except aa.ArtifactError:
            torn.append(key)
            continue
        if found not in [proof_busy_writer.state(n, key) for n in range(done[key], started[key] + 1)]:
            lost.append(key)
    return torn, lost


def test_power_cut_tears_nothing_and_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    rng = random.Random(5)
    image = tmp_path / "image"
    make_disk(image, 96 << 20)
    reached = 0
    for cut in range(scaled(6, 120)):
        how = FLUSHED_LOG if cut % 4 == 3 else NOTHING_FLUSHED
        before = reached * len(ALL_KEYS)
        with disk(image, tmp_path / "disk") as root:
            started, done = write_until_cut(root, "full", reached, rng.randrange(5, 120), how)
        with disk(image, tmp_path / "disk") as root:
            assert damage(root, "full", started, done) == ([], [])
            store = proof_writer.open_facade(str(root / "store"), "full")
            assert store.verify().ok
            store.sweep(grace=0, dry_run=False)
            assert leftovers(root / "store") == []
            # All keys start anew from one and the same state.
            reached = max(started.values()) + 1
            for key in ALL_KEYS:
                if proof_busy_writer.state(reached, key) is None:
                    store.delete(key)
                else:
                    store.save(proof_busy_writer.state(reached, key), key)
        count("power cut", cuts=1, acknowledged=sum(done.values()) - before, torn=0, lost=0)


def test_without_syncing_the_same_cut_does_lose_artifacts(tmp_path: Path) -> None:
    """Else the test above would prove nothing."""
    image = tmp_path / "image"
    make_disk(image, 96 << 20)
    torn, lost = [], []
    for _ in range(scaled(2, 10)):
        with disk(image, tmp_path / "disk") as root:
            started, done = write_until_cut(root, "process", 0, 200, NOTHING_FLUSHED)
        with disk(image, tmp_path / "disk") as root:
            more_torn, more_lost = damage(root, "process", started, done)
            torn += more_torn
            lost += more_lost
        make_disk(image, 96 << 20)
    count("power cut, durability='process'", torn=len(torn), lost=len(lost))
    assert lost
