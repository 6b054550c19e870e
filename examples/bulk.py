"""Thousands of artifacts in one call, keyed by path; failures as a group, or one by one."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time

import aioartifacts as aa


async def main(folder: str) -> None:
    objects = {f"rows/{n:04}": {"id": n, "text": "x" * 900} for n in range(2_000)}
    # "process" skips the flushes: what was saved survives a killed process, though not a power cut.
    async with aa.LocalArtifactStore(folder, durability="process") as store:
        began = time.perf_counter()
        await store.save_many(objects)
        saved = time.perf_counter()
        loaded = await store.load_many(objects)
        ended = time.perf_counter()
        assert loaded == objects
        print(f"{len(objects)} artifacts: saved in {saved - began:.2f} s, loaded in {ended - saved:.2f} s")

        # A lock cannot be pickled. By default the call stops and raises a group …
        mixed = {"good": [1, 2], "bad": threading.Lock()}
        try:
            await store.save_many(mixed)
        except* aa.EncodeError as group:
            print("raised", [error.path for error in group.exceptions if isinstance(error, aa.ArtifactError)])

        # … or it goes on, and tells every outcome.
        outcomes = await store.save_many(mixed, on_error="collect")
        for path, outcome in outcomes.items():
            print(path, "saved" if outcome.ok else f"failed: {type(outcome.error).__name__}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(main(temporary))
