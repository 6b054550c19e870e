"""SIGKILL just before every system call of a verb leaves the old artifact or the new one, and nothing a sweep would not remove."""

from __future__ import annotations

import shutil
from pathlib import Path

import proof_writer
import pytest
from figures import count
from proof_leftovers import judge, prepare
from proof_scale import sample
from proof_tracing import Writers


@pytest.mark.parametrize("colour", ["async", "facade"])
@pytest.mark.parametrize("durability", ["full", "process"])
@pytest.mark.parametrize("operation", proof_writer.OPERATIONS)
def test_kill_before_any_system_call_leaves_old_or_new(
    tmp_path: Path, writers: Writers, operation: str, durability: str, colour: str
) -> None:
    template = prepare(tmp_path, operation)
    root = tmp_path / "root"
    task = {"operation": operation, "durability": durability, "colour": colour, "root": str(root)}
    shutil.copytree(template, root)
    calls = writers.calls(task)
    assert judge(root, operation, durability) == "new"
    shutil.rmtree(root)
    seen = set()
    for name, nth in sample(calls, every=7, offset=len(operation) + len(colour)):
        shutil.copytree(template, root)
        ending = writers.kill(task, name, nth)
        which = judge(root, operation, durability)
        assert ending.killed or ending.done, ending
        assert which == "new" or not ending.done, "the save had returned"
        seen.add(which)
        count(
            "kill -9", points=ending.killed, old=ending.killed and which == "old", new=ending.killed and which == "new"
        )
        shutil.rmtree(root)
    assert seen == {"old", "new"}
