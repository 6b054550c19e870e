"""The laws of several callers at once: one winner, whole objects, and no folder pulled away from under a put."""

from __future__ import annotations

from itertools import pairwise

from aioartifacts.errors import ArtifactExistsError, ArtifactNotFoundError, ConflictError
from aioartifacts.objects.base import Buffers
from aioartifacts.testing.driving import Store, StoreUnderTest, call, together
from aioartifacts.testing.payloads import check_bytes
from aioartifacts.types import KIB

RIVALS = 8
ROUNDS = 10
KEY = "project/run/model/metadata.json"


class RivalLaws(StoreUnderTest):
    """Many callers at a time."""

    async def test_one_of_many_creates_wins(self, store: Store) -> None:
        for round_ in range(ROUNDS):
            key = f"round/{round_}"
            bodies = [f"rival {i}".encode() * 2 * KIB for i in range(RIVALS)]
            calls = [call("put", key, Buffers(body), if_generation=0) for body in bodies]
            outcomes = await together(store, calls)
            winners = [body for body, outcome in zip(bodies, outcomes, strict=True) if outcome.error is None]
            losers = [type(outcome.error) for outcome in outcomes if outcome.error is not None]
            assert losers == [ArtifactExistsError] * (RIVALS - 1)
            (winner,) = winners
            check_bytes(await self.stored(store, key), winner)
        assert await self.stored_keys(store) == {f"round/{round_}" for round_ in range(ROUNDS)}

    async def test_one_of_many_replacements_wins(self, store: Store) -> None:
        await self.put(store, KEY, b"start")
        for round_ in range(ROUNDS):
            generation = await self.generation(store, KEY)
            bodies = [f"{round_}: rival {i}".encode() for i in range(RIVALS)]
            outcomes = await together(store, [call("put", KEY, Buffers(b), if_generation=generation) for b in bodies])
            winners = [body for body, outcome in zip(bodies, outcomes, strict=True) if outcome.error is None]
            losers = [type(outcome.error) for outcome in outcomes if outcome.error is not None]
            assert losers == [ConflictError] * (RIVALS - 1)
            assert [await self.stored(store, KEY)] == winners
        assert await self.stored_keys(store) == {KEY}

    async def test_replacement_or_deletion_of_one_generation_wins_never_both(self, store: Store) -> None:
        for round_ in range(ROUNDS):
            await self.put(store, KEY, f"{round_}".encode())
            generation = await self.generation(store, KEY)
            replaced, deleted = await together(
                store,
                [
                    call("put", KEY, Buffers(b"replaced"), if_generation=generation),
                    call("delete", KEY, if_generation=generation),
                ],
            )
            if replaced.error is None:
                assert isinstance(deleted.error, ConflictError)
                assert await self.stored(store, KEY) == b"replaced"
            else:
                assert isinstance(replaced.error, ConflictError)
                assert deleted.error is None
                assert await self.stored(store, KEY) is None

    async def test_updates_conditional_on_what_was_read_are_never_lost(self, store: Store) -> None:
        await self.put(store, KEY, b"")
        done = 0
        while done < 2 * RIVALS:
            got = await self.get(store, KEY)
            body = Buffers(bytes(got.data) + b"+")
            outcomes = await together(store, [call("put", KEY, body, if_generation=got.info.generation)] * 2)
            done += sum(outcome.error is None for outcome in outcomes)
        assert await self.stored(store, KEY) == b"+" * done

    async def test_unconditional_puts_leave_one_of_them_whole(self, store: Store) -> None:
        bodies = [bytes([65 + i]) * (i + 1) * 64 * KIB for i in range(RIVALS)]
        outcomes = await together(store, [call("put", KEY, Buffers(body)) for body in bodies])
        assert [outcome.error for outcome in outcomes] == [None] * RIVALS
        left_whole = await self.stored(store, KEY) in bodies
        assert left_whole
        assert await self.stored_keys(store) == {KEY}

    async def test_reader_sees_old_or_new_and_never_nothing(self, store: Store) -> None:
        bodies = [bytes([65 + i]) * (i + 1) * 64 * KIB for i in range(ROUNDS)]
        await self.put(store, KEY, bodies[0])
        for old, new in pairwise(bodies):
            reads = [call("get", KEY), call("head", KEY), call("get", KEY), call("list")]
            put, got, head, again, listed = await together(store, [call("put", KEY, Buffers(new)), *reads])
            assert put.error is None
            whole = [bytes(read.result().data) in (old, new) for read in (got, again)]
            assert whole == [True, True]
            assert head.result().size in {len(old), len(new)}
            assert [(info.key, info.size in {len(old), len(new)}) for info in listed.result()] == [(KEY, True)]

    async def test_get_and_its_generation_belong_together(self, store: Store) -> None:
        await self.put(store, KEY, b"0")
        for round_ in range(ROUNDS):
            generation = await self.generation(store, KEY)
            new = f"{round_ + 1}".encode()
            put, got = await together(store, [call("put", KEY, Buffers(new)), call("get", KEY)])
            assert put.error is None
            old_was_read = bytes(got.result().data) != new
            assert (got.result().info.generation == generation) == old_was_read

    async def test_puts_of_different_keys_all_arrive(self, store: Store) -> None:
        keys = [f"same/folder/{i}" for i in range(2 * RIVALS)]
        outcomes = await together(store, [call("put", key, Buffers(key.encode())) for key in keys])
        assert [outcome.error for outcome in outcomes] == [None] * len(keys)
        assert {key: await self.stored(store, key) for key in keys} == {key: key.encode() for key in keys}

    async def test_put_survives_deletion_of_all_its_neighbours(self, store: Store) -> None:
        for round_ in range(2 * ROUNDS):
            await self.seed(store, "a/b/c/old", "a/b/other")
            new = f"a/b/c/new{round_}"
            outcomes = await together(
                store, [call("delete", "a/b/c/old"), call("put", new, Buffers(b"new")), call("delete", "a/b/other")]
            )
            assert [outcome.error for outcome in outcomes] == [None] * 3
            assert await self.stored_keys(store) == {new}
            await self.delete(store, new)

    async def test_many_deletes_of_one_object_are_no_error(self, store: Store) -> None:
        for _ in range(ROUNDS):
            await self.seed(store, KEY)
            outcomes = await together(store, [call("delete", KEY)] * RIVALS)
            assert [outcome.error for outcome in outcomes] == [None] * RIVALS
            assert await self.stored_keys(store) == set()

    async def test_reader_of_what_is_being_deleted_gets_all_or_not_found(self, store: Store) -> None:
        for _ in range(ROUNDS):
            await self.seed(store, KEY, data=b"content" * KIB)
            deleted, got, head, listed = await together(
                store, [call("delete", KEY), call("get", KEY), call("head", KEY), call("list", "project")]
            )
            assert deleted.error is None
            if not isinstance(got.error, ArtifactNotFoundError):
                check_bytes(got.result().data, b"content" * KIB)
            assert isinstance(head.error, ArtifactNotFoundError) or head.result().size == 7 * KIB
            assert [info.key for info in listed.result()] in ([], [KEY])
