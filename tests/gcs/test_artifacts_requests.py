"""What each verb costs: the requests it makes, as the server's log has them. docs/gcs.md says the same in a table."""

from __future__ import annotations

import pytest
from artifact_places import CHUNKS, PART, SMALL, Thing, as_users_have_it, names, opened, orphans, write
from store_places import fault, requests, server

from aioartifacts import ArtifactNotFoundError
from aioartifacts.types import MIB

__all__ = ["server"]
pytestmark = pytest.mark.asyncio


async def cost(server, verb) -> list[str]:
    """The methods of the requests that *verb* makes, in order."""
    server.journal.clear()
    await verb
    return [entry["method"] for entry in requests(server)]


async def test_small_save_is_one_request(server):
    async with opened(server) as store:
        assert await cost(server, store.save(SMALL, "a", {"n": 1})) == ["POST"]
    assert names(server) == {"a/metadata.json"}


async def test_small_load_is_one_request(server):
    async with opened(server) as store:
        await store.save(SMALL, "a")
        assert await cost(server, store.load("a")) == ["GET"]


async def test_small_overwrite_is_three_requests(server):
    async with opened(server) as store:
        await store.save(SMALL, "a")
        assert await cost(server, store.save(2, "a")) == ["POST", "GET", "POST"]


async def test_save_with_a_part_is_one_request_more(server):
    async with opened(server) as store:
        assert await cost(server, store.save(PART, "a")) == ["POST", "POST"]


async def test_overwrite_that_is_told_to_wait_uploads_its_parts_once(server):
    async with opened(server) as store:
        await store.save(PART, "a")
        fault(server, "status", status=429, method="POST", query="ifGenerationMatch=0", count=1)
        #                                                    part    record (429)  record  read   record  old part
        assert await cost(server, store.save(PART, "a")) == ["POST", "POST", "POST", "GET", "POST", "DELETE"]
    assert server.faults.installed()[0]["fired"] == 1
    assert orphans(server) == set()


async def test_overwrite_removes_each_old_part_with_one_request(server):
    async with opened(server) as store:
        await store.save(PART, "a")
        assert await cost(server, store.save(SMALL, "a")) == ["POST", "GET", "POST", "DELETE"]
    assert names(server) == {"a/metadata.json"}


async def test_load_of_a_part_is_one_request_more(server):
    async with opened(server) as store:
        await store.save(PART, "a")
        assert await cost(server, store.load("a")) == ["GET", "GET"]


async def test_upload_in_chunks_is_one_request_each_and_one_to_begin(server):
    async with opened(server) as store:
        assert await cost(server, store.save(Thing(CHUNKS), "a")) == ["POST", "PUT", "PUT", "PUT", "POST"]


async def test_upload_in_parallel_is_one_request_per_part_and_three_around_them(server):
    async with opened(server, chunk_size=5 * MIB, parallel_from=8 * MIB) as store:
        assert await cost(server, store.save(bytes(12 * MIB), "a")) == ["POST", "PUT", "PUT", "PUT", "POST", "GET", "POST"]


async def test_large_load_is_one_request_per_range_of_8_mib(server):
    async with opened(server) as store:
        await store.save(bytes(20 * MIB), "a")
        assert await cost(server, store.load("a")) == ["GET"] * 4


@pytest.mark.parametrize("verb", ["exists", "size", "get_metadata", "info"])
async def test_looking_is_one_request_and_touches_the_record_only(server, verb):
    async with opened(server) as store:
        await store.save(PART, "a")
        assert await cost(server, getattr(store, verb)("a")) == ["GET"]
    assert requests(server)[0]["target"].endswith("/a/metadata.json")


@pytest.mark.parametrize("verb", ["exists", "size", "get_metadata", "delete"])
async def test_what_is_missing_is_two_requests_since_flowyml_s_pickles_have_no_record(server, verb):
    async with opened(server) as store:
        assert await cost(server, getattr(store, verb)("a")) == ["GET", "GET"]


async def test_load_of_what_is_missing_is_two_requests(server):
    async with opened(server) as store:
        with pytest.raises(ArtifactNotFoundError):
            await store.load("a")
    assert [entry["method"] for entry in requests(server)] == ["GET", "GET"]


async def test_delete_reads_the_record_and_removes_it_and_each_part(server):
    async with opened(server) as store:
        await store.save(PART, "a")
        assert await cost(server, store.delete("a")) == ["GET", "DELETE", "DELETE"]
        await store.save(SMALL, "b")
        assert await cost(server, store.delete("b")) == ["GET", "DELETE"]
    assert names(server) == set()


async def test_create_only_save_looks_first(server):
    async with opened(server) as store:
        assert await cost(server, store.save(SMALL, "a", overwrite=False)) == ["GET", "POST"]


@pytest.mark.parametrize(("objects", "pages"), [(999, 1), (1000, 1), (1001, 2), (2001, 3)])
async def test_list_is_one_request_per_thousand_objects_parts_included(server, objects, pages):
    for number in range(objects):
        write(server, f"p/{number // 2}/" + ("metadata.json" if number % 2 else ".part-0.data.bin"), b"x")
    async with opened(server) as store:
        assert len(await cost(server, store.list_artifacts())) == pages
        assert len(await store.list_artifacts()) == objects // 2


async def test_list_below_a_prefix_asks_for_the_prefix_only(server):
    async with opened(server) as store:
        await store.save_many({"a/b": 1, "c": 2})
        assert await cost(server, store.list_artifacts("a")) == ["GET"]
        assert await store.list_artifacts("a") == ["a/b"]


async def test_validate_is_one_request(server):
    async with as_users_have_it(server) as store:
        assert await cost(server, store.validate()) == ["GET"]


async def test_bulk_verbs_cost_what_single_ones_do(server):
    async with opened(server) as store:
        paths = [f"p/{number}" for number in range(50)]
        assert await cost(server, store.save_many(dict.fromkeys(paths, SMALL))) == ["POST"] * 50
        assert await cost(server, store.load_many(paths)) == ["GET"] * 50
        assert sorted(await cost(server, store.delete_many(paths))) == ["DELETE"] * 50 + ["GET"] * 50
    assert orphans(server) == set()


async def test_no_request_is_larger_than_it_needs_to_be(server):
    async with opened(server) as store:
        await store.save(SMALL, "a")
    (entry,) = requests(server)
    assert entry["bytes_in"] < 2000
    assert entry["bytes_out"] < 1000
