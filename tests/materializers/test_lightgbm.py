"""LightGBM's boosters come back to the last digit of their text; its estimators with their parameters."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
from parts import roundtrip

from aioartifacts.materializers.base import Declined
from aioartifacts.materializers.lightgbm import BoosterMaterializer, WrapperMaterializer
from aioartifacts.materializers.registry import MaterializerRegistry

BOOSTER = BoosterMaterializer()
X = np.random.default_rng(0).normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(int)
QUIET = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 5, "num_leaves": 4}


def trained(**parameters: Any) -> lightgbm.Booster:
    return lightgbm.train({**QUIET, **parameters}, lightgbm.Dataset(X, Y), 3)


@pytest.mark.parametrize(
    "parameters",
    [
        {"objective": "binary"},
        {"objective": "regression", "linear_tree": True},
        {"objective": "multiclass", "num_class": 3},
        {"boosting": "dart", "metric": ["l1", "l2"]},
    ],
    ids=["binary", "linear", "classes", "dart"],
)
def test_booster(parameters: dict[str, Any]) -> None:
    booster = trained(**parameters)
    back = roundtrip(BOOSTER, booster)
    assert type(back) is lightgbm.Booster
    assert back.model_to_string(num_iteration=-1) == booster.model_to_string(num_iteration=-1)
    assert back.predict(X).tobytes() == booster.predict(X).tobytes()
    assert back.params == booster.params


def test_booster_that_stopped_early_keeps_all_rounds_and_which_was_best() -> None:
    data = lightgbm.Dataset(X[:40], Y[:40])
    booster = lightgbm.train(
        {**QUIET, "objective": "binary", "learning_rate": 0.9},
        data,
        30,
        valid_sets=[lightgbm.Dataset(X[40:], Y[40:], reference=data)],
        callbacks=[lightgbm.early_stopping(2, verbose=False)],
    )
    back = roundtrip(BOOSTER, booster)
    assert back.best_iteration == booster.best_iteration > 0
    assert back.best_score == booster.best_score
    assert type(back.best_score) is type(booster.best_score)
    assert back.num_trees() == booster.num_trees()


def test_categories_of_pandas() -> None:
    frame = pd.DataFrame({"a": X[:, 0], "c": pd.Categorical(np.where(X[:, 1] > 0, "ja", "nö"))})
    booster = lightgbm.train({**QUIET, "objective": "binary"}, lightgbm.Dataset(frame, Y), 3)
    back = roundtrip(BOOSTER, booster)
    assert back.pandas_categorical == booster.pandas_categorical
    assert back.predict(frame).tobytes() == booster.predict(frame).tobytes()


def test_parameters_that_are_no_json_are_declined() -> None:
    with pytest.raises(Declined, match="parameter"):
        BOOSTER.dump(trained(metric={"l1"}))


def test_dispatch_comes_before_that_of_scikit_learn() -> None:
    def formats(obj: object) -> list[str]:
        return [candidate.format for candidate in MaterializerRegistry().candidates(obj)]

    assert formats(trained()) == ["lightgbm", "pickle"]
    assert formats(lightgbm.LGBMClassifier())[:2] == ["lightgbm-estimator", "sklearn"]


def test_estimator() -> None:
    model = lightgbm.LGBMClassifier(n_estimators=3, num_leaves=4, n_jobs=1, verbose=-1).fit(X, Y)
    back = roundtrip(WrapperMaterializer(), model)
    assert back.get_params() == model.get_params()
    assert back.booster_.predict(X).tobytes() == model.booster_.predict(X).tobytes()


def test_summary() -> None:
    found = BOOSTER.summary(trained())
    assert found["trees"] == 3
    assert found["features"] == 3
    assert found["params"]["num_leaves"] == 4  # type: ignore[index, call-overload]
