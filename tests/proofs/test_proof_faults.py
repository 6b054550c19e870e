"""Every write, fsync, rename, link, mkdir and open failing, one at a time: the old artifact is kept, the error is ours, nothing is left."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import proof_writer
import pytest
from figures import count
from proof_leftovers import judge, leftovers, prepare
from proof_scale import sample
from proof_tracing import Writers

CALLS = re.compile(
    "open|openat|openat2|creat|p?writev?(64|2)?|f(data)?sync|fallocate|rename(at|at2)?|link(at)?|mkdir(at)?"
)
ERRORS = ("EIO", "ENOSPC", "EMFILE")


@pytest.mark.parametrize("colour", ["async", "facade"])
@pytest.mark.parametrize("durability", ["full", "process"])
@pytest.mark.parametrize("operation", proof_writer.OPERATIONS)
def test_any_failing_call_keeps_the_old_artifact(
    tmp_path: Path, writers: Writers, operation: str, durability: str, colour: str
) -> None:
    template = prepare(tmp_path, operation)
    root = tmp_path / "root"
    task = {"operation": operation, "durability": durability, "colour": colour, "root": str(root)}
    shutil.copytree(template, root)
    calls = [(name, nth) for name, nth in writers.calls(task) if CALLS.fullmatch(name)]
    assert judge(root, operation, durability) == "new"
    shutil.rmtree(root)
    points = [(name, nth, error) for name, nth in calls for error in ERRORS]
    for name, nth, error in sample(points, every=7, offset=len(operation) + len(colour)):
        shutil.copytree(template, root)
        ending = writers.fail(task, name, nth, error)
        assert ending.said is not None, (name, nth, error)
        kind, *details = ending.said
        assert kind in ("done", "error"), (name, nth, error, *details)
        left = leftovers(root)
        which = judge(root, operation, durability)
        assert which == ("new" if ending.done else "old"), (name, nth, error, *details)
        if not ending.done:
            assert left == [], (name, nth, error, *details)
        count("failing calls", points=1, refused=not ending.done, got_over_it=ending.done)
        shutil.rmtree(root)
