"""The fallback: streamed, large buffers beside the stream and never copied, and only where it is trusted."""

from __future__ import annotations

import gc
import io
import pickle
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parts import MemoryParts, load, roundtrip, written

from aioartifacts.errors import DecodeError, UntrustedArtifactError
from aioartifacts.materializers import collector
from aioartifacts.materializers.base import Buffers, Materializer, Producer
from aioartifacts.materializers.collector import paused
from aioartifacts.materializers.pickled import PickleMaterializer
from aioartifacts.materializers.pickling import ALIGNMENT, OUT_OF_BAND_MIN, PART, STREAM_HELD_MAX, Pickler
from aioartifacts.materializers.typed_json import JsonMaterializer

PICKLE = PickleMaterializer()
LARGE = OUT_OF_BAND_MIN // 8


class Thing:
    def __init__(self, value: object) -> None:
        self.value = value


def test_a_small_object_is_a_plain_pickle() -> None:
    data = written(PICKLE.dump({"a": {1, 2}}))
    assert pickle.loads(data[PART]) == {"a": {1, 2}}


def test_lambdas_and_local_classes_come_back() -> None:
    class Local:
        pass

    double, cls = roundtrip(PICKLE, (lambda x: x * 2, Local))
    assert double(4) == 8
    assert cls.__name__ == "Local"


def test_a_class_of_main_is_read_by_another_process(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[2])\n"
        "from parts import written; from aioartifacts.materializers.pickled import PickleMaterializer\n"
        "class Mine:\n    def __init__(self): self.a = 5\n"
        "pathlib.Path(sys.argv[1]).write_bytes(written(PickleMaterializer().dump([Mine()]))['data.pkl'])"
    )
    target = tmp_path / "data.pkl"
    subprocess.run([sys.executable, "-c", script, str(target), str(Path(__file__).parent)], timeout=60, check=True)
    assert load(PICKLE, {PART: target.read_bytes()})[0].a == 5


def test_a_long_stream_is_made_while_it_is_written_and_comes_back() -> None:
    value = {str(i): Thing(i) for i in range(20_000)}
    dump = PICKLE.dump(value)
    assert isinstance(dump.parts[0].body, Producer)
    back = load(PICKLE, written(dump))
    assert {key: thing.value for key, thing in back.items()} == {str(i): i for i in range(20_000)}


def test_no_single_write_of_a_long_stream_is_large() -> None:
    sizes: list[int] = []

    class Sink:
        def write(self, data: Any, /) -> None:
            sizes.append(len(data))

    PICKLE.dump({str(i): i for i in range(100_000)}).parts[0].body.write_to(Sink())
    assert sum(sizes) > 4 * STREAM_HELD_MAX
    assert max(sizes) < 2 * OUT_OF_BAND_MIN


@pytest.mark.parametrize("filler", [0, 200_000], ids=["held", "produced"])
def test_large_buffers_lie_aligned_beside_the_stream(filler: int) -> None:
    first, second = np.arange(LARGE, dtype="f8"), np.arange(3 * LARGE, dtype="f8").reshape(3, LARGE).T
    value = [first, {"b": second, "small": np.arange(5)}, list(range(filler))]
    dump = PICKLE.dump(value)
    assert isinstance(dump.parts[0].body, Producer if filler else Buffers)
    data = written(dump)
    for array in (first, second):
        assert data[PART].index(array.tobytes("A")) % ALIGNMENT == 0
    back = load(PICKLE, data)
    assert np.array_equal(back[0], first)
    assert np.array_equal(back[1]["b"], second)
    assert back[1]["b"].flags.f_contiguous
    assert back[2] == value[2]


def test_buffers_are_not_copied_on_the_way_out() -> None:
    array = np.zeros(LARGE)
    dump = PICKLE.dump([array])
    body = dump.parts[0].body
    assert isinstance(body, Buffers)
    assert any(np.shares_memory(np.frombuffer(buffer, "u1"), array) for buffer in body.buffers if buffer.nbytes)


def test_buffers_are_not_copied_on_the_way_in() -> None:
    class Kept(MemoryParts):
        def read(self, name: str) -> memoryview:
            self.whole = super().read(name)
            return self.whole

    with Kept(written(PICKLE.dump([np.zeros(LARGE), np.ones(LARGE)]))) as parts:
        for array in PICKLE.load(parts):  # type: ignore[attr-defined]
            assert np.shares_memory(np.frombuffer(parts.whole, "u1"), array)


def test_what_was_writable_is_writable_and_nothing_else() -> None:
    fixed = np.zeros(LARGE)
    fixed.flags.writeable = False
    back = roundtrip(PICKLE, {"free": np.zeros(LARGE), "fixed": fixed})
    assert back["free"].flags.writeable
    assert not back["fixed"].flags.writeable


def test_a_mapped_load_is_read_only() -> None:
    back = roundtrip(PICKLE, [np.arange(LARGE)], mmap=True)
    assert not back[0].flags.writeable
    assert back[0][7] == 7


def test_one_array_in_two_places_is_one_array_again() -> None:
    array = np.arange(LARGE)
    data = written(PICKLE.dump([array, {"x": array}]))
    assert len(data[PART]) < 2 * array.nbytes
    back = load(PICKLE, data)
    assert back[0] is back[1]["x"]


def test_it_is_not_loaded_without_trust() -> None:
    with pytest.raises(UntrustedArtifactError, match="trust='all'"):
        roundtrip(PICKLE, 5, trusted=False)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [1, {"b": threading.Lock()}]}, r"\$\['a'\]\[1\]\['b'\] cannot be pickled: _thread\.lock"),
        (Thing((1, Thing(threading.Lock()))), r"\$\.value\[1\]\.value cannot be pickled: _thread\.lock"),
        ((x for x in ()), r"\$ cannot be pickled: builtins\.generator"),
        ([b""] * 30_000 + ["x" * 300_000, {1: threading.Lock()}], r"\$\[30001\]\[1\] cannot be pickled: _thread\.lock"),
    ],
    ids=["dict", "attributes", "itself", "late"],
)
def test_what_does_not_pickle_is_named(value: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        PICKLE.dump(value).parts[0].body.write_to(io.BytesIO())


def test_nesting_too_deep_is_said_so() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(TypeError, match="nested too deeply"):
        PICKLE.dump(value)


def test_what_the_sink_raises_passes_unchanged() -> None:
    class Full:
        def write(self, data: Any, /) -> None:
            raise ZeroDivisionError

    body = PICKLE.dump({str(i): i for i in range(100_000)}).parts[0].body
    with pytest.raises(ZeroDivisionError):
        body.write_to(Full())


@pytest.mark.parametrize("place", [-24, -16])
def test_a_damaged_index_is_refused(place: int) -> None:
    data = bytearray(written(PICKLE.dump([np.zeros(LARGE), np.ones(LARGE)]))[PART])
    data[place + 1] ^= 0x40
    with pytest.raises(DecodeError, match="damaged"):
        load(PICKLE, {PART: bytes(data)})


def test_buffers_that_overlap_are_refused() -> None:
    data = bytearray(written(PICKLE.dump([np.zeros(LARGE), np.ones(LARGE)]))[PART])
    data[-40:-32] = data[-56:-48]
    with pytest.raises(DecodeError, match="damaged"):
        load(PICKLE, {PART: bytes(data)})


def test_the_collector_rests_until_the_last_user_is_done() -> None:
    assert gc.isenabled()
    with paused():
        with paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_young_garbage_is_collected_now_and_then_while_the_collector_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    class Node:
        def __init__(self) -> None:
            self.itself = self

    gc.collect()
    for rest, collected in ((3600.0, False), (0.0, True)):
        monkeypatch.setattr(collector, "_REST", rest)
        with paused() as collect:
            left = weakref.ref(Node())
            collect()
            assert (left() is None) == collected
            assert not gc.isenabled()


@pytest.mark.parametrize("materializer", [PICKLE, JsonMaterializer()], ids=["pickle", "json"])
def test_what_is_loaded_is_not_left_for_one_large_collection(
    materializer: Materializer, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump = materializer.dump([[n, [n]] for n in range(50_000)])
    data = written(dump)
    monkeypatch.setattr(collector, "_MANY", 5_000)
    young: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            young.append(gc.get_count()[0])

    gc.collect()
    gc.callbacks.append(note)
    try:
        loaded = load(materializer, data, dump.meta)
    finally:
        gc.callbacks.remove(note)
    assert isinstance(loaded, list)
    assert len(loaded) == 50_000
    assert len(young) >= 3
    assert max(young) < 50_000


@pytest.mark.parametrize("materializer", [PICKLE, JsonMaterializer()], ids=["pickle", "json"])
def test_neither_saving_nor_loading_brings_a_full_collection_much_nearer(
    materializer: Materializer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "_REST", 3600.0)
    obj = [{"n": n, "of": [n]} for n in range(30_000)]
    gc.collect()
    dump = materializer.dump(obj)
    data = written(dump)
    load(materializer, data, dump.meta)
    assert gc.get_count()[2] <= 4  # Python makes one when this is more than 10


def test_a_look_at_what_is_young_does_not_go_through_the_memo_of_a_large_pickle() -> None:
    (part,) = PICKLE.dump([{"n": n} for n in range(50_000)]).parts
    young: list[bool] = []

    class Sink:
        def write(self, data: Any) -> None:
            young.append(any(type(known) is Pickler for known in gc.get_objects(generation=0)))

    gc.disable()
    try:
        part.body.write_to(Sink())
        assert len(young) > 1
        assert set(young) == {True}, "with the collector off nothing is called for"
        gc.enable()
        young.clear()
        part.body.write_to(Sink())
    finally:
        gc.enable()
    assert set(young) == {False}


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_collector_is_on_again_after_threads_and_errors() -> None:
    barrier = threading.Barrier(4)

    def use() -> None:
        try:
            with paused():
                barrier.wait(timeout=30)
                assert not gc.isenabled()
                raise KeyError
        except KeyError:
            pass

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert gc.isenabled()
