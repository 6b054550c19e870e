"""The readers decode what FlowyML wrote, and nothing that runs code without trust."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import pytest

from aioartifacts import legacy
from aioartifacts.errors import DecodeError, UntrustedArtifactError
from aioartifacts.materializers.base import Declined, Materializer, Parts
from aioartifacts.materializers.flowyml import FlowyMLNumpy, FlowyMLPandas, FlowyMLPickle
from aioartifacts.types import JSON, LoadOptions

STORE = Path(__file__).parent.parent / "fixtures" / "flowyml" / "store"
PREP = "churn/2026-11-20/run-1/data/prep"
READERS: dict[str, Materializer] = {reader.format: reader for reader in (FlowyMLPickle(), FlowyMLNumpy(), FlowyMLPandas())}


class FilesAsParts(Parts):
    def __init__(self, files: dict[str, Path], meta: dict[str, JSON], *, trusted: bool) -> None:
        self.names = tuple(files)
        self.meta = meta
        self.options = LoadOptions()
        self.trusted = trusted
        self._files = files

    def size(self, name: str) -> int:
        return self._files[name].stat().st_size

    def read(self, name: str) -> memoryview:
        return memoryview(bytearray(self._files[name].read_bytes()))

    def open(self, name: str) -> BinaryIO:
        return io.BytesIO(self._files[name].read_bytes())

    def path(self, name: str) -> str:
        return str(self._files[name])


def load(found: legacy.LegacyArtifact, *, trusted: bool) -> object:
    files = {name: STORE / key for name, key in zip(found.names, found.keys, strict=True)}
    return READERS[found.format].load(FilesAsParts(files, dict(found.meta), trusted=trusted))


def load_folder(name: str, *, trusted: bool = False) -> object:
    found = legacy.describe_folder(f"{PREP}/{name}", (STORE / PREP / name / "metadata.json").read_bytes())
    assert found is not None
    return load(found, trusted=trusted)


def test_bare_pickle_comes_back() -> None:
    assert load(legacy.describe_bare("experiments/first"), trusted=True) == {"a": (1, 2)}


def test_fallback_pickle_comes_back() -> None:
    assert load_folder("metrics", trusted=True) == {"accuracy": 0.93, "labels": ("a", "b")}


@pytest.mark.filterwarnings("ignore:Trying to unpickle estimator")  # written by one version, read by any
def test_estimator_comes_back() -> None:
    from sklearn.linear_model import LinearRegression

    model = load_folder("estimator", trusted=True)
    assert isinstance(model, LinearRegression)
    np.testing.assert_allclose(model.coef_, [2.0])


@pytest.mark.parametrize("name", ["metrics", "text", "estimator"])
def test_pickle_without_trust_is_refused(name: str) -> None:
    with pytest.raises(UntrustedArtifactError):
        load_folder(name)


def test_array_comes_back() -> None:
    array = load_folder("array")
    assert isinstance(array, np.ndarray)
    assert array.dtype == np.int32
    np.testing.assert_array_equal(array, np.arange(12).reshape(3, 4))


def test_array_of_objects_comes_back_with_trust() -> None:
    array = load_folder("array_of_objects", trusted=True)
    assert isinstance(array, np.ndarray)
    assert array.tolist() == [{"a": 1}, None]


def test_array_of_objects_without_trust_is_not_unpickled() -> None:
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_folder("array_of_objects")


def test_pickle_in_place_of_an_array_is_not_unpickled(tmp_path: Path) -> None:
    file = tmp_path / "array.npy"
    file.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match="magic"):
        FlowyMLNumpy().load(FilesAsParts({"array.npy": file}, {}, trusted=True))


def test_frame_comes_back_exactly() -> None:
    expected = pd.DataFrame(
        {
            "n": [1, 2, 3],
            "x": [0.5, None, 2.5],
            "day": pd.to_datetime(["2024-01-01", "2024-02-29", None]).astype("datetime64[us]"),
        },
        index=pd.Index([10, 20, 30], name="key"),
    )
    pd.testing.assert_frame_equal(load_folder("frame"), expected)


def test_csv_frame_comes_back_as_flowyml_reads_it() -> None:
    frame = load_folder("frame_csv")
    assert isinstance(frame, pd.DataFrame)
    assert frame["n"].tolist() == [1, 2]
    assert frame["z"].tolist() == ["(1+2j)", "3j"]


def test_series_comes_back_exactly() -> None:
    pd.testing.assert_series_equal(load_folder("series"), pd.Series([1.5, 2.5], name="weight"))


def test_unnamed_series_stays_unnamed() -> None:
    pd.testing.assert_series_equal(load_folder("series_unnamed"), pd.Series([1, 2, 3]))


def test_csv_series_keeps_its_name() -> None:
    series = load_folder("series_csv")
    assert isinstance(series, pd.Series)
    assert (series.name, series.tolist()) == ("mixed", ["1", "two"])


def test_hierarchical_name_is_a_tuple_again(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    pd.Series([1], name="x").to_csv(file)
    meta: dict[str, JSON] = {"type": "pandas_series", "format": "csv", "name": ["a", "b"]}
    series = FlowyMLPandas().load(FilesAsParts({"data.csv": file}, meta, trusted=False))
    assert isinstance(series, pd.Series)
    assert series.name == ("a", "b")


def test_unknown_pandas_type_is_a_decode_error() -> None:
    with pytest.raises(DecodeError, match="pandas_panel"):
        FlowyMLPandas().load(FilesAsParts({}, {"type": "pandas_panel"}, trusted=True))


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_nothing_is_written(reader: Materializer) -> None:
    assert not reader.accepts([1])
    with pytest.raises(Declined, match="only read"):
        reader.dump([1])
