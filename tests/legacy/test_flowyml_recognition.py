"""FlowyML's trees are recognised from names and bytes; the fixtures were written by FlowyML itself."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from aioartifacts import legacy
from aioartifacts.errors import RecordError

FIXTURES = Path(__file__).parent.parent / "fixtures" / "flowyml"
STORE = FIXTURES / "store"
EXPECTED = json.loads((FIXTURES / "expected.json").read_text())
PREP = "churn/2026-11-20/run-1/data/prep"
BARE = [path for path in EXPECTED["size"] if path != "missing"]


def describe(name: str) -> legacy.LegacyArtifact:
    path = f"{PREP}/{name}"
    found = legacy.describe_folder(path, (STORE / path / "metadata.json").read_bytes())
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "format", "type_name", "file"),
    [
        ("array", "flowyml-numpy", "numpy.ndarray", "array.npy"),
        ("array_nan", "flowyml-numpy", "numpy.ndarray", "array.npy"),
        ("array_of_objects", "flowyml-numpy", "numpy.ndarray", "array.npy"),
        ("frame", "flowyml-pandas", "pandas.DataFrame", "data.parquet"),
        ("frame_csv", "flowyml-pandas", "pandas.DataFrame", "data.csv"),
        ("series", "flowyml-pandas", "pandas.Series", "data.parquet"),
        ("series_unnamed", "flowyml-pandas", "pandas.Series", "data.parquet"),
        ("series_csv", "flowyml-pandas", "pandas.Series", "data.csv"),
        ("estimator", "flowyml-pickle", "sklearn.linear_model._base.LinearRegression", "model.pkl"),
        ("metrics", "flowyml-pickle", "dict", "data.pkl"),
        ("text", "flowyml-pickle", "str", "data.pkl"),
    ],
)
def test_materialized_folder_is_described(name: str, format: str, type_name: str, file: str) -> None:
    found = describe(name)
    assert (found.format, found.type, found.names) == (format, type_name, (file,))
    assert found.keys == (f"{PREP}/{name}/{file}",)
    assert (STORE / found.keys[0]).is_file()


def test_only_formats_without_code_are_called_safe() -> None:
    names = sorted(folder.name for folder in (STORE / PREP).iterdir())
    assert [name for name in names if describe(name).safe] == [
        "array", "array_nan", "frame", "frame_csv", "series", "series_csv", "series_unnamed",
    ]  # fmt: skip


def test_summary_keeps_what_flowyml_noted() -> None:
    assert describe("array").summary["shape"] == [3, 4]
    assert math.isnan(describe("array_nan").summary["mean"])  # type: ignore[arg-type]


def test_producer_is_read_off_the_path() -> None:
    assert describe("metrics").producer == {
        "project": "churn", "date": "2026-11-20", "run": "run-1", "step": "prep", "name": "metrics",
    }  # fmt: skip


def test_other_paths_have_no_producer() -> None:
    data = (STORE / PREP / "metrics" / "metadata.json").read_bytes()
    found = legacy.describe_folder("somewhere/else", data)
    assert found is not None
    assert found.producer == {}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"shape": [1]}',
        b'{"type": 1}',
        b'{"type": "something_else"}',
        b'{"type": "dict", "serializer": "cloudpickle", "format": "pickle"}',
        b'{"type": "pandas_dataframe", "format": "feather"}',
        b'{"type": "pandas_dataframe"}',
        b'{"aioartifacts": 1, "type": "numpy_array", "dtype": "int64"}',
    ],
)
def test_what_flowyml_did_not_write_is_not_described(data: bytes) -> None:
    assert legacy.describe_folder("a/b", data) is None


@pytest.mark.parametrize("file", ["../secret", "/etc/passwd", "a/b", "..", "", "metadata.json", "a\\b", "x\x00"])
def test_a_file_outside_the_folder_is_not_described(file: str) -> None:
    data = json.dumps({"type": "dict", "serializer": "cloudpickle", "format": "pickle", "file": file}).encode()
    assert legacy.describe_folder("a/b", data) is None


@pytest.mark.parametrize("dtype", ["object", "[('a', 'O'), ('b', '<i4')]", None])
def test_arrays_that_may_hold_objects_are_not_called_safe(dtype: str | None) -> None:
    found = legacy.describe_folder("a", json.dumps({"type": "numpy_array", "dtype": dtype}).encode())
    assert found is not None
    assert not found.safe


@pytest.mark.parametrize(
    ("kind", "names", "format", "files"),
    [
        ("pytorch_model", [], "flowyml-pytorch", ("model.pt",)),
        ("pytorch_tensor", [], "flowyml-pytorch", ("tensor.pt",)),
        ("keras_model", ["config.json", "model.keras"], "flowyml-keras", ("model.keras", "config.json")),
        ("keras_model", ["model.h5"], "flowyml-keras", ("model.h5",)),
        ("tensorflow_variable", [], "flowyml-tensorflow", ("variable.npy",)),
        (
            "tensorflow_keras_model",
            ["saved_model/variables/v.index", "saved_model/saved_model.pb", "metadata.json"],
            "flowyml-tensorflow",
            ("saved_model/saved_model.pb", "saved_model/variables/v.index"),
        ),
    ],
)
def test_formats_without_a_reader_are_still_named(
    kind: str, names: list[str], format: str, files: tuple[str, ...]
) -> None:
    found = legacy.describe_folder("m", json.dumps({"type": kind}).encode(), names)
    assert found is not None
    assert (found.format, found.names, found.safe) == (format, files, False)


@pytest.mark.parametrize("path", BARE)
def test_bare_pickle_is_described_with_the_metadata_flowyml_gives(path: str) -> None:
    meta = STORE / legacy.bare_meta_key(path)
    found = legacy.describe_bare(path, meta.read_bytes() if meta.exists() else None)
    assert (found.keys, found.format, found.safe) == ((path,), "flowyml-pickle", False)
    assert repr(dict(found.metadata) or None) == repr(EXPECTED["get_metadata"][path])


def test_two_versions_share_one_metadata_file() -> None:
    assert legacy.bare_meta_key("versions/m-1.0") == legacy.bare_meta_key("versions/m-1.1") == "versions/m-1.meta.json"


@pytest.mark.parametrize(
    "path",
    ["a", "a.b", "a.b.c", ".a", ".a.b", "..a", "x.y/a", "x.y/a.b", "a..b", "-", "m-1.0/.x", "ü.ü", "a.meta.json"],
)
def test_meta_key_is_what_pathlib_makes_of_it(path: str) -> None:
    assert legacy.bare_meta_key(path) == Path(path).with_suffix(".meta.json").as_posix()


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"null", b"\xff"])
def test_damaged_metadata_is_a_record_error(data: bytes) -> None:
    with pytest.raises(RecordError, match="m-1"):
        legacy.user_metadata(data, path="m-1.0")
