"""Which artifact paths are legal, where their records and parts lie, and the layout of ``materialize``.

A path is ``/``-separated, relative, and taken literally: never decoded, normalised, folded, expanded or globbed. What could mean
something else on another store or system is refused instead, so that a tree can be copied anywhere.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from functools import lru_cache

from aioartifacts.errors import InvalidPathError

RECORD = "metadata.json"
"""Last segment of every record's key."""
INTERNAL = ".aioartifacts"
"""Folder at a local root for in-flight files and locks; nothing in it is an artifact."""
URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
"""How one begins; no path does."""
PART_PREFIX = ".part-"
PARTS_PREFIX = ".parts-"

MAX_SEGMENT = 255
"""Bytes of UTF-8 in one segment: the limit of ext4, APFS and NTFS names."""
MAX_PATH = 700
"""Bytes of UTF-8 in a path: Google Cloud Storage takes 1,024 for an object's name, and prefix and part name need room."""

_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{device}{n}" for device in ("com", "lpt") for n in "0123456789¹²³"]
)
_SURE = re.compile(
    # Segments of letters, digits, - and _, perhaps with dots between; no device, no record.
    r"(?:(?!(?:con|prn|aux|nul|com[0-9]|lpt[0-9])[./]|(?:con|prn|aux|nul|com[0-9]|lpt[0-9])\Z|metadata\.json(?:/|\Z))"
    r"[A-Z0-9_-]+(?:\.[A-Z0-9_-]+)*(?:/(?!\Z)|\Z))+",
    re.ASCII | re.IGNORECASE,
)
"""Most paths there are: legal, and not worth a second look."""
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_-]*)*", re.ASCII)
_NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9_])?"
_PART_NAME = re.compile(_NAME, re.ASCII)
_PART_FILE = re.compile(rf"\.part-[0-9a-f]{{32}}\.{_NAME}|\.parts-[0-9a-f]{{32}}/{_NAME}", re.ASCII)
_REMEDY = "use relative segments such as 'project/run/name'"


def check_path(path: str) -> str:
    """Return *path* if it is a legal artifact path.

    Raises:
        InvalidPathError: it is not; the message says which rule it breaks.
    """
    reason = _illegal(path)
    if reason is not None:
        shown = ascii(path) if isinstance(path, str) else repr(type(path))
        if len(shown) > 120:
            shown = shown[:117] + "…"
        raise InvalidPathError(
            f"{shown} is not a legal artifact path: {reason}; {_REMEDY}", path=path if type(path) is str else None
        )
    return path


def check_prefix(prefix: str) -> str:
    """Return *prefix* if it is empty, or a legal artifact path."""
    return prefix if type(prefix) is str and not prefix else check_path(prefix)


def check_segment(segment: str, what: str) -> str:
    """Return *segment* if it can be one segment of a path; *what* names it in the message."""
    if type(segment) is str and "/" in segment:
        raise InvalidPathError(f"{what} {ascii(segment)} contains '/'; it must be a single path segment", path=segment)
    try:
        return check_path(segment)
    except InvalidPathError as error:
        raise InvalidPathError(f"{what}: {error.message}", path=error.path) from None


def _illegal(path: str) -> str | None:
    if type(path) is not str:
        return "paths are plain str, nothing else" + ("; is an await missing?" if hasattr(type(path), "__await__") else "")
    if len(path) <= MAX_SEGMENT and _SURE.fullmatch(path):
        return None
    if not path:
        return "it is empty"
    if len(path) > MAX_PATH:
        return f"it is longer than {MAX_PATH} bytes of UTF-8"
    if not _PLAIN.fullmatch(path):
        reason = _illegal_characters(path)
        if reason is not None:
            return reason
    for segment in path.split("/"):
        reason = _illegal_segment(segment)
        if reason is not None:
            return reason
    return None


def _illegal_characters(path: str) -> str | None:
    if path.startswith("/"):
        return "it is absolute, and not inside this store"
    if URI.match(path):
        return "it is a URI, and not of this store"
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "it contains a lone surrogate"
    if size > MAX_PATH:
        return f"it is longer than {MAX_PATH} bytes of UTF-8"
    if "\\" in path:
        return "it contains a backslash"
    if path[1:2] == ":" and path[0].isascii() and path[0].isalpha():
        return "it starts with a drive name"
    for character in path:
        category = unicodedata.category(character)
        if category in ("Cc", "Cf", "Zl", "Zp"):
            return f"it contains {ascii(character)}, a control, format or separator character"
    if path.endswith("/"):
        return "it ends in '/', so leave that out"
    return None


def _illegal_segment(segment: str) -> str | None:
    if not segment:
        return "it has an empty segment"
    if segment[0] == "." and segment in (".", ".."):
        return f"it contains {segment!r}"
    folded = segment.casefold()
    if folded == RECORD or folded == INTERNAL or folded.startswith((PART_PREFIX, PARTS_PREFIX)):
        return f"the segment {segment!r} is reserved"
    if len(segment) > MAX_SEGMENT // 4 and len(segment.encode()) > MAX_SEGMENT:
        return f"it has a segment longer than {MAX_SEGMENT} bytes of UTF-8"
    if segment[-1] in ". ":
        return f"the segment {segment!r} ends in a dot or a space, which some systems drop"
    if segment[0] == " ":
        return f"the segment {segment!r} starts with a space, which some systems drop"
    if folded.partition(".")[0].rstrip() in _DEVICES:
        return f"the segment {segment!r} is a device name on Windows"
    return None


def record_key(path: str) -> str:
    """Key of an artifact's record."""
    return f"{path}/{RECORD}"


def path_of_record(key: str) -> str | None:
    """The artifact path a record's key belongs to; None when *key* is no record of a legal path."""
    path, slash, name = key.rpartition("/")
    return path if slash and name == RECORD and _illegal(path) is None else None


def part_files(write_id: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Where parts lie, relative to the artifact's path: one beside the record, several in a folder of their own.

    Names are kept when all of them are plain, and distinct on a disk that folds case; otherwise their positions stand for them.
    """
    kept = names if _are_plain(names) else None
    if len(names) == 1:
        return (f"{PART_PREFIX}{write_id}.{kept[0] if kept else 'p0'}",)
    return tuple(f"{PARTS_PREFIX}{write_id}/{kept[i] if kept else f'p{i}'}" for i in range(len(names)))


@lru_cache(1024)
def _are_plain(names: tuple[str, ...]) -> bool:
    plain = all(_PART_NAME.fullmatch(name) and _illegal_segment(name) is None for name in names)
    return plain and len({name.casefold() for name in names}) == len(names)


def is_part_file(file: str) -> bool:
    """Whether *file*, read from a record, can be a part's location: inside the artifact's own folder, and nothing odd."""
    return _PART_FILE.fullmatch(file) is not None


def path_of_part(key: str) -> str | None:
    """The artifact path a part's key belongs to; None when *key* is no part of a legal path."""
    path, slash, file = key.rpartition(f"/{PARTS_PREFIX}")
    file = PARTS_PREFIX + file
    if not slash:
        path, slash, file = key.rpartition("/")
    return path if slash and is_part_file(file) and _illegal(path) is None else None


def materialized_path(project: str, day: date, run_id: str, step: str, name: str) -> str:
    """The path of a step's output: ``project/YYYY-MM-DD/run_id/data/step/name``."""
    segments = (
        check_segment(project, "project_name"),
        day.isoformat(),
        check_segment(run_id, "run_id"),
        "data",
        check_segment(step, "step_name"),
        check_segment(name, "name"),
    )
    return check_path("/".join(segments))
