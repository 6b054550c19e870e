"""What is damaged, missing or not ours is told clearly: never decoded, never mistaken for something else."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from opened import BIG, beneath, document, everything, forge, keys, over, part, read, record, write
from pieces import Pieces, PiecesMaterializer

from aioartifacts import (
    ArtifactNotFoundError,
    IntegrityError,
    LocalArtifactStore,
    RecordError,
    StoreError,
)
from aioartifacts.testing import Fault, FaultyObjectStore, flip_bit, truncate

pytestmark = pytest.mark.asyncio

OTHER = bytes(reversed(BIG))


# Parts


async def test_missing_part(store, objects):
    await store.save(BIG, "a")
    objects.delete(part(objects, "a"))
    with pytest.raises(IntegrityError, match="is missing") as caught:
        await store.load("a")
    assert (caught.value.path, caught.value.operation) == ("a", "load")
    assert await store.size("a") == len(BIG)


@pytest.mark.parametrize("size", [0, 1, len(BIG) - 1, len(BIG) + 1, 3 * len(BIG)])
@pytest.mark.parametrize("verify", [True, False])
async def test_part_of_another_size(store, objects, size, verify):
    await store.save(BIG, "a")
    write(objects, part(objects, "a"), (BIG * 3)[:size])
    with pytest.raises(IntegrityError, match="damaged") as caught:
        await store.load("a", verify=verify)
    assert (caught.value.expected, caught.value.actual) == (len(BIG), size)


@pytest.mark.parametrize("position", [0, len(BIG) // 2, len(BIG) - 1])
@pytest.mark.parametrize("mmap", [True, False])
async def test_one_wrong_bit(store, objects, position, mmap):
    await store.save(BIG, "a")
    key = part(objects, "a")
    write(objects, key, flip_bit(position)(read(objects, key)))
    with pytest.raises(IntegrityError, match="damaged") as caught:
        await store.load("a", mmap=mmap)
    assert caught.value.expected == record(objects, "a").parts[0].crc32c
    assert caught.value.actual != caught.value.expected


async def test_wrong_bit_far_into_a_large_array(store, objects):
    array = np.zeros(3 << 20, np.uint8)
    await store.save(array, "a")
    key = part(objects, "a")
    write(objects, key, flip_bit(-1)(read(objects, key)))
    for mmap in (False, True):
        with pytest.raises(IntegrityError):
            await store.load("a", mmap=mmap)
    loaded = await store.load("a", verify=False)
    assert loaded[-1] == 1


async def test_swapped_parts(store, objects):
    await store.save_many({"a": BIG, "b": OTHER})
    a, b = part(objects, "a"), part(objects, "b")
    left, right = read(objects, a), read(objects, b)
    write(objects, a, right)
    write(objects, b, left)
    for path in ("a", "b"):
        with pytest.raises(IntegrityError):
            await store.load(path)


async def test_swapped_parts_of_one_artifact(store, objects):
    store.materializers.register(PiecesMaterializer)
    await store.save(Pieces(BIG, OTHER), "a")
    first, second = (f"a/{found.file}" for found in record(objects, "a").parts)
    left, right = read(objects, first), read(objects, second)
    write(objects, first, right)
    write(objects, second, left)
    with pytest.raises(IntegrityError):
        await store.load("a")


async def test_damage_on_the_way(kind, objects):
    await over(kind, objects).save(BIG, "a")
    for damage in (truncate(100), flip_bit(7)):
        faulty = FaultyObjectStore(objects, Fault("get", damage=damage, key="a/.part*", times=None))
        with pytest.raises(IntegrityError):
            await over(kind, faulty).load("a")
        assert faulty.fired


async def test_damage_is_an_integrity_error_whatever_the_materializer_makes_of_it(store, objects):
    await store.save({"x": np.arange(100_000)}, "a", format="pickle")
    write(objects, part(objects, "a"), b"\x80\x05garbage" + b"x" * (record(objects, "a").size - 9))
    with pytest.raises(IntegrityError):
        await store.load("a")


async def test_part_that_comes_back_is_loaded(kind, objects):
    """A load that meets an overwrite reads the record again."""
    await over(kind, objects).save(BIG, "a")
    gone = part(objects, "a")
    after: list[bytes] = []

    def overwrite() -> ArtifactNotFoundError:
        aside = dict(replacement.items())
        for key, data in aside.items():
            write(objects, key, data)
        objects.delete(gone)
        after.append(b"done")
        return ArtifactNotFoundError("gone")

    first = everything(objects)
    await over(kind, objects).save(OTHER, "a")
    replacement = everything(objects)
    for key in keys(objects):
        objects.delete(key)
    for key, data in first.items():
        write(objects, key, data)
    verbs = Fault("*", overwrite, key="a/.part*")
    assert await over(kind, FaultyObjectStore(objects, verbs)).load("a") == OTHER
    assert after


async def test_everything_damaged_is_still_deleted(store, objects):
    await store.save_many({"a": BIG, "b": BIG, "c": 1})
    objects.delete(part(objects, "a"))
    write(objects, "c/metadata.json", b"{")
    assert await store.delete_many(["a", "b", "c"]) == {"a": True, "b": True, "c": True}
    assert keys(objects) == []


# Records


@pytest.mark.parametrize("payload", [None, {"a": 1}])
@pytest.mark.parametrize("kind", ["memory", "async"])  # on disk every bit takes a while
async def test_every_bit_of_a_record_counts(kind, store, objects, payload):
    await store.save(payload, "a", {"who": "me"})
    sound = read(objects, "a/metadata.json")
    flipped = bytearray(sound)
    wrong = []
    for bit in range(8 * len(sound)):
        flipped[bit // 8] ^= 1 << bit % 8
        write(objects, "a/metadata.json", bytes(flipped))
        try:
            await store.load("a")
        except IntegrityError:
            pass
        else:
            wrong.append(bit)
        flipped[bit // 8] ^= 1 << bit % 8
    assert wrong == []
    write(objects, "a/metadata.json", sound)
    assert await store.load("a") == payload


@pytest.mark.parametrize("kind", ["memory"])
async def test_every_truncation_of_a_record_counts(kind, store, objects):
    await store.save({"a": 1}, "a")
    sound = read(objects, "a/metadata.json")
    for size in range(len(sound)):
        write(objects, "a/metadata.json", sound[:size])
        with pytest.raises(RecordError):
            await store.load("a")


HOSTILE_DOCUMENTS = [
    b"",
    b"\0" * 300,
    b"{}",
    b"[]",
    b"null",
    b"7",
    b'"text"',
    b"NaN",
    b"{" * 5000,
    b"[" * 100_000,
    b'{"aioartifacts":1}',
    b'{"aioartifacts":"1"}',
    b'{"aioartifacts":null}',
    b'{"aioartifacts":true}',
    b'{"somebody":"else"}',
    b'{"type":"pandas_dataframe"}',
    b'{"type":["numpy_array"],"format":{}}',
    b'{"type":"x","serializer":"cloudpickle","format":"pickle","file":"../../../etc/passwd"}',
    b'{"type":"x","serializer":"cloudpickle","format":"pickle","file":"metadata.json"}',
    "{\"a\":\"ü\"}".encode("utf-16"),
    b"\xef\xbb\xbf{}",
    b"\xff\xfe",
    b'{"a":"\\ud800"}',
    b'{"aioartifacts":1,"n":' + b"9" * 5000 + b"}",
    b"x" * 1_000_000,
]


@pytest.mark.parametrize("content", HOSTILE_DOCUMENTS, ids=lambda content: repr(content[:20]))
async def test_what_is_no_record_is_a_record_error(store, objects, content):
    write(objects, "a/metadata.json", content)
    for call in (store.load, store.info, store.size, store.get_metadata):
        with pytest.raises(RecordError) as caught:
            await call("a")
        assert caught.value.path == "a"
    assert await store.exists("a") is True
    assert await store.list_artifacts() == ["a"]


@pytest.mark.parametrize("field", ["path", "write_id", "type", "format", "parts", "size", "metadata", "safe", "created", "meta"])
async def test_record_without_a_field(store, objects, field):
    await store.save(1, "a")
    fields = document(objects, "a")
    del fields[field]
    forge(objects, "a", fields)
    with pytest.raises(RecordError, match=field):
        await store.load("a")


PART = {"name": "data.bin", "size": len(BIG), "crc32c": "00000000"}


@pytest.mark.parametrize(
    "fields",
    [
        {"path": "b"},
        {"path": "../a"},
        {"path": None},
        {"write_id": ""},
        {"write_id": "../" + "0" * 29},
        {"write_id": "A" * 32},
        {"write_id": "0" * 33},
        {"write_id": "0" * 32},
        {"size": -1},
        {"size": 7},
        {"size": "7"},
        {"size": 1e300},
        {"aioartifacts": 0},
        {"aioartifacts": -1},
        {"aioartifacts": 1.5},
        {"parts": []},
        {"parts": {}},
        {"parts": [PART]},
        {"parts": [PART | {"file": ".part-{w}.x", "data": "AAAA"}]},
        {"parts": [PART | {"file": ".part-{w}.data.bin", "size": -1}], "size": -1},
        {"parts": [PART | {"file": ".part-{w}.data.bin", "crc32c": "xyz"}]},
        {"parts": [PART | {"file": ".part-{w}.data.bin", "crc32c": "0000000"}]},
        {"parts": [PART | {"file": ".part-{w}.data.bin"}, PART | {"file": ".part-{w}.data.bin"}], "size": 2 * len(BIG)},
        {"parts": [PART | {"data": "AAAA"}]},
        {"parts": [PART | {"data": "not base64!"}]},
        {"metadata": []},
        {"metadata": {"a": {"b": 1}}, "environment": {"python": 3}},
        {"producer": {"run": None}},
        {"safe": "yes"},
        {"format": None},
    ],
    ids=repr,
)
async def test_record_that_makes_no_sense(store, objects, fields):
    await store.save(BIG, "a")
    write_id = record(objects, "a").write_id
    if isinstance(fields.get("parts"), list):
        fields = fields | {"parts": [{k: str(v).format(w=write_id) if k == "file" else v for k, v in p.items()} for p in fields["parts"]]}
    forge(objects, "a", document(objects, "a") | fields)
    for call in (store.load, store.info, store.size):
        with pytest.raises(RecordError):
            await call("a")


OUTSIDE = [
    "../b/{theirs}",
    "../../outside",
    "/etc/passwd",
    "metadata.json",
    "../metadata.json",
    ".part-{w}.../x",
    ".part-{w}./../../b/{theirs}",
    ".parts-{w}/../../b/{theirs}",
    ".parts-{w}/..",
    ".parts-{w}/a/../../x",
    ".parts-{w}//x",
    ".parts-{w}",
    ".part-{w}.",
    ".part-{w}.a/b",
    ".part-{w}.a\\b",
    ".part-{w}.a\0b",
    ".part-{w}.a\nb",
    ".part-{w}.data.bin\n",
    "{theirs}",
    ".part-{z}.data.bin",
    "b/.part-{w}.data.bin",
    "",
    ".",
    ".aioartifacts/x",
    "x" * 5000,
]


@pytest.mark.parametrize("file", OUTSIDE)
@pytest.mark.parametrize("verb", ["load", "delete", "save"])
@pytest.mark.parametrize("kind", ["local", "memory"])
async def test_part_that_would_lie_outside_is_neither_read_nor_removed(kind, store, objects, file, verb):
    await store.save_many({"a": BIG, "b": OTHER})
    theirs = record(objects, "b").file
    write_id = record(objects, "a").write_id
    fields = document(objects, "a")
    fields["parts"][0]["file"] = file.replace("{theirs}", theirs).replace("{w}", write_id).replace("{z}", "0" * 32)
    forge(objects, "a", fields)
    before = {key: data for key, data in everything(objects).items() if key.startswith("b/")}
    if verb == "load":
        with pytest.raises(RecordError, match="outside the artifact"):
            await store.load("a")
    elif verb == "delete":
        assert await store.delete("a") is True
    else:
        await store.save(1, "a")
        assert await store.load("a") == 1
    assert {key: data for key, data in everything(objects).items() if key.startswith("b/")} == before


async def test_record_copied_to_another_path(store, objects):
    await store.save(BIG, "a")
    for key, data in everything(objects).items():
        write(objects, key.replace("a/", "b/", 1), data)
    with pytest.raises(RecordError, match="cannot be moved to another path"):
        await store.load("b")
    assert await store.delete("b") is True
    assert await store.load("a") == BIG


async def test_whole_store_can_be_copied(kind, store, objects, tmp_path):
    await store.save_many({"a/b": BIG, "c": 1})
    copy = beneath(kind, tmp_path / "copy")
    for key, data in everything(objects).items():
        write(copy, key, data)
    assert await over(kind, copy).load_many(["a/b", "c"]) == {"a/b": BIG, "c": 1}


@pytest.mark.parametrize("changes", [{}, {"format": {"name": "npy"}}, {"parts": None, "blocks": []}])
async def test_record_of_a_newer_version(store, objects, changes):
    await store.save(1, "a")
    forge(objects, "a", document(objects, "a") | {"aioartifacts": 2} | changes)
    for call in (store.load, store.info, store.size, store.get_metadata):
        with pytest.raises(RecordError, match="upgrade aioartifacts") as caught:
            await call("a")
        assert (caught.value.expected, caught.value.actual) == (1, 2)
    assert await store.exists("a")


async def test_new_fields_do_not_matter(store, objects):
    await store.save(1, "a")
    forge(objects, "a", document(objects, "a") | {"colour": "red"})
    assert await store.load("a") == 1


@pytest.mark.parametrize("size", [2**40, 2**45, 2**52, 2**62, 2**63, 2**70])
async def test_absurd_size_is_no_absurd_allocation(store, objects, size):
    await store.save(BIG, "a")
    fields = document(objects, "a") | {"size": size}
    fields["parts"][0]["size"] = size
    forge(objects, "a", fields)
    for mmap in (False, True):
        with pytest.raises(IntegrityError):
            await store.load("a", mmap=mmap)


async def test_unreadable_time_is_unknown(store, objects):
    await store.save(1, "a")
    forge(objects, "a", document(objects, "a") | {"created": "yesterday"})
    assert (await store.info("a")).created is None
    assert await store.load("a") == 1


async def test_part_that_the_materializer_expects_is_missing(store, objects):
    await store.save(b"x", "a")
    fields = document(objects, "a")
    fields["parts"][0]["name"] = "other.bin"
    forge(objects, "a", fields)
    with pytest.raises(IntegrityError, match="has no part"):
        await store.load("a")


# On disk: other things where files should be


def put_folder(path):
    path.mkdir()
    (path / "inside").write_bytes(b"mine")


def put_fifo(path):
    os.mkfifo(path)


def put_link(path):
    path.symlink_to("/etc/passwd")


def put_dangling_link(path):
    path.symlink_to("nowhere")


def put_socket(path):
    import socket

    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(path.parent)  # the path may be too long for a socket's name
        server.bind(path.name)


THINGS = [put_folder, put_fifo, put_link, put_dangling_link, put_socket]


@pytest.fixture
def local(root, monkeypatch):
    monkeypatch.chdir(root.parent)
    return LocalArtifactStore(root, durability="process", trust="all")


@pytest.mark.parametrize("thing", THINGS)
async def test_thing_in_place_of_a_record(local, root, thing):
    await local.save(BIG, "a")
    found = root / "a" / "metadata.json"
    found.unlink()
    thing(found)
    with pytest.raises(ArtifactNotFoundError):
        await local.load("a")
    assert await local.exists("a") is False
    assert await local.list_artifacts() == []
    assert await local.delete("a") is False
    with pytest.raises(StoreError, match="move it away"):
        await local.save(BIG, "a")
    assert found.is_symlink() or found.exists()
    assert [name for name in os.listdir(root / "a") if name.startswith(".part")] == [f".part-{_write_id(root)}.data.bin"]


def _write_id(root):
    (name,) = [name for name in os.listdir(root / "a") if name.startswith(".part")]
    return name.split("-")[1][:32]


@pytest.mark.parametrize("thing", THINGS)
@pytest.mark.parametrize("mmap", [True, False])
async def test_thing_in_place_of_a_part(local, root, thing, mmap):
    await local.save(BIG, "a")
    (found,) = (root / "a").glob(".part*")
    found.unlink()
    thing(found)
    with pytest.raises(IntegrityError, match="is missing"):
        await local.load("a", mmap=mmap)
    await local.save(OTHER, "a")
    assert await local.load("a") == OTHER


@pytest.mark.parametrize("thing", [put_fifo, put_link, put_dangling_link, put_socket])
async def test_thing_in_place_of_a_folder(local, root, thing):
    root.mkdir()
    thing(root / "a")
    for path in ("a", "a/b"):
        with pytest.raises(ArtifactNotFoundError):
            await local.load(path)
        with pytest.raises(StoreError, match="'a"):
            await local.save(1, path)
    assert await local.list_artifacts() == []


async def test_file_in_place_of_a_folder(local, root):
    root.mkdir()
    (root / "a").write_bytes(b"mine")
    with pytest.raises(StoreError, match="move it out of the way"):
        await local.save(BIG, "a")
    with pytest.raises(StoreError, match="move it out of the way"):
        await local.save(BIG, "a/b")
    assert (root / "a").read_bytes() == b"mine"
    assert not list(root.rglob(".part*"))


async def test_file_in_place_of_the_root(tmp_path):
    (tmp_path / "root").write_bytes(b"mine")
    store = LocalArtifactStore(tmp_path / "root", trust="all")
    with pytest.raises(StoreError):
        await store.save(1, "a")
    with pytest.raises(StoreError):
        await store.validate()
    with pytest.raises(StoreError, match="move it out of the way"):
        await store.exists("a")
    assert (tmp_path / "root").read_bytes() == b"mine"


async def test_reading_a_fifo_does_not_wait_for_a_writer(local, root):
    (root / "a").mkdir(parents=True)
    os.mkfifo(root / "a" / "metadata.json")
    threads = threading.active_count()
    assert await local.size("a") == 0
    assert threading.active_count() <= threads + 4
