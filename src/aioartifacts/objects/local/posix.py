"""Name-to-file operations below one folder, on POSIX systems, that never follow a symbolic link.

Used by `LocalObjectStore` alone. Names are keys: relative, ``/``-separated, already known to hold no ``..``. They are walked from a
descriptor of the root, by openat2(2) with ``RESOLVE_NO_SYMLINKS`` where the kernel has it, else folder by folder with ``O_NOFOLLOW``;
both give the same answers. The root itself, and what lies above it, may be symbolic links. Only `OSError` s are raised here.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import stat
import sys
from collections.abc import Iterator

from aioartifacts.keys import INTERNAL
from aioartifacts.objects.local.oserrors import NO_LINKS

DRAFTS = f"{INTERNAL}/tmp"  # noqa: S108 - a folder of the store, not the system's
LOCKS = f"{INTERNAL}/locks"
# Nothing is ever writable for others, whatever the umask: that is what a trusting store relies on.
FILE_MODE = 0o664
FOLDER_MODE = 0o775
ATTEMPTS = 100
"""How often folders that a concurrent delete prunes are made again before giving up."""

_PATH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO must not wait for its other end.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC
_DRAFT = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LOCK = os.O_RDONLY | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_FULLFSYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)

# From Linux's uapi headers: openat2.h, fs.h, falloc.h. The number of openat2 is the same on every architecture but alpha.
_OPENAT2 = 437
_NO_SYMLINKS, _BENEATH = 0x04, 0x08  # RESOLVE_…
_RENAME_NOREPLACE = 1
_SYNC_FILE_RANGE_WRITE = 2
_FALLOC_FL_KEEP_SIZE = 1


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
_syscall.restype = ctypes.c_long
_fallocate = getattr(_libc, "fallocate64", None)
if _fallocate is not None:
    _fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
# The kernel only reads them, so threads share them.
_hows = {
    (beneath, flags, mode): _OpenHow(flags, mode, _NO_SYMLINKS | _BENEATH * beneath)
    for flags, mode in ((_PATH, 0), (_FOLDER, 0), (_READ, 0), (_LOCK, FILE_MODE))
    for beneath in (False, True)
}
_how_addresses = {how: ctypes.addressof(struct) for how, struct in _hows.items()}


def _open_at_once(root: int, name: str, flags: int, mode: int = 0) -> int:
    """*name* is relative to the descriptor *root*; or absolute, and then no symbolic link may be above the root either."""
    encoded, how = os.fsencode(name), _how_addresses[root >= 0, flags, mode]
    while (fd := int(_syscall(_OPENAT2, root, encoded, how, 24))) < 0:
        if (code := ctypes.get_errno()) != errno.EINTR:
            raise OSError(code, os.strerror(code), name)
    return fd


def _open_stepwise(root: int, name: str, flags: int, mode: int = 0) -> int:
    folder, (*above, leaf) = root, name.split("/")
    try:
        for segment in above:
            below = _open_segment(folder, segment, _PATH)
            if folder != root:
                os.close(folder)
            folder = below
        return _open_segment(folder, leaf, flags, mode)
    finally:
        if folder != root:
            os.close(folder)


def _open_segment(folder: int, segment: str, flags: int, mode: int = 0) -> int:
    try:
        return os.open(segment, flags | os.O_NOFOLLOW, mode, dir_fd=folder)
    except NotADirectoryError:
        # What a link gives when a folder is asked for; openat2 tells them apart.
        if stat.S_ISLNK(os.stat(segment, dir_fd=folder, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), segment) from None
        raise


def _has_openat2() -> bool:
    """False on other systems, on Linux before 5.6, and in sandboxes that forbid it."""
    if not sys.platform.startswith("linux") or os.uname().machine == "alpha":
        return False
    try:
        folder = os.open("/", _PATH)
        try:
            os.close(_open_at_once(folder, ".", _PATH))
        finally:
            os.close(folder)
    except OSError:
        return False
    return True


open_beneath = _open_at_once if _has_openat2() else _open_stepwise


class Tree:
    """The files below *root*, for the length of one call. Not thread-safe; make one per call.

    Attributes:
        made: folders that got a new folder in them by this call, to be synced: names, or absolute paths from the root upward.
    """

    __slots__ = ("_above", "_drafts", "_root", "made", "root")

    def __init__(self, root: str) -> None:
        self.root = root
        self.made: set[str] = set()
        self._root = -1
        self._drafts = -1
        self._above = ("", -1)
        """The folder that the last new one was made in, and its descriptor: many saves make theirs side by side."""

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._root >= 0:
            os.close(self._root)
        if self._drafts >= 0:
            os.close(self._drafts)
        self._forget_above()

    def open(self, name: str) -> int:
        """Open what is there for reading: a file, a folder, a device, but no symbolic link."""
        return self._open(name, _READ)

    def create_draft(self, name: str) -> int:
        """Create a temporary file, and root and folders for it if need be; *name* must be new.

        It gets its final mode at once: 0664 less the umask, as the kernel applies it, or what a default ACL says.
        """
        for attempt in range(ATTEMPTS):
            try:
                if self._drafts < 0:
                    self._drafts = self._open_drafts()
                return os.open(name, _DRAFT, FILE_MODE, dir_fd=self._drafts)
            except FileNotFoundError:
                self._forget_root()
                if attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    def discard_draft(self, name: str) -> None:
        """Remove a temporary file, if it is still there."""
        if self._drafts >= 0:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._drafts)

    def drafts(self) -> list[tuple[str, os.stat_result]]:
        """Name and status of all temporary files, of whatever process; they can then be discarded."""
        self._drafts = self._open_folder(DRAFTS, _FOLDER)
        return self.scan(DRAFTS)[1]

    def place(self, draft: str, name: str, *, replace: bool) -> None:
        """Give the temporary file its name, in one step.

        Raises:
            FileExistsError: *replace* is false, and something has that name.
        """
        folder, _, leaf = name.rpartition("/")
        for attempt in range(ATTEMPTS):
            try:
                parent = self._make_folder(folder, new=not replace)
                try:
                    if replace:
                        os.rename(draft, leaf, src_dir_fd=self._drafts, dst_dir_fd=parent)
                    else:
                        self._link(draft, leaf, parent)
                finally:
                    os.close(parent)
            except FileNotFoundError:  # pruned by a delete between making it and using it
                self._forget_above()
                if attempt == ATTEMPTS - 1:
                    raise
            except OSError:
                if self.made:
                    self.prune(folder)
                raise
            else:
                return

    def keep(self, name: str, draft: str) -> None:
        """Give the file a second name among the temporary files, from where `place` can put it back."""
        if self._drafts < 0:
            self._drafts = self._make_folder(DRAFTS)
        folder, _, leaf = name.rpartition("/")
        parent = self._open_folder(folder)
        try:
            os.link(leaf, draft, src_dir_fd=parent, dst_dir_fd=self._drafts, follow_symlinks=False)
        finally:
            os.close(parent)

    def is_object(self, name: str) -> bool:
        """Whether a regular file has that name. For messages and shortcuts only: it may change at once."""
        folder, _, leaf = name.rpartition("/")
        parent = self._open_folder(folder)
        try:
            return stat.S_ISREG(os.stat(leaf, dir_fd=parent, follow_symlinks=False).st_mode)
        finally:
            os.close(parent)

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Keep other replacers and deleters of *name* out, in this process and in others. Shared with 1 in 256 other names.

        The kernel lets go when the process dies. Lock files are never removed: a second holder could appear.
        """
        file = f"{LOCKS}/{hashlib.sha256(os.fsencode(name)).hexdigest()[:2]}"
        try:
            fd = self._open(file, _LOCK, FILE_MODE)
        except FileNotFoundError:
            os.close(self._make_folder(LOCKS))
            fd = self._open(file, _LOCK, FILE_MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            try:
                fcntl.flock(fd, fcntl.LOCK_UN)  # closing is not enough: a child forked meanwhile has it open too
            finally:
                os.close(fd)

    def unlink(self, name: str) -> str:
        """Remove a file and the folders that this leaves empty. Returns the nearest folder that is left, to be synced."""
        folder, _, leaf = name.rpartition("/")
        parent = self._open_folder(folder)
        try:
            os.unlink(leaf, dir_fd=parent)
        finally:
            os.close(parent)
        return self.prune(folder)

    def prune(self, folder: str) -> str:
        """Remove *folder* and those above it as far as they are empty, never the root. Returns the nearest that is left."""
        while folder:
            above, _, leaf = folder.rpartition("/")
            try:
                parent = self._open_folder(above)
                try:
                    os.rmdir(leaf, dir_fd=parent)
                finally:
                    os.close(parent)
            except FileNotFoundError:
                pass
            except OSError:  # not empty, busy, or not ours to remove: a folder too many does no harm
                break
            folder = above
        return folder

    def scan(self, folder: str) -> tuple[list[str], list[tuple[str, os.stat_result]]]:
        """The names of the folders in *folder* (``""``: the root), and name and status of its regular files."""
        folders: list[str] = []
        files: list[tuple[str, os.stat_result]] = []
        fd = self._open_folder(folder, _FOLDER)
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.name)
                    elif entry.is_file(follow_symlinks=False):
                        with contextlib.suppress(FileNotFoundError):
                            files.append((entry.name, entry.stat(follow_symlinks=False)))
        finally:
            os.close(fd)
        return folders, files

    def sync(self, folder: str) -> None:
        """Return once the names in *folder* would survive a power cut; of the nearest folder above, where it is gone."""
        try:
            fd = os.open(folder, _FOLDER) if os.path.isabs(folder) else self._open_folder(folder, _FOLDER)
        except FileNotFoundError:
            if folder:
                self.sync(os.path.dirname(folder))
            return
        try:
            self.sync_file(fd)
        except OSError as error:
            if error.errno != errno.EINVAL:  # file systems without anything to sync for a folder say that
                raise
        finally:
            os.close(fd)

    @staticmethod
    def sync_file(fd: int) -> None:
        """Return once the file's contents would survive a power cut. A failure is final: a second call would lie."""
        if _FULLFSYNC is None:
            os.fsync(fd)
        else:  # macOS: fsync(2) leaves the data in the drive's cache
            fcntl.fcntl(fd, _FULLFSYNC)

    @staticmethod
    def reserve(fd: int, size: int) -> None:
        """Have the disk set *size* bytes aside for a file, where it can, so that it need not look for room write by write.

        Not `os.posix_fallocate`, which writes the whole file where the file system cannot, and changes its size.
        """
        if (
            _fallocate is not None
            and _fallocate(fd, _FALLOC_FL_KEEP_SIZE, 0, size)
            and ctypes.get_errno() == errno.ENOSPC
        ):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    @staticmethod
    def start_writing_back(fd: int) -> None:
        """Let the disk begin on the file's contents, so that a later `sync_file` waits less. Only a hint: tells no errors."""
        if sys.platform.startswith("linux"):
            _libc.sync_file_range(fd, ctypes.c_int64(0), ctypes.c_int64(0), ctypes.c_uint(_SYNC_FILE_RANGE_WRITE))

    def _open_root(self) -> int:
        if self._root < 0:
            self._root = os.open(self.root, _PATH)
        return self._root

    def _make_root(self) -> None:
        try:
            self._open_root()
        except FileNotFoundError:
            folder, missing = self.root, []
            while not os.path.lexists(folder):
                missing.append(folder)
                folder = os.path.dirname(folder)
            for folder in reversed(missing):
                try:
                    os.mkdir(folder, FOLDER_MODE)
                except FileExistsError:
                    pass
                except FileNotFoundError as error:
                    above = os.path.dirname(folder)
                    if os.path.isdir(above):  # as /proc says
                        raise PermissionError(errno.EPERM, f"no folder can be made in {above}") from error
                    raise
                self.made.add(os.path.dirname(folder))
            self._open_root()

    def _forget_root(self) -> None:
        """The root was removed under us; open it anew."""
        self.__exit__()
        self._root = self._drafts = -1

    def _open(self, name: str, flags: int, mode: int = 0) -> int:
        if self._root < 0 and open_beneath is _open_at_once:
            try:
                return _open_at_once(-1, f"{self.root}/{name}", flags, mode)
            except OSError as error:
                # The root, or what lies above it, may be a link.
                if error.errno not in (errno.ELOOP, errno.ENAMETOOLONG):
                    raise
        return open_beneath(self._open_root(), name, flags, mode)

    def _open_folder(self, folder: str, flags: int = _PATH) -> int:
        return self._open(folder, flags) if folder else os.open(".", flags, dir_fd=self._open_root())

    def _open_drafts(self) -> int:
        try:
            return self._open(DRAFTS, _PATH)
        except FileNotFoundError:
            self._make_root()
            return self._make_folder(DRAFTS)

    def _make_folder(self, folder: str, *, new: bool = False) -> int:
        """Open a folder, made if it is missing, which *new* says is likely."""
        if not new or not folder:
            try:
                return self._open_folder(folder)
            except FileNotFoundError:
                if not folder:
                    raise
        above, _, leaf = folder.rpartition("/")
        if self._above[1] < 0 or self._above[0] != above:
            parent = self._make_folder(above)
            self._forget_above()
            self._above = (above, parent)
        parent = self._above[1]
        try:
            os.mkdir(leaf, FOLDER_MODE, dir_fd=parent)
        except FileExistsError:
            pass
        else:
            if not folder.startswith(INTERNAL):
                self.made.add(above)
        return _open_segment(parent, leaf, _PATH)

    def _forget_above(self) -> None:
        if self._above[1] >= 0:
            os.close(self._above[1])
        self._above = ("", -1)

    def _link(self, draft: str, leaf: str, parent: int) -> None:
        try:
            os.link(draft, leaf, src_dir_fd=self._drafts, dst_dir_fd=parent, follow_symlinks=False)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            _rename_new(draft, leaf, self._drafts, parent, error)
        else:
            with contextlib.suppress(OSError):  # it is committed; a temporary file too many does no harm
                os.unlink(draft, dir_fd=self._drafts)


def _rename_new(source: str, target: str, source_folder: int, target_folder: int, no_links: OSError) -> None:
    """Rename, unless *target* exists; for file systems without hard links (exFAT, many FUSE ones)."""
    renameat2 = getattr(_libc, "renameat2", None)
    if renameat2 is None:
        raise no_links
    arguments = (source_folder, os.fsencode(source), target_folder, os.fsencode(target), _RENAME_NOREPLACE)
    if renameat2(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), target) from no_links
