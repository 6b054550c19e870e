"""Save and load what pipeline steps leave behind: without blocking the event loop, without losing one, many at a time.

``aioartifacts`` is for ``async`` code, `aioartifacts.sync` has the same classes and verbs for ordinary code.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aioartifacts.errors import (
        ArtifactError,
        ArtifactExistsError,
        ArtifactNotFoundError,
        ConflictError,
        DecodeError,
        EncodeError,
        IntegrityError,
        InvalidConfigError,
        InvalidPathError,
        MaterializerError,
        MetadataError,
        MissingDependencyError,
        PermissionDeniedError,
        RecordError,
        StoreError,
        TransientStoreError,
        UnknownFormatError,
        UntrustedArtifactError,
    )
    from aioartifacts.materializers.base import Buffers, Declined, Dump, FileBody, Materializer, Part, Parts, Producer
    from aioartifacts.materializers.registry import MaterializerRegistry
    from aioartifacts.run import Run
    from aioartifacts.store import ArtifactStore
    from aioartifacts.stores import GCSArtifactStore, LocalArtifactStore, MemoryArtifactStore, open_store
    from aioartifacts.types import (
        ArtifactInfo,
        Explanation,
        Limits,
        LoadOptions,
        Outcome,
        RetryPolicy,
        SweepReport,
        TransferEvent,
        VerifyReport,
    )

__all__ = [
    "ArtifactError",
    "ArtifactExistsError",
    "ArtifactInfo",
    "ArtifactNotFoundError",
    "ArtifactStore",
    "Buffers",
    "ConflictError",
    "Declined",
    "DecodeError",
    "Dump",
    "EncodeError",
    "Explanation",
    "FileBody",
    "GCSArtifactStore",
    "IntegrityError",
    "InvalidConfigError",
    "InvalidPathError",
    "Limits",
    "LoadOptions",
    "LocalArtifactStore",
    "Materializer",
    "MaterializerError",
    "MaterializerRegistry",
    "MemoryArtifactStore",
    "MetadataError",
    "MissingDependencyError",
    "Outcome",
    "Part",
    "Parts",
    "PermissionDeniedError",
    "Producer",
    "RecordError",
    "RetryPolicy",
    "Run",
    "StoreError",
    "SweepReport",
    "TransferEvent",
    "TransientStoreError",
    "UnknownFormatError",
    "UntrustedArtifactError",
    "VerifyReport",
    "open_store",
]

_HOMES = ("errors", "types", "materializers.base", "materializers.registry", "run", "store", "stores")
"""Modules with public names, those first that take least to import."""


def __getattr__(name: str) -> Any:
    # Nothing is imported before it is used: what merely offers artifacts as a possibility starts as fast as without them.
    if name in __all__:
        for home in _HOMES:
            value = getattr(import_module(f"{__name__}.{home}"), name, None)
            if value is not None:
                globals()[name] = value
                return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
