"""The laws of get, head, list, map and file: what is in the medium is told, byte for byte and key for key."""

from __future__ import annotations

import inspect
import unicodedata
from collections.abc import AsyncGenerator, Callable

import pytest
from crc32c import crc32c

from aioartifacts.errors import ArtifactError, ArtifactNotFoundError
from aioartifacts.objects.base import AsyncObjectStore
from aioartifacts.testing.driving import Script, Store, StoreUnderTest, call, offers, perform
from aioartifacts.testing.payloads import SIZES, check_bytes, content, file_content
from aioartifacts.types import MIB

KEY = "project/run/model/metadata.json"
NFC = unicodedata.normalize("NFC", "Grüße/é.bin")
NFD = unicodedata.normalize("NFD", NFC)

ODD_KEYS = [
    "with space/in the middle",
    "a#b/c#",
    "what?alt=media&x=1",
    "100%/%2F/%2e%2e/%",
    "a+b=c&d;e,f",
    "semi:colon@at$dollar!",
    "quote'double\"back`tick",
    "[brackets]{braces}(parens)*star",
    "~tilde/^caret|pipe<less>more",
    ".hidden/..twodots/...x",
    "UPPER/lower/MiXeD",
    NFC,
    NFD,
    "emoji/🧪🏴‍☠/模型",
    "right-to-left/שלום",
    "x" * 255,
    "/".join(["é" * 127] * 2),
    "a/.part-0123456789abcdef0123456789abcdef.data",
    "a/.parts-0123456789abcdef0123456789abcdef/p0",
]
ILLEGAL_KEYS = [
    "",
    "/",
    "/absolute",
    "../outside",
    "a/../b",
    "a/./b",
    "a//b",
    "a/",
    ".",
    "..",
    "nul\0byte",
    "lone\udcff",
    "x" * 5000,
]


class ReadingLaws(StoreUnderTest):
    """What readers are told."""

    rejects_colliding_unicode = False
    """The medium takes two spellings of one text (NFC, NFD) for one name, and the store refuses the second with an `ArtifactError`."""
    rejects_colliding_case = False
    """As above, for two names that differ in case only."""

    # get

    @pytest.mark.parametrize("size", SIZES)
    async def test_get_reads_what_is_in_the_medium(self, store: Store, size: int) -> None:
        await self.seed(store, KEY, data=content(size))
        got = await self.get(store, KEY)
        assert (got.info.key, got.info.size) == (KEY, size)
        check_bytes(got.data, content(size))

    @pytest.mark.parametrize("options", [{}, {"start": 1}, {"length": 0}, {"start": 5, "length": 5}], ids=str)
    @pytest.mark.parametrize("key", ["missing", "folder", "folder/missing", "object/below"])
    async def test_get_of_what_is_missing(self, store: Store, key: str, options: dict[str, int]) -> None:
        await self.seed(store, "folder/a", "object")
        with pytest.raises(ArtifactNotFoundError) as caught:
            await self.get(store, key, **options)
        assert caught.value.path == key

    @pytest.mark.parametrize(
        ("start", "length"),
        [
            *((0, 1), (0, 10), (3, 4), (9, 1), (0, None), (3, None), (9, None), (0, 0), (5, 0), (10, 0)),
            *((10, None), (10, 1), (11, None), (10**9, 5), (0, 11), (8, 100), (0, 10**12)),
        ],
    )
    async def test_get_of_a_range(self, store: Store, start: int, length: int | None) -> None:
        await self.seed(store, KEY, data=b"0123456789")
        got = await self.get(store, KEY, start=start, length=length)
        assert bytes(got.data) == b"0123456789"[start:][:length]
        assert (got.info.key, got.info.size) == (KEY, 10), "the info is that of the whole object"

    async def test_get_of_a_range_of_nothing(self, store: Store) -> None:
        await self.seed(store, KEY, data=b"")
        for options in ({}, {"start": 3}, {"length": 3}, {"start": 3, "length": 3}):
            got = await self.get(store, KEY, **options)
            assert (bytes(got.data), got.info.size) == (b"", 0)

    async def test_get_of_ranges_that_make_up_a_large_object(self, store: Store) -> None:
        data = content(2 * MIB + 7)
        await self.seed(store, KEY, data=data)
        step = 700_001
        read = [bytes((await self.get(store, KEY, start=i, length=step)).data) for i in range(0, len(data), step)]
        check_bytes(b"".join(read), data)

    @pytest.mark.parametrize(
        ("start", "length", "room"),
        [(0, None, 10), (0, 10, 10), (2, 5, 5), (2, 5, 64), (7, None, 64), (8, 9, 9), (10, 4, 4), (0, 0, 0)],
    )
    async def test_get_into_a_view_fills_its_beginning(
        self, store: Store, start: int, length: int | None, room: int
    ) -> None:
        await self.seed(store, KEY, data=b"0123456789")
        target = bytearray(b"-" * room)
        got = await self.get(store, KEY, start=start, length=length, into=memoryview(target))
        expected = b"0123456789"[start:][:length]
        assert bytes(got.data) == expected
        assert target == expected + b"-" * (room - len(expected)), "beyond the data the view is not touched"
        assert got.info.size == 10
        target[:] = b"*" * room
        assert bytes(got.data) == b"*" * len(expected), "the answer is the view, not a copy"

    async def test_get_of_a_large_object_into_a_view(self, store: Store) -> None:
        data = content(3 * MIB + 1)
        await self.seed(store, KEY, data=data)
        target = bytearray(len(data))
        await self.get(store, KEY, into=memoryview(target))
        check_bytes(target, data)

    async def test_get_of_what_is_missing_leaves_the_view_alone(self, store: Store) -> None:
        target = bytearray(b"-----")
        with pytest.raises(ArtifactNotFoundError):
            await self.get(store, KEY, into=memoryview(target))
        assert target == b"-----"

    async def test_get_of_the_whole_tells_the_generation(self, store: Store) -> None:
        await self.seed(store, KEY)
        first = await self.generation(store, KEY)
        assert await self.generation(store, KEY) == first, "reading does not change it"
        await self.put(store, KEY, b"changed", if_generation=first)

    async def test_get_gives_bytes_of_the_callers_own(self, store: Store) -> None:
        await self.seed(store, KEY, data=b"untouched")
        view = memoryview((await self.get(store, KEY)).data)
        if not view.readonly:
            view[:] = b"*" * len(view)
        await self.put(store, KEY, b"something else")
        await self.seed(store, KEY, data=b"untouched")
        assert bytes((await self.get(store, KEY)).data) == b"untouched"

    async def test_got_bytes_survive_replacement_and_deletion(self, store: Store) -> None:
        await self.seed(store, KEY, data=content(MIB))
        got = await self.get(store, KEY)
        await self.put(store, KEY, content(MIB, seed=1))
        await self.delete(store, KEY)
        check_bytes(got.data, content(MIB))

    async def test_get_of_a_generation(self, store: Store) -> None:
        if not isinstance(store, AsyncObjectStore):
            assert "generation" not in inspect.signature(store.get).parameters, "reads are pinned in async stores only"
            return
        await self.put(store, KEY, b"one")
        old = await self.generation(store, KEY)
        assert bytes((await self.get(store, KEY, generation=old)).data) == b"one"
        await self.put(store, KEY, b"two")
        present = await self.generation(store, KEY)
        assert bytes((await self.get(store, KEY, generation=present, start=1, length=1)).data) == b"w"
        for options in ({}, {"start": 1, "length": 1}):
            with pytest.raises(ArtifactNotFoundError):
                await self.get(store, KEY, generation=old, **options)

    # head

    @pytest.mark.parametrize("size", [0, 1, MIB + 1])
    async def test_head_tells_the_size(self, store: Store, size: int) -> None:
        await self.seed(store, KEY, data=content(size))
        info = await self.head(store, KEY)
        assert (info.key, info.size) == (KEY, size)

    @pytest.mark.parametrize("key", ["missing", "folder", "folder/missing", "object/below"])
    async def test_head_of_what_is_missing(self, store: Store, key: str) -> None:
        await self.seed(store, "folder/a", "object")
        with pytest.raises(ArtifactNotFoundError) as caught:
            await self.head(store, key)
        assert caught.value.path == key

    async def test_crc32c_is_right_wherever_it_is_told(self, store: Store) -> None:
        data = content(self.spill)
        infos = [await self.put(store, KEY, Script(data))]
        infos += [(await self.get(store, KEY)).info, await self.head(store, KEY), *await self.list(store)]
        infos.append((await self.get(store, KEY, start=5, length=5)).info)
        assert {info.crc32c for info in infos} <= {None, crc32c(data)}

    async def test_updated_does_not_go_back(self, store: Store) -> None:
        await self.put(store, KEY, b"one")
        first = (await self.head(store, KEY)).updated
        await self.put(store, KEY, b"two")
        second = (await self.head(store, KEY)).updated
        assert (first is None) == (second is None)
        assert first is None or second is None or 1e9 < first <= second

    # list

    async def test_list_of_an_empty_store(self, store: Store) -> None:
        assert await self.keys(store) == []
        assert await self.keys(store, "a/b", name="metadata.json") == []

    async def test_list_is_recursive_and_tells_sizes(self, store: Store) -> None:
        sizes = {"a": 1, "b/c": 0, "b/d/e/f": 70_000, "b/d/e/.part-x": 3}
        for key, size in sizes.items():
            await self.seed(store, key, data=content(size))
        assert {info.key: info.size for info in await self.list(store)} == sizes
        assert await self.keys(store) == sorted(sizes), "each once"

    @pytest.mark.parametrize(
        ("prefix", "expected"),
        [
            ("a", ["a/b/c", "a/b/d", "a/x"]),
            ("a/b", ["a/b/c", "a/b/d"]),
            ("a/b/c", ["a/b/c"]),
            ("a/b/c/d", []),
            ("A", []),
            ("missing", []),
            ("missing/a", []),
            ("a/b/", []),
            ("", ["a b/c", "a#/c", "a-b/c", "a.b", "a/b/c", "a/b/d", "a/x", "a0/c", "ab/c", "ä/c"]),
        ],
    )
    async def test_list_covers_whole_segments(self, store: Store, prefix: str, expected: list[str]) -> None:
        await self.seed(store, "a b/c", "a#/c", "a-b/c", "a.b", "a/b/c", "a/b/d", "a/x", "a0/c", "ab/c", "ä/c")
        outcome = await perform(store, call("list", prefix))
        if prefix.endswith("/") and isinstance(outcome.error, ArtifactError):
            return  # no legal prefix: refused, or literally nothing's
        found = sorted(info.key for info in outcome.result())
        assert found == expected or (prefix == "a/b/" and found == ["a/b/c", "a/b/d"])

    async def test_list_by_name(self, store: Store) -> None:
        records = ["a/b/metadata.json", "a/metadata.json", "metadata.json"]
        await self.seed(
            store, *records, "a/metadata.json.bak", "a/xmetadata.json", "a/METADATA.JSON2", "b/metadata.json/x"
        )
        assert await self.keys(store, name="metadata.json") == records
        assert await self.keys(store, "a", name="metadata.json") == records[:2]
        assert await self.keys(store, "a/metadata.json", name="metadata.json") == ["a/metadata.json"]
        assert await self.keys(store, "a/metadata.json", name="other") == []
        assert await self.keys(store, name="absent") == []

    async def test_list_by_name_finds_beside_parts(self, store: Store) -> None:
        parts = [f"a/.parts-{'0' * 32}/p0", f"a/.part-{'1' * 32}.data"]
        await self.seed(store, *parts, "a/metadata.json", "a/b/c/metadata.json")
        assert await self.keys(store, name="metadata.json") == ["a/b/c/metadata.json", "a/metadata.json"]
        assert await self.keys(store, "a") == sorted([*parts, "a/b/c/metadata.json", "a/metadata.json"])

    async def test_list_of_more_than_a_page(self, store: Store) -> None:
        keys = [f"many/{i % 7}/{i}" for i in range(2_100)]
        await self.seed(store, *keys, data=b"")
        assert await self.keys(store, "many") == sorted(keys)

    async def test_list_may_be_abandoned(self, store: Store) -> None:
        await self.seed(store, *(f"a/{i}/x" for i in range(20)))
        seen = []
        if isinstance(store, AsyncObjectStore):
            listing = store.list("a")
            async for info in listing:
                seen.append(info.key)
                break
            if isinstance(listing, AsyncGenerator):
                await listing.aclose()
        else:
            for info in store.list("a"):
                seen.append(info.key)
                break
        assert len(seen) == 1
        await self.delete(store, seen[0])
        assert len(await self.keys(store)) == 19

    async def test_list_goes_on_while_objects_come_and_go(self, store: Store) -> None:
        steady = [f"a/{i}/stays" for i in range(20)]
        going = [f"a/{i}/goes" for i in range(20)] + [f"b/{i}" for i in range(20)]
        await self.seed(store, *steady, *going)
        found = []

        async def disturb(turn: int) -> None:
            for key in going[turn::3]:
                await self.delete(store, key)
            await self.put(store, f"c/{turn}", b"new")

        if isinstance(store, AsyncObjectStore):
            async for info in store.list():
                found.append(info.key)
                if len(found) <= 3:
                    await disturb(len(found) - 1)
        else:
            for info in store.list():
                found.append(info.key)
                if len(found) <= 3:
                    await disturb(len(found) - 1)
        assert sorted(set(found) & set(steady)) == sorted(steady)
        assert len(found) == len(set(found))
        assert set(found) <= {*steady, *going, "c/0", "c/1", "c/2"}

    # keys

    @pytest.mark.parametrize("key", ODD_KEYS, ids=lambda key: ascii(key)[:40])
    async def test_key_is_taken_byte_for_byte(self, store: Store, key: str) -> None:
        await self.put(store, key, b"data", if_generation=0)
        assert await self.stored_keys(store) == {key}
        assert await self.stored(store, key) == b"data"
        assert await self.keys(store) == await self.keys(store, key) == [key]
        assert await self.keys(store, name=key.rpartition("/")[2]) == [key]
        assert (await self.get(store, key)).info.key == (await self.head(store, key)).key == key
        await self.delete(store, key, if_generation=await self.generation(store, key))
        assert await self.stored_keys(store) == set()

    @pytest.mark.parametrize("names", [(NFC, NFD), (NFD, NFC)], ids=ascii)
    async def test_spellings_of_one_text_are_two_keys(self, store: Store, names: tuple[str, str]) -> None:
        await self._two_keys(store, *names, rejects=self.rejects_colliding_unicode)

    async def test_names_that_differ_in_case_are_two_keys(self, store: Store) -> None:
        await self._two_keys(store, "model/ABC", "model/abc", rejects=self.rejects_colliding_case)

    async def _two_keys(self, store: Store, one: str, two: str, *, rejects: bool) -> None:
        await self.put(store, one, b"one", if_generation=0)
        with pytest.raises(ArtifactNotFoundError):
            await self.get(store, two)
        await self.delete(store, two)
        second = await perform(store, call("put", two, Script(b"two")))
        if rejects:
            assert isinstance(second.error, ArtifactError)
            assert await self.keys(store) == [one]
        else:
            assert second.error is None
            assert await self.keys(store) == sorted([one, two])
            assert bytes((await self.get(store, two)).data) == b"two"
        assert bytes((await self.get(store, one)).data) == b"one"

    async def test_records_lie_above_one_another(self, store: Store) -> None:
        keys = ["a/metadata.json", "a/b/metadata.json", "a/b/c/metadata.json"]
        for key in (keys[1], keys[0], keys[2]):
            await self.put(store, key, key.encode(), if_generation=0)
        assert {key: await self.stored(store, key) for key in keys} == {key: key.encode() for key in keys}
        assert await self.keys(store, "a", name="metadata.json") == sorted(keys)

    @pytest.mark.parametrize(("first", "second"), [("a/b", "a/b/c"), ("a/b/c", "a/b"), ("a/b/c/d", "a")])
    async def test_object_above_another_is_stored_or_refused(self, store: Store, first: str, second: str) -> None:
        await self.put(store, first, b"first")
        for options in ({}, {"if_generation": 0}):
            outcome = await perform(store, call("put", second, Script(b"second"), **options))
            assert outcome.error is None or isinstance(outcome.error, ArtifactError)
        there = {first: b"first", second: b"second"} if await self.stored(store, second) else {first: b"first"}
        assert {key: await self.stored(store, key) for key in await self.stored_keys(store)} == there
        assert await self.keys(store) == sorted(there)

    @pytest.mark.parametrize("key", ILLEGAL_KEYS, ids=lambda key: ascii(key)[:20])
    @pytest.mark.parametrize("verb", ["put", "create", "get", "head", "delete", "list", "file", "map"])
    async def test_only_artifact_errors_escape(self, store: Store, verb: str, key: str) -> None:
        await self.seed(store, "a/b", "b")
        calls = {
            "put": lambda: call("put", key, Script(b"data")),
            "create": lambda: call("put", key, Script(b"data"), if_generation=0),
        }
        if verb in ("file", "map") and not offers(store, verb):
            return
        made: Callable[[], object] = calls.get(verb, lambda: call(verb, key))
        outcome = await perform(store, made())  # type: ignore[arg-type]
        assert outcome.error is None or isinstance(outcome.error, ArtifactError)
        if key:  # an empty prefix is everything, and some media have an object of no name
            assert await self.stored(store, "a/b") == await self.stored(store, "b") == b"seed"

    # views and files, which only blocking stores offer

    @pytest.mark.parametrize("size", [0, 1, 4096, MIB + 1])
    async def test_map_shows_exactly_the_object(self, store: Store, size: int) -> None:
        if not offers(store, "map"):
            return
        await self.put(store, KEY, content(size))
        view = (await perform(store, call("map", KEY))).result()
        if view is not None:
            assert (view.readonly, view.format) == (True, "B")
            check_bytes(view, content(size))

    async def test_map_outlives_replacement_and_deletion(self, store: Store) -> None:
        if not offers(store, "map"):
            return
        await self.put(store, KEY, content(MIB))
        view = (await perform(store, call("map", KEY))).result()
        await self.put(store, KEY, b"new")
        await self.delete(store, KEY)
        if view is not None:
            check_bytes(view, content(MIB))

    @pytest.mark.parametrize("key", ["missing", "folder"])
    async def test_map_of_what_is_missing(self, store: Store, key: str) -> None:
        if not offers(store, "map"):
            return
        await self.seed(store, "folder/a")
        outcome = await perform(store, call("map", key))
        assert isinstance(outcome.error, ArtifactNotFoundError) or outcome.result() is None

    async def test_file_holds_exactly_the_object(self, store: Store) -> None:
        if not offers(store, "file"):
            return
        await self.put(store, KEY, content(100_000))
        path = (await perform(store, call("file", KEY))).result()
        if path is not None:
            check_bytes(file_content(path), content(100_000))

    async def test_file_of_what_is_missing(self, store: Store) -> None:
        if not offers(store, "file"):
            return
        outcome = await perform(store, call("file", "missing"))
        assert isinstance(outcome.error, ArtifactNotFoundError) or outcome.result() is None
