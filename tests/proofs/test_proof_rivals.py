"""Many processes and threads at one artifact: no read is torn, and none sees what had been replaced before it began."""

from __future__ import annotations

import bisect
import json
import subprocess
import sys
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import proof_rival
from figures import count
from proof_leftovers import leftovers
from proof_scale import scaled
from proof_tracing import ENVIRONMENT

from aioartifacts import sync

PROCESSES = 4
Event = tuple[str | None, float, float]
"""What was written or seen (None: nothing there), when the call began, and when it had returned."""


def test_rivals_tear_nothing_and_nobody_reads_the_past(tmp_path: Path) -> None:
    root = tmp_path / "root"
    reads = scaled(4_000, 104_000)
    notes = [tmp_path / f"notes-{i}" for i in range(PROCESSES)]
    command = [sys.executable, proof_rival.__file__, str(root)]
    rivals = [
        subprocess.Popen(
            [*command, f"rival{i}", str(reads // PROCESSES), str(scaled(15, 1_000)), str(note)], env=ENVIRONMENT
        )
        for i, note in enumerate(notes)
    ]
    assert [rival.wait(600) for rival in rivals] == [0] * PROCESSES
    told = [json.loads(note.read_text()) for note in notes]
    assert [wrong for one in told for wrong in one["wrong"]] == []
    changes: list[Event] = [tuple(event) for one in told for event in one["changes"]]
    seen: list[Event] = [tuple(event) for one in told for event in one["seen"]]
    past = stale(changes, seen)
    count("rivals", reads=len(seen), changes=len(changes), torn=0, stale=len(past))
    assert past == []
    assert len(seen) >= reads
    assert len({found for found, _, _ in seen}) > len(changes) // 100, (
        "readers saw too few of the values to tell anything"
    )
    sync.LocalArtifactStore(root).sweep(grace=0, dry_run=False)
    assert leftovers(root) == []


def stale(changes: Sequence[Event], seen: Sequence[Event]) -> list[Event]:
    """Reads of what had certainly been replaced before they began.

    A write was certainly replaced when another began after it had returned, and returned before the read began.
    """
    ends_of = {value: end for value, _, end in changes if value is not None}
    by_end = sorted(changes, key=lambda event: event[2])
    ends = [end for _, _, end in by_end]
    latest_start = list(accumulate((start for _, start, _ in by_end), max))
    saves = [event for event in by_end if event[0] is not None]
    save_ends = [end for _, _, end in saves]
    latest_save = list(accumulate((start for _, start, _ in saves), max))
    deletes = sorted((start, end) for value, start, end in changes if value is None)
    delete_starts = [start for start, _ in deletes]
    latest_delete = list(accumulate((end for _, end in deletes), max))
    found = []
    for value, begin, end in seen:
        if value is not None:
            before = bisect.bisect_left(ends, begin)
            if before and latest_start[before - 1] > ends_of[value]:
                found.append((value, begin, end))
        else:
            before = bisect.bisect_left(save_ends, begin)
            since = bisect.bisect_left(delete_starts, end)
            if before and not (since and latest_delete[since - 1] > latest_save[before - 1]):
                found.append((value, begin, end))
    return found


def test_the_judge_knows_the_past_when_it_sees_it() -> None:
    changes: list[Event] = [("a", 0, 1), ("b", 2, 3), (None, 4, 5), ("c", 6, 7)]
    assert stale(changes, [("a", 0.5, 2.5), ("b", 2.1, 2.2), ("a", 2.5, 4), (None, 4.5, 6), ("c", 6.5, 8)]) == []
    assert len(stale(changes, [("a", 3.5, 4), ("b", 5.5, 6), (None, 3.5, 3.9), (None, 7.5, 8)])) == 4
