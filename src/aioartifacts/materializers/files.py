"""Files and folders as they are: ``save(Path("model.bin"), …, format="file")`` and ``format="folder"``.

Both are asked for by name, because a `Path` can just as well be plain data. Kept are names, contents, permission bits and empty folders;
not owners, times, hard links or extended attributes. Symbolic links and special files are refused, never followed.

Loading gives a `Path` of the same base name in a new private temporary folder, which from then on is the caller's, to move or to remove
(``shutil.rmtree(path.parent)``). Nothing is ever written outside that folder, whatever the artifact says.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aioartifacts.errors import EncodeError
from aioartifacts.materializers.base import Buffers, Declined, Dump, Materializer, Part, Parts, Producer, Sink
from aioartifacts.types import JSON

MANIFEST = "manifest.json"
_CHUNK = 1 << 20
_PERMISSIONS = 0o777
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_FORBIDDEN = re.compile(r"[\x00/\\:]" if os.sep == "\\" else r"[\x00/]")


class FileMaterializer(Materializer):
    """A `Path` to a regular file."""

    name = "file"
    format = "file"
    safe = True

    def accepts(self, obj: object) -> bool:
        return type(obj) is type(Path())

    def dump(self, obj: object) -> Dump:
        path = _path(obj)
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode):
            raise Declined(f"{_shown(path)} is {_kind(found.st_mode)}, not a regular file")
        meta: dict[str, JSON] = {"name": os.fsencode(path.name).hex(), "mode": found.st_mode & _PERMISSIONS}
        return Dump([Part(_part_name(path.name), _body(str(path), found))], meta)

    def load(self, parts: Parts) -> object:
        name = _name(os.fsdecode(bytes.fromhex(str(parts.meta.get("name")))))
        mode = _mode(parts.meta.get("mode"))
        if len(parts.names) != 1:
            raise ValueError("a file has one part")
        with _target() as target:
            _copy(parts, parts.names[0], os.path.join(target, name), mode)
            return Path(target, name)

    def summary(self, obj: object) -> Mapping[str, JSON]:
        return {"name": _printable(_path(obj).name), "size": os.lstat(_path(obj)).st_size}


class FolderMaterializer(Materializer):
    """A `Path` to a folder: one part per file, in sorted order, and a manifest."""

    name = "folder"
    format = "folder"
    safe = True

    def accepts(self, obj: object) -> bool:
        return type(obj) is type(Path())

    def dump(self, obj: object) -> Dump:
        path = _path(obj)
        found = os.lstat(path)
        if not stat.S_ISDIR(found.st_mode):
            raise Declined(f"{_shown(path)} is {_kind(found.st_mode)}, not a folder")
        folders: list[JSON] = []
        files: list[JSON] = []
        parts: list[Part] = []
        for entry in _walk(str(path)):
            mode = entry.found.st_mode & _PERMISSIONS
            if stat.S_ISDIR(entry.found.st_mode):
                folders.append([entry.relative, mode])
            else:
                name = f"{len(files)}-{_part_name(entry.relative.rpartition('/')[2])}"
                files.append([entry.relative, mode, name])
                parts.append(Part(name, _body(entry.path, entry.found)))
        manifest = {
            "name": path.resolve().name or "folder",
            "mode": found.st_mode & _PERMISSIONS,
            "folders": folders,
            "files": files,
        }
        text = json.dumps(manifest, ensure_ascii=True, separators=(",", ":")).encode()
        return Dump([Part(MANIFEST, Buffers(text)), *parts])

    def load(self, parts: Parts) -> object:
        manifest = _manifest(parts)
        with _target() as target:
            root = os.path.join(target, manifest.name)
            os.mkdir(root, 0o700)
            for name in manifest.folders:
                os.mkdir(os.path.join(root, name), 0o700)
            for name, (part, mode) in manifest.files.items():
                _copy(parts, part, os.path.join(root, name), mode)
            # Only now, and from the inside out: a folder may be read-only.
            for name, mode in reversed([*manifest.folders.items()]):
                os.chmod(os.path.join(root, name), mode)
            os.chmod(root, manifest.mode)
            return Path(root)

    def summary(self, obj: object) -> Mapping[str, JSON]:
        return {"name": _printable(_path(obj).resolve().name)}


@dataclass(frozen=True, slots=True)
class _Entry:
    relative: str
    path: str
    found: os.stat_result


@dataclass(frozen=True, slots=True)
class _Manifest:
    """Checked: names are relative and inside, each is there once, and parents come before what is in them."""

    name: str
    mode: int
    folders: Mapping[str, int]
    files: Mapping[str, tuple[str, int]]


def _walk(root: str) -> Iterator[_Entry]:
    """Folders and files under *root*, sorted, a folder before what is in it.

    Raises:
        Declined: there is something else.
    """
    waiting = [("", root)]
    while waiting:
        prefix, folder = waiting.pop()
        inner: list[tuple[str, str]] = []
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
        for entry in entries:
            found = os.lstat(entry.path)  # not entry.stat(): on Windows that has no inode
            relative = f"{prefix}{entry.name}"
            if stat.S_ISDIR(found.st_mode):
                inner.append((f"{relative}/", entry.path))
            elif not stat.S_ISREG(found.st_mode):
                raise Declined(
                    f"{_shown(entry.path)} is {_kind(found.st_mode)}; folders are saved with nothing but regular files and folders in them"
                )
            yield _Entry(relative, entry.path, found)
        waiting += reversed(inner)


def _body(path: str, found: os.stat_result) -> Producer:
    """The content of one file, provided that it is still the file that was *found*."""

    def produce(sink: Sink) -> None:
        descriptor = os.open(path, _READ)
        with open(descriptor, "rb", buffering=0) as file:
            _unchanged(path, found, os.fstat(descriptor))
            copied = 0
            while chunk := file.read(_CHUNK):
                copied += len(chunk)
                if copied > found.st_size:
                    break
                sink.write(chunk)
            if copied != found.st_size:
                raise EncodeError(f"{_shown(path)} changed its size while it was saved")
            _unchanged(path, found, os.fstat(descriptor))

    return Producer(produce, found.st_size)


def _unchanged(path: str, found: os.stat_result, now: os.stat_result) -> None:
    same = (found.st_ino, found.st_dev, found.st_size, found.st_mtime_ns, stat.S_IFMT(found.st_mode))
    if same != (now.st_ino, now.st_dev, now.st_size, now.st_mtime_ns, stat.S_IFMT(now.st_mode)):
        raise EncodeError(f"{_shown(path)} changed while it was saved")


@contextmanager
def _target() -> Iterator[str]:
    """A new private folder, removed again when the body fails."""
    folder = tempfile.mkdtemp(prefix="aioartifacts-")
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _copy(parts: Parts, part: str, path: str, mode: int) -> None:
    descriptor = os.open(path, _CREATE, 0o600)
    with open(descriptor, "wb", buffering=0) as file, parts.open(part) as source:
        shutil.copyfileobj(source, file, _CHUNK)
        _chmod(descriptor, path, mode)


def _chmod(descriptor: int, path: str, mode: int) -> None:
    change: Callable[[Any, int], None] | None = getattr(os, "fchmod", None)
    if change is not None:
        change(descriptor, mode)
    else:
        os.chmod(path, mode)


def _manifest(parts: Parts) -> _Manifest:
    found: Any = json.loads(bytes(parts.read(MANIFEST)))
    try:
        folders: dict[str, int] = {}
        for name, mode in found["folders"]:
            _place(name, folders, folders)
            folders[name] = _mode(mode)
        files: dict[str, tuple[str, int]] = {}
        for name, mode, part in found["files"]:
            _place(name, folders, files)
            if part not in parts.names or part == MANIFEST:
                raise ValueError(f"no part {part!r:.80}")
            files[name] = (part, _mode(mode))
        return _Manifest(_name(found["name"]), _mode(found["mode"]), folders, files)
    except (TypeError, KeyError) as error:
        raise ValueError(f"the manifest of the folder is not valid: {error}") from error


def _place(name: Any, folders: Mapping[str, int], siblings: Mapping[str, object]) -> None:
    """Check a relative name: legal, new, and in a folder that is there already."""
    if type(name) is not str:
        raise ValueError("the manifest has a name that is no text")
    parent, _, last = name.rpartition("/")
    _name(last)
    if (parent and parent not in folders) or name.startswith("/"):
        raise ValueError(f"{name!r:.80} is in no folder of the manifest")
    if name in folders or name in siblings:
        raise ValueError(f"{name!r:.80} is there twice")


def _name(name: Any) -> str:
    if type(name) is not str or name in ("", ".", "..") or _FORBIDDEN.search(name):
        raise ValueError(f"{name!r:.80} is not the name of a file")
    return name


def _mode(mode: Any) -> int:
    if type(mode) is not int:
        raise ValueError("permissions are not a number")
    return mode & _PERMISSIONS


def _path(obj: object) -> Path:
    if not isinstance(obj, Path):
        raise Declined(f"a {type(obj).__qualname__} is no pathlib.Path")
    return obj


def _part_name(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)[-80:].strip("._-")
    return plain or "file"


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


def _shown(path: object) -> str:
    return ascii(str(path))


def _kind(mode: int) -> str:
    for test, name in (
        (stat.S_ISLNK, "a symbolic link"),
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISREG, "a regular file"),
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
    ):
        if test(mode):
            return name
    return "a device"
