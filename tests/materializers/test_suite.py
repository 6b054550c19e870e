"""Our own formats pass the suite that we ask others to pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import scipy.sparse as sp  # type: ignore[import-untyped]
import shapes
import torch
from custom_materializer import Track, TrackMaterializer
from exactly import difference
from test_networkx import GRAPHS
from together import Together

from aioartifacts.materializers.arrow import ArrowMaterializer
from aioartifacts.materializers.dataclasses import DataclassMaterializer
from aioartifacts.materializers.networkx import GraphMaterializer
from aioartifacts.materializers.numpy import ArrayMaterializer, MaskedArrayMaterializer, StringArrayMaterializer
from aioartifacts.materializers.pandas import PandasMaterializer, PandasParquetMaterializer
from aioartifacts.materializers.pandas_csv import PandasCsvMaterializer
from aioartifacts.materializers.pickled import PickleMaterializer
from aioartifacts.materializers.polars import ParquetMaterializer, PolarsMaterializer
from aioartifacts.materializers.raw import StrMaterializer
from aioartifacts.materializers.scipy import SparseMatrixMaterializer
from aioartifacts.materializers.sklearn import SkopsMaterializer
from aioartifacts.materializers.torch import SafetensorsMaterializer, TorchMaterializer
from aioartifacts.materializers.typed_json import JsonMaterializer
from aioartifacts.testing import MaterializerSuite

FRAME = {"a": [1, 2], "s": ["x", None], "t": [1.5, float("nan")]}


class Exactly(Together):
    flips = 24


class TestStr(Exactly):
    materializer = StrMaterializer

    def examples(self) -> Mapping[str, object]:
        return {"empty": "", "text": "ä\0\U0001f600" * 40, "surrogate": "\ud800"}


class TestJson(Exactly):
    materializer = JsonMaterializer
    held_max = 8 << 20

    def examples(self) -> Mapping[str, object]:
        return {"none": None, "mixed": {"a": (1, {2}), 3: [b"x", 1j, 2**80]}, "many": [[n, str(n)] for n in range(500)]}

    def large(self) -> object:
        return [{"n": n, "text": str(n)} for n in range(40_000)]


class TestDataclass(Exactly):
    materializer = DataclassMaterializer

    def examples(self) -> Mapping[str, object]:
        return {"plain": shapes.Plain(1, "b"), "nested": shapes.Frozen(2, (shapes.Plain(1),))}


class TestArray(Exactly):
    materializer = ArrayMaterializer

    def examples(self) -> Mapping[str, object]:
        return {"floats": np.linspace(0, 1, 70), "fields": np.zeros(3, [("a", "i1"), ("b", ">f8")]), "empty": np.zeros((0, 3), "i2")}

    def large(self) -> object:
        return np.zeros((128 << 20,), "u1")


class TestMasked(Exactly):
    materializer = MaskedArrayMaterializer

    def examples(self) -> Mapping[str, object]:
        return {"some": np.ma.array([1, 2, 3], mask=[0, 1, 0], fill_value=77)}


class TestStrings(Exactly):
    materializer = StringArrayMaterializer

    def examples(self) -> Mapping[str, object]:
        return {"some": np.array(["a", "", "long " * 30], np.dtypes.StringDType())}


class TestPandas(Exactly):
    materializer = PandasMaterializer

    def examples(self) -> Mapping[str, object]:
        times = pd.Series(pd.date_range("2020", periods=3, tz="UTC"), name="t")
        return {"frame": pd.DataFrame(FRAME), "series": times, "categories": pd.DataFrame({"c": pd.Categorical(["a", None])})}

    def large(self) -> object:
        return pd.DataFrame(np.zeros((1 << 20, 16)))


class TestPandasParquet(TestPandas):
    materializer = PandasParquetMaterializer


class TestPandasCsv(Exactly):
    materializer = PandasCsvMaterializer

    def examples(self) -> Mapping[str, object]:
        return {"frame": pd.DataFrame({"i": [1, -2], "x": [0.1, np.nan], "s": ["a", ""], "b": [True, False]})}


class TestPolars(Exactly):
    materializer = PolarsMaterializer

    def examples(self) -> Mapping[str, object]:
        return {"frame": pl.DataFrame(FRAME), "nested": pl.DataFrame({"l": [[1], None]}), "series": pl.Series("s", [1, None])}


class TestPolarsParquet(TestPolars):
    materializer = ParquetMaterializer


class TestArrow(Exactly):
    materializer = ArrowMaterializer

    def examples(self) -> Mapping[str, object]:
        return {"table": pa.table(FRAME), "array": pa.array([[1], None]), "schema": pa.schema([("a", pa.int8())])}

    def large(self) -> object:
        return pa.table({"a": pa.array(np.zeros(16 << 20))})


class TestSparse(Exactly):
    materializer = SparseMatrixMaterializer

    def examples(self) -> Mapping[str, object]:
        return {format: sp.csr_array(np.eye(4)).asformat(format) for format in ("csr", "coo", "bsr", "dia", "lil", "dok")}


class TestGraph(Exactly):
    materializer = GraphMaterializer

    def examples(self) -> Mapping[str, object]:
        return {name: GRAPHS[name]() for name in ("empty", "attributes, 3 and '3'", "multigraph")}


class TestTorch(Exactly):
    materializer = TorchMaterializer

    def examples(self) -> Mapping[str, object]:
        return {"tensor": torch.arange(6).reshape(2, 3), "checkpoint": {"w": torch.ones(3), "step": 3, "lr": [0.1]}}

    def large(self) -> object:
        return torch.zeros(32 << 20)


class TestSafetensors(Exactly):
    materializer = SafetensorsMaterializer

    def examples(self) -> Mapping[str, object]:
        return {"state": {"w": torch.ones(3), "b": torch.zeros(2, dtype=torch.bfloat16)}}


class TestSkops(Exactly):
    materializer = SkopsMaterializer

    def examples(self) -> Mapping[str, object]:
        from sklearn.linear_model import LinearRegression

        return {"fitted": LinearRegression().fit([[1.0], [2.0]], [1.0, 3.0])}


class TestPickle(Exactly):
    materializer = PickleMaterializer

    def examples(self) -> Mapping[str, object]:
        return {"function": difference, "arrays": {"a": np.arange(20_000)}}

    def test_accepts_its_examples_and_no_stranger(self) -> None:
        assert all(map(PickleMaterializer().accepts, [*self.examples().values(), object()]))

    def large(self) -> object:
        return [np.zeros(8 << 20) for _ in range(2)]


class TestTracksOfTheExample(MaterializerSuite):
    materializer = TrackMaterializer

    def examples(self) -> Mapping[str, object]:
        return {"empty": Track("a", []), "two": Track("b", [(0.0, 1.5), (2.0, 3.0)])}

    def same(self, saved: Any, loaded: Any) -> bool:
        return bool((saved.name, saved.points) == (loaded.name, loaded.points))
