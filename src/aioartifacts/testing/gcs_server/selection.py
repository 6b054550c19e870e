"""Partial answers: the ``fields`` parameter of the JSON API."""

from __future__ import annotations

from typing import Any

from .wire import ApiError

# A misspelt field is an error in the service; these are the ones a client may ask this server for.
_KNOWN = frozenset(
    """
    kind id selfLink mediaLink name bucket generation metageneration storageClass size crc32c md5Hash etag
    timeCreated updated timeStorageClassUpdated timeFinalized contentType contentEncoding contentDisposition
    contentLanguage cacheControl customTime componentCount metadata items prefixes nextPageToken resource
    totalBytesRewritten objectSize done rewriteToken location locationType projectNumber acl owner kmsKeyName
    temporaryHold eventBasedHold retention retentionExpirationTime timeDeleted softDeleteTime hardDeleteTime
    customerEncryption iamConfiguration versioning contexts
    """.split()  # noqa: SIM905 - a literal of fifty strings is harder to read
)

Tree = dict[str, "Tree"]


def select(value: object, fields: str) -> object:
    """*value* with only the asked-for fields: ``items(name,size),nextPageToken`` or ``items/name``."""
    tree, at = _parse(fields, 0)
    if at != len(fields):
        raise _invalid(fields)
    return _prune(value, tree)


def _invalid(fields: str) -> ApiError:
    return ApiError(400, f"Invalid field selection {fields}", reason="invalidParameter")


def _parse(fields: str, at: int) -> tuple[Tree, int]:
    tree: Tree = {}
    while True:
        branch, start = tree, at
        while True:
            while at < len(fields) and fields[at] not in ",()/":
                at += 1
            name = fields[start:at].strip()
            if not name:
                raise _invalid(fields)
            branch = branch.setdefault(name, {})
            if fields[at : at + 1] != "/":
                break
            at += 1
            start = at
        if fields[at : at + 1] == "(":
            inner, at = _parse(fields, at + 1)
            branch.update(inner)
            if fields[at : at + 1] != ")":
                raise _invalid(fields)
            at += 1
        if fields[at : at + 1] != ",":
            return tree, at
        at += 1


def _prune(value: object, tree: Tree, *, free: bool = False) -> object:
    if not tree or "*" in tree:
        return value
    if isinstance(value, list):
        return [_prune(item, tree, free=free) for item in value]
    if not isinstance(value, dict):
        return value
    kept: dict[str, Any] = {}
    for name, branch in tree.items():
        if not free and name not in _KNOWN:
            raise _invalid(name)
        if name in value:
            kept[name] = _prune(value[name], branch, free=name == "metadata")
    return kept
