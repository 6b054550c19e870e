"""Each error says what happened, to which path, and what to do; and it pickles."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import textwrap
from asyncio import CancelledError

import pytest
from opened import BIG, keys, over, part, read, write

import aioartifacts.sync
from aioartifacts import (
    ArtifactError,
    ArtifactExistsError,
    ArtifactNotFoundError,
    Buffers,
    ConflictError,
    DecodeError,
    Dump,
    EncodeError,
    IntegrityError,
    InvalidConfigError,
    InvalidPathError,
    Materializer,
    MetadataError,
    MissingDependencyError,
    Part,
    Parts,
    PermissionDeniedError,
    Producer,
    RecordError,
    StoreError,
    TransientStoreError,
    UnknownFormatError,
    UntrustedArtifactError,
)
from aioartifacts.testing import Fault, FaultyObjectStore

pytestmark = pytest.mark.asyncio

BASES = {
    InvalidPathError: ValueError,
    InvalidConfigError: ValueError,
    ArtifactNotFoundError: FileNotFoundError,
    ArtifactExistsError: FileExistsError,
    MetadataError: ValueError,
    MissingDependencyError: ImportError,
    PermissionDeniedError: PermissionError,
    RecordError: IntegrityError,
    EncodeError: aioartifacts.MaterializerError,
    DecodeError: aioartifacts.MaterializerError,
    UnknownFormatError: aioartifacts.MaterializerError,
    TransientStoreError: StoreError,
}
ALL = sorted(
    (cls for cls in vars(aioartifacts.errors).values() if isinstance(cls, type) and issubclass(cls, ArtifactError)),
    key=lambda cls: cls.__name__,
)
MORE = {
    IntegrityError: {"expected": "00", "actual": 5},
    RecordError: {"expected": 1, "actual": 2},
    UntrustedArtifactError: {"format": "pickle"},
    TransientStoreError: {"retry_after": 1.5},
}


@pytest.mark.parametrize("cls", ALL)
async def test_can_be_caught_as_what_it_is(cls):
    assert issubclass(cls, BASES.get(cls, ArtifactError))
    assert issubclass(cls, ArtifactError)


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize("duplicate", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
async def test_pickles(cls, duplicate):
    more = MORE.get(cls, {})
    error = cls("what happened; what to do", path="a/b", operation="load", **more)
    error.add_note("and: another")
    error.__cause__ = ValueError("cause")
    again = duplicate(error)
    assert type(again) is cls
    assert str(again) == str(error) == "what happened; what to do"
    assert again.args == ("what happened; what to do",)
    assert (again.path, again.operation) == ("a/b", "load")
    assert again.__notes__ == ["and: another"]
    assert {name: getattr(again, name) for name in more} == more


@pytest.mark.parametrize("cls", ALL)
async def test_without_notes_there_are_none(cls):
    again = pickle.loads(pickle.dumps(cls("message")))
    assert not hasattr(again, "__notes__")
    assert (again.path, again.operation) == (None, None)


async def test_message_is_not_replaced_by_that_of_an_os_error():
    assert str(ArtifactNotFoundError("it is gone", path="a")) == "it is gone"
    assert "it is gone" in repr(ArtifactNotFoundError("it is gone", path="a"))


# Which verb raises what


async def provoke(kind, objects, name):
    """The error of that name, from a store."""
    store = over(kind, objects)
    match name:
        case "InvalidPathError":
            await store.save(1, "../a")
        case "InvalidConfigError":
            await store.save_many({}, on_error="never")
        case "ArtifactNotFoundError":
            await store.load("a")
        case "ArtifactExistsError":
            await store.save(1, "a")
            await store.save(1, "a", overwrite=False)
        case "IntegrityError":
            await store.save(BIG, "a")
            objects.delete(part(objects, "a"))
            await store.load("a")
        case "RecordError":
            write(objects, "a/metadata.json", b"")
            await store.load("a")
        case "UntrustedArtifactError":
            await store.save(print, "a")
            await over(kind, objects, trust="data").load("a")
        case "MetadataError":
            await store.save(1, "a", {1: 2})
        case "EncodeError":
            await store.save(Encodes(ValueError("no")), "a")
        case "DecodeError":
            await store.save(DecodesInto(ValueError("no")), "a", format="pickle")
            await store.load("a")
        case "UnknownFormatError":
            await store.save(1, "a", format="nonsense")
        case "StoreError":
            await over(kind, FaultyObjectStore(objects, Fault("put", lambda: StoreError("broken; mend it", path="a")))).save(1, "a")


NAMES = [
    "InvalidPathError", "InvalidConfigError", "ArtifactNotFoundError", "ArtifactExistsError", "IntegrityError", "RecordError",
    "UntrustedArtifactError", "MetadataError", "EncodeError", "DecodeError", "UnknownFormatError", "StoreError",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
async def test_error_says_what_and_where_and_what_to_do(kind, objects, name):
    with pytest.raises(getattr(aioartifacts, name)) as caught:
        await provoke(kind, objects, name)
    error = caught.value
    assert type(error).__name__ == name
    message = str(error)
    if name != "InvalidConfigError":
        assert error.operation in ("save", "load")
        assert error.path in ("a", "../a") or name == "UnknownFormatError"
        assert name in ("UnknownFormatError", "StoreError") or repr(error.path) in message
    assert len(message) > 10
    assert message == message.strip()
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.path, again.operation) == (message, error.path, error.operation)


async def test_error_of_a_verb_is_raised_afresh_each_time(store):
    errors = []
    for _ in range(2):
        with pytest.raises(ArtifactNotFoundError) as caught:
            await store.load("a")
        errors.append(caught.value)
    assert errors[0] is not errors[1]


# Encoding


class Encodes:
    """Fails while it is pickled."""

    def __init__(self, error, pad=0):
        self.error = error
        self.pad = pad

    def __reduce__(self):
        raise self.error


class Early(Materializer):
    """Fails in ``dump``, in ``summary``, or while its body is written, before or after a lot of it."""

    name = "early"
    format = "early"
    safe = True

    def __init__(self, where, error):
        self.where = where
        self.error = error

    def accepts(self, obj):
        if self.where == "accepts":
            raise self.error
        return type(obj) is Plain

    def dump(self, obj):
        if self.where == "dump":
            raise self.error
        return Dump([Part("a.bin", Buffers(BIG)), Part("b.bin", Producer(self.produce))])

    def produce(self, sink):
        if self.where == "late":
            for _ in range(40):
                sink.write(BIG)
        raise self.error

    def summary(self, obj):
        if self.where == "summary":
            raise self.error
        return {}

    def load(self, parts):
        raise self.error


class Plain:
    pass


FAILURES = [
    ValueError("no"),
    RecursionError("deep"),
    MemoryError("much"),
    SystemExit(3),
    GeneratorExit(),
    KeyError("k"),
    StopIteration(),
    CancelledError(),
]


@pytest.fixture(autouse=True)
def tracebacks_forgotten(request):
    """Errors that are parameters would keep the stores they went through, and their threads, for ever."""
    yield
    if hasattr(request.node, "callspec"):
        error = request.node.callspec.params.get("error")
        if isinstance(error, BaseException):
            error.__traceback__ = error.__context__ = error.__cause__ = None


@pytest.mark.parametrize("error", FAILURES, ids=repr)
@pytest.mark.parametrize("where", ["dump", "summary", "produce", "late"])
async def test_failed_encoding_leaves_nothing(store, objects, where, error):
    store.materializers.register(Early(where, error))
    with pytest.raises(EncodeError, match=type(error).__name__) as caught:
        await store.save(Plain(), "a")
    assert (caught.value.path, caught.value.operation) == ("a", "save")
    assert caught.value.__cause__ is error
    assert keys(objects) == []


@pytest.mark.parametrize("error", [ValueError("no"), CancelledError()], ids=repr)
async def test_a_materializer_that_cannot_say_what_it_accepts(store, objects, error):
    store.materializers.register(Early("accepts", error))
    with pytest.raises(EncodeError, match=type(error).__name__) as caught:
        await store.save(Plain(), "a")
    assert caught.value.__cause__ is error
    assert keys(objects) == []


@pytest.mark.parametrize("error", FAILURES, ids=repr)
async def test_failed_decoding(store, error):
    class Writing(Early):
        def produce(self, sink):
            sink.write(BIG)

    store.materializers.register(Writing("load", error))
    await store.save(Plain(), "a")
    with pytest.raises(DecodeError, match=type(error).__name__) as caught:
        await store.load("a")
    assert (caught.value.path, caught.value.operation) == ("a", "load")
    with pytest.raises(ExceptionGroup) as group:
        await store.load_many(["a"])
    assert [type(found) for found in group.value.exceptions] == [DecodeError]


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), RecursionError()], ids=repr)
@pytest.mark.parametrize("pad", [0, 3_000_000])
async def test_object_that_does_not_pickle(store, objects, error, pad):
    with pytest.raises(EncodeError) as caught:
        await store.save([b"x" * pad, Encodes(error)], "a")
    assert caught.value.path == "a"
    assert keys(objects) == []


async def test_error_of_ours_passes_as_it_is(store, objects):
    store.materializers.register(Early("produce", MissingDependencyError("install it")))
    with pytest.raises(MissingDependencyError, match="install it"):
        await store.save(Plain(), "a")
    assert keys(objects) == []


async def test_failed_encoding_in_bulk_is_one_outcome(store, objects):
    store.materializers.register(Early("late", SystemExit(3)))
    outcomes = await store.save_many({"bad": Plain(), "good": BIG}, on_error="collect")
    assert isinstance(outcomes["bad"].error, EncodeError)
    assert outcomes["good"].ok
    assert {key.partition("/")[0] for key in keys(objects)} == {"good"}


async def test_what_no_format_holds_exactly_is_refused(store, objects):
    with pytest.raises(EncodeError, match="leave out format="):
        await store.save([object()], "a", format="json")
    assert keys(objects) == []


# Decoding


def explode(error):
    raise error


class DecodesInto:
    """Raises when it is unpickled."""

    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        return explode, (self.error,)


@pytest.mark.parametrize("error", [error for error in FAILURES if not isinstance(error, StopIteration)], ids=repr)
async def test_failed_decoding_is_a_decode_error(store, error):
    await store.save(DecodesInto(error), "a")
    with pytest.raises(DecodeError, match=type(error).__name__) as caught:
        await store.load("a")
    assert (caught.value.path, caught.value.operation) == ("a", "load")
    assert type(caught.value.__cause__) is type(error)
    assert await store.exists("a")


async def test_decode_error_names_the_writer_s_versions(store, objects):
    from opened import document, forge

    await store.save(DecodesInto(ValueError("no")), "a")
    with pytest.raises(DecodeError, match="here it is decoded by the versions that wrote it"):
        await store.load("a")
    forge(objects, "a", document(objects, "a") | {"environment": {"python": "3.4.0", "cloudpickle": "0.1", "gone": "7"}})
    with pytest.raises(DecodeError, match=r"written with python 3\.4\.0 .*cloudpickle 0\.1 .*gone 7 \(here not imported\)"):
        await store.load("a")


async def test_decode_error_names_the_module_that_is_missing(store):
    await store.save(DecodesInto(ModuleNotFoundError("No module named 'far.off'", name="far.off")), "a")
    with pytest.raises(DecodeError, match=r"No module named 'far\.off'; install the package that has the module 'far', or put it on the path"):
        await store.load("a")


async def test_unknown_format_is_told_when_loading(store, objects):
    from opened import document, forge

    await store.save(1, "a")
    forge(objects, "a", document(objects, "a") | {"format": "tomorrow"})
    with pytest.raises(UnknownFormatError, match="tomorrow"):
        await store.load("a")
    assert (await store.info("a")).format == "tomorrow"


# What is not installed

BLOCKER = """
    import sys

    class Blocker:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in {blocked!r}:
                raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

    sys.meta_path.insert(0, Blocker())
    import aioartifacts
    import aioartifacts.sync
    store = aioartifacts.sync.LocalArtifactStore({root!r}, durability="process")
"""


def run(root, blocked, code):
    script = textwrap.dedent(BLOCKER).format(root=str(root), blocked=blocked) + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


async def test_missing_package_is_told_with_the_pip_line(root):
    import numpy as np

    store = aioartifacts.LocalArtifactStore(root, durability="process")
    await store.save(np.arange(3), "array")
    await store.save([1], "list")
    told = run(
        root,
        ["numpy"],
        """
        assert store.load("list") == [1]
        assert store.info("array").format == "npy"
        try:
            store.load("array")
        except aioartifacts.MissingDependencyError as error:
            assert isinstance(error, ImportError)
            assert (error.path, error.operation) == ("array", "load"), (error.path, error.operation)
            print(error)
        """,
    )
    assert "pip install" in told
    assert "aioartifacts[numpy]" in told


# The back end


async def test_error_of_the_back_end_passes(kind, objects):
    denied = PermissionDeniedError("not allowed; ask", path="a/metadata.json", operation="get")
    faulty = FaultyObjectStore(objects, Fault("get", lambda: denied, times=None))
    with pytest.raises(PermissionError) as caught:
        await over(kind, faulty).load("a")
    assert caught.value is denied


async def test_conflict_while_deleting_is_tried_again(kind, objects):
    await over(kind, objects).save(BIG, "a")
    faulty = FaultyObjectStore(objects, Fault("delete", lambda: ConflictError("changed"), key="a/metadata.json", times=2))
    store = over(kind, faulty, retry=aioartifacts.RetryPolicy(base=0))
    assert await store.delete("a") is True
    assert len(faulty.fired) == 2
    assert keys(objects) == []


async def test_conflict_while_deleting_is_told_after_the_deadline(kind, objects):
    await over(kind, objects).save(BIG, "a")
    before = read(objects, "a/metadata.json")
    faulty = FaultyObjectStore(objects, Fault("delete", lambda: ConflictError("changed", path="a"), times=None))
    with pytest.raises(ConflictError):
        await over(kind, faulty, retry=aioartifacts.RetryPolicy(deadline=0, base=0)).delete("a")
    assert read(objects, "a/metadata.json") == before


class Referring:
    """An object that is loaded from another artifact, which is gone."""


class ReferringMaterializer(Materializer):
    name = "referring"
    format = "referring"
    safe = True

    def __init__(self) -> None:
        self.other = aioartifacts.sync.MemoryArtifactStore()

    def accepts(self, obj: object) -> bool:
        return isinstance(obj, Referring)

    def dump(self, obj: object) -> Dump:
        return Dump([Part("part", Buffers(b"x"))])

    def load(self, parts: Parts) -> object:
        return self.other.load("gone")


@pytest.mark.asyncio
async def test_what_a_materializer_misses_elsewhere_is_no_missing_part(store):
    store.materializers.register(ReferringMaterializer, types=Referring)
    await store.save(Referring(), "x")
    with pytest.raises(DecodeError, match="there is no artifact 'gone'") as caught:
        await store.load("x")
    assert caught.value.path == "x"


# The verb and the path, whatever lies below said


VERBS = {
    "save": lambda store: store.save(BIG, "x/y"),
    "load": lambda store: store.load("x/y"),
    "exists": lambda store: store.exists("x/y"),
    "delete": lambda store: store.delete("x/y"),
    "get_metadata": lambda store: store.get_metadata("x/y"),
    "size": lambda store: store.size("x/y"),
    "info": lambda store: store.info("x/y"),
    "explain": lambda store: store.explain("x/y"),
    "open_part": lambda store: store.open_part("x/y"),
    "save_many": lambda store: store.save_many({"x/y": [1]}, on_error="collect"),
    "load_many": lambda store: store.load_many(["x/y"], on_error="collect"),
    "delete_many": lambda store: store.delete_many(["x/y"], on_error="collect"),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_verb_and_path_of_what_an_object_store_refuses(kind, objects, verb):
    await over(kind, objects).save(1, "x/y")
    broken = FaultyObjectStore(
        objects, Fault("*", lambda: StoreError("broken", path="x/y/metadata.json", operation="get"), key="x/y*", times=None)
    )
    call = VERBS[verb](over(kind, broken))
    if verb.endswith("_many"):
        error = (await call)["x/y"].error
    else:
        with pytest.raises(StoreError, match="broken") as caught:
            await call
        error = caught.value
    assert (error.path, error.operation) == ("x/y", verb)


@pytest.mark.parametrize("root_is", ["a file", "below a file"])
async def test_each_of_many_is_told_when_the_root_is_no_folder(tmp_path, root_is):
    (tmp_path / "file").write_text("")
    store = aioartifacts.LocalArtifactStore(tmp_path / "file" if root_is == "a file" else tmp_path / "file" / "root")
    outcomes = await store.save_many({"a": 1, "b": 2, "c": BIG}, on_error="collect")
    assert {path: (o.error.path, o.error.operation) for path, o in outcomes.items()} == {
        path: (path, "save_many") for path in "abc"
    }
    with pytest.raises(StoreError) as caught:
        await store.validate()
    assert (caught.value.path, caught.value.operation) == (None, "validate")
    with pytest.raises(ArtifactError) as caught:
        await store.list_artifacts()
    assert caught.value.operation == "list_artifacts"


REFUSED = {
    "load": [
        lambda store: store.load("a", as_type=5),
        lambda store: store.load("a", columns="x"),
        lambda store: store.load("a", verify="no"),
    ],
    "save": [lambda store: store.save(1, "a", format=5)],
    "save_many": [lambda store: store.save_many(["a"]), lambda store: store.save_many({"a": 1}, on_error="no")],
    "load_many": [lambda store: store.load_many("a"), lambda store: store.load_many(["a"], on_error="no")],
    "delete_many": [lambda store: store.delete_many("a"), lambda store: store.delete_many(["a"], on_error="no")],
    "materialize_many": [lambda store: store.materialize_many(["a"], "r", "s")],
}


@pytest.mark.parametrize("verb", REFUSED)
async def test_verb_of_arguments_that_make_no_sense(store, verb):
    for call in REFUSED[verb]:
        with pytest.raises(ArtifactError) as caught:
            await call(store)
        assert caught.value.operation == verb
        if verb in ("load", "save"):
            assert caught.value.path == "a"


async def test_verb_of_a_run_that_makes_no_sense(store):
    for run in (store.run, aioartifacts.sync.MemoryArtifactStore().run):
        with pytest.raises(InvalidConfigError) as caught:
            run("r", date="yesterday")
        assert caught.value.operation == "run"
    with pytest.raises(ArtifactError) as caught:
        await store.run("r").load("a/b", "s")
    assert caught.value.operation == "load"


@pytest.mark.parametrize("kind", ["local", "memory"])
async def test_one_failure_of_many_is_told_for_each_of_them(kind, objects):
    """What is put together fails together; each path has an error of its own."""
    cause = OSError("the disk")

    def broken() -> StoreError:
        error = StoreError("broken", path="a/metadata.json", operation="put")
        error.__cause__ = cause
        return error

    store = over(kind, FaultyObjectStore(objects, Fault("put_many", broken, times=None)))
    outcomes = await store.save_many({"a": 1, "b": 2}, on_error="collect")
    assert {path: (o.error.path, o.error.operation, o.error.__cause__) for path, o in outcomes.items()} == {
        path: (path, "save_many", cause) for path in "ab"
    }
