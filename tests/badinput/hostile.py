"""Payloads in safe formats that promise more than they are; each is loaded in a process that may take little memory."""

from __future__ import annotations

import io
import json
import resource
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

ROOM = 512 << 20
"""Bytes of memory that loading one may take beside what the process had before."""
SECONDS = 20


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode("latin1")
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text)) + text + data


def declared_npy() -> Any:
    return "npy", {"data.npy": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }")}


def deep_npy_header() -> Any:
    return "npy", {"data.npy": npy("(" * 100_000)}


def object_npy() -> Any:
    return "npy", {"data.npy": npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"\x80\x04N.")}


def endless_npy_header() -> Any:
    return "npy", {"data.npy": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{"}


def many_dimensions() -> Any:
    return "npy", {"data.npy": npy(f"{{'descr': '<f8', 'fortran_order': False, 'shape': {(0,) * 10_000}, }}")}


def deep_json() -> Any:
    return "json", {"data.json": b"[" * 5_000_000}


def long_int_json() -> Any:
    return "json", {"data.json": b"9" * 5_000_000}


def cut_text() -> Any:
    return "str", {"data.txt": b"\xff\xfe" * 1000}


def arrow_compressed() -> Any:
    import numpy as np
    import pyarrow as pa  # type: ignore[import-untyped]

    table, file = pa.table({"a": np.zeros(4_000_000)}), io.BytesIO()
    with pa.ipc.new_file(file, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return "arrow", {"data.arrow": file.getvalue()}


def pandas_arrow(frame: Any, change: Callable[[dict[str, Any]], None], columns: Any = None, **options: Any) -> Any:
    """A frame as it is saved, but with another description, other columns, or other options of writing."""
    import pyarrow as pa

    from aioartifacts.materializers.pandas import PandasMaterializer

    sink = io.BytesIO()
    PandasMaterializer().dump(frame).parts[0].body.write_to(sink)
    table = pa.ipc.open_file(sink.getvalue()).read_all()
    metadata = dict(table.schema.metadata)
    spec = json.loads(metadata[b"aioartifacts"])
    change(spec)
    metadata[b"aioartifacts"] = json.dumps(spec).encode()
    table = (pa.table({"c0": columns}) if columns is not None else table).replace_schema_metadata(metadata)
    file = io.BytesIO()
    with pa.ipc.new_file(file, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return "pandas-arrow", {"frame.arrow": file.getvalue()}


def pandas_arrow_compressed() -> Any:
    import numpy as np
    import pandas as pd

    return pandas_arrow(pd.DataFrame(np.zeros((4_000_000, 1))), lambda spec: None, compression="zstd")


def pandas_arrow_used_often() -> Any:
    """A hundred columns of objects over the same text."""
    import pandas as pd

    def change(spec: dict[str, Any]) -> None:
        spec["columns"] *= 100
        spec["labels"]["range"] = [0, 100, 1]

    return pandas_arrow(pd.DataFrame([["x" * 10_000_000]], dtype=object), change)


def pandas_arrow_nulls() -> Any:
    """Two billion cells of None, which take no bytes in Arrow."""
    import pandas as pd
    import pyarrow as pa

    def change(spec: dict[str, Any]) -> None:
        spec["rows"] = 2_000_000_000
        spec["index"]["range"] = [0, 2_000_000_000, 1]

    return pandas_arrow(pd.DataFrame([[None]], dtype=object), change, pa.nulls(2_000_000_000))


def polars_compressed() -> Any:
    return "polars", arrow_compressed()[1]


def parquet(table: Any, **options: Any) -> bytes:
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(table, file, compression="zstd", store_schema=False, **options)
    return file.getvalue()


@cache
def parquet_of_runs() -> bytes:
    """Forty million rows, all the same, in a few kilobytes."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    file = io.BytesIO()
    chunk = pa.table({"c0": pa.array(np.zeros(10_000_000, "i8")).dictionary_encode()})
    with parquet.ParquetWriter(file, chunk.schema, compression="zstd", write_batch_size=10_000_000) as writer:
        for _ in range(4):
            writer.write_table(chunk, row_group_size=10_000_000)
    return file.getvalue()


@cache
def parquet_of_one_row() -> bytes:
    """One list of forty million zeros."""
    import numpy as np
    import pyarrow as pa

    zeros = pa.array(np.zeros(40_000_000, "i1"))
    return parquet(pa.table({"c0": pa.ListArray.from_arrays(pa.array([0, len(zeros)], pa.int32()), zeros)}))


def texts(nested: bool = False) -> bytes:
    """A hundred thousand rows, or one, that refer to one text of ten million characters."""
    import numpy as np
    import pyarrow as pa

    text: Any = pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, "i4")), pa.array(["x" * 10_000_000]))
    if nested:
        text = pa.StructArray.from_arrays(
            [pa.ListArray.from_arrays(pa.array([0, len(text)], pa.int32()), text)], ["inner"]
        )
    return parquet(pa.table({"c0": text}), dictionary_pagesize_limit=1 << 30)


@cache
def parquet_of_a_text() -> bytes:
    """Three hundred million zeros in one page."""
    import numpy as np
    import pyarrow as pa

    ends, zeros = np.array([0, 300_000_000], "i4"), np.zeros(300_000_000, "u1")
    text = pa.Array.from_buffers(pa.binary(), 1, [None, pa.py_buffer(ends), pa.py_buffer(zeros)])
    return parquet(pa.table({"c0": text}), use_dictionary=False)


@cache
def parquet_of_beginnings() -> bytes:
    import pyarrow as pa

    return parquet(pa.table({"c0": ["x" * 1_000_000] * 30}), use_dictionary=False, column_encoding="DELTA_BYTE_ARRAY")


def pandas_parquet_of_runs() -> Any:
    return "pandas-parquet", {"frame.parquet": parquet_of_runs()}


def pandas_parquet_of_one_row() -> Any:
    return "pandas-parquet", {"frame.parquet": parquet_of_one_row()}


def pandas_parquet_of_references() -> Any:
    return "pandas-parquet", {"frame.parquet": texts()}


def pandas_parquet_of_nested_references() -> Any:
    return "pandas-parquet", {"frame.parquet": texts(nested=True)}


def pandas_parquet_of_a_text() -> Any:
    return "pandas-parquet", {"frame.parquet": parquet_of_a_text()}


def pandas_parquet_of_beginnings() -> Any:
    return "pandas-parquet", {"frame.parquet": parquet_of_beginnings()}


def pandas_parquet_that_lies() -> Any:
    """Its footer says that there are few values."""
    data = bytearray(parquet_of_one_row())
    told = varint(2 * 40_000_000)  # as Thrift writes a number with a sign
    where = data.rindex(told)
    data[where : where + len(told)] = varint(2, len(told))
    return "pandas-parquet", {"frame.parquet": bytes(data)}


def varint(number: int, length: int = 0) -> bytes:
    """A number of Thrift's compact protocol, padded to *length*."""
    found = bytearray()
    while number > 0x7F or len(found) + 1 < length:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(found) + bytes([number])


def polars_parquet_of_runs() -> Any:
    return "polars-parquet", {"data.parquet": parquet_of_runs()}


def polars_parquet_of_one_row() -> Any:
    return "polars-parquet", {"data.parquet": parquet_of_one_row()}


def polars_parquet_of_a_text() -> Any:
    return "polars-parquet", {"data.parquet": parquet_of_a_text()}


def polars_parquet_of_beginnings() -> Any:
    return "polars-parquet", {"data.parquet": parquet_of_beginnings()}


def polars_parquet_of_references() -> Any:
    """For Polars this is no bomb: its rows refer to the text, too."""
    return "polars-parquet", {"data.parquet": texts()}, {"kind": "DataFrame"}


def png(size: int, more: bytes = b"") -> Any:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0))
    data = head + more + chunk(b"IDAT", zlib.compress(bytes(1_000_000))) + chunk(b"IEND", b"")
    meta = {"mode": "L", "class": "PIL.Image.Image", "about": {}}
    about = b'{"info":{},"palette":null}'
    return "pillow", {"data.png": b"\x89PNG\r\n\x1a\n" + data, "about.json": about}, meta


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of_huge_declared_size() -> Any:
    return png(100_000)


def png_of_long_text() -> Any:
    return png(10, chunk(b"zTXt", b"comment\0\0" + zlib.compress(bytes(100_000_000))))


def skops_zip_bomb() -> Any:
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("schema.json", "w", force_zip64=True) as inner,
    ):
        inner.write(bytes(50_000_000))
    return "skops", {"data.skops": file.getvalue()}


def huge_sparse() -> Any:
    """A list for each of a hundred billion rows."""
    import numpy as np

    data = {"data.npy": np.zeros(0), "coords.npy": np.zeros((2, 0), "i8")}
    meta = {"class": "lil_array", "shape": [100_000_000_000, 1], "arrays": {"data": {}, "coords": {}}}
    return "scipy-sparse", {name: saved(array) for name, array in data.items()}, meta


def saved(array: Any) -> bytes:
    import numpy as np

    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def torch_lies() -> Any:
    head = json.dumps({"t": {"dtype": "F64", "shape": [1 << 40], "data_offsets": [0, 8 << 40]}}).encode()
    return "torch", {"data.safetensors": struct.pack("<Q", len(head)) + head + bytes(64)}


def torch_header_without_end() -> Any:
    return "safetensors", {"data.safetensors": struct.pack("<Q", 1 << 62) + b"{}"}


PARQUET = "become more than"
HOSTILE: dict[Callable[[], Any], str] = {
    declared_npy: "not what shape", deep_npy_header: "characters long", object_npy: "holds Python objects",
    endless_npy_header: "characters long", many_dimensions: "characters long", deep_json: "nested too deeply",
    long_int_json: "out of range", cut_text: "invalid start byte", arrow_compressed: "are compressed",
    pandas_arrow_compressed: "are compressed", pandas_arrow_used_often: "used twice", pandas_arrow_nulls: "2000000000 nulls",
    polars_compressed: "are compressed", pandas_parquet_of_runs: PARQUET, pandas_parquet_of_one_row: PARQUET,
    pandas_parquet_of_references: PARQUET, pandas_parquet_of_nested_references: PARQUET, pandas_parquet_of_a_text: PARQUET,
    pandas_parquet_of_beginnings: "encoding 7", pandas_parquet_that_lies: PARQUET, polars_parquet_of_runs: PARQUET,
    polars_parquet_of_one_row: PARQUET, polars_parquet_of_a_text: PARQUET, polars_parquet_of_beginnings: "encoding 7",
    png_of_huge_declared_size: "100000 by 100000 pixels", png_of_long_text: "too large", skops_zip_bomb: "is compressed",
    huge_sparse: "far more memory", torch_lies: "does not lie in the file", torch_header_without_end: "longer than the file",
}  # fmt: skip
"""Each, and what the error says, so that it is the check that refuses it, and not that nothing fits."""
HARMLESS: tuple[Callable[[], Any], ...] = (polars_parquet_of_references,)
"""What is loaded, and takes little."""


def plant(store: Any, path: str, format: str, data: dict[str, bytes], meta: dict[str, Any] | None = None) -> None:
    """Save what a stranger could have written: a sound record, and parts that are not."""
    import aioartifacts as aa

    class Planted(aa.Materializer):
        name = "planted"
        safe = True

        def accepts(self, obj: object) -> bool:
            return True

        def dump(self, obj: object) -> aa.Dump:
            return aa.Dump([aa.Part(name, aa.Buffers(body)) for name, body in data.items()], meta or {})

        def load(self, parts: aa.Parts) -> object:
            raise AssertionError

    Planted.format = format
    registry = aa.MaterializerRegistry()
    registry.register(Planted())
    type(store)(store.base_path, materializers=registry, durability="process").save(0, path, format=format)


def memory(which: str) -> int:
    """Bytes that this process has, or had at most."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(which))
    return int(line.split()[1]) * 1024


def main(folder: str, formats: list[str]) -> None:
    """Load everything there; print what became of it, and what it took."""
    from aioartifacts import ArtifactError
    from aioartifacts.sync import LocalArtifactStore

    with LocalArtifactStore(folder, trust="data", durability="process") as store:
        for format in formats:  # import before memory is counted
            store.materializers.for_format(format)
        import numpy  # noqa: F401

        # Against the worst only: what fails to get memory in Rust ends the process, and its allocator reserves far more than it takes.
        resource.setrlimit(resource.RLIMIT_AS, (64 << 30, 64 << 30))
        found = {}
        for path in store.list_artifacts():
            before, started = memory("VmRSS"), time.monotonic()
            Path("/proc/self/clear_refs").write_text("5")  # forgets the highest so far
            try:
                what = f"loaded: {type(store.load(path)).__name__}"
            except ArtifactError as error:
                what = f"{type(error).__name__}: {error}"[:300]
            found[path] = [what, time.monotonic() - started, memory("VmHWM") - before]
    print("\n" + json.dumps(found), end="")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
