"""XGBoost: boosters in its own binary JSON, with their configuration; wrappers for scikit-learn as pickles.

Not safe: XGBoost 3.2 reads beyond its memory when a model has been tampered with (17 of 200 random changes end the process).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aioartifacts.materializers.base import Buffers, Declined, Dump, Materializer, Part, Parts
from aioartifacts.materializers.estimators import EstimatorMaterializer
from aioartifacts.types import JSON


class BoosterMaterializer(Materializer):
    """``xgboost.Booster``: trees, attributes, names of features, and the configuration, which the model file leaves out."""

    name = "xgboost"
    format = "xgboost"
    packages = ("xgboost",)

    def accepts(self, obj: object) -> bool:
        import xgboost

        return type(obj) is xgboost.Booster

    def dump(self, obj: object) -> Dump:
        booster: Any = obj
        if vars(booster).keys() != {"handle"}:
            raise Declined(
                f"the booster carries attributes of its own: {', '.join(vars(booster).keys() - {'handle'})[:80]}"
            )
        config = booster.save_config().encode()
        return Dump([Part("model.ubj", Buffers(booster.save_raw("ubj"))), Part("config.json", Buffers(config))])

    def load(self, parts: Parts) -> object:
        import xgboost

        booster = xgboost.Booster()
        booster.load_model(bytearray(parts.read("model.ubj")))
        booster.load_config(str(parts.read("config.json"), "utf-8"))
        return booster

    def summary(self, obj: object) -> Mapping[str, JSON]:
        booster: Any = obj
        found: dict[str, JSON] = {
            "class": "xgboost.Booster",
            "rounds": booster.num_boosted_rounds(),
            "features": booster.num_features(),
        }
        if booster.feature_names:
            found["feature_names"] = [str(name)[:80] for name in booster.feature_names[:50]]
        return found


class WrapperMaterializer(EstimatorMaterializer):
    """``XGBClassifier`` and the like: their native format loses parameters."""

    name = "xgboost-estimator"
    format = "xgboost-estimator"
    packages = ("xgboost", "sklearn", "numpy", "cloudpickle")
