"""LightGBM: boosters as the text of their model; wrappers for scikit-learn as pickles.

Not safe: LightGBM 4.7 ends the process when the text of a tree is inconsistent (an exception in one of its own threads).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aioartifacts.materializers.base import Buffers, Declined, Dump, Materializer, Part, Parts
from aioartifacts.materializers.estimators import EstimatorMaterializer, capped
from aioartifacts.types import JSON


class BoosterMaterializer(Materializer):
    """``lightgbm.Booster``: all its trees to the bit. As when it pickles itself, the data it was trained on is let go of."""

    name = "lightgbm"
    format = "lightgbm"
    packages = ("lightgbm",)

    def accepts(self, obj: object) -> bool:
        import lightgbm

        return type(obj) is lightgbm.Booster

    def dump(self, obj: object) -> Dump:
        import lightgbm

        booster: Any = obj
        text = _text(booster)
        again = lightgbm.Booster(model_str=text)
        # The text tells its parameters anew after a line, "end of parameters"; trees and what comes before must not have changed.
        if _text(again) != text:
            raise Declined("LightGBM writes the booster differently once it has been read back")
        state = {
            "best_iteration": booster.best_iteration,
            "best_score": _scores(booster.best_score),
            "params": booster.params,
        }
        if not _is_json(state["params"]):
            raise Declined("a parameter of the booster is neither a number, a str, nor a list of such")
        if booster.pandas_categorical and not _is_json(booster.pandas_categorical):
            raise Declined("a category of its data is neither a number nor a str")
        meta: dict[str, Any] = {**state, "train_data_name": booster._train_data_name}
        return Dump([Part("model.txt", Buffers(text.encode("utf-8", "surrogateescape")))], meta)

    def load(self, parts: Parts) -> object:
        import lightgbm

        booster: Any = lightgbm.Booster(model_str=str(parts.read("model.txt"), "utf-8", "surrogateescape"))
        meta: Any = parts.meta
        booster.best_iteration = meta["best_iteration"]
        booster.best_score = _unscored(meta["best_score"])
        booster.params = meta["params"]
        booster._train_data_name = meta["train_data_name"]
        return booster

    def summary(self, obj: object) -> Mapping[str, JSON]:
        booster: Any = obj
        return {
            "class": "lightgbm.Booster",
            "trees": booster.num_trees(),
            "features": booster.num_feature(),
            "feature_names": [name[:80] for name in booster.feature_name()[:50]],
            "params": capped(booster.params),
        }


class WrapperMaterializer(EstimatorMaterializer):
    """``LGBMClassifier`` and the like."""

    name = "lightgbm-estimator"
    format = "lightgbm-estimator"
    packages = ("lightgbm", "sklearn", "numpy", "cloudpickle")


def _text(booster: Any) -> str:
    return booster.model_to_string(num_iteration=-1)  # type: ignore[no-any-return]


def _scores(scores: Any) -> JSON:
    """Scores by data set and metric, in their order; floats as text, which also has nan. LightGBM's own are NumPy's."""
    if type(scores) is dict and not scores:
        return None
    return [
        [name, [[metric, repr(float(score)), type(score) is float] for metric, score in found.items()]]
        for name, found in scores.items()
    ]


def _unscored(scores: Any) -> Any:
    from collections import OrderedDict, defaultdict

    import numpy as np

    if scores is None:
        return {}
    found: Any = defaultdict(OrderedDict)
    for name, metrics in scores:
        found[name] = OrderedDict(
            (metric, float(score) if plain else np.float64(score)) for metric, score, plain in metrics
        )
    return found


def _is_json(value: Any) -> bool:
    if type(value) is dict:
        return all(type(key) is str and _is_json(item) for key, item in value.items())
    if type(value) is list:
        return all(map(_is_json, value))
    if type(value) is float:
        return value - value == 0.0
    return value is None or type(value) in (bool, str) or (type(value) is int and -(1 << 63) <= value < 1 << 63)
