"""Which paths are legal, what is said of the others, and where records and parts lie."""

from __future__ import annotations

from datetime import date

import pytest

from aioartifacts import keys
from aioartifacts.errors import InvalidPathError

REMEDY = "; use relative segments such as 'project/run/name'"
ID = "0123456789abcdef" * 2


class Str(str):
    __slots__ = ()


def refusal(path: object) -> str:
    with pytest.raises(InvalidPathError) as caught:
        keys.check_path(path)  # type: ignore[arg-type]
    assert caught.value.path == (path if type(path) is str else None)
    return caught.value.message


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "it is empty"),
        ("/a", "it is absolute, and not inside this store"),
        ("gs://a/b", "it is a URI, and not of this store"),
        ("a+.-9://b", "it is a URI, and not of this store"),
        ("GS://b", "it is a URI, and not of this store"),
        ("a\ud800", "it contains a lone surrogate"),
        ("x\\y", "it contains a backslash"),
        ("c:x", "it starts with a drive name"),
        ("Z:/x", "it starts with a drive name"),
        ("a\x00b", "it contains '\\x00', a control, format or separator character"),
        ("a\u200eb", "it contains '\\u200e', a control, format or separator character"),
        ("a\u2028b", "it contains '\\u2028', a control, format or separator character"),
        ("a\u2029b", "it contains '\\u2029', a control, format or separator character"),
        ("a//b", "it has an empty segment"),
        ("a/", "it ends in '/', so leave that out"),
        (".", "it contains '.'"),
        ("a/../b", "it contains '..'"),
        ("a/metadata.json", "the segment 'metadata.json' is reserved"),
        ("Metadata.JSON", "the segment 'Metadata.JSON' is reserved"),
        ("metadata.json/a", "the segment 'metadata.json' is reserved"),
        (".aioartifacts/a", "the segment '.aioartifacts' is reserved"),
        ("a/.AIOARTIFACTS", "the segment '.AIOARTIFACTS' is reserved"),
        (".part-", "the segment '.part-' is reserved"),
        ("a/.Parts-x", "the segment '.Parts-x' is reserved"),
        ("a.", "the segment 'a.' ends in a dot or a space, which some systems drop"),
        ("a /b", "the segment 'a ' ends in a dot or a space, which some systems drop"),
        (" a", "the segment ' a' starts with a space, which some systems drop"),
        ("nul", "the segment 'nul' is a device name on Windows"),
        ("a/CON.txt", "the segment 'CON.txt' is a device name on Windows"),
        ("com0/a", "the segment 'com0' is a device name on Windows"),
        ("lpt9.tar.gz", "the segment 'lpt9.tar.gz' is a device name on Windows"),
        ("conin$", "the segment 'conin$' is a device name on Windows"),
        ("CONOUT$", "the segment 'CONOUT$' is a device name on Windows"),
        ("com³", "the segment 'com³' is a device name on Windows"),
        ("lpt0", "the segment 'lpt0' is a device name on Windows"),
        ("x/prn.a/b", "the segment 'prn.a' is a device name on Windows"),
        ("com²", "the segment 'com²' is a device name on Windows"),
        ("aux .x", "the segment 'aux .x' is a device name on Windows"),
    ],
)
def test_refusal_says_why(path: str, reason: str) -> None:
    assert refusal(path) == f"{ascii(path)} is not a legal artifact path: {reason}{REMEDY}"


@pytest.mark.parametrize("path", ["y" * 256, "a/" + "y" * 256, "é" * 128, "a/" + "é" * 128])
def test_segment_too_long(path: str) -> None:
    assert "it has a segment longer than 255 bytes of UTF-8" in refusal(path)


@pytest.mark.parametrize("path", ["/".join(["ab"] * 234), "/".join(["é"] * 234), "a" * 701])
def test_path_too_long(path: str) -> None:
    message = refusal(path)
    assert message.endswith(f": it is longer than 700 bytes of UTF-8{REMEDY}")
    assert "… is not" in message
    assert message.index("…") == 117


def test_shown_in_full_up_to_120_characters() -> None:
    assert refusal("/" + "a" * 117).startswith(f"'/{'a' * 117}' is")
    assert refusal("/" + "a" * 118).startswith(f"'/{'a' * 115}… is")


@pytest.mark.parametrize("path", [None, 1, b"a", Str("a"), ["a"]])
def test_what_is_no_plain_str(path: object) -> None:
    shown = ascii(path) if isinstance(path, str) else repr(type(path))
    assert refusal(path) == f"{shown} is not a legal artifact path: paths are plain str, nothing else{REMEDY}"


def test_forgotten_await_is_asked_after() -> None:
    async def save() -> str:
        return "a"

    path = save()
    assert "paths are plain str, nothing else; is an await missing?" in refusal(path)
    path.close()


@pytest.mark.parametrize(
    "path",
    [
        "a", "A-Z_9", "a/b/c", "éX", "a.b.c/d", "..a", ".a", "a..b", "ab:c", "1:x", "é:x", "a b", "ä/日本", "com", "comX", "lptx", "com10", "console", "nulx.txt",
        "metadata.jsonx", "metadata.json.bak", ".aioartifact", ".part", ".partsx", "x" * 255, "é" * 127,
        "/".join(["ab"] * 233), "/".join(["é"] * 233),
        "a\u00a0b", "+://a".replace("://", ":/"), "9a:b", "a://b".replace("a:", "é:").replace("//", "/"),
    ],
)  # fmt: skip
def test_legal_paths_come_back_as_they_are(path: str) -> None:
    assert keys.check_path(path) is path
    assert keys.check_prefix(path) is path


def test_longest_path() -> None:
    path = "x" * 255 + "/" + "y" * 255 + "/" + "z" * 188
    assert len(path) == 700
    assert keys.check_path(path) == path
    assert "700" in refusal(path + "z")
    accented = "é" * 127 + "/" + "é" * 127 + "/" + "é" * 95
    assert len(accented.encode()) == 700
    assert keys.check_path(accented) == accented
    assert "700" in refusal(accented + "z")


def test_prefix_may_be_empty() -> None:
    assert keys.check_prefix("") == ""
    for odd in ("/", Str(""), None, b""):
        with pytest.raises(InvalidPathError):
            keys.check_prefix(odd)  # type: ignore[arg-type]


def test_segment_is_one_segment() -> None:
    assert keys.check_segment("a.b", "run_id") == "a.b"
    with pytest.raises(InvalidPathError) as caught:
        keys.check_segment("é/b", "run_id")
    assert caught.value.message == "run_id '\\xe9/b' contains '/'; it must be a single path segment"
    assert caught.value.path == "é/b"
    with pytest.raises(InvalidPathError) as caught:
        keys.check_segment("..", "name")
    assert caught.value.message == f"name: '..' is not a legal artifact path: it contains '..'{REMEDY}"
    assert caught.value.path == ".."
    with pytest.raises(InvalidPathError) as caught:
        keys.check_segment(Str("a/b"), "name")
    assert "plain str" in caught.value.message


def test_records_and_their_paths() -> None:
    assert keys.record_key("a/b") == "a/b/metadata.json"
    assert keys.path_of_record("a/b/metadata.json") == "a/b"
    for key in (
        "metadata.json",
        "/metadata.json",
        "a/b",
        "a/Metadata.json",
        "../metadata.json",
        "a/metadata.json/metadata.json",
    ):
        assert keys.path_of_record(key) is None


@pytest.mark.parametrize(
    ("names", "files"),
    [
        (("data.npy",), (f".part-{ID}.data.npy",)),
        (("",), (f".part-{ID}.p0",)),
        (("a/b",), (f".part-{ID}.p0",)),
        (("nul",), (f".part-{ID}.p0",)),
        (("metadata.json",), (f".part-{ID}.p0",)),
        (("a", "b.c"), (f".parts-{ID}/a", f".parts-{ID}/b.c")),
        (("Model.Bin",), (f".part-{ID}.Model.Bin",)),
        (("a", "A"), (f".parts-{ID}/p0", f".parts-{ID}/p1")),
        (("a", "ü", "c"), (f".parts-{ID}/p0", f".parts-{ID}/p1", f".parts-{ID}/p2")),
        (("x" * 100,), (f".part-{ID}.{'x' * 100}",)),
        (("x" * 101,), (f".part-{ID}.p0",)),
        ((), ()),
    ],
)
def test_where_parts_lie(names: tuple[str, ...], files: tuple[str, ...]) -> None:
    assert keys.part_files(ID, names) == files
    assert all(keys.is_part_file(file) for file in files)
    assert [keys.path_of_part(f"a/b/{file}") for file in files] == ["a/b"] * len(files)


@pytest.mark.parametrize(
    "file",
    [
        "", "data", f".part-{ID}", f".part-{ID}.", f".part-{ID}/a", f".part-{ID.upper()}.a", f".part-{ID[1:]}.a", f".parts-{ID}.a",
        f".parts-{ID}/",
        f".parts-{ID}/a/b", f".parts-{ID}/..", f".parts-{ID}/.a", f"../.part-{ID}.a", f".part-{ID}.a.", f".part-{ID}.a\n", f"x.part-{ID}.a",
    ],
)  # fmt: skip
def test_what_is_no_part(file: str) -> None:
    assert not keys.is_part_file(file)
    assert keys.path_of_part(f"a/{file}") is None


def test_parts_of_illegal_paths_are_none() -> None:
    for file in (f".part-{ID}.a", f".parts-{ID}/a"):
        assert keys.path_of_part(file) is None
        assert keys.path_of_part(f"../{file}") is None
        assert keys.path_of_part(f"/{file}") is None
        assert keys.path_of_part(f"a/{file}") == "a"


def test_layout_of_materialized_outputs() -> None:
    day = date(2026, 1, 2)
    assert keys.materialized_path("p", day, "r", "s", "n") == "p/2026-01-02/r/data/s/n"
    for arguments, what in (
        (("/", day, "r", "s", "n"), "project_name"),
        (("p", day, "/", "s", "n"), "run_id"),
        (("p", day, "r", "/", "n"), "step_name"),
        (("p", day, "r", "s", "/"), "name"),
    ):
        with pytest.raises(InvalidPathError, match=f"^{what} '/' contains"):
            keys.materialized_path(*arguments)
    with pytest.raises(InvalidPathError, match="longer than 700"):
        keys.materialized_path("p" * 200, day, "r" * 200, "s" * 200, "n" * 200)
