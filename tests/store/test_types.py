"""Objects of every kind through every store: equal, of the same type, and of the format they should have."""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import math
import os
import pathlib
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from opened import BIG, keys, tree

from aioartifacts import DecodeError, EncodeError, LocalArtifactStore

pytestmark = pytest.mark.asyncio


@dataclass
class Settings:
    name: str
    rates: dict[str, float] = field(default_factory=dict)
    inner: object = None


class Point(NamedTuple):
    x: int
    y: float


class Color(enum.Enum):
    RED = "red"


class Custom:
    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return type(other) is Custom and np.array_equal(other.value, self.value)

    __hash__ = None  # type: ignore[assignment]


class Dict(dict):
    """A subclass with state of its own."""


BUILTINS = [
    (None, "json"),
    (True, "json"),
    (7, "json"),
    (-(10**400), "json"),
    (0.1, "json"),
    (-0.0, "json"),
    (math.inf, "json"),
    (1 + 2j, "json"),
    ("", "str"),
    ("ü🜁\0\n", "str"),
    ("\ud800", "str"),
    ("x" * 3_000_000, "str"),
    (b"", "bytes"),
    (bytes(range(256)) * 100, "bytes"),
    (bytearray(b"ab"), "bytearray"),
    ([], "json"),
    ((), "json"),
    ({}, "json"),
    (set(), "json"),
    (frozenset({"a"}), "json"),
    ({"a": (1, [2, {3}]), 4: None, (5, 6): "x", None: b"y"}, "json"),
    ([True, 1, 1.0], "json"),
    (range(1, 10, 3), "json"),
    (slice(1, None), "json"),
    (..., "json"),
    (datetime.datetime(2026, 11, 20, 1, 2, 3, 4, tzinfo=datetime.UTC), "json"),
    (datetime.date(1, 1, 1), "json"),
    (datetime.timedelta(days=-1, microseconds=1), "json"),
    (decimal.Decimal("1.50"), "json"),
    (fractions.Fraction(1, 3), "json"),
    (uuid.UUID(int=7), "json"),
    (pathlib.PurePosixPath("/a/b"), "json"),
    (OrderedDict(b=1, a=2), "json"),
    (defaultdict(list, a=[1]), "json"),
    (Counter("abca"), "json"),
    (deque([1, 2], maxlen=5), "json"),
    (list(range(50_000)), "json"),
    ({f"k{i}": {"n": i, "t": (i, str(i))} for i in range(5_000)}, "json"),
]


def identical(a, b):
    """Equal, and of the same types all the way down."""
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(map(repr, a)) == list(map(repr, b))
        for left, right in zip(a.values(), b.values(), strict=True):
            identical(left, right)
    elif isinstance(a, list | tuple | deque):
        assert len(a) == len(b)
        for left, right in zip(a, b, strict=True):
            identical(left, right)
    else:
        assert a == b
        assert repr(a) == repr(b) or isinstance(a, set | frozenset)


@pytest.mark.parametrize(("obj", "format"), BUILTINS, ids=lambda value: ascii(value)[:30])
async def test_builtins(store, obj, format):
    location = await store.save(obj, "a")
    info = await store.info("a")
    assert (info.format, info.safe) == (format, True)
    assert info.type == f"{type(obj).__module__}.{type(obj).__qualname__}"
    identical(await store.load(location, type(obj)), obj)


@pytest.mark.parametrize("obj", [value for value, _ in BUILTINS if type(value) not in (bytes, bytearray)][::4], ids=lambda v: ascii(v)[:20])
async def test_builtins_by_pickle(store, obj):
    await store.save(obj, "a", format="pickle")
    identical(await store.load("a"), obj)


async def test_shared_and_recursive_structures(store):
    shared = [1]
    obj: list[object] = [shared, shared]
    obj.append(obj)
    await store.save(obj, "a")
    loaded = await store.load("a")
    assert loaded[0] is loaded[1]
    assert loaded[2] is loaded


@pytest.mark.parametrize("depth", [100, 3_000])
async def test_deep_nesting_is_held_or_refused_clearly(store, objects, depth):
    obj: object = 1
    for _ in range(depth):
        obj = [obj]
    try:
        await store.save(obj, "a")
    except EncodeError:
        assert depth > 1000
        assert keys(objects) == []
        return
    loaded = await store.load("a")
    while isinstance(loaded, list):
        (loaded,) = loaded
        depth -= 1
    assert (loaded, depth) == (1, 0)


# Instances


@pytest.mark.parametrize(
    ("obj", "format"),
    [
        (Settings("a", {"x": 0.5}, Settings("b")), "dataclass"),
        (Point(1, 2.5), "namedtuple"),
        (Color.RED, "enum"),
        (Custom([1, 2]), "pickle"),
        (Settings("a", {}, Custom(1)), "pickle"),
        ([Custom(1), {"a": Custom(2)}], "pickle"),
        (math.sin, "pickle"),
        (ValueError, "pickle"),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_instances(store, obj, format):
    await store.save(obj, "a")
    assert (await store.info("a")).format == format
    loaded = await store.load("a")
    assert type(loaded) is type(obj)
    assert loaded == obj


async def test_subclass_with_state_is_not_written_as_its_base(store):
    obj = Dict(a=1)
    obj.extra = [2]
    await store.save(obj, "a")
    loaded = await store.load("a", Dict)
    assert (loaded, loaded.extra) == ({"a": 1}, [2])


async def test_function_is_loaded_by_value(store):
    factor = 3
    await store.save(lambda x: x * factor, "a")
    assert (await store.load("a"))(7) == 21


# numpy


ARRAYS = [
    np.arange(0),
    np.float64([1.5, np.nan, -0.0]),
    np.arange(24, dtype=">i4").reshape(2, 3, 4),
    np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    np.arange(100)[::-3],
    np.array(5),
    np.array([["a", "bcd"]]),
    np.array(["2026-11-20", "NaT"], "M8[D]"),
    np.zeros(3, [("a", "i2"), ("b", "f8", 2)]),
    np.array([True, False]),
    np.random.default_rng(0).random((300, 500)),
    np.arange(3_000_000, dtype=np.uint8),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("verify", [True, False])
async def test_arrays(store, array, mmap, verify):
    await store.save(array, "a")
    assert (await store.info("a")).safe is True
    loaded = await store.load("a", np.ndarray, mmap=mmap, verify=verify)
    assert (loaded.dtype, loaded.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(loaded, array)
    if not mmap and loaded.size:
        assert loaded.flags.writeable


async def test_mapped_array_is_read_only_and_survives_an_overwrite(root):
    store = LocalArtifactStore(root, durability="process")
    array = np.arange(1_000_000)
    await store.save(array, "a")
    mapped = await store.load("a", mmap=True)
    assert not mapped.flags.writeable
    await store.save(np.zeros(10), "a")
    await store.delete("a")
    np.testing.assert_array_equal(mapped, array)


async def test_loaded_array_is_private(store):
    await store.save(np.zeros(100_000), "a")
    first = await store.load("a")
    first[:] = 1
    assert (await store.load("a")).sum() == 0


async def test_object_with_large_buffers(store):
    array = np.random.default_rng(1).random(300_000)
    obj = {"model": Custom(array), "again": array, "label": "x"}
    await store.save(obj, "a")
    assert (await store.info("a")).format == "pickle"
    loaded = await store.load("a")
    np.testing.assert_array_equal(loaded["model"].value, array)
    assert loaded["model"].value is loaded["again"]


# pandas


def frame(rows=5):
    return pd.DataFrame(
        {
            "n": pd.array([1, None, 3, 4, 5][:rows], "Int64"),
            "x": [0.5, float("nan"), 2, 3, 4][:rows],
            "s": ["a", None, "ü", "", "e"][:rows],
            "t": pd.date_range("2026-11-20", periods=rows, tz="Europe/Berlin"),
            "c": pd.Categorical(list("abcab")[:rows]),
        },
        index=pd.Index([10 * i for i in range(rows)], name="id"),
    )


@pytest.mark.parametrize("obj", [frame(), frame(0), frame().set_index("c", append=True), pd.DataFrame(np.zeros((1000, 60)))])
async def test_frames(store, obj):
    await store.save(obj, "a")
    loaded = await store.load("a", pd.DataFrame)
    pd.testing.assert_frame_equal(loaded, obj)
    assert (await store.info("a")).type.endswith("DataFrame")


@pytest.mark.parametrize("obj", [frame()["x"], frame()["t"], pd.Series([], dtype=float), pd.Series([1, 2], name=("a", 1))])
async def test_series(store, obj):
    await store.save(obj, "a")
    loaded = await store.load("a", pd.Series)
    pd.testing.assert_series_equal(loaded, obj)
    assert loaded.name == obj.name


async def test_only_some_columns(store):
    await store.save(pd.DataFrame({"a": range(5), "b": range(5), "c": range(5)}), "f")
    assert list((await store.load("f", columns=["c", "a"])).columns) in (["c", "a"], ["a", "c"])
    with pytest.raises(DecodeError, match=r"^'f': there is no column 'zz' to be chosen by name; there are 'a', 'b', 'c'$"):
        await store.load("f", columns=["zz"])


# Files and folders


async def test_file_is_saved_by_its_content(store, tmp_path):
    path = tmp_path / "report.html"
    path.write_bytes(BIG)
    await store.save(path, "a", format="file")
    path.write_bytes(b"changed")
    loaded = await store.load("a")
    assert os.path.basename(loaded) == "report.html"
    assert tree(pathlib.Path(loaded).parent)["report.html"] == BIG


async def test_folder_is_saved_with_everything_in_it(store, tmp_path):
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "weights.bin").write_bytes(BIG)
    (folder / "sub" / "config.json").write_bytes(b"{}")
    (folder / "empty").write_bytes(b"")
    await store.save(folder, "a", format="folder")
    found = tree(pathlib.Path(await store.load("a")))
    assert found == {"weights.bin": BIG, "sub": None, os.path.join("sub", "config.json"): b"{}", "empty": b""}


async def test_path_without_a_format_is_a_path(store):
    await store.save(pathlib.Path("/some/where"), "a")
    assert await store.load("a") == pathlib.Path("/some/where")


async def test_file_that_is_missing_cannot_be_saved(store, objects, tmp_path):
    with pytest.raises(EncodeError):
        await store.save(tmp_path / "missing", "a", format="file")
    assert keys(objects) == []


async def test_as_type_takes_base_classes_and_unions(store):
    await store.save(True, "a")
    assert await store.load("a", int) is True
    assert await store.load("a", object) is True
    with pytest.raises(DecodeError, match="not a str"):
        await store.load("a", str)
