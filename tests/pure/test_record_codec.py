"""The record's bytes, and what is said of those that are no record."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import msgspec
import pytest

from aioartifacts import record as codec
from aioartifacts.checksum import crc32c, hex32
from aioartifacts.errors import EncodeError, MetadataError, RecordError
from aioartifacts.record import ForeignRecord, PartRecord, Record, decode_record, encode_record
from aioartifacts.trust import Keyring

ID = "0123456789abcdef" * 2
KEYS = Keyring((b"k" * 32,))
INLINED = PartRecord(name="b", size=2, crc32c="00000000", data=b"xy")
STORED = PartRecord(name="a", size=3, crc32c="0123abcd", file=f".parts-{ID}/a")


def record(**changes: Any) -> Record:
    fields: dict[str, Any] = {
        "path": "p/q", "write_id": ID, "type": "t", "serializer": "s", "format": "f", "file": STORED.file, "size": 5,
        "parts": (STORED, INLINED), "created": "2026-01-02T03:04:05+00:00", "environment": {"python": "3"}, "producer": {},
        "summary": {"rows": 1}, "metadata": {"ü": [1, None]}, "meta": {}, "safe": True,
    }  # fmt: skip
    return Record(**fields | changes)


def sealed(body: bytes) -> bytes:
    return body + f',"checksum":"{hex32(crc32c(body))}"}}'.encode()


def refusal(data: bytes, path: str = "p/q") -> RecordError:
    with pytest.raises(RecordError) as caught:
        decode_record(data, path)
    assert caught.value.path == path
    return caught.value


@pytest.mark.parametrize("keys", [Keyring(), KEYS])
def test_comes_back_as_it_was(keys: Keyring) -> None:
    data = encode_record(record(), keys)
    decoded = decode_record(memoryview(data), "p/q")
    assert decoded.record == record()
    assert json.loads(data)["metadata"] == {"ü": [1, None]}
    assert (decoded.signature is None) == (not keys)
    assert data.startswith(decoded.message)
    body = msgspec.json.encode(record())[:-1]
    assert decoded.message == body
    assert data == sealed(body if not keys else body + f',"signature":"{keys.sign(body)}"'.encode())


def test_records_do_not_change() -> None:
    for value, name in ((record(), "path"), (STORED, "size")):
        with pytest.raises(AttributeError, match="immutable"):
            setattr(value, name, None)


def test_what_a_part_does_not_have_is_not_written() -> None:
    kept = json.loads(encode_record(record(), Keyring()))["parts"]
    assert [sorted(part) for part in kept] == [["crc32c", "file", "name", "size"], ["crc32c", "data", "name", "size"]]


def test_what_is_no_json_is_told_of_the_materializer() -> None:
    with pytest.raises(EncodeError) as caught:
        encode_record(record(meta={"a": object()}), Keyring())
    assert caught.value.message == (
        "'p/q': what its materializer, 's', keeps in the record is not JSON: Encoding objects of type object is unsupported"
    )
    assert caught.value.path == "p/q"
    assert isinstance(caught.value.__cause__, TypeError)


def test_signature_counts_only_when_every_part_has_a_sha256() -> None:
    full = tuple(msgspec.structs.replace(part, sha256="0" * 64) for part in (STORED, INLINED))
    for parts, valid in (((STORED, INLINED), False), ((full[0], INLINED), False), (full, True)):
        decoded = decode_record(encode_record(record(parts=parts), KEYS), "p/q")
        assert decoded.signed_by(KEYS) is valid
        assert decoded.signed_by(Keyring((b"x" * 32,))) is False
        assert decoded.signed_by(Keyring()) is False
        assert dataclasses.replace(decoded, signature=None).signed_by(KEYS) is False


def test_wrong_checksum_is_damage() -> None:
    data = encode_record(record(), Keyring())
    error = refusal(data[:-10] + b"00000000" + data[-2:])
    assert error.message == "the record of 'p/q' is damaged: its checksum does not match; restore it from a copy, or save the artifact again"
    assert error.expected == "00000000"
    assert error.actual == hex32(crc32c(data[: -len(',"checksum":"00000000"}')]))


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b'{"aioart', bytes(100), b'{"aioartifacts"\0', b'{"aioartifacts":1}', b'{"aioartifacts":1,"checksum":"0000000g"}',
     b'{"aioartifactr":1,"path":"p/q","write_id":"0"}'],
)
def test_no_checksum_is_damage(data: bytes) -> None:
    error = refusal(data)
    assert error.message == "the record of 'p/q' is damaged: its checksum does not match; restore it from a copy, or save the artifact again"
    assert (error.expected, error.actual) == (None, None)


def test_checksum_must_be_the_end() -> None:
    data = encode_record(record(), Keyring())
    assert "checksum" in refusal(data + b"\n").message
    assert "checksum" in refusal(data.replace(b',"checksum":"', b', "checksum":"')).message


@pytest.mark.parametrize(
    "data",
    [b"{}", b"[]", b"1", b'{"type":"x"}', b'{"a":NaN}', b"null", b'"aioartifacts"', sealed(b'{"a":1'), b"\xff", b"[" * 100_000,
     b"not JSON", b'{ "aioartifacts', b"\0x"],
)
def test_what_others_wrote_is_foreign(data: bytes) -> None:
    with pytest.raises(ForeignRecord) as caught:
        decode_record(data, "p/q")
    assert caught.value.args == ("p/q",)


@pytest.mark.parametrize(
    "data", [b'{"aioartifacts":2}', sealed(b'{"aioartifacts":2'), encode_record(record(aioartifacts=2), Keyring())]
)
def test_newer_versions_say_so(data: bytes) -> None:
    error = refusal(data)
    assert error.message == (
        "the record of 'p/q' has schema version 2, and this aioartifacts reads up to 1; upgrade aioartifacts"
    )
    assert (error.expected, error.actual) == (1, 2)
    assert codec.is_newer(error)


def test_other_errors_are_not_newer() -> None:
    assert not codec.is_newer(refusal(b""))
    assert not codec.is_newer(refusal(b'{"aioartifacts":1}'))
    assert not codec.is_newer(refusal(b'{"aioartifacts":"2"}'))


def test_record_of_another_shape() -> None:
    error = refusal(sealed(b'{"aioartifacts":1'))
    assert error.message == "the record of 'p/q' is not one: Object missing required field `path`"
    assert isinstance(error.__cause__, msgspec.MsgspecError)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"aioartifacts": 0}, "there is no schema version 0"),
        ({"aioartifacts": -1}, "there is no schema version -1"),
        ({"path": "other"}, "it was written for 'other'; a record cannot be moved to another path by copying it"),
        ({"write_id": ID[1:]}, "its write_id is not 32 hexadecimal digits"),
        ({"write_id": ID + "0"}, "its write_id is not 32 hexadecimal digits"),
        ({"write_id": ID.upper()}, "its write_id is not 32 hexadecimal digits"),
        ({"write_id": ID[:-1] + "g"}, "its write_id is not 32 hexadecimal digits"),
        ({"parts": (STORED, msgspec.structs.replace(INLINED, name="a"))}, "two of its parts have the same name"),
        ({"size": 4}, "its size is not that of its parts"),
        ({"size": 6}, "its size is not that of its parts"),
        ({"parts": (msgspec.structs.replace(STORED, size=-1),), "size": -1}, "size or digest of its part 'a' makes no sense"),
        ({"parts": (msgspec.structs.replace(STORED, crc32c="0123ABCD"),), "size": 3}, "size or digest of its part 'a' makes no sense"),
        ({"parts": (msgspec.structs.replace(STORED, crc32c="0123abc"),), "size": 3}, "size or digest of its part 'a' makes no sense"),
        ({"parts": (msgspec.structs.replace(STORED, data=b"abc"),), "size": 3}, "its part 'a' must have either a file or data"),
        ({"parts": (msgspec.structs.replace(STORED, file=None),), "size": 3}, "its part 'a' must have either a file or data"),
        ({"parts": (msgspec.structs.replace(STORED, file="../x"),), "size": 3}, "its part 'a' would lie at '../x', outside the artifact"),
        (
            {"parts": (msgspec.structs.replace(STORED, file=f".part-{'f' * 32}.a"),), "size": 3},
            f"its part 'a' would lie at '.part-{'f' * 32}.a', outside the artifact",
        ),
        ({"parts": (msgspec.structs.replace(INLINED, size=1),), "size": 1}, "its part 'b' has another size than it says"),
    ],
)  # fmt: skip
def test_record_that_contradicts_itself(changes: dict[str, Any], reason: str) -> None:
    error = refusal(encode_record(record(**changes), Keyring()))
    assert error.message == f"the record of 'p/q' cannot be used: {reason}"


def test_largest_part() -> None:
    for size, fine in ((2**53, True), (2**53 + 1, False)):
        data = encode_record(record(parts=(msgspec.structs.replace(STORED, size=size),), size=size), Keyring())
        if fine:
            assert decode_record(data, "p/q").record.size == size
        else:
            assert "makes no sense" in refusal(data).message


def test_part_of_no_bytes_is_fine() -> None:
    empty = PartRecord(name="e", size=0, crc32c="00000000", data=b"")
    assert decode_record(encode_record(record(parts=(empty,), size=0), Keyring()), "p/q").record.parts == (empty,)
    assert decode_record(encode_record(record(parts=(), size=0), Keyring()), "p/q").record.parts == ()


def test_owner_is_whom_a_sound_record_was_written_for() -> None:
    data = encode_record(record(), KEYS)
    assert codec.owner_of(data) == "p/q"
    for other in (
        b"",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'{"path":"a"}',
        b'{"path":1}',
        data[:-1],
        data.replace(b"p/q", b"p/r"),
    ):
        assert codec.owner_of(other) is None


def test_write_ids() -> None:
    made = {codec.new_write_id() for _ in range(100)}
    assert len(made) == 100
    assert {len(one) for one in made} == {32}
    assert set("".join(made)) <= set("0123456789abcdef")


def test_metadata_that_is_json() -> None:
    given = {"a": {"b": [1, 2.5, None, True, "ü"]}}
    kept = codec.check_metadata(given, "p")
    assert kept == given
    assert kept is not given
    assert kept["a"] is not given["a"]
    assert codec.check_metadata(None, "p") == {}


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"a": (1,)}, "$.a is tuple and would become list"),
        ({"a": {"b": [1, {"c": float("nan")}]}}, "$.a.b[1].c is float and would become NoneType"),
        ({"a": [[1], [2, b"x"]]}, "$.a[1][1] is bytes and would become str"),
        ({1: 2}, "the key 1 of $ is int and would become str"),
        ({"a": [(), 1]}, "$.a[0] is tuple and would become list"),
        ({"a": ((1,),)}, "$.a is tuple and would become list"),
    ],
)  # fmt: skip
def test_metadata_that_would_change_says_where(given: Any, where: str) -> None:
    with pytest.raises(MetadataError) as caught:
        codec.check_metadata(given, "p")
    assert caught.value.message == (
        "metadata of 'p' would change in JSON (keys that are not str, NaN, tuples, dates, …): "
        f"{where}; convert it, or save it as an artifact of its own"
    )
    assert caught.value.path == "p"


@pytest.mark.parametrize("room", [0, 1])
def test_metadata_that_would_change_far_inside_says_where_in_short(room: int) -> None:
    key = "k" * 150 + "m" * (48 + room)
    with pytest.raises(MetadataError) as caught:
        codec.check_metadata({key: (1,)}, "p")
    where = f"$.{key}"
    shown = where if len(where) <= 200 else f"{where[:100]} … {where[-100:]}"
    assert (len(where), len(shown)) == (200 + room, 200 + 3 * room)
    assert f", …): {shown} is tuple and" in caught.value.message


def test_metadata_that_is_no_json() -> None:
    with pytest.raises(MetadataError) as caught:
        codec.check_metadata({"a": object()}, "p")
    assert caught.value.message == (
        "metadata of 'p' is not JSON (Encoding objects of type object is unsupported); save what is not as an artifact of its own"
    )
    assert (caught.value.path, type(caught.value.__cause__)) == ("p", TypeError)


def test_metadata_that_is_no_mapping() -> None:
    with pytest.raises(MetadataError) as caught:
        codec.check_metadata([1], "p")  # type: ignore[arg-type]
    assert caught.value.message == "metadata of 'p' must be a mapping, not list"
    assert caught.value.path == "p"
