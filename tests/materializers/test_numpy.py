"""NumPy arrays come back as they were, to the bit, and hostile files are refused."""

from __future__ import annotations

import tracemalloc
from io import BytesIO
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from parts import elsewhere, load, roundtrip, written

from aioartifacts.materializers.base import Buffers, Declined, Materializer
from aioartifacts.materializers.numpy import (
    ArrayMaterializer,
    ArrayViewMaterializer,
    MaskedArrayMaterializer,
    MlDtypesMaterializer,
    ScalarMaterializer,
    StringArrayMaterializer,
)

MATERIALIZERS: tuple[type[Materializer], ...] = (
    ScalarMaterializer,
    MaskedArrayMaterializer,
    ArrayViewMaterializer,
    MlDtypesMaterializer,
    StringArrayMaterializer,
    ArrayMaterializer,
)
NPY = ArrayMaterializer()
Overlapping = np.dtype({"names": ["a", "b"], "formats": ["<i4", "<i2"], "offsets": [0, 2], "itemsize": 8})
Titled = np.dtype([(("a title", "a"), "<i2"), ("b", ">f8", (2, 3))])


def bits(array: Any) -> tuple[Any, ...]:
    array = np.asarray(array)
    return array.shape, array.dtype.str, array.dtype.char, array.tobytes("A"), array.flags.f_contiguous


ARRAYS: dict[str, Any] = {
    "float64": np.linspace(0, 1, 7),
    "float16": np.arange(5, dtype="f2"),
    "longdouble": np.arange(5, dtype=np.longdouble) / 3,
    "complex": np.array([1 + 2j, complex("nan")]),
    "nan payload": np.array([0x7FF8000000000123, 0xFFF8000000000001], "u8").view("f8"),
    "big endian": np.arange(6, dtype=">i4").reshape(2, 3),
    "bool": np.array([[True], [False]]),
    "zero dimensions": np.array(3.5),
    "empty": np.empty((0, 3), "i2"),
    "empty, other end": np.empty((3, 0), "f4", order="F"),
    "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "strided": np.arange(40).reshape(5, 8)[::2, ::-3],
    "broadcast": np.broadcast_to(np.arange(3), (4, 3)),
    "transposed": np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
    "bytes": np.array([b"ab", b"c"]),
    "no bytes": np.zeros(3, "S1").astype("S0"),
    "text": np.array(["ä", "xyz", "\U0001f600"]),
    "void": np.array([b"\0\1", b"\2\3"], "V2"),
    "datetime": np.array(["2020-01-01", "NaT"], "M8[D]"),
    "datetime, 25 s": np.array([1, 2, 3], "M8[25s]"),
    "timedelta": np.array([1, "NaT"], "m8[ns]"),
    "structured": np.array([(1, 2.0, "x")], [("a", "i1"), ("b", ">f8"), ("ü", "U3")]),
    "names beyond latin1": np.array([(1,)], [("名前", "i4")]),
    "titles": np.zeros(2, Titled),
    "aligned": np.zeros(2, np.dtype([("a", "i1"), ("b", "i8")], align=True)),
    "nested, aligned": np.zeros(2, np.dtype([("in", np.dtype([("a", "i1"), ("b", "i8")], align=True), (2,))])),
    "overlapping": np.zeros(2, Overlapping),
    "no fields": np.zeros(2, np.dtype([])),
    "record dtype": np.zeros(2, np.dtype((np.record, [("a", "i4")]))),
    "longlong": np.arange(3, dtype=np.longlong),
    "read-only": np.frombuffer(b"12345678", "<i4"),
}


@pytest.mark.parametrize("mmap", [False, True], ids=["read", "mapped"])
@pytest.mark.parametrize("name", ARRAYS)
def test_array_is_exact(name: str, mmap: bool) -> None:
    array = ARRAYS[name]
    assert NPY.accepts(array)
    back = roundtrip(NPY, array, mmap=mmap, trusted=False)
    assert type(back) is np.ndarray
    assert back.shape == array.shape
    assert back.dtype == array.dtype
    assert back.dtype.char == array.dtype.char
    assert back.dtype.isalignedstruct == array.dtype.isalignedstruct
    assert (back.dtype.fields or {}).keys() == (array.dtype.fields or {}).keys()
    assert back.dtype.type is array.dtype.type
    assert back.tobytes() == array.tobytes()
    assert back.flags.f_contiguous or not array.flags.f_contiguous
    assert back.flags.c_contiguous or not array.flags.c_contiguous
    assert back.flags.writeable is not mmap


@pytest.mark.parametrize("name", ["float64", "fortran", "strided", "structured", "names beyond latin1", "datetime"])
def test_file_is_what_numpy_reads(name: str) -> None:
    array = ARRAYS[name]
    back = np.load(BytesIO(written(NPY.dump(array))["data.npy"]), allow_pickle=False)
    assert back.dtype == array.dtype
    assert back.tobytes() == array.tobytes()


@pytest.mark.parametrize("name", ["float64", "fortran", "strided", "empty", "zero dimensions"])
def test_what_numpy_writes_is_read(name: str) -> None:
    file = BytesIO()
    np.save(file, ARRAYS[name])
    assert bits(load(NPY, {"data.npy": file.getvalue()})) == bits(ARRAYS[name])


def test_data_starts_at_a_multiple_of_64() -> None:
    for n in range(40):
        dump = NPY.dump(np.zeros(4, [("a" * (n + 1), "f8")]))
        assert isinstance(dump.parts[0].body, Buffers)
        assert dump.parts[0].body.buffers[0].nbytes % 64 == 0


@pytest.mark.parametrize("order", ["C", "F"])
def test_contiguous_memory_is_not_copied(order: Any) -> None:
    array = np.zeros((3, 5), order=order)
    body = NPY.dump(array).parts[0].body
    assert isinstance(body, Buffers)
    assert np.shares_memory(np.frombuffer(body.buffers[1], "u1"), array)


def test_strided_array_is_written_in_bounded_chunks() -> None:
    array = np.zeros((2000, 8000))[:, ::2]
    body = NPY.dump(array).parts[0].body
    largest = 0

    class Counting:
        def write(self, data: Any) -> None:
            nonlocal largest
            largest = max(largest, len(data))

    tracemalloc.start()
    body.write_to(Counting())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert body.size is not None
    assert body.size > array.nbytes
    assert largest <= 4 << 20
    assert peak < 16 << 20


def test_loaded_array_lies_in_the_memory_of_its_part() -> None:
    data = written(NPY.dump(np.arange(10)))["data.npy"]
    assert np.shares_memory(load(NPY, {"data.npy": data}, mmap=True), np.frombuffer(data, "u1"))


@pytest.mark.parametrize(
    "array",
    [
        np.array([1, None], object),
        np.array([(1, "x")], [("a", "i4"), ("b", object)]),
        np.zeros(2, np.dtype("i4", metadata={"unit": "m"})),
        np.zeros(2, np.dtype([("a", np.dtype("i4", metadata={"unit": "m"}))])),
        np.zeros(1, [(f"a rather long name {n}", "i4") for n in range(500)]),
        np.zeros(1, np.dtype([("a", "i1"), ("\ud800", "i4")], align=True)),
    ],
    ids=["objects", "object field", "metadata", "metadata inside", "long header", "no Unicode"],
)
def test_what_npy_cannot_hold_is_declined(array: Any) -> None:
    assert NPY.accepts(array)
    with pytest.raises(Declined):
        NPY.dump(array)


def npy(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    width = 2 if version == b"\x01\x00" else 4
    return b"\x93NUMPY" + version + len(header).to_bytes(width, "little") + header.encode("latin1") + data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\xff",
        b"\x93NUMPX\x01\x00" + bytes(64),
        npy("{'descr': '<i4', 'fortran_order': False, 'shape': (2,)}", bytes(8), b"\x09\x00"),
        npy("{'descr': '<i4', 'fortran_order': False, 'shape': (2,)}", bytes(7)),
        npy("{'descr': '<i4', 'fortran_order': False, 'shape': (2,)}", bytes(9)),
        npy("{'descr': '<i4', 'fortran_order': False, 'shape': (1000000000000, 1000000000000)}", bytes(8)),
        npy("{'descr': '<i4', 'fortran_order': False, 'shape': (-2, -1)}", bytes(8)),
        npy("{'descr': '<i4', 'fortran_order': False, 'shape': (True,)}", bytes(4)),
        npy("{'descr': '<i4', 'fortran_order': 0, 'shape': (1,)}", bytes(4)),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", bytes(8)),
        npy("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,)}", bytes(8)),
        npy("{'descr': '<i4', 'shape': (1,)}", bytes(4)),
        npy("[1, 2", bytes(4)),
        npy("__import__('os').getcwd()", bytes(4)),
        npy("-" * 5000 + "1"),
        npy("(" * 5000),
        npy("{'descr': '<i4', 'fortran_order': False, 'shape': ()}" + " " * 20_000, bytes(4)),
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(64),
    ],
    ids=range(20),
)
def test_hostile_file_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"npy|shape|header|Python objects|data\.npy"):
        load(NPY, {"data.npy": data})


@pytest.mark.parametrize("dtype", ["O", "|O8", {"base": "O", "shape": [2]}, "i4,O", 3, None])
def test_hostile_dtype_in_the_meta_is_refused(dtype: Any) -> None:
    data = written(NPY.dump(np.arange(2, dtype="i8")))
    with pytest.raises((ValueError, TypeError)):
        load(NPY, data, {"dtype": dtype})


@pytest.mark.parametrize(
    "scalar",
    [
        np.float32(1.5),
        np.float64("nan"),
        np.longdouble("0.1"),
        np.complex64(1 - 2j),
        np.int8(-3),
        np.longlong(5),
        np.bool_(True),
        np.str_("häß"),
        np.bytes_(b"ab"),
        np.datetime64("2020-01-01T00:00", "m"),
        np.timedelta64("NaT", "ns"),
        np.zeros(1, [("a", "i4"), ("b", "f8")])[0],
    ],
    ids=lambda scalar: type(scalar).__name__,
)
def test_scalar_keeps_type_and_value(scalar: Any) -> None:
    materializer = ScalarMaterializer()
    assert materializer.accepts(scalar)
    back = roundtrip(materializer, scalar, trusted=False)
    assert type(back) is type(scalar)
    assert bits(back) == bits(scalar)


@pytest.mark.parametrize("scalar", [np.str_("a\0"), np.bytes_(b"\0")])
def test_scalar_with_trailing_nul_is_declined(scalar: Any) -> None:
    with pytest.raises(Declined):
        ScalarMaterializer().dump(scalar)


def test_views_keep_their_class() -> None:
    rec = np.rec.array([(1, 2.5), (3, 4.5)], dtype=[("a", "i4"), ("b", "f8")])
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix([[1, 2], [3, 4]])
    plain_rec = np.arange(3).view(np.recarray)
    for obj in (rec, matrix, plain_rec):
        back = roundtrip(ArrayViewMaterializer(), obj, trusted=False)
        assert type(back) is type(obj)
        assert back.dtype == obj.dtype
        assert back.dtype.type is obj.dtype.type
        assert back.tobytes() == obj.tobytes()
    assert roundtrip(ArrayViewMaterializer(), rec).b.tolist() == [2.5, 4.5]


def test_memmap_comes_back_as_a_memmap(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "x", "i4", "w+", shape=(4,))
    mapped[:] = [1, 2, 3, 4]
    back = roundtrip(ArrayViewMaterializer(), mapped)
    assert type(back) is np.memmap
    assert back.tolist() == [1, 2, 3, 4]


def test_unknown_view_is_refused() -> None:
    data = written(NPY.dump(np.arange(2)))
    with pytest.raises(ValueError, match="class"):
        load(ArrayViewMaterializer(), data, {"class": "chararray"})


MASKED = {
    "some": np.ma.array([1, 2, 3], mask=[0, 1, 0], fill_value=77),
    "no mask": np.ma.array([1.0, 2.0]),
    "hard": np.ma.array([1, 2], mask=[1, 0], hard_mask=True),
    "structured": np.ma.array([(1, 2.0), (3, 4.0)], mask=[(1, 0), (0, 1)], dtype=[("a", "i4"), ("b", "f8")]),
    "fortran": np.ma.array(np.asfortranarray(np.arange(6).reshape(2, 3)), mask=np.asfortranarray(np.eye(2, 3) > 0)),
    "zero dimensions": np.ma.array(5, mask=True),
    "text": np.ma.array(["a", "b"], mask=[0, 1], fill_value="?"),
    "datetime": np.ma.array(np.array(["2020-01-01", "NaT"], "M8[D]"), mask=[1, 0]),
}


@pytest.mark.parametrize("name", MASKED)
def test_masked_array_keeps_data_mask_and_fill_value(name: str) -> None:
    masked: Any = MASKED[name]
    assert MaskedArrayMaterializer().accepts(masked)
    back = roundtrip(MaskedArrayMaterializer(), masked, trusted=False)
    assert type(back) is np.ma.MaskedArray
    assert back.dtype == masked.dtype
    assert bits(back.data) == bits(masked.data)
    assert (back.mask is np.ma.nomask) == (masked.mask is np.ma.nomask)
    assert bits(back.mask) == bits(masked.mask)
    assert bits(back.fill_value) == bits(masked.fill_value)
    assert (back._fill_value is None) == (masked._fill_value is None)
    assert back.hardmask == masked.hardmask


def test_mask_of_another_shape_is_refused() -> None:
    data = written(NPY.dump(np.arange(4)))["data.npy"]
    mask = written(NPY.dump(np.zeros(3, bool)))["data.npy"]
    with pytest.raises(ValueError, match="mask"):
        load(MaskedArrayMaterializer(), {"data.npy": data, "mask.npy": mask})


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint2"])
def test_ml_dtypes_keep_dtype_and_bits(name: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(getattr(ml_dtypes, name))
    array = np.asfortranarray(array)
    assert MlDtypesMaterializer().accepts(array)
    assert not NPY.accepts(array)
    back = roundtrip(MlDtypesMaterializer(), array, trusted=False)
    assert back.dtype == array.dtype
    assert bits(back.view(f"u{array.itemsize}")) == bits(array.view(f"u{array.itemsize}"))


@pytest.mark.parametrize("name", ["finfo", "__version__", "nope", None, 3])
def test_what_is_no_ml_dtype_is_refused(name: Any) -> None:
    data = written(NPY.dump(np.zeros(2, "u2")))
    with pytest.raises(ValueError, match="ml_dtypes"):
        load(MlDtypesMaterializer(), data, {"ml_dtype": name})


@pytest.mark.parametrize(
    ("keywords", "values"),
    [
        ({}, ["a", "", "ä\0b", "long " * 50]),
        ({"na_object": None}, ["a", None, ""]),
        ({"na_object": np.nan}, ["a", np.nan, "nan"]),
        ({"na_object": "missing"}, ["a", "missing", ""]),
        ({"coerce": False}, ["a", "b"]),
    ],
)
def test_string_array_keeps_text_and_what_is_missing(keywords: Any, values: list[Any]) -> None:
    array = np.array(values, np.dtypes.StringDType(**keywords))
    assert StringArrayMaterializer().accepts(array)
    assert not NPY.accepts(array)
    back = roundtrip(StringArrayMaterializer(), array, trusted=False)
    assert back.dtype == array.dtype
    assert back.dtype.coerce == array.dtype.coerce  # type: ignore[attr-defined]
    assert list(map(repr, back.tolist())) == list(map(repr, array.tolist()))


def test_string_array_keeps_shape_and_order() -> None:
    array = np.asfortranarray(np.array([["a", "b", "c"], ["d", "e", "f"]], np.dtypes.StringDType()))
    back = roundtrip(StringArrayMaterializer(), array)
    assert back.tolist() == array.tolist()
    assert back.flags.f_contiguous


def test_string_array_with_another_missing_value_is_declined() -> None:
    array = np.array(["a"], np.dtypes.StringDType(na_object=object()))
    with pytest.raises(Declined):
        StringArrayMaterializer().dump(array)


def test_string_array_of_wrong_lengths_is_refused() -> None:
    data = written(StringArrayMaterializer().dump(np.array(["ab", "c"], np.dtypes.StringDType())))
    data["text.txt"] += b"x"
    with pytest.raises(ValueError, match="text"):
        load(StringArrayMaterializer(), data, {"shape": [2], "order": "C"})


def test_subclasses_are_accepted_by_none() -> None:
    class Mine(np.ndarray):
        pass

    class MyMasked(np.ma.MaskedArray):
        pass

    for obj in (np.zeros(2).view(Mine), np.ma.array([1]).view(MyMasked)):
        assert not [cls for cls in MATERIALIZERS if cls().accepts(obj)]


def test_at_most_one_materializer_accepts() -> None:
    objects = [*ARRAYS.values(), *MASKED.values(), np.float64(1), np.zeros(1, ml_dtypes.bfloat16), 1.0, "x", None]
    for obj in objects:
        taking: list[type[Materializer]] = [cls for cls in MATERIALIZERS if cls().accepts(obj)]
        assert len(taking) == isinstance(obj, np.ndarray | np.generic)


def test_summary_tells_shape_dtype_and_extremes() -> None:
    assert NPY.summary(np.array([[3, 1, 2]], "i4")) == {"shape": [1, 3], "dtype": "int32", "min": 1, "max": 3}
    assert NPY.summary(np.array([np.nan])) == {"shape": [1], "dtype": "float64"}
    assert NPY.summary(np.empty(0)) == {"shape": [0], "dtype": "float64"}


def test_loads_in_a_fresh_process_without_importing_pandas(tmp_path: Path) -> None:
    assert elsewhere(NPY, np.arange(5), "back.sum(), 'pandas' in sys.modules", tmp_path) == "10 False"
