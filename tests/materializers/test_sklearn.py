"""Estimators of scikit-learn come back with all they have learnt; skops without running code."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from parts import load, roundtrip, written
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeRegressor

from aioartifacts.errors import UntrustedArtifactError
from aioartifacts.materializers.base import Declined
from aioartifacts.materializers.estimators import SUMMARY_MAX
from aioartifacts.materializers.registry import MaterializerRegistry
from aioartifacts.materializers.sklearn import SklearnMaterializer, SkopsMaterializer

SKLEARN = SklearnMaterializer()
SKOPS = SkopsMaterializer()
X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(int)


class Doubling(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    def __init__(self, factor: float = 2.0) -> None:
        self.factor = factor

    def fit(self, x: Any, y: Any = None) -> Doubling:
        self.seen_ = len(x)
        return self

    def transform(self, x: Any) -> Any:
        return x * self.factor


ESTIMATORS: dict[str, Any] = {
    "linear": LinearRegression(),
    "forest": RandomForestClassifier(n_estimators=3, random_state=1),
    "tree": DecisionTreeRegressor(max_depth=2),
    "support vectors": SVC(C=2.0),
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression(C=0.1)),
    "columns": make_pipeline(
        ColumnTransformer([("one", OneHotEncoder(handle_unknown="ignore"), [0]), ("rest", "drop", [1])]), LinearRegression()
    ),
    "one's own": make_pipeline(Doubling(3.0), LinearRegression()),
    "lambda": make_pipeline(FunctionTransformer(lambda x: x + 1), LinearRegression()),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_fitted_estimator(name: str) -> None:
    model = ESTIMATORS[name].fit(X, Y)
    back = roundtrip(SKLEARN, model)
    assert type(back) is type(model)
    assert back.predict(X).tobytes() == model.predict(X).tobytes()
    assert repr(back.get_params()).partition("<")[0] == repr(model.get_params()).partition("<")[0]


def test_estimator_that_is_not_fitted() -> None:
    back = roundtrip(SKLEARN, SVC(C=2.5))
    assert back.get_params() == SVC(C=2.5).get_params()
    assert not hasattr(back, "support_")


def test_dispatch() -> None:
    def formats(obj: object) -> list[str]:
        return [candidate.format for candidate in MaterializerRegistry().candidates(obj)]

    assert formats(SVC()) == ["sklearn", "pickle"]
    assert formats(Doubling()) == ["sklearn", "pickle"]
    assert formats(SVC) == ["pickle"]


def test_not_without_trust() -> None:
    with pytest.raises(UntrustedArtifactError):
        roundtrip(SKLEARN, SVC(), trusted=False)


def test_summary() -> None:
    found = SKLEARN.summary(LogisticRegression(C=float("inf")).fit(X, Y))
    assert found["class"] == "sklearn.linear_model._logistic.LogisticRegression"
    assert found["features"] == 3
    assert found["params"]["C"] == "inf"  # type: ignore[index, call-overload]
    steps = SKLEARN.summary(ESTIMATORS["pipeline"])["steps"]
    assert steps == ["standardscaler: StandardScaler", "logisticregression: LogisticRegression"]


def test_summary_is_bounded() -> None:
    class Many(BaseEstimator):  # type: ignore[misc]
        def get_params(self, deep: bool = True) -> dict[str, Any]:
            return {f"parameter {i}": "x" * 200 for i in range(1000)}

    found: Any = SKLEARN.summary(Many())
    assert len(str(found["params"])) < SUMMARY_MAX + 1000
    assert found["params"]["…"] > 900


@pytest.mark.parametrize("name", ["linear", "support vectors", "pipeline"])
def test_skops_without_trust(name: str) -> None:
    model = ESTIMATORS[name].fit(X, Y)
    back = roundtrip(SKOPS, model, trusted=False)
    assert back.predict(X).tobytes() == model.predict(X).tobytes()


@pytest.mark.parametrize(("name", "kind"), [("one's own", "Doubling"), ("tree", "Tree"), ("lambda", "lambda")])
def test_skops_declines_types_it_does_not_trust(name: str, kind: str) -> None:
    with pytest.raises(Declined, match=kind):
        SKOPS.dump(ESTIMATORS[name].fit(X, Y))


def test_skops_file_with_types_it_does_not_trust_is_refused() -> None:
    import skops.io

    data = {"data.skops": skops.io.dumps(Doubling())}
    with pytest.raises(UntrustedArtifactError, match="Doubling"):
        load(SKOPS, data, trusted=False)
    assert type(load(SKOPS, data, trusted=True)) is Doubling


def test_compressed_skops_file_is_refused() -> None:
    plain = zipfile.ZipFile(io.BytesIO(written(SKOPS.dump(SVC()))["data.skops"]))
    packed = io.BytesIO()
    with plain, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for item in plain.namelist():
            file.writestr(item, plain.read(item))
    with pytest.raises(ValueError, match="compressed"):
        load(SKOPS, {"data.skops": packed.getvalue()}, trusted=False)


def test_skops_file_with_a_sparse_matrix_that_becomes_huge_is_refused() -> None:
    import skops.io

    bomb, packed = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file, file.open("data.npy", "w") as inner:
        for _ in range(300):
            inner.write(bytes(1 << 20))
    sound = skops.io.dumps(scipy.sparse.csr_matrix(np.eye(3)))
    with zipfile.ZipFile(io.BytesIO(sound)) as plain, zipfile.ZipFile(packed, "w") as file:
        for item in plain.namelist():
            file.writestr(item, bomb.getvalue() if item.endswith(".npz") else plain.read(item))
    with pytest.raises(ValueError, match="become 314572800 when they are read"):
        load(SKOPS, {"data.skops": packed.getvalue()}, trusted=False)


def test_fresh_process(tmp_path: Path) -> None:
    import aioartifacts.sync as aioartifacts

    model = ESTIMATORS["pipeline"].fit(X, Y)
    store = aioartifacts.LocalArtifactStore(tmp_path)
    store.save(model, "model")
    store.save(model, "skops", format="skops")
    code = (
        "import sys, numpy as np\nimport aioartifacts.sync as aioartifacts\n"
        "x = np.random.default_rng(0).normal(size=(40, 3))\nstore = aioartifacts.LocalArtifactStore(sys.argv[1])\n"
        "safe = aioartifacts.LocalArtifactStore(sys.argv[1], trust='data')\n"
        "print(store.load('model').predict_proba(x).tobytes().hex(), safe.load('skops').predict_proba(x).tobytes().hex())"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [model.predict_proba(X).tobytes().hex()] * 2
