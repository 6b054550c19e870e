"""Pillow images come back with the same class, mode, pixels, palette and info."""

from __future__ import annotations

from base64 import b64decode
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from parts import load, roundtrip, through_record, written
from PIL import Image

from aioartifacts.errors import EncodeError
from aioartifacts.materializers.base import Declined
from aioartifacts.materializers.pillow import ImageMaterializer

PILLOW = ImageMaterializer()
MODES = [
    "1",
    "L",
    "LA",
    "La",
    "P",
    "PA",
    "RGB",
    "RGBA",
    "RGBa",
    "RGBX",
    "CMYK",
    "YCbCr",
    "LAB",
    "HSV",
    "I",
    "F",
    "I;16",
    "I;16B",
    "I;16L",
]


def noise(mode: str, size: tuple[int, int] = (7, 5)) -> Any:
    empty = Image.new(mode, size)
    random = np.random.default_rng(7)
    data = random.integers(0, 256, len(empty.tobytes()), dtype="u1").tobytes()
    if mode == "F":
        data = random.normal(size=size).astype("f4").tobytes()
    image = Image.frombytes(mode, size, data)
    if mode in ("P", "PA"):
        image.putpalette(bytes(range(256)) * 3)
    return image


def with_info() -> Any:
    image = noise("RGB")
    image.info = {"dpi": (72, 72.009), "icc_profile": b"\0\xff" * 1000, "Comment": "ä", "gamma": 0.45455}
    return image


def transparent() -> Any:
    image = noise("P")
    image.info["transparency"] = bytes(range(40))
    return image


def short_palette() -> Any:
    image = noise("P")
    image.putpalette(bytes(range(16)), "RGBA")
    return image


def opened(format: str, mode: str = "RGB", **options: Any) -> Any:
    target = BytesIO()
    noise(mode, (20, 11)).save(target, format, **options)
    return Image.open(BytesIO(target.getvalue()))


IMAGES: dict[str, Any] = {
    **{mode: noise(mode) for mode in MODES},
    "info": with_info(),
    "transparency": transparent(),
    "palette of four colours, with alpha": short_palette(),
    "quantized": noise("RGB", (40, 40)).quantize(9),
    "new palette": Image.new("P", (3, 3), 7),
    "one pixel": noise("RGBA", (1, 1)),
    "PNG": opened("PNG", dpi=(10, 10)),
    "PNG with a palette": opened("PNG", "P"),
    "JPEG": opened("JPEG"),
    "TIFF": opened("TIFF", "CMYK"),
    "WebP": opened("WEBP", "RGBA", lossless=True),
    "BMP": opened("BMP"),
}


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "not trusted"])
@pytest.mark.parametrize("name", IMAGES)
def test_image_is_exact(name: str, trusted: bool) -> None:
    image = IMAGES[name]
    assert PILLOW.accepts(image)
    back = roundtrip(PILLOW, image, trusted=trusted)
    assert type(back) is type(image)
    assert back.mode == image.mode
    assert back.size == image.size
    assert back.tobytes() == image.tobytes()
    assert back.info == image.info
    assert back.getpalette(None) == image.getpalette(None)
    assert back == image
    if image.mode in ("P", "PA"):
        assert back.convert("RGBA").tobytes() == image.convert("RGBA").tobytes()
        assert back.palette.mode == image.palette.mode
        assert bytes(back.palette.palette) == bytes(image.palette.palette)


@pytest.mark.parametrize("name", ["RGB", "1", "I;16", "P", "LA"])
def test_png_is_one_that_others_read(name: str) -> None:
    data = written(PILLOW.dump(IMAGES[name]))["data.png"]
    assert Image.open(BytesIO(data)).tobytes() == IMAGES[name].tobytes()


def test_loaded_image_can_be_changed() -> None:
    for name in ("RGB", "JPEG", "P"):
        back = roundtrip(PILLOW, IMAGES[name])
        back.putpixel((0, 0), 1)
        back.resize((2, 2)).close()
        assert back.getpixel((0, 0)) in (1, (1, 0, 0))


def test_several_frames_are_refused_and_not_lost() -> None:
    target = BytesIO()
    noise("P").save(target, "GIF", save_all=True, append_images=[Image.new("P", (7, 5), 3)])
    image = Image.open(BytesIO(target.getvalue()))
    assert image.n_frames == 2  # type: ignore[attr-defined]
    with pytest.raises(EncodeError, match="2 frames"):
        PILLOW.dump(image)


def test_what_typed_json_cannot_hold_in_info_is_declined() -> None:
    image = noise("L")
    image.info["x"] = object()
    with pytest.raises(Declined):
        PILLOW.dump(image)


def test_image_without_pixels_is_declined() -> None:
    with pytest.raises(Declined):
        PILLOW.dump(Image.new("RGB", (0, 3)))


def test_subclass_of_others_is_not_accepted() -> None:
    class Mine(Image.Image):
        pass

    assert not PILLOW.accepts(Mine())


def tried(data: dict[str, bytes], **meta: Any) -> Any:
    dump = PILLOW.dump(noise("RGB"))
    return load(PILLOW, {**written(dump), **data}, {**through_record(dump.meta), **meta}, trusted=False)


def bomb() -> bytes:
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def test_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(ValueError, match="pixels"):
        tried({"data.png": bomb()})


@pytest.mark.parametrize(
    "data", [b"", b"\x89PNG\r\n\x1a\n", bytes(100), written(PILLOW.dump(noise("RGB")))["data.png"][:60]]
)
def test_hostile_png_is_refused(data: bytes) -> None:
    with pytest.raises((OSError, SyntaxError, ValueError)):
        tried({"data.png": data})


@pytest.mark.parametrize(
    "meta",
    [
        {"class": "os.system"},
        {"class": "PIL.Image.open"},
        {"class": "PIL.PngImagePlugin.PngInfo"},
        {"class": "PIL.PngImagePlugin.ImageFile"},
        {"class": "PIL.NoSuchImagePlugin.X"},
        {"class": None},
        {"mode": "RGBA"},
        {"mode": None},
        {"about": None},
    ],
)
def test_hostile_meta_is_refused(meta: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"image"):
        tried({}, **meta)


def test_compressed_tiff_is_refused() -> None:
    target = BytesIO()
    noise("CMYK").save(target, "TIFF", compression="tiff_lzw")
    dump = PILLOW.dump(noise("CMYK"))
    with pytest.raises(ValueError, match="compressed"):
        load(PILLOW, {**written(dump), "data.tiff": target.getvalue()}, through_record(dump.meta), trusted=False)


@pytest.mark.parametrize("name", IMAGES)
def test_preview_is_a_picture_or_names_one(name: str) -> None:
    preview: Any = PILLOW.preview(IMAGES[name])
    if "part" in preview:
        assert preview["part"] in [part.name for part in PILLOW.dump(IMAGES[name]).parts]
    else:
        assert Image.open(BytesIO(b64decode(preview["png"]))).size == IMAGES[name].size


def test_preview_of_a_large_image_is_small() -> None:
    preview: Any = PILLOW.preview(noise("I", (400, 100)))
    assert Image.open(BytesIO(b64decode(preview["png"]))).size == (128, 32)


def test_summary_tells_size_and_mode() -> None:
    assert PILLOW.summary(opened("JPEG")) == {"size": [20, 11], "mode": "RGB", "format": "JPEG"}
