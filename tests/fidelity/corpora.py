"""Hard values by family, built anew by whoever asks: once to be saved, once more in the process that loads.

Most are those of the families' own tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

Values = dict[str, Any]


def builtins() -> Values:
    import uuid

    from test_typed_json import HARD, LARGE

    hard = [value for value in HARD if not (isinstance(value, uuid.UUID) and value.version == 1)]  # differs every time
    found = {f"{n} {type(value).__name__}": value for n, value in enumerate(hard)}
    found |= {f"large {n} {type(value).__name__}": value for n, value in enumerate(LARGE)}
    shared = [1, 2]
    cycle: list[Any] = [1]
    cycle.append(cycle)
    return found | {
        "nan": math.nan,
        "deep": _nested(3000),
        "shared": [shared, shared, {"again": shared}],
        "cycle": cycle,
        "memoryview": memoryview(b"abc"),
        "function": _nested,
        "lambda": _Adder(3).add,
        "class": dict,
        "exception": ValueError("no", 3),
        "bytes of a megabyte": bytes(range(256)) * 4096,
    }


def subclasses() -> Values:
    from subclasses import all_of_builtins

    return all_of_builtins()


class _Adder:
    def __init__(self, n: int) -> None:
        self.add = lambda x: x + n


def _nested(depth: int) -> Any:
    found: Any = "bottom"
    for n in range(depth):
        found = [found] if n % 2 else {"in": found}
    return found


def classes() -> Values:
    import shapes as s

    closing = s.Plain(1, [s.Frozen(2, (s.Point(1, 2),))])
    return {
        "dataclass": s.Plain(1, "b"), "frozen": s.Frozen(3, (1, [2])), "nested": closing, "init var": s.Loud(2, 5),
        "generic": s.Boxed({1: (2,)}), "child": s.Child(1, None, 2.5), "not itself one": s.Bare(1), "late": s.Late(),
        "own state": s.Pickles(3), "NamedTuple": s.Point(1, (2,)), "namedtuple": s.Old(1, [2]), "subclass of one": s.Stateful(1, 2),
        "attrs": s.Defined(1, {2}), "attrs, frozen": s.FrozenDefined(4), "attrs, dict": s.DictDefined(5), "msgspec": s.Struct(1, (2,)),
        "msgspec, frozen": s.FrozenStruct(a=2), "inner": s.Outer.Inner(1), "enum": s.Color.CRIMSON, "int enum": s.Level.LOW,
        "str enum": s.Name.ME, "flags": s.Access.READ | s.Access.WRITE,
    }  # fmt: skip


def numpy() -> Values:
    import ml_dtypes
    import numpy as np
    from test_numpy import ARRAYS, MASKED

    class_less = np.arange(6).reshape(2, 3)
    found: Values = {**ARRAYS, **{f"masked, {name}": value for name, value in MASKED.items()}}
    for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint2"):
        found[name] = class_less.astype(getattr(ml_dtypes, name))
    text = np.dtypes.StringDType
    return found | {
        "strings": np.array(["a", "", "ä\0b", "long " * 50], text()),
        "strings, None": np.array(["a", None], text(na_object=None)),
        "strings, nan": np.array(["a", np.nan], text(na_object=np.nan)),
        "objects": np.array([1, "a", None, (1, 2)], dtype=object),
        "objects in fields": np.array([(1, [2])], [("a", "i4"), ("b", "O")]),
        "recarray": np.rec.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]),
        "matrix": np.asmatrix(class_less),
        "chararray": np.char.array(["a", "b"]),
        "float64 scalar": np.float64("nan"), "datetime scalar": np.datetime64("NaT", "25s"), "longdouble scalar": np.longdouble(1) / 3,
        "str scalar": np.str_("a\0"),
        "bytes scalar": np.bytes_(b"\0a\0"), "str scalars inside": [{np.str_("\0"): (np.str_(""), len)}],
        "void scalar": np.void(b"\0\1"), "bool scalar": np.bool_(True),
        "record scalar": np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")])[0], "bfloat16 scalar": ml_dtypes.bfloat16(1.5),
        "subclass": _subclass_of_ndarray(), "dtype": np.dtype([("a", "i1"), ("b", ">f8")]),
        "in a dict": {"a": np.arange(3), "b": [np.float32(1)]},
        "generator": np.random.RandomState(3),
    }  # fmt: skip


def _subclass_of_ndarray() -> Any:
    import numpy as np
    from of_numpy import Labelled

    made = np.arange(3.0).view(Labelled)
    made.label = "x"
    return made


def pandas() -> Values:
    import pandas as pd
    from of_pandas import Labelled
    from pandas_corpus import ARROW_ONLY, DECLINED, EXACT

    made = Labelled({"a": [1, 2]})
    made.label = "x"
    declined = {
        name: value for name, value in DECLINED.items() if name != "a cycle"
    }  # which has no end for those who compare
    return {**EXACT, **ARROW_ONLY, **declined} | {
        "subclass": made,
        "timestamp": pd.Timestamp("2020-01-01", tz="Europe/Berlin"),
        "in a dict": {"frame": pd.DataFrame({"a": [1, None]}), "n": 1},
    }


def polars() -> Values:
    import polars as pl
    from of_polars import Labelled
    from test_polars import FRAMES

    series = {f"series of {name}": frame.to_series(0).alias("") for name, frame in list(FRAMES.items())[3:7]}
    return {**FRAMES, **series} | {
        "objects": pl.DataFrame({"o": pl.Series([{1, 2}, None], dtype=pl.Object)}),
        "lazy": pl.LazyFrame({"a": [1]}),
        "subclass": Labelled({"a": [1]}),
    }


def arrow() -> Values:
    from test_arrow import OTHERS, TABLES

    schemas = {f"schema of {name}": TABLES[name].schema for name in ("metadata of a field", "times", "nested")}
    return {**TABLES, **{f"alone: {name}": value for name, value in OTHERS.items()}, **schemas}


def scipy() -> Values:
    from of_scipy import Labelled
    from test_scipy import DENSE, HARD

    return {**HARD, "subclass": Labelled(DENSE)}


def xarray() -> Values:
    import numpy as np
    import pandas as pd
    import xarray as xr

    times = pd.date_range("2020", periods=3)
    grid = xr.DataArray(
        np.arange(6.0).reshape(2, 3), {"x": [10, 20], "t": times}, ["x", "t"], name="g", attrs={"unit": "K"}
    )
    return {
        "array": grid,
        "no name": grid.rename(None),
        "no coordinates": xr.DataArray(np.zeros((2, 0), "i2")),
        "dataset": xr.Dataset({"a": grid, "b": ("x", [1, 2])}, attrs={"n": 1}),
        "empty": xr.Dataset(),
        "text": xr.DataArray(["ä", "b"], dims="x"),
        "bool and complex": xr.Dataset({"b": ("x", [True, False]), "c": ("x", [1j, 2])}),
        "multi-index": xr.Dataset({"a": ("p", [1, 2])}).assign_coords(
            xr.Coordinates.from_pandas_multiindex(
                pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["k", "n"]), "p"
            )
        ),
        "durations": xr.DataArray(np.array([1, "NaT"], "m8[ns]"), dims="x"),
        "nan payload": xr.DataArray(np.array([0x7FF8000000000123], "u8").view("f8"), dims="x"),
        "variable": xr.Variable("x", [1, 2], {"a": 1}),
    }


def networkx() -> Values:
    import networkx as nx
    from of_networkx import Labelled
    from test_networkx import GRAPHS

    class_node = nx.Graph()
    class_node.add_node(1, thing=len)
    return {
        **{name: make() for name, make in GRAPHS.items()},
        "a function in it": class_node,
        "subclass": Labelled([(1, 2)]),
    }


def pillow() -> Values:
    from PIL import Image

    found: Values = {}
    for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "LA", "PA", "I;16"):
        image = Image.frombytes(mode, (3, 2), bytes(range(200))[: len(Image.new(mode, (3, 2)).tobytes())])
        if mode in ("P", "PA"):
            image.putpalette([7, 8, 9] * 256)
        found[mode] = image
    return found | {"no pixels": Image.new("RGB", (0, 3)), "in a list": [Image.new("L", (2, 2), 7)]}


def matplotlib() -> Values:
    from test_matplotlib import FIGURES

    return {name: make() for name, make in FIGURES.items()}


def plotly() -> Values:
    from test_plotly import FIGURES

    return dict(FIGURES)


def torch() -> Values:
    import torch
    from of_torch import Net, Wrapped
    from test_torch import DENSE, checkpoint, trained

    dense = torch.tensor([[1.0, 0, 0, 2], [0, 0, 3, 0]])
    base = torch.arange(10.0)
    found: Values = {
        **DENSE,
        "strided": torch.arange(40).reshape(5, 8)[::2, ::3],
        "conjugate": torch.tensor([1 + 2j]).conj(),
    }
    for kind in ("csr", "csc", "bsr", "bsc"):
        found[f"sparse, {kind}"] = getattr(dense, f"to_sparse_{kind}")(*([(2, 2)] if kind.startswith("b") else []))
    torch.manual_seed(7)
    return found | {
        "sparse": torch.sparse_coo_tensor([[1, 0, 1]], [1.0, 2.0, 3.0], (3,), check_invariants=True),
        "checkpoint": checkpoint(),
        "tied": {"a": base[:5], "b": base[3:]},
        "module": trained()[0],
        "module of one's own": Net(),
        "subclass": torch.ones(2).as_subclass(Wrapped),
        "dtype": torch.bfloat16,
        "size": torch.Size([1, 2]),
        "meta": torch.empty(3, device="meta"),
    }


def sklearn() -> Values:
    from sklearn.svm import SVC
    from test_sklearn import ESTIMATORS, Doubling, X, Y

    return {
        **{name: model.fit(X, Y) for name, model in ESTIMATORS.items()},
        "not fitted": SVC(C=2.5),
        "subclass": Doubling(4.0),
    }


def xgboost() -> Values:
    import xgboost
    from test_xgboost import X, Y, trained

    options: Any = {"n_estimators": 3, "max_depth": 2, "n_jobs": 1, "random_state": 0}
    return {
        "logistic": trained(objective="binary:logistic", eval_metric=["auc", "logloss"]),
        "regression": trained(objective="reg:squarederror", base_score=0.25),
        "dart": trained(booster="dart", rate_drop=0.1),
        "classes": trained(objective="multi:softprob", num_class=3),
        "classifier": xgboost.XGBClassifier(**options, eval_metric="auc").fit(X, Y),
        "regressor, not fitted": xgboost.XGBRegressor(**options),
    }


def lightgbm() -> Values:
    import lightgbm
    from test_lightgbm import QUIET, X, Y, trained

    data = lightgbm.Dataset(X[:40], Y[:40])
    return {
        "binary": trained(objective="binary"),
        "linear": trained(objective="regression", linear_tree=True),
        "classes": trained(objective="multiclass", num_class=3),
        "dart": trained(boosting="dart", metric=["l1", "l2"]),
        "stopped early": lightgbm.train(
            {**QUIET, "objective": "binary"},
            data,
            9,
            valid_sets=[lightgbm.Dataset(X[40:], Y[40:], reference=data)],
            callbacks=[lightgbm.early_stopping(2, verbose=False)],
        ),
        "classifier": lightgbm.LGBMClassifier(n_estimators=3, **QUIET).fit(X, Y),
        "regressor, not fitted": lightgbm.LGBMRegressor(n_estimators=3, **QUIET),
    }


def catboost() -> Values:
    from catboost import CatBoostRegressor
    from test_catboost import MODELS, QUIET, X, Y

    return {**{name: make() for name, make in MODELS.items() if name != "categorical"},
            "not fitted": CatBoostRegressor(**QUIET), "deeper": CatBoostRegressor(**{**QUIET, "depth": 4}).fit(X, Y),
            "with early stopping": CatBoostRegressor(**QUIET, od_wait=2).fit(X, Y, eval_set=(X, Y))}  # fmt: skip


def keras() -> Values:
    import keras
    import numpy as np

    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.layers.Input((3,)), keras.layers.Dense(4, "relu", name="a"), keras.layers.Dense(1, name="b")], name="s"
    )
    trained = keras.models.clone_model(model)
    trained.compile("adam", "mse")
    trained.fit(np.ones((8, 3), "f4"), np.ones((8, 1), "f4"), epochs=1, verbose=0, shuffle=False)
    layers = keras.layers
    entry = layers.Input((4, 4, 1), name="in")
    seen = layers.Flatten(name="flat")(layers.Conv2D(2, 2, name="seen")(entry))
    joined = layers.Concatenate(name="both")([seen, layers.Flatten(name="raw")(entry)])
    return {
        "sequential": model,
        "trained": trained,
        "functional": keras.Model(entry, layers.Dense(2, name="out")(joined), name="f"),
        "half": keras.Sequential(
            [layers.Input((2,), name="in"), layers.Dense(1, dtype="bfloat16", name="d")], name="h"
        ),
        "not built": keras.Sequential([layers.Dense(1, name="d")], name="n"),
    }


def jax() -> Values:
    import jax
    from test_jax import ARRAYS

    return {**ARRAYS, "key": jax.random.key(7), "keys": jax.random.split(jax.random.key(7, impl="rbg"), 3)}


def huggingface() -> Values:
    import datasets
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    torch.manual_seed(0)
    config: Any = transformers.BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "b": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    table = datasets.Dataset.from_dict({"a": [1, 2], "s": ["x", "ä"]})
    return {
        "model": transformers.BertModel(config),
        "classifier": transformers.BertForSequenceClassification(config),
        "tokenizer": transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]"),
        "dataset": table,
        "splits": datasets.DatasetDict({"train": table, "test": table.select([1])}),
    }


FAMILIES: dict[str, Callable[[], Values]] = {
    make.__name__: make
    for make in (
        builtins, subclasses, classes, numpy, pandas, polars, arrow, scipy, xarray, networkx, pillow, matplotlib, plotly,
        torch, sklearn, xgboost, lightgbm, catboost, keras, jax, huggingface,
    )
}  # fmt: skip
PROCESSES = (
    ("builtins", "subclasses", "classes", "numpy", "pandas"), ("polars", "arrow"),
    ("scipy", "xarray", "networkx", "pillow", "matplotlib", "plotly"), ("torch", "keras", "huggingface"),
    ("sklearn", "xgboost", "lightgbm", "catboost"), ("jax",),
)  # fmt: skip
"""Families that are loaded in one process, one after another: to import PyTorch three times takes longer than all the rest."""
AT_LEAST = {"builtins": 40, "numpy": 40, "pandas": 60, "polars": 20, "arrow": 20, "torch": 20}
HERE = Path(__file__).parent
PATHS = [str(HERE), str(HERE.parent / "materializers")]
"""Where the modules that this one imports are."""
