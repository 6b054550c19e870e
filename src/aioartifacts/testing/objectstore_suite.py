"""The conformance suite that says when an object store is done."""

from __future__ import annotations

import json
import pickle

import pytest

from aioartifacts.errors import ArtifactError, InvalidPathError
from aioartifacts.objects.base import AsyncObjectStore, BlockingObjectStore
from aioartifacts.testing.driving import Store, call, perform
from aioartifacts.testing.reading_laws import ODD_KEYS, ReadingLaws
from aioartifacts.testing.rival_laws import RivalLaws
from aioartifacts.testing.writing_laws import WritingLaws

KEY = "project/run/model/metadata.json"


class ObjectStoreSuite(WritingLaws, RivalLaws, ReadingLaws):
    """Every law of `aioartifacts.objects.base`, for blocking and async stores alike. Needs pytest-asyncio.

    A store's author subclasses it, and gives three ways past the store to its medium, so that no store vouches for itself::

        class TestMyStore(ObjectStoreSuite):
            @pytest.fixture
            def store(self, tmp_path):
                return MyStore(tmp_path)

            def raw_get(self, store, key):
                return store.medium.get(key)

            def raw_put(self, store, key, data):
                store.medium[key] = data

            def raw_keys(self, store):
                return set(store.medium)

    The three may be coroutine functions. No test is skipped; what a store may lack is said by its answers (``map`` is None) or, where
    the contract leaves a choice, by the class attributes `rejects_colliding_unicode` and `rejects_colliding_case`. An async store
    that sends its chunks in more than `spill` bytes at a time sets that higher.
    """

    pytestmark = pytest.mark.asyncio

    async def test_store_is_of_one_kind(self, store: Store) -> None:
        assert isinstance(store, BlockingObjectStore) != isinstance(store, AsyncObjectStore)

    async def test_url_names_the_place_and_no_secret(self, store: Store) -> None:
        scheme, separator, rest = store.url.partition("://")
        assert all((scheme, separator, rest))
        assert not store.url.endswith("/")
        assert "@" not in rest.partition("/")[0], "no user name, no password"

    async def test_config_is_json(self, store: Store) -> None:
        config = dict(store.config())
        assert json.loads(json.dumps(config, allow_nan=False)) == config

    async def test_store_pickles_as_its_configuration_or_says_why_not(self, store: Store) -> None:
        await self.seed(store, KEY)
        try:
            data = pickle.dumps(store)
        except ArtifactError:
            return
        again = pickle.loads(data)  # noqa: S301  # written two lines above
        assert type(again) is type(store)
        assert (again.url, dict(again.config())) == (store.url, dict(store.config()))
        try:
            assert bytes((await self.get(again, KEY)).data) == b"seed"
            await self.put(again, KEY, b"from the copy")
            assert await self.stored(store, KEY) == b"from the copy"
        finally:
            if isinstance(again, AsyncObjectStore):
                await again.aclose()

    async def test_pickle_holds_no_objects(self, store: Store) -> None:
        await self.put(store, KEY, b"needle in the pickle")
        try:
            data = pickle.dumps(store)
        except ArtifactError:
            return
        assert b"needle" not in data

    @pytest.mark.parametrize("path", ["a", "project/run/model", *ODD_KEYS], ids=lambda path: ascii(path)[:40])
    async def test_relative_undoes_location(self, store: Store, path: str) -> None:
        location = store.location(path)
        assert location != path
        assert store.relative(location) == path

    async def test_locations_differ_as_paths_do(self, store: Store) -> None:
        assert len({store.location(path) for path in ODD_KEYS}) == len(ODD_KEYS)

    @pytest.mark.parametrize("path", ["a", "project/run/model", "with space/100%/#?", "é"])
    async def test_relative_of_a_path_is_none(self, store: Store, path: str) -> None:
        assert store.relative(path) is None

    async def test_relative_refuses_a_location_outside(self, store: Store) -> None:
        here = store.location("a").removesuffix("/a")
        for outside in (f"{here}-elsewhere/a", f"{here}/../a"):
            with pytest.raises(InvalidPathError):
                store.relative(outside)

    async def test_a_usable_store_validates(self, store: Store) -> None:
        (await perform(store, call("validate"))).result()
        assert await self.stored_keys(store) == set(), "and nothing is left of the trial"
        assert await self.keys(store) == []

    async def test_doubt_is_none_or_a_reason(self, store: Store) -> None:
        if isinstance(store, BlockingObjectStore):
            doubt = (await perform(store, call("doubt"))).result()
            assert doubt is None or (isinstance(doubt, str) and doubt)
        else:
            assert not hasattr(store, "doubt"), "nobody asks an async store"

    async def test_store_is_used_again_after_it_was_closed(self, store: Store) -> None:
        if isinstance(store, BlockingObjectStore):
            assert not hasattr(store, "aclose"), "nobody closes a blocking store"
            return
        await self.put(store, KEY, b"before")
        for _ in range(2):
            await store.aclose()
        assert bytes((await self.get(store, KEY)).data) == b"before"
        assert await self.keys(store) == [KEY]
