"""A program that saves and loads, and counts what each save and each load costs: ``PYTHONPATH=.. python costly.py FOLDER --stores "local full" …``.

It writes JSON: counts by kind of cost and by name of the case. With ``--mark`` it counts nothing; it calls ``access`` before and after, with names
that whoever traces its system calls can tell. Whatever happens only once (imports, threads, connections, folders) has happened before.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import sys
import tracemalloc
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
from pieces import Pieces, PiecesMaterializer

import aioartifacts as aa
from aioartifacts import sync
from aioartifacts.pool import WorkerPool
from aioartifacts.portal import Portal

MARK = "/aioartifacts/"
BUCKET = "costs"
Watch = Callable[[str], AbstractContextManager[None]]


SMALL = {f"key {number}": [number, number / 7, "text"] for number in range(20)}
THINGS: dict[str, Any] = {
    "dict": SMALL,
    "array": np.arange(1 << 17, dtype=np.float64),
    "parts": Pieces(*[bytes([number]) * (32 << 10) for number in range(4)]),
    "hundred": {f"{number:03}": SMALL | {"number": number} for number in range(100)},
}
"""A dict that lies in its record; an array of 1 MiB; an object in four parts of 32 KiB; a hundred such dicts, by the bulk verbs."""


def opened(kind: str, colour: str, folder: Path, endpoint: str) -> Any:
    module = sync if colour == "facade" else aa
    if kind == "memory":
        store = module.MemoryArtifactStore(trust="all")
    elif kind == "gcs":
        store = module.GCSArtifactStore(
            bucket_name=BUCKET, prefix=colour, endpoint=endpoint, credentials="anonymous", trust="all"
        )
    else:
        place = folder / f"{kind} {colour}".replace(" ", "-")
        store = module.LocalArtifactStore(place, durability=kind.removeprefix("local "), trust="all")
    store.materializers.register(PiecesMaterializer(), types=Pieces)
    return store


def save(store: Any, thing: str, below: str) -> Any:
    if thing == "hundred":
        return store.save_many({f"{below} {name}": one for name, one in THINGS[thing].items()})
    return store.save(THINGS[thing], f"{below} {thing}")


def load(store: Any, thing: str, below: str) -> Any:
    if thing == "hundred":
        return store.load_many([f"{below} {name}" for name in THINGS[thing]])
    return store.load(f"{below} {thing}")


async def go(
    store: Any,
    colour: str,
    verb: Callable[..., Any],
    thing: str,
    below: str,
    watch: AbstractContextManager[None],
    more: bool,
) -> None:
    """One verb on one thing, watched. What it answers is let go only afterwards. With *more*, it costs more than it should."""
    kept: list[Any] = []
    with watch:
        for what in (thing, thing, "hundred") if more else (thing,):
            answer = verb(store, what, below)
            kept.append(await answer if colour == "async" else answer)
        if more:
            kept.append(bytearray(1 << 20))


async def run(given: argparse.Namespace, watches: list[tuple[str, Watch]]) -> None:
    for kind in given.stores:
        for colour in ("async", "facade"):
            store = opened(kind, colour, given.folder, given.endpoint)
            for thing in {"dict", *given.things} - {"hundred"}:
                for verb in (save, load):
                    await go(store, colour, verb, thing, "folder/warm", nullcontext(), False)
            for cost, watch in watches:
                for thing in given.things:
                    if applies(cost, kind, colour, thing):
                        for verb in (save, load):
                            name = f"{verb.__name__} {thing}, {kind}, {colour}"
                            await go(store, colour, verb, thing, f"folder/{cost}", watch(name), given.more)
            if colour == "async":
                await store.aclose()
            else:
                store.close()


def applies(cost: str, kind: str, colour: str, thing: str) -> bool:
    """Whether it tells something: the facade allocates what the async store does, and only its single verbs do all in one thread."""
    return {
        "mark": kind.startswith("local"),
        "requests": kind == "gcs",
        "hops": True,
        "peak": colour == "async" and (thing != "hundred" or kind == "local full"),
        "functions": colour == "facade" and thing != "hundred" and kind in ("memory", "local process"),
    }[cost]


@contextmanager
def marking(name: str) -> Iterator[None]:
    os.access(MARK + name, os.F_OK)
    yield
    os.access(MARK, os.F_OK)


class Counter:
    """Counts, by kind of cost and name of the case."""

    def __init__(self, endpoint: str) -> None:
        self.counts: dict[str, dict[str, int]] = defaultdict(dict)
        self._log = f"{endpoint}/_control/log"
        self._handed = 0
        WorkerPool.submit = self._counting(WorkerPool.submit)  # type: ignore[method-assign]
        Portal.call = self._counting(Portal.call)  # type: ignore[method-assign]

    def _counting(self, function: Any) -> Any:
        @wraps(function)
        def counted(*args: Any) -> Any:
            self._handed += 1
            return function(*args)

        return counted

    @contextmanager
    def hops(self, name: str) -> Iterator[None]:
        """What is handed to worker threads, a batch being one thing, and to the loop thread behind the facade."""
        before = self._handed
        yield
        self.counts["hops"][name] = self._handed - before

    @contextmanager
    def peak(self, name: str) -> Iterator[None]:
        """KiB that Python and NumPy have allocated at once, above what there was: what is copied whole shows here."""
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        yield
        self.counts["peak"][name] = round((tracemalloc.get_traced_memory()[1] - before) / 1024)
        tracemalloc.stop()

    @contextmanager
    def functions(self, name: str) -> Iterator[None]:
        """Functions called in this thread, those written in C among them."""
        called = 0

        def profile(frame: Any, event: str, argument: Any) -> None:
            nonlocal called
            called += event in ("call", "c_call")

        sys.setprofile(profile)
        yield
        sys.setprofile(None)
        self.counts["functions"][name] = called

    @contextmanager
    def requests(self, name: str) -> Iterator[None]:
        """Requests in the server's log, and their bytes, both ways."""
        self._control("DELETE")
        yield
        entries = self._control("GET")["requests"]
        self.counts["requests"][name] = len(entries)
        self.counts["sent"][name] = sum(entry["bytes_in"] + entry["bytes_out"] for entry in entries)

    def _control(self, method: str) -> Any:
        request = urllib.request.Request(self._log, method=method)  # noqa: S310 - our own server
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return json.loads(answer.read() or "null")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--stores", nargs="*", default=[])
    parser.add_argument("--things", nargs="+", default=list(THINGS))
    parser.add_argument("--endpoint", default="", help="of the server, for the store gcs")
    parser.add_argument("--mark", action="store_true")
    parser.add_argument("--more", action="store_true", help="do it twice, and a bulk verb, and waste 1 MiB")
    given = parser.parse_args()
    if given.mark:
        asyncio.run(run(given, [("mark", marking)]))
        return
    counter = Counter(given.endpoint)
    watches: list[tuple[str, Watch]] = [
        ("requests", counter.requests),
        ("hops", counter.hops),
        ("peak", counter.peak),
        ("functions", counter.functions),
    ]
    asyncio.run(run(given, watches))
    json.dump(counter.counts, sys.stdout)


if __name__ == "__main__":
    main()
