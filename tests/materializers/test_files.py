"""Files and folders come back as they were, in a place of their own, and nothing is written beside it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from parts import load, roundtrip, written

from aioartifacts.errors import EncodeError
from aioartifacts.materializers.base import Declined
from aioartifacts.materializers.files import FileMaterializer, FolderMaterializer

FILE = FileMaterializer()
FOLDER = FolderMaterializer()


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where loaded files go; nothing but what was returned may be there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    for found, _, _ in os.walk(folder):
        os.chmod(found, 0o700)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def tree(root: Path) -> dict[str, tuple[str, int, bytes | None]]:
    """Everything under a folder: kind, permissions, content."""
    found = {}
    for path in sorted([root, *root.rglob("*")]):
        mode = path.lstat().st_mode
        content = path.read_bytes() if stat.S_ISREG(mode) else None
        found[str(path.relative_to(root))] = (stat.filemode(mode)[0], stat.S_IMODE(mode), content)
    return found


def test_file_keeps_name_content_and_permissions(source: Path) -> None:
    path = source / "model.bin"
    path.write_bytes(b"\0\1" * 1_000_000)
    path.chmod(0o750)
    back = roundtrip(FILE, path, trusted=False)
    assert type(back) is type(path)
    assert back.name == "model.bin"
    assert tree(back.parent)["model.bin"] == ("-", 0o750, path.read_bytes())


def test_loaded_file_is_in_a_private_folder_of_its_own(source: Path, temporary: Path) -> None:
    (source / "x").write_bytes(b"1")
    first, second = roundtrip(FILE, source / "x"), roundtrip(FILE, source / "x")
    assert first.parent != second.parent
    assert first.parent.parent == temporary
    assert stat.S_IMODE(first.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["ä b.txt", ".hidden", "a\nb", "..x", "-", "con", "a\\b", "x" * 255, os.fsdecode(b"\xff\xfe")])
def test_any_legal_name_is_kept(source: Path, name: str) -> None:
    (source / name).write_bytes(b"1")
    assert roundtrip(FILE, source / name).name == name
    assert [path.name for path in roundtrip(FOLDER, source).iterdir()] == [name]


def test_setuid_is_not_kept(source: Path) -> None:
    path = source / "tool"
    path.write_bytes(b"#!")
    path.chmod(0o4755)
    assert stat.S_IMODE(roundtrip(FILE, path).stat().st_mode) == 0o755
    data = written(FILE.dump(path))
    back = load(FILE, data, {"name": b"tool".hex(), "mode": 0o6777})
    assert stat.S_IMODE(back.stat().st_mode) == 0o777


def test_folder_keeps_files_empty_folders_and_permissions(source: Path) -> None:
    (source / "a" / "b").mkdir(parents=True)
    (source / "empty").mkdir()
    (source / "a" / "b" / "deep.txt").write_text("deep")
    (source / "a" / "same.txt").write_text("1")
    (source / "same.txt").write_text("2")
    (source / "nothing").write_bytes(b"")
    (source / "nothing").chmod(0o400)
    (source / "a" / "b").chmod(0o500)
    (source / "empty").chmod(0o701)
    source.chmod(0o750)
    expected = tree(source)
    back = roundtrip(FOLDER, source, trusted=False)
    assert back.name == "source"
    assert tree(back) == expected
    (source / "a" / "b").chmod(0o700)


def test_empty_folder(source: Path) -> None:
    back = roundtrip(FOLDER, source)
    assert back.is_dir()
    assert list(back.iterdir()) == []


def test_parts_are_in_sorted_order_and_bear_plain_names(source: Path) -> None:
    for name in ("b/z", "b/a", "ä.bin", "a"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(name)
    dump = FOLDER.dump(source)
    assert [part.name for part in dump.parts] == ["manifest.json", "0-a", "1-bin", "2-a", "3-z"]
    assert dump.meta == {}


def test_relative_path_of_the_current_folder_has_its_real_name(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(source)
    assert roundtrip(FOLDER, Path()).name == "source"


def test_thousands_of_files(source: Path) -> None:
    for n in range(2000):
        (source / f"{n}.txt").write_text(str(n))
    assert tree(roundtrip(FOLDER, source)) == tree(source)


@pytest.mark.parametrize("where", ["", "inner"])
def test_links_are_refused(source: Path, where: str) -> None:
    (source / "real").write_text("x")
    (source / "inner").mkdir()
    link = source / where / "link"
    link.symlink_to(source / "real")
    with pytest.raises(Declined, match="symbolic link"):
        FILE.dump(link)
    with pytest.raises(Declined, match="symbolic link"):
        FOLDER.dump(source)


def test_link_to_a_folder_is_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(source)
    with pytest.raises(Declined, match="symbolic link"):
        FOLDER.dump(tmp_path / "link")


def test_special_files_are_refused(source: Path) -> None:
    os.mkfifo(source / "pipe")
    with pytest.raises(Declined, match="named pipe"):
        FILE.dump(source / "pipe")
    with pytest.raises(Declined, match="named pipe"):
        FOLDER.dump(source)
    (source / "pipe").unlink()
    short = tempfile.mkdtemp(dir="/tmp")
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(f"{short}/s")
            with pytest.raises(Declined, match="socket"):
                FOLDER.dump(Path(short))
    finally:
        shutil.rmtree(short)


def test_folder_is_no_file_and_file_no_folder(source: Path) -> None:
    (source / "x").write_text("x")
    with pytest.raises(Declined, match="a folder"):
        FILE.dump(source)
    with pytest.raises(Declined, match="a regular file"):
        FOLDER.dump(source / "x")


def test_missing_file_is_said(source: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FILE.dump(source / "nope")


@pytest.mark.parametrize("change", ["grow", "shrink", "rewrite", "replace", "link"])
def test_file_that_changes_while_it_is_saved_is_an_error(source: Path, change: str) -> None:
    path = source / "x"
    path.write_bytes(b"12345")
    dump = FILE.dump(path)
    if change in ("grow", "shrink"):
        path.write_bytes(b"123456" if change == "grow" else b"1")
    elif change == "rewrite":
        path.write_bytes(b"54321")
        os.utime(path, ns=(1, 1))
    else:
        path.rename(source / "old")
        path.write_bytes(b"12345") if change == "replace" else path.symlink_to(source / "old")
    with pytest.raises((EncodeError, OSError)):
        written(dump)


def test_file_that_grows_while_it_is_read_is_an_error(source: Path) -> None:
    path = source / "x"
    path.write_bytes(b"1" * (3 << 20))
    (part,) = FILE.dump(path).parts

    class Growing:
        def write(self, data: Any) -> None:
            with path.open("ab") as file:
                file.write(b"more")

    with pytest.raises(EncodeError, match="changed"):
        part.body.write_to(Growing())


@pytest.mark.parametrize("name", ["../x", "/x", "..", ".", "", "a/b", "a\0b"])
def test_hostile_file_name_is_refused(temporary: Path, name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        load(FILE, {"x": b"1"}, {"name": name.encode().hex(), "mode": 0o644})
    assert list(temporary.iterdir()) == []


def manifest(**changes: Any) -> bytes:
    plain = {"name": "f", "mode": 0o755, "folders": [["d", 0o755]], "files": [["d/x", 0o644, "0-x"]]}
    return json.dumps({**plain, **changes}).encode()


HOSTILE: list[dict[str, Any]] = [
    {"name": ".."},
    {"name": "/tmp/x"},
    {"name": "a/b"},
    {"name": 5},
    {"mode": "rwx"},
    {"files": [["../x", 0o644, "0-x"]]},
    {"files": [["/x", 0o644, "0-x"]]},
    {"files": [["//x", 0o644, "0-x"]]},
    {"files": [["d/../x", 0o644, "0-x"]]},
    {"files": [["d//x", 0o644, "0-x"]]},
    {"files": [["d/", 0o644, "0-x"]]},
    {"files": [["d/x\0", 0o644, "0-x"]]},
    {"files": [["nowhere/x", 0o644, "0-x"]]},
    {"files": [["d", 0o644, "0-x"]]},
    {"files": [["x", 0o644, "0-x"], ["x", 0o644, "0-x"]]},
    {"files": [["x", 0o644, "other"]]},
    {"files": [["x", 0o644, "manifest.json"]]},
    {"files": [["x", 0o644]]},
    {"files": [[5, 0o644, "0-x"]]},
    {"files": None},
    {"folders": [["d/e", 0o755], ["d", 0o755]]},
    {"folders": [["d", 0o755], ["d", 0o755]]},
    {"folders": [["..", 0o755]]},
]


@pytest.mark.parametrize("changes", HOSTILE, ids=lambda changes: json.dumps(changes)[:50])
def test_hostile_manifest_is_refused_before_anything_is_written(temporary: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        load(FOLDER, {"manifest.json": manifest(**changes), "0-x": b"1"})
    assert list(temporary.iterdir()) == []


def test_plain_manifest_is_accepted() -> None:
    assert (load(FOLDER, {"manifest.json": manifest(), "0-x": b"1"}) / "d" / "x").read_bytes() == b"1"


def test_failed_load_leaves_nothing(temporary: Path) -> None:
    class Broken(dict[str, bytes]):
        def __getitem__(self, name: str) -> bytes:
            if name == "0-x":
                raise OSError("gone")
            return super().__getitem__(name)

    with pytest.raises(OSError, match="gone"):
        load(FOLDER, Broken({"manifest.json": manifest(), "0-x": b"1"}))
    assert list(temporary.iterdir()) == []


def test_only_paths_are_accepted() -> None:
    for materializer in (FILE, FOLDER):
        assert materializer.accepts(Path("x"))
        assert not materializer.accepts("x")


def test_summary(source: Path) -> None:
    (source / "x").write_bytes(b"123")
    assert FILE.summary(source / "x") == {"name": "x", "size": 3}
    assert FOLDER.summary(source) == {"name": "source"}
