"""The raw limit: the same system calls by hand, on bytes that are encoded already."""

from __future__ import annotations

import io
import mmap
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import crc32c
import msgspec
import numpy as np

from benchmarks.harness import Contender

THREADS = 2
PIECE = 4 << 20


def encoded(objects: Mapping[str, object]) -> dict[str, bytes]:
    """What a limit saves: encoded before the clock starts."""
    return {key: msgspec.json.encode(obj) for key, obj in objects.items()}


class Calls(Contender):
    """Small files: mkdir, write a temporary file, rename; open, read, close. Only bytes: nothing is encoded or decoded."""

    name = "system calls"
    kind = "raw"
    fsync = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.temporary = folder / ".tmp"
        self.temporary.mkdir()

    def save(self, objects: Mapping[str, bytes]) -> None:
        for key, data in objects.items():
            self.put(key, data)

    def put(self, key: str, data: bytes) -> None:
        folder = f"{self.folder}/{key}"
        temporary = f"{self.temporary}/{key.replace('/', '-')}"
        try:
            os.mkdir(folder)
        except FileNotFoundError:
            os.makedirs(folder)
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.write(file, data)
        if self.fsync:
            os.fsync(file)
        os.close(file)
        os.rename(temporary, f"{folder}/metadata.json")
        if self.fsync:
            for synced in (folder, os.path.dirname(folder)):
                file = os.open(synced, os.O_RDONLY)
                os.fsync(file)
                os.close(file)

    def load(self, keys: Sequence[str]) -> list[bytes]:
        return [self.get(key) for key in keys]

    def get(self, key: str) -> bytes:
        file = os.open(f"{self.folder}/{key}/metadata.json", os.O_RDONLY | os.O_CLOEXEC)
        data = os.read(file, os.fstat(file).st_size)
        os.close(file)
        return data

    def exists(self, keys: Sequence[str]) -> list[bool]:
        return [os.path.exists(f"{self.folder}/{key}/metadata.json") for key in keys]

    def list(self) -> list[str]:
        found, pending = [], [str(self.folder)]
        while pending:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    else:
                        found.append(entry.path)
        return sorted(found)

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            os.unlink(f"{self.folder}/{key}/metadata.json")
            os.rmdir(f"{self.folder}/{key}")


class SyncedCalls(Calls):
    """With fsync of the file, of its folder, and of the folder that holds that one; on four threads, which is the best there is."""

    name = "system calls, 4 threads"
    durability = "full"
    fsync = True

    def save(self, objects: Mapping[str, bytes]) -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self.put, objects.keys(), objects.values()))


class Arrays(Contender):
    """Large arrays: a header, the array's own memory and its crc32c, on two threads; read and digested into fresh memory."""

    name = "write + crc32c, 2 threads"
    kind = "raw"
    fsync = False

    def save(self, objects: Mapping[str, Any]) -> None:
        self._each(objects.items(), lambda item: self._write(*item))

    def _write(self, key: str, array: Any) -> None:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
        view = memoryview(array).cast("B")
        digest = 0
        path = f"{self.folder}/{key}"
        with open(f"{path}.tmp", "xb", buffering=0) as file:
            file.write(header.getvalue())
            for start in range(0, len(view), PIECE):
                digest = crc32c.crc32c(view[start : start + PIECE], digest)
                file.write(view[start : start + PIECE])
            if self.fsync:
                os.fsync(file.fileno())
        os.rename(f"{path}.tmp", path)

    def load(self, keys: Sequence[str]) -> list[Any]:
        return self._each(keys, self._read)

    def _read(self, key: str) -> Any:
        with open(f"{self.folder}/{key}", "rb", buffering=0) as file:
            shape, fortran, dtype = self._header(file)
            array = np.empty(shape, dtype, order="F" if fortran else "C")
            view = memoryview(array).cast("B")
            digest = 0
            for start in range(0, len(view), PIECE):
                file.readinto(piece := view[start : start + PIECE])
                digest = crc32c.crc32c(piece, digest)
        return array

    def load_mapped(self, keys: Sequence[str]) -> list[Any]:
        return self._each(keys, self._map)

    def _map(self, key: str) -> Any:
        with open(f"{self.folder}/{key}", "rb", buffering=0) as file:
            mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            shape, _, dtype = self._header(file)
            at = file.tell()
        digest = 0
        for start in range(0, len(mapped), PIECE):
            digest = crc32c.crc32c(mapped[start : start + PIECE], digest)
        return np.frombuffer(mapped[at:], dtype).reshape(shape)

    @staticmethod
    def _header(file: Any) -> Any:
        np.lib.format.read_magic(file)
        return np.lib.format.read_array_header_1_0(file)

    @staticmethod
    def _each(items: Iterable[Any], call: Callable[[Any], Any]) -> list[Any]:
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(call, items))


class SyncedArrays(Arrays):
    """With fsync of the file."""

    name = "write + crc32c + fsync, 2 threads"
    durability = "full"
    fsync = True
