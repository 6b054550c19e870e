"""Payloads in safe formats that promise more than they are; each is loaded in a process that may take little memory."""

from __future__ import annotations

import io
import json
import resource
import struct
import sys
import time
import zipfile
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


def pandas_arrow_compressed() -> Any:
    return "pandas-arrow", {"frame.arrow": arrow_compressed()[1]["data.arrow"]}


def polars_compressed() -> Any:
    return "polars", arrow_compressed()[1]


@cache
def parquet_of_runs() -> bytes:
    """A hundred and fifty million rows, all the same, in a few kilobytes."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    file = io.BytesIO()
    chunk = pa.table({"c0": pa.array(np.zeros(10_000_000, "i8")).dictionary_encode()})
    with parquet.ParquetWriter(file, chunk.schema, compression="zstd", write_batch_size=10_000_000) as writer:
        for _ in range(15):
            writer.write_table(chunk, row_group_size=10_000_000)
    return file.getvalue()


def pandas_parquet_bomb() -> Any:
    return "pandas-parquet", {"frame.parquet": described(parquet_of_runs())}


def described(parquet_file: bytes) -> bytes:
    """With a description that fits, so that nothing but its size stands in the way."""
    import pyarrow as pa
    from pyarrow import parquet

    import aioartifacts.materializers.pandas as ours

    source = parquet.ParquetFile(pa.BufferReader(parquet_file))
    rows = source.metadata.num_rows
    import pandas as pd

    dump = ours.PandasParquetMaterializer().dump(pd.DataFrame({"c0": [0]}))
    sink = io.BytesIO()
    dump.parts[0].body.write_to(sink)
    metadata = dict(parquet.ParquetFile(pa.BufferReader(sink.getvalue())).schema_arrow.metadata)
    spec = json.loads(metadata[b"aioartifacts"])
    spec["rows"] = rows
    spec["index"] = {**spec["index"], **({"stop": rows} if "stop" in spec["index"] else {})}
    out = io.BytesIO()
    schema = source.schema_arrow.with_metadata({b"aioartifacts": json.dumps(spec).encode()})
    with parquet.ParquetWriter(out, schema, compression="zstd") as writer:
        for group in range(source.num_row_groups):
            writer.write_table(
                source.read_row_group(group).replace_schema_metadata(schema.metadata), row_group_size=10_000_000
            )
    return out.getvalue()


def polars_parquet_bomb() -> Any:
    return "polars-parquet", {"data.parquet": parquet_of_runs()}


def png_of_huge_declared_size() -> Any:
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1_000_000))) + chunk(b"IEND", b"")
    return "pillow", {"data.png": b"\x89PNG\r\n\x1a\n" + data}


def skops_zip_bomb() -> Any:
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("schema.json", "w", force_zip64=True) as inner,
    ):
        inner.write(bytes(50_000_000))
    return "skops", {"data.skops": file.getvalue()}


def keras_zip_bomb() -> Any:
    return "keras", {"model.keras": skops_zip_bomb()[1]["data.skops"]}


def huge_sparse() -> Any:
    return "scipy-sparse", {"data.npy": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999,), }")}


def torch_lies() -> Any:
    head = json.dumps({"t": {"dtype": "F64", "shape": [1 << 40], "data_offsets": [0, 8 << 40]}}).encode()
    return "torch", {"data.safetensors": struct.pack("<Q", len(head)) + head + bytes(64)}


def torch_header_without_end() -> Any:
    return "safetensors", {"data.safetensors": struct.pack("<Q", 1 << 62) + b"{}"}


HOSTILE: dict[str, Callable[[], Any]] = {
    make.__name__: make
    for make in (
        declared_npy, deep_npy_header, object_npy, endless_npy_header, many_dimensions, deep_json, long_int_json, cut_text,
        arrow_compressed, pandas_arrow_compressed, polars_compressed, pandas_parquet_bomb, polars_parquet_bomb, png_of_huge_declared_size,
        skops_zip_bomb, keras_zip_bomb, huge_sparse, torch_lies, torch_header_without_end,
    )
}  # fmt: skip


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
