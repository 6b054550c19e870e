"""Typed JSON, written: a check of what is plain, and an encoder that works in bounded slices.

Whatever the object, the result is one valid JSON text. A small one is a single line. A large or deeply nested one is
cut into lines, such that each is encoded and decoded by itself in a short turn, because a C call over the
whole would hold the interpreter lock throughout, and such that depth costs no recursion. After a comma, if something
precedes, a line is one of

* an opener, ``[``, ``{`` or ``{"$":tag,…,"v":[``, of a container whose contents follow on lines of their own;
* a closer, ``]``, ``}``, ``]}`` or ``}}``;
* a name and a colon, before the opener of a value in an object;
* a run of whole values, or of whole ``name:value`` pairs.

Plain JSON needs no tags. Otherwise scalars are as in ``typed_scalars``, instances as in ``typed_classes``, and
containers that are not a list, or a dict of str keys without ``"$"``, are tagged too: ``"v"`` holds the items, or
keys and values in turn. A mutable object that turns up again is a ``ref`` to the number (``"#"``) of its first
appearance, so what was shared stays shared. Cycles are refused.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any

import msgspec

from aioartifacts.materializers.typed_classes import Shape, shape_of, take_apart
from aioartifacts.materializers.typed_frames import Frame, step_to
from aioartifacts.materializers.typed_plain import (
    CHARACTERS,
    DEPTH,
    SLICE,
    NotPlain,
    dict_header,
    encode_json,
    is_atoms,
    probe,
    tupled,
)
from aioartifacts.materializers.typed_scalars import (
    ENCODERS,
    Refused,
    bytes_node,
    float_node,
    int_node,
    str_node,
    tagged,
)
from aioartifacts.materializers.typed_shared import ITEMS, PAIRS, shared_ids

HASHED_DEPTH = 8
"""Openers one in another inside of what is hashed: hashing recurses in C, without a guard."""
STRIDE = 16
"""Children looked at together at first; as many more as then fit into a line."""
PIECE = 3 << 13
"""Characters, or bytes, of a long string or bytes in one node; base64 wants a multiple of three."""

_SETS = (set, frozenset)
_TEXTS = (str, bytes, bytearray)
_FACTORIES = (bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset)

class _Large(Exception):
    """Does not fit into one line."""


class Encoder:
    """Writes one object, as often as asked, and the same each time."""

    def __init__(self, root: object, *, tags: bool) -> None:
        """With *tags* false, anything that is not plain JSON raises `NotPlain`."""
        self._root = root
        self._tags = tags
        self._shapes: dict[type, Shape | None] = {}
        self._shared, size = shared_ids(root, self._shape) if tags else (frozenset(), 0)
        # Tuples are written out each time they turn up, which could grow without bound.
        self._limit = 64 * size + 1_000_000
        self.lines = 0

    def write(self, write: Callable[[bytes], object]) -> None:
        """Write the whole object in pieces, each of which ends where a line does.

        Raises:
            NotPlain: it needs tags.
            Refused: it has no exact form; the message begins with the place.
        """
        self._write = write
        self._seen: set[int] = set()
        self._numbers: dict[int, int] = {}
        self._active: set[int] = set()
        self._journal: list[int] = []
        self._total = 0
        self.lines = 0
        try:
            node = self._attempt(self._root, 0)
        except _Large:
            self._stream()
        else:
            write(_encoded(node))

    # Frames instead of recursion, for what does not fit into one line.

    def _stream(self) -> None:
        frames: list[Frame] = []
        child: tuple[Any] | None = (self._root,)
        try:
            while True:
                if child is not None:
                    frame = self._frame(child[0], frames[-1] if frames else None)
                    self._open(frame, frames[-1] if frames else None)
                    frames.append(frame)
                child = self._runs(frames[-1])
                if child is None:
                    frame = frames.pop()
                    self._active.discard(frame.key)
                    closer = (b"}" if frame.named else b"]") + (b"}" if frame.header else b"")
                    self._line(closer if not frames else closer + b"\n")
                    if not frames:
                        return
        except Refused as refused:
            refused.steps += [frame.step() for frame in reversed(frames)]
            raise

    def _line(self, line: bytes) -> None:
        self.lines += 1
        self._write(line)

    def _open(self, frame: Frame, parent: Frame | None) -> None:
        if frame.hashed > HASHED_DEPTH:
            raise Refused("something hashed is nested too deeply")
        comma = b""
        if parent is not None:
            comma = b"," if parent.filled else b""
            parent.filled = True
            if parent.named:
                self._line(comma + encode_json(parent.batch[parent.at - 1][0]) + b":\n")
                comma = b""
        opening = b"{" if frame.named else b"["
        self._line(comma + (encode_json(frame.header)[:-1] + b',"v":' + opening if frame.header else opening) + b"\n")

    def _frame(self, value: Any, parent: Frame | None) -> Frame:
        hashed = self._is_hashed(parent)
        if not self._tags:
            if id(value) in self._seen or type(value) not in (list, dict):
                raise NotPlain
            self._seen.add(id(value))
            named = type(value) is dict and not dict_header(value, reserved=False)
            if type(value) is dict and not named:
                raise NotPlain
            return Frame(iter(value.items()) if named else iter(value), named)
        frame = self._tagged_frame(value)
        frame.hashed = hashed + 1 if hashed or frame.hashes else 0
        number = self._number(value)
        if number is not None:
            frame.key = id(value)
            if not frame.header:
                frame = Frame(iter(value), header={"$": "list"}, key=id(value), hashed=frame.hashed)
            frame.header["#"] = number
        return frame

    def _tagged_frame(self, value: Any) -> Frame:
        cls = type(value)
        if cls in _TEXTS:
            return Frame(_pieces(value), take=1, header={"$": cls.__name__})
        if cls in PAIRS:
            header = self._pairs_header(value)
            if not header:
                return Frame(iter(value.items()), named=True)
            return Frame(chain.from_iterable(value.items()), pairs=True, header=header)
        if cls in ITEMS:
            header = {} if cls is list else {"$": cls.__name__}
            if cls is deque:
                header["x"] = value.maxlen
            return Frame(iter(value), hashes=cls in _SETS, header=header)
        shape = self._shape(cls)
        if shape is None:
            raise Refused(_no_form(cls))
        header = {"$": shape.kind, "c": shape.path}
        state = take_apart(shape, value)
        if isinstance(state, dict):
            return Frame(iter(state.items()), named=True, header=header)
        return Frame(iter(state), header=header)

    def _is_hashed(self, frame: Frame | None) -> int:
        """Whether the child that *frame* is at gets hashed: 0, or the openers around it that do."""
        if frame is None:
            return 0
        is_key = frame.pairs and (frame.done + frame.at - 1) % 2 == 0
        return frame.hashed or int(is_key or frame.hashes)

    def _runs(self, frame: Frame) -> tuple[Any] | None:
        """Write runs until a child needs lines of its own, and return that one; None at the end."""
        run: list[Any] = []
        left = SLICE
        while True:
            if frame.at >= len(frame.batch):
                self._run(frame, run)
                run, left = [], SLICE
                frame.done += len(frame.batch)
                frame.at = 0
                frame.batch = list(islice(frame.children, frame.take))
                frame.stride = STRIDE
                if not frame.batch:
                    return None
                self._count(len(frame.batch))
                if is_atoms(frame.batch, frame.named):
                    frame.at = len(frame.batch)
                    self._run(frame, frame.batch)
                    continue
            if not run and self._together(frame):
                continue
            item = frame.batch[frame.at]
            frame.at += 1
            name, child = item if frame.named else (None, item)
            try:
                node = self._attempt(child, self._is_hashed(frame))
            except _Large:
                # The run without it; then the caller opens it.
                self._run(frame, run)
                frame.stride = STRIDE
                return (child,)
            run.append((name, node) if frame.named else node)
            left -= SLICE - self._left + (len(name) // CHARACTERS if name else 0)
            if left < 0:
                self._run(frame, run)
                run, left = [], SLICE

    def _together(self, frame: Frame) -> bool:
        """Write some children as one run, as many as fit into a line, if all of them are plain."""
        while frame.stride > 1:
            some = frame.batch[frame.at : frame.at + frame.stride]
            names = [name for name, _ in some] if frame.named else []
            values = [value for _, value in some] if frame.named else some
            try:
                plain = probe(values, SLICE - len("".join(names)) // CHARACTERS, tags=self._tags)
                if plain is None:
                    frame.stride //= 4
                    continue
                nodes = self._as_they_are(values, plain.ids[1:], plain.tuples)
                self._run(frame, list(zip(names, nodes, strict=True)) if frame.named else nodes)
            except NotPlain:
                if not self._tags:
                    raise
                break
            frame.at += len(some)
            self._count(SLICE - plain.left)
            if plain.left > SLICE // 2:
                frame.stride *= 2
            return True
        frame.stride = 0  # one by one, then
        return False

    def _as_they_are(self, values: list[Any], ids: list[int], tuples: bool) -> list[Any]:
        """The nodes for plain *values*, in which are the lists and dicts *ids*.

        Raises:
            NotPlain: some of these turn up more than once.
        """
        if not self._tags:
            if not self._seen.isdisjoint(ids):
                raise NotPlain
            self._seen.update(ids)
        elif not self._shared.isdisjoint(ids):
            raise NotPlain
        return [tupled(value) for value in values] if tuples else values

    def _run(self, frame: Frame, run: list[Any]) -> None:
        if run:
            text = _encoded(dict(run) if frame.named else run)[1:-1]
            self._line((b"," if frame.filled else b"") + text + b"\n")
            frame.filled = True

    # Within one line: recursion, to a bounded depth.

    def _attempt(self, value: Any, hashed: int) -> Any:
        """The node for *value*, if it fits into one line; nothing is noted if it does not.

        Raises:
            _Large: it does not.
        """
        self._left = SLICE
        cls = type(value)
        if (cls is dict or cls is list) and id(value) not in self._numbers:
            try:
                plain = probe(value, SLICE, tags=self._tags)
                if plain is None:
                    raise _Large
                (node,) = self._as_they_are([value], plain.ids, plain.tuples)
                if self._tags:
                    node = msgspec.Raw(_encoded(node))
                self._left = plain.left
                return node
            except NotPlain:
                if not self._tags:
                    raise
        self._journal = []
        self._hashing = hashed
        try:
            node = self._node(value, 0)
        except _Large:
            for key in self._journal:
                del self._numbers[key]
                self._active.discard(key)
            self._count(SLICE - max(self._left, 0))
            raise
        self._count(SLICE - self._left)
        return node

    def _count(self, nodes: int) -> None:
        self._total += nodes
        if self._tags and self._total > self._limit:
            raise Refused("the same tuples turn up in one another too often")

    def _node(self, value: Any, depth: int) -> Any:
        self._left -= 1
        cls = type(value)
        if cls in _TEXTS:
            self._left -= len(value) // CHARACTERS
        if self._left < 0 or depth > DEPTH:
            raise _Large
        if cls is str:
            node: Any = str_node(value)
        elif cls is int:
            node = int_node(value)
        elif cls is float:
            node = float_node(value)
        elif cls is bool or value is None:
            return value
        elif not self._tags:
            raise NotPlain
        elif (scalar := ENCODERS.get(cls)) is not None:
            return tagged(scalar[0], scalar[1](value))
        else:
            return self._tracked(value, cls, depth)
        if not self._tags and node is not value:
            raise NotPlain
        return node

    def _tracked(self, value: Any, cls: type, depth: int) -> Any:
        key = id(value)
        if key in self._numbers:
            if key in self._active:
                raise Refused("it contains itself")
            if self._hashing:
                raise Refused("something shared inside of something hashed")
            return tagged("ref", self._numbers[key])
        number = self._number(value)
        node = self._container(value, cls, depth)
        if number is not None:
            if type(node) is list:
                node = tagged("list", node)
            node["#"] = number
            self._active.discard(key)
        return node

    def _number(self, value: Any) -> int | None:
        """The number for something shared that turns up first."""
        key = id(value)
        if key not in self._shared:
            return None
        if key in self._numbers:
            raise Refused("it contains itself")
        number = self._numbers[key] = len(self._numbers)
        self._active.add(key)
        self._journal.append(key)
        return number

    def _container(self, value: Any, cls: type, depth: int) -> Any:
        if cls is bytearray:
            return tagged("bytearray", bytes_node(value))
        if cls in PAIRS:
            header = self._pairs_header(value)
            if not header:
                return self._named(value, depth)
            return header | {"v": self._in_turn(value, depth)}
        if cls in ITEMS:
            self._hashing += cls in _SETS
            items = self._items(value, depth)
            self._hashing -= cls in _SETS
            node: Any = items if cls is list else tagged(cls.__name__, items)
            if cls is deque:
                node["x"] = value.maxlen
            return node
        shape = self._shape(cls)
        if shape is None:
            raise Refused(_no_form(cls))
        state = take_apart(shape, value)
        node = {"$": shape.kind, "c": shape.path}
        if isinstance(state, dict):
            node["v"] = self._named(state, depth)
        else:
            node["v"] = self._items(state, depth) if isinstance(state, list) else state
        return node

    def _items(self, values: Iterable[Any], depth: int) -> list[Any]:
        nodes: list[Any] = []
        try:
            for value in values:
                nodes.append(self._node(value, depth + 1))  # noqa: PERF401  # its length tells where a refusal was
        except Refused as refused:
            refused.steps.append(f"[{len(nodes)}]")
            raise
        return nodes

    def _named(self, values: dict[str, Any], depth: int) -> dict[str, Any]:
        nodes: dict[str, Any] = {}
        name = ""
        try:
            for name, value in values.items():
                self._left -= len(name) // CHARACTERS
                nodes[name] = self._node(value, depth + 1)
        except Refused as refused:
            refused.steps.append(step_to(name))
            raise
        return nodes

    def _in_turn(self, values: dict[Any, Any], depth: int) -> list[Any]:
        nodes: list[Any] = []
        key: Any = None
        try:
            for key, value in values.items():
                self._hashing += 1
                nodes.append(self._node(key, depth + 1))
                self._hashing -= 1
                nodes.append(self._node(value, depth + 1))
        except Refused as refused:
            refused.steps.append(f"[key {len(nodes) // 2}]" if len(nodes) % 2 == 0 else step_to(key))
            raise
        return nodes

    def _pairs_header(self, value: Any) -> dict[str, Any]:
        """Header of a dict or a relative of it; empty for an object as JSON has them."""
        cls = type(value)
        if cls is dict:
            return {"$": "dict"} if id(value) in self._shared else dict_header(value, reserved=True)
        if cls is not defaultdict:
            if value.__dict__:
                raise Refused(f"a {cls.__name__} with attributes")
            return {"$": cls.__name__}
        factory = value.default_factory
        if factory is not None and not any(factory is known for known in _FACTORIES):
            raise Refused("a defaultdict whose factory is no built-in type")
        return {"$": "defaultdict", "x": None if factory is None else factory.__name__}

    def _shape(self, cls: type) -> Shape | None:
        try:
            return self._shapes[cls]
        except KeyError:
            return self._shapes.setdefault(cls, shape_of(cls))


def _encoded(node: Any) -> bytes:
    try:
        return encode_json(node)
    except (OverflowError, UnicodeEncodeError):
        raise NotPlain from None


def _pieces(value: str | bytes | bytearray) -> Iterator[Any]:
    """A long string or bytes in pieces, as nodes."""
    for start in range(0, len(value), PIECE):
        piece = value[start : start + PIECE]
        yield str(piece) if isinstance(piece, str) else bytes_node(piece)


def _no_form(cls: type) -> str:
    return f"of type {cls.__qualname__}" if cls.__module__ == "builtins" else f"of type {cls.__module__}.{cls.__qualname__}"
