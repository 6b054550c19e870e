"""A format of your own: plain synchronous code that turns an object into parts and back.

Its tests are a subclass of the suite that the library's own formats pass: every store, a fresh process, damaged and hostile
parts, bounded memory, and whether `safe` is true, which an audit hook proves::

    from aioartifacts.testing import MaterializerSuite

    class TestTracks(MaterializerSuite):
        materializer = TrackMaterializer

        def examples(self):
            return {"empty": Track("a", []), "two": Track("b", [(0.0, 1.5), (2.0, 3.0)])}

        def same(self, saved, loaded):
            return (saved.name, saved.points) == (loaded.name, loaded.points)
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping
from typing import Any

import aioartifacts as aa


class Track:
    """Points of a journey; something that the library has never heard of."""

    def __init__(self, name: str, points: list[tuple[float, float]]) -> None:
        self.name = name
        self.points = points


class TrackMaterializer(aa.Materializer):
    """One part with pairs of little-endian doubles. The name goes into the record."""

    name = "track"
    format = "track"
    safe = True  # load() never runs anything it finds in the bytes

    def accepts(self, obj: object) -> bool:
        return type(obj) is Track

    def dump(self, obj: object) -> aa.Dump:
        assert isinstance(obj, Track)
        if not all(len(point) == 2 for point in obj.points):
            raise aa.Declined("a point is a pair")  # the next candidate is asked: in the end, pickle
        points = obj.points

        def produce(sink: Any) -> None:
            for x, y in points:
                sink.write(struct.pack("<dd", x, y))

        return aa.Dump([aa.Part("points.f64", aa.Producer(produce, size=16 * len(points)))], meta={"name": obj.name})

    def load(self, parts: aa.Parts) -> Track:
        data = parts.read("points.f64")
        return Track(str(parts.meta["name"]), list(struct.iter_unpack("<dd", data)))

    def summary(self, obj: object) -> Mapping[str, Any]:
        return {"points": len(obj.points)} if isinstance(obj, Track) else {}


async def main() -> None:
    registry = aa.MaterializerRegistry()
    registry.register(TrackMaterializer())
    async with aa.MemoryArtifactStore(materializers=registry) as store:
        await store.save(Track("commute", [(0.0, 0.0), (1.5, 2.5)]), "tracks/commute")
        info = await store.info("tracks/commute")
        print(info.format, dict(info.summary), "safe to load:", info.safe)
        track = await store.load("tracks/commute", Track)
        print(track.name, track.points)


if __name__ == "__main__":
    asyncio.run(main())
