"""What the operating system says, as errors of ours."""

from __future__ import annotations

import errno

from aioartifacts.errors import ArtifactError, InvalidPathError, PermissionDeniedError, StoreError, TransientStoreError

NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What ``link`` says on file systems without hard links."""
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_REMEDIES = {
    errno.ENOENT: "its folder, or the temporary file in .aioartifacts, was removed meanwhile; try again",
    errno.ENOSPC: "the disk is full, or out of inodes: free some space",
    errno.EDQUOT: "the disk quota is used up: free some space, or have it raised",
    errno.EIO: "the disk reports a failure: look at the system log before trusting it again",
    errno.EMFILE: "this process has too many files open: raise its limit (ulimit -n), or transfer fewer objects at once",
    errno.ENFILE: "the system has too many files open",
    errno.ENOLCK: "the file system cannot lock files: replacing and deleting need flock(2)",
    errno.EXDEV: "a folder of the store is on another file system than its root: one store, one file system",
    errno.ENOTDIR: "a file lies where a folder must be: move it out of the way",
    errno.EISDIR: "a folder has that name: move it out of the way",
    errno.ELOOP: "a symbolic link is in the way: links below the root of a store are not followed",
}


def translate(error: OSError, root: str, key: str, operation: str, *, outcome: str = "") -> ArtifactError:
    """Say which *operation* on which *key* (``""``: the whole store) failed, and what to do."""
    what = f"cannot {operation} {key!r} in {root}" if key else f"cannot {operation} {root}"
    message = f"{what}: {error.strerror or error}" + (f" ({outcome})" if outcome else "")
    if error.errno == errno.ENAMETOOLONG:
        return InvalidPathError(f"{message}; use a shorter name", path=key, operation=operation)
    if error.errno in _DENIED:
        return PermissionDeniedError(
            f"{message}; give this user the right to do so, or choose another root", path=key, operation=operation
        )
    if error.errno in (errno.EAGAIN, errno.EBUSY, getattr(errno, "ESTALE", errno.EBUSY)):
        return TransientStoreError(message, path=key, operation=operation)
    remedy = _REMEDIES.get(error.errno or 0)
    return StoreError(f"{message}; {remedy}" if remedy else message, path=key, operation=operation)
