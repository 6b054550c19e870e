"""`GCSArtifactStore`: how it is made, what it says of itself, and what it refuses."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
from artifact_places import as_users_have_it
from store_places import BUCKET, server

import aioartifacts.sync
from aioartifacts import GCSArtifactStore, InvalidConfigError, InvalidPathError, open_store

__all__ = ["server"]

VERBS = {
    "validate": lambda store: store.validate(),
    "save": lambda store: store.save(1, "a"),
    "load": lambda store: store.load("a"),
    "exists": lambda store: store.exists("a"),
    "delete": lambda store: store.delete("a"),
    "get_metadata": lambda store: store.get_metadata("a"),
    "size": lambda store: store.size("a"),
    "info": lambda store: store.info("a"),
    "list_artifacts": lambda store: store.list_artifacts(),
    "materialize": lambda store: store.materialize(1, "n", "r", "s"),
    "delete_tree": lambda store: store.delete_tree("a"),
    "sweep": lambda store: store.sweep(),
    "verify": lambda store: store.verify(),
}


def test_positions_of_the_arguments_are_flowyml_s():
    store = GCSArtifactStore("mine", "my-bucket", "my-project", "team/x")
    assert store.to_dict() == {
        "name": "mine", "type": "gcs", "bucket_name": "my-bucket", "project_id": "my-project", "prefix": "team/x", "endpoint": None,
    }  # fmt: skip


def test_name_in_the_place_of_a_bucket_is_told():
    with aioartifacts.sync.GCSArtifactStore("my-bucket") as store, pytest.raises(InvalidConfigError, match="the first argument is the store's name"):
        store.validate()


def test_defaults():
    store = GCSArtifactStore(bucket_name="my-bucket")
    assert repr(store) == "GCSArtifactStore('gs://my-bucket/aioartifacts')"
    assert store._config.trust is None
    assert store._doubt() == "others may be able to write to gs://my-bucket/aioartifacts"
    assert (store.name, store.to_dict()["project_id"]) == ("gcs", None)


@pytest.mark.parametrize(
    ("url", "prefix", "shown"),
    [("gs://my-bucket", "", "gs://my-bucket"), ("gs://my-bucket/", "", "gs://my-bucket"), ("gs://my-bucket/a/b", "a/b", "gs://my-bucket/a/b")],
)
@pytest.mark.parametrize("colour", [open_store, aioartifacts.sync.open_store])
def test_url_says_bucket_and_prefix(colour, url, prefix, shown):
    store = colour(url)
    assert store.to_dict() == {
        "name": "gcs", "type": "gcs", "bucket_name": "my-bucket", "project_id": None, "prefix": prefix, "endpoint": None,
    }  # fmt: skip
    assert shown in repr(store)


@pytest.mark.asyncio
@pytest.mark.parametrize("verb", VERBS)
async def test_store_without_a_bucket_asks_for_one(verb):
    store = GCSArtifactStore()
    with pytest.raises(InvalidConfigError, match="bucket_name=") as caught:
        await VERBS[verb](store)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("verb", VERBS)
def test_blocking_store_without_a_bucket_asks_for_one(verb):
    with pytest.raises(ValueError, match="bucket_name="):
        VERBS[verb](aioartifacts.sync.GCSArtifactStore())


def test_store_without_a_bucket_tells_its_configuration_and_pickles():
    store = pickle.loads(pickle.dumps(GCSArtifactStore(prefix="p")))
    assert store.to_dict()["bucket_name"] is None
    assert store.to_dict()["prefix"] == "p"


WITHOUT_THE_EXTRA = """
import asyncio, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("aiohttp", "gcloud", "yarl"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
import aioartifacts, aioartifacts.sync
async def main():
    for verb in (lambda s: s.validate(), lambda s: s.save(1, "a"), lambda s: s.list_artifacts()):
        try:
            await verb(aioartifacts.GCSArtifactStore(bucket_name="my-bucket"))
        except aioartifacts.MissingDependencyError as error:
            assert isinstance(error, ImportError)
            print(error)
asyncio.run(main())
try:
    aioartifacts.sync.open_store("gs://my-bucket").validate()
except ImportError as error:
    print(error)
"""


def test_without_the_extra_a_store_says_what_to_install():
    done = subprocess.run([sys.executable, "-c", WITHOUT_THE_EXTRA], capture_output=True, text=True, timeout=60, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert all("pip install 'aioartifacts[gcs]'" in line for line in lines)


@pytest.mark.asyncio
async def test_validate_of_a_missing_bucket_says_so(server):
    async with GCSArtifactStore(bucket_name="no-such-bucket", endpoint=server.url, credentials="anonymous") as store:
        with pytest.raises(aioartifacts.StoreError, match="no such bucket"):
            await store.validate()


@pytest.mark.asyncio
async def test_location_is_a_uri_that_every_verb_accepts(server):
    async with as_users_have_it(server) as store:
        assert await store.validate() is True
        location = await store.save([1], "a b/ü#?%2F+", {"n": 1})
        assert location == f"gs://{BUCKET}/aioartifacts/a b/ü#?%2F+"
        assert await store.load(location) == [1]
        assert await store.exists(location)
        assert await store.get_metadata(location) == {"n": 1}
        assert await store.size(location) > 0
        assert (await store.info(location)).location == location
        assert await store.list_artifacts(f"gs://{BUCKET}/aioartifacts/a b") == ["a b/ü#?%2F+"]
        assert await store.load_many([location]) == {location: [1]}
        assert await store.delete(location) is True


@pytest.mark.asyncio
@pytest.mark.parametrize("other", ["gs://other-bucket/aioartifacts/a", f"gs://{BUCKET}/other/a", f"gs://{BUCKET}/aioartifactsx/a"])
async def test_uri_outside_the_store_is_refused(server, other):
    async with as_users_have_it(server) as store:
        for verb in (store.load, store.exists, store.delete, store.size, store.list_artifacts, lambda p: store.save(1, p)):
            with pytest.raises(InvalidPathError) as caught:
                await verb(other)
            assert other in str(caught.value)
            assert f"gs://{BUCKET}/aioartifacts" in str(caught.value)
    assert server.journal.to_json() == []


@pytest.mark.asyncio
async def test_pickled_store_goes_on_elsewhere(server):
    async with as_users_have_it(server, trust="all", name="n") as store:
        await store.save({1}, "a")
        again = pickle.loads(pickle.dumps(store))
        assert type(again) is GCSArtifactStore
        assert (again.to_dict(), again._config.trust) == (store.to_dict(), "all")
        async with again:
            assert await again.load("a") == {1}
