"""The facade never keeps a process from ending, and works after fork and spawn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from programs import KINDS, run

USE = """
big = os.urandom(300_000)
store.save({"a": 1}, "x")
store.save(big, "big")
assert store.save_many({"m/a": 1, "m/b": big}).keys() == {"m/a", "m/b"}
assert store.load_many(["m/a", "m/b"]) == {"m/a": 1, "m/b": big}
assert store.load("x") == {"a": 1}
"""


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_ends_without_close(kind: str, tmp_path: Path) -> None:
    assert run(USE + "print('done')", kind, tmp_path) == "done\n"


def test_ends_after_close(kind: str, tmp_path: Path) -> None:
    assert run(USE + "store.close(); store.close(); print(store.load('x'))", kind, tmp_path) == "{'a': 1}\n"


def test_ends_with_a_store_in_a_reference_cycle(kind: str, tmp_path: Path) -> None:
    run(USE + "store.itself = store", kind, tmp_path)


def test_ends_with_an_iteration_under_way(kind: str, tmp_path: Path) -> None:
    assert run(USE + "infos = store.iter_artifacts(); next(infos); print('done')", kind, tmp_path) == "done\n"


def test_ends_when_an_exception_ends_it(kind: str, tmp_path: Path) -> None:
    program = USE + "sys.exit(0)"
    run(program, kind, tmp_path)


def test_a_thread_goes_on_using_it_when_the_main_thread_has_ended(kind: str, tmp_path: Path) -> None:
    program = f"""
def work():
    threading.main_thread().join()
    {USE.strip().replace(chr(10), chr(10) + "    ")}
    print("done")
threading.Thread(target=work).start()
store.save(0, "first")
"""
    assert run(program, kind, tmp_path) == "done\n"


def test_a_daemon_thread_in_the_middle_of_a_call_does_not_hold_the_end_up(kind: str, tmp_path: Path) -> None:
    program = """
class Odd: pass
class Endless(Materializer):
    name = format = "endless"
    def accepts(self, obj): return isinstance(obj, Odd)
    def dump(self, obj): return Dump([Part("part", Producer(produce))])
    def load(self, parts): pass
entered = threading.Event()
def produce(sink):
    while True:
        sink.write(bytes(100_000))
        entered.set()
        time.sleep(0.01)
store.materializers.register(Endless, types=Odd)
def work(call, *args):
    try:
        call(*args)
    except StoreError:
        pass  # it was stopped
threading.Thread(target=work, args=(store.save, Odd(), "endless"), daemon=True).start()
threading.Thread(target=work, args=(store.save_many, {"endless/2": Odd(), "endless/3": Odd()}), daemon=True).start()
entered.wait()
assert not store.exists("endless")
print("done", flush=True)
"""
    if kind == "memory":
        program = program.replace("bytes(100_000)", "b''")
    assert run(program, kind, tmp_path) == "done\n"


@pytest.mark.parametrize("when", ["before", "after"])
def test_calls_at_exit_work_or_say_why_not(kind: str, when: str, tmp_path: Path) -> None:
    program = f"""
import atexit
def last():
    for use in (lambda: store.save(2, "last"), lambda: store.load("x"), lambda: store.save_many({{"l/a": 1, "l/b": 2}})):
        try:
            use()
        except StoreError as error:
            assert "shut" in str(error) or "stopped" in str(error), error
    print("done", flush=True)
{"atexit.register(last)" if when == "before" else ""}
store.save(1, "x")
{"atexit.register(last)" if when == "after" else ""}
"""
    assert run(program, kind, tmp_path) == "done\n"


def test_after_fork_parent_and_child_both_work(kind: str, tmp_path: Path) -> None:
    program = (
        USE
        + """
import warnings
warnings.simplefilter("ignore")  # Python 3.12 warns of forking with threads, which is the point here
def use(who):
    for i in range(3):
        store.save({"who": who}, f"{who}/{i}")
        assert store.load(f"{who}/{i}") == {"who": who}
        assert store.save_many({f"{who}/m/{n}": n for n in range(50)})
    assert store.load("big") == big
children = []
for number in range(3):
    child = os.fork()
    if not child:
        use(f"child{number}")
        os._exit(0)
    children.append(child)
use("parent")
assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
"""
    )
    run(program, kind, tmp_path)


def test_fork_while_other_threads_hold_everything(kind: str, tmp_path: Path) -> None:
    """Locks, workers and bytes of the budget that are held at the moment of the fork are free in the child."""
    program = """
from aioartifacts.types import Limits
import warnings
warnings.simplefilter("ignore")
store = open_store(KIND, ROOT, limits=Limits(workers=1, transfers=1, memory=1_000_000))
store.save(bytes(900_000), "big")
class Odd: pass
class Held(Materializer):
    name = format = "held"
    safe = True
    def accepts(self, obj): return isinstance(obj, Odd)
    def dump(self, obj): return Dump([Part("part", Producer(lambda sink: sink.write(bytes(900_000))))])
    def load(self, parts):
        data = parts.read("part")
        entered.set()
        assert release.wait(60)
entered, release = threading.Event(), threading.Event()
store.materializers.register(Held, types=Odd)
store.save(Odd(), "odd")
threads = [threading.Thread(target=call) for call in (lambda: store.load("odd"), lambda: store.load_many(["odd"]))]
for thread in threads: thread.start()
entered.wait()
child = os.fork()
if not child:
    assert store.load("big") == bytes(900_000)
    assert store.load_many(["big"]) == {"big": bytes(900_000)}
    store.save_many({"a": 1, "b": 2})
    os._exit(0)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
release.set()
for thread in threads: thread.join()
sys.exit(status)
"""
    run(program, kind, tmp_path)


def test_fork_while_a_thread_registers_and_puts(tmp_path: Path) -> None:
    """The locks of the registry and of the objects in memory are free in the child."""
    program = """
import warnings
warnings.simplefilter("ignore")
store.save(1, "x")
entered, release = threading.Event(), threading.Event()
def hold():
    with store._store._objects._lock, store.materializers._lock:
        entered.set()
        release.wait()
thread = threading.Thread(target=hold)
thread.start()
entered.wait()
child = os.fork()
if not child:
    class Odd(Materializer):
        name = format = "odd"
        def accepts(self, obj): return False
        def dump(self, obj): pass
        def load(self, parts): pass
    store.materializers.register(Odd)
    store.save(2, "x")
    os._exit(store.load("x") != 2)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
release.set()
thread.join()
sys.exit(status)
"""
    run(program, "memory", tmp_path)


def test_fork_while_a_thread_replaces_leaves_no_file_locked(tmp_path: Path) -> None:
    """The child has the descriptor of the lock file, and never closes it."""
    program = """
import warnings
warnings.simplefilter("ignore")
from aioartifacts.objects.local.posix import Tree
entered, release = threading.Event(), threading.Event()
def replace():
    with Tree(ROOT) as tree, tree.lock("x/metadata.json"):
        entered.set()
        release.wait()
store.save(1, "x")
thread = threading.Thread(target=replace)
thread.start()
entered.wait()
end, keep = os.pipe()
child = os.fork()
if not child:
    os.close(keep)
    os.read(end, 1)  # lives until the parent has saved
    store.save(3, "x")
    os._exit(0)
release.set()
thread.join()
store.save(2, "x")
os.close(keep)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print(store.load("x"))
"""
    assert run(program, "local", tmp_path) == "3\n"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("kind", ["local", "async"])
def test_in_processes_of_multiprocessing(kind: str, method: str, tmp_path: Path) -> None:
    """The store is pickled, and each process opens what it needs anew."""
    script = tmp_path / "script.py"
    script.write_text(
        """
import multiprocessing, sys, warnings
from aioartifacts import sync
from aioartifacts.objects.local import LocalObjectStore
from aioartifacts.testing import AsyncObjectStoreAdapter

def work(store, number):
    store.save({"number": number}, f"of/{number}")
    store.save_many({f"of/{number}/{i}": i for i in range(20)})
    return store.load("x"), store.load(f"of/{number}")

if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)
    objects = LocalObjectStore(sys.argv[2], durability="process")
    store = sync.LocalArtifactStore(sys.argv[2], durability="process")
    if sys.argv[1] == "async":
        store = sync.ArtifactStore(AsyncObjectStoreAdapter(objects), trust="all")
    store.save("of the parent", "x")
    context = multiprocessing.get_context(sys.argv[3])
    with context.Pool(2) as pool:
        found = pool.starmap(work, [(store, number) for number in range(4)])
        pool.close()
        pool.join()
    assert found == [("of the parent", {"number": number}) for number in range(4)], found
    assert len(store.list_artifacts("of")) == 84
"""
    )
    done = subprocess.run(
        [sys.executable, str(script), kind, str(tmp_path / "root"), method],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
