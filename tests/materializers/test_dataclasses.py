"""Instances that are their fields: exact, by import path, and without running code of the class."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import shapes
from parts import load, roundtrip, written
from shapes import Color, Frozen, Level, Loud, Plain, Point, ran

from aioartifacts.errors import DecodeError, UntrustedArtifactError
from aioartifacts.materializers.base import Declined, Materializer
from aioartifacts.materializers.dataclasses import (
    AttrsMaterializer,
    DataclassMaterializer,
    EnumMaterializer,
    NamedTupleMaterializer,
    StructMaterializer,
)
from aioartifacts.materializers.typed_json import JsonMaterializer

DATA = DataclassMaterializer()


def late() -> shapes.Late:
    made = shapes.Late()
    made.value = 3
    return made


EXACT: list[tuple[Materializer, Callable[[], Any]]] = [
    (DATA, lambda: Plain(1, (2, [3.5, {4: b"x"}]))),
    (DATA, lambda: Plain(1, Plain(2, Frozen(3, Point(1, Color.RED))))),
    (DATA, lambda: Frozen(1, {"a": frozenset([Frozen(2)])})),
    (DATA, lambda: shapes.Boxed(5)),
    (DATA, lambda: shapes.Child(1, 2, 0.5)),
    (DATA, lambda: shapes.Bare(1)),
    (DATA, lambda: shapes.Abstract(1)),
    (DATA, lambda: shapes.Outer.Inner(1)),
    (DATA, late),
    (DATA, lambda: Plain(1, list(range(20_000)))),
    (NamedTupleMaterializer(), lambda: Point(1, (2, Point(3, 4)))),
    (NamedTupleMaterializer(), lambda: shapes.Old([1], {2})),
    (AttrsMaterializer(), lambda: shapes.Defined(1, [(2,)])),
    (AttrsMaterializer(), lambda: shapes.FrozenDefined(1)),
    (AttrsMaterializer(), lambda: shapes.DictDefined(1)),
    (StructMaterializer(), lambda: shapes.Struct(1, (2, shapes.FrozenStruct(a=3)))),
    (EnumMaterializer(), lambda: Color.BLUE),
    (EnumMaterializer(), lambda: Level.LOW),
    (EnumMaterializer(), lambda: shapes.Name.ME),
    (EnumMaterializer(), lambda: shapes.Access.READ),
]


@pytest.mark.parametrize("index", range(len(EXACT)))
@pytest.mark.parametrize("trusted", [False, True])
def test_an_instance_comes_back_exactly(index: int, trusted: bool) -> None:
    materializer, make = EXACT[index]
    value = make()
    assert materializer.accepts(value)
    back = roundtrip(materializer, value, trusted=trusted)
    assert type(back) is type(value)
    assert back == value
    assert repr(back) == repr(value)


def test_members_come_back_as_themselves() -> None:
    back = roundtrip(JsonMaterializer(), {Color.RED: [Color.RED, Level.LOW], "s": {Level.LOW}})
    assert back == {Color.RED: [Color.RED, Level.LOW], "s": {Level.LOW}}
    assert back[Color.RED][1] is Level.LOW


def test_no_code_of_the_class_runs() -> None:
    value = Loud(1, 2)
    dump = DATA.dump(value)
    data = written(dump)
    ran.clear()
    back = load(DATA, data, dump.meta, trusted=True)
    assert ran == []
    assert back == value
    assert back.total == 3


def test_what_is_shared_between_fields_is_shared_again() -> None:
    inner = Plain(1)
    back = roundtrip(DATA, Plain(0, [inner, inner]))
    assert back.b[0] is back.b[1]


def test_a_field_that_was_never_set_stays_so() -> None:
    assert not hasattr(roundtrip(DATA, shapes.Late()), "value")


@dataclass
class Here:
    a: int


def with_state() -> Any:
    value = Plain(1)
    value.extra = 2  # type: ignore[attr-defined]
    return value


def local() -> Any:
    @dataclass
    class Local:
        a: int

    return Local(1)


def stateful() -> Any:
    value = shapes.Stateful(1)
    value.note = 1
    return value


def of_main() -> Any:
    cls = dataclass(type("Main", (), {"__annotations__": {"a": int}, "__module__": "__main__"}))
    return cls(1)


def shadowed() -> Any:
    cls = dataclass(type("Here", (), {"__annotations__": {"a": int}, "__module__": __name__}))
    return cls(1)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (with_state, "state beyond its fields: 'extra'"),
        (local, "cannot import"),
        (of_main, "cannot import"),
        (shadowed, "leads to something else"),
        (lambda: shapes.Closing("x"), "__del__"),
        (lambda: shapes.Pickles(1), "__getstate__"),
        (lambda: shapes.ListLike(1), "ListLike|state of its own"),
        (lambda: shapes.Guarded(1), "property"),
        (lambda: Plain(1, [object()]), r"\$\.b\[0\]: of type object"),
    ],
)
def test_a_class_that_is_more_than_its_fields_is_declined(make: Callable[[], Any], reason: str) -> None:
    with pytest.raises(Declined, match=reason):
        DATA.dump(make())


@pytest.mark.parametrize(
    ("materializer", "make"),
    [
        (NamedTupleMaterializer(), stateful),
        (StructMaterializer(), lambda: shapes.LoudStruct(1)),
        (EnumMaterializer(), lambda: shapes.Access.READ | shapes.Access.WRITE),
        (DATA, lambda: Point(1)),
        (DATA, lambda: 5),
        (DATA, lambda: Plain),
    ],
)
def test_other_kinds_decline_too(materializer: Materializer, make: Callable[[], Any]) -> None:
    with pytest.raises(Declined):
        materializer.dump(make())


def text(kind: str, path: str, value: str) -> dict[str, bytes]:
    return {"data.json": f'{{"$":"{kind}","c":"{path}","v":{value}}}'.encode()}


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("dataclass", "shapes:Closing", '{"path":"x"}'),
        ("dataclass", "shapes:Guarded", '{"a":1}'),
        ("dataclass", "shapes:Pickles", '{"a":1}'),
        ("dataclass", "shapes:Color", "{}"),
        ("dataclass", "shapes:ran", "{}"),
        ("dataclass", "shapes:nothing", "{}"),
        ("dataclass", "subprocess:Popen", '{"args":"x"}'),
        ("dataclass", "builtins:eval", "{}"),
        ("dataclass", "shapes", "{}"),
        ("dataclass", "shapes:Plain.__init__", "{}"),
        ("dataclass", "shapes:Plain", '{"other":1}'),
        ("dataclass", "shapes:Plain", "[1]"),
        ("dataclass", "shapes:Plain", '{"__class__":1}'),
        ("namedtuple", "shapes:Point", "[1]"),
        ("namedtuple", "shapes:Plain", "[1,2]"),
        ("enum", "shapes:Color", '"_member_map_"'),
        ("enum", "shapes:Color", "1"),
        ("msgspec", "shapes:LoudStruct", '{"a":1}'),
        ("msgspec", "shapes:Struct", '{"zzz":1}'),
    ],
)
@pytest.mark.parametrize("trusted", [False, True])
def test_a_hostile_record_is_refused(kind: str, path: str, value: str, trusted: bool) -> None:
    ran.clear()
    with pytest.raises((ValueError, TypeError, DecodeError)):
        load(JsonMaterializer(), text(kind, path, value), {"tagged": True}, trusted=trusted)
    assert ran == []


def test_hashing_by_the_class_needs_trust() -> None:
    data = {"data.json": b'{"$":"set","v":[{"$":"dataclass","c":"shapes:Hashing","v":{"a":1}}]}'}
    ran.clear()
    with pytest.raises(ValueError, match="hashing"):
        load(JsonMaterializer(), data, {"tagged": True}, trusted=False)
    assert ran == []
    assert len(load(JsonMaterializer(), data, {"tagged": True}, trusted=True)) == 1


def test_a_module_not_imported_needs_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "unseen_module.py").write_text(
        "from dataclasses import dataclass\n@dataclass\nclass Thing:\n    a: int\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    data = text("dataclass", "unseen_module:Thing", '{"a":1}')
    with pytest.raises(UntrustedArtifactError, match="Import unseen_module first"):
        load(DATA, data, {"tagged": True}, trusted=False)
    assert "unseen_module" not in sys.modules
    assert load(DATA, data, {"tagged": True}, trusted=True).a == 1
    monkeypatch.delitem(sys.modules, "unseen_module")


def test_a_modules_getattr_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lazy_module.py").write_text("def __getattr__(name):\n    raise SystemExit(name)\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match="not a dataclass"):
        load(DATA, text("dataclass", "lazy_module:Thing", "{}"), {"tagged": True}, trusted=True)
    monkeypatch.delitem(sys.modules, "lazy_module")


def test_a_record_of_another_kind_is_refused() -> None:
    with pytest.raises(DecodeError, match="not of the kind dataclass"):
        load(DATA, {"data.json": b"5"}, {"tagged": True})


def test_another_process_reads_it(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_bytes(written(DATA.dump(Plain(1, Point(2, Color.BLUE))))["data.json"])
    script = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[2])\n"
        "from parts import load; from aioartifacts.materializers.dataclasses import DataclassMaterializer\n"
        "print(load(DataclassMaterializer(), {'data.json': pathlib.Path(sys.argv[1]).read_bytes()}, {'tagged': True}))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "data.json"), str(Path(__file__).parent)]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert printed.strip() == repr(Plain(1, Point(2, Color.BLUE)))


def test_a_struct_with_a_field_deleted_is_declined() -> None:
    struct = shapes.Struct(1)
    del struct.b
    with pytest.raises(Declined, match=r"^\$: shapes:Struct: its field 'b' is not set"):
        StructMaterializer().dump(struct)


def test_names_of_attributes_that_are_no_plain_str_are_declined() -> None:
    class Name(str):
        __slots__ = ()

    plain = Plain(1, 2)
    vars(plain).clear()
    vars(plain).update({Name("a"): 1, "b": 2})
    with pytest.raises(Declined, match="state beyond its fields"):
        DATA.dump(plain)
