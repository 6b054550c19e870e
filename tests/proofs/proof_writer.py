"""A process that forks writers, which wait to be traced and then carry out one verb each.

Run as a program it reads one JSON line per writer, answers with its process id, waits for another line, lets it go on, and answers with
how it ended. Forking spares the imports, and whatever happens once per process is over before a writer is traced.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import os
import socket
import sys
import threading
import traceback
from typing import Any

import aioartifacts as aa
from aioartifacts import sync

PATH = "project/model"
DAY = datetime.date(2026, 1, 2)
OPERATIONS = ("save", "overwrite", "delete", "materialize", "multipart")
SMALL_OLD, SMALL_NEW = {"version": "old"}, {"version": "new"}
LARGE_OLD, LARGE_NEW = b"old." * 10_000, b"new." * 12_000


class Pair:
    """An object that is saved as two parts."""

    def __init__(self, first: bytes, second: bytes) -> None:
        self.both = (first, second)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pair) and self.both == other.both

    def __hash__(self) -> int:
        return hash(self.both)


PAIR_OLD, PAIR_NEW = Pair(b"o" * 30_000, b"O" * 20_000), Pair(b"n" * 35_000, b"N" * 25_000)


class PairMaterializer(aa.Materializer):
    name = "pair"
    format = "pair"
    safe = True

    def accepts(self, obj: object) -> bool:
        return type(obj) is Pair

    def dump(self, obj: object) -> aa.Dump:
        assert isinstance(obj, Pair)
        return aa.Dump([aa.Part(f"{i}.bin", aa.Buffers(data)) for i, data in enumerate(obj.both)])

    def load(self, parts: aa.Parts) -> Pair:
        return Pair(*(bytes(parts.read(name)) for name in parts.names))


def registry() -> aa.MaterializerRegistry:
    made = aa.MaterializerRegistry()
    made.register(PairMaterializer())
    return made


def path_of(operation: str) -> str:
    return f"default/{DAY}/run/data/step/{PATH.rpartition('/')[2]}" if operation == "materialize" else PATH


def old_of(operation: str) -> Any:
    """What is there before; None for nothing."""
    return {"save": None, "overwrite": LARGE_OLD, "delete": LARGE_OLD, "materialize": LARGE_OLD, "multipart": PAIR_OLD}[
        operation
    ]


def new_of(operation: str) -> Any:
    """What is there after; None for nothing."""
    return {"save": SMALL_NEW, "overwrite": LARGE_NEW, "delete": None, "materialize": SMALL_NEW, "multipart": PAIR_NEW}[
        operation
    ]


def open_facade(root: str, durability: str) -> sync.LocalArtifactStore:
    return sync.LocalArtifactStore(root, durability=durability, trust="all", materializers=registry())  # type: ignore[arg-type]


def do_blocking(operation: str, root: str, durability: str, gate: Any, done: Any) -> None:
    store = open_facade(root, durability)
    gate()
    if operation == "delete":
        store.delete(PATH)
    elif operation == "materialize":
        store.run("run", date=DAY).materialize(SMALL_NEW, "model", "step")
    else:
        store.save(new_of(operation), PATH)
    done()


def do_async(operation: str, root: str, durability: str, gate: Any, done: Any) -> None:
    async def main() -> None:
        async with aa.LocalArtifactStore(root, durability=durability, trust="all", materializers=registry()) as store:  # type: ignore[arg-type]
            gate()
            if operation == "delete":
                await store.delete(PATH)
            elif operation == "materialize":
                await store.run("run", date=DAY).materialize(SMALL_NEW, "model", "step")
            else:
                await store.save(new_of(operation), PATH)
            done()

    asyncio.run(main())


def write(task: dict[str, str], gate: int, answer: socket.socket) -> None:
    """In the forked process: say ``done``, or what was raised, through *answer*. A socket: no file is written but the store's."""
    do = do_async if task["colour"] == "async" else do_blocking
    try:
        do(
            task["operation"],
            task["root"],
            task["durability"],
            lambda: os.read(gate, 1),
            lambda: answer.sendall(b'["done"]'),
        )
    except aa.ArtifactError as error:
        answer.sendall(json.dumps(["error", type(error).__name__, str(error)]).encode())
    except BaseException as error:
        answer.sendall(json.dumps(["raw", type(error).__name__, traceback.format_exc()]).encode())
    os._exit(0)


def serve() -> None:
    warm = os.path.join(sys.argv[1], "warm")
    for operation in OPERATIONS:
        for do in (do_blocking, do_async):
            do(operation, warm, "full", lambda: None, lambda: None)
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(10)
    assert threading.active_count() == 1, "forking with threads about is asking for trouble"
    for line in sys.stdin:
        task = json.loads(line)
        gate, opener = os.pipe()
        result, answer = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            os.close(opener)
            result.close()
            write(task, gate, answer)
        os.close(gate)
        answer.close()
        print(json.dumps(pid), flush=True)
        sys.stdin.readline()
        with contextlib.suppress(BrokenPipeError):  # it may be dead already
            os.write(opener, b"x")
        os.close(opener)
        with result, result.makefile("rb") as file:
            said = file.read()
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"status": status, "said": json.loads(said) if said else None}), flush=True)


if __name__ == "__main__":
    serve()
