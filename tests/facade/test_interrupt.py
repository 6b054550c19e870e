"""Ctrl-C: the work is cancelled, then `KeyboardInterrupt` is raised, and nothing changes any more."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from pieces import Pieces, PiecesMaterializer
from programs import KINDS, finish, start, wait_for

from aioartifacts import sync
from aioartifacts.errors import ArtifactNotFoundError
from aioartifacts.objects.base import BlockingObjectStore
from aioartifacts.objects.local import LocalObjectStore
from aioartifacts.objects.memory import MemoryObjectStore
from aioartifacts.record import decode_record
from aioartifacts.testing import Fault, FaultyObjectStore

PROGRAM = """
class Odd: pass
class Held(Materializer):
    name = format = "held"
    safe = True
    def accepts(self, obj):
        return isinstance(obj, Odd)
    def dump(self, obj):
        return Dump([Part("first", Producer(lambda sink: sink.write(bytes(50_000)))), Part("second", Producer(produce))])
    def load(self, parts):
        parts.read("first")
        say("ready")
        while not interrupts:
            time.sleep(0.001)
        parts.read("second")

def say(word):
    os.write(1, (word + chr(10)).encode())  # in one piece, whoever else says something

interrupts = []
def interrupt(number, frame):
    interrupts.append(number)
    say("interrupted")
    raise KeyboardInterrupt
signal.signal(signal.SIGINT, interrupt)

STUBBORN = False
def produce(sink):
    sink.write(bytes(50_000))
    say("ready")
    while STUBBORN and not os.path.exists(os.path.join(ROOT, "release")):
        time.sleep(0.001)
    while not patient:
        sink.write(bytes(100))
        time.sleep(0.001)

patient = True
store.materializers.register(Held, types=Odd)
os.makedirs(ROOT, exist_ok=True)
store.save("old", "old")
store.save_many({"many/old": "old"})

def files():
    if KIND == "memory":
        return store.list_artifacts()
    return sorted(os.path.join(f, n) for f, _, names in os.walk(ROOT) for n in names if ".aioartifacts" not in f and n != "release")

def expect_interrupt(call):
    global patient
    patient = False
    before = files()
    try:
        call()
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("no KeyboardInterrupt")
    assert files() == before, files()
    store.close()
    assert files() == before, files()
    patient = True
    assert store.load("old") == "old"
    assert store.save_many({"new/1": 1, "new/2": 2}).keys() == {"new/1", "new/2"}
"""

VERBS = {
    "save": 'expect_interrupt(lambda: store.save(Odd(), "x"))',
    "overwrite": 'expect_interrupt(lambda: store.save(Odd(), "old"))',
    "save_many": 'expect_interrupt(lambda: store.save_many({"many/1": Odd(), "many/2": Odd()}))',
    "load": 'store.save(Odd(), "x"); say("ready")\nexpect_interrupt(lambda: store.load("x"))',
    "load_many": 'store.save(Odd(), "x"); say("ready")\nexpect_interrupt(lambda: store.load_many(["x"]))',
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("kind", KINDS)
def test_ctrl_c(kind: str, verb: str, tmp_path: Path) -> None:
    process = start(PROGRAM + VERBS[verb], kind, tmp_path)
    wait_for(process, "ready")
    if verb.startswith("load"):
        wait_for(process, "ready")  # the first one was the save's
        wait_for(process, "ready")
    process.send_signal(signal.SIGINT)
    finish(process)


@pytest.mark.parametrize(("kind", "verb"), [("local", "save_many"), ("memory", "save_many"), ("async", "save"), ("async", "save_many")])
def test_ctrl_c_again_and_again(kind: str, verb: str, tmp_path: Path) -> None:
    """However often: the exception is raised when the work has ended, not before."""
    program = PROGRAM + "STUBBORN = True\n" + VERBS[verb]
    process = start(program, kind, tmp_path)
    wait_for(process, "ready")
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        wait_for(process, "interrupted")
    assert process.poll() is None
    (tmp_path / "release").touch()
    finish(process)


RANDOM = """
import random
from aioartifacts.materializers.raw import BytesMaterializer
class Pieces(list): pass
class PiecesMaterializer(Materializer):
    name = format = "pieces"
    safe = True
    def accepts(self, obj): return type(obj) is Pieces
    def dump(self, obj):
        return Dump([Part(f"{i}", Producer(lambda sink, piece=piece: sink.write(piece))) for i, piece in enumerate(obj)])
    def load(self, parts): return Pieces(bytes(parts.read(name)) for name in parts.names)
store.materializers.register(PiecesMaterializer, types=Pieces)
def value(n): return Pieces([bytes([n]) * 20_000, bytes([n + 1]) * 30_000, b"small"])

def interrupt(number, frame):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
sys.unraisablehook = lambda hook: None  # an interruption may hit a destructor

store.save(value(0), "x")
store.save_many({"m/0": value(0), "m/1": value(0)})
allowed, hit = {"x": [value(0)], "m/0": [value(0)], "m/1": [value(0)]}, 0
started = time.perf_counter()
store.save(value(0), "x")
longest = 1.5 * (time.perf_counter() - started) + 0.001
rng = random.Random(7)
for n in range(1, ROUNDS):
    paths = ["x"] if n % 3 else ["m/0", "m/1"]
    try:
        signal.setitimer(signal.ITIMER_REAL, rng.uniform(0.00001, longest))
        if len(paths) == 1:
            store.save(value(n), "x")
        else:
            store.save_many(dict.fromkeys(paths, value(n)))
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        signal.setitimer(signal.ITIMER_REAL, 0)
        hit += 1
    for path in paths:
        found = store.load(path)
        assert found == value(n) or found in allowed[path], (n, path, [piece[:1] for piece in found])
        allowed[path] = [found]
assert hit > ROUNDS // 10, hit
report = store.verify()
assert not report.damaged, report
print("done", flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("kind", KINDS)
def test_interrupted_anywhere(kind: str, tmp_path: Path) -> None:
    process = start("ROUNDS = 150\n" + RANDOM, kind, tmp_path)
    assert finish(process) == "done\n"


# At every call of the object store


OLD = Pieces(b"old" * 100, b"OLD" * 200)
NEW = Pieces(b"new" * 300, b"NEW" * 100, b"n")


def facade(objects: BlockingObjectStore) -> sync.ArtifactStore:
    store = sync.ArtifactStore(objects, trust="all", inline_max=10)
    store.materializers.register(PiecesMaterializer, types=Pieces)
    return store


CALLS = {
    "save": lambda store: store.save(NEW, "x"),
    "create": lambda store: store.save(NEW, "new", overwrite=False),
    "save many": lambda store: store.save_many({"x": NEW, "new": NEW}),
    "delete": lambda store: store.delete("x"),
    "load": lambda store: store.load("x"),
    "load many": lambda store: store.load_many(["x"]),
}


def present(store: sync.ArtifactStore, path: str) -> object:
    try:
        return store.load(path)
    except ArtifactNotFoundError:
        return None


@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", ["memory", "local"])
def test_interrupted_at_every_call(kind: str, call: str, when: str, times: int, tmp_path: Path) -> None:
    for nth in range(1, 100):
        objects: BlockingObjectStore = (
            MemoryObjectStore() if kind == "memory" else LocalObjectStore(tmp_path / str(nth), durability="process")
        )
        facade(objects).save(OLD, "x")
        faulty = FaultyObjectStore(
            objects,
            Fault("*", KeyboardInterrupt, nth=nth, times=times, when="after" if when == "after" else "before"),
        )
        try:
            CALLS[call](facade(faulty))
        except KeyboardInterrupt:
            pass
        if not faulty.fired:
            break
        allowed = [OLD, NEW] if "save" in call else [OLD, None] if call == "delete" else [OLD]
        assert present(facade(objects), "x") in allowed
        assert present(facade(objects), "new") in [None, NEW]
        check_nothing_lost(objects)
    assert nth > 1


def check_nothing_lost(objects: BlockingObjectStore) -> None:
    """Every record has its parts."""
    keys = {info.key for info in objects.list()}
    named = set()
    for key in keys:
        if key.endswith("/metadata.json"):
            path = key.removesuffix("/metadata.json")
            record = decode_record(objects.get(key).data, path).record
            named |= {key, *(f"{path}/{part.file}" for part in record.parts if part.file)}
    assert named <= keys
