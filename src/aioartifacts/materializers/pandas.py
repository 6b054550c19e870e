"""pandas: DataFrame, Series and Index as one Arrow file (the default) or one Parquet file, exactly or not at all.

Arrow IPC, uncompressed, is the default because it needs no encoding, and is read by mapping it: columns of numbers,
times, strings and categories lie in the file as pandas holds them. It is an open format that every Arrow implementation reads (polars,
DuckDB, R, …), larger on disk than Parquet; ``format="pandas-parquet"`` is there for those who want the smaller file.

In both, what a table cannot say (labels that are no strings, the index, dtypes, attrs) is JSON in the schema's metadata,
and every column has the strategy of its dtype (`pandas_columns`). What comes back equals what was given, or the object is declined.

Loaded columns can be written to, except those of a mapped load, which lie in the read-only file.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any, ClassVar

import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]

from aioartifacts.materializers import glimpse
from aioartifacts.materializers.base import Declined, Dump, Materializer, Part, Parts, Producer
from aioartifacts.materializers.choosing import chosen, no_frame
from aioartifacts.materializers.pandas_arrow import Columns, Field, Fields, Kind
from aioartifacts.materializers.pandas_axes import TYPES, decode_index, encode_index
from aioartifacts.materializers.pandas_cells import from_json, to_json
from aioartifacts.materializers.pandas_columns import array_of, decode, encode
from aioartifacts.materializers.pandas_files import ASIDE, aside_body, open_aside, open_table, table_body
from aioartifacts.materializers.pickling_exactly import attributes_of
from aioartifacts.types import JSON

_KEY = b"aioartifacts"
_VERSION = 1
_INLINE_ASIDE = 64 << 10
"""Bytes of arrays (levels, categories, column labels) that are kept in the schema's metadata instead of in a second part."""
_SHOWN = 50


class PandasMaterializer(Materializer):
    """Exact DataFrame, Series and Index; a subclass is somebody else's."""

    name = "pandas"
    format = "pandas-arrow"
    safe = True
    packages = ("pandas", "pyarrow", "numpy")
    kind: ClassVar[Kind] = "arrow"
    part: ClassVar[str] = "frame.arrow"

    def accepts(self, obj: object) -> bool:
        return type(obj) in (pd.DataFrame, pd.Series, *TYPES)

    def dump(self, obj: object) -> Dump:
        held: Any = obj
        fields = Fields(len(held), self.kind)
        spec: dict[str, JSON] = {"version": _VERSION, "rows": len(held), "class": _class_of(held)}
        if isinstance(held, pd.DataFrame):
            columns: list[JSON] = []
            for n, (label, column) in enumerate(held.items()):
                with _in(f"column {label!r:.80}"):
                    columns.append(encode(_name(label, n), array_of(column), fields, fields.put))
            spec["columns"] = columns
            with _in("columns"):
                spec["labels"] = encode_index(held.columns, fields)
        elif isinstance(held, pd.Series):
            with _in("values"):
                spec["columns"] = [encode("values", array_of(held), fields, fields.put)]
            with _in("name"):
                spec["name"] = to_json(held.name)
        with _in("index"):
            spec["index"] = encode_index(held if isinstance(held, pd.Index) else held.index, fields, aligned=True)
        if not isinstance(held, pd.Index):
            spec["duplicates"] = held.flags.allows_duplicate_labels
            for place, found in (("attrs", dict(held.attrs)), ("attributes", attributes_of(held))):
                with _in(place):
                    if found or place == "attrs":
                        spec[place] = to_json(found)
        return self._dump(spec, fields)

    def load(self, parts: Parts) -> object:
        try:
            return self._load(parts)
        except (KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(
                f"{self.part} does not describe a pandas object: {type(error).__name__}: {error}"
            ) from error

    def summary(self, obj: object) -> Mapping[str, JSON]:
        held: Any = obj
        if isinstance(held, pd.DataFrame):
            dtypes = {str(label): str(dtype) for label, dtype in list(held.dtypes.items())[:_SHOWN]}
            return {"shape": list(held.shape), "dtypes": dtypes}
        dtype = "MultiIndex" if isinstance(held, pd.MultiIndex) else str(held.dtype)
        return {"shape": [len(held)], "dtype": dtype}

    def preview(self, obj: object) -> Mapping[str, JSON]:
        held: Any = obj
        if isinstance(held, pd.DataFrame):
            # Not items(): it makes a Series of each column.
            frame: Any = obj
            shown = range(min(held.shape[1], glimpse.COLUMNS))
            columns = [list(frame._get_column_array(n)[: glimpse.ROWS]) for n in shown]
            return glimpse.table(held.columns, zip(*columns, strict=True))
        return glimpse.items(
            iter(held[: glimpse.ITEMS] if isinstance(held, pd.Index) else held.iloc[: glimpse.ITEMS]), len(held)
        )

    def _dump(self, spec: Mapping[str, JSON], fields: Fields) -> Dump:
        metadata = {_KEY: json.dumps(spec, allow_nan=False, separators=(",", ":")).encode()}
        parts: list[Part] = []
        if fields.aside:
            body = aside_body(fields.aside, fields.lengths)
            if sum(f.width * n for f, n in zip(fields.aside, fields.lengths, strict=True)) <= _INLINE_ASIDE:
                metadata[_KEY + b".aside"] = base64.b64encode(_written(body))
            else:
                parts.append(Part(ASIDE, body))
        table = _named(fields.table)
        schema = pa.schema([pa.field(f.name, f.type) for f in table], metadata=metadata)
        return Dump([Part(self.part, table_body(schema, table, fields.rows, self.kind)), *parts])

    def _load(self, parts: Parts) -> object:
        memory = parts.read(self.part)
        metadata, read = open_table(memory, self.kind, some=parts.options.columns is not None, trusted=parts.trusted)
        spec: Any = json.loads(metadata[_KEY])
        if spec["version"] != _VERSION or type(spec["rows"]) is not int:
            raise ValueError(f"version {spec['version']!r:.20} of the description of a frame is not known here")
        inline = metadata.get(_KEY + b".aside")
        full = not parts.trusted
        aside: Sequence[Any] = ()
        if inline is not None:
            aside = open_aside(memoryview(base64.b64decode(inline)), trusted=parts.trusted)
        elif ASIDE in parts.names:
            aside = open_aside(parts.read(ASIDE), trusted=parts.trusted)
        columns = Columns(
            spec["rows"],
            read,
            aside,
            memory=memory if self.kind == "arrow" else None,
            mapped=parts.options.mmap,
            full=full,
        )
        if spec["class"] == "DataFrame":
            return _frame(spec, columns, parts.options.columns)
        if parts.options.columns is not None:
            raise no_frame(f"{spec['class']:.20}")
        index = decode_index(spec["index"], columns)
        if spec["class"] == "Index":
            return index
        if spec["class"] != "Series":
            raise ValueError(f"unknown class {spec['class']!r:.40}")
        array = decode(spec["columns"][0], columns)
        series = pd.Series(array, index=index, dtype=array.dtype, name=from_json(spec["name"]), copy=False)
        return _flagged(series, spec)


class PandasParquetMaterializer(PandasMaterializer):
    """The same as one Parquet file: smaller, slower, and on request only."""

    name = "pandas-parquet"
    format = "pandas-parquet"
    kind = "parquet"
    part = "frame.parquet"


@contextmanager
def _in(place: str) -> Iterator[None]:
    """Tell where in the object it is that has no exact form."""
    try:
        yield
    except Declined as declined:
        raise Declined(f"{place}: {declined}") from declined.__cause__


def _frame(spec: Any, columns: Columns, wanted: tuple[str, ...] | None) -> pd.DataFrame:
    labels = decode_index(spec["labels"], columns)
    specs = spec["columns"]
    if len(specs) != len(labels):
        raise ValueError("there are not as many labels as columns")
    if wanted is not None:
        places = chosen(wanted, labels)
        labels, specs = labels[places], [specs[n] for n in places]
    index = decode_index(spec["index"], columns)
    if len(index) != columns.rows:
        raise ValueError("the index is not as long as the frame")
    data: dict[int, Any] = {}
    for n, column in enumerate(specs):
        array = decode(column, columns)
        if len(array) != columns.rows:
            raise ValueError(f"column {n} is not as long as the frame")
        # A frame would look for strings in an array of objects; a Series that is told its dtype does not.
        data[n] = pd.Series(array, index=index, dtype=object, copy=False) if array.dtype == object else array
    frame = pd.DataFrame(data, index=index, copy=False)
    frame.columns = labels
    _flagged(frame, spec)
    return frame


def _flagged(held: Any, spec: Any) -> Any:
    attrs = from_json(spec["attrs"])
    if type(attrs) is not dict:
        raise ValueError("attrs are no dict")
    held.attrs = attrs
    if spec["duplicates"] is not True:
        held.flags.allows_duplicate_labels = False
    for name, value in from_json(spec["attributes"]).items() if "attributes" in spec else ():
        if type(name) is not str or name[:1] == "_" or hasattr(type(held), name):
            raise ValueError(f"{name!r:.40} is no attribute that could be set")
        object.__setattr__(held, name, value)
    return held


def _class_of(held: object) -> str:
    return "Index" if isinstance(held, pd.Index) else type(held).__name__


def _name(label: object, n: int) -> str:
    return label if type(label) is str else f"c{n}"


def _named(table: Sequence[Field]) -> list[Field]:
    """Fields under the names that others shall see: their labels if all are plain and distinct, else c0, c1, and so on.

    Only for others: we ourselves go by position.
    """
    names = [field.name for field in table]
    if len(set(names)) == len(names) and all(name.isprintable() and name and "." not in name for name in names):
        return list(table)
    return [Field(f"c{n}", f.type, f.chunk, f.cost, f.width) for n, f in enumerate(table)]


def _written(body: Producer) -> bytes:
    sink = BytesIO()
    body.write_to(sink)
    return sink.getvalue()
