"""bytes, bytearray, memoryview, str: exactly what was saved, and without copies on the way out."""

from __future__ import annotations

import array

import pytest
from parts import load, roundtrip, written

from aioartifacts.errors import DecodeError
from aioartifacts.materializers.base import Declined
from aioartifacts.materializers.raw import (
    TEXT_SLICE,
    BytearrayMaterializer,
    BytesMaterializer,
    MemoryviewMaterializer,
    StrMaterializer,
)

CONTENTS = [b"", b"a", bytes(range(256)) * 10]
TEXTS = [
    "",
    "plain",
    "Grüße, 世界 🎉\r\n\0",
    "\ud800",
    "x\udcff" * 5,
    "é" * (TEXT_SLICE + 1),
    "a" + "世🎉" * TEXT_SLICE,
    "a" * (TEXT_SLICE - 1) + "\ud83d\ude00" + "b" * TEXT_SLICE,
]


@pytest.mark.parametrize("content", CONTENTS)
def test_bytes_come_back_as_bytes(content: bytes) -> None:
    back = roundtrip(BytesMaterializer(), content, trusted=False)
    assert type(back) is bytes
    assert back == content


@pytest.mark.parametrize("content", CONTENTS)
def test_a_bytearray_comes_back_as_a_bytearray(content: bytes) -> None:
    back = roundtrip(BytearrayMaterializer(), bytearray(content), trusted=False)
    assert type(back) is bytearray
    assert back == content


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize(
    "view",
    [
        memoryview(b""),
        memoryview(b"abc"),
        memoryview(bytearray(b"abc")),
        memoryview(array.array("d", [1.5, -0.0])),
        memoryview(array.array("d")),
        memoryview(bytes(24)).cast("h", (3, 4)),
        memoryview(bytes(8)).cast("d", ()),
        memoryview(bytes(8)).cast("c"),
    ],
    ids=lambda view: f"{view.format}{view.shape}",
)
def test_a_view_keeps_content_format_shape_and_writability(view: memoryview, mmap: bool) -> None:
    back = roundtrip(MemoryviewMaterializer(), view, trusted=False, mmap=mmap)
    assert type(back) is memoryview
    assert (back.format, back.shape, back.tobytes()) == (view.format, view.shape, view.tobytes())
    assert back.readonly is (view.readonly or mmap)


def test_a_strided_view_is_declined() -> None:
    with pytest.raises(Declined, match="strided"):
        MemoryviewMaterializer().dump(memoryview(b"abcdef")[::2])


@pytest.mark.parametrize(
    "meta",
    [
        {"format": "Z", "shape": [4], "readonly": True},
        {"format": "d", "shape": [4], "readonly": True},
        {"format": "B", "shape": [-4], "readonly": True},
        {"format": "B", "shape": ["4"], "readonly": True},
        {"format": 5, "shape": [4], "readonly": True},
        {"format": "B", "shape": [2**62, 0], "readonly": True},
    ],
)
def test_a_record_that_does_not_fit_the_view_is_refused(meta: dict[str, object]) -> None:
    with pytest.raises((DecodeError, ValueError, TypeError)):
        load(MemoryviewMaterializer(), {"data.bin": b"abcd"}, meta)  # type: ignore[arg-type, unused-ignore]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text[:8]))
def test_text_comes_back(text: str) -> None:
    assert roundtrip(StrMaterializer(), text, trusted=False) == text


def test_text_is_utf_8_on_disk() -> None:
    dump = StrMaterializer().dump("Grüße")
    assert written(dump) == {"data.txt": "Grüße".encode()}
    assert not dump.meta


def test_bytes_that_are_no_utf_8_are_not_taken_for_surrogates() -> None:
    with pytest.raises(UnicodeDecodeError):
        load(StrMaterializer(), {"data.txt": b"\xed\xa0\x80"}, {})


def test_bytes_are_not_copied_on_the_way_out() -> None:
    content = bytearray(100)
    dump = BytearrayMaterializer().dump(content)
    content[0] = 7
    assert written(dump)["data.bin"][0] == 7


@pytest.mark.parametrize("materializer", [BytesMaterializer(), BytearrayMaterializer(), MemoryviewMaterializer(), StrMaterializer()])
def test_subclasses_and_other_types_are_not_taken(materializer: BytesMaterializer | StrMaterializer) -> None:
    for other in (type("B", (bytes,), {})(b"x"), type("A", (bytearray,), {})(b"x"), type("S", (str,), {})("x"), 5):
        assert not materializer.accepts(other)
        with pytest.raises(Declined):
            materializer.dump(other)
