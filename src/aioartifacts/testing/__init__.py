"""For whoever writes an object store or a materializer: conformance suites, and stores that fail, wait or remember on purpose.

The suites need pytest and pytest-asyncio; the stores need nothing beyond the library.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

from aioartifacts.testing.adapter import AsyncObjectStoreAdapter
from aioartifacts.testing.stores import (
    AsyncFaultyObjectStore,
    AsyncRecordingObjectStore,
    AsyncSlowObjectStore,
    Fault,
    FaultyObjectStore,
    RecordedCall,
    RecordingObjectStore,
    SlowObjectStore,
    flip_bit,
    truncate,
)

if TYPE_CHECKING:
    from aioartifacts.testing.materializer_suite import MaterializerSuite as MaterializerSuite
    from aioartifacts.testing.objectstore_suite import ObjectStoreSuite as ObjectStoreSuite

_SUITES = {
    "MaterializerSuite": "aioartifacts.testing.materializer_suite",
    "ObjectStoreSuite": "aioartifacts.testing.objectstore_suite",
}

if "pytest" in sys.modules:
    import pytest

    # pytest explains failed asserts of test modules and plugins only, unless told.
    pytest.register_assert_rewrite(
        *(
            f"{__name__}.{module}"
            for module in (
                "driving", "payloads", "writing_laws", "rival_laws", "reading_laws", "objectstore_suite", "materializer_suite",
            )
        )
    )


def __getattr__(name: str) -> object:
    if name in _SUITES:
        return getattr(importlib.import_module(_SUITES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "AsyncFaultyObjectStore",
    "AsyncObjectStoreAdapter",
    "AsyncRecordingObjectStore",
    "AsyncSlowObjectStore",
    "Fault",
    "FaultyObjectStore",
    "MaterializerSuite",
    "ObjectStoreSuite",
    "RecordedCall",
    "RecordingObjectStore",
    "SlowObjectStore",
    "flip_bit",
    "truncate",
]
