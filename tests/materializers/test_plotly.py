"""Plotly figures come back equal, with the same arrays and no more."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped]
import plotly.io as pio  # type: ignore[import-untyped]
import pytest
from parts import load, roundtrip, through_record, written
from plotly.subplots import make_subplots  # type: ignore[import-untyped]

from aioartifacts.materializers.base import Declined
from aioartifacts.materializers.plotly import FigureMaterializer

PLOTLY = FigureMaterializer()


def subplots() -> Any:
    figure = make_subplots(rows=2, cols=2, specs=[[{}, {"type": "polar"}], [{"colspan": 2, "secondary_y": True}, None]])
    figure.add_scatter(x=[1], y=[2], row=1, col=1)
    figure.add_bar(x=["a"], y=[1.5], row=2, col=1, secondary_y=True)
    return figure


def animated() -> Any:
    frames = [go.Frame(data=[go.Scatter(y=[n, n + 1])], name=str(n)) for n in range(3)]
    return go.Figure(go.Scatter(y=[1, 2]), frames=frames)


def without_template() -> Any:
    figure = go.Figure(go.Bar(y=[1]))
    figure.layout.template = None
    return figure


FIGURES: dict[str, Any] = {
    "empty": go.Figure(),
    "lists": go.Figure(
        go.Scatter(x=[1, 2, None], y=[1.0, float("nan"), float("-inf")], name="ä"), {"title": "a title"}
    ),
    "arrays": go.Figure(go.Scatter(x=np.arange(5, dtype="u1"), y=np.linspace(0, 1, 5, dtype="f4"))),
    "two dimensions": go.Figure(go.Heatmap(z=np.arange(6.0).reshape(2, 3), colorscale="Viridis")),
    "objects": go.Figure(
        go.Scatter(y=[1, 2], text=np.array(["a", None], dtype=object), customdata=[[1, "x"], [2, None]])
    ),
    "times": go.Figure(go.Scatter(x=np.array(["2020-01-01", "NaT"], "M8[ns]"), y=[1, 2], hovertext=["x", "y"])),
    "datetimes": go.Figure(go.Scatter(x=[datetime(2020, 1, 1), datetime(2021, 1, 1)], y=[1, 2])),
    "subplots": subplots(),
    "frames": animated(),
    "no template": without_template(),
    "three dimensions": go.Figure(go.Surface(z=np.eye(3))),
}


def exact(value: Any) -> Any:
    """What can be compared with ``==``, and then means the same types too."""
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value), [exact(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, repr(value.tolist())
    return type(value), repr(value)


@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_exact(name: str) -> None:
    figure = FIGURES[name]
    assert PLOTLY.accepts(figure)
    back = roundtrip(PLOTLY, figure, trusted=False)
    assert type(back) is go.Figure
    assert json.loads(back.to_json()) == json.loads(figure.to_json())
    for one, other in zip(
        [*back.data, back.layout, *back.frames], [*figure.data, figure.layout, *figure.frames], strict=True
    ):
        assert type(one) is type(other)
        assert exact(one.to_plotly_json()) == exact(other.to_plotly_json())
    assert back._grid_ref == figure._grid_ref
    assert back._grid_str == figure._grid_str


def test_array_is_an_array_again() -> None:
    back = roundtrip(PLOTLY, FIGURES["arrays"])
    assert type(back.data[0].y) is np.ndarray
    assert back.data[0].y.dtype == np.float32


def test_subplots_can_be_added_to() -> None:
    back = roundtrip(PLOTLY, subplots())
    back.add_scatter(x=[1], y=[1], row=2, col=1)
    assert back.data[-1].xaxis == "x2"


def test_default_template_at_loading_does_not_matter() -> None:
    dump = PLOTLY.dump(without_template())
    before = pio.templates.default
    try:
        pio.templates.default = "plotly_dark"
        back = load(PLOTLY, written(dump), through_record(dump.meta))
    finally:
        pio.templates.default = before
    assert "template" not in back.layout.to_plotly_json()


def test_what_typed_json_cannot_hold_is_declined() -> None:
    with pytest.raises(Declined):
        PLOTLY.dump(go.Figure(go.Scatter(y=[1], customdata=[object()])))


def test_other_figures_are_not_accepted() -> None:
    class Mine(go.Figure):  # type: ignore[misc]
        pass

    assert not PLOTLY.accepts(Mine())
    assert not PLOTLY.accepts(go.Scatter())


CONTENT = b'{"data":[%s],"layout":%s,"frames":[],"grid":null,"references":null}'


@pytest.mark.parametrize(
    "text",
    [
        b"[]",
        b"{}",
        CONTENT % (b'{"type":"scatter","nosuch":1}', b"{}"),
        CONTENT % (b'{"type":"nosuch"}', b"{}"),
        CONTENT % (b"", b'{"nosuch":1}'),
        CONTENT % (b'{"type":"scatter","y":{"\\u0000":"array","number":"x"}}', b"{}"),
        CONTENT % (b'{"type":"scatter","y":{"\\u0000":"objects","shape":[9],"items":[1]}}', b"{}"),
    ],
)
def test_hostile_text_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        load(PLOTLY, {"data.json": text}, {"tagged": True, "arrays": []}, trusted=False)


def test_summary_tells_traces_and_title() -> None:
    assert PLOTLY.summary(FIGURES["lists"]) == {"traces": ["scatter"], "count": 1, "frames": 0, "title": "a title"}
