"""What the record tells of an object beside where its bytes are: a summary and a small preview, never needed for loading."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from aioartifacts.materializers.base import FAILURES, Declined, Dump, Materializer
from aioartifacts.types import KIB

PREVIEW_MAX = 64 * KIB
"""Bytes of JSON that a preview, or a summary, may take in the record."""

_KEY = "preview"
_log = logging.getLogger("aioartifacts")


def describe(materializer: Materializer, dump: Dump, obj: object, path: str, *, previews: bool) -> dict[str, Any]:
    """The summary for the record, with the preview in it.

    What fails, is no JSON or is too large is left out and logged: an artifact is not lost over its picture.
    """
    summary = _asked(materializer.summary, obj, path, "summary")
    summary.pop(_KEY, None)
    if previews and type(materializer).preview is not Materializer.preview:
        preview = _asked(materializer.preview, obj, path, _KEY)
        if preview and preview.get("part") in (None, *(part.name for part in dump.parts)):
            summary[_KEY] = preview
    return summary


def split(summary: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The summary and the preview that a record holds together."""
    alone = dict(summary)
    preview = alone.pop(_KEY, None)
    return alone, preview if isinstance(preview, dict) else {}


def _asked(ask: Callable[[object], Mapping[str, Any]], obj: object, path: str, what: str) -> dict[str, Any]:
    try:
        told = dict(ask(obj))
        try:
            size = len(msgspec.json.encode(told))
        except UnicodeEncodeError:
            told = _legible(told)
            size = len(msgspec.json.encode(told))
    except Declined:
        raise
    except FAILURES as error:
        _log.warning("%r is saved without its %s, which failed: %s: %s", path, what, type(error).__name__, error)
        return {}
    if size > PREVIEW_MAX:
        _log.warning(
            "%r is saved without its %s, which takes %d bytes of JSON, more than %d", path, what, size, PREVIEW_MAX
        )
        return {}
    return told


def _legible(told: Any) -> Any:
    """The same with lone surrogates spelt out, which UTF-8 has no room for."""
    if isinstance(told, str):
        return told.encode("utf-8", "backslashreplace").decode()
    if isinstance(told, dict):
        return {_legible(key): _legible(value) for key, value in told.items()}
    return [_legible(value) for value in told] if isinstance(told, list | tuple) else told
