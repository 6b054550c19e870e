"""Formats of libraries that take long to import pass the suite that we ask others to pass; one fresh process loads all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import lightgbm
import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr
import xgboost
from matplotlib.figure import Figure
from test_catboost import classifier
from test_huggingface import bert, dataset, tokenizer
from test_jax import ARRAYS
from test_keras import functional, sequential
from test_lightgbm import trained as trained_by_lightgbm
from test_pillow import IMAGES
from test_xgboost import trained as trained_by_xgboost
from together import Together

from aioartifacts.materializers import lightgbm as ours_of_lightgbm
from aioartifacts.materializers import matplotlib as ours_of_matplotlib
from aioartifacts.materializers import plotly as ours_of_plotly
from aioartifacts.materializers import xgboost as ours_of_xgboost
from aioartifacts.materializers.catboost import CatBoostMaterializer, CbmMaterializer
from aioartifacts.materializers.huggingface import DatasetMaterializer, ModelMaterializer, TokenizerMaterializer
from aioartifacts.materializers.jax import JaxMaterializer
from aioartifacts.materializers.keras import KerasMaterializer
from aioartifacts.materializers.pillow import ImageMaterializer
from aioartifacts.materializers.xarray import XarrayMaterializer

pytestmark = pytest.mark.filterwarnings(
    # Keras 3.15 over torch, with NumPy 2: its variables do not know the keyword.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
X = np.random.default_rng(0).normal(size=(30, 3))
Y = (X[:, 0] > 0).astype(int)


class Library(Together):
    flips = 4


class TestXarray(Library):
    materializer = XarrayMaterializer

    def examples(self) -> Mapping[str, object]:
        grid = xr.DataArray(np.arange(6.0).reshape(2, 3), {"x": [10, 20]}, ["x", "y"], name="g", attrs={"unit": "K"})
        return {"array": grid, "dataset": xr.Dataset({"a": grid, "b": ("x", ["ä", "b"])})}

    def large(self) -> object:
        return xr.DataArray(np.zeros(16 << 20), dims="x")


class TestImage(Library):
    materializer = ImageMaterializer
    flips = 8

    def examples(self) -> Mapping[str, object]:
        return {name: IMAGES[name] for name in ("RGB", "CMYK", "info")}


class TestPlotly(Library):
    materializer = ours_of_plotly.FigureMaterializer

    def examples(self) -> Mapping[str, object]:
        return {"bars": go.Figure(go.Bar(x=["a", "b"], y=np.array([1.5, math.nan])))}


class TestMatplotlib(Library):
    materializer = ours_of_matplotlib.FigureMaterializer

    def examples(self) -> Mapping[str, object]:
        figure = Figure(figsize=(1, 1))
        figure.subplots().plot([1, 2, 3])
        return {"lines": figure}


class TestCatBoost(Library):
    materializer = CatBoostMaterializer

    def examples(self) -> Mapping[str, object]:
        return {"classifier": classifier()}


class TestCbm(Library):
    materializer = CbmMaterializer
    fragile = True

    def examples(self) -> Mapping[str, object]:
        return {"classifier": classifier()}

    def same(self, saved: Any, loaded: Any) -> bool:
        """Parameters may come back spelt out."""
        return type(saved) is type(loaded) and bool(saved == loaded)


class TestXgboost(Library):
    materializer = ours_of_xgboost.BoosterMaterializer
    fragile = True

    def examples(self) -> Mapping[str, object]:
        return {"trained": trained_by_xgboost()}


class TestXgboostWrapper(Library):
    materializer = ours_of_xgboost.WrapperMaterializer

    def examples(self) -> Mapping[str, object]:
        return {"classifier": xgboost.XGBClassifier(n_estimators=2, max_depth=2, n_jobs=1).fit(X, Y)}


class TestLightgbm(Library):
    materializer = ours_of_lightgbm.BoosterMaterializer
    fragile = True

    def examples(self) -> Mapping[str, object]:
        return {"trained": trained_by_lightgbm()}


class TestLightgbmWrapper(Library):
    materializer = ours_of_lightgbm.WrapperMaterializer

    def examples(self) -> Mapping[str, object]:
        return {"classifier": lightgbm.LGBMClassifier(n_estimators=2, num_leaves=3, n_jobs=1, verbose=-1).fit(X, Y)}


@cache
def keras_models() -> dict[str, object]:
    """Always the same, for Keras draws weights and counts names."""
    return {"trained": sequential(), "functional": functional()}


class TestKeras(Library):
    materializer = KerasMaterializer

    def examples(self) -> Mapping[str, object]:
        return keras_models()


class TestJax(Library):
    materializer = JaxMaterializer
    flips = 8

    def examples(self) -> Mapping[str, object]:
        return {name: ARRAYS[name] for name in ("bfloat16", "int4", "weak")}


class TestModel(Library):
    materializer = ModelMaterializer

    def examples(self) -> Mapping[str, object]:
        return {"encoder": bert()}


class TestTokenizer(Library):
    materializer = TokenizerMaterializer
    imports = ("google", "sentencepiece", "tiktoken")

    def examples(self) -> Mapping[str, object]:
        return {"settings": tokenizer(model_max_length=7)}


class TestDataset(Library):
    materializer = DatasetMaterializer

    def examples(self) -> Mapping[str, object]:
        return {"rows": dataset()}
