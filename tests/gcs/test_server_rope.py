"""Contents as segments, against plain bytes."""

from __future__ import annotations

import hashlib
import random

import pytest
from crc32c import crc32c

from aioartifacts.testing.gcs_server import state
from aioartifacts.testing.gcs_server.rope import Rope, crc32c_combine
from aioartifacts.testing.gcs_server.state import Description, Preconditions, State

SIZES = [0, 1, 7, 1000, 32 * 1024 - 1, 32 * 1024, 70_000, 300_000]


def pieces(seed: int) -> list[bytes]:
    generator = random.Random(seed)
    return [generator.randbytes(generator.choice(SIZES)) for _ in range(generator.randrange(1, 30))]


def build(parts: list[bytes]) -> Rope:
    rope = Rope(md5=True)
    for part in parts:
        rope.append(part)
    return rope


def check(rope: Rope, data: bytes) -> None:
    assert (rope.size, rope.tobytes(), rope.crc32c) == (len(data), data, crc32c(data))
    generator = random.Random(len(data))
    for _ in range(20):
        start = generator.randrange(len(data) + 1)
        stop = generator.randrange(start, len(data) + 1)
        step = generator.choice([1000, 65_536, 1_048_576])
        views = list(rope.slices(start, stop, step))
        assert b"".join(views) == data[start:stop]
        assert all(0 < len(view) <= step for view in views)


@pytest.mark.parametrize("seed", range(8))
def test_appending(seed: int) -> None:
    parts = pieces(seed)
    data = b"".join(parts)
    rope = build(parts)
    check(rope, data)
    assert rope.md5 == hashlib.md5(data, usedforsecurity=False).digest()


@pytest.mark.parametrize("seed", range(8))
def test_truncating_and_going_on(seed: int) -> None:
    parts = pieces(seed)
    data = b"".join(parts)
    rope = build(parts)
    kept = random.Random(seed).randrange(len(data) + 1)
    rope.truncate(kept)
    rope.append(b"more")
    check(rope, data[:kept] + b"more")
    assert rope.md5 == hashlib.md5(data[:kept] + b"more", usedforsecurity=False).digest()


@pytest.mark.parametrize("seed", range(8))
def test_joining(seed: int) -> None:
    lists = [pieces(seed * 10 + number) for number in range(4)]
    joined = Rope.join(build(parts) for parts in lists)
    check(joined, b"".join(part for parts in lists for part in parts))
    assert joined.md5 is None


def test_joining_shares_the_bytes() -> None:
    part = b"x" * 100_000
    joined = Rope.join([Rope.of(part), Rope.of(part)])
    assert [view.obj for view in joined.slices(0, joined.size)] == [part, part]
    assert all(view.obj is part for view in joined.slices(0, joined.size))


@pytest.mark.parametrize(("first", "second"), [(b"", b""), (b"", b"a"), (b"a", b""), (b"12345", b"6789")])
def test_combining_checksums(first: bytes, second: bytes) -> None:
    assert crc32c_combine(crc32c(first), crc32c(second), len(second)) == crc32c(first + second)


def test_old_sessions_are_forgotten_and_open_ones_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "_MAX_SESSIONS", 10)
    server = State()
    server.create_bucket("bkt")
    open_one = server.open_session("bkt", "open", Description(), Preconditions())
    for number in range(50):
        server.finish_session(server.open_session("bkt", str(number), Description(), Preconditions()))
    assert open_one.id in server.sessions
    assert len(server.sessions) <= 11
