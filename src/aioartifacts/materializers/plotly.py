"""Plotly figures: traces, layout and frames as typed JSON, arrays as ``.npy``; checked at once to give an equal figure.

Plotly's own JSON does not do: it writes NaN as null, and arrays come back as dicts of base64.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped]
from plotly._subplots import SubplotRef  # type: ignore[import-untyped]

from aioartifacts.materializers.base import Declined, Dump, Materializer, Parts
from aioartifacts.materializers.numpy_npy import Array, add_arrays, read_arrays, shape_of
from aioartifacts.materializers.typed_json import decode, encode
from aioartifacts.types import JSON

_MARK = "\0"
"""Key of a dict that stands for an array."""
_TRACES_MAX = 50
"""Traces of which a summary tells the type."""


class FigureMaterializer(Materializer):
    """Exact ``plotly.graph_objects.Figure``; what is in it is validated by Plotly on loading."""

    name = "plotly"
    format = "plotly"
    safe = True
    packages = ("plotly",)

    def accepts(self, obj: object) -> bool:
        return type(obj) is go.Figure

    def dump(self, obj: object) -> Dump:
        content = _content(obj)
        arrays: list[Array] = []
        tree = _without_arrays(content, arrays)
        if not _same(_content(_figure(content)), content):
            raise Declined("Plotly makes another figure of what is in it")
        return add_arrays(encode(tree, plain=False), arrays)

    def load(self, parts: Parts) -> object:
        content = _with_arrays(decode(parts), read_arrays(parts))
        if type(content) is not dict or content.keys() != {"data", "layout", "frames", "grid", "references"}:
            raise ValueError("not a figure")
        return _figure(content)

    def summary(self, obj: object) -> Mapping[str, JSON]:
        figure: Any = obj
        found: dict[str, JSON] = {
            "traces": [str(trace.type) for trace in figure.data[:_TRACES_MAX]],
            "count": len(figure.data),
            "frames": len(figure.frames),
        }
        if isinstance(figure.layout.title.text, str):
            found["title"] = figure.layout.title.text[:200]
        return found


def _content(figure: Any) -> dict[str, Any]:
    """All that makes a figure, as Plotly holds it."""
    return {
        "data": [trace.to_plotly_json() for trace in figure.data],
        "layout": figure.layout.to_plotly_json(),
        "frames": [frame.to_plotly_json() for frame in figure.frames],
        "grid": figure._grid_str,
        "references": figure._grid_ref
        and [[cell and [tuple(one) for one in cell] for cell in row] for row in figure._grid_ref],
    }


def _figure(content: dict[str, Any]) -> Any:
    """The inverse of `_content`; Plotly validates what it is given."""
    references = content["references"]
    if references is not None:
        references = [[cell and tuple(SubplotRef(*one) for one in cell) for cell in row] for row in references]
    given = {name: content[name] for name in ("data", "layout", "frames")}
    figure = go.Figure({**given, "_grid_str": content["grid"], "_grid_ref": references}, skip_invalid=False)
    if "template" not in content["layout"]:
        figure.layout.template = None  # it would have got the present default
    return figure


def _without_arrays(value: Any, arrays: list[Array]) -> Any:
    if type(value) is dict:
        if _MARK in value:
            raise Declined("it has a key that is a mark of ours")
        return {key: _without_arrays(item, arrays) for key, item in value.items()}
    if type(value) is list or type(value) is tuple:
        return type(value)(_without_arrays(item, arrays) for item in value)
    if type(value) is np.ndarray and value.dtype == object:
        return {_MARK: "objects", "shape": value.shape, "items": _without_arrays(value.ravel().tolist(), arrays)}
    if type(value) is np.ndarray or isinstance(value, np.generic):
        arrays.append(np.asarray(value))
        return {_MARK: "array" if type(value) is np.ndarray else "scalar", "number": len(arrays) - 1}
    return value


def _with_arrays(value: Any, arrays: list[Array]) -> Any:
    if type(value) is list or type(value) is tuple:
        return type(value)(_with_arrays(item, arrays) for item in value)
    if type(value) is not dict:
        return value
    kind = value.get(_MARK)
    if kind is None:
        return {key: _with_arrays(item, arrays) for key, item in value.items()}
    if kind == "objects" and type(value["items"]) is list:
        flat = np.empty(len(value["items"]), object)
        flat[:] = [_with_arrays(item, arrays) for item in value["items"]]
        return flat.reshape(shape_of(value["shape"]))
    if kind not in ("array", "scalar") or type(value["number"]) is not int:
        raise ValueError("not a figure")
    array = arrays[value["number"]]
    return array if kind == "array" else array[()]


def _same(a: Any, b: Any) -> bool:
    """Equality that also sees types, and for which NaN is NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(item, b[key]) for key, item in a.items())
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, np.ndarray | np.generic):
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        return _same(a.ravel().tolist(), b.ravel().tolist()) if a.dtype == object else a.tobytes() == b.tobytes()
    return bool(a == b or (a != a and b != b))
