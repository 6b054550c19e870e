"""Pillow images: PNG where it has the mode, else TIFF; info and palette beside, as typed JSON. Checked at once to be exact.

The file holds the pixels alone, without compression of any kind that would change them. What was opened from a file is of a class of
that file's format (``PngImageFile``, ``JpegImageFile``, …) and comes back as one, as after pickling: pixels, mode, palette and info,
but not what the file held besides. One of several frames is refused: pickle would keep the first and say nothing.
"""

from __future__ import annotations

import base64
import importlib
import re
from collections.abc import Mapping
from io import BytesIO
from typing import Any, BinaryIO

from PIL import Image, ImageFile, ImagePalette, PngImagePlugin, TiffImagePlugin

from aioartifacts.errors import EncodeError
from aioartifacts.materializers.base import Buffers, Declined, Dump, Materializer, Part, Parts
from aioartifacts.materializers.typed_json import decode, encode
from aioartifacts.types import JSON, MIB

_TIFF = frozenset(["F", "I", "I;16B", "CMYK", "YCbCr", "LAB", "PA"])
"""Modes that PNG does not have."""
_STAND_INS: Mapping[str, str] = {"HSV": "RGB", "La": "LA", "RGBa": "RGBA", "RGBX": "RGBA", "I;16L": "I;16"}
"""Modes that no file has, and those under which their bytes are written."""
_READERS: Mapping[str, Any] = {"data.png": PngImagePlugin.PngImageFile, "data.tiff": TiffImagePlugin.TiffImageFile}
_THUMBNAIL = 128
"""Pixels of a preview's longer side."""
_PLUGIN = re.compile(r"PIL\.[A-Za-z0-9]+ImagePlugin")
_BYTES_MAX = 1024 * MIB
"""What a stranger's image may take, decoded. PNG compresses up to a thousandfold."""


class ImageMaterializer(Materializer):
    """``PIL.Image.Image``, and Pillow's own classes of images from files."""

    name = "pillow"
    format = "pillow"
    safe = True
    packages = ("PIL",)

    def accepts(self, obj: object) -> bool:
        return type(obj) is Image.Image or _is_from_file(type(obj))

    def dump(self, obj: object) -> Dump:
        image: Any = obj
        if getattr(image, "n_frames", 1) != 1:
            raise EncodeError(
                f"the image has {image.n_frames} frames, and an Image holds one: save a list of copies of its frames, "
                "or the file itself with kind='file'"
            )
        image.load()
        about = {"info": image.info, "palette": _palette(image), "filename": getattr(image, "filename", None)}
        described = encode(about, plain=False)
        meta: dict[str, JSON] = {"mode": image.mode, "class": f"{type(image).__module__}.{type(image).__name__}"}
        name = "data.tiff" if image.mode in _TIFF else "data.png"
        pixels = _encoded(image, name)
        back = _restored(BytesIO(pixels), name, image.mode, about["palette"], None)
        if back.size != image.size or back.tobytes() != image.tobytes() or _palette(back) != about["palette"]:
            raise Declined(f"an image of mode {image.mode} does not survive as {name}")
        parts = [Part(name, Buffers(pixels)), Part("about.json", described.parts[0].body)]
        return Dump(parts, {**meta, "about": dict(described.meta)})

    def load(self, parts: Parts) -> object:
        meta = parts.meta
        name = next((name for name in parts.names if name in _READERS), None)
        cls = Image.Image if meta.get("class") == "PIL.Image.Image" else _class(meta.get("class"))
        described = meta.get("about")
        if name is None or cls is None or not isinstance(described, Mapping):
            raise ValueError("not an image of a known class")
        about = decode(parts, "about.json", described)
        if type(about) is not dict or type(about.get("info")) is not dict:
            raise ValueError("not what is known of an image")
        with parts.open(name) as stream:
            limit = None if parts.trusted else _BYTES_MAX
            image = _restored(stream, name, str(meta.get("mode")), about.get("palette"), limit)
        image.info = about["info"]
        return image if cls is Image.Image else _from_file(cls, image, about.get("filename"))

    def summary(self, obj: object) -> Mapping[str, JSON]:
        image: Any = obj
        return {"size": list(image.size), "mode": image.mode, "format": image.format}

    def preview(self, obj: object) -> Mapping[str, JSON]:
        image: Any = obj
        if max(image.size) <= _THUMBNAIL and image.mode not in _TIFF and image.mode not in _STAND_INS:
            return {"part": "data.png"}  # small enough to be shown as it is
        if not all(image.size):
            return {}
        if image.mode == "La":
            image = image.convert("LA")  # the only mode it converts to
        scale = min(1.0, _THUMBNAIL / max(image.size))
        size = tuple(max(1, round(length * scale)) for length in image.size)
        small = image if image.mode in ("L", "RGB", "RGBA") else image.convert("RGB")
        file = BytesIO()
        small.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0).save(file, "PNG")
        return {"png": base64.b64encode(file.getvalue()).decode()}


def _is_from_file(cls: type) -> bool:
    """Whether it is one of Pillow's own classes of images from files."""
    return _PLUGIN.fullmatch(cls.__module__) is not None and issubclass(cls, ImageFile.ImageFile)


def _class(path: object) -> type | None:
    module, _, name = str(path).rpartition(".")
    if not _PLUGIN.fullmatch(module):
        return None
    try:
        cls = vars(importlib.import_module(module)).get(name)  # a plug-in of Pillow itself, by the pattern
    except ImportError:
        return None
    return cls if isinstance(cls, type) and cls.__module__ == module and _is_from_file(cls) else None


def _from_file(cls: Any, image: Any, filename: object) -> Any:
    """An image as Pillow unpickles one that came from a file."""
    made: Any = cls.__new__(cls)
    Image.Image.__init__(made)
    made.im, made._mode, made._size = image.im, image.mode, image.size
    made.palette, made.info, made.tile = image.palette, image.info, []
    made.filename = filename if isinstance(filename, str) else ""
    return made


def _encoded(image: Any, name: str) -> bytes:
    """The pixels alone, in a file."""
    target = BytesIO()
    try:
        if image.mode in _STAND_INS:
            bare: Any = Image.frombytes(_STAND_INS[image.mode], image.size, image.tobytes())
        elif image.mode == "P":
            bare = Image.frombytes("L", image.size, image.tobytes())
            bare.putpalette(bytes(image.getpalette("RGB")).ljust(768, b"\0"))  # PNG has no index beyond its palette
        else:
            bare = Image.Image()
            bare.im, bare._mode, bare._size = image.im, image.mode, image.size
            bare.palette = image.palette and image.palette.copy()
        if name == "data.tiff":
            bare.save(target, "TIFF", compression=None)
        else:
            bare.save(target, "PNG", compress_level=3, **({"bits": 8} if image.mode == "P" else {}))
    except (OSError, ValueError, KeyError, SystemError) as error:
        raise Declined(f"Pillow cannot write mode {image.mode}, size {image.size}, as {name}: {error}") from error
    return target.getvalue()


def _restored(stream: BinaryIO | BytesIO, name: str, mode: str, palette: Any, limit: int | None) -> Any:
    """The image in a file.

    The class of the format is called directly: ``Image.open`` would take any format, and guards by a global and a warning.
    """
    file = _READERS[name](stream)
    stored = _STAND_INS.get(mode, mode)
    if file.mode != stored:
        raise ValueError(f"the image has mode {file.mode}, not {stored:.20}")
    width, height = file.size
    if limit is not None and 4 * width * height > limit:
        raise ValueError(
            f"an image of {width} by {height} pixels is more than is decoded for a store that does not trust it"
        )
    if name == "data.tiff" and any(tile[0] != "raw" for tile in file.tile):
        raise ValueError("the TIFF is compressed, which none of ours is")
    if getattr(file, "n_frames", 1) != 1:
        raise ValueError("the image has several frames")
    file.load()
    if stored != mode:
        return Image.frombytes(mode, file.size, file.tobytes())
    image: Any = Image.Image()
    image.im, image._mode, image._size = file.im, mode, file.size
    if palette is not None:
        if mode not in ("P", "PA"):
            raise ValueError(f"an image of mode {mode} has no palette")
        own, core = palette
        image.im.putpalette(core[0], core[0], core[1])
        image.palette = ImagePalette.ImagePalette(*own)
        image.palette.dirty = 0
    return image


def _palette(image: Any) -> tuple[tuple[str, bytes], tuple[str, bytes]] | None:
    """Mode and colours of a palette, as the image shows it and as its core holds it."""
    if image.mode not in ("P", "PA"):
        return None
    mode = image.im.getpalettemode()
    palette = image.palette or ImagePalette.ImagePalette()
    return (palette.mode, bytes(palette.palette)), (mode, bytes(image.im.getpalette(mode, mode)))
