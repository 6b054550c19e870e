"""The public names are exactly these. A new one also goes into the typed-API file, the README, the changelog and an example."""

from __future__ import annotations

import inspect
import types

import pytest

import aioartifacts
import aioartifacts.errors
import aioartifacts.sync

ERRORS = [
    "ArtifactError", "ArtifactExistsError", "ArtifactNotFoundError", "ConflictError", "DecodeError", "EncodeError", "IntegrityError",
    "InvalidConfigError", "InvalidPathError", "MaterializerError", "MetadataError", "MissingDependencyError", "PermissionDeniedError",
    "RecordError", "StoreError", "TransientStoreError", "UnknownFormatError", "UntrustedArtifactError",
]  # fmt: skip
STORES = ["ArtifactStore", "GCSArtifactStore", "LocalArtifactStore", "MemoryArtifactStore", "Run", "open_store"]
VALUES = ["ArtifactInfo", "Explanation", "Limits", "LoadOptions", "Outcome", "RetryPolicy", "SweepReport", "TransferEvent", "VerifyReport"]
MATERIALIZERS = ["Buffers", "Declined", "Dump", "FileBody", "Materializer", "MaterializerRegistry", "Part", "Parts", "Producer"]


def test_names_of_the_package() -> None:
    assert sorted(aioartifacts.__all__) == sorted([*STORES, *VALUES, *MATERIALIZERS, *ERRORS])


def test_names_of_the_facade() -> None:
    assert sorted(aioartifacts.sync.__all__) == sorted(aioartifacts.__all__)


@pytest.mark.parametrize("name", [*VALUES, *MATERIALIZERS, *ERRORS])
def test_what_neither_waits_nor_blocks_is_the_same_in_the_facade(name: str) -> None:
    assert getattr(aioartifacts.sync, name) is getattr(aioartifacts, name)


@pytest.mark.parametrize("module", [aioartifacts, aioartifacts.sync], ids=lambda module: module.__name__)
def test_nothing_else_of_ours_is_in_sight(module: types.ModuleType) -> None:
    seen = {name for name in dir(module) if not name.startswith("_")}
    ours = {name for name in seen if str(getattr(getattr(module, name), "__module__", "")).startswith("aioartifacts")}
    assert ours <= set(module.__all__)
    assert set(module.__all__) <= seen


@pytest.mark.parametrize("module", [aioartifacts, aioartifacts.sync], ids=lambda module: module.__name__)
def test_every_name_is_documented(module: types.ModuleType) -> None:
    bare = [name for name in module.__all__ if not (inspect.getdoc(getattr(module, name)) or "").strip()]
    assert not bare


@pytest.mark.parametrize("module", [aioartifacts, aioartifacts.sync], ids=lambda module: module.__name__)
def test_unknown_name_is_an_attribute_error(module: types.ModuleType) -> None:
    with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'nonsense'"):
        module.nonsense  # noqa: B018


def test_every_error_is_public() -> None:
    defined = {
        name
        for name, value in vars(aioartifacts.errors).items()
        if isinstance(value, type) and issubclass(value, aioartifacts.ArtifactError)
    }
    assert defined == set(ERRORS)
