"""Save, look at, load, list and delete artifacts from async code."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import date

import aioartifacts as aa


async def main(folder: str) -> None:
    async with aa.LocalArtifactStore(folder) as store:
        location = await store.save({"accuracy": 0.93, "on": date(2026, 11, 20)}, "experiments/first", metadata={"who": "me"})
        print("saved to", location)

        info = await store.info("experiments/first")
        print(f"{info.type}, {info.format}, {info.size} bytes, safe to load: {info.safe}, metadata: {dict(info.metadata)}")

        # The location and the path mean the same artifact. With a type, checkers know what comes back, and it is verified.
        metrics = await store.load(location, dict)
        print("loaded", metrics)

        # project/date/run/data/step/name; the handle keeps the date, so that a retry after midnight lands in the same place.
        run = store.run("r1", project_name="churn")
        await run.materialize([1, 2, 3], name="labels", step_name="prep")
        async for found in store.iter_artifacts():
            print("listed", found.path.replace(str(run.date), "<today>"))  # in UTC

        try:
            await store.save("again", "experiments/first", overwrite=False)
        except aa.ArtifactExistsError as error:
            print(type(error).__name__, error.path)
        report = await store.verify()  # every part is read
        swept = await store.sweep(grace=3600)  # seconds; only looks, without dry_run=False
        print("sound:", report.ok, "damaged:", dict(report.damaged), "left by killed writers:", list(swept.removed))
        await store.delete("experiments/first")
        print("still there:", await store.exists("experiments/first"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(main(temporary))
