"""Polars frames and series: Arrow IPC by default, Parquet on request; both as Polars itself writes them.

Not through PyArrow, which does not know every type (Int128). Equality is that of values, types, names and order; how many
chunks there are is not kept, and whether a column is known to be sorted only where the artifact is trusted.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import polars as pl

from aioartifacts.errors import DecodeError, EncodeError
from aioartifacts.materializers import glimpse
from aioartifacts.materializers.arrow_ipc import check_file as check_arrow
from aioartifacts.materializers.base import Declined, Dump, Materializer, Part, Parts, Producer, Sink
from aioartifacts.materializers.choosing import chosen, no_frame
from aioartifacts.materializers.parquet_pages import check_file as check_parquet
from aioartifacts.types import JSON

_EXTENSION: Any = getattr(pl, "BaseExtension", ())


class PolarsMaterializer(Materializer):
    """Exact ``DataFrame`` and ``Series``, in an Arrow IPC file. A ``LazyFrame`` is a plan and no data, and is refused."""

    name = "polars"
    format = "polars"
    safe = True
    packages = ("polars",)
    part: ClassVar[str] = "data.arrow"

    def accepts(self, obj: object) -> bool:
        return type(obj) in (pl.DataFrame, pl.Series, pl.LazyFrame)

    def dump(self, obj: object) -> Dump:
        if isinstance(obj, pl.LazyFrame):
            raise EncodeError(
                "a LazyFrame is a plan, not data: save what its collect() gives; or, the plan, with format='pickle'"
            )
        frame = obj.to_frame() if isinstance(obj, pl.Series) else obj
        assert isinstance(frame, pl.DataFrame)
        types = [type_ for dtype in frame.dtypes for type_ in _types(dtype)]
        if pl.Object in types:
            raise Declined("it has a column of Python objects")
        self._check_schema(frame)
        meta: dict[str, JSON] = {"kind": type(obj).__name__, **_sorted_columns(frame)}
        extensions = sorted({_extension_name(type_) for type_ in types if _is_known_extension(type_)})
        if extensions:
            meta["extensions"] = extensions
        if not frame.width:
            meta["height"] = frame.height
        return Dump([Part(self.part, Producer(_Produce(self, frame)))], meta)

    def load(self, parts: Parts) -> object:
        meta = parts.meta
        try:
            frame = self._read(parts)
        except pl.exceptions.PanicException as error:  # no Exception, and so it would pass for a KeyboardInterrupt
            raise DecodeError(f"Polars could not read it: {error}") from error
        height = meta.get("height")
        if type(height) is int and not frame.width and not frame.height and height:
            frame = pl.DataFrame(height=height)
        _check_extensions(frame, meta.get("extensions"))
        if parts.trusted and parts.options.columns is None:
            frame = _with_sorted(frame, meta)
        if meta.get("kind") == "DataFrame":
            return frame
        if meta.get("kind") != "Series" or frame.width != 1:
            raise ValueError("it holds neither a DataFrame nor a Series")
        return frame.to_series()

    def summary(self, obj: object) -> Mapping[str, JSON]:
        if isinstance(obj, pl.Series):
            return {
                "name": obj.name[:200],
                "dtype": str(obj.dtype)[:200],
                "length": len(obj),
                "nulls": obj.null_count(),
            }
        assert isinstance(obj, pl.DataFrame)
        return {"shape": list(obj.shape), "columns": glimpse.schema(obj.schema.items())}

    def preview(self, obj: object) -> Mapping[str, JSON]:
        if isinstance(obj, pl.Series):
            return glimpse.items(obj.head(glimpse.ITEMS), len(obj))
        assert isinstance(obj, pl.DataFrame)
        head = obj[: glimpse.ROWS, : glimpse.COLUMNS]
        return glimpse.table(head.columns, head.rows())

    def _check_schema(self, frame: pl.DataFrame) -> None:
        """Raises `Declined` for types that do not come back, which one row of nulls is enough to see."""
        target = io.BytesIO()
        try:
            self._write(frame.clear(1), target)
            back = self._read_bytes(target.getvalue())
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise Declined(f"Polars cannot hold its types so: {error}") from error
        if back.schema != frame.schema:
            raise Declined("its types do not survive")

    def _write(self, frame: pl.DataFrame, target: Any) -> None:
        frame.write_ipc(target)

    def _read_bytes(self, data: bytes) -> pl.DataFrame:
        return pl.read_ipc(data)

    def _read(self, parts: Parts) -> pl.DataFrame:
        if not parts.trusted:
            memory = parts.read(self.part)
            check_arrow(memory)
            data = bytes(memory)
            return pl.read_ipc(data, columns=_wanted(parts, pl.read_ipc_schema, data))
        if parts.options.mmap:
            path = parts.path(self.part)
            return pl.read_ipc(path, columns=_wanted(parts, pl.read_ipc_schema, path))
        with parts.open(self.part) as stream:
            return pl.read_ipc(stream, columns=_wanted(parts, pl.read_ipc_schema, stream))


class ParquetMaterializer(PolarsMaterializer):
    """The same in a Parquet file; smaller, slower, and read by everybody."""

    name = "polars-parquet"
    format = "polars-parquet"
    part = "data.parquet"

    def _write(self, frame: pl.DataFrame, target: Any) -> None:
        frame.write_parquet(target)

    def _read_bytes(self, data: bytes) -> pl.DataFrame:
        return pl.read_parquet(data)

    def _read(self, parts: Parts) -> pl.DataFrame:
        if not parts.trusted:
            memory = parts.read(self.part)
            check_parquet(memory)  # Polars repeats no text: rows refer to where it is
            data = bytes(memory)
            return pl.read_parquet(data, columns=_wanted(parts, pl.read_parquet_schema, data))
        with parts.open(self.part) as stream:
            return pl.read_parquet(stream, columns=_wanted(parts, pl.read_parquet_schema, stream))


class _Produce:
    """Writes the frame out; Polars makes it batch by batch, in threads of its own."""

    def __init__(self, materializer: PolarsMaterializer, frame: pl.DataFrame) -> None:
        self.materializer, self.frame = materializer, frame

    def __call__(self, sink: Sink) -> None:
        target = _Target(sink)
        try:
            self.materializer._write(self.frame, target)
        except pl.exceptions.PanicException as error:
            raise target.error or EncodeError(f"Polars could not write it: {error}") from error
        except Exception:
            if target.error is not None:
                raise target.error from None  # Polars makes an OSError of whatever it is
            raise


class _Target:
    """A sink as a file that is written only; keeps what the sink raises."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.error: BaseException | None = None

    def write(self, data: bytes) -> int:
        try:
            self._sink.write(data)
        except BaseException as error:
            self.error = error
            raise
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""


def _types(dtype: Any) -> Iterator[Any]:
    """A type and all that it is made of."""
    yield dtype
    if isinstance(dtype, pl.List | pl.Array):
        yield from _types(dtype.inner)
    elif isinstance(dtype, pl.Struct):
        for field in dtype.fields:
            yield from _types(field.dtype)


def _is_known_extension(dtype: Any) -> bool:
    return isinstance(dtype, _EXTENSION) and type(dtype) is not pl.Extension


def _extension_name(dtype: Any) -> str:
    return str(dtype.ext_name())


def _check_extensions(frame: pl.DataFrame, expected: object) -> None:
    """A type that is not registered here would come back as another, without a word."""
    if not isinstance(expected, list):
        return
    types = [type_ for dtype in frame.dtypes for type_ in _types(dtype)]
    found = {_extension_name(type_) for type_ in types if _is_known_extension(type_)}
    missing = [name for name in expected if name not in found]
    if missing:
        raise ValueError(
            f"the extension type {missing[0]!r:.80} is not known here; register it with polars.register_extension_type first"
        )


def _sorted_columns(frame: pl.DataFrame) -> dict[str, JSON]:
    """The numbers of columns that are known to be sorted, as far as there are few."""
    found: dict[str, JSON] = {}
    flags = [column.flags for column in frame.get_columns()]
    for name, flag in (("ascending", "SORTED_ASC"), ("descending", "SORTED_DESC")):
        numbers = [n for n, known in enumerate(flags) if known.get(flag)]
        if 0 < len(numbers) <= 100:
            found[name] = numbers
    return found


def _with_sorted(frame: pl.DataFrame, meta: Mapping[str, JSON]) -> pl.DataFrame:
    if meta.keys().isdisjoint(("ascending", "descending")):
        return frame
    columns = frame.get_columns()
    for name in ("ascending", "descending"):
        numbers: Any = meta.get(name, ())
        for n in numbers:
            columns[n] = columns[n].set_sorted(descending=name == "descending")
    return pl.DataFrame({column.name: column for column in columns})  # a list would give a column without a name one


def _wanted(parts: Parts, schema: Callable[[Any], Mapping[str, object]], source: Any) -> list[int] | None:
    """The places of the columns to be read; *schema* tells those of the *source*, which may be read again."""
    columns = parts.options.columns
    if columns is None:
        return None
    if parts.meta.get("kind") != "DataFrame":
        raise no_frame("Series")
    # polars.read_ipc_schema takes no bytes, though it says so (2.1.0).
    stream: Any = io.BytesIO(source) if isinstance(source, bytes) else source
    places = chosen(columns, schema(stream))
    if len(set(places)) < len(places):
        raise DecodeError("columns= names a column twice, and a frame of Polars cannot have two of one name")
    if hasattr(stream, "seek"):
        stream.seek(0)
    return places
