"""PyArrow: tables, record batches, arrays and schemas as Arrow IPC, over their own memory.

Types, names (also the same twice), metadata of schema and fields, nulls and dictionaries are kept. A table's columns come back in
the chunks of its record batches: as they were when all columns are chunked alike; else cut where any of them is. A
chunked array keeps every chunk.

The part is ``data.arrow``, an IPC file; or ``data.arrows``, an IPC stream, when there are dictionaries and several batches, because
in a file all batches must have the same dictionary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]

from aioartifacts.materializers import glimpse
from aioartifacts.materializers.arrow_ipc import check_file, check_stream
from aioartifacts.materializers.base import Declined, Dump, Materializer, Part, Parts, Producer, Sink
from aioartifacts.materializers.choosing import chosen
from aioartifacts.types import JSON

_FILE, _STREAM = "data.arrow", "data.arrows"


class ArrowMaterializer(Materializer):
    """Exact ``Table``, ``RecordBatch``, ``ChunkedArray`` and ``Schema``, and every kind of ``Array``."""

    name = "arrow"
    format = "arrow"
    safe = True
    packages = ("pyarrow",)

    def accepts(self, obj: object) -> bool:
        return _kind(obj) is not None

    def dump(self, obj: object) -> Dump:
        kind = _kind(obj)
        schema, batches = _batches(obj)
        if not pa.ipc.read_schema(schema.serialize()).equals(schema, check_metadata=True):
            raise Declined("its schema does not survive Arrow IPC")
        found = [type_ for field in schema for type_ in _types(field.type)]
        stream = len(batches) > 1 and any(pa.types.is_dictionary(type_) for type_ in found)
        meta: dict[str, JSON] = {"kind": kind}
        extensions = sorted({type_.extension_name for type_ in found if isinstance(type_, pa.BaseExtensionType)})
        if extensions:
            meta["extensions"] = extensions
        for batch in batches:
            if not batch.is_cpu:
                raise Declined("it is in the memory of a device")
        return Dump([Part(_STREAM if stream else _FILE, Producer(_Write(schema, batches, stream)))], meta)

    def load(self, parts: Parts) -> object:
        name = _STREAM if _STREAM in parts.names else _FILE
        memory = parts.read(name)
        if not parts.trusted:
            (check_stream if name == _STREAM else check_file)(memory)
        source = pa.py_buffer(memory)
        if name == _STREAM:
            reader = pa.ipc.open_stream(source)
            batches = list(reader)
        else:
            reader = pa.ipc.open_file(source)
            batches = [reader.get_batch(n) for n in range(reader.num_record_batches)]
        schema = reader.schema
        _check_extensions(schema, parts.meta.get("extensions"))
        if not parts.trusted:
            _check_names(schema)
            for batch in batches:
                batch.validate(full=True)
        return _restored(parts, schema, batches)

    def summary(self, obj: object) -> Mapping[str, JSON]:
        known: Any = obj
        if isinstance(known, pa.Array | pa.ChunkedArray):
            return {"length": len(known), "dtype": str(known.type), "nulls": known.null_count}
        schema = known if isinstance(known, pa.Schema) else known.schema
        found: dict[str, JSON] = {"columns": glimpse.schema((field.name, field.type) for field in schema)}
        if not isinstance(known, pa.Schema):
            found["shape"] = list(known.shape)
        return found

    def preview(self, obj: object) -> Mapping[str, JSON]:
        known: Any = obj
        if isinstance(known, pa.Schema):
            return {}
        if isinstance(known, pa.Array | pa.ChunkedArray):
            return glimpse.items(known[: glimpse.ITEMS].to_pylist(), len(known))
        columns = [column[: glimpse.ROWS].to_pylist() for column in known.columns[: glimpse.COLUMNS]]
        return glimpse.table(known.schema.names, zip(*columns, strict=True))


def _kind(obj: object) -> str | None:
    for cls in (pa.Table, pa.RecordBatch, pa.Schema, pa.ChunkedArray):
        if type(obj) is cls:
            return str(cls.__name__)
    return "Array" if isinstance(obj, pa.Array) else None


def _batches(obj: Any) -> tuple[Any, Sequence[Any]]:
    """The schema and the batches that stand for *obj*."""
    if isinstance(obj, pa.Schema):
        return obj, []
    if isinstance(obj, pa.RecordBatch):
        return obj.schema, [obj]
    if isinstance(obj, pa.Table):
        return obj.schema, obj.to_batches()
    schema = pa.schema([pa.field("", obj.type)])
    chunks = [obj] if isinstance(obj, pa.Array) else obj.chunks
    return schema, [pa.RecordBatch.from_arrays([chunk], schema=schema) for chunk in chunks]


def _restored(parts: Parts, schema: Any, batches: Sequence[Any]) -> object:
    kind = parts.meta.get("kind")
    columns = parts.options.columns
    if kind == "Schema" and not batches:
        return schema
    if kind == "Table":
        table = pa.Table.from_batches(batches, schema=schema)
        return table if columns is None else table.select(chosen(columns, schema.names))
    if kind == "RecordBatch" and len(batches) == 1:
        return batches[0] if columns is None else batches[0].select(chosen(columns, schema.names))
    if len(schema) == 1:
        if kind == "ChunkedArray":
            return pa.chunked_array([batch.column(0) for batch in batches], type=schema.field(0).type)
        if kind == "Array" and len(batches) == 1:
            return batches[0].column(0)
    raise ValueError(f"it does not hold a {kind!r:.80}")


class _Write:
    """Writes the batches out; buffers go out as they lie in memory."""

    def __init__(self, schema: Any, batches: Sequence[Any], stream: bool) -> None:
        self.schema, self.batches, self.stream = schema, batches, stream

    def __call__(self, sink: Sink) -> None:
        target = pa.PythonFile(_Target(sink), mode="w")
        new = pa.ipc.new_stream if self.stream else pa.ipc.new_file
        with new(target, self.schema) as writer:
            for batch in self.batches:
                writer.write_batch(batch)


class _Target:
    """A sink as a file that is written only."""

    closed = False

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._position = 0

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self._sink.write(view)
        self._position += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """The sink is not ours to close."""


def _types(type_: Any) -> Iterator[Any]:
    """A type and all that it is made of."""
    yield type_
    if isinstance(type_, pa.BaseExtensionType):
        yield from _types(type_.storage_type)
    elif pa.types.is_dictionary(type_):
        yield from _types(type_.value_type)
    else:
        for n in range(type_.num_fields):
            yield from _types(type_.field(n).type)


def _check_extensions(schema: Any, expected: object) -> None:
    """A type that is not registered here would come back as what it is stored as, without a word."""
    if not isinstance(expected, list):
        return
    found = {
        type_.extension_name
        for field in schema
        for type_ in _types(field.type)
        if isinstance(type_, pa.BaseExtensionType) and not isinstance(type_, pa.UnknownExtensionType)
    }
    missing = [name for name in expected if name not in found]
    if missing:
        raise ValueError(
            f"the extension type {missing[0]!r:.80} is not known here; register it with pyarrow.register_extension_type first"
        )


def _check_names(schema: Any) -> None:
    """Raises `UnicodeDecodeError` for a name that is no text: everything else that is done with the schema would."""
    for field in schema:
        str(field.name)
        for type_ in _types(field.type):
            for n in range(type_.num_fields):
                str(type_.field(n).name)
