"""Google Cloud Storage in trouble with nearly every fourth request, by one kind of fault or by all: every save works, and only once.

`tests/gcs/test_artifacts_faults.py` has every fault at every single request; here many saves at once meet many of them.
"""

from __future__ import annotations

from typing import Any

import proof_writer
import pytest
from figures import FULL, count, state
from proof_scale import scaled

import aioartifacts as aa
from aioartifacts.objects.gcs import GCSObjectStore
from aioartifacts.testing.gcs_server import Fault, GCSServer
from aioartifacts.types import KIB, Limits, RetryPolicy

pytestmark = pytest.mark.asyncio

BUCKET = "storm"
AT_ONCE = RetryPolicy(60.0, 0.0, 0.0)
DOWNLOADS = r"alt=media"
KINDS: dict[str, list[dict[str, Any]]] = {
    "429": [{"action": "status", "status": 429}],
    "408": [{"action": "status", "status": 408}],
    "5xx": [{"action": "status", "status": status} for status in (500, 502, 503, 504)],
    "dropped": [{"action": "drop"}, {"action": "drop", "after_bytes": 300}],
    "applied, then dropped": [{"action": "drop", "when": "applied"}],
    "applied, then 503": [{"action": "status", "status": 503, "when": "applied"}],
    "truncated": [{"action": "truncate"}],
    "a bit flipped": [{"action": "flip", "query": DOWNLOADS}],
    "stalled": [{"action": "stall", "when": when} for when in ("before", "applied", "answer")],
}
KINDS["all of these"] = [fault for faults in KINDS.values() for fault in faults]
RATE = 0.24
FLIPPED = 0.45
"""Of downloads, the only answers that carry a digest; TLS keeps the others whole."""


def values(saves: int, text: str) -> dict[str, Any]:
    """Artifacts in their records, in a part, in two, and in a resumable upload of three chunks."""
    made: dict[str, Any] = {}
    for number in range(saves):
        said = f"{text} {number} ".encode()
        match number % 40:
            case 7 | 27:
                made[f"p/{number}"] = said * 300
            case 17:
                made[f"p/{number}"] = proof_writer.Pair(said * 300, said * 200)
            case 37:
                made[f"p/{number}"] = said * (600 * KIB // len(said))
            case _:
                made[f"p/{number}"] = {"said": said}
    return made


def errors(outcomes: dict[str, aa.Outcome[Any]]) -> dict[str, BaseException | None]:
    return {path: outcome.error for path, outcome in outcomes.items() if not outcome.ok}


@pytest.mark.parametrize("kind", KINDS)
async def test_saves_in_a_storm_are_neither_lost_nor_refused_nor_doubled(kind: str) -> None:
    stalls = any(fault["action"] == "stall" for fault in KINDS[kind])
    async with GCSServer(buckets=(BUCKET,)) as server:
        objects = GCSObjectStore(
            BUCKET,
            endpoint=server.url,
            credentials="anonymous",
            chunk_size=256 * KIB,
            retry=AT_ONCE,
            sock_read=scaled(0.1, 0.25) if stalls else 30.0,
        )
        async with aa.ArtifactStore(
            objects,
            name="gcs",
            trust="all",
            retry=AT_ONCE,
            limits=Limits(transfers=16),
            materializers=proof_writer.registry(),
        ) as store:
            for seed, fault in enumerate(KINDS[kind]):
                probability = FLIPPED if kind == "a bit flipped" else RATE / len(KINDS[kind])
                server.add_fault(Fault(**fault, probability=probability, seed=seed))
            saves = scaled(40 if stalls else 80, 2_000)
            created, replaced = values(saves // 2, "new"), values(saves // 2, "newer")
            # A path of its own each time: any refusal would be of what the very same save had stored.
            assert errors(await store.save_many(created, overwrite=False, on_error="collect")) == {}
            assert errors(loaded := await store.load_many(created, on_error="collect")) == {}
            assert {path: outcome.value for path, outcome in loaded.items()} == created
            assert errors(await store.save_many(replaced, on_error="collect")) == {}
            assert await store.list_artifacts() == sorted(replaced)
            troubled = sum(rule["fired"] for rule in server.faults.installed())
            requests = len(server.journal.to_json())
            server.faults.remove()
            server.control.release()
            assert await store.load_many(replaced) == replaced
            assert await store.list_artifacts() == sorted(replaced)
            assert not (await store.verify()).damaged
            await store.sweep(grace=0, dry_run=False)
            assert (await store.verify()).ok
        assert not FULL or 0.2 < troubled / requests < 0.26
        assert troubled > saves / 10
        count(f"GCS, {kind}", saves=saves, requests=requests, troubled=troubled)
        state(f"GCS, {kind}", lost=0, false_conflicts=0, doubled=0)
