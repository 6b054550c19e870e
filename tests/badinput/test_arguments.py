"""Arguments of the wrong kind are refused by an error of the library's that says what is wanted, never by a raw one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import aioartifacts as aa
from aioartifacts import sync
from aioartifacts.objects.memory import MemoryObjectStore

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
    "whether to overwrite": (aa.InvalidConfigError, "overwrite is True or False, not 'no'", lambda s: s.save(1, "y", overwrite="no")),
    "whether to overwrite many": (aa.InvalidConfigError, "overwrite is True or False, not 0", lambda s: s.save_many({"y": 1}, overwrite=0)),
    "whether to map": (aa.InvalidConfigError, "mmap is True or False, not 'no'", lambda s: s.load("x", mmap="no")),
    "whether to verify": (aa.InvalidConfigError, "verify is True or False, not 'no'", lambda s: s.load_many(["x"], verify="no")),
    "whether to sweep": (aa.InvalidConfigError, "dry_run is True or False, not 0", lambda s: s.sweep(dry_run=0)),
    "prefix of a folder": (aa.InvalidPathError, "'x/' is not a legal artifact path: it ends in '/'", lambda s: s.list_artifacts("x/")),
    "grace": (aa.InvalidConfigError, "grace is a number of seconds", lambda s: s.sweep(grace="1 h")),
}


@pytest.mark.parametrize("call", CALLS)
def test_of_a_verb(call: str, store: sync.ArtifactStore) -> None:
    error, message, make = CALLS[call]
    with pytest.raises(error, match=message) as caught:
        make(store)
    assert caught.value.operation in dir(store), "it tells the verb"
    assert store.list_artifacts() == ["x"]


def opened(root: Path, **policy: Any) -> sync.ArtifactStore:
    return sync.LocalArtifactStore(root, retry=aa.RetryPolicy(**policy))


OPENERS: dict[str, tuple[str, Callable[[Any], object]]] = {
    "url": ("None does not name a store", lambda root: sync.open_store(None)),  # type: ignore[arg-type]
    "folder": ("the path of a folder, not None", lambda root: sync.LocalArtifactStore(None)),  # type: ignore[arg-type]
    "materializers": ("materializers is a MaterializerRegistry", lambda root: sync.LocalArtifactStore(root, materializers=5)),  # type: ignore[arg-type]
    "name": ("name is a str", lambda root: sync.LocalArtifactStore(root, name=5)),  # type: ignore[arg-type]
    "name of memory": ("a single word", lambda root: sync.MemoryArtifactStore(name=5)),  # type: ignore[arg-type]
    "name of a plug-in": ("name is a str", lambda root: sync.ArtifactStore(MemoryObjectStore("m"), name=5)),  # type: ignore[arg-type]
    "no object store": (r"ArtifactStore needs an object store, not 'folder'; open_store\('folder'\)", lambda root: sync.ArtifactStore("folder")),  # type: ignore[arg-type]
    "previews": ("previews is True or False, not 'no'", lambda root: sync.LocalArtifactStore(root, previews="no")),  # type: ignore[arg-type]
    "deadline": ("RetryPolicy.deadline is a number of seconds, 0 or more, not '5'", lambda root: opened(root, deadline="5")),
    "pause": ("RetryPolicy.base is a number of seconds, 0 or more, not -1", lambda root: opened(root, base=-1)),
    "longest pause": ("RetryPolicy.cap is a number of seconds, 0 or more, not nan", lambda root: opened(root, cap=float("nan"))),
    "retry of a bucket": ("retry is a RetryPolicy, not 5", lambda root: sync.open_store("gs://bucket", retry=5)),  # type: ignore[arg-type]
    "limits of a bucket": ("limits is a Limits, not 'many'", lambda root: sync.open_store("gs://bucket", limits="many")),  # type: ignore[arg-type]
    "prefix twice": ("'gs://bucket/a' says the prefix already", lambda root: sync.open_store("gs://bucket/a", prefix="x")),
    "bucket twice": ("'gs://bucket' says the bucket_name already", lambda root: sync.open_store("gs://bucket", bucket_name="x")),
    "folder twice": ("'x' says the base_path already", lambda root: sync.open_store("x", base_path=root)),
    "misspelt option of a folder": (
        "has no option 'durabilty'; there are base_path, name, durability, trust, .*, materializers$",
        lambda root: sync.open_store(root, durabilty="full"),
    ),
    "misspelt option of a bucket": (
        "has no option 'endpiont'; there are name, bucket_name, project_id, prefix, endpoint, credentials, trust, ",
        lambda root: sync.open_store("gs://bucket", endpiont="x"),
    ),
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
