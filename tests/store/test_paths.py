"""Hostile names: each is refused with `InvalidPathError`, or works and comes back; nothing outside the root is touched."""

from __future__ import annotations

import unicodedata

import pytest
from opened import BIG, everything, keys, tree

from aioartifacts import ArtifactNotFoundError, InvalidPathError, LocalArtifactStore, MemoryArtifactStore

pytestmark = pytest.mark.asyncio


class Str(str):
    __slots__ = ()


REFUSED = [
    # where it would lead
    "", ".", "..", "../outside", "../../outside", "a/../../outside", "a/..", "a/../b", "./a", "a/.", "a/./b", "..\\outside", "a\\b",
    "/", "//", "/outside", "/etc/passwd", "//host/share", "a//b", "a/", "/a/", "a/b/", "~root/../x", "\\\\host\\share", "...", "a/...",
    # other names for places
    "C:", "C:a", "a:b", "C:\\a", "c:/a", "file:///etc/passwd", "file://a", "FILE:///etc/passwd", "gs://bucket/a", "memory://other/a",
    "http://host/a", "s3+x.y-z://a",
    # reserved
    "metadata.json", "a/metadata.json", "a/metadata.json/b", "METADATA.JSON", "a/Metadata.Json", ".aioartifacts", ".aioartifacts/tmp/x",
    "a/.aioartifacts", ".AioArtifacts/x", ".part-", "a/.part-0", "a/.PART-x", "a/.parts-x/y", ".parts-0",
    # what some systems drop, or take for devices
    "a.", "a./b", "a ", "a /b", " a", "a/ b", "a. ", "con", "CON", "Con.txt", "a/nul", "nul.tar.gz", "aux", "prn", "com1", "LPT9.x",
    "com¹", "conin$", "CONOUT$", "nul .txt",
    # characters
    "a\0", "\0", "a\0/../../x", "a\nb", "a\rb", "a\tb", "a\x1bb", "\x7f", "a\x85b", "\u200b", "a\u200db", "a\u202eb", "\ufeffa",
    "a\u2028b", "a\u2029b", "\u2066a", "\ud800", "a\udfff/b", "a\U000e0041b",
    # length
    "x" * 256, "a/" + "x" * 256, "é" * 128, "x" * 701, "/".join(["abc"] * 200), "a" * 100_000, "/" * 5000,
]  # fmt: skip
REFUSED_TYPES = [None, 7, 1.5, b"a", bytearray(b"a"), Str("a"), ["a"], ("a", "b"), {"a": 1}, object(), True]
TAKEN = [
    "a", "A", "a/b/c", "a b", "a.b", ".a", "..a", "...a", "a..b", "~", "~root", "$HOME", "${HOME}", "%2e%2e", "%2e%2e/x", "a%2Fb", "%00",
    "*", "?", "[a]", "a?b#c", "a&b=c", "-rf", "--help", "a;b", "a|b", "`a`", "'a'", '"a"', "<a>", "ab:c", "a,b", "{}", "!a", "@",
    "#", "a+b", "ä", unicodedata.normalize("NFD", "ä"), "ﬁ", "日本語/データ", "🜁", "ß", "SS", "İ", "\u0131", "a\u00a0b", "a\u0301",
    "console", "con_", "aconb", "com", "com10", "null", "metadata", "metadata.json.bak", "xmetadata.json", "part-0", ".partial", ".par",
    "x" * 255, "é" * 127, "/".join(["abc"] * 175), "data.pkl", "index.html", "tmp", "a.meta.json", "1", "0/0", "None",
]  # fmt: skip

assert len(REFUSED) + len(REFUSED_TYPES) + len(TAKEN) > 150


def short(value):
    return ascii(value)[:24].partition(" at 0x")[0]  # the same in every process that collects it


@pytest.fixture
def surroundings(tmp_path):
    """What lies around the root, which a name might reach."""
    for name in ("outside", "metadata.json", "x", "b", "a"):
        (tmp_path / name).write_bytes(b"not yours")
    (tmp_path / "sibling").mkdir()
    (tmp_path / "sibling" / "metadata.json").write_bytes(b"not yours")
    (tmp_path / "root-not").mkdir()

    def look():
        return {name: content for name, content in tree(tmp_path).items() if not name.startswith("root/") and name != "root"}

    before = look()
    yield
    assert look() == before


async def refuse_everywhere(store, path):
    """Every verb that takes a path."""
    calls = {
        "save": lambda: store.save(b"x", path),
        "save big": lambda: store.save(BIG, path),
        "save new": lambda: store.save(b"x", path, overwrite=False),
        "load": lambda: store.load(path),
        "exists": lambda: store.exists(path),
        "delete": lambda: store.delete(path),
        "size": lambda: store.size(path),
        "get_metadata": lambda: store.get_metadata(path),
        "info": lambda: store.info(path),
        "delete_tree": lambda: store.delete_tree(path),
    }
    if path != "":
        calls["list_artifacts"] = lambda: store.list_artifacts(path)
    for verb, call in calls.items():
        with pytest.raises(InvalidPathError) as caught:
            await call()
        assert caught.value.operation == verb.split()[0], verb
        assert len(str(caught.value)) < 6000
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("path", REFUSED, ids=short)
async def test_refused(store, objects, surroundings, path):
    before = await saved(store, objects)
    await refuse_everywhere(store, path)
    assert everything(objects) == before


@pytest.mark.parametrize("path", REFUSED_TYPES, ids=short)
async def test_refused_for_its_type(store, objects, surroundings, path):
    before = await saved(store, objects)
    await refuse_everywhere(store, path)
    assert everything(objects) == before


async def saved(store, objects):
    await store.save(b"mine", "here/first")
    await store.save(BIG, "here/second")
    return everything(objects)


@pytest.mark.parametrize("path", TAKEN, ids=short)
async def test_taken_literally(store, objects, surroundings, path):
    location = await store.save(BIG, path, {"path": path})
    assert await store.load(path) == await store.load(location) == BIG
    assert await store.exists(path)
    assert await store.size(path) == len(BIG)
    assert await store.get_metadata(path) == {"path": path}
    assert (await store.info(location)).path == path
    assert await store.list_artifacts() == await store.list_artifacts(path) == [path]
    assert all(key.startswith(f"{path}/") for key in keys(objects))
    assert await store.delete(location) is True
    assert keys(objects) == []


async def test_all_of_them_side_by_side(store):
    """Nothing is folded or normalised: each is an artifact of its own."""
    paths = [path for path in TAKEN if len(path) < 200]
    await store.save_many({path: path for path in paths})
    assert await store.list_artifacts() == sorted(paths)
    assert await store.load_many(paths) == {path: path for path in paths}


async def test_bulk_verbs_refuse_one_by_one(store, objects, surroundings):
    saved = await store.save_many(dict.fromkeys([*REFUSED, "good"], BIG), on_error="collect")
    assert [path for path, outcome in saved.items() if outcome.ok] == ["good"]
    for verb in (store.load_many, store.delete_many):
        outcomes = await verb([*REFUSED, "good"], on_error="collect")
        assert outcomes.pop("good").ok
        assert {type(outcome.error) for outcome in outcomes.values()} == {InvalidPathError}
    assert keys(objects) == []


@pytest.mark.parametrize(
    "suffix",
    ["/..", "/../sibling", "/a/../../sibling", "/./a", "//a", "/a/", "-not/a", "/.aioartifacts/x", "/a/metadata.json", "/a\0", "/.part-x"],
)
@pytest.mark.parametrize("uri", [False, True])
async def test_location_that_leads_elsewhere_is_refused(root, surroundings, suffix, uri):
    store = LocalArtifactStore(root, durability="process")
    await store.save(b"mine", "a")
    before = tree(root)
    await refuse_everywhere(store, (root.as_uri() if uri else str(root)) + suffix)
    assert tree(root) == before


@pytest.mark.parametrize(
    "uri",
    [
        "file:///{root}/%2e%2e/sibling",
        "file:///{root}/a%2f..%2f..%2fsibling",
        "file:///{root}/a%00",
        "file://otherhost/{root}/a",
        "file:///{root}/a?x",
        "file:///{root}/a#x",
        "http://localhost/{root}/a",
        "file:///{root}%2Fsibling%2F..%2F..%2Fsibling",
    ],
)
async def test_uri_that_leads_elsewhere_is_refused(root, surroundings, uri):
    store = LocalArtifactStore(root, durability="process")
    await store.save(b"mine", "a")
    before = tree(root)
    path = uri.format(root=str(root).lstrip("/"))
    for call in (store.load, store.exists, store.delete, store.delete_tree, store.list_artifacts):
        with pytest.raises(InvalidPathError):
            await call(path)
    with pytest.raises(InvalidPathError):
        await store.save(1, path)
    assert tree(root) == before


async def test_location_of_another_store_is_refused(tmp_path):
    here, there = LocalArtifactStore(tmp_path / "here"), LocalArtifactStore(tmp_path / "there")
    location = await there.save(1, "a")
    for path in (location, await MemoryArtifactStore(name="m").save(1, "a")):
        with pytest.raises(InvalidPathError, match="not inside"):
            await here.load(path)
    with pytest.raises(InvalidPathError, match="not inside"):
        await MemoryArtifactStore(name="n").load("memory://m/a")


@pytest.mark.parametrize("location", ["root itself", "uri"])
async def test_location_of_the_store_is_no_artifact(root, location):
    store = LocalArtifactStore(root, durability="process")
    await store.save(1, "a")
    path = str(root) if location == "root itself" else root.as_uri()
    for call in (store.load, store.delete, store.exists, lambda path: store.save(1, path)):
        with pytest.raises(InvalidPathError, match="empty"):
            await call(path)
    assert await store.list_artifacts() == ["a"]


# Folders and files in the way


async def test_link_out_of_the_root_is_not_followed(root, surroundings, tmp_path):
    store = LocalArtifactStore(root, durability="process")
    await store.save(1, "a")
    (root / "link").symlink_to(tmp_path / "sibling", target_is_directory=True)
    with pytest.raises(ArtifactNotFoundError):
        await store.load("link")
    assert await store.exists("link") is False
    assert await store.delete("link") is False
    assert await store.list_artifacts() == ["a"]
    with pytest.raises(Exception, match="link") as caught:
        await store.save(BIG, "link")
    assert type(caught.value).__module__ == "aioartifacts.errors"


async def test_link_as_record_is_not_followed(root, surroundings, tmp_path):
    store = LocalArtifactStore(root, durability="process")
    await store.save(BIG, "a")
    record = root / "a" / "metadata.json"
    (tmp_path / "elsewhere.json").write_bytes(record.read_bytes())
    before = (tmp_path / "elsewhere.json").read_bytes()
    record.unlink()
    record.symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(ArtifactNotFoundError):
        await store.load("a")
    with pytest.raises(Exception, match="move it away") as caught:
        await store.save(b"new", "a")
    assert type(caught.value).__module__ == "aioartifacts.errors"
    assert (tmp_path / "elsewhere.json").read_bytes() == before
    (tmp_path / "elsewhere.json").unlink()


async def test_root_that_is_a_link_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real", target_is_directory=True)
    store = LocalArtifactStore(tmp_path / "link", durability="process")
    location = await store.save(1, "a")
    assert await store.load(location) == 1
    assert (tmp_path / "real" / "a" / "metadata.json").is_file()
