"""File systems of the tests' own, mounted for a while: a disk that loses power, and one that is full."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

_SHUTDOWN = 0x8004587D  # FS_IOC_SHUTDOWN, from Linux's uapi header ext4.h; also understood by XFS and F2FS
FLUSHED_LOG, NOTHING_FLUSHED = 1, 2
"""What still reaches the disk: the journal as it is, or nothing at all."""


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


@contextlib.contextmanager
def mounted(target: Path, *options: str) -> Iterator[Path]:
    target.mkdir(exist_ok=True)
    run("mount", *options, str(target))
    try:
        yield target
    finally:
        unmount(target)


def unmount(target: Path) -> None:
    try:
        run("umount", str(target))
    except OSError:  # still in use: taken out of sight now, and let go when the last process is
        run("umount", "--lazy", str(target))
        raise


@contextlib.contextmanager
def small_disk(target: Path, *, size: int, inodes: int) -> Iterator[Path]:
    with mounted(target, "-t", "tmpfs", "-o", f"size={size},nr_inodes={inodes}", "tmpfs") as root:
        yield root


def make_disk(image: Path, size: int) -> None:
    with image.open("wb") as file:
        file.truncate(size)
    run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image))


@contextlib.contextmanager
def disk(image: Path, target: Path) -> Iterator[Path]:
    with mounted(target, "-o", "loop", str(image)) as root:
        yield root


def cut_power(root: Path, how: int) -> None:
    """From now on every call fails, and what has not been flushed will not be."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", how))
    finally:
        os.close(fd)


def why_not() -> str | None:
    """Why nothing can be mounted here; None when it can."""
    if os.geteuid() != 0:
        return "only root can mount a disk"
    try:
        with tempfile.TemporaryDirectory() as folder:
            make_disk(Path(folder, "image"), 4 << 20)
            with disk(Path(folder, "image"), Path(folder, "mounted")):
                return None
    except OSError as error:
        return str(error)
