"""CatBoost's models come back equal, with their parameters; as .cbm files, they predict the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from catboost import CatBoost, CatBoostClassifier, CatBoostRegressor, Pool
from parts import load, roundtrip

from aioartifacts.materializers.base import Declined
from aioartifacts.materializers.catboost import CatBoostMaterializer, CbmMaterializer
from aioartifacts.materializers.registry import MaterializerRegistry

CATBOOST = CatBoostMaterializer()
CBM = CbmMaterializer()
X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(int)
QUIET: dict[str, Any] = {"iterations": 3, "depth": 2, "verbose": 0, "allow_writing_files": False, "thread_count": 1}


def classifier() -> Any:
    return CatBoostClassifier(**QUIET).fit(X, np.where(Y, "ja", "nö"))


def categorical() -> Any:
    rows = [[float(x[0]), "a" if x[1] > 0 else "b"] for x in X]
    return CatBoost({**QUIET, "loss_function": "RMSE"}).fit(Pool(rows, Y, cat_features=[1]))


MODELS: dict[str, Any] = {
    "classifier": classifier,
    "regressor": lambda: CatBoostRegressor(**QUIET, loss_function="Quantile:alpha=0.3").fit(X, Y),
    "categorical": categorical,
}


def rows(name: str) -> Any:
    return [[0.5, "a"], [-0.5, "b"]] if name == "categorical" else X


@pytest.mark.parametrize("name", MODELS)
def test_model(name: str) -> None:
    model = MODELS[name]()
    back = roundtrip(CATBOOST, model)
    assert type(back) is type(model)
    assert back == model
    assert back.get_params() == model.get_params()
    assert back.predict(rows(name)).tolist() == model.predict(rows(name)).tolist()


def test_model_that_is_not_fitted() -> None:
    back = roundtrip(CATBOOST, CatBoostRegressor(**QUIET))
    assert back.get_params() == CatBoostRegressor(**QUIET).get_params()
    assert not back.is_fitted()


@pytest.mark.parametrize("name", MODELS)
def test_cbm(name: str) -> None:
    model = MODELS[name]()
    back = roundtrip(CBM, model)
    assert type(back) is type(model)
    assert back == model
    assert back.predict(rows(name)).tolist() == model.predict(rows(name)).tolist()


def test_cbm_declines_what_is_not_fitted() -> None:
    with pytest.raises(Declined, match="not fitted"):
        CBM.dump(CatBoostRegressor())


def test_cbm_of_an_unknown_class_is_refused() -> None:
    with pytest.raises(ValueError, match="no class"):
        load(CBM, {"model.cbm": b""}, {"class": "Pool"})


def test_dispatch_and_summary() -> None:
    model = classifier()
    assert next(MaterializerRegistry().candidates(model)).format == "catboost"
    found = CATBOOST.summary(model)
    assert found["trees"] == 3
    assert found["params"]["depth"] == 2  # type: ignore[index, call-overload]
