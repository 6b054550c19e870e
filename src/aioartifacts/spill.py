"""Temporary files for what is too large for the budget of memory: made, filled in ranges, mapped, and removed."""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
from collections.abc import Sequence

import aiofiles

from aioartifacts.operations import Source


def make_files(stored: Sequence[Source], folders: list[str]) -> dict[str, str]:
    """Make a folder, which is added to *folders*, with an empty file of the right size for every part."""
    folders.append(tempfile.mkdtemp(prefix="aioartifacts-"))
    paths = {source.name: os.path.join(folders[0], str(index)) for index, source in enumerate(stored)}
    for source in stored:
        with open(paths[source.name], "xb") as file:
            file.truncate(source.size)
    return paths


async def write_at(path: str, start: int, data: memoryview) -> None:
    """Write *data* at *start*, all of it."""
    async with aiofiles.open(path, "r+b", buffering=0) as file:
        await file.seek(start)
        written = 0
        while written < len(data):
            rest = data[written:]
            written += await file.write(rest)
            rest.release()  # the thread that has written it may hold it a little longer


def map_file(path: str, size: int) -> memoryview:
    """Map a private copy of a file: writable, without a way back to the file."""
    if size == 0:
        return memoryview(bytearray())
    with open(path, "rb") as file:
        return memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY))


def remove_folders(folders: Sequence[str]) -> None:
    """Remove folders and what is in them."""
    for folder in folders:
        shutil.rmtree(folder)
