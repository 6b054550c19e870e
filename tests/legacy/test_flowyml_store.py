"""A tree that FlowyML wrote is a store: its artifacts are looked at, loaded under the trust rule, replaced and deleted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aioartifacts import (
    ArtifactNotFoundError,
    IntegrityError,
    LocalArtifactStore,
    RecordError,
    UnknownFormatError,
    UntrustedArtifactError,
)

pytestmark = pytest.mark.asyncio

FIXTURES = Path(__file__).parent.parent / "fixtures" / "flowyml"
EXPECTED = json.loads((FIXTURES / "expected.json").read_text())
PREP = "churn/2026-11-20/run-1/data/prep"
BARE = [path for path in EXPECTED["size"] if path != "missing"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURES / "store", tmp_path / "store"))


@pytest.fixture
def store(root: Path) -> LocalArtifactStore:
    return LocalArtifactStore(root, trust="all", durability="process")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("experiments/first", {"a": (1, 2)}),
        ("experiments/model.pkl", [1, 2, 3]),
        ("experiments/no-metadata", "text"),
        ("versions/m-1.0", {"version": 0}),
        ("versions/m-1.1", {"version": 1}),
        (f"{PREP}/metrics", {"accuracy": 0.93, "labels": ("a", "b")}),
        (f"{PREP}/text", "plain"),
    ],
)
async def test_pickle_is_loaded(store: LocalArtifactStore, path: str, expected: object) -> None:
    assert await store.load(path) == expected


async def test_frame_is_loaded_without_trust(root: Path) -> None:
    frame = await LocalArtifactStore(root, trust="data").load(f"{PREP}/frame", pd.DataFrame)
    assert frame["n"].tolist() == [1, 2, 3]


async def test_array_is_loaded_without_trust(root: Path) -> None:
    array = await LocalArtifactStore(root, trust="data").load(f"{PREP}/array_nan")
    np.testing.assert_array_equal(array, [1.0, np.nan])


@pytest.mark.parametrize("path", ["experiments/first", f"{PREP}/metrics", f"{PREP}/estimator", f"{PREP}/array_of_objects"])
async def test_what_can_run_code_is_refused_without_trust(root: Path, path: str) -> None:
    with pytest.raises(UntrustedArtifactError, match="trust="):
        await LocalArtifactStore(root, trust="data").load(path)


async def test_a_key_does_not_make_it_trusted(root: Path) -> None:
    with pytest.raises(UntrustedArtifactError):
        await LocalArtifactStore(root, signing_key=b"k" * 32).load("experiments/first")


@pytest.mark.parametrize("path", [*BARE, f"{PREP}/frame", "missing"])
async def test_existence_is_what_flowyml_says(store: LocalArtifactStore, path: str) -> None:
    assert await store.exists(path) is EXPECTED["exists"][path]


@pytest.mark.parametrize("path", [*BARE, "missing"])
async def test_size_is_what_flowyml_says(store: LocalArtifactStore, path: str) -> None:
    assert await store.size(path) == EXPECTED["size"][path]


@pytest.mark.parametrize("path", [*BARE, f"{PREP}/frame", "missing"])
async def test_metadata_is_what_flowyml_says(store: LocalArtifactStore, path: str) -> None:
    # Where there is an artifact without metadata, FlowyML says None, and we say {}.
    assert repr(await store.get_metadata(path) or None) == repr(EXPECTED["get_metadata"][path])


async def test_info_tells_what_is_known(store: LocalArtifactStore) -> None:
    info = await store.info(f"{PREP}/frame")
    assert (info.type, info.format, info.safe, info.signed, info.parts) == ("pandas.DataFrame", "flowyml-pandas", True, False, 1)
    assert info.summary["shape"] == [3, 3]
    assert info.producer["project"] == "churn"


async def test_listing_shows_materialized_folders(store: LocalArtifactStore) -> None:
    listed = await store.list_artifacts("churn")
    assert listed == sorted(f"{PREP}/{folder.name}" for folder in (FIXTURES / "store" / PREP).iterdir())


async def test_saving_over_a_folder_replaces_it(store: LocalArtifactStore) -> None:
    path = f"{PREP}/metrics"
    await store.save({"accuracy": 1.0}, path)
    assert await store.load(path) == {"accuracy": 1.0}
    assert (await store.info(path)).format == "json"


async def test_deleting_a_folder_removes_its_files(store: LocalArtifactStore, root: Path) -> None:
    await store.delete(f"{PREP}/frame")
    assert not (root / PREP / "frame").exists()
    assert (root / PREP / "frame_csv").is_dir()


async def test_deleting_one_version_keeps_the_other(store: LocalArtifactStore) -> None:
    await store.delete("versions/m-1.0")
    assert not await store.exists("versions/m-1.0")
    assert await store.load("versions/m-1.1") == {"version": 1}
    assert await store.get_metadata("versions/m-1.1") == {"version": "1.1"}


async def test_missing_payload_is_an_integrity_error(store: LocalArtifactStore, root: Path) -> None:
    (root / PREP / "metrics" / "data.pkl").unlink()
    with pytest.raises(IntegrityError, match=r"data\.pkl"):
        await store.load(f"{PREP}/metrics")


async def test_foreign_record_is_a_record_error(store: LocalArtifactStore, root: Path) -> None:
    (root / "other").mkdir()
    (root / "other" / "metadata.json").write_text('{"name": "something else"}')
    with pytest.raises(RecordError, match="other"):
        await store.load("other")


async def test_format_without_a_reader_is_unknown(store: LocalArtifactStore, root: Path) -> None:
    (root / "net").mkdir()
    (root / "net" / "metadata.json").write_text('{"type": "pytorch_model", "class_name": "Net", "module": "nets"}')
    (root / "net" / "model.pt").write_bytes(b"PK")
    with pytest.raises(UnknownFormatError, match="flowyml-pytorch"):
        await store.load("net")


async def test_folder_is_no_artifact(store: LocalArtifactStore) -> None:
    with pytest.raises(ArtifactNotFoundError):
        await store.load("experiments")
