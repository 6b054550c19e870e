"""pandas DataFrames as CSV, on request: for programs that read nothing else. Exactly, or not at all.

CSV has no types; those are in ``meta``. What is written is read back while it is saved, some thousand rows at a time, by what `load` does,
and what comes back otherwise is declined: text with values missing, which CSV cannot tell from empty text; a NaN with a sign or a payload.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from aioartifacts.materializers.base import Declined, Dump, Materializer, Part, Parts, Producer, Sink
from aioartifacts.materializers.choosing import chosen
from aioartifacts.materializers.pickling_exactly import attributes_of

PART = "frame.csv"
ROWS = 50_000
"""Rows that are encoded, decoded and compared together."""

_KINDS = "biuf"
_TEXT = "str"


class PandasCsvMaterializer(Materializer):
    """A DataFrame of bools, numbers, times without a zone, and text, whose rows are just numbered."""

    name = "pandas"
    format = "pandas-csv"
    safe = True
    packages = ("pandas", "numpy")

    def accepts(self, obj: object) -> bool:
        return type(obj) is pd.DataFrame

    def dump(self, obj: object) -> Dump:
        assert isinstance(obj, pd.DataFrame)
        frame = obj
        columns = _columns(frame)
        for number, piece in enumerate(_pieces(frame)):
            _check(piece, columns, number * ROWS)

        def produce(sink: Sink) -> None:
            for number, piece in enumerate(_pieces(frame)):
                sink.write(_written(piece, header=number == 0))

        return Dump(
            (Part(PART, Producer(produce)),), {"rows": len(frame), "columns": [list(column) for column in columns]}
        )

    def load(self, parts: Parts) -> object:
        rows: Any = parts.meta.get("rows")
        given: Any = parts.meta.get("columns")
        columns: list[tuple[str, str]] = [(label, dtype) for label, dtype in given]
        if not columns or not all(type(label) is str and _is_known(dtype) for label, dtype in columns):
            raise ValueError("the record does not say what the columns are")
        with parts.open(PART) as stream:
            pieces = list(_read(stream, columns))
        frame = pieces[0] if len(pieces) == 1 else pd.concat(pieces, ignore_index=True)
        if len(frame) != rows:
            raise ValueError(f"{len(frame)} rows, where {rows} were written")
        if parts.options.columns is not None:
            frame = frame.iloc[:, chosen(parts.options.columns, frame.columns)]
        return frame


def _columns(frame: Any) -> list[tuple[str, str]]:
    """Labels and dtypes.

    Raises:
        Declined: they are more than CSV with a line of labels can tell.
    """
    labels = list(frame.columns)
    if not labels or not all(type(label) is str for label in labels) or len(set(labels)) != len(labels):
        raise Declined("columns: labels that are not different str")
    try:
        again = pd.Index(labels)
    except UnicodeEncodeError as error:
        raise Declined("columns: a label that is no Unicode") from error
    if type(frame.columns) is not pd.Index or frame.columns.dtype != again.dtype or frame.columns.name is not None:
        raise Declined("columns: an index of its own kind")
    if type(frame.index) is not pd.RangeIndex or not frame.index.identical(pd.RangeIndex(len(frame))):
        raise Declined("index: more than the numbers of the rows")
    if frame.attrs or not frame.flags.allows_duplicate_labels or attributes_of(frame):
        raise Declined("attrs, flags or attributes")
    columns = [(label, str(frame[label].dtype)) for label in labels]
    for label, dtype in columns:
        if not _is_known(dtype):
            raise Declined(f"column {label!r}: of dtype {dtype}")
    return columns


def _check(piece: Any, columns: list[tuple[str, str]], first: int) -> None:
    """Read back what is written of some rows, the first of which is number *first*.

    Raises:
        Declined: it is not the same.
    """
    try:
        backs = list(_read(io.BytesIO(_written(piece, header=True)), columns))
    except ValueError as error:  # of numbers, of the parser, of an encoding
        raise Declined(f"{_suspect(piece, columns)} ({type(error).__name__}: {error})") from error
    if len(backs) != 1 or len(backs[0]) != len(piece):
        raise Declined(_suspect(piece, columns))
    for label, _ in columns:
        if not _same(piece[label], backs[0][label]):
            rows = (n for n in range(len(piece)) if not _same(piece[label][n : n + 1], backs[0][label][n : n + 1]))
            place = f", row {first + number}" if (number := next(rows, None)) is not None else ""
            raise Declined(f"column {label!r}{place}: a value that CSV does not hold exactly")


def _suspect(piece: Any, columns: list[tuple[str, str]]) -> str:
    """Where there is text of which a reader of CSV takes a part for the end of a row."""
    for label, dtype in columns:
        if "\r" in label:
            return f"columns: the label {label!r} has a carriage return, which CSV does not hold"
        if dtype == _TEXT and any(type(text) is str and "\r" in text for text in piece[label]):
            return f"column {label!r}: text with a carriage return, which CSV does not hold"
    return "rows that CSV does not hold exactly"


def _is_known(dtype: object) -> bool:
    """Whether it is one that can be written, by its name."""
    if type(dtype) is not str:
        return False
    if dtype == _TEXT or dtype in (f"datetime64[{unit}]" for unit in ("s", "ms", "us", "ns")):
        return True
    try:
        known = np.dtype(dtype)
    except TypeError:
        return False
    return known.kind in _KINDS and known.name == dtype and known.itemsize <= 8


def _pieces(frame: Any) -> Iterator[Any]:
    for start in range(0, max(len(frame), 1), ROWS):
        yield frame.iloc[start : start + ROWS].reset_index(drop=True)


def _written(piece: Any, *, header: bool) -> bytes:
    text: str = piece.to_csv(index=False, header=header, lineterminator="\n")
    return text.encode()


def _read(stream: BinaryIO | io.BytesIO, columns: list[tuple[str, str]]) -> Iterator[Any]:
    """The rows in pieces, which are the same whatever comes before and after them."""
    labels = [label for label, _ in columns]
    reader = pd.read_csv(
        stream,
        header=0,
        names=labels,
        index_col=False,
        # How pandas reads floats and times depends on its version.
        dtype={label: _TEXT if dtype.startswith(("float", "datetime64")) else dtype for label, dtype in columns},
        keep_default_na=False,
        skip_blank_lines=False,  # a line of spaces may be the only column's text, or its label
        chunksize=ROWS,
        encoding="utf-8",
    )
    with reader:
        for piece in reader:
            rows = piece.reset_index(drop=True)
            rows.columns = pd.Index(labels)
            for label, dtype in columns:
                if dtype.startswith("float"):
                    rows[label] = np.array([float(text or "nan") for text in rows[label]], dtype)
                elif dtype.startswith("datetime64"):
                    rows[label] = np.array([text or "NaT" for text in rows[label]], dtype)
            yield rows


def _same(one: Any, other: Any) -> bool:
    if one.dtype != other.dtype or len(one) != len(other):
        return False
    if one.dtype == _TEXT:
        return bool(one.equals(other))
    mine: bytes = one.to_numpy().tobytes()
    theirs: bytes = other.to_numpy().tobytes()
    return mine == theirs
