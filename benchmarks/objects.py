"""Large Python objects: a dict of 300,000 keys, a million tuples, a fitted forest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

from benchmarks import orchestrators, ours, peers
from benchmarks.harness import Contender, Row, Workload


class AsPickle(ours.Facade):
    """With ``format="pickle"``."""

    name = "aioartifacts, format=pickle"

    def save(self, objects: Mapping[str, object]) -> None:
        for key, obj in objects.items():
            self.store.save(obj, key, format="pickle")


class OnTheLoop(ours.OneByOne):
    """``await store.save(…)``, for the loop lag."""

    name = "aioartifacts, await"


class AsPickleOnTheLoop(OnTheLoop):
    """``await store.save(…, format="pickle")``."""

    name = "aioartifacts, await, format=pickle"

    async def save(self, objects: Mapping[str, object]) -> None:
        for key, obj in objects.items():
            await self.store.save(obj, key, format="pickle")


def big_dict(count: int) -> dict[str, Any]:
    """Names to small records."""
    return {
        f"key-{number}": {"value": number, "text": f"text {number}", "share": number / 7} for number in range(count)
    }


def tuples(count: int) -> list[tuple[int, str, float]]:
    return [(number, f"item {number}", number * 0.5) for number in range(count)]


def forest(trees: int) -> Any:
    """A fitted forest."""
    from sklearn.datasets import make_classification
    from sklearn.ensemble import RandomForestClassifier

    features, labels = make_classification(2_000, 20, random_state=7)
    return RandomForestClassifier(trees, random_state=7).fit(features, labels)


def workloads(quick: bool) -> Sequence[Workload]:
    made: dict[str, Any] = {
        "a dict of 300,000 keys": big_dict(300 if quick else 300_000),
        "a list of 1,000,000 tuples": tuples(1_000 if quick else 1_000_000),
    }
    if find_spec("sklearn") is not None:
        made["a forest of 200 trees"] = forest(2 if quick else 200)
    contenders: list[type[Contender]] = [
        ours.Facade, OnTheLoop, AsPickle, AsPickleOnTheLoop, peers.Pickle, peers.FlowyML, peers.Joblib,
        orchestrators.Metaflow, orchestrators.MLflow, orchestrators.Prefect,
    ]  # fmt: skip
    return [
        Workload(
            f"objects: {what}",
            "no fsync",
            [
                Row("save", partial(_save, {"object": obj})),
                Row("load", _load, check=partial(_same, obj) if isinstance(obj, dict | list) else None),
            ],
            contenders,
        )
        for what, obj in made.items()
    ]


def _save(objects: Mapping[str, object], who: Any) -> Any:
    return who.save(objects)


def _load(who: Any) -> Any:
    return who.load(["object"])


def _same(obj: object, got: Sequence[object]) -> bool:
    return got[0] == obj
