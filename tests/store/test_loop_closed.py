"""What a loop that is closed cuts off: it cancels every task there is, also those that see a commit to its end."""

from __future__ import annotations

import asyncio

import pytest
from opened import BIG, beneath, over

from aioartifacts import ArtifactStore
from aioartifacts.objects.base import Buffers
from aioartifacts.testing import AsyncObjectStoreAdapter

pytestmark = pytest.mark.asyncio


class Underway(AsyncObjectStoreAdapter):
    """A store to which records are on their way, and stay there."""

    def __init__(self, inner):
        super().__init__(inner)
        self.sent = asyncio.Event()
        self.record = b""

    async def put(self, key, body, *, if_generation=None):
        if key.endswith("/metadata.json"):
            self.record = b"".join(body.buffers)
            self.sent.set()
            await asyncio.Event().wait()
        return await super().put(key, body, if_generation=if_generation)


async def test_commit_cut_off_leaves_its_parts_for_when_it_arrives(tmp_path):
    objects = beneath("memory", tmp_path)
    underway = Underway(objects)
    save = asyncio.create_task(ArtifactStore(underway, trust="all").save(BIG, "a"))
    await underway.sent.wait()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.wait([save])
    assert save.cancelled()
    objects.put("a/metadata.json", Buffers(underway.record))
    assert await over("memory", objects).load("a") == BIG
