"""Which names buckets and objects may have."""

from __future__ import annotations

import re

from .wire import ApiError

_MAX_NAME = 1024


def check_object_name(name: str) -> None:
    if not name:
        raise ApiError(400, "Required parameter: name", reason="required", code="InvalidURI")
    size = len(name.encode("utf-8"))
    if size > _MAX_NAME:
        message = f"The maximum object length is {_MAX_NAME} characters, but got a name with {size} characters."
        raise ApiError(400, message, code="KeyTooLongError")
    if name in (".", "..") or name.startswith(".well-known/acme-challenge/"):
        raise ApiError(400, f"Invalid object name: {name!r}", code="InvalidURI")
    if "\r" in name or "\n" in name:
        raise ApiError(400, "Disallowed unicode characters present in object name.", code="InvalidURI")


_BUCKET = re.compile(r"[a-z0-9][a-z0-9_.-]{1,220}[a-z0-9]")


def check_bucket_name(name: str) -> None:
    legal = (
        _BUCKET.fullmatch(name) is not None
        and all(1 <= len(part) <= 63 for part in name.split("."))
        and not re.fullmatch(r"[0-9]+(\.[0-9]+){3}", name)
        and not name.startswith("goog")
        and "google" not in name
        and not re.search(r"-\.|\.-", name)
    )
    if not legal:
        raise ApiError(400, f"Invalid bucket name: '{name}'", code="InvalidBucketName")
