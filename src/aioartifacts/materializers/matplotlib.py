"""Matplotlib figures: a pickle, which only the same version is sure to read, and a picture, which lasts.

The parts are ``data.pkl``, a protocol-5 pickle; ``buffer-N.bin``, the larger arrays in it as they lie in memory; and
``preview.png``. The picture is drawn from a copy that the pickle gave, so the figure itself is never touched, and one
that cannot be loaded is noticed when it is saved. No backend is chosen, and nothing of pyplot is asked or changed,
neither when saving nor when loading: a figure that pyplot had shown comes back as one that it does not know.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from io import BytesIO
from threading import Lock
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from aioartifacts.errors import UntrustedArtifactError
from aioartifacts.materializers.base import Buffers, Dump, Materializer, Part, Parts
from aioartifacts.materializers.pickling import Pickler
from aioartifacts.types import JSON

_STREAM, _PREVIEW = "data.pkl", "preview.png"
_PIXELS = 640
"""Of the longer side of a preview."""
_one_at_a_time = Lock()
"""Matplotlib is not safe for threads: fonts, caches and styles belong to the process."""


def _in_child() -> None:
    """After a fork there is one thread; whoever was drawing is gone."""
    global _one_at_a_time
    _one_at_a_time = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


class FigureMaterializer(Materializer):
    """Exact ``matplotlib.figure.Figure``."""

    name = "matplotlib"
    format = "matplotlib"
    safe = False
    packages = ("matplotlib", "numpy", "cloudpickle")

    def accepts(self, obj: object) -> bool:
        return type(obj) is Figure

    def dump(self, obj: object) -> Dump:
        stream, buffers = BytesIO(), list[memoryview]()
        with _one_at_a_time:
            _Pickler(obj, stream, buffers).dump(obj)
            copy = pickle.loads(stream.getbuffer(), buffers=buffers)
            picture, problem = _drawn(copy)
        parts = [Part(_STREAM, Buffers(stream.getbuffer()))]
        parts += [Part(f"buffer-{n}.bin", Buffers(buffer)) for n, buffer in enumerate(buffers)]
        meta: dict[str, JSON] = {"buffers": len(buffers)}
        if picture is None:
            meta["preview"] = problem
        else:
            parts.append(Part(_PREVIEW, Buffers(picture)))
        return Dump(parts, meta)

    def load(self, parts: Parts) -> object:
        if not parts.trusted:
            raise UntrustedArtifactError(
                "a Matplotlib figure is a pickle, and decoding one can run any code. If you trust whoever wrote it, open the "
                f"store with trust='all'; its part {_PREVIEW} is a picture of it",
                format=self.format,
            )
        names = [f"buffer-{n}.bin" for n in range(len(parts.names)) if f"buffer-{n}.bin" in parts.names]
        with _one_at_a_time, parts.open(_STREAM) as stream:
            figure = pickle.load(stream, buffers=[parts.read(name) for name in names])
        if not isinstance(figure, Figure):
            raise TypeError(f"it holds a {type(figure).__qualname__}, not a Figure")
        return figure

    def summary(self, obj: object) -> Mapping[str, JSON]:
        figure: Any = obj
        titles = [axes.get_title() for axes in figure.axes]
        return {
            "size": [float(n) for n in figure.get_size_inches()],
            "dpi": float(figure.dpi),
            "axes": len(figure.axes),
            "titles": [title[:200] for title in titles if title][:20],
        }

    def preview(self, obj: object) -> Mapping[str, JSON]:
        return {"part": _PREVIEW}


class _Pickler(Pickler):
    """Leaves out of the stream that pyplot knew the figure."""

    def __init__(self, figure: object, stream: BytesIO, buffers: list[memoryview]) -> None:
        super().__init__(stream, buffers)
        self._figure = figure

    def reducer_override(self, obj: object) -> Any:
        if obj is not self._figure:
            return super().reducer_override(obj)
        reduced: Any = obj.__reduce_ex__(5)
        reduced[2].pop("_restore_to_pylab", None)  # a dict that __getstate__ has just made
        return reduced


def _drawn(figure: Figure) -> tuple[bytes | None, str]:
    """A small picture, or why there is none: a figure whose text needs a font, or LaTeX, that is not here is still worth saving."""
    target = BytesIO()
    width, height = figure.get_size_inches()
    try:
        figure.set_dpi(min(100.0, _PIXELS / max(width, height)))
        FigureCanvasAgg(figure).print_png(target)  # type: ignore[no-untyped-call]
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"[:500]
    return target.getvalue(), ""
