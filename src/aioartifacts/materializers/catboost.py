"""CatBoost: models in their own ``.cbm`` file, if nothing is lost by that; otherwise as pickles.

Not safe: CatBoost 1.2.10 reads beyond its memory when a model has been tampered with (1 of 200 random changes ends the process).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aioartifacts.materializers.base import Declined, Dump, Materializer, Parts
from aioartifacts.materializers.estimators import EstimatorMaterializer, describe
from aioartifacts.materializers.scratch import ScratchFolder
from aioartifacts.types import JSON

PART = "model.cbm"
_CLASSES = ("CatBoost", "CatBoostClassifier", "CatBoostRegressor", "CatBoostRanker")


class CbmMaterializer(Materializer):
    """Fitted models as ``.cbm`` files, on request: parameters given as they are by default may come back spelt out."""

    name = "catboost-cbm"
    format = "cbm"
    packages = ("catboost",)

    def accepts(self, obj: object) -> bool:
        import catboost  # type: ignore[import-untyped]

        return any(type(obj) is getattr(catboost, name) for name in _CLASSES)

    def dump(self, obj: object) -> Dump:
        model: Any = obj
        if not model.is_fitted():
            raise Declined(
                "the model is not fitted, and a .cbm file holds fitted ones; without format='cbm' it is saved as a pickle"
            )
        folder = ScratchFolder()
        model.save_model(f"{folder.path}/{PART}", format="cbm")
        back = type(model)()
        back.load_model(f"{folder.path}/{PART}", format="cbm")
        if back != model:
            raise Declined("the model that CatBoost reads back is another one")
        return Dump(folder.parts(), {"class": type(model).__name__})

    def load(self, parts: Parts) -> object:
        import catboost

        name = parts.meta.get("class")
        if name not in _CLASSES:
            raise ValueError(f"{name!r:.80} is no class of CatBoost's models")
        model = getattr(catboost, str(name))()
        model.load_model(parts.path(PART), format="cbm")
        return model

    def summary(self, obj: object) -> Mapping[str, JSON]:
        return describe(obj)


class CatBoostMaterializer(EstimatorMaterializer):
    """Models, fitted or not, with all of their state."""

    name = "catboost"
    format = "catboost"
    packages = ("catboost", "numpy", "cloudpickle")

    def summary(self, obj: object) -> Mapping[str, JSON]:
        found = describe(obj)
        trees = getattr(obj, "tree_count_", None)
        return {**found, "trees": trees} if isinstance(trees, int) else found
