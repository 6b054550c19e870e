"""The verbs over one artifact: what they answer, and what they leave."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from opened import BIG, KINDS, beneath, keys, over

import aioartifacts.sync
from aioartifacts import (
    ArtifactExistsError,
    ArtifactNotFoundError,
    ArtifactStore,
    DecodeError,
    EncodeError,
    InvalidConfigError,
    Limits,
    LocalArtifactStore,
    Materializer,
    MemoryArtifactStore,
    RetryPolicy,
    UnknownFormatError,
    open_store,
)

pytestmark = pytest.mark.asyncio


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


async def test_what_was_saved_is_loaded(store):
    await store.save({"a": (1, 2)}, "experiments/first")
    assert await store.load("experiments/first") == {"a": (1, 2)}


async def test_what_is_too_big_for_the_record_is_loaded(store, objects):
    await store.save(BIG, "a")
    assert await store.load("a") == BIG
    assert len(keys(objects)) == 2


async def test_small_artifact_is_one_object(store, objects):
    await store.save(b"small", "a/b")
    assert keys(objects) == ["a/b/metadata.json"]


@pytest.mark.parametrize("size", [0, 1, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1])
async def test_payloads_around_the_inline_limit(store, objects, size):
    await store.save(b"x" * size, "a")
    assert await store.load("a") == b"x" * size
    assert await store.size("a") == size
    assert len(keys(objects)) == (1 if size <= 16 * 1024 else 2)


async def test_inline_max_is_an_option(opened, objects):
    await opened(inline_max=0).save(b"x", "a")
    assert len(keys(objects)) == 2
    await opened(inline_max=1 << 20).save(BIG, "a")
    assert keys(objects) == ["a/metadata.json"]


async def test_returned_location_is_accepted_by_every_verb(store):
    location = await store.save([1], "a b/ö", {"n": 1})
    assert await store.load(location) == [1]
    assert await store.exists(location)
    assert await store.get_metadata(location) == {"n": 1}
    assert await store.size(location) > 0
    assert (await store.info(location)).path == "a b/ö"
    assert (await store.info(location)).location == location
    assert await store.list_artifacts(location) == ["a b/ö"]
    assert await store.save([2], location) == location
    assert await store.load_many([location]) == {location: [2]}
    assert await store.delete(location) is True
    assert not await store.exists("a b/ö")


async def test_location_on_disk_is_an_absolute_path_that_exists(root):
    location = await LocalArtifactStore(root, durability="process").save(1, "a/b")
    assert location == str(root / "a" / "b")
    assert (root / "a" / "b" / "metadata.json").is_file()


async def test_file_uri_is_a_location(root):
    store = LocalArtifactStore(root, durability="process")
    location = await store.save(1, "ä b/c%20d")
    uri = (root / "ä b" / "c%20d").as_uri()
    assert uri != location
    assert await store.load(uri) == 1


async def test_relative_base_path_gives_locations_that_outlive_a_change_of_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = LocalArtifactStore("artifacts", durability="process")
    location = await store.save(1, "a")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert await store.load(location) == await store.load("a") == 1


async def test_missing_artifact(store):
    assert await store.exists("a") is False
    assert await store.delete("a") is False
    assert await store.size("a") == 0
    assert await store.get_metadata("a") is None
    with pytest.raises(ArtifactNotFoundError, match="list_artifacts"):
        await store.load("a")
    with pytest.raises(ArtifactNotFoundError):
        await store.info("a")


async def test_folder_of_artifacts_is_no_artifact(store):
    await store.save(1, "a/b")
    assert await store.exists("a") is False
    assert await store.size("a") == 0
    assert await store.delete("a") is False
    with pytest.raises(ArtifactNotFoundError):
        await store.load("a")
    assert await store.load("a/b") == 1


async def test_artifact_may_have_artifacts_below_it(store):
    await store.save("above", "a")
    await store.save("below", "a/b")
    assert (await store.load("a"), await store.load("a/b")) == ("above", "below")


async def test_delete_answers_whether_there_was_one(store):
    await store.save(1, "a")
    assert await store.delete("a") is True
    assert await store.delete("a") is False


async def test_info_tells_everything(store):
    before = datetime.now(UTC) - timedelta(seconds=1)
    array = np.arange(6.0).reshape(2, 3)
    location = await store.save(array, "x/y", {"k": [1, None]})
    info = await store.info("x/y")
    assert (info.path, info.location, info.type, info.format) == ("x/y", location, "numpy.ndarray", "npy")
    assert (info.parts, info.safe, info.signed) == (1, True, False)
    assert info.size == await store.size("x/y") >= 48
    assert info.metadata == {"k": [1, None]}
    assert info.summary["shape"] == [2, 3]
    assert info.environment["numpy"] == np.__version__
    assert info.producer == {}
    assert info.created is not None
    assert before < info.created < datetime.now(UTC) + timedelta(seconds=1)


async def test_info_says_what_can_run_code(store):
    await store.save(Point(1), "p")
    info = await store.info("p")
    assert (info.format, info.safe) == ("pickle", False)
    assert info.type.endswith(".Point")


async def test_load_checks_the_type(store):
    await store.save({"a": 1}, "a")
    assert await store.load("a", dict) == {"a": 1}
    with pytest.raises(DecodeError, match=r"holds a builtins\.dict, not a list") as caught:
        await store.load("a", list)
    assert (caught.value.path, caught.value.operation) == ("a", "load")


async def test_load_takes_only_what_can_be_a_type(store):
    await store.save({"a": 1}, "a")
    with pytest.raises(InvalidConfigError, match="as_type"):
        await store.load("a", dict[str, int])


async def test_format_can_be_chosen(store):
    await store.save({"a": 1}, "a", format="pickle")
    assert (await store.info("a")).format == "pickle"
    assert await store.load("a") == {"a": 1}


async def test_format_that_cannot_hold_the_object_is_refused(store, objects):
    with pytest.raises(EncodeError, match="npy"):
        await store.save({"a": 1}, "a", format="npy")
    assert keys(objects) == []


async def test_unknown_format_is_refused(store, objects):
    with pytest.raises(UnknownFormatError, match="nonsense"):
        await store.save(1, "a", format="nonsense")
    assert keys(objects) == []


async def test_own_materializer_is_used(store):
    store.materializers.register(PointMaterializer, types=Point)
    await store.save(Point(7), "p")
    assert (await store.info("p")).format == "point"
    assert (await store.load("p", Point)).x == 7


async def test_validate(store):
    assert await store.validate() is True


async def test_store_is_usable_after_it_was_closed(store):
    async with store as same:
        assert same is store
        await store.save(1, "a")
    assert await store.load("a") == 1
    await store.aclose()


@pytest.mark.parametrize("trust", ["data", "all"])
async def test_to_dict_is_the_configuration(root, trust):
    store = LocalArtifactStore(root, name="mine", trust=trust)
    assert store.to_dict() == {"name": "mine", "type": "local", "base_path": str(root), "durability": "full"}


async def test_name_in_to_dict_is_the_store_s():
    assert ArtifactStore(beneath("memory", None), name="mine").to_dict()["name"] == "mine"


async def test_repr_says_where():
    assert repr(MemoryArtifactStore(name="m")) == "MemoryArtifactStore('memory://m')"
    assert repr(aioartifacts.sync.MemoryArtifactStore(name="m")) == "sync.MemoryArtifactStore('memory://m')"


# Configuration


@pytest.mark.parametrize(
    "options",
    [
        {"trust": "some"},
        {"trust": "signed"},
        {"trusts": "all"},
        {"signing_key": b"short"},
        {"signing_key": "k" * 32},
        {"verification_keys": (b"k" * 32,)},
        {"signing_key": b"k" * 32, "verification_keys": (b"short",)},
        {"inline_max": -1},
        {"inline_max": 1.5},
        {"inline_max": True},
        {"limits": Limits(transfers=0)},
        {"limits": Limits(workers=0)},
        {"limits": Limits(memory=0)},
        {"limits": Limits(memory=1.5)},  # type: ignore[arg-type]
        {"limits": 4},
        {"retry": 4},
    ],
)
async def test_nonsense_is_refused_at_once(options):
    with pytest.raises(InvalidConfigError):
        MemoryArtifactStore(**options)


async def test_small_limits_are_enough(kind, objects):
    store = over(kind, objects, limits=Limits(transfers=1, workers=1, memory=1))
    paths = await store.save_many({f"p{i}": BIG for i in range(4)})
    assert await store.load_many(paths) == dict.fromkeys(paths, BIG)


# Pickling


async def test_local_store_pickles_as_its_configuration(root):
    store = LocalArtifactStore(root, name="n", durability="process", trust="data", retry=RetryPolicy(deadline=1))
    await store.save(1, "a")
    again = pickle.loads(pickle.dumps(store))
    assert type(again) is LocalArtifactStore
    assert (again.to_dict(), again.base_path) == (store.to_dict(), store.base_path)
    assert again._config.trust == "data"
    assert again._config.retry == RetryPolicy(deadline=1)
    assert await again.load("a") == 1


async def test_facade_pickles_as_its_configuration(root):
    store = aioartifacts.sync.LocalArtifactStore(root, durability="process")
    again = pickle.loads(pickle.dumps(store))
    assert type(again) is aioartifacts.sync.LocalArtifactStore
    assert again.base_path == str(root)


async def test_registered_materializers_are_pickled_with_the_store(root):
    store = LocalArtifactStore(root, durability="process")
    store.materializers.register(PointMaterializer, types=Point)
    await store.save(Point(7), "p")
    again = pickle.loads(pickle.dumps(store))
    assert (await again.load("p")).x == 7


async def test_run_pickles_with_its_store(root):
    run = LocalArtifactStore(root, durability="process").run("r1", "churn", date="2026-11-20")
    await run.materialize(1, "n", "s")
    again = pickle.loads(pickle.dumps(run))
    assert (again.path("n", "s"), await again.load("n", "s")) == (run.path("n", "s"), 1)


@pytest.mark.parametrize("duplicate", [lambda store: pickle.loads(pickle.dumps(store)), copy.deepcopy])
async def test_memory_store_is_not_pickled(duplicate):
    with pytest.raises(InvalidConfigError, match="memory"):
        duplicate(MemoryArtifactStore())


# open_store


async def test_open_store_by_url(root):
    assert type(open_store(root)) is type(open_store(str(root))) is type(open_store(root.as_uri())) is LocalArtifactStore
    assert open_store(root.as_uri(), durability="process").to_dict()["base_path"] == str(root)
    assert type(open_store("memory://")) is MemoryArtifactStore
    assert open_store("memory://x").name == "x"
    assert type(aioartifacts.sync.open_store("memory://")) is aioartifacts.sync.MemoryArtifactStore
    assert type(aioartifacts.sync.open_store(root)) is aioartifacts.sync.LocalArtifactStore


@pytest.mark.parametrize("url", ["", "nonsense://x", "http://example.invalid/x"])
async def test_nonsense_is_no_store(url):
    with pytest.raises(InvalidConfigError):
        open_store(url)


async def test_kinds_are_what_the_tests_think(kind, store):
    assert kind in KINDS
    assert (await store.save(1, "a")).startswith("memory://" if kind in ("memory", "async") else "/")


async def test_create_only_save_refuses_what_exists(store):
    await store.save(1, "a")
    with pytest.raises(ArtifactExistsError):
        await store.save(2, "a", overwrite=False)


class Point:
    def __init__(self, x):
        self.x = x


class PointMaterializer(Materializer):
    name = "point"
    format = "point"
    safe = True

    def accepts(self, obj):
        return type(obj) is Point

    def dump(self, obj):
        return aioartifacts.Dump([aioartifacts.Part("x.txt", aioartifacts.Buffers(str(obj.x).encode()))])

    def load(self, parts):
        return Point(int(bytes(parts.read("x.txt"))))
