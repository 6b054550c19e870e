"""Save and load what pipeline steps leave behind: without blocking the event loop, without losing one, many at a time.

``aioartifacts`` is for ``async`` code, `aioartifacts.sync` has the same classes and verbs for ordinary code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from aioartifacts.store import (
    ArtifactStore,
    GCSArtifactStore,
    LocalArtifactStore,
    MemoryArtifactStore,
    Outcome,
    Run,
    open_store,
)
from aioartifacts.types import (
    ArtifactInfo,
    Explanation,
    Limits,
    LoadOptions,
    RetryPolicy,
    SweepReport,
    TransferEvent,
    VerifyReport,
)

if TYPE_CHECKING:
    from aioartifacts.materializers.registry import MaterializerRegistry

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


def __getattr__(name: str) -> Any:
    if name == "MaterializerRegistry":  # most programs never name it, and it is not free to import
        from aioartifacts.materializers.registry import MaterializerRegistry

        return MaterializerRegistry
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
