"""Typed JSON, read: line by line, without recursion over lines, believing nothing.

The counterpart of ``typed_encode``, which describes the text. Whatever the input is, decoding it ends, runs no code
but that of built-in types and of ``typed_classes``, and fails with a `ValueError` or a relative of it, `TypeError`,
or `OverflowError`.
"""

from __future__ import annotations

from base64 import b64decode
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from aioartifacts.materializers.typed_classes import KINDS, Shape, find, hashes_by_itself, put_together
from aioartifacts.materializers.typed_scalars import DECODERS

DEPTH = 48
"""Levels of nesting within one line, in tagged text: more than ever written."""
HASHED_DEPTH = 8
"""As in ``typed_encode``: hashing recurses in C, without a guard."""

_FACTORIES = {
    cls.__name__: cls for cls in (bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset)
}
_PAIRS = ("dict", "OrderedDict", "defaultdict", "Counter")
_SETS = ("set", "frozenset")
_TEXTS = ("str", "bytes", "bytearray")

decode_json = msgspec.json.Decoder().decode


@dataclass(slots=True)
class _Frame:
    """A container whose contents are being read."""

    named: bool
    tag: str = ""
    header: dict[str, Any] = field(default_factory=dict)
    hashed: int = 0
    closer: bytes = b""
    items: list[Any] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    name: str | None = None
    """The name of the value that comes next on lines of its own."""

    def child_hashed(self) -> int:
        return self.hashed or int(self.tag in _SETS or (self.tag in _PAIRS and len(self.items) % 2 == 0))

    def add(self, value: Any) -> None:
        if not self.named:
            self.items.append(value)
        elif self.name is None:
            raise ValueError("a value without a name")
        else:
            self.values[self.name] = value
            self.name = None


class Decoder:
    """Reads one object."""

    def __init__(self, *, tags: bool, trusted: Callable[[], bool]) -> None:
        """*trusted* tells whether modules may be imported for the classes of instances; it is asked when there is one."""
        self._tags = tags
        self._trusted = trusted
        self._shapes: dict[tuple[str, str], Shape] = {}
        self._numbered: dict[int, Any] = {}
        self._hashing = 0

    def read_line(self, text: bytes | memoryview) -> Any:
        """Read an object that was written as a single line."""
        value = parsed(text)
        return self._value(value, 0) if self._tags else value

    def read_lines(self, lines: Iterable[bytes]) -> Any:
        """Read an object that was written on several lines."""
        frames: list[_Frame] = []
        finished: list[Any] = []
        for line in lines:
            if finished:
                raise ValueError("more after the end")
            line = line.rstrip(b"\n").removeprefix(b",")
            if line.startswith((b"]", b"}")):
                value = self._close(frames, line)
                (frames[-1].add if frames else finished.append)(value)
            elif line.endswith((b"[", b"{")):
                self._open(frames, line)
            elif not frames:
                raise ValueError("a line outside of everything")
            elif line.endswith(b":"):
                self._name(frames[-1], line)
            else:
                self._run(frames[-1], line)
        if not finished:
            raise ValueError("the end is missing")
        return finished[0]

    def _open(self, frames: list[_Frame], line: bytes) -> None:
        parent = frames[-1] if frames else None
        named = line.endswith(b"{")
        if len(line) == 1:
            frame = _Frame(named, closer=b"}" if named else b"]")
        else:
            closer = b"}}" if named else b"]}"
            header = parsed(line + closer)
            tag = header.get("$") if type(header) is dict else None
            if not self._tags or type(tag) is not str or header.pop("v", None) != ({} if named else []):
                raise ValueError("not the beginning of a container")
            frame = _Frame(named, tag, header, closer=closer)
        if parent is not None:
            if parent.tag in _TEXTS or (parent.named and parent.name is None):
                raise ValueError("a container out of place")
            hashed = parent.child_hashed()
            frame.hashed = hashed + 1 if hashed else 0
        if frame.tag in _SETS and not frame.hashed:
            frame.hashed = 1
        if frame.hashed > HASHED_DEPTH:
            raise ValueError("something hashed is nested too deeply")
        frames.append(frame)

    def _close(self, frames: list[_Frame], line: bytes) -> Any:
        if not frames or frames[-1].closer != line or frames[-1].name is not None:
            raise ValueError("an end out of place")
        frame = frames.pop()
        if not frame.tag:
            return frame.values if frame.named else frame.items
        self._hashing = frame.hashed
        return self._made(frame.tag, frame.header, frame.values if frame.named else frame.items)

    def _name(self, frame: _Frame, line: bytes) -> None:
        name = parsed(line[:-1])
        if not frame.named or frame.name is not None or type(name) is not str:
            raise ValueError("a name out of place")
        frame.name = name

    def _run(self, frame: _Frame, line: bytes) -> None:
        if frame.named:
            if frame.name is not None:
                raise ValueError("a value out of place")
            values = parsed(b"{" + line + b"}")
            if self._tags:
                for name, value in values.items():
                    if type(value) is dict or type(value) is list:
                        self._hashing = frame.hashed
                        values[name] = self._value(value, 0)
            frame.values.update(values)
            return
        items = parsed(b"[" + line + b"]")
        if self._tags:
            start = len(frame.items)
            for index, value in enumerate(items):
                if type(value) is dict or type(value) is list:
                    is_key = frame.tag in _PAIRS and (start + index) % 2 == 0
                    self._hashing = frame.hashed or int(is_key)
                    items[index] = self._value(value, 0)
        frame.items += items

    # Within one line: recursion, to a bounded depth.

    def _value(self, raw: Any, depth: int) -> Any:
        """*raw*, as msgspec gave it, with tags put into effect; in place where possible."""
        if depth > DEPTH:
            raise ValueError("nested too deeply for one line")
        cls = type(raw)
        if cls is list:
            for index, value in enumerate(raw):
                if type(value) is list or type(value) is dict:
                    raw[index] = self._value(value, depth + 1)
            return raw
        if cls is not dict:
            return raw
        if "$" not in raw:
            for name, value in raw.items():
                if type(value) is list or type(value) is dict:
                    raw[name] = self._value(value, depth + 1)
            return raw
        tag = raw.get("$")
        if type(tag) is not str or "v" not in raw:
            raise ValueError("a tag without a value")
        payload = raw.pop("v")
        if tag == "ref":
            return self._ref(payload)
        scalar = DECODERS.get(tag)
        if scalar is None:
            return self._made(tag, raw, self._inner(tag, payload, depth))
        if len(raw) != 1:
            raise ValueError("a scalar with more than a value")
        return scalar(payload)

    def _inner(self, tag: str, payload: Any, depth: int) -> Any:
        if tag in _PAIRS:
            if type(payload) is not list:
                raise ValueError("pairs must be a list")
            for index, value in enumerate(payload):
                is_key = index % 2 == 0
                self._hashing += is_key
                payload[index] = self._value(value, depth + 1)
                self._hashing -= is_key
            return payload
        self._hashing += tag in _SETS
        if type(payload) is list:
            payload = [self._value(value, depth + 1) for value in payload]
        elif type(payload) is dict:
            # Never a tagged value itself: these are the items or the fields of one.
            payload = {name: self._value(value, depth + 1) for name, value in payload.items()}
        self._hashing -= tag in _SETS
        return payload

    def _ref(self, payload: Any) -> Any:
        if self._hashing or type(payload) is not int or payload not in self._numbered:
            raise ValueError("a reference to nothing")
        return self._numbered[payload]

    def _made(self, tag: str, header: dict[str, Any], content: Any) -> Any:
        """The container or instance of *tag* with *content*, whose own tags are in effect already."""
        value = self._instance(tag, header, content) if tag in KINDS else _container(tag, header, content)
        number = header.get("#")
        if number is not None:
            if type(number) is not int or number in self._numbered or isinstance(value, (str, bytes, tuple, frozenset)):
                raise ValueError("a number out of place")
            self._numbered[number] = value
        return value

    def _instance(self, kind: str, header: dict[str, Any], content: Any) -> Any:
        path = header.get("c")
        shape = self._shapes.get((kind, path)) if type(path) is str else None
        if shape is None:
            shape = find(path, kind, trusted=self._trusted())
            self._shapes[kind, shape.path] = shape
        if self._hashing and not self._trusted() and not hashes_by_itself(shape):
            raise ValueError(f"hashing a {shape.path} would run its code")
        return put_together(shape, content)


def _container(tag: str, header: dict[str, Any], content: Any) -> Any:
    if type(content) is not list:
        # A bytearray of one line has its base64 as it is.
        if tag == "bytearray" and type(content) is str:
            return bytearray(b64decode(content, validate=True))
        raise ValueError(f"the contents of {tag[:40]!r} must be a list")
    if tag in _PAIRS:
        return _pairs(tag, header, content)
    if tag in _TEXTS:
        return _joined(tag, content)
    make = _ITEMS.get(tag)
    if make is None:
        raise ValueError(f"no such tag: {tag[:40]!r}")
    if tag == "deque":
        limit = header.get("x")
        if limit is not None and (type(limit) is not int or limit < len(content)):
            raise ValueError("a deque longer than it may be")
        return deque(content, limit)
    made = make(content)
    if tag in _SETS and len(made) != len(content):
        raise ValueError("a set with the same item twice")
    return made


_ITEMS: dict[str, Callable[[list[Any]], Any]] = {
    "list": lambda items: items,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "deque": deque,
}


def _pairs(tag: str, header: dict[str, Any], content: list[Any]) -> Any:
    if len(content) % 2:
        raise ValueError("a key without a value")
    made: Any
    if tag == "defaultdict":
        factory = header.get("x")
        if factory is not None and factory not in _FACTORIES:
            raise ValueError("no such default factory")
        made = defaultdict(None if factory is None else _FACTORIES[factory])
    else:
        made = OrderedDict() if tag == "OrderedDict" else Counter() if tag == "Counter" else {}
    pairs = iter(content)
    for key in pairs:
        made[key] = next(pairs)
    if len(made) != len(content) // 2:
        raise ValueError("the same key twice")
    return made


def _joined(tag: str, pieces: list[Any]) -> Any:
    if not all(type(piece) is str for piece in pieces):
        raise ValueError(f"{tag} in pieces that are no strings")
    if tag == "str":
        return "".join(pieces)
    made = bytearray()
    for piece in pieces:
        made += b64decode(piece, validate=True)
    return made if tag == "bytearray" else bytes(made)


def parsed(text: bytes | memoryview) -> Any:
    """Plain JSON; a bomb of brackets is an error like any other."""
    try:
        return decode_json(text)
    except RecursionError:
        raise ValueError("nested too deeply for one line") from None
