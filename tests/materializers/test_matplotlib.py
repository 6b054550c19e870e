"""Matplotlib figures come back as they were drawn, with a picture beside the pickle."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from parts import elsewhere, load, roundtrip, written
from PIL import Image

from aioartifacts.errors import UntrustedArtifactError
from aioartifacts.materializers.base import Buffers
from aioartifacts.materializers.matplotlib import FigureMaterializer

MPL = FigureMaterializer()


def lines() -> Figure:
    figure = Figure(figsize=(4, 3), dpi=80)
    axes = figure.subplots()
    axes.plot([1, 2, 3], [1.0, float("nan"), 0.1], "r--", label="ä")
    axes.set_title("a title")
    axes.legend()
    return figure


def image() -> Figure:
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    shown = axes.imshow(np.arange(40_000.0).reshape(200, 200), cmap="magma")
    figure.colorbar(shown)
    return figure


def grid() -> Figure:
    figure = Figure(figsize=(6, 2))
    left, right = figure.subplots(1, 2, sharey=True)
    left.bar(["a", "b"], [1, 2])
    right.scatter([1, 2], [3, 4], c=[0, 1])
    right.set_yscale("log")
    figure.suptitle("two")
    return figure


def polar() -> Figure:
    figure = Figure()
    figure.add_subplot(projection="polar").plot([0, 1, 2], [1, 2, 3])
    return figure


def with_lambda() -> Figure:
    figure = lines()
    figure.axes[0].xaxis.set_major_formatter(lambda value, position: f"<{value:g}>")
    return figure


FIGURES: dict[str, Callable[[], Figure]] = {
    "empty": Figure,
    "lines": lines,
    "image": image,
    "grid": grid,
    "polar": polar,
    "a lambda in it": with_lambda,
}


def pixels(figure: Figure) -> Any:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).tobytes()


@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_drawn_the_same(name: str) -> None:
    figure = FIGURES[name]()
    assert MPL.accepts(figure)
    back = roundtrip(MPL, figure)
    assert type(back) is Figure
    assert back.get_size_inches().tolist() == figure.get_size_inches().tolist()
    assert back.dpi == figure.dpi
    assert pixels(back) == pixels(figure)


def test_data_are_exact() -> None:
    back = roundtrip(MPL, lines())
    assert repr(back.axes[0].lines[0].get_ydata()) == repr(lines().axes[0].lines[0].get_ydata())
    assert back.axes[0].lines[0].get_label() == "ä"


def test_large_arrays_are_not_copied() -> None:
    figure = Figure()
    array = np.arange(20_000.0)
    (line,) = figure.subplots().plot(array, array)
    buffers = [part.body for part in MPL.dump(figure).parts if part.name.startswith("buffer")]
    own = line.get_xydata().base if line.get_xydata().base is not None else line.get_xydata()
    assert any(isinstance(b, Buffers) and np.shares_memory(np.frombuffer(b.buffers[0], "u1"), own) for b in buffers)


def test_preview_is_a_small_picture() -> None:
    data = written(MPL.dump(Figure(figsize=(40, 10))))["preview.png"]
    assert Image.open(BytesIO(data)).size == (640, 160)


def test_figure_itself_is_not_touched() -> None:
    figure = lines()
    canvas, dpi, stale = figure.canvas, figure.dpi, figure.stale
    MPL.dump(figure)
    assert (figure.canvas, figure.dpi, figure.stale) == (canvas, dpi, stale)


def test_figure_that_cannot_be_drawn_is_saved_without_a_picture() -> None:
    figure = lines()
    figure.axes[0].set_title(r"$\nosuchcommand$")
    dump = MPL.dump(figure)
    assert "preview.png" not in [part.name for part in dump.parts]
    assert "nosuchcommand" in str(dump.meta["preview"])
    assert load(MPL, written(dump), dump.meta).axes[0].get_title() == r"$\nosuchcommand$"


def test_backend_and_pyplot_are_left_alone() -> None:
    backend = mpl.rcParams._get("backend")  # type: ignore[attr-defined]
    roundtrip(MPL, lines())
    assert mpl.rcParams._get("backend") == backend  # type: ignore[attr-defined]


def test_figure_of_pyplot_does_not_come_back_into_pyplot(tmp_path: Path) -> None:
    code = (
        "import matplotlib; matplotlib.use('agg'); import matplotlib.pyplot as plt\n"
        "from parts import roundtrip; from aioartifacts.materializers.matplotlib import FigureMaterializer\n"
        "figure, axes = plt.subplots(); axes.plot([1, 2])\n"
        "back = roundtrip(FigureMaterializer(), figure)\n"
        "print(plt.get_fignums(), len(back.axes[0].lines), figure.number)"
    )
    assert run(code) == "[1] 1 1"


def test_threads_may_save_at_the_same_time() -> None:
    found: list[int] = []

    def save() -> None:
        found.append(len(written(MPL.dump(grid()))["preview.png"]))

    threads = [threading.Thread(target=save) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert len(set(found)) == 1


def test_it_is_never_unpickled_where_it_is_not_trusted() -> None:
    dump = MPL.dump(lines())
    with pytest.raises(UntrustedArtifactError, match=r"preview\.png"):
        load(MPL, written(dump), dump.meta, trusted=False)


def test_another_object_is_refused() -> None:
    import pickle

    with pytest.raises(TypeError, match="list"):
        load(MPL, {"data.pkl": pickle.dumps([1])}, {"buffers": 0})


def test_subclass_is_not_accepted() -> None:
    class Mine(Figure):
        pass

    assert not MPL.accepts(Mine())


def test_scalars_of_numpy_keep_a_nul_at_their_end() -> None:
    figure: Any = Figure()
    figure.note = np.bytes_(b"a\0")
    assert len(roundtrip(MPL, figure).note) == 2


def test_summary_tells_size_and_titles() -> None:
    assert MPL.summary(lines()) == {"size": [4.0, 3.0], "dpi": 80.0, "axes": 1, "titles": ["a title"]}


def test_loads_in_a_fresh_process(tmp_path: Path) -> None:
    told = "back.axes[0].images[0].get_array().sum(), 'matplotlib.pyplot' in sys.modules"
    assert elsewhere(MPL, image(), told, tmp_path, trusted=True) == "799980000.0 False"


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.strip()


FORKED = """
import os, sys, warnings
warnings.simplefilter("ignore")
from matplotlib.figure import Figure
from aioartifacts.materializers import matplotlib
matplotlib._one_at_a_time.acquire()  # as another thread would at that moment
child = os.fork()
if not child:
    os._exit(0 if matplotlib._one_at_a_time.acquire(timeout=30) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_child_forked_while_a_figure_is_drawn_draws_its_own() -> None:
    subprocess.run([sys.executable, "-c", FORKED], check=True, timeout=120)
