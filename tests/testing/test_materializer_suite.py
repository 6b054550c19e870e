"""The suite for materializers notices what breaks its laws."""

from __future__ import annotations

import contextlib
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aioartifacts.materializers.base import Buffers, Dump, Materializer, Part, Parts, Producer
from aioartifacts.testing import MaterializerSuite
from aioartifacts.testing.audit import watching
from aioartifacts.testing.memory_parts import load_parts, written


class Note:
    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Note) and other.text == self.text

    __hash__ = None  # type: ignore[assignment]


class NoteMaterializer(Materializer):
    name = format = "note"
    safe = True

    def accepts(self, obj: object) -> bool:
        return type(obj) is Note

    def dump(self, obj: Any) -> Dump:
        return Dump([Part("note.txt", Buffers(obj.text.encode()))])

    def load(self, parts: Parts) -> object:
        return Note(bytes(parts.read("note.txt")).decode())


class TestSoundOne(MaterializerSuite):
    materializer = NoteMaterializer

    def examples(self) -> Mapping[str, object]:
        return {"short": Note("a"), "long": Note("ä" * 20_000)}

    def large(self) -> object:
        return Note("x" * 1000)


class Unpickles(NoteMaterializer):
    """Calls itself safe, and is not."""

    def dump(self, obj: Any) -> Dump:
        return Dump([Part("note.pkl", Buffers(pickle.dumps(obj)))])

    def load(self, parts: Parts) -> object:
        return pickle.loads(parts.read("note.pkl"))


class Evaluates(NoteMaterializer):
    def dump(self, obj: Any) -> Dump:
        return Dump([Part("note.txt", Buffers(repr(obj.text).encode()))])

    def load(self, parts: Parts) -> object:
        return Note(eval(bytes(parts.read("note.txt"))))  # noqa: S307  # the point of it


class Believes(NoteMaterializer):
    """Takes as much memory as it is told."""

    def dump(self, obj: Any) -> Dump:
        text = obj.text.encode()
        return Dump([Part("note.txt", Buffers(len(text).to_bytes(5, "big") + text))])

    def load(self, parts: Parts) -> object:
        data = parts.read("note.txt")
        room = bytearray(int.from_bytes(data[:5], "big") & 0x1FFFFFFF)
        room[: len(data) - 5] = data[5:]
        return Note(room.decode())


class Forgets(NoteMaterializer):
    def load(self, parts: Parts) -> object:
        return Note(bytes(parts.read("note.txt")).decode()[:10_000])


class Once(NoteMaterializer):
    def dump(self, obj: Any) -> Dump:
        pieces = iter([obj.text.encode()])
        return Dump([Part("note.txt", Producer(lambda sink: [sink.write(piece) for piece in pieces] and None))])


class Hoards(NoteMaterializer):
    def dump(self, obj: Any) -> Dump:
        return Dump([Part("note.txt", Producer(lambda sink: [sink.write(bytes(100_000_000)), None][1]))])


def suite(made: type[Materializer]) -> Any:
    return type("Suite", (TestSoundOne,), {"materializer": made})()


@pytest.mark.parametrize(
    ("made", "law"),
    [
        (Unpickles, "test_safe_format_runs_nothing_it_finds"),
        (Evaluates, "test_safe_format_runs_nothing_it_finds"),
        (Believes, "test_damaged_parts_are_an_error_or_another_object_and_no_more"),
        (Once, "test_bodies_write_the_same_bytes_every_time"),
        (Hoards, "test_large_example_is_never_held_encoded"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_broken_law_is_noticed(made: type[Materializer], law: str) -> None:
    with pytest.raises(AssertionError):
        getattr(suite(made), law)()


def test_lost_content_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        suite(Forgets).test_examples_come_back_from_every_store(tmp_path)


def test_suite_without_examples_says_so() -> None:
    with pytest.raises(AssertionError, match="examples"):
        MaterializerSuite().examples()


@pytest.mark.parametrize(
    ("code", "event"),
    [
        ("__import__('pickle').loads(b'cos\\nsystem\\n.')", "pickle.find_class"),
        ("__import__('socket').socket().close()", "socket"),
        ("exec('1 + 1')", "exec"),
        ("__import__('no_such_package')", "import no_such_package"),
        ("__import__('subprocess').run(['true'])", "subprocess.Popen"),
    ],
)
def test_audit_sees(code: str, event: str) -> None:
    compiled = compile(code, __file__, "exec")
    with watching() as done, contextlib.suppress(ImportError):
        exec(compiled, {})
    assert any(found.startswith(event) for found in done), done


def test_audit_lets_ordinary_reading_pass() -> None:
    data = written(NoteMaterializer().dump(Note("a")))
    with watching() as done:
        assert load_parts(NoteMaterializer(), data, {}) == Note("a")
        sys.getrefcount(done)
    assert done == []
