"""Name-to-file operations below one folder, by plain paths: what `LocalObjectStore` uses on Windows.

The same operations as in ``posix.py``, with what Windows lacks left out: folders are not synced (NTFS journals its names), and links
are looked for before each use rather than refused by the kernel during it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import sys
from collections.abc import Iterator

from aioartifacts.keys import INTERNAL

DRAFTS = f"{INTERNAL}/tmp"  # noqa: S108 - a folder of the store, not the system's
LOCKS = f"{INTERNAL}/locks"
ATTEMPTS = 100
_BINARY: int = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)
_REPARSE_POINT = 0x400  # FILE_ATTRIBUTE_REPARSE_POINT


class Tree:
    """The files below *root*; see the POSIX one."""

    __slots__ = ("made", "root")

    def __init__(self, root: str) -> None:
        self.root = root
        self.made: set[str] = set()

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def open(self, name: str) -> int:
        path = self._path(name)
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):  # a folder cannot be opened here, and a link must not be
            raise FileNotFoundError(errno.ENOENT, "not a regular file", name)
        return os.open(path, os.O_RDONLY | _BINARY)

    def create_draft(self, name: str) -> int:
        folder = self._make_folder(DRAFTS)
        return os.open(os.path.join(folder, name), os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY, 0o664)

    def discard_draft(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(f"{DRAFTS}/{name}"))

    def drafts(self) -> list[tuple[str, os.stat_result]]:
        """Name and status of all temporary files, of whatever process."""
        return self.scan(DRAFTS)[1]

    def place(self, draft: str, name: str, *, replace: bool) -> None:
        folder, _, leaf = name.rpartition("/")
        source = self._path(f"{DRAFTS}/{draft}")
        for attempt in range(ATTEMPTS):
            try:
                target = os.path.join(self._make_folder(folder), leaf)
                if replace:
                    os.replace(source, target)
                else:
                    os.link(source, target)
                    os.unlink(source)
                return
            except FileNotFoundError:
                if attempt == ATTEMPTS - 1:
                    raise

    def keep(self, name: str, draft: str) -> None:
        self._make_folder(DRAFTS)
        os.link(self._path(name), self._path(f"{DRAFTS}/{draft}"))

    def is_object(self, name: str) -> bool:
        return stat.S_ISREG(os.lstat(self._path(name)).st_mode)

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        file = hashlib.sha256(os.fsencode(name)).hexdigest()[:2]
        fd = os.open(os.path.join(self._make_folder(LOCKS), file), os.O_RDWR | os.O_CREAT | _BINARY, 0o664)
        try:
            if sys.platform == "win32":
                import msvcrt

                while True:
                    try:
                        msvcrt.locking(fd, msvcrt.LK_LOCK, 1)
                        break
                    except OSError as error:  # it gives up after ten seconds
                        if error.errno != errno.EDEADLK:
                            raise
            yield
        finally:
            os.close(fd)

    def unlink(self, name: str) -> str:
        os.unlink(self._path(name))
        return self.prune(name.rpartition("/")[0])

    def prune(self, folder: str) -> str:
        while folder:
            try:
                os.rmdir(self._path(folder))
            except FileNotFoundError:
                pass
            except OSError:  # not empty, or in use
                break
            folder = folder.rpartition("/")[0]
        return folder

    def scan(self, folder: str) -> tuple[list[str], list[tuple[str, os.stat_result]]]:
        folders: list[str] = []
        files: list[tuple[str, os.stat_result]] = []
        path = self._path(folder)
        for name in os.listdir(path):
            with contextlib.suppress(FileNotFoundError):
                status = os.lstat(os.path.join(path, name))
                if not _is_link(status):
                    if stat.S_ISDIR(status.st_mode):
                        folders.append(name)
                    elif stat.S_ISREG(status.st_mode):
                        files.append((name, status))
        return folders, files

    def sync(self, folder: str) -> None:
        pass

    @staticmethod
    def sync_file(fd: int) -> None:
        os.fsync(fd)

    @staticmethod
    def reserve(fd: int, size: int) -> None:
        """Nothing to gain."""

    @staticmethod
    def start_writing_back(fd: int) -> None:
        pass

    def _path(self, name: str) -> str:
        """The full path, after a look at every folder on the way."""
        path = self.root
        for segment in name.split("/") if name else ():
            if path != self.root:
                _check_folder(path)
            path = os.path.join(path, segment)
        return path

    def _make_folder(self, folder: str) -> str:
        path = self.root
        os.makedirs(path, exist_ok=True)
        for segment in folder.split("/") if folder else ():
            path = os.path.join(path, segment)
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, 0o775)
            _check_folder(path)
        return path


def _check_folder(path: str) -> None:
    status = os.lstat(path)
    if _is_link(status):
        raise OSError(errno.ELOOP, "a link is in the way", path)
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "not a folder", path)


def _is_link(status: os.stat_result) -> bool:
    return stat.S_ISLNK(status.st_mode) or bool(getattr(status, "st_file_attributes", 0) & _REPARSE_POINT)
