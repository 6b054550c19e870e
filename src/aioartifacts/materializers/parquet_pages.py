"""Parquet files of strangers, checked before a library reads them: what reading takes is bounded, whatever the footer says.

A footer tells how large a column becomes, but readers go by the header of each page, so those are what is added up here: their sizes once
decompressed, and how many values they hold, which runs of the same value compress without end. Encodings that repeat text
(``DELTA_BYTE_ARRAY``) are refused. What text a dictionary's references stand for is not in any header: such columns are told. The
layout is that of "Apache Parquet", version 2.11, and its ``parquet.thrift``, in Thrift's compact protocol, of which the few fields
are read that matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_MAGIC = b"PAR1"
FREE, GROWTH = 256 << 20, 32
"""Bytes that a stranger's file may take when it is read, and how often its own size if that is more."""
_FOOTER_MAX = 32 << 20
_DEPTH_MAX = 16
_TEXT, _FIXED = 6, 7
_WIDTHS = {0: 8, 1: 8, 2: 8, 3: 16, 4: 8, 5: 8, _TEXT: 16}
"""Bytes that one value takes, of each physical type, besides its text."""
_DATA, _DICTIONARY, _DATA_2 = 0, 2, 3
_REFERENCES = (2, 8)
_ENCODINGS = {0, 2, 3, 4, 5, 6, 8, 9}
"""All but ``DELTA_BYTE_ARRAY``, which repeats the beginning of a text in a few bytes."""
_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 0, 1, 2, 3, 7, 8, 9, 10, 12
_INTEGERS = (4, 5, 6)


class TooLarge(ValueError):
    """It would take far more memory than it has bytes."""

    def __init__(self, size: int, taken: int) -> None:
        super().__init__(
            f"{size} bytes of Parquet become more than {taken} bytes when they are read, which is more than is read for a store that "
            "does not trust them; if you trust whoever wrote them, open the store with trust='all'"
        )


def limit(size: int) -> int:
    """Bytes that a stranger's file of so many bytes may take."""
    return max(FREE, GROWTH * size)


def check_file(memory: memoryview) -> tuple[int, list[str]]:
    """Check a whole file; return what it takes at most, and the columns of references to text, which are not counted yet.

    Raises:
        TooLarge: it takes more than `limit` says.
        ValueError: it is no Parquet file, or is one that this library would not write.
    """
    size = memory.nbytes
    try:
        if bytes(memory[:4]) != _MAGIC or bytes(memory[-4:]) != _MAGIC:
            raise ValueError("not a Parquet file")
        length = int.from_bytes(memory[-8:-4], "little")
        if length > size - 12 or length > _FOOTER_MAX:
            raise ValueError(
                "the footer of the Parquet file is damaged, or larger than is read for a store that does not trust it"
            )
        footer = _struct(_Cursor(memory[size - 8 - length : size - 8]), 0, _FOOTER)
        widths = [_width(element) for element in footer[2] if 1 in element]
        taken, texts = 0, set[str]()
        for group in footer[4]:
            if len(group[1]) != len(widths):
                raise ValueError("a row group of the Parquet file has not as many columns as the file")
            for chunk, width in zip(group[1], widths, strict=True):
                about = chunk[3]
                referred = False
                for values, decompressed, refers in _pages(memory, about):
                    if values < 0:
                        raise ValueError("a page of the Parquet file holds less than nothing")
                    taken += values * width + decompressed
                    referred = referred or refers
                    if taken > limit(size):
                        raise TooLarge(size, limit(size))
                if referred and about[1] == _TEXT:
                    texts.add(".".join(str(bytes(name), "utf-8") for name in about[3]))
        if footer[3] > limit(size):  # a frame without columns has rows, too
            raise TooLarge(size, limit(size))
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError("the Parquet file is damaged") from error
    return taken, sorted(texts)


def _width(element: dict[int, Any]) -> int:
    """Bytes that a value of a leaf of the schema takes."""
    if element[1] == _FIXED:
        return max(int(element[2]), 16)
    return _WIDTHS[element[1]]


def _pages(memory: memoryview, about: dict[int, Any]) -> Iterator[tuple[int, int, bool]]:
    """Of each page of a column chunk: its values, its bytes once decompressed, and whether the values refer to a dictionary."""
    starts = [about[9], about[11]] if about.get(11, 0) > 0 else [about[9]]
    at = min(starts)
    end = at + about[7]
    if not 4 <= at <= end <= memory.nbytes:
        raise ValueError("a column of the Parquet file is outside of it")
    while at < end:
        cursor = _Cursor(memory[at:end])
        header = _struct(cursor, 0, _PAGE)
        kind, decompressed, compressed = header[1], header[2], header[3]
        if decompressed < 0 or compressed < 0 or at + cursor.at + compressed > end:
            raise ValueError("a page of the Parquet file is outside of its column")
        at += cursor.at + compressed
        if kind in (_DATA, _DATA_2):
            inner = header[5] if kind == _DATA else header[8]
            encoding = inner[2] if kind == _DATA else inner[4]
            if encoding not in _ENCODINGS:
                raise ValueError(
                    f"a page of the Parquet file has the encoding {encoding}, which only a trusted artifact's may have"
                )
            yield inner[1], decompressed, encoding in _REFERENCES
        else:  # room for the entries of a dictionary is made before they are read
            yield (header[7][1] if kind == _DICTIONARY else 0), decompressed, False


class _Cursor:
    """Thrift's compact protocol, read from its beginning."""

    __slots__ = ("at", "data")

    def __init__(self, data: memoryview) -> None:
        self.data, self.at = data, 0

    def byte(self) -> int:
        value = self.data[self.at]
        self.at += 1
        return value

    def unsigned(self) -> int:
        value, shift = 0, 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("the Parquet file is damaged")

    def signed(self) -> int:
        value = self.unsigned()
        return (value >> 1) ^ -(value & 1)

    def binary(self) -> memoryview:
        return self._passed(self.unsigned())

    def _passed(self, size: int) -> memoryview:
        start, self.at = self.at, self.at + size
        if self.at > self.data.nbytes:
            raise IndexError("beyond the data")
        return self.data[start : self.at]

    def listed(self) -> tuple[int, int]:
        """Type and length of a list that begins here."""
        head = self.byte()
        length = head >> 4
        return head & 0x0F, self.unsigned() if length == 15 else length

    def skip(self, kind: int, depth: int, *, element: bool = False) -> None:
        if kind in (_TRUE, _FALSE):
            self._passed(int(element))
        elif kind == _BYTE:
            self._passed(1)
        elif kind in _INTEGERS:
            self.unsigned()
        elif kind == _DOUBLE:
            self._passed(8)
        elif kind == _BINARY:
            self.binary()
        elif kind in (_LIST, _SET):
            inner, length = self.listed()
            for _ in range(length):
                self.skip(inner, _deeper(depth), element=True)
        elif kind == _STRUCT:
            _struct(self, _deeper(depth), {})
        else:
            raise ValueError("the Parquet file is damaged")


_COLUMN = {1: None, 3: [None], 5: None, 7: None, 9: None, 11: None}
_FOOTER: dict[int, Any] = {
    2: [{1: None, 2: None}],
    3: None,
    4: [{1: [{3: _COLUMN}]}],
}
"""What is read of the footer: the schema's types and their lengths, the rows, and of each column chunk type, path, size and places."""
_PAGE: dict[int, Any] = {1: None, 2: None, 3: None, 5: {1: None, 2: None}, 7: {1: None}, 8: {1: None, 4: None}}


def _deeper(depth: int) -> int:
    if depth >= _DEPTH_MAX:
        raise ValueError("the Parquet file is nested too deeply")
    return depth + 1


def _struct(cursor: _Cursor, depth: int, wanted: dict[int, Any]) -> dict[int, Any]:
    """The wanted fields of a struct. No field may come twice, for readers differ in which of them they take."""
    found: dict[int, Any] = {}
    number = 0
    while True:
        head = cursor.byte()
        kind = head & 0x0F
        if kind == _STOP:
            return found
        last, number = number, number + (head >> 4) if head >> 4 else cursor.signed()
        if number <= last:
            raise ValueError("the fields of the Parquet file are not in order")
        if number in wanted:
            found[number] = _value(cursor, kind, depth, wanted[number])
        else:
            cursor.skip(kind, depth)


def _value(cursor: _Cursor, kind: int, depth: int, wanted: Any) -> Any:
    """A value of the shape that is wanted: a number or bytes, a list of one shape, or a struct."""
    if isinstance(wanted, dict) and kind == _STRUCT:
        return _struct(cursor, _deeper(depth), wanted)
    if isinstance(wanted, list) and kind == _LIST:
        inner, length = cursor.listed()
        return [_value(cursor, inner, _deeper(depth), wanted[0]) for _ in range(length)]
    if wanted is None and kind in _INTEGERS:
        return cursor.signed()
    if wanted is None and kind == _BINARY:
        return cursor.binary()
    raise ValueError("the Parquet file is damaged")
