"""Artifacts in Google Cloud Storage: ``AIOARTIFACTS_BUCKET=my-bucket python gcs.py``. Without a bucket, a test server stands in."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from uuid import uuid4

import aioartifacts as aa


async def main() -> None:
    async with AsyncExitStack() as stack:
        bucket = os.environ.get("AIOARTIFACTS_BUCKET")
        if bucket:
            # Application Default Credentials: 'gcloud auth application-default login', a service account's file, or the machine's own.
            store = aa.GCSArtifactStore(bucket_name=bucket, prefix=f"example-{uuid4()}")
        else:
            from aioartifacts.testing.gcs_server import GCSServer

            server = await stack.enter_async_context(GCSServer(buckets=("my-bucket",)))
            store = aa.GCSArtifactStore(bucket_name="my-bucket", endpoint=server.url, credentials="anonymous")
        await stack.enter_async_context(store)
        await store.validate()

        location = await store.materialize({"accuracy": 0.93}, name="metrics", run_id="r1", step_name="train")
        print("saved to", location.partition("/default/")[0].removesuffix(store.to_dict()["prefix"]) + "…")
        print("loaded", await store.load(location))

        # Many at once: as many requests in flight as Limits.transfers says.
        paths = await store.save_many({f"parts/{number}": bytes(100_000) for number in range(50)})
        loaded = await store.load_many(paths)
        print(len(loaded), "artifacts,", sum(len(data) for data in loaded.values()), "bytes")

        # What can run code when it is decoded is not loaded from a bucket unless you say so. Left to choose this format by itself, a
        # store would log a warning.
        await store.save(Model(), "model", format="pickle")
        try:
            await store.load("model")
        except aa.UntrustedArtifactError as error:
            print(type(error).__name__, error.format)

        if bucket:
            for prefix in {path.split("/")[0] for path in await store.list_artifacts()}:
                await store.delete_tree(prefix)
        else:
            print(len(await store.list_artifacts()), "artifacts listed")


class Model:
    """Only a pickle can hold it."""


if __name__ == "__main__":
    asyncio.run(main())
