"""The user's metadata comes back as it was given, or is refused before anything is written."""

from __future__ import annotations

import datetime
import decimal
import enum
import math
import types
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import pytest
from opened import BIG, document, keys

from aioartifacts import MetadataError

pytestmark = pytest.mark.asyncio


def nested(depth, leaf=None):
    value = leaf
    for _ in range(depth):
        value = [value]
    return value


@dataclass
class Point:
    x: int


class Color(enum.Enum):
    RED = "red"


class Loud(dict):
    pass


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"": ""},
        {"a": None, "b": True, "c": [1, [2, {"d": []}]]},
        {"n": 2**63, "m": -(2**63), "k": 2**64 - 1},
        {"n": 2**64, "m": -(2**63) - 1, "k": 10**400},
        {"f": 0.1, "g": 1e308, "h": 5e-324, "whole": 1.0},
        {"ключ": "значение", "emoji": "🜁", "nul": "a\0b", "quote": '"\\\n'},
        {"checksum": "x", "aioartifacts": 7, "signature": "y"},
        {"deep": nested(300)},
        {"long": "x" * 100_000},
        {f"k{i}": i for i in range(1000)},
    ],
    ids=lambda value: str(value)[:30],
)
@pytest.mark.parametrize("payload", [1, BIG])
async def test_comes_back_as_it_was(store, metadata, payload):
    await store.save(payload, "a", metadata)
    assert await store.get_metadata("a") == metadata
    assert (await store.info("a")).metadata == metadata
    assert await store.load("a") == payload


async def test_types_of_numbers_are_kept(store):
    await store.save(1, "a", {"int": 1, "float": 1.0, "true": True, "minus": -0.0})
    found = await store.get_metadata("a")
    assert {key: type(value) for key, value in found.items()} == {"int": int, "float": float, "true": bool, "minus": float}
    assert math.copysign(1, found["minus"]) == -1


async def test_none_is_empty(store):
    await store.save(1, "a", None)
    assert await store.get_metadata("a") == {}


async def test_any_mapping_will_do(store):
    await store.save(1, "a", types.MappingProxyType({"n": 1}))
    assert await store.get_metadata("a") == {"n": 1}
    await store.save(1, "a", OrderedDict(b=1, a=2))
    assert list(await store.get_metadata("a")) == ["b", "a"]


async def test_later_changes_do_not_matter(store):
    metadata = {"list": [1]}
    await store.save(1, "a", metadata)
    metadata["list"].append(2)
    (await store.get_metadata("a"))["list"].append(3)
    assert await store.get_metadata("a") == {"list": [1]}


async def test_is_readable_in_the_record(store, objects):
    await store.save(1, "a", {"who": "me"})
    assert document(objects, "a")["metadata"] == {"who": "me"}


@pytest.mark.parametrize(
    "metadata",
    [
        ["n"],
        "n",
        7,
        {1: "a"},
        {None: "a"},
        {("a",): 1},
        {"a": {1: 2}},
        {"a": (1, 2)},
        {"a": {1, 2}},
        {"a": math.nan},
        {"a": math.inf},
        {"a": [0, [-math.inf]]},
        {"a": 10**5000},
        {"a": b"bytes"},
        {"a": bytearray(b"x")},
        {"a": 1j},
        {"a": object()},
        {"a": print},
        {"a": datetime.datetime(2026, 11, 20)},
        {"a": datetime.date(2026, 11, 20)},
        {"a": decimal.Decimal("1.5")},
        {"a": np.arange(3)},
        {"a": np.int64(3)},
        {"a": Point(1)},
        {"a": Color.RED},
        {"a": "\ud800"},
        {"\ud800": 1},
        {"a": types.MappingProxyType({})},
        {"a": nested(3000)},
        {"a": nested(300, (1,))},
        {"a": nested(300, math.nan)},
        {"a": range(3)},
        {"a": (i for i in range(3))},
    ],
)
@pytest.mark.parametrize("payload", [1, BIG], ids=["small", "big"])
async def test_what_json_cannot_hold_is_refused(store, objects, metadata, payload):
    with pytest.raises(MetadataError, match="'x/y'") as caught:
        await store.save(payload, "x/y", metadata)
    assert (caught.value.path, caught.value.operation) == ("x/y", "save")
    assert isinstance(caught.value, ValueError)
    assert len(str(caught.value)) < 1000
    assert keys(objects) == []


async def test_what_contains_itself_is_refused(store, objects):
    metadata: dict[str, object] = {}
    metadata["self"] = metadata
    with pytest.raises(MetadataError):
        await store.save(1, "a", metadata)
    assert keys(objects) == []


async def test_error_says_where(store):
    with pytest.raises(MetadataError, match=r"\$\.a\.b\[1\] is tuple and would become list"):
        await store.save(1, "p", {"a": {"b": [0, (1,)]}})
    with pytest.raises(MetadataError, match=r"\$\.a\[0\] is float and would become NoneType"):
        await store.save(1, "p", {"a": [math.nan]})
    with pytest.raises(MetadataError, match=r"the key 1 of \$\.a is int"):
        await store.save(1, "p", {"a": {1: 2}})


async def test_subclasses_of_dict_come_back_as_dict(store):
    await store.save(1, "a", {"x": Loud(n=1)})
    assert type((await store.get_metadata("a"))["x"]) is dict
