"""Sparse arrays and matrices come back as the same class, with the same arrays inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp  # type: ignore[import-untyped]
from parts import elsewhere, load, roundtrip, through_record, written

from aioartifacts.materializers.base import Buffers, Declined
from aioartifacts.materializers.scipy import SparseMatrixMaterializer

SP = SparseMatrixMaterializer()
DENSE = np.array([[0, 1.5, 0, 2], [0, 0, 0, 0], [3, 0, np.nan, 0], [0, 0, 0, -0.5]])
FORMATS = ["csr", "csc", "coo", "bsr", "dia", "lil", "dok"]


def unsorted_csr() -> Any:
    return sp.csr_array((np.array([1.0, 2, 0, 4]), np.array([2, 0, 1, 1]), np.array([0, 2, 4])), shape=(2, 3))


def wide_indices() -> Any:
    array = sp.csr_array(DENSE)
    array.indices, array.indptr = array.indices.astype(np.int64), array.indptr.astype(np.int64)
    return array


def dok_out_of_order() -> Any:
    dok = sp.dok_array((5, 5), dtype=np.complex64)
    dok[4, 0] = 1j
    dok[0, 3] = 2
    return dok


def canonical_coo() -> Any:
    coo = sp.coo_array(([1, 2, 3], ([0, 0, 0], [1, 1, 2])), shape=(2, 3))
    coo.sum_duplicates()
    return coo


def long_print() -> Any:
    array = sp.csr_array(DENSE)
    array.maxprint = 7
    return array


HARD: dict[str, Any] = {
    "unsorted, explicit zero": unsorted_csr(),
    "int64 indices": wide_indices(),
    "duplicates": sp.coo_array(([1, 2, 3], ([0, 0, 0], [1, 1, 2])), shape=(2, 3)),
    "canonical": canonical_coo(),
    "n dimensions": sp.coo_array(np.arange(24).reshape(2, 3, 4) % 5),
    "1-D coo": sp.coo_array(np.array([0, 1, 0, 2])),
    "1-D csr": sp.csr_array(np.array([0, 1, 0, 2], "i1")),
    "1-D dok": sp.coo_array(np.array([0, 1, 0, 2])).todok(),
    "dok in its order": dok_out_of_order(),
    "blocks": sp.bsr_matrix(np.kron(np.eye(3), np.ones((2, 3))), blocksize=(2, 3)),
    "diagonals": sp.diags_array([[1.0, 2, 3], [4, 5, 6]], offsets=[0, -2], shape=(5, 3)),
    "no values": sp.csc_matrix((0, 5), dtype=np.int16),
    "bool": sp.csr_matrix(DENSE > 0),
    "complex": sp.csc_array(DENSE.astype(np.complex128) * 1j),
    "longdouble": sp.csr_array(DENSE.astype(np.longdouble)),
    "huge shape": sp.coo_array(([1], ([10**12], [3])), shape=(10**13, 4)),
    "maxprint": long_print(),
}
for _format in FORMATS:
    for _kind in ("array", "matrix"):
        HARD[f"{_format} {_kind}"] = getattr(sp, f"{_format}_{_kind}")(DENSE)


def bits(value: Any) -> Any:
    return value.dtype, value.shape, value.tobytes()


def inside(sparse: Any) -> dict[str, Any]:
    """Everything a sparse array holds, in a form that ``==`` compares exactly."""
    found: dict[str, Any] = {}
    for name, value in vars(sparse).items():
        if name in ("_has_sorted_indices", "_has_canonical_format"):
            continue
        if name == "coords":
            found[name] = [bits(array) for array in value]
        elif name == "_dict":
            found[name] = [(key, bits(item)) for key, item in value.items()]
        elif sparse.format == "lil" and name in ("rows", "data"):
            found[name] = repr([list(row) for row in value])
        elif isinstance(value, np.ndarray):
            found[name] = bits(value)
        else:
            found[name] = value
    return found


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "not trusted"])
@pytest.mark.parametrize("name", HARD)
def test_sparse_is_exact(name: str, trusted: bool) -> None:
    sparse = HARD[name]
    assert SP.accepts(sparse)
    back = roundtrip(SP, sparse, trusted=trusted)
    assert type(back) is type(sparse)
    assert back.shape == sparse.shape
    assert back.dtype == sparse.dtype
    assert inside(back) == inside(sparse)


@pytest.mark.parametrize("name", ["unsorted, explicit zero", "csr array", "duplicates", "canonical"])
def test_flags_are_kept(name: str) -> None:
    back, sparse = roundtrip(SP, HARD[name]), HARD[name]
    for flag in ("has_sorted_indices", "has_canonical_format"):
        assert getattr(back, flag, None) == getattr(sparse, flag, None)


def test_flags_of_a_stranger_are_not_believed() -> None:
    sparse = unsorted_csr()
    dump = SP.dump(sparse)
    meta = {**through_record(dump.meta), "flags": {"has_sorted_indices": True, "has_canonical_format": True}}
    assert not load(SP, written(dump), meta, trusted=False).has_sorted_indices


def test_arithmetic_works_after_loading() -> None:
    for format in FORMATS:
        sparse = sp.csr_array(np.eye(4)).asformat(format)
        back = roundtrip(SP, sparse)
        assert np.array_equal((back @ np.arange(4.0)), np.arange(4.0))
        assert (back.tocsr() + back.tocsr()).sum() == 8


def test_memory_is_not_copied() -> None:
    sparse = sp.csr_array(DENSE)
    for part in SP.dump(sparse).parts:
        assert isinstance(part.body, Buffers)
        own = getattr(sparse, part.name.removesuffix(".npy"))
        assert np.shares_memory(np.frombuffer(part.body.buffers[1], "u1"), own)


def test_mapped_load_is_read_only() -> None:
    back = roundtrip(SP, sp.csr_array(DENSE), mmap=True)
    assert not back.data.flags.writeable


def own_attribute() -> Any:
    array = sp.csr_array(DENSE)
    array.note = "x"
    return array


def lying_lil() -> Any:
    lil = sp.lil_array((1, 2), dtype=np.int8)
    lil.rows[0], lil.data[0] = [0], [2.5]
    return lil


@pytest.mark.parametrize(
    "sparse",
    [own_attribute(), lying_lil()],
    ids=["own attribute", "values its dtype cannot hold"],
)
def test_what_cannot_be_held_is_declined(sparse: Any) -> None:
    with pytest.raises(Declined):
        SP.dump(sparse)


def test_subclass_is_not_accepted() -> None:
    class Mine(sp.csr_array):  # type: ignore[misc]
        pass

    Mine.__name__ = "csr_array"
    assert not SP.accepts(Mine(DENSE))


def damaged(sparse: Any, part: str, array: Any) -> tuple[dict[str, bytes], dict[str, Any]]:
    from aioartifacts.materializers.numpy_npy import encode

    dump = SP.dump(sparse)
    data = written(dump)
    body, _ = encode(array)
    assert isinstance(body, Buffers)
    data[part] = b"".join(body.buffers)
    return data, through_record(dump.meta)


@pytest.mark.parametrize(
    ("format", "part", "array"),
    [
        ("csr", "indices.npy", np.array([1, 3, 0, 2, 9], "i4")),
        ("csr", "indices.npy", np.array([1, 3, 0, 2, -1], "i4")),
        ("csr", "indptr.npy", np.array([0, 2, 2, 4, 500], "i4")),
        ("csr", "indptr.npy", np.array([0, 5, 2, 4, 5], "i4")),
        ("csr", "indptr.npy", np.zeros(500, "i4")),
        ("csr", "indices.npy", np.zeros(5, "f8")),
        ("csc", "data.npy", np.zeros((5, 1))),
        ("coo", "coords0.npy", np.array([0, 0, 2, 2, 400])),
        ("coo", "coords1.npy", np.zeros(3, "i8")),
        ("dia", "offsets.npy", np.zeros(500, "i4")),
        ("bsr", "data.npy", np.zeros((5, 0, 1))),
        ("lil", "coords.npy", np.array([[0, 0, 2, 2, 30], [0, 1, 2, 3, 3]])),
        ("lil", "coords.npy", np.array([[0, 2, 0, 2, 3], [0, 1, 2, 3, 3]])),
        ("dok", "coords.npy", np.array([[0, 0, 2, 2, 2], [0, 0, 2, 3, 3]])),
    ],
)
def test_hostile_arrays_are_refused(format: str, part: str, array: Any) -> None:
    data, meta = damaged(sp.csr_array(DENSE).asformat(format), part, array)
    with pytest.raises(ValueError, match=r".+"):
        load(SP, data, meta, trusted=False)


@pytest.mark.parametrize(
    "meta",
    [
        {"class": "spmatrix"},
        {"class": "lil_array", "shape": [10**12, 3]},
        {"class": "csr_matrix", "shape": [3]},
        {"class": "csr_array", "shape": [10**12, 3]},
        {"class": "dok_array", "shape": [4, 4, 4]},
    ],
)
def test_hostile_meta_is_refused(meta: dict[str, Any]) -> None:
    sparse = sp.csr_array(DENSE).asformat("lil" if meta["class"].startswith(("lil", "dok")) else "csr")
    dump = SP.dump(sparse)
    with pytest.raises(ValueError, match=r".+"):
        load(SP, written(dump), {**through_record(dump.meta), **meta}, trusted=False)


def test_summary_tells_shape_and_stored_values() -> None:
    assert SP.summary(sp.csr_array(DENSE)) == {"class": "csr_array", "shape": [4, 4], "dtype": "float64", "stored": 5}


def test_loads_in_a_fresh_process(tmp_path: Path) -> None:
    told = elsewhere(SP, unsorted_csr(), "type(back).__name__, back.data.tolist(), back.indices.tolist()", tmp_path)
    assert told == "csr_array [1.0, 2.0, 0.0, 4.0] [2, 0, 1, 1]"
