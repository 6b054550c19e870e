"""What can be seen of an artifact without decoding it, on every store and in both colours."""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

import aioartifacts as aa
from aioartifacts.previews import PREVIEW_MAX
from aioartifacts.sync import LocalArtifactStore, MemoryArtifactStore


def previewed(obj: object, **options: Any) -> Mapping[str, Any]:
    store = MemoryArtifactStore(**options)
    store.save(obj, "a")
    return store.info("a").preview


SHOWN: dict[str, tuple[object, dict[str, object]]] = {
    "frame": (
        pd.DataFrame({"a": range(9), "b": list("abcdefghi")}),
        {"columns": ["a", "b"], "rows": [[str(n), "abcde"[n]] for n in range(5)]},
    ),
    "wide frame": (pd.DataFrame(np.zeros((1, 900))), {"columns": [str(n) for n in range(20)], "rows": [["0.0"] * 20]}),
    "series": (pd.Series([1.5, None]), {"text": "[1.5, nan]"}),
    "index": (pd.Index(range(30)), {"text": f"[{', '.join(map(str, range(12)))}, …]"}),
    "polars": (pl.DataFrame({"a": [1], "l": [[1, 2]]}), {"columns": ["a", "l"], "rows": [["1", "list of 2"]]}),
    "arrow": (pa.table({"a": [None, "x" * 100]}), {"columns": ["a"], "rows": [["None"], ["x" * 80 + "…"]]}),
    "array": (np.arange(100).reshape(10, 10).T, {"text": "[0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 1, 11, …]"}),
    "zero dimensions": (np.array(3.5), {"text": "3.5"}),
    "tensor": (
        torch.arange(40.0).reshape(2, 20),
        {"text": "[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, …]"},
    ),
    "state": ({"w": torch.ones(2, 3), "n": 1}, {"text": "{w: tensor (2, 3), n: 1}"}),
    "text": ("ä" * 1000, {"text": "ä" * 500 + "…"}),
    "dict": ({"a": 1, "b": [1, 2], 3: {"x": 1}}, {"text": "{a: 1, b: list of 2, 3: dict of 1}"}),
    "list": ([1, "x"], {"text": "[1, x]"}),
    "surrogate": ("\ud800", {"text": "\\ud800"}),
    "nothing": (None, {}),
}


@pytest.mark.parametrize("name", SHOWN)
def test_preview(name: str) -> None:
    obj, shown = SHOWN[name]
    assert previewed(obj) == shown


def test_image_has_a_thumbnail() -> None:
    preview = previewed(Image.new("CMYK", (800, 400), (0, 255, 255, 0)))
    with Image.open(BytesIO(base64.b64decode(preview["png"]))) as picture:
        assert picture.size == (128, 64)
        assert picture.getpixel((5, 5)) == (255, 0, 0)


@pytest.mark.parametrize("obj", [Image.new("RGB", (8, 8)), Figure(figsize=(1, 1))], ids=["small image", "figure"])
def test_picture_among_the_parts_is_named(obj: object) -> None:
    store = MemoryArtifactStore()
    store.save(obj, "a")
    part = store.info("a").preview["part"]
    assert isinstance(part, str)
    with store.open_part("a", part) as stream:
        assert stream.read(8) == b"\x89PNG\r\n\x1a\n"


def test_summary_is_apart_from_the_preview() -> None:
    store = MemoryArtifactStore()
    store.save([1, 2], "a")
    assert store.info("a").summary == {"length": 2}


def test_previews_can_be_turned_off() -> None:
    assert previewed([1, 2], previews=False) == {}


def test_record_is_loaded_by_one_without_previews(tmp_path: Path) -> None:
    LocalArtifactStore(tmp_path).save([1, 2], "a")
    with LocalArtifactStore(tmp_path, previews=False) as store:
        assert store.load("a") == [1, 2]
        assert store.info("a").preview == {"text": "[1, 2]"}


class Thing:
    pass


class Things(aa.Materializer):
    name = format = "thing"
    safe = True
    told: Any = None

    def accepts(self, obj: object) -> bool:
        return type(obj) is Thing

    def dump(self, obj: object) -> aa.Dump:
        return aa.Dump([aa.Part("t.bin", aa.Buffers(b"t"))])

    def load(self, parts: aa.Parts) -> object:
        return Thing()

    def preview(self, obj: object) -> Any:
        return self.told()

    summary = preview


def fails() -> Any:
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (fails, "SystemExit"),
        (lambda: {"x": object()}, "TypeError"),
        (lambda: {"text": "x" * PREVIEW_MAX}, "65547 bytes"),
        (lambda: 3, "TypeError"),
    ],
)
def test_what_fails_is_left_out_and_logged_and_the_save_succeeds(
    told: Any, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    materializer = Things()
    materializer.told = told
    store = MemoryArtifactStore()
    store.materializers.register(materializer, types=Thing)
    with caplog.at_level(logging.WARNING, "aioartifacts"):
        store.save(Thing(), "a")
    info = store.info("a")
    assert (info.summary, info.preview) == ({}, {})
    assert [("preview" in record.getMessage(), said in record.getMessage()) for record in caplog.records] == [
        (False, True),
        (True, True),
    ]
    assert type(store.load("a")) is Thing


def test_part_that_is_not_there_is_not_named() -> None:
    materializer = Things()
    materializer.told = lambda: {"part": "other.png"}
    store = MemoryArtifactStore()
    store.materializers.register(materializer, types=Thing)
    store.save(Thing(), "a")
    assert store.info("a").preview == {}
