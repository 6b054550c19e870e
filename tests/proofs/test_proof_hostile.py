"""The hostile names of `tests/store` on Google Cloud Storage as well; and how many hostile things there are tables of."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from figures import count

import aioartifacts as aa
from aioartifacts import sync
from aioartifacts.testing.gcs_server import GCSServerProcess

sys.path.append(str(Path(__file__).parents[1] / "store"))
paths = importlib.import_module("test_paths")
REFUSED = [
    *paths.REFUSED, *paths.REFUSED_TYPES,
    "a\u00adb", "\u061ca", "a\u180eb", "\u206fa", "\U000e0001a", "a\x9fb", "a/\ud83d", "com0", "lpt³.txt", "PRN.x/a", "a/aux.", "con .txt",
    ".AIOARTIFACTS", "a/.PARTS-", "metadata.JSON/x", "z:", "gopher://host", "x" * 300 + "/a", "a/../../../" * 9 + "etc/passwd", "a/./././b",
]  # fmt: skip
TAKEN = [
    *paths.TAKEN,
    "…", "a=b", "%", "%%", "%c0%ae", "\U0001d4b3", "x^y", "(a)", "con1", "auxiliary", "nul_", "lpt", "prn1", "CONfig", "a~1", "PROGRA~1",
    ".hidden/x", "-", "_", "--", "1e5", "true", "NaN", "__init__", "a.tar.gz", "\u3000x", "o%2F..%2Fo", "a\uff3cb",
]  # fmt: skip
BUCKET, PREFIX = "hostile", "inside"


@pytest.fixture(scope="module")
def server() -> Iterator[GCSServerProcess]:
    with GCSServerProcess("--bucket", BUCKET) as running:
        yield running


@pytest.fixture(scope="module")
def store(server: GCSServerProcess) -> Iterator[sync.GCSArtifactStore]:
    with sync.GCSArtifactStore(
        bucket_name=BUCKET, prefix=PREFIX, endpoint=server.url, credentials="anonymous"
    ) as opened:
        yield opened


VERBS = {
    "save": lambda store, name: store.save(1, name),
    "load": lambda store, name: store.load(name),
    "exists": lambda store, name: store.exists(name),
    "delete": lambda store, name: store.delete(name),
    "get_metadata": lambda store, name: store.get_metadata(name),
    "size": lambda store, name: store.size(name),
    "info": lambda store, name: store.info(name),
    "delete_tree": lambda store, name: store.delete_tree(name),
    "materialize (name)": lambda store, name: store.materialize(1, name, "run", "step"),
    "materialize (run)": lambda store, name: store.materialize(1, "name", name, "step"),
    "materialize (step)": lambda store, name: store.materialize(1, "name", "run", name),
    "materialize (project)": lambda store, name: store.materialize(1, "name", "run", "step", name),
    "list_artifacts": lambda store, name: store.list_artifacts(name),
    "verify": lambda store, name: store.verify(name),
    "sweep": lambda store, name: store.sweep(name, grace=0, dry_run=False),
}
PREFIX_VERBS = {"list_artifacts", "verify", "sweep"}


@pytest.mark.parametrize("verb", VERBS)
def test_refused_names_are_refused_before_anything_is_asked_for(server: GCSServerProcess, verb: str) -> None:
    # Nobody listens there, so whatever got so far would fail otherwise.
    with sync.GCSArtifactStore(
        bucket_name=BUCKET, prefix=PREFIX, endpoint="http://127.0.0.1:9", credentials="anonymous"
    ) as store:
        for name in REFUSED:
            if verb in PREFIX_VERBS and type(name) is str and not name:
                continue  # everything
            with pytest.raises(aa.InvalidPathError):
                VERBS[verb](store, name)
            count("hostile names", refused=1)


@pytest.mark.parametrize("name", TAKEN, ids=ascii)
def test_taken_names_round_trip_on_gcs(store: sync.GCSArtifactStore, name: str) -> None:
    location = store.save({"is": name}, name, {"name": name})
    assert store.load(name) == store.load(location) == {"is": name}
    assert store.get_metadata(name) == {"name": name}
    assert store.list_artifacts(name) == [name]
    assert name in store.list_artifacts()
    assert store.delete(name) is True
    assert store.exists(name) is False
    assert store.list_artifacts() == []
    count("hostile names", round_trips=1)


def test_there_are_more_than_two_hundred_rows() -> None:
    different = {repr(name) for name in (*REFUSED, *TAKEN)}
    count("hostile names", rows=len(different))
    assert len(different) >= 200
