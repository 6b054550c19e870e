"""The laws of put and delete, one at a time: what is written is there, whole, and what fails leaves nothing."""

from __future__ import annotations

from array import array

import pytest

from aioartifacts.errors import ArtifactError, ArtifactExistsError, ArtifactNotFoundError, ConflictError
from aioartifacts.objects.base import Body, Buffers, FileBody, Producer, PutRequest, Sink
from aioartifacts.testing.driving import (
    Script,
    Store,
    StoreUnderTest,
    call,
    interrupt_put,
    interrupt_put_at,
    let_others_run,
    offers,
    perform,
)
from aioartifacts.testing.payloads import SIZES, check_bytes, content, file_content, in_pieces
from aioartifacts.types import MIB, Buffer

KEY = "project/run/model/.part-0123456789abcdef0123456789abcdef.data"
RECORD = "project/run/model/metadata.json"


class Stop(Exception):
    """What a body raises in these tests; no store knows it."""


class WritingLaws(StoreUnderTest):
    """One writer at a time."""

    # what is put is there

    @pytest.mark.parametrize("size", SIZES)
    async def test_put_stores_exactly_the_bytes(self, store: Store, size: int) -> None:
        info = await self.put(store, KEY, content(size))
        assert (info.key, info.size) == (KEY, size)
        check_bytes(await self.stored(store, KEY), content(size))
        assert await self.stored_keys(store) == {KEY}

    @pytest.mark.parametrize("size", SIZES)
    async def test_put_of_unknown_size_stores_exactly_the_bytes(self, store: Store, size: int) -> None:
        info = await self.put(store, KEY, Script(*in_pieces(content(size))))
        assert (info.key, info.size) == (KEY, size)
        check_bytes(await self.stored(store, KEY), content(size))
        assert await self.stored_keys(store) == {KEY}

    @pytest.mark.parametrize("size", SIZES)
    async def test_get_returns_what_was_put(self, store: Store, size: int) -> None:
        await self.put(store, KEY, Script(*in_pieces(content(size)), size=size))
        check_bytes((await self.get(store, KEY)).data, content(size))

    async def test_put_joins_buffers_in_order(self, store: Store) -> None:
        data = content(300_000)
        pieces: list[Buffer] = [bytearray(data[:1]), memoryview(data)[1:1], memoryview(data)[1:200_000], data[200_000:]]
        info = await self.put(store, KEY, Buffers(*pieces))
        assert info.size == len(data)
        check_bytes(await self.stored(store, KEY), data)

    async def test_put_takes_more_buffers_than_one_system_call_does(self, store: Store) -> None:
        data = content(5_000)
        await self.put(store, KEY, Buffers(*(data[i : i + 1] for i in range(len(data)))))
        check_bytes(await self.stored(store, KEY), data)

    async def test_put_takes_buffers_of_wider_items(self, store: Store) -> None:
        numbers = array("d", [1.5, -0.0, 3e300])
        await self.put(store, KEY, Buffers(memoryview(numbers)))
        assert await self.stored(store, KEY) == numbers.tobytes()

    async def test_put_of_a_buffer_with_gaps_stores_its_bytes_or_nothing(self, store: Store) -> None:
        try:
            await self.put(store, KEY, Buffers(memoryview(b"abcdef")[::2]))
        except (ArtifactError, BufferError, TypeError, ValueError):
            assert await self.stored_keys(store) == set()
        else:
            assert await self.stored(store, KEY) == b"ace"

    async def test_object_does_not_change_with_the_buffer_it_came_from(self, store: Store) -> None:
        data = bytearray(b"before")
        await self.put(store, KEY, Buffers(data))
        data[:] = b"after!"
        assert await self.stored(store, KEY) == b"before"
        assert bytes((await self.get(store, KEY)).data) == b"before"

    @pytest.mark.parametrize("size", [0, 1, 3 * MIB + 1])
    async def test_put_takes_a_file(self, store: Store, size: int, tmp_path_factory: pytest.TempPathFactory) -> None:
        source = tmp_path_factory.mktemp("source") / "payload"
        source.write_bytes(content(size))
        await self.put(store, KEY, FileBody(str(source), size))
        check_bytes(await self.stored(store, KEY), content(size))
        check_bytes(file_content(source), content(size), "the file is only read")

    async def test_put_takes_a_producer_again_and_again(self, store: Store) -> None:
        def produce(sink: Sink) -> None:
            for piece in in_pieces(content(self.spill)):
                sink.write(piece)

        body = Producer(produce)
        await self.put(store, KEY, body)
        await self.put(store, RECORD, body)
        check_bytes(await self.stored(store, KEY), content(self.spill))
        check_bytes(await self.stored(store, RECORD), content(self.spill))

    async def test_put_takes_pieces_of_no_bytes(self, store: Store) -> None:
        await self.put(store, KEY, Script(b"", b"a", b"", b"b", b""))
        assert await self.stored(store, KEY) == b"ab"

    async def test_put_replaces_a_longer_object_whole(self, store: Store) -> None:
        await self.put(store, KEY, content(self.spill))
        await self.put(store, KEY, b"short")
        assert await self.stored(store, KEY) == b"short"
        assert await self.stored_keys(store) == {KEY}

    async def test_put_over_what_another_process_wrote(self, store: Store) -> None:
        await self.seed(store, KEY)
        await self.put(store, KEY, b"ours")
        assert await self.stored(store, KEY) == b"ours"

    # what fails leaves what was there before, and nothing else

    @pytest.mark.parametrize("kind", [Stop, ArtifactError, OSError, KeyboardInterrupt])
    @pytest.mark.parametrize("written", ["nothing", "a byte", "most"])
    @pytest.mark.parametrize("before", [None, b"old"])
    async def test_body_that_raises_changes_nothing(
        self, store: Store, kind: type[BaseException], written: str, before: bytes | None
    ) -> None:
        if before is not None:
            await self.seed(store, KEY, data=before)
        keys = await self.stored_keys(store)
        error = kind("raised by the body")
        pieces = {"nothing": [], "a byte": [b"x"], "most": in_pieces(content(self.spill))}[written]
        outcome = await perform(store, call("put", KEY, Script(*pieces, error, b"never")))
        assert outcome.error is error, "exceptions of the body pass through unchanged"
        assert await self.stored(store, KEY) == before
        assert await self.stored_keys(store) == keys

    async def test_put_succeeds_after_one_that_failed(self, store: Store) -> None:
        with pytest.raises(Stop):
            await self.put(store, KEY, Script(*in_pieces(content(self.spill)), Stop()))
        await self.put(store, KEY, b"second try", if_generation=0)
        assert await self.stored(store, KEY) == b"second try"

    async def test_interrupted_put_leaves_nothing_and_commits_nothing_later(self, store: Store) -> None:
        await self.seed(store, RECORD)
        await interrupt_put(store, KEY, *in_pieces(content(self.spill)))
        for _ in range(10):
            assert await self.stored_keys(store) == {RECORD}
            await let_others_run()
        with pytest.raises(ArtifactNotFoundError):
            await self.head(store, KEY)

    async def test_interrupted_put_leaves_the_old_content(self, store: Store) -> None:
        await self.seed(store, KEY, data=b"old")
        await interrupt_put(store, KEY, *in_pieces(content(self.spill)))
        for _ in range(10):
            assert await self.stored(store, KEY) == b"old"
            assert await self.stored_keys(store) == {KEY}
            await let_others_run()

    async def test_put_interrupted_at_any_point_is_invisible_or_complete(self, store: Store) -> None:
        pieces = in_pieces(content(self.spill), 1 + self.spill // 8)
        for point in range(24):
            await self.delete(store, KEY)
            await interrupt_put_at(store, KEY, pieces, point)
            found = await self.stored(store, KEY)
            check_bytes(found, None if found is None else content(self.spill))
            assert await self.stored_keys(store) == ({KEY} if found else set())
            for _ in range(3):
                await let_others_run()
            check_bytes(await self.stored(store, KEY), found, "it changed after the put had ended")

    async def test_refused_put_leaves_nothing_behind(self, store: Store) -> None:
        await self.seed(store, KEY)
        body = Script(*in_pieces(content(self.spill)))
        with pytest.raises(ArtifactExistsError):
            await self.put(store, KEY, body, if_generation=0)
        assert await self.stored(store, KEY) == b"seed"
        assert await self.stored_keys(store) == {KEY}
        assert body.iterating == 0, "a body left early must be closed"

    async def test_put_in_progress_is_seen_by_nobody(self, store: Store) -> None:
        await self.seed(store, RECORD)
        seen: list[object] = []

        async def look() -> None:
            seen.append([await self.keys(store), await self.keys(store, "project/run"), await self.keys(store, KEY)])
            seen.extend([type((await perform(store, call(verb, KEY))).error) for verb in ("head", "get")])

        await self.put(store, KEY, Script(look, *in_pieces(content(self.spill)), look))
        assert seen == [[[RECORD], [RECORD], []], ArtifactNotFoundError, ArtifactNotFoundError] * 2
        assert await self.keys(store) == sorted([KEY, RECORD])

    async def test_old_content_is_read_while_its_replacement_is_in_progress(self, store: Store) -> None:
        await self.put(store, KEY, b"old")
        seen: list[object] = []

        async def look() -> None:
            seen.append([bytes((await self.get(store, KEY)).data), (await self.head(store, KEY)).size])
            seen.append([(info.key, info.size) for info in await self.list(store)])

        await self.put(store, KEY, Script(*in_pieces(content(self.spill)), look))
        assert seen == [[b"old", 3], [(KEY, 3)]]

    # preconditions

    async def test_create_stores_what_was_missing(self, store: Store) -> None:
        await self.put(store, KEY, b"new", if_generation=0)
        assert await self.stored(store, KEY) == b"new"

    async def test_create_refuses_what_exists(self, store: Store) -> None:
        await self.put(store, KEY, b"first", if_generation=0)
        with pytest.raises(ArtifactExistsError) as caught:
            await self.put(store, KEY, b"second", if_generation=0)
        assert caught.value.path == KEY
        assert await self.stored(store, KEY) == b"first"

    async def test_create_after_delete(self, store: Store) -> None:
        await self.put(store, KEY, b"first", if_generation=0)
        await self.delete(store, KEY)
        await self.put(store, KEY, b"second", if_generation=0)
        assert await self.stored(store, KEY) == b"second"

    async def test_replace_of_the_present_generation(self, store: Store) -> None:
        await self.seed(store, RECORD)
        await self.put(store, RECORD, b"new", if_generation=await self.generation(store, RECORD))
        assert await self.stored(store, RECORD) == b"new"
        assert await self.stored_keys(store) == {RECORD}

    async def test_replace_of_an_old_generation_conflicts(self, store: Store) -> None:
        await self.put(store, RECORD, b"one")
        old = await self.generation(store, RECORD)
        await self.put(store, RECORD, b"two")
        with pytest.raises(ConflictError) as caught:
            await self.put(store, RECORD, b"three", if_generation=old)
        assert caught.value.path == RECORD
        assert await self.stored(store, RECORD) == b"two"
        assert await self.stored_keys(store) == {RECORD}

    async def test_replace_of_what_is_gone_conflicts(self, store: Store) -> None:
        await self.put(store, RECORD, b"one")
        old = await self.generation(store, RECORD)
        await self.delete(store, RECORD)
        with pytest.raises(ConflictError):
            await self.put(store, RECORD, b"two", if_generation=old)
        assert await self.stored_keys(store) == set()

    async def test_generation_changes_with_the_content(self, store: Store) -> None:
        generations = []
        for data in (b"one", b"two", b"three", b"33333"):
            await self.put(store, RECORD, data)
            generations.append(await self.generation(store, RECORD))
        assert len(set(generations)) == 4
        assert 0 not in generations

    async def test_generation_is_the_same_wherever_it_is_told(self, store: Store) -> None:
        put = await self.put(store, RECORD, b"record")
        whole = await self.generation(store, RECORD)
        listed = (await self.list(store))[0]
        assert {put.generation, listed.generation, (await self.head(store, RECORD)).generation} <= {whole, None}

    # delete

    async def test_delete_removes_the_object(self, store: Store) -> None:
        await self.seed(store, KEY)
        await self.delete(store, KEY)
        assert await self.stored_keys(store) == set()
        with pytest.raises(ArtifactNotFoundError):
            await self.head(store, KEY)

    @pytest.mark.parametrize("key", [KEY, "a", "folder/b", "folder"])
    async def test_delete_of_what_is_missing_is_no_error(self, store: Store, key: str) -> None:
        await self.seed(store, "folder/a")
        await self.delete(store, key)
        await self.delete(store, key)
        assert await self.stored_keys(store) == {"folder/a"}

    async def test_delete_spares_objects_above_below_and_beside(self, store: Store) -> None:
        others = {"a/metadata.json", "a/b/c/metadata.json", "a/bb/metadata.json", "a/b.x"}
        await self.seed(store, *others, "a/b/metadata.json")
        await self.delete(store, "a/b/metadata.json")
        assert await self.stored_keys(store) == others

    async def test_delete_leaves_no_empty_folder_in_the_way(self, store: Store) -> None:
        await self.put(store, "a/b/c/d", b"deep")
        await self.delete(store, "a/b/c/d")
        await self.put(store, "a", b"where a folder was")
        assert await self.stored(store, "a") == b"where a folder was"

    async def test_delete_of_the_present_generation(self, store: Store) -> None:
        await self.put(store, RECORD, b"one")
        await self.delete(store, RECORD, if_generation=await self.generation(store, RECORD))
        assert await self.stored_keys(store) == set()

    async def test_delete_of_an_old_generation_conflicts(self, store: Store) -> None:
        await self.put(store, RECORD, b"one")
        old = await self.generation(store, RECORD)
        await self.put(store, RECORD, b"two")
        for other in (old, 0):
            with pytest.raises(ConflictError):
                await self.delete(store, RECORD, if_generation=other)
        assert await self.stored(store, RECORD) == b"two"

    async def test_delete_of_a_generation_of_what_is_gone_is_no_error(self, store: Store) -> None:
        await self.put(store, RECORD, b"one")
        old = await self.generation(store, RECORD)
        await self.delete(store, RECORD)
        await self.delete(store, RECORD, if_generation=old)
        assert await self.stored_keys(store) == set()

    # several puts in one call, which only a blocking store has

    async def test_put_many_answers_in_order(self, store: Store) -> None:
        if not offers(store, "put_many"):
            return
        await self.seed(store, "exists", "changed")
        stop = Stop()
        requests = [
            PutRequest("a/1", Buffers(b"1")),
            PutRequest("exists", Buffers(b"x"), if_generation=0),
            PutRequest("a/2", Script(*in_pieces(content(self.spill)), stop)),
            PutRequest("changed", Buffers(b"x"), if_generation="no such generation"),
            PutRequest("a/3", Script(*in_pieces(content(self.spill))), if_generation=0),
            PutRequest("a/4", Buffers(b"4"), if_generation=0),
        ]
        one, exists, raised, conflict, three, four = (await perform(store, call("put_many", requests))).result()
        assert [(info.key, info.size) for info in (one, three, four)] == [("a/1", 1), ("a/3", self.spill), ("a/4", 1)]
        assert isinstance(exists, ArtifactExistsError)
        assert raised is stop
        assert isinstance(conflict, ConflictError)
        assert await self.stored_keys(store) == {"a/1", "a/3", "a/4", "exists", "changed"}
        assert await self.stored(store, "exists") == await self.stored(store, "changed") == b"seed"
        check_bytes(await self.stored(store, "a/3"), content(self.spill))

    async def test_put_many_of_nothing_answers_nothing(self, store: Store) -> None:
        if offers(store, "put_many"):
            assert (await perform(store, call("put_many", []))).result() == []

    async def test_put_many_creates_a_key_once(self, store: Store) -> None:
        if not offers(store, "put_many"):
            return
        bodies = [b"first", b"second", b"third"]
        requests = [PutRequest(KEY, Buffers(body), if_generation=0) for body in bodies]
        answers = (await perform(store, call("put_many", requests))).result()
        winners = [
            body for body, answer in zip(bodies, answers, strict=True) if not isinstance(answer, ArtifactExistsError)
        ]
        assert winners == [await self.stored(store, KEY)]

    async def test_put_many_raises_an_interrupt_and_leaves_whole_objects(self, store: Store) -> None:
        if not offers(store, "put_many"):
            return
        bodies: list[Body] = [Buffers(b"whole"), Script(b"x", KeyboardInterrupt()), Buffers(b"whole")]
        requests = [PutRequest(f"a/{i}", body) for i, body in enumerate(bodies)]
        outcome = await perform(store, call("put_many", requests))
        assert isinstance(outcome.error, KeyboardInterrupt)
        left = await self.stored_keys(store)
        assert left <= {"a/0", "a/2"}
        assert {await self.stored(store, key) for key in left} <= {b"whole"}
