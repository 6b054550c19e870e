"""Arguments of the wrong kind are refused by an error of the library's that says what is wanted, never by a raw one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import aioartifacts as aa
from aioartifacts import sync

KEY = b"k" * 32


@pytest.fixture
def store() -> sync.ArtifactStore:
    store = sync.MemoryArtifactStore()
    store.save({"a": 1}, "x")
    return store


CALLS: dict[str, tuple[type[aa.ArtifactError], str, Callable[[Any], object]]] = {
    "load as one of two": (aa.DecodeError, r"'x' holds a builtins.dict, not a int \| str", lambda s: s.load("x", int | str)),
    "load as a tuple": (aa.DecodeError, "'x' holds a builtins.dict", lambda s: s.load("x", (int, str))),
    "load as a name": (aa.InvalidConfigError, "as_type is a class", lambda s: s.load("x", "int")),
    "one column": (aa.InvalidConfigError, "columns is several names", lambda s: s.load("x", columns="price")),
    "no columns": (aa.InvalidConfigError, "columns is several names", lambda s: s.load("x", columns=5)),
    "many of nothing": (aa.InvalidPathError, "several paths are wanted", lambda s: s.load_many(None)),
    "many of lists": (aa.InvalidPathError, "several paths are wanted", lambda s: s.load_many([["x"]])),
    "delete lists": (aa.InvalidPathError, "several paths are wanted", lambda s: s.delete_many([["x"]])),
    "format": (aa.InvalidConfigError, "format is the name of a format", lambda s: s.save(1, "y", format=5)),
    "grace": (aa.InvalidConfigError, "grace is a number of seconds", lambda s: s.sweep(grace="1 h")),
}


@pytest.mark.parametrize("call", CALLS)
def test_of_a_verb(call: str, store: sync.ArtifactStore) -> None:
    error, message, make = CALLS[call]
    with pytest.raises(error, match=message):
        make(store)
    assert store.list_artifacts() == ["x"]


OPENERS: dict[str, tuple[str, Callable[[Any], object]]] = {
    "url": ("None does not name a store", lambda root: sync.open_store(None)),  # type: ignore[arg-type]
    "folder": ("the path of a folder, not None", lambda root: sync.LocalArtifactStore(None)),  # type: ignore[arg-type]
    "materializers": ("materializers is a MaterializerRegistry", lambda root: sync.LocalArtifactStore(root, materializers=5)),  # type: ignore[arg-type]
    "name": ("name is a str", lambda root: sync.LocalArtifactStore(root, name=5)),  # type: ignore[arg-type]
    "name of memory": ("a single word", lambda root: sync.MemoryArtifactStore(name=5)),  # type: ignore[arg-type]
    "verification keys": (
        "verification_keys is several keys",
        lambda root: sync.LocalArtifactStore(root, signing_key=KEY, verification_keys=5),  # type: ignore[arg-type]
    ),
}


@pytest.mark.parametrize("opener", OPENERS)
def test_of_a_store(opener: str, tmp_path: Path) -> None:
    message, make = OPENERS[opener]
    with pytest.raises(aa.InvalidConfigError, match=message):
        make(tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_signing_key_that_cannot_be_had() -> None:
    def fetch() -> bytes:
        raise KeyError("secret/token")

    store = sync.MemoryArtifactStore(signing_key=fetch)
    with pytest.raises(aa.StoreError, match="signing key could not be had: KeyError") as caught:
        store.save(bytes(100_000), "x")
    assert caught.value.path == "x"
    assert "secret" not in str(caught.value)
    assert store.list_artifacts() == []
    assert store.sweep(grace=0).removed == []
