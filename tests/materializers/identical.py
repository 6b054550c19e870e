"""Whether two pandas objects are the same in everything that can be told apart; stricter than `pandas.testing`."""

from __future__ import annotations

import struct
import uuid
from typing import Any

import numpy as np
import pandas as pd

from aioartifacts.materializers.pickling_exactly import attributes_of


def differences(a: Any, b: Any) -> list[str]:
    """What differs, in words; empty when nothing does."""
    found: list[str] = []
    _compare(a, b, type(a).__name__, found)
    return found


def identical(a: Any, b: Any) -> bool:
    return not differences(a, b)


def _compare(a: Any, b: Any, where: str, found: list[str]) -> None:
    if type(a) is not type(b):
        found.append(f"{where}: {type(a)} became {type(b)}")
    elif isinstance(a, pd.DataFrame):
        _frame(a, b, where, found)
    elif isinstance(a, pd.Series):
        _cell(a.name, b.name, f"{where}.name", found)
        _compare(a.index, b.index, f"{where}.index", found)
        _array(a.array, b.array, where, found)
        _held(a, b, where, found)
    elif isinstance(a, pd.Index):
        _index(a, b, where, found)
    else:
        _cell(a, b, where, found)


def _frame(a: pd.DataFrame, b: pd.DataFrame, where: str, found: list[str]) -> None:
    if a.shape != b.shape:
        found.append(f"{where}: shape {a.shape} became {b.shape}")
        return
    _compare(a.columns, b.columns, f"{where}.columns", found)
    _compare(a.index, b.index, f"{where}.index", found)
    for n in range(a.shape[1]):
        _array(a.iloc[:, n].array, b.iloc[:, n].array, f"{where}[{n}]", found)
    _held(a, b, where, found)


def _held(a: Any, b: Any, where: str, found: list[str]) -> None:
    _cell(dict(a.attrs), dict(b.attrs), f"{where}.attrs", found)
    _cell(attributes_of(a), attributes_of(b), f"{where}.__dict__", found)
    if a.flags.allows_duplicate_labels != b.flags.allows_duplicate_labels:
        found.append(f"{where}.flags")


def _index(a: Any, b: Any, where: str, found: list[str]) -> None:
    _cell(tuple(a.names), tuple(b.names), f"{where}.names", found)
    if isinstance(a, pd.RangeIndex):
        if (a.start, a.stop, a.step) != (b.start, b.stop, b.step):
            found.append(f"{where}: {a} became {b}")
    elif isinstance(a, pd.MultiIndex):
        for n, (left, right) in enumerate(zip(a.levels, b.levels, strict=True)):
            _compare(left, right, f"{where}.levels[{n}]", found)
        for n, (left, right) in enumerate(zip(a.codes, b.codes, strict=True)):
            _values(np.asarray(left), np.asarray(right), f"{where}.codes[{n}]", found)
        if a.sortorder != b.sortorder:
            found.append(f"{where}.sortorder")
    else:
        if getattr(a, "freq", None) != getattr(b, "freq", None):
            found.append(f"{where}: freq {a.freq} became {b.freq}")
        _array(a.array, b.array, where, found)


def _array(a: Any, b: Any, where: str, found: list[str]) -> None:
    if type(a) is not type(b):
        found.append(f"{where}: {type(a)} became {type(b)}")
    elif a.dtype != b.dtype or repr(a.dtype) != repr(b.dtype):
        found.append(f"{where}: dtype {a.dtype!r} became {b.dtype!r}")
    elif len(a) != len(b):
        found.append(f"{where}: {len(a)} rows became {len(b)}")
    elif isinstance(a.dtype, np.dtype):
        _values(np.asarray(a), np.asarray(b), where, found)
    elif isinstance(a, pd.Categorical):
        if a.ordered != b.ordered:
            found.append(f"{where}.ordered")
        _compare(a.categories, b.categories, f"{where}.categories", found)
        _values(a.codes, b.codes, f"{where}.codes", found)
    elif isinstance(a, pd.arrays.IntervalArray):
        _compare(a.left, b.left, f"{where}.left", found)
        _compare(a.right, b.right, f"{where}.right", found)
    elif isinstance(a, pd.arrays.SparseArray):
        if not a.sp_index.equals(b.sp_index) or type(a.sp_index) is not type(b.sp_index):
            found.append(f"{where}.sp_index")
        _cell(a.fill_value, b.fill_value, f"{where}.fill_value", found)
        _values(a.sp_values, b.sp_values, f"{where}.sp_values", found)
    elif isinstance(a.dtype, pd.DatetimeTZDtype):
        if type(a.dtype.tz) is not type(b.dtype.tz):
            found.append(f"{where}: zone {a.dtype.tz!r} became {b.dtype.tz!r}")
        _values(a.asi8, b.asi8, where, found)
    elif isinstance(a.dtype, pd.PeriodDtype):
        _values(a.asi8, b.asi8, where, found)
    else:
        _values(np.asarray(a, dtype=object), np.asarray(b, dtype=object), where, found)


def _values(a: Any, b: Any, where: str, found: list[str]) -> None:
    if a.dtype != b.dtype or a.shape != b.shape:
        found.append(f"{where}: {a.dtype}{a.shape} became {b.dtype}{b.shape}")
    elif a.dtype != object:
        if a.dtype.char == "g":
            _cell(list(a.flat), list(b.flat), where, found)
        elif a.tobytes() != b.tobytes():
            found.append(f"{where}: values")
    else:
        for n, (left, right) in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
            _cell(left, right, f"{where}({n})", found)


def _significant(scalar: Any) -> bytes:
    """The bytes that say something: the rest of a long double is whatever lay there."""
    data: bytes = scalar.tobytes()
    return data[:10] if scalar.dtype.char == "g" and np.finfo(np.longdouble).nmant == 63 else data


def _cell(a: Any, b: Any, where: str, found: list[str]) -> None:
    if type(a) is not type(b):
        found.append(f"{where}: {a!r} became {b!r}, a {type(b)}")
    elif isinstance(a, list | tuple):
        if len(a) != len(b):
            found.append(f"{where}: length")
        for n, (left, right) in enumerate(zip(a, b, strict=False)):
            _cell(left, right, f"{where}[{n}]", found)
    elif isinstance(a, dict):
        _cell(list(a.items()), list(b.items()), where, found)
    elif isinstance(a, set | frozenset):
        _cell(sorted(map(repr, a)), sorted(map(repr, b)), where, found)
    elif type(a) is float:
        if struct.pack("d", a) != struct.pack("d", b):
            found.append(f"{where}: {a!r} became {b!r}")
    elif type(a) is int:
        if a != b:
            found.append(f"{where}: an integer")
    elif isinstance(a, np.generic):
        if a.dtype != b.dtype or _significant(a) != _significant(b):
            found.append(f"{where}: {a!r} became {b!r}")
    elif isinstance(a, complex):
        _cell((a.real, a.imag), (b.real, b.imag), where, found)
    elif isinstance(a, uuid.UUID):
        if (a, a.is_safe) != (b, b.is_safe):
            found.append(f"{where}: {a!r} became {b!r}")
    elif isinstance(a, pd.Timestamp):
        if (repr(a), a.unit, a.fold, a.tz) != (repr(b), b.unit, b.fold, b.tz):
            found.append(f"{where}: {a!r} became {b!r}")
    elif isinstance(a, pd.Timedelta):
        if (a, a.unit) != (b, b.unit):
            found.append(f"{where}: {a!r} became {b!r}")
    elif a is not b and repr(a) != repr(b):
        found.append(f"{where}: {a!r} became {b!r}")


__all__ = ["differences", "identical"]
