"""What pickling would change without a word comes back as it was, or is refused with its place and the reason."""

from __future__ import annotations

import dataclasses
import enum
import io
import pickle
import sys
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from exactly import difference
from parts import roundtrip, written

from aioartifacts.materializers.base import Buffers, Declined
from aioartifacts.materializers.numpy import ArrayViewMaterializer, MaskedArrayMaterializer
from aioartifacts.materializers.pickled import PickleMaterializer
from aioartifacts.materializers.pickling import PART

PICKLE = PickleMaterializer()


class Labelled(np.ndarray):  # type: ignore[type-arg]
    """With an attribute that it does not pickle."""

    label: str


class Two(Exception):
    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")
        self.second = second


class Slotted(Exception):
    __slots__ = ("first",)

    def __init__(self, first: int, second: int) -> None:
        self.first = first


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    first: int


VIEWS: dict[str, memoryview] = {
    "bytes": memoryview(b"abc"),
    "writable": memoryview(bytearray(b"abc")),
    "numbers": memoryview(b"abcdefgh").cast("i"),
    "numbers in two dimensions": memoryview(np.arange(6.0).reshape(2, 3)),
    "a single number": memoryview(np.array(5)),
    "nothing": memoryview(b""),
    "nothing, writable": memoryview(bytearray()).cast("d"),
    "large": memoryview(bytes(1 << 17)),
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_in_something_stays_a_view(name: str) -> None:
    view = VIEWS[name]
    (back,) = roundtrip(PICKLE, [view])
    assert type(back) is memoryview
    assert (back.format, back.shape, back.readonly, back.tobytes()) == (view.format, view.shape, view.readonly, view.tobytes())


@pytest.mark.parametrize("view", [memoryview(b"abcd")[::2], memoryview(np.zeros(2, "i4,f8"))], ids=["strided", "records"])
def test_a_view_that_cannot_be_had_again_is_refused(view: memoryview) -> None:
    with pytest.raises(TypeError, match=r"^\$\['a'\] cannot be pickled: builtins.memoryview: it is strided.*save bytes\(view\)"):
        PICKLE.dump({"a": view})


def test_an_open_file_is_refused() -> None:
    with (
        io.TextIOWrapper(io.BytesIO(b"text")) as file,
        pytest.raises(TypeError, match=r"^\$\[1\] cannot be pickled: _io.TextIOWrapper: .*save what it holds, or its Path"),
    ):
        PICKLE.dump([0, file])


def test_the_standard_output_is_that_of_whoever_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    with io.TextIOWrapper(io.BytesIO()) as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert roundtrip(PICKLE, [out])[0] is out


def masked(**options: Any) -> Any:
    made: Any = np.ma.array([1.0, 2.0], **options)
    return made


MASKED: dict[str, Any] = {
    "no mask": masked(),
    "a mask that is all false": masked(mask=[False, False]),
    "a hard mask": masked(mask=[True, False], hard_mask=True),
    "a fill value": masked(mask=[True, False], fill_value=-1),
    "another order of bytes": np.ma.array(np.arange(3, dtype=">i2"), mask=[True, False, True]),
    "fields": np.ma.array([(1, 2.0)], mask=[(True, False)], dtype=[("a", ">i2"), ("b", "f8")]),
    "objects": np.ma.array([1, "a", None], mask=[True, False, False], dtype=object),
    "a mask over a matrix": np.ma.array(np.array([[1, 2]]).view(np.matrix), mask=[[True, False]]),
}


@pytest.mark.parametrize("name", MASKED)
def test_a_masked_array_in_something_is_exact(name: str) -> None:
    array = MASKED[name]
    (back,) = roundtrip(PICKLE, [array])
    assert difference(array, back) is None
    assert (back.mask is np.ma.nomask) == (array.mask is np.ma.nomask)
    assert (back.hardmask, back._fill_value) == (array.hardmask, array._fill_value)
    assert back.baseclass is array.baseclass


def with_attribute(array: Any) -> Any:
    array.label = [1]
    return array


ATTRIBUTED: dict[str, Any] = {
    "subclass": with_attribute(np.arange(3).view(Labelled)),
    "large subclass": with_attribute(np.arange(100_000).view(Labelled)),
    "subclass in Fortran's order": with_attribute(np.asfortranarray(np.arange(6).reshape(2, 3)).view(Labelled)),
    "matrix": with_attribute(np.array([[1, 2]]).view(np.matrix)),
    "recarray": with_attribute(np.rec.array([(1, 2.0)], [("a", "i4"), ("b", "f8")])),
    "masked array": with_attribute(masked(mask=[True, False])),
    "frame": pd.DataFrame({"a": [1]}),
    "series": with_attribute(pd.Series([1], name="s")),
}
object.__setattr__(ATTRIBUTED["frame"], "label", [1])


@pytest.mark.parametrize("name", ATTRIBUTED)
def test_attributes_that_libraries_forget_are_kept(name: str) -> None:
    obj = ATTRIBUTED[name]
    back = roundtrip(PICKLE, {"a": obj})["a"]
    assert back.label == [1]
    assert difference(obj, back) is None


@pytest.mark.parametrize("name", ["matrix", "recarray"])
def test_a_view_with_an_attribute_comes_back_with_it(name: str) -> None:
    assert ArrayViewMaterializer().accepts(ATTRIBUTED[name])
    assert roundtrip(PICKLE, ATTRIBUTED[name]).label == [1]


def test_a_masked_array_with_an_attribute_is_left_to_pickle() -> None:
    with pytest.raises(Declined, match="'label'"):
        MaskedArrayMaterializer().dump(ATTRIBUTED["masked array"])


@pytest.mark.parametrize("cls", [np.ndarray, Labelled, np.matrix])
@pytest.mark.parametrize("dtype", [">f8", ">M8[D]", ">m8[25s]"])
@pytest.mark.parametrize("step", [1, 2])
def test_the_order_of_bytes_is_kept(cls: Any, dtype: str, step: int) -> None:
    array = np.arange(12).astype(dtype).reshape(3, 4)[:, ::step].view(cls)
    assert difference([array], roundtrip(PICKLE, [array])) is None


def test_a_large_masked_array_is_not_copied() -> None:
    array = masked(mask=[True, False]).repeat(50_000)
    body = PICKLE.dump([array]).parts[0].body
    assert isinstance(body, Buffers)
    assert any(np.shares_memory(np.frombuffer(buffer, "u1"), array.data) for buffer in body.buffers if buffer.nbytes)


def test_a_timestamp_keeps_its_fold() -> None:
    stamps = [pd.Timestamp(2024, 10, 27, 2, 30, fold=1), pd.Timestamp(2024, 10, 27, 2, 30).as_unit("s"), pd.Timestamp("2024", tz="UTC")]
    back = roundtrip(PICKLE, [*stamps, len])
    assert [(s, s.fold, s.unit) for s in back[:3]] == [(s, s.fold, s.unit) for s in stamps]


EXCEPTIONS: dict[str, BaseException] = {
    "other arguments than args": Two(1, 2),
    "slots": Slotted(1, 2),
    "a frozen dataclass": Frozen(first=1),
    "a state in C": OSError(2, "gone", "name"),
    "a group": ExceptionGroup("both", [Two(1, 2), ValueError(3)]),
    "text": UnicodeDecodeError("utf-8", b"a", 0, 1, "no"),
    "exit": SystemExit(3),
}


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_an_exception_comes_back_with_all_it_says(name: str) -> None:
    error = EXCEPTIONS[name]
    back = roundtrip(PICKLE, [error])[0]
    assert difference(error, back) is None
    assert (repr(back), repr(back.args), vars(back), str(back)) == (repr(error), repr(error.args), vars(error), str(error))
    assert getattr(back, "first", None) == getattr(error, "first", None)


@pytest.mark.parametrize("error", [ValueError("outer"), OSError(2, "gone"), Two(1, 2), Frozen(3)], ids=lambda error: type(error).__name__)
def test_an_exception_keeps_its_cause_and_its_context(error: Any) -> None:
    def chained() -> Any:
        try:
            try:
                raise KeyError("inner")
            except KeyError as inner:
                BaseException.__setattr__(error, "__cause__", Two(3, 4))
                BaseException.__setattr__(error, "__context__", inner)
        except KeyError:
            raise AssertionError from None
        return error

    back = roundtrip(PICKLE, [chained()])[0]
    assert (type(back.__cause__), back.__cause__.second) == (Two, 4)
    assert (type(back.__context__), back.__context__.args) == (KeyError, ("inner",))
    assert back.__suppress_context__


def test_what_does_not_pickle_in_the_cause_of_an_exception_is_said_where_it_is() -> None:
    error = ValueError(1)
    error.__cause__ = KeyError(io.BufferedReader(io.BytesIO()))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^\$\[0\]\.__cause__ cannot be pickled: builtins.KeyError"):
        PICKLE.dump([error])


class Odd(enum.Enum):
    NAN = float("nan")
    LIST = [1]


class Level(enum.IntFlag):
    LOW = 1
    HIGH = 2


def test_members_of_enums_come_back_as_themselves() -> None:
    given = [*Odd, *Level, Level.LOW | Level.HIGH]
    back = roundtrip(PICKLE, given)
    assert all(one is other for one, other in zip(given, back, strict=True))


class Open(msgspec.Struct, dict=True):
    a: int


def test_attributes_of_a_struct_are_kept() -> None:
    struct = Open(1)
    struct.note = [2]  # type: ignore[attr-defined]
    back = roundtrip(PICKLE, [struct])[0]
    assert (back.a, back.note) == (1, [2])


def test_classes_are_each_asked_about() -> None:
    class Local:
        pass

    given = [dict, Local, type(sys.implementation), type(vars(Local))]
    back = roundtrip(PICKLE, given)
    assert back[0] is dict
    assert back[1].__name__ == "Local"
    assert back[2:] == given[2:]


def test_plain_pickle_reads_it() -> None:
    data = written(PICKLE.dump([VIEWS["numbers"], MASKED["a hard mask"], EXCEPTIONS["slots"]]))[PART]
    view, array, error = pickle.loads(data)
    assert view.tolist() == VIEWS["numbers"].tolist()
    assert array.hardmask
    assert error.first == 1
