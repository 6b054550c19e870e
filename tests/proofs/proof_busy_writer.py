"""Saves and deletes all the time in several threads, and tells on its output what it is about to do and what it has done.

``python proof_busy_writer.py ROOT DURABILITY FIRST``: the state of every key before is its operation number FIRST.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

import proof_writer

KEYS = [f"project/{i}" for i in range(6)]
BULK_KEYS = [f"bulk/{i}" for i in range(8)]


def state(n: int, key: str) -> Any:
    """What lies under *key* after its operation number *n*; None for nothing."""
    if n == 0 or (n % 5 == 0 and key in KEYS):
        return None
    text = f"{key} {n:08d} ".encode()
    return ({"is": text.decode()}, text * 2_000, proof_writer.Pair(text * 1_500, text[::-1] * 1_200))[n % 3]


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def main() -> None:
    root, durability, first = sys.argv[1], sys.argv[2], int(sys.argv[3])

    def one(key: str) -> None:
        store = proof_writer.open_facade(root, durability)
        n = first
        while True:
            n += 1
            say("start", key, n)
            if state(n, key) is None:
                store.delete(key)
            else:
                store.save(state(n, key), key)
            say("done", key, n)

    def bulk() -> None:
        store = proof_writer.open_facade(root, durability)
        n = first
        while True:
            n += 1
            for key in BULK_KEYS:
                say("start", key, n)
            store.save_many({key: state(n, key) for key in BULK_KEYS})
            for key in BULK_KEYS:
                say("done", key, n)

    def run(call: Any, *arguments: str) -> None:
        try:
            call(*arguments)
        except BaseException as error:  # the power is off
            say("failed", *arguments, type(error).__name__)

    threads = [threading.Thread(target=run, args=(one, key)) for key in KEYS]
    threads.append(threading.Thread(target=run, args=(bulk,)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
