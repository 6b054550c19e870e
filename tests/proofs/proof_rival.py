"""One of several processes that write, overwrite, delete and read one and the same artifact, in several threads, and note what they saw.

``python proof_rival.py ROOT NAME READS LEAST NOTES``: goes on until its readers have read so often, and its writers have changed something
LEAST times, and leaves what happened in the file NOTES.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

import proof_writer

import aioartifacts as aa
from aioartifacts import sync

PATH = proof_writer.PATH
READERS = 2


def content(name: str, rng: random.Random) -> Any:
    """A value that tells its writer's name in every piece of it: inlined, in a part, or in two."""
    text = f"{name} ".encode()
    match rng.randrange(3):
        case 0:
            return text * rng.randrange(1, 50)
        case 1:
            return text * rng.randrange(3_000, 4_000)
        case _:
            return proof_writer.Pair(text * rng.randrange(2_000, 3_000), text * rng.randrange(2_000, 3_000))


def name_in(value: Any) -> str | None:
    """The writer's name; None when the value is torn."""
    pieces = value.both if isinstance(value, proof_writer.Pair) else (value,)
    names = set()
    for piece in pieces:
        name, _, _ = piece.partition(b" ")
        unit = name + b" "
        if not name or piece != unit * (len(piece) // len(unit)):
            return None
        names.add(name)
    return names.pop().decode() if len(names) == 1 else None


def main() -> None:
    root, name, reads, least, notes = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5])
    store = sync.LocalArtifactStore(
        root,
        durability="process",
        trust="all",
        materializers=proof_writer.registry(),
        retry=aa.RetryPolicy(base=0.0005, cap=0.005),  # rivals meet more often when they are impatient
    )
    sys.setswitchinterval(0.0001)  # else readers, who hardly ever wait, keep the interpreter to themselves
    finished = threading.Event()
    changes: list[tuple[str | None, float, float]] = []
    seen: list[tuple[str | None, float, float]] = []
    wrong: list[str] = []

    def change(number: int) -> None:
        rng = random.Random(f"{name} {number}")
        n = 0
        while not finished.is_set():
            n += 1
            me = f"{name}-{number}-{n}"
            value = None if n % 4 == 0 else content(me, rng)
            start = time.monotonic()
            try:
                if value is None:
                    store.delete(PATH)
                else:
                    store.save(value, PATH)
            except aa.ArtifactError as error:
                wrong.append(f"{me}: {type(error).__name__}: {error}")
            changes.append((None if value is None else me, start, time.monotonic()))

    def read() -> None:
        n = 0
        while n < reads / READERS or len(changes) < least:
            n += 1
            start = time.monotonic()
            found: str | None = None
            try:
                found = name_in(store.load(PATH))
                if found is None:
                    wrong.append("torn")
            except aa.ArtifactNotFoundError:
                pass
            except aa.ArtifactError as error:
                wrong.append(f"reader: {type(error).__name__}: {error}")
                continue
            seen.append((found, start, time.monotonic()))

    writers = [threading.Thread(target=change, args=(number,)) for number in range(2)]
    readers = [threading.Thread(target=read) for _ in range(READERS)]
    for thread in (*writers, *readers):
        thread.start()
    for thread in readers:
        thread.join()
    finished.set()
    for thread in writers:
        thread.join()
    notes.write_text(json.dumps({"changes": changes, "seen": seen, "wrong": wrong}))


if __name__ == "__main__":
    main()
