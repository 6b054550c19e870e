"""XGBoost's boosters come back with trees, attributes and configuration; its estimators with their parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xgboost
from parts import roundtrip

from aioartifacts.materializers.base import Declined
from aioartifacts.materializers.registry import MaterializerRegistry
from aioartifacts.materializers.xgboost import BoosterMaterializer, WrapperMaterializer

BOOSTER = BoosterMaterializer()
X = np.random.default_rng(0).normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(int)


def trained(**parameters: Any) -> xgboost.Booster:
    data = xgboost.DMatrix(X, Y, feature_names=["a", "b", "ü"], feature_types=["q", "q", "q"], nthread=1)
    booster = xgboost.train({"max_depth": 2, "nthread": 1, "seed": 3, **parameters}, data, 3)
    booster.set_attr(note="mine", other="ä")
    return booster


@pytest.mark.parametrize(
    "parameters",
    [
        {"objective": "binary:logistic", "eval_metric": ["auc", "logloss"]},
        {"objective": "reg:squarederror", "base_score": 0.25},
        {"booster": "dart", "rate_drop": 0.1},
        {"objective": "multi:softprob", "num_class": 3},
        {"tree_method": "exact"},
    ],
    ids=["logistic", "regression", "dart", "classes", "exact"],
)
def test_booster(parameters: dict[str, Any]) -> None:
    booster = trained(**parameters)
    back = roundtrip(BOOSTER, booster)
    assert type(back) is xgboost.Booster
    assert back.save_raw("ubj") == booster.save_raw("ubj")
    assert back.save_config() == booster.save_config()
    assert back.attributes() == booster.attributes()
    assert back.feature_names == ["a", "b", "ü"]
    assert back.feature_types == ["q", "q", "q"]
    data = xgboost.DMatrix(X, feature_names=["a", "b", "ü"], feature_types=["q", "q", "q"], nthread=1)
    assert back.predict(data).tobytes() == booster.predict(data).tobytes()


def test_booster_that_stopped_early_keeps_its_best_round() -> None:
    data = xgboost.DMatrix(X, Y, nthread=1)
    booster = xgboost.train({"nthread": 1}, data, 20, evals=[(data, "train")], early_stopping_rounds=2, verbose_eval=False)
    assert roundtrip(BOOSTER, booster).best_iteration == booster.best_iteration


def test_booster_with_attributes_of_its_own_is_declined() -> None:
    booster = trained()
    booster.note = "mine"  # type: ignore[attr-defined]
    with pytest.raises(Declined, match="note"):
        BOOSTER.dump(booster)


def test_dispatch_comes_before_that_of_scikit_learn() -> None:
    def formats(obj: object) -> list[str]:
        return [candidate.format for candidate in MaterializerRegistry().candidates(obj)]

    assert formats(trained()) == ["xgboost", "pickle"]
    assert formats(xgboost.XGBClassifier())[:2] == ["xgboost-estimator", "sklearn"]


def test_estimator_keeps_what_its_own_file_loses() -> None:
    model = xgboost.XGBClassifier(n_estimators=4, max_depth=2, n_jobs=1, eval_metric="auc").fit(X, Y)
    back = roundtrip(WrapperMaterializer(), model)
    assert back.get_params()["n_estimators"] == 4
    assert back.get_params()["eval_metric"] == "auc"
    assert back.predict_proba(X).tobytes() == model.predict_proba(X).tobytes()


def test_summaries() -> None:
    assert BOOSTER.summary(trained()) == {
        "class": "xgboost.Booster", "rounds": 3, "features": 3, "feature_names": ["a", "b", "ü"],
    }  # fmt: skip
    assert WrapperMaterializer().summary(xgboost.XGBRegressor(max_depth=7))["params"]["max_depth"] == 7  # type: ignore[index, call-overload]
