"""What a materializer is given to read from: verified once, private unless mapped, seekable, and a real file when it insists."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
from opened import BIG, keys, over, part, read, record, write

from aioartifacts import Buffers, DecodeError, Dump, IntegrityError, Materializer, Part
from aioartifacts.testing import FaultyObjectStore, RecordingObjectStore, flip_bit

pytestmark = pytest.mark.asyncio

SMALL = b"small"
HUGE = BIG * 40
"""2.5 MiB: read in one piece, mapped, and copied in several."""
CONTENT = {"small.txt": SMALL, "big.bin": BIG, "huge.bin": HUGE, "empty.bin": b""}


class Bundle:
    pass


class Reader(Materializer):
    """Hands its parts to a function that the test gives it."""

    name = "reader"
    format = "reader"
    safe = True

    def __init__(self, look):
        self.look = look

    def accepts(self, obj):
        return type(obj) is Bundle

    def dump(self, obj):
        return Dump([Part(name, Buffers(data)) for name, data in CONTENT.items()], {"n": 1})

    def load(self, parts):
        return self.look(parts)


@pytest.fixture
def look(opened):
    """Saves a bundle and loads it through a function of its parts."""

    async def call(function, **options):
        store = opened()
        store.materializers.register(Reader(function))
        if not await store.exists("a"):
            await store.save(Bundle(), "a")
        return await store.load("a", **options)

    return call


async def test_names_meta_options_and_sizes(look):
    def see(parts):
        return parts.names, dict(parts.meta), parts.options.mmap, parts.trusted, [parts.size(name) for name in parts.names]

    assert await look(see) == (tuple(CONTENT), {"n": 1}, False, True, [len(data) for data in CONTENT.values()])


@pytest.mark.parametrize("name", CONTENT)
@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("verify", [True, False])
async def test_read(look, name, mmap, verify):
    loaded = await look(lambda parts: parts.read(name), mmap=mmap, verify=verify)
    assert bytes(loaded) == CONTENT[name]
    assert (loaded.format, loaded.ndim) == ("B", 1)
    if not mmap:
        assert not loaded.readonly


@pytest.mark.parametrize("name", CONTENT)
@pytest.mark.parametrize("mmap", [True, False])
async def test_open(look, name, mmap):
    content = CONTENT[name]

    def see(parts):
        with parts.open(name) as stream:
            assert stream.readable()
            assert stream.seekable()
            whole = stream.read()
            assert stream.tell() == len(content)
            assert stream.seek(0) == 0
            first = stream.read(3)
            stream.seek(-2, io.SEEK_END) if content else None
            last = stream.read()
            stream.seek(1)
            stream.seek(1, io.SEEK_CUR)
            third = stream.read(1)
            assert stream.seek(len(content) + 10) == len(content) + 10
            assert stream.read(5) == b""
            with pytest.raises((ValueError, OSError)):
                stream.seek(-1)
            stream.seek(0)
            into = bytearray(7)
            size = stream.readinto(into)
            return whole, first, last, third, bytes(into[:size])

    expected = content, content[:3], content[-2:], content[2:3], content[:7]
    assert await look(see, mmap=mmap) == expected


@pytest.mark.parametrize("name", CONTENT)
async def test_path(look, name):
    def see(parts):
        path = parts.path(name)
        assert os.path.basename(path).endswith(name)
        assert parts.path(name) == path
        with open(path, "rb") as file:
            return path, file.read()

    path, content = await look(see)
    assert content == CONTENT[name]
    assert "aioartifacts-" not in os.path.dirname(path) or gone(path)


def gone(path):
    return not os.path.exists(path)


async def test_two_streams_and_reads_do_not_disturb_one_another(look):
    def see(parts):
        with parts.open("huge.bin") as one, parts.open("huge.bin") as two:
            one.read(100)
            whole = bytes(parts.read("huge.bin"))
            return one.read(5), two.read(5), whole == HUGE

    assert await look(see) == (HUGE[100:105], HUGE[:5], True)


async def test_reads_are_private(look):
    def see(parts):
        first = parts.read("small.txt")
        before = bytes(first)
        first[:] = b"XXXXX"
        return before

    assert await look(see) == SMALL
    assert await look(see) == SMALL


async def test_part_that_is_not_there(look):
    def see(parts):
        for call in (parts.read, parts.open, parts.path, parts.size):
            with pytest.raises(IntegrityError, match="has no part"):
                call("other")
        raise ValueError("and so")

    with pytest.raises(IntegrityError, match="'other'"):
        await look(see)


@pytest.mark.parametrize("name", ["big.bin", "huge.bin"])
@pytest.mark.parametrize("way", ["read", "open", "path"])
@pytest.mark.parametrize("mmap", [True, False])
async def test_every_way_verifies_before_a_byte_is_handed_out(look, objects, name, way, mmap):
    await look(lambda parts: None)
    key = next(f"a/{found.file}" for found in record(objects, "a").parts if found.name == name)
    write(objects, key, flip_bit(-1)(read(objects, key)))
    got = []

    def see(parts):
        got.append(getattr(parts, way)(name))

    with pytest.raises(IntegrityError, match=name):
        await look(see, mmap=mmap)
    assert got == []
    await look(see, mmap=mmap, verify=False)
    assert len(got) == 1


async def test_failure_that_the_materializer_swallows_is_still_told_when_it_fails(look, objects):
    await look(lambda parts: None)
    key = next(f"a/{found.file}" for found in record(objects, "a").parts if found.name == "big.bin")
    write(objects, key, flip_bit(0)(read(objects, key)))

    def see(parts):
        try:
            parts.read("big.bin")
        except IntegrityError:
            raise ValueError("something else entirely") from None

    with pytest.raises(IntegrityError, match=r"big\.bin"):
        await look(see)


async def test_failure_of_the_materializer_itself_is_a_decode_error(look):
    with pytest.raises(DecodeError, match="something else"):
        await look(lambda parts: (_ for _ in ()).throw(ValueError("something else")))


@pytest.mark.parametrize("name", ["..", ".", "a/../../b", "/etc/passwd", "sub/x.bin", "sub/y.bin", ""])
async def test_odd_part_names_stay_in_their_place(opened, tmp_path, monkeypatch, name):
    """Whatever a record calls its parts, copies of them stay in the temporary folder."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "tmp").mkdir()

    class Odd(Reader):
        def dump(self, obj):
            return Dump([Part(name, Buffers(SMALL))])

    def see(parts):
        path = os.path.realpath(parts.path(name))
        assert path.startswith(str(tmp_path / "tmp"))
        with open(path, "rb") as file:
            return file.read()

    store = opened()
    store.materializers.register(Odd(see))
    await store.save(Bundle(), "a")
    assert await store.load("a") == SMALL
    assert os.listdir(tmp_path / "tmp") == []


async def test_mapped_part_of_a_local_store_is_read_only(root):
    from aioartifacts import LocalArtifactStore

    store = LocalArtifactStore(root, durability="process")
    store.materializers.register(Reader(lambda parts: parts.read("huge.bin")))
    await store.save(Bundle(), "a")
    mapped = await store.load("a", mmap=True)
    assert mapped.readonly
    assert not (await store.load("a")).readonly
    await store.delete("a")
    assert bytes(mapped) == HUGE


async def test_local_file_is_handed_out_as_it_is(root):
    from aioartifacts import LocalArtifactStore

    store = LocalArtifactStore(root, durability="process")
    store.materializers.register(Reader(lambda parts: parts.path("huge.bin")))
    await store.save(Bundle(), "a")
    assert (await store.load("a")).startswith(str(root))


async def test_what_is_not_asked_for_is_not_read(kind, objects):
    """From a blocking store; an async one fetches all parts before the worker starts."""
    recording = RecordingObjectStore(objects)
    store = over(kind, recording)
    store.materializers.register(Reader(lambda parts: len(parts.read("big.bin"))))
    await store.save(Bundle(), "a")
    recording.calls.clear()
    assert await store.load("a") == len(BIG)
    read_parts = {key for key in recording.keys("get") if ".part" in key}
    assert len(read_parts) == (3 if kind == "async" else 1)


async def test_nothing_is_read_to_look_at_an_artifact(kind, objects):
    recording = RecordingObjectStore(objects)
    store = over(kind, recording)
    await store.save(np.arange(100_000), "a", {"n": 1})
    recording.calls.clear()
    await store.exists("a")
    await store.size("a")
    await store.get_metadata("a")
    await store.info("a")
    await store.list_artifacts()
    assert {call.key for call in recording.calls} <= {"a/metadata.json", ""}


async def test_small_load_is_one_get(kind, objects):
    recording = RecordingObjectStore(objects)
    store = over(kind, recording)
    await store.save({"a": 1}, "a")
    assert [(call.verb, call.key) for call in recording.calls] == [("put", "a/metadata.json")]
    recording.calls.clear()
    await store.load("a")
    assert [(call.verb, call.key) for call in recording.calls] == [("get", "a/metadata.json")]


async def test_faulty_store_gets_round_nothing(kind, objects):
    await over(kind, objects).save(HUGE, "a")
    assert part(objects, "a") in keys(objects)
    faulty = FaultyObjectStore(objects)
    assert await over(kind, faulty).load("a") == HUGE
