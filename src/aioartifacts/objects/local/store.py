"""Objects as files below one folder of a local disk.

A put writes a temporary file under ``.aioartifacts/tmp``, then links (create) or renames (replace) it to its name, so that a reader sees
all of an object or none of it. With ``durability="full"`` the file is synced before that, and afterwards the folder that holds the name
and every folder that got a new one. Symbolic links below the root are never followed, and only regular files are read.

POSIX cannot compare and rename in one step. So everything here that replaces or deletes an object, conditionally or not, holds a lock
file picked by a hash of the key meanwhile. Creating needs none: ``link`` itself refuses an existing name, and a key that is missing has
nothing to compare.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import mmap
import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import PurePath
from urllib.parse import unquote_to_bytes

from aioartifacts.errors import (
    ArtifactError,
    ArtifactExistsError,
    ArtifactNotFoundError,
    ConflictError,
    InvalidConfigError,
    InvalidPathError,
    StoreError,
)
from aioartifacts.keys import INTERNAL, PARTS_PREFIX, RECORD, URI, path_of_part
from aioartifacts.objects.base import BlockingObjectStore, Body, ObjectData, PutRequest
from aioartifacts.objects.local.content import buffer, generation, read, read_into
from aioartifacts.objects.local.draft import Before, Draft, draft_name
from aioartifacts.objects.local.oserrors import translate
from aioartifacts.types import JSON, MIB, Buffer, Durability, Generation, ObjectInfo

if sys.platform == "win32":
    from aioartifacts.objects.local.windows import DRAFTS, Tree
else:
    from aioartifacts.objects.local.posix import DRAFTS, Tree

BATCH = 48
"""Temporary files that ``put_many`` holds open at once."""
MAP_MIN = MIB
"""Bytes from which a read goes to anonymous memory of its own, which is touched only once, instead of a ``bytes``."""

_ODD_KEY = re.compile(r"(?:^|/)\.{0,2}(?:/|$)|\0|^" + re.escape(INTERNAL) + r"(?:/|$)")
# What opening something that is not there, or is no object, can say.
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EISDIR)


class LocalObjectStore(BlockingObjectStore):
    """Objects as files below the folder *root*, which the first put makes.

    Files and folders get the modes that the umask allows, but are never writable for others; so people who share a folder through
    its group (setgid, umask 002) share the objects. Generations are digests of the content, but for objects above 128 KiB: there
    of their beginning, end, size and the file's identity.

    Raises:
        InvalidConfigError: *root* is no path of a folder, or *durability* is neither ``"full"`` nor ``"process"``.
    """

    def __init__(self, root: str | os.PathLike[str], *, durability: Durability = "full") -> None:
        given = os.fspath(root) if isinstance(root, str | os.PathLike) else None
        if type(given) is not str or not given or "\0" in given:
            raise InvalidConfigError(f"the root of a local store is the path of a folder, not {root!r}")
        if URI.match(given):
            raise InvalidConfigError(f"{given!r} is a URL, not the path of a folder: open_store() takes URLs")
        if durability not in ("full", "process"):
            raise InvalidConfigError(f"durability is 'full' or 'process', not {durability!r}")
        absolute = os.path.abspath(given)
        if os.name == "posix":
            absolute = "/" + absolute.lstrip("/")  # POSIX lets "//" mean something else, and abspath keeps it
        if os.path.dirname(absolute) == absolute:
            raise InvalidConfigError(f"{given!r} is the root of the whole file system: name a folder for the store")
        self.root = absolute
        self.durability: Durability = durability
        self.url = PurePath(absolute).as_uri()
        self._durable = durability == "full"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.root!r}, durability={self.durability!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return partial(type(self), durability=self.durability), (self.root,)

    def config(self) -> Mapping[str, JSON]:
        return {"base_path": self.root, "durability": self.durability}

    def location(self, path: str) -> str:
        return f"{self.root}{os.sep}{path.replace('/', os.sep)}" if path else self.root

    def relative(self, location: str) -> str | None:
        path = location
        if URI.match(location):
            scheme, _, rest = location.partition("://")
            host, slash, encoded = rest.partition("/")
            if scheme.lower() != "file" or host.lower() not in ("", "localhost") or not slash:
                raise InvalidPathError(f"{location!r} is not inside the store {self.url}", path=location)
            if "?" in encoded or "#" in encoded:
                raise InvalidPathError(f"{location!r} holds '?' or '#'; in a name, write %3F or %23", path=location)
            path = os.fsdecode(unquote_to_bytes(encoded))
            path = path.replace("/", os.sep) if os.name == "nt" else "/" + path
        elif not os.path.isabs(location):
            return None
        if path == self.root:
            return ""
        inside = path.removeprefix(self.root + os.sep).replace(os.sep, "/")
        if len(inside) == len(path) or _ODD_KEY.search(inside):
            raise InvalidPathError(f"{location!r} is not inside the store {self.root}", path=location)
        return inside

    def put(self, key: str, body: Body, *, if_generation: Generation | None = None) -> ObjectInfo:
        with Tree(self.root) as tree:
            info, before = self._put(tree, key, body, if_generation)
            if self._durable:
                for error in self._sync_names(tree, {0: (info, before)}).values():
                    raise error
        return info

    def put_many(self, puts: Sequence[PutRequest]) -> list[ObjectInfo | BaseException]:
        """See `BlockingObjectStore.put_many`; the files are synced side by side, and each folder once."""
        answers: dict[int, ObjectInfo | BaseException] = {}
        with Tree(self.root) as tree:
            if self._durable:
                placed: dict[int, tuple[ObjectInfo, Before]] = {}
                numbered = list(enumerate(puts))
                try:
                    for first in range(0, len(puts), BATCH):
                        self._put_batch(tree, dict(numbered[first : first + BATCH]), answers, placed)
                finally:
                    answers |= self._sync_names(tree, placed)
            else:
                for i, put in enumerate(puts):
                    try:
                        answers[i], _ = self._put(tree, put.key, put.body, put.if_generation)
                    except Exception as error:  # an answer of put_many
                        answers[i] = error
        return [answers[i] for i in range(len(puts))]

    def _put(self, tree: Tree, key: str, body: Body, if_generation: Generation | None) -> tuple[ObjectInfo, Before]:
        self._check_key(key, "put")
        draft = Draft(tree, key)
        try:
            draft.fill(body)
            if self._durable:
                draft.sync()
            info = draft.close()
            before = self._commit(tree, draft, if_generation)
        finally:
            draft.discard()
        return info, before

    def _put_batch(
        self,
        tree: Tree,
        puts: Mapping[int, PutRequest],
        answers: dict[int, ObjectInfo | BaseException],
        placed: dict[int, tuple[ObjectInfo, Before]],
    ) -> None:
        drafts: dict[int, Draft] = {}
        try:
            for i, put in puts.items():
                try:
                    self._check_key(put.key, "put")
                    drafts[i] = Draft(tree, put.key)
                    drafts[i].fill(put.body)
                except Exception as error:  # an answer of put_many
                    answers[i] = error
                else:
                    tree.start_writing_back(drafts[i].fd)
            for i, draft in drafts.items():
                if i not in answers:
                    try:
                        draft.sync()
                        answers[i] = draft.close()
                    except ArtifactError as error:
                        answers[i] = error
            for i, draft in drafts.items():
                if isinstance(info := answers[i], ObjectInfo):
                    try:
                        placed[i] = info, self._commit(tree, draft, puts[i].if_generation)
                    except ArtifactError as error:
                        answers[i] = error
        finally:
            for draft in drafts.values():
                draft.discard()

    def _commit(self, tree: Tree, draft: Draft, if_generation: Generation | None) -> Before:
        key = draft.key
        before = Before(tree, key)
        try:
            if if_generation == 0:
                tree.place(draft.name, key, replace=False)
            else:
                with tree.lock(key):
                    if if_generation is not None:
                        self._check_generation(tree, key, if_generation, "put")
                    if self._durable:
                        before.keep()
                    try:
                        tree.place(draft.name, key, replace=True)
                    except BaseException:
                        before.forget()
                        raise
            draft.name = ""
        except ArtifactError:
            raise
        except FileExistsError as error:
            with contextlib.suppress(OSError):
                if not tree.is_object(key):
                    raise StoreError(
                        f"cannot put {key!r}: something that is no regular file has that name in {self.root}; move it away",
                        path=key,
                        operation="put",
                    ) from error
            raise ArtifactExistsError(f"{key!r} exists already", path=key, operation="put") from error
        except OSError as error:
            raise translate(error, self.root, key, "put") from error
        return before

    def _check_generation(self, tree: Tree, key: str, expected: Generation, operation: str) -> None:
        """Call with the lock held."""
        try:
            fd, status = self._open_object(tree, key, operation)
        except ArtifactNotFoundError:
            actual: str | None = None
        else:
            try:
                actual = generation(fd, status)
            finally:
                os.close(fd)
        if actual != expected:
            raise ConflictError(
                f"{key!r} was {'replaced' if actual else 'deleted'} meanwhile: read it again, then try again",
                path=key,
                operation=operation,
            )

    def _sync_names(self, tree: Tree, placed: Mapping[int, tuple[ObjectInfo, Before]]) -> dict[int, BaseException]:
        """Make the names just given durable, each folder once, and answer for which of them that failed."""
        failed: dict[int, BaseException] = {}
        folders = {info.key.rpartition("/")[0] for info, _ in placed.values()} | tree.made
        try:
            for folder in sorted(folders, key=lambda f: (os.path.isabs(f), -len(f), f)):
                try:
                    tree.sync(folder)
                except OSError as error:
                    for i, (info, before) in placed.items():
                        if i not in failed and (
                            not folder or os.path.isabs(folder) or info.key.startswith(f"{folder}/")
                        ):
                            failed[i] = self._not_durable(tree, info, before, error)
        finally:
            for _, before in placed.values():
                before.forget()
            tree.made.clear()
        return failed

    def _not_durable(self, tree: Tree, info: ObjectInfo, before: Before, cause: OSError) -> BaseException:
        """Undo a put. What a power cut then leaves is still one or the other: nobody fsyncs twice and believes it."""
        left = "the new content is in place, but might not survive a power cut"
        with contextlib.suppress(OSError, ArtifactError):
            if before.missing:
                self._delete(tree, info.key, info.generation)
                left = "nothing was stored"
            else:
                with tree.lock(info.key):
                    self._check_generation(tree, info.key, info.generation or 0, "put")
                    if before.put_back(replace=True):
                        left = "what was there before is there again"
        error = translate(cause, self.root, info.key, "put", outcome=left)
        error.__cause__ = cause
        return error

    def get(self, key: str, *, start: int = 0, length: int | None = None, into: memoryview | None = None) -> ObjectData:
        self._check_key(key, "get")
        version: str | None = None
        try:
            with Tree(self.root) as tree:
                fd, status = self._open_object(tree, key, "get")
                try:
                    size = status.st_size
                    wanted = size - start if length is None else min(length, size - start)
                    data: Buffer
                    if into is not None:
                        data = read_into(fd, into[: max(0, wanted)], start)
                    elif wanted >= MAP_MIN:
                        data = read_into(fd, buffer(wanted), start)
                    else:
                        data = read(fd, wanted, start)
                    if into is None and start == 0 and length is None:
                        version = generation(fd, status, data)
                finally:
                    os.close(fd)
        except ArtifactError:
            raise
        except OSError as error:
            raise translate(error, self.root, key, "get") from error
        return ObjectData(ObjectInfo(key, size, version, None, status.st_mtime), data)

    def head(self, key: str) -> ObjectInfo:
        self._check_key(key, "head")
        with Tree(self.root) as tree:
            fd, status = self._open_object(tree, key, "head")
            os.close(fd)
        return ObjectInfo(key, status.st_size, updated=status.st_mtime)

    def delete(self, key: str, *, if_generation: Generation | None = None) -> None:
        """See `BlockingObjectStore.delete`. What is no regular file counts as missing, and stays."""
        self._check_key(key, "delete")
        # A part that a power cut brings back is an orphan, which the sweep removes; a record would be an artifact.
        durable = self._durable and path_of_part(key) is None
        try:
            with Tree(self.root) as tree:
                before = Before(tree, key)
                try:
                    left = self._delete(tree, key, if_generation, before if durable else None)
                    if durable and left is not None:
                        self._sync_delete(tree, before, left)
                finally:
                    before.forget()
        except ArtifactError:
            raise
        except OSError as error:
            raise translate(error, self.root, key, "delete") from error

    def _sync_delete(self, tree: Tree, before: Before, folder: str) -> None:
        try:
            tree.sync(folder)
        except OSError as error:
            left = "it is gone, but a power cut might bring it back"
            with contextlib.suppress(OSError):
                if before.put_back(replace=False):
                    left = "it is there again"
            raise translate(error, self.root, before.key, "delete", outcome=left) from error

    def _delete(
        self, tree: Tree, key: str, if_generation: Generation | None, before: Before | None = None
    ) -> str | None:
        try:
            if not tree.is_object(key):
                return None
            with tree.lock(key):
                if if_generation is not None:
                    self._check_generation(tree, key, if_generation, "delete")
                if before is not None:
                    with contextlib.suppress(OSError):  # deleting must go on working on a full disk
                        before.keep()
                return tree.unlink(key)
        except OSError as error:
            if error.errno not in _MISSING or isinstance(error, ArtifactError):
                raise
            return None

    def list(self, prefix: str = "", *, name: str | None = None) -> Iterator[ObjectInfo]:
        if prefix:
            self._check_key(prefix, "list")
        return self._list(prefix, name)

    def _list(self, prefix: str, name: str | None) -> Iterator[ObjectInfo]:
        pending = [prefix]
        while pending:
            folder = pending.pop()
            try:
                # Opened and closed for each folder, so that nothing is held while a reader takes its time, or never comes back.
                with Tree(self.root) as tree:
                    folders, files = tree.scan(folder)
            except OSError as error:
                if error.errno not in _MISSING:
                    raise translate(error, self.root, folder, "list") from error
                if folder == prefix != "" and name in (None, prefix.rpartition("/")[2]):
                    with contextlib.suppress(ArtifactNotFoundError):
                        yield self.head(prefix)
                elif not folder and not isinstance(error, FileNotFoundError):
                    raise translate(error, self.root, folder, "list") from error
                continue
            above = f"{folder}/" if folder else ""
            pending.extend(
                above + entry
                for entry in folders
                # No record lies in a folder of parts.
                if (folder or entry != INTERNAL) and (name != RECORD or not entry.startswith(PARTS_PREFIX))
            )
            for entry, status in files:
                if name is None or entry == name:
                    yield ObjectInfo(above + entry, status.st_size, updated=status.st_mtime)

    def map(self, key: str) -> memoryview:
        self._check_key(key, "map")
        try:
            with Tree(self.root) as tree:
                fd, status = self._open_object(tree, key, "map")
                try:
                    return memoryview(mmap.mmap(fd, 0, access=mmap.ACCESS_READ) if status.st_size else b"")
                finally:
                    os.close(fd)
        except ArtifactError:
            raise
        except OSError as error:
            raise translate(error, self.root, key, "map") from error

    def file(self, key: str) -> str | None:
        try:
            self.head(key)
        except ArtifactNotFoundError:
            return None
        return self.location(key)

    def sweep_drafts(self, before: float, *, dry_run: bool) -> builtins.list[ObjectInfo]:
        found: builtins.list[ObjectInfo] = []
        try:
            with Tree(self.root) as tree:
                for name, status in tree.drafts():
                    if status.st_mtime < before:
                        found.append(ObjectInfo(f"{DRAFTS}/{name}", status.st_size, updated=status.st_mtime))
                        if not dry_run:
                            tree.discard_draft(name)
                if not dry_run:
                    self._prune_all(tree)
        except FileNotFoundError:
            return found  # there is no store yet
        except OSError as error:
            raise translate(error, self.root, DRAFTS, "sweep") from error
        return found

    @staticmethod
    def _prune_all(tree: Tree) -> None:
        """Remove empty folders. One that a put has just made is made again by it."""
        pending = [""]
        while pending:
            folder = pending.pop()
            with contextlib.suppress(FileNotFoundError):
                folders, _ = tree.scan(folder)
                above = f"{folder}/" if folder else ""
                pending.extend(above + entry for entry in folders if folder or entry != INTERNAL)
                if folder and not folders:
                    tree.prune(folder)  # refuses while there are files

    def validate(self) -> None:
        """Make the root if it is missing; write and remove a temporary file; take a lock.

        Raises:
            StoreError: one of these cannot be done; the message says why.
        """
        try:
            with Tree(self.root) as tree:
                name = draft_name()
                try:
                    os.close(tree.create_draft(name))
                finally:
                    tree.discard_draft(name)
                with tree.lock("validate"):
                    pass
        except (FileExistsError, NotADirectoryError) as error:
            raise StoreError(
                f"{self.root} cannot be the root of a store: it, or something above it, is a file and no folder"
            ) from error
        except OSError as error:
            raise translate(error, self.root, "", "validate") from error

    def doubt(self) -> str | None:
        """See `BlockingObjectStore.doubt`. None when the root is ours (or we are the superuser), and others cannot write; its group may."""
        if sys.platform == "win32":
            return None
        try:
            status = os.stat(self.root)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise translate(error, self.root, "", "examine") from error
        if os.geteuid() not in (0, status.st_uid):
            return f"the folder {self.root} belongs to another user (uid {status.st_uid}; this process is uid {os.geteuid()})"
        if status.st_mode & stat.S_IWOTH:
            mode = stat.S_IMODE(status.st_mode)
            return f"everybody can write to the folder {self.root} (mode {mode:04o}), which 'chmod o-w' would end"
        return None

    def _check_key(self, key: str, operation: str) -> None:
        """Keys come checked; this only makes sure that none of them can lead out of the root, or into what is not an object."""
        if _ODD_KEY.search(key) or (os.name == "nt" and ("\\" in key or ":" in key)):
            raise InvalidPathError(f"{key!r} is no key of an object", path=key, operation=operation)
        if not key.isascii():
            try:
                os.fsencode(key)
            except UnicodeEncodeError as error:
                raise InvalidPathError(
                    f"{key!r} cannot be a file's name on this system", path=key, operation=operation
                ) from error

    def _open_object(self, tree: Tree, key: str, operation: str) -> tuple[int, os.stat_result]:
        try:
            fd = tree.open(key)
        except OSError as error:
            if error.errno in _MISSING and (isinstance(error, FileNotFoundError) or os.path.isdir(self.root)):
                raise ArtifactNotFoundError(
                    f"there is no {key!r} in {self.root}", path=key, operation=operation
                ) from error
            raise translate(error, self.root, key, operation) from error
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            raise ArtifactNotFoundError(
                f"{key!r} in {self.root} is no regular file, and so no object", path=key, operation=operation
            )
        return fd, status
