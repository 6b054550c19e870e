"""Typed JSON: exact for everything it takes, declined with the place for everything else, and hard to fool."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import fractions
import functools
import gc
import io
import json
import math
import pathlib
import struct
import sys
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import load, roundtrip, written

from aioartifacts.errors import UntrustedArtifactError
from aioartifacts.materializers import typed_json
from aioartifacts.materializers.base import Declined, Producer
from aioartifacts.materializers.typed_json import JsonMaterializer
from aioartifacts.types import MIB

JSON = JsonMaterializer()
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
TEN_YEARS = dt.timedelta(days=3653, microseconds=1)

HARD: list[Any] = [
    None,
    True,
    0,
    2**63,
    2**64 - 1,
    2**64,
    -(2**63) - 1,
    10**5000,
    -0.0,
    5e-324,
    1.7976931348623157e308,
    1e16,
    0.1 + 0.2,
    math.inf,
    -math.inf,
    "",
    "\ud800 alone",
    "\x00\u2028\U0001f389",
    [],
    {},
    (),
    set(),
    frozenset(),
    (1, (2, [3, (4,)])),
    [(1, 2), [1, 2]],
    {"$": "tuple", "v": [1]},
    [{"$": 1}, (1,)],
    {"\ud800": 1},
    {1: "int", "1": "str", 1.5: "float", None: None, (1, 2): [], frozenset([1]): {}, b"x": 0},
    {True: 1},
    {"z": 1, "a": 2, "": 3},
    {1, "1", (1, "1"), frozenset({frozenset()})},
    frozenset([1, 2.5, None]),
    1j,
    complex(-0.0, math.inf),
    b"",
    bytes(range(256)),
    bytearray(b"ab"),
    dt.datetime(1, 1, 1),  # naive on purpose
    dt.datetime(2024, 10, 27, 2, 30, 0, 1, fold=1, tzinfo=BERLIN),
    dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC),
    dt.date(2024, 2, 29),
    dt.time(23, 59, 59, 999999, fold=1, tzinfo=dt.timezone(dt.timedelta(seconds=-3601), "odd \ud800")),
    dt.timedelta(-1, 1, 1),
    TEN_YEARS,
    dt.timezone(dt.timedelta(hours=2)),
    BERLIN,
    decimal.Decimal("1.10"),
    decimal.Decimal("-0E+5"),
    decimal.Decimal("-Infinity"),
    decimal.Decimal("9" * 100),
    fractions.Fraction(-(10**50), 7),
    uuid.UUID(int=5),
    uuid.uuid1(),
    pathlib.PurePosixPath("a/../b"),
    pathlib.PureWindowsPath("c:\\x"),
    pathlib.PureWindowsPath("./c:", "x"),
    pathlib.Path("/x/\udc80"),
    range(10, -(2**70), -3),
    slice(None, 2**80, -1),
    ...,
    collections.OrderedDict([("b", 1), ("a", (2,))]),
    collections.defaultdict(list, {1: [2]}),
    collections.defaultdict(None, a=1),
    collections.Counter("abracadabra"),
    collections.deque([1, (2,)], 5),
    collections.deque(),
]


def same(a: Any, b: Any) -> bool:
    """Equal, of the same types and in the same order, all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        mine, other = list(a.items()), list(b.items())
        return same(mine, other) and getattr(a, "default_factory", 0) is getattr(b, "default_factory", 0)
    if isinstance(a, (list, tuple, collections.deque)):
        return len(a) == len(b) and all(map(same, a, b)) and getattr(a, "maxlen", 0) == getattr(b, "maxlen", 0)
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b)
    if isinstance(a, complex):
        return same(a.real, b.real) and same(a.imag, b.imag)
    if isinstance(a, (dt.datetime, dt.time)) and (a.fold, a.tzinfo) != (b.fold, b.tzinfo):
        return False
    if isinstance(a, decimal.Decimal):
        return a.as_tuple() == b.as_tuple()
    return bool(a == b)


@pytest.mark.parametrize("value", HARD, ids=lambda value: type(value).__name__)
def test_every_hard_value_comes_back_exactly(value: Any) -> None:
    assert same(roundtrip(JSON, value, trusted=False), value)
    assert same(roundtrip(JSON, [value, {"deep": value}], trusted=False), [value, {"deep": value}])


def test_nans_keep_sign_and_payload() -> None:
    for bits in (0x7FF8000000000000, 0xFFF8000000000000, 0x7FF800000000BEEF):
        value = struct.unpack(">d", bits.to_bytes(8))[0]
        assert struct.pack(">d", roundtrip(JSON, [value])[0]) == struct.pack(">d", value)


def test_a_path_that_looks_like_a_drive_is_none() -> None:
    for text in ("./c:", "./c:x/y", "./c:/d:"):
        path = pathlib.PureWindowsPath(text)
        back = roundtrip(JSON, [path])[0]
        assert (back.drive, back.root, back.parts) == (path.drive, path.root, path.parts)


def test_a_signalling_nan_comes_back() -> None:
    value = decimal.Decimal("-sNaN123")
    assert roundtrip(JSON, value).as_tuple() == value.as_tuple()


def test_floats_are_exact_through_plain_json() -> None:
    values = [struct.unpack("d", struct.pack("Q", bits * 0x9E3779B97F4A7C15 & 0xFFEFFFFFFFFFFFFF))[0] for bits in range(2000)]
    values = [value for value in values if math.isfinite(value)]
    dump = JSON.dump(values)
    assert not dump.meta
    assert same(load(JSON, written(dump)), values)


PLAIN = {"a": 1, "b": [1.5, None, True, {"c": "ü", "$": 1}], "n": {"x": -5, "y": 2**64 - 1}}


def test_a_plain_document_is_plain_json() -> None:
    dump = JSON.dump(PLAIN)
    assert not dump.meta
    assert json.loads(written(dump)["data.json"]) == PLAIN


hashable = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | st.dates() | st.uuids(),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)
anything = st.recursive(
    hashable | st.decimals(allow_nan=False) | st.fractions() | st.timedeltas() | st.datetimes() | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(hashable, inner, max_size=4)
        | st.dictionaries(st.text(), inner, max_size=4)
        | st.lists(inner).map(tuple)
        | st.sets(hashable, max_size=4)
    ),
    max_leaves=20,
)


@given(anything)
@settings(max_examples=150, deadline=None, database=None)
def test_any_value_comes_back_exactly(value: Any) -> None:
    assert same(roundtrip(JSON, value, trusted=False), value)


LARGE: list[Any] = [
    list(range(60_000)),
    [0.5 * i for i in range(20_000)],
    [1.5, (1, 2)] * 5_000,
    {str(i): {"a": i, "b": [1, 2, str(i)]} for i in range(5_000)},
    {i: (i, str(i)) for i in range(8_000)},
    set(range(20_000)),
    "é\ud800" * 100_000,
    b"ab" * 150_001,
    bytearray(b"q" * 300_000),
    {"x" * 100_000: 1, "b": list(range(10_000)), ("a", tuple(range(10_000))): {(1, 2): list(range(9_000))}},
    ["y" * 60_000] * 20,
    {f"{i}" + "x" * 5_000: 1 for i in range(50)},
    collections.deque(range(20_000), 30_000),
    [2**70] * 10_000,
    [[1, 2, 3, 4.5, None, "a"] for _ in range(5_000)],
    [*range(10_000), math.nan, "\ud800", 2**65, *range(10_000)][:10_000],
    collections.defaultdict(int, {i: i for i in range(10_000)}),
]


@pytest.mark.parametrize("value", LARGE, ids=lambda value: f"{type(value).__name__}-{len(value)}")
def test_a_large_value_is_valid_json_in_short_lines_and_comes_back(value: Any) -> None:
    dump = JSON.dump(value)
    assert dump.meta["lines"] is True
    data = written(dump)
    json.loads(data["data.json"])
    assert max(map(len, data["data.json"].splitlines())) < 500_000
    assert same(load(JSON, data, dump.meta, trusted=False), value)


def small(number: int) -> Any:
    return {"n": number, "x": [number / 3, f"text {number}", None], "t": (number, "y", (True,))}


class Point(NamedTuple):
    x: int
    y: int


SPOILERS: dict[str, Callable[[], Any]] = {
    "NaN": lambda: math.nan,
    "huge int": lambda: [2**64],
    "surrogate": lambda: {"a": "\ud800"},
    "surrogate in a name": lambda: {"\udfff": 1},
    "$": lambda: {"a": {"$": "tuple"}},
    "int name": lambda: ({1: 2},),
    "bytes": lambda: (b"x", [b"y"]),
    "set in a tuple": lambda: ({1, 2},),
    "subclass of tuple": lambda: [Point(1, 2)],
    "deep": lambda: functools.reduce(lambda inner, _: (inner,), range(100), 1),
    "large": lambda: [(i, i) for i in range(20_000)],
    "long text": lambda: ["x" * 200_000, ("y" * 70_000,)],
    "long names": lambda: {f"{i}" + "n" * 9_000: (i,) for i in range(30)},
}


@pytest.mark.parametrize("spoiler", SPOILERS)
@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("tuples", [False, True])
def test_something_odd_among_thousands_of_plain_ones(spoiler: str, named: bool, tuples: bool) -> None:
    values = [small(i) if tuples else small(i) | {"t": i} for i in range(9_000)]
    values[5_000:5_000] = [SPOILERS[spoiler](), small(0), SPOILERS[spoiler]()]
    value: Any = {f"name {i}": v for i, v in enumerate(values)} if named else values
    dump = JSON.dump(value)
    data = written(dump)
    json.loads(data["data.json"])
    assert max(map(len, data["data.json"].splitlines())) < 500_000
    assert same(load(JSON, data, dump.meta), value)


@pytest.mark.parametrize("tuples", [False, True])
def test_something_shared_among_thousands_of_plain_ones(tuples: bool) -> None:
    value: Any = [small(i) if tuples else small(i) | {"t": i} for i in range(9_000)]
    shared = value[10]
    value[5_000] = shared["x"]
    value[8_000] = (shared,) if tuples else [shared]
    back = roundtrip(JSON, value)
    assert same(back, value)
    assert back[5_000] is back[10]["x"]
    assert back[8_000][0] is back[10]


def test_a_very_large_value_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typed_json, "HELD_MAX", MIB)
    value = ["x" * 1000 + str(i) for i in range(MIB // 1000)]
    body = JSON.dump(value).parts[0].body
    assert body.size is not None
    assert body.size > MIB
    assert type(body).__name__ == "Producer"
    assert roundtrip(JSON, value) == value


NESTS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "list": (lambda inner: [inner], lambda outer: outer[0]),
    "dict": (lambda inner: {"a": inner}, lambda outer: outer["a"]),
    "tuple": (lambda inner: (inner,), lambda outer: outer[0]),
    "pairs": (lambda inner: {1: inner}, lambda outer: outer[1]),
    "middle": (lambda inner: [1, inner, (2,)], lambda outer: outer[1]),
    "deque": (lambda inner: collections.deque([inner]), lambda outer: outer[0]),
}


@pytest.mark.parametrize("depth", [31, 33, 3_000, 30_000])
@pytest.mark.parametrize("kind", ["list", "dict", "tuple", "pairs", "middle", "deque"])
def test_depth_is_no_limit(kind: str, depth: int) -> None:
    wrap, unwrap = NESTS[kind]
    if depth == 30_000 and kind != "list":
        depth = 5_000
    value: Any = 0
    for _ in range(depth):
        value = wrap(value)
    back = roundtrip(JSON, value, trusted=False)
    for _ in range(depth):
        assert type(back) is type(value)
        assert len(back) == len(value)
        back, value = unwrap(back), unwrap(value)
    assert back == value == 0


def test_what_was_shared_is_shared_again() -> None:
    shared: list[Any] = [1, {"x": 2}]
    counted = bytearray(b"x")
    back = roundtrip(JSON, {"a": shared, "b": [shared, shared[1]], "c": (counted, counted), 5: [[0]] * 9})
    assert back["a"] is back["b"][0]
    assert back["a"][1] is back["b"][1]
    assert back["c"][0] is back["c"][1]
    assert len(set(map(id, back[5]))) == 1
    assert back["a"] == shared


def test_what_a_shared_tuple_holds_is_shared_again() -> None:
    """Tuples are written out each time they turn up, but not what can change in them."""
    shared = [1]
    pair = ({"x": shared},)
    back = roundtrip(JSON, [pair, (pair, 2), [(pair, 3)]])
    assert back == [pair, (pair, 2), [(pair, 3)]]
    assert back[0][0] is back[1][0][0] is back[2][0][0][0]
    back[0][0]["x"].append(2)
    assert back[2] == [(({"x": [1, 2]},), 3)]


def test_sharing_that_doubles_at_every_level_stays_small() -> None:
    value: Any = [1]
    for _ in range(200):
        value = [value, value]
    back = roundtrip(JSON, value)
    for _ in range(200):
        assert back[0] is back[1]
        back = back[0]
    assert back == [1]


def test_a_large_shared_list_is_written_once() -> None:
    shared = list(range(20_000))
    dump = JSON.dump({"a": shared, "b": (shared,)})
    data = written(dump)
    assert len(data["data.json"]) < 150_000
    back = load(JSON, data, dump.meta)
    assert back["a"] is back["b"][0]
    assert back["a"] == shared


def cycles() -> list[Any]:
    first: list[Any] = [1]
    first.append(first)
    second: dict[str, Any] = {}
    second["a"] = {"b": [second]}
    third: list[Any] = []
    third.append((third,))
    fourth: list[Any] = []
    inner: Any = fourth
    for _ in range(3_000):
        inner = [inner]
    fourth.append(inner)
    return [first, second, third, fourth]


@pytest.mark.parametrize("index", range(4))
def test_a_cycle_is_declined(index: int) -> None:
    with pytest.raises(Declined, match="contains itself"):
        JSON.dump(cycles()[index])


def test_tuples_that_double_at_every_level_are_declined() -> None:
    value: Any = (1, 2)
    for _ in range(100):
        value = (value, value)
    with pytest.raises(Declined, match="too often"):
        JSON.dump(value)


def test_something_hashed_and_nested_without_end_is_declined() -> None:
    value: Any = frozenset()
    for _ in range(1_000):
        value = frozenset([value])
    with pytest.raises(Declined, match="nested too deeply"):
        JSON.dump(value)


class Shouting(str):
    __slots__ = ()


class Attributed(dict[str, int]):
    pass


def counter_with_attribute() -> Any:
    value = collections.Counter("a")
    value.note = 1  # type: ignore[attr-defined]
    return value


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": [1, 2, 3, object()]}, r"\$\.a\[3\]: of type object"),
        ({"b c": {5: {1: object()}}}, r"\$\['b c'\]\[5\]\[1\]: "),
        ([*range(9_999), object()], r"\$\[9999\]: "),
        ({"a": [[*range(9_999), {"x": object()}]]}, r"\$\.a\[0\]\[9999\]\.x: "),
        ({(1, object()): 1}, r"\$\[key 0\]\[1\]: "),
        ({i: i if i < 9_000 else object() for i in range(9_001)}, r"\$\[9000\]: "),
        ([Shouting("a")], r"\$\[0\]: of type test_typed_json\.Shouting"),
        (Attributed(), r"Attributed"),
        (counter_with_attribute(), r"\$: a Counter with attributes"),
        ([collections.defaultdict(lambda: 1)], r"\$\[0\]: a defaultdict"),
        ([int], "of type type"),
        ([dt.datetime(2024, 1, 1, tzinfo=type("Z", (dt.tzinfo,), {})())], r"\$\[0\]: time zone"),
        ([zoneinfo.ZoneInfo.no_cache("UTC")], "ZoneInfo"),
        ([fractions.Fraction(2 ** (1 << 18), 3)], "too many digits"),
    ],
)
def test_what_has_no_exact_form_is_declined_with_its_place(value: Any, place: str) -> None:
    with pytest.raises(Declined, match=place):
        JSON.dump(value)


def hostile() -> list[tuple[str, dict[str, Any]]]:
    tagged: dict[str, Any] = {"tagged": True}
    lines: dict[str, Any] = {"tagged": True, "lines": True}
    deep = "\n".join(['{"$":"frozenset","v":['] * 100_000) + "\n"
    nested = '{"$":"tuple","v":[' * 500 + "]}" * 500
    return [
        ("", {}),
        ("[", {}),
        ("[" * 1_000_000, {}),
        ("[" * 1_000_000, tagged),
        ("[" * 800 + "]" * 800, tagged),
        ("9" * 1_000_000, {}),
        ('{"$":"int","v":"' + "z" * 100 + '"}', tagged),
        ('{"$":"int","v":5}', tagged),
        ('{"$":"int"}', tagged),
        ('{"$":"int","v":"0x1","w":1}', tagged),
        ('{"$":5,"v":1}', tagged),
        ('{"$":"nothing","v":[]}', tagged),
        ('{"$":"__import__","v":["os"]}', tagged),
        ('{"$":"ref","v":0}', tagged),
        ('[{"$":"list","#":0,"v":[{"$":"ref","v":0}]}]', tagged),
        ('[{"$":"tuple","#":0,"v":[1]},{"$":"ref","v":0}]', tagged),
        ('{"$":"set","v":[1,1]}', tagged),
        ('{"$":"set","v":[[]]}', tagged),
        ('{"$":"dict","v":[1,2,1,3]}', tagged),
        ('{"$":"dict","v":[1]}', tagged),
        ('{"$":"dict","v":[[],1]}', tagged),
        ('{"$":"defaultdict","x":"eval","v":[]}', tagged),
        ('{"$":"deque","x":1,"v":[1,2]}', tagged),
        ('{"$":"datetime","v":[1,1,1]}', tagged),
        ('{"$":"datetime","v":[99999,1,1,0,0,0,0,0,null]}', tagged),
        ('{"$":"date","v":["1",1,1]}', tagged),
        ('{"$":"zone","v":"../../etc/passwd"}', tagged),
        ('{"$":"fraction","v":[1,0]}', tagged),
        ('{"$":"fraction","v":[{"$":"int","v":"0x' + "f" * 100_000 + '"},3]}', tagged),
        ('{"$":"complex","v":[1,{"$":"tuple","v":[]}]}', tagged),
        ('{"$":"range","v":[1,2,0]}', tagged),
        ('{"$":"bytes","v":"%%%"}', tagged),
        ('{"$":"decimal","v":"one"}', tagged),
        ('{"$":"uuid","v":"5"}', tagged),
        (nested, tagged),
        ("[\n1", lines),
        ("[\n1\n]\n2", lines),
        ("[\n1\n}", lines),
        ("]", lines),
        ("1", lines),
        ('{\n[\n1\n]\n}', lines),
        ('[\n"a":\n1\n]', lines),
        ('{\n"a":\n}', lines),
        ('{\n"a":\n"b":1\n}', lines),
        ('{"$":"tuple","v":[1,[\n]\n]}', lines),
        ('{"$":"str","v":[\n1\n]}', lines),
        ('{"$":"str","v":[\n[\n]\n]}', lines),
        ('{"$":"tuple","v":{\n"a":1\n}}', lines),
        (deep, lines),
        (deep + "]}\n" * 100_000, lines),
    ]


@pytest.mark.parametrize("index", range(len(hostile())))
def test_hostile_text_is_refused(index: int) -> None:
    text, meta = hostile()[index]
    with pytest.raises((ValueError, TypeError, KeyError, OverflowError, ArithmeticError, msgspec.MsgspecError)):
        load(JSON, {"data.json": text.encode()}, meta, trusted=False)


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_a_text_cut_short_is_refused(cut: int) -> None:
    dump = JSON.dump([{"a": (i,)} for i in range(9_000)])
    data = written(dump)["data.json"]
    with pytest.raises((ValueError, msgspec.MsgspecError)):
        load(JSON, {"data.json": data[: len(data) * cut // 60]}, dump.meta)


def test_a_huge_hexadecimal_int_is_read_in_linear_time() -> None:
    text = '{"$":"int","v":"0x' + "f" * 4_000_000 + '"}'
    assert load(JSON, {"data.json": text.encode()}, {"tagged": True}).bit_length() == 16_000_000


def test_the_collector_rests_while_a_large_object_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typed_json, "HELD_MAX", MIB)
    (part,) = JsonMaterializer().dump({f"key {n}": {"n": n, "text": "x" * 100} for n in range(40_000)}).parts
    assert isinstance(part.body, Producer)
    rested = []

    class Sink:
        def write(self, data: Any) -> int:
            rested.append(not gc.isenabled())
            return len(data)

    part.body.write_to(Sink())
    assert all(rested)
    assert len(rested) > 1
    assert gc.isenabled()


def test_decoding_leaves_the_garbage_collector_as_it_was() -> None:

    assert gc.isenabled()
    dump = JSON.dump(list(range(50_000)))
    data = written(dump)
    load(JSON, data, dump.meta)
    assert gc.isenabled()
    with pytest.raises(ValueError, match="end is missing"):
        load(JSON, {"data.json": data["data.json"][:10_000].rpartition(b"\n")[0]}, dump.meta)
    assert gc.isenabled()


def test_a_module_is_not_imported_for_untrusted_text() -> None:
    assert "antigravity" not in sys.modules
    text = b'{"$":"dataclass","c":"antigravity:Plain","v":{}}'
    with pytest.raises(UntrustedArtifactError, match="antigravity"):
        load(JSON, {"data.json": text}, {"tagged": True}, trusted=False)
    assert "antigravity" not in sys.modules


def test_two_uploads_of_one_body_do_not_disturb_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typed_json, "HELD_MAX", MIB)
    value = [(i, "x" * 1000) for i in range(MIB // 1000)]
    body = JSON.dump(value).parts[0].body
    outer, inner = io.BytesIO(), io.BytesIO()

    class Twice:
        started = False

        def write(self, data: Any, /) -> None:
            outer.write(data)
            if not self.started:
                self.started = True
                body.write_to(inner)

    body.write_to(Twice())
    assert outer.getvalue() == inner.getvalue()
