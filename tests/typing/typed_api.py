"""Every public verb, with the type that a user's checker must see. Checked by mypy, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, assert_type

import numpy as np
import pandas as pd

import aioartifacts as aa
import aioartifacts.sync as blocking


async def stores() -> None:
    assert_type(aa.LocalArtifactStore("artifacts"), aa.LocalArtifactStore)
    assert_type(aa.LocalArtifactStore(Path("artifacts"), trust="data", durability="process"), aa.LocalArtifactStore)
    assert_type(aa.MemoryArtifactStore(), aa.MemoryArtifactStore)
    assert_type(aa.open_store("memory://"), aa.ArtifactStore)
    async with aa.open_store("memory://") as store:
        assert_type(store, aa.ArtifactStore)
    async with aa.LocalArtifactStore("artifacts") as local:
        assert_type(local, aa.LocalArtifactStore)
    assert_type(await store.validate(), bool)
    assert_type(store.to_dict(), dict[str, Any])
    await store.aclose()


async def single(store: aa.ArtifactStore, frame: pd.DataFrame) -> None:
    assert_type(await store.save(frame, "a"), str)
    assert_type(await store.save(frame, "a", {"who": "me", "n": [1, None, {"x": 0.5}]}, overwrite=False, format="pickle"), str)
    assert_type(await store.save(artifact=frame, path="a", metadata=None), str)
    assert_type(await store.load("a"), Any)
    assert_type(await store.load("a", pd.DataFrame), pd.DataFrame)
    assert_type(await store.load("a", dict), dict[Any, Any])
    assert_type(await store.load("a", as_type=np.ndarray, mmap=True), np.ndarray[Any, Any])
    assert_type(await store.load("a", verify=False, columns=["n"]), Any)
    assert_type(await store.exists("a"), bool)
    assert_type(await store.delete("a"), bool)
    assert_type(await store.size("a"), int)
    assert_type(await store.list_artifacts(), list[str])
    assert_type(await store.list_artifacts(prefix="a"), list[str])
    info = await store.info("a")
    assert_type(info, aa.ArtifactInfo)
    assert_type(info.size, int)
    assert_type(info.safe, bool)
    explanation = await store.explain("a")
    assert_type(explanation, aa.Explanation)
    assert_type(explanation.install, str | None)
    with await store.open_part("a") as stream:
        assert_type(stream.read(), bytes)
    assert_type(store.iter_artifacts("a"), AsyncIterator[aa.ArtifactInfo])
    async for each in store.iter_artifacts():
        assert_type(each, aa.ArtifactInfo)
    metadata = await store.get_metadata("a")
    if metadata is not None:
        assert_type(metadata, dict[str, Any])


async def materialized(store: aa.ArtifactStore, frame: pd.DataFrame) -> None:
    assert_type(await store.materialize(frame, "features", "r1", "prep"), str)
    assert_type(await store.materialize(obj=frame, name="f", run_id="r", step_name="s", project_name="p"), str)
    run = store.run("r1", project_name="churn")
    assert_type(run, aa.Run)
    assert_type(await run.materialize(frame, name="features", step_name="prep"), str)
    assert_type(await run.materialize_many({"features": frame}, "prep"), dict[str, str])
    assert_type(await run.load("features", "prep"), Any)
    assert_type(await run.load("features", "prep", pd.DataFrame, columns=["price"]), pd.DataFrame)
    assert_type(run.path("features", "prep"), str)


async def bulk(store: aa.ArtifactStore, objects: Mapping[str, object]) -> None:
    assert_type(await store.save_many(objects), dict[str, str])
    assert_type(await store.save_many(objects, on_error="collect"), dict[str, aa.Outcome[str]])
    passed_on: Literal["raise", "collect"] = "raise" if objects else "collect"
    assert_type(await store.delete_many(["a"], on_error=passed_on), dict[str, bool] | dict[str, aa.Outcome[bool]])
    outcomes = await store.load_many(["a", "b"], on_error="collect")
    assert_type(outcomes["a"].ok, bool)
    assert_type(outcomes["a"].unwrap(), Any)
    assert_type(outcomes["a"].error, BaseException | None)
    assert_type(await store.load_many(["a", "b"]), dict[str, Any])
    assert_type(await store.delete_many(["a", "b"]), dict[str, bool])
    assert_type(await store.delete_tree("a"), int)
    assert_type(await store.materialize_many(objects, run_id="r", step_name="s", project_name="p"), dict[str, str])


def blocking_twin(store: blocking.ArtifactStore, frame: pd.DataFrame) -> None:
    assert_type(blocking.open_store("memory://"), blocking.ArtifactStore)
    assert_type(blocking.open_store("artifacts", durability="process", limits=blocking.Limits(memory=1)), blocking.ArtifactStore)
    assert_type(blocking.LocalArtifactStore("a", signing_key=b"", verification_keys=[b""]), blocking.LocalArtifactStore)
    with blocking.LocalArtifactStore("artifacts") as local:
        assert_type(local, blocking.LocalArtifactStore)
    assert_type(store.save(frame, "a", metadata={"who": "me"}), str)
    assert_type(store.load("a"), Any)
    assert_type(store.load("a", pd.DataFrame), pd.DataFrame)
    assert_type(store.iter_artifacts(), Iterator[aa.ArtifactInfo])
    assert_type(store.list_artifacts(), list[str])
    assert_type(store.explain("a").loadable, bool)
    assert_type(store.open_part("a", "data.npy").read(10), bytes)
    assert_type(store.materialize(frame, name="f", run_id="r", step_name="s"), str)
    assert_type(store.save_many({"a": 1}), dict[str, str])
    assert_type(store.run("r1"), blocking.Run)
    assert_type(store.run("r1").load("features", "prep", pd.DataFrame), pd.DataFrame)
    assert_type(store.validate(), bool)
    store.close()


def errors() -> None:
    error: aa.ArtifactError = aa.ArtifactNotFoundError("gone", path="a", operation="load")
    assert_type(error.path, str | None)
    assert_type(error.operation, str | None)
    _same: blocking.ArtifactError = error
    _value: ValueError = aa.InvalidPathError("no")
    _missing: FileNotFoundError = aa.ArtifactNotFoundError("gone")


class Celsius:
    def __init__(self, degrees: float) -> None:
        self.degrees = degrees


class CelsiusMaterializer(aa.Materializer):
    name = "celsius"
    format = "celsius"
    safe = True

    def accepts(self, obj: object) -> bool:
        return type(obj) is Celsius

    def dump(self, obj: object) -> aa.Dump:
        assert isinstance(obj, Celsius)
        return aa.Dump([aa.Part("degrees.txt", aa.Buffers(str(obj.degrees).encode()))])

    def load(self, parts: aa.Parts) -> Celsius:
        return Celsius(float(bytes(parts.read("degrees.txt"))))
