"""What differs between two objects of any kind: types, order, dtypes, bits. Stricter than ``==``, and never approximate."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

_Found = str | None


def difference(a: Any, b: Any, where: str = "$") -> _Found:
    """The first difference, in words; None when there is none."""
    try:
        return _Comparison().compare(a, b, where)
    except Exception as error:  # what cannot be compared has not been found equal
        return f"{where}: comparing failed: {type(error).__name__}: {error}"


class _Comparison:
    """Remembers which pairs are being compared, so that cycles end."""

    def __init__(self) -> None:
        self.seen: dict[tuple[int, int], tuple[Any, Any]] = {}

    def compare(self, a: Any, b: Any, where: str) -> _Found:
        # Classes of a script, or of a function, are made anew by whoever loads them.
        remade = _dotted(type(a)) == _dotted(type(b)) and "<locals>" in _dotted(type(a))
        if type(a) is not type(b) and not remade:
            return f"{where}: a {_dotted(type(a))} became a {_dotted(type(b))}"
        if a is b or (id(a), id(b)) in self.seen:
            return None
        self.seen[id(a), id(b)] = (a, b)
        own = _own(a)
        return own(self, a, b, where) if own is not None else self.state(a, b, where)

    def items(self, a: Any, b: Any, where: str) -> _Found:
        if len(a) != len(b):
            return f"{where}: {len(a)} items became {len(b)}"
        for n, (left, right) in enumerate(zip(a, b, strict=True)):
            found = self.compare(left, right, f"{where}[{n}]")
            if found:
                return found
        return None

    def mapping(self, a: Any, b: Any, where: str) -> _Found:
        found = self.items(list(a), list(b), f"{where}.keys")
        if found:
            return found
        for (key, left), right in zip(a.items(), b.values(), strict=True):
            found = self.compare(left, right, f"{where}[{key!r:.40}]")
            if found:
                return found
        return None

    def state(self, a: Any, b: Any, where: str) -> _Found:
        """Compare by what pickle would write: any object whatever, its class's own state included."""
        left, right = a.__reduce_ex__(4), b.__reduce_ex__(4)
        if isinstance(left, str) or isinstance(right, str):
            return None if left == right else f"{where}: {left!r} became {right!r}"
        parts = [
            (list(x[3] or ()), list(x[4] or ())) if len(x) > 4 else (list(x[3] or ()) if len(x) > 3 else [], [])
            for x in (left, right)
        ]
        return self.items([*left[1:3], *parts[0]], [*right[1:3], *parts[1]], f"{where}<{type(a).__name__}>")


def _dotted(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _own(a: Any) -> Callable[[_Comparison, Any, Any, str], _Found] | None:
    """How objects of the type of *a* are compared; of its bases, if it has no way of its own."""
    for cls in type(a).__mro__:
        known = OWN.get(_dotted(cls))
        if known is not None:
            return known
    return None


def _equal(c: _Comparison, a: Any, b: Any, where: str) -> _Found:
    return None if a == b else f"{where}: {a!r:.60} became {b!r:.60}"


def _by(key: Callable[[Any], Any]) -> Callable[[_Comparison, Any, Any, str], _Found]:
    def compare(c: _Comparison, a: Any, b: Any, where: str) -> _Found:
        return c.compare(key(a), key(b), where) or _attributes(c, a, b, where)

    return compare


def _attributes(c: _Comparison, a: Any, b: Any, where: str) -> _Found:
    """The attributes of instances of subclasses; plain builtins have none."""
    left, right = getattr(a, "__dict__", {}), getattr(b, "__dict__", {})
    return c.mapping(dict(left), dict(right), f"{where}.__dict__") if type(left) is dict and (left or right) else None


def _plain_items(c: _Comparison, a: Any, b: Any, where: str) -> _Found:
    return c.items(a, b, where) or _attributes(c, a, b, where)


def _plain_mapping(c: _Comparison, a: Any, b: Any, where: str) -> _Found:
    extra = c.compare(
        getattr(a, "default_factory", None), getattr(b, "default_factory", None), f"{where}.default_factory"
    )
    return extra or c.mapping(a, b, where) or _attributes(c, a, b, where)


def _set(c: _Comparison, a: Any, b: Any, where: str) -> _Found:
    return c.items(sorted(a, key=_rank), sorted(b, key=_rank), where)


def _rank(item: Any) -> tuple[str, str]:
    return _dotted(type(item)), repr(sorted(item, key=_rank) if isinstance(item, frozenset) else item)


def _function(c: _Comparison, a: Any, b: Any, where: str) -> _Found:
    """Functions are loaded by name, or made anew from their code."""
    if (a.__module__, a.__qualname__) != (b.__module__, b.__qualname__):
        return f"{where}: {a!r} became {b!r}"
    if a.__code__.co_code != b.__code__.co_code:
        return f"{where}: the code of {a!r}"
    cells = [[cell.cell_contents for cell in f.__closure__ or ()] for f in (a, b)]
    return c.compare((a.__defaults__, cells[0]), (b.__defaults__, cells[1]), f"{where}()")


def _numpy(c: _Comparison, a: Any, b: Any, where: str) -> _Found:
    import numpy as np

    left, right = np.asarray(a), np.asarray(b)
    for what in ("shape", "dtype"):
        if getattr(left, what) != getattr(right, what):
            return f"{where}.{what}: {getattr(left, what)} became {getattr(right, what)}"
    if (
        left.dtype.char != right.dtype.char
        or left.dtype.isalignedstruct != right.dtype.isalignedstruct
        or left.dtype.type is not right.dtype.type
    ):
        return f"{where}.dtype: {left.dtype!r} became {right.dtype!r}"
    if (left.flags.f_contiguous and not right.flags.f_contiguous) or (
        left.flags.c_contiguous and not right.flags.c_contiguous
    ):
        return f"{where}: the order of its memory"
    if left.dtype.char == "g" and isinstance(a, np.ndarray):
        found = c.compare(list(left.flat), list(right.flat), where)
    elif left.dtype.char == "g":
        from identical import differences

        found = next(iter(differences(a, b)), None)
    elif left.dtype.hasobject or left.dtype.char == "T":
        found = c.compare(left.tolist(), right.tolist(), where)
    else:
        found = None if left.tobytes() == right.tobytes() else f"{where}: values"
    if found is None and isinstance(a, np.ma.MaskedArray):
        mask = [m.mask if m.mask is not np.ma.nomask else None for m in (a, b)]
        found = c.compare([mask[0], a._fill_value, a.hardmask], [mask[1], b._fill_value, b.hardmask], f"{where}.mask")
    elif found is None and type(a) not in (np.ndarray, np.memmap):
        found = _attributes(c, a, b, where)
    return found


def _pandas(c: _Comparison, a: Any, b: Any, where: str) -> _Found:
    import pandas as pd
    from identical import differences

    found = [] if isinstance(a, pd.DataFrame) and type(a) is not pd.DataFrame else differences(a, b)
    if isinstance(a, pd.DataFrame) and type(a) is not pd.DataFrame:
        found = differences(pd.DataFrame(a), pd.DataFrame(b))
        found += [n for n in a._metadata if getattr(a, n, None) != getattr(b, n, None)]
    return f"{where}: {found[0]}" if found else None


def _cells_of_pandas(c: _Comparison, a: Any, b: Any, where: str) -> _Found:
    from identical import differences

    found = differences(a, b)
    return f"{where}: {found[0]}" if found else None


def _polars(c: _Comparison, a: Any, b: Any, where: str) -> _Found:
    import polars as pl

    frames = [x if isinstance(x, pl.DataFrame) else x.to_frame() for x in (a, b)]
    left, right = frames
    if left.schema != right.schema or list(left.schema) != list(right.schema) or left.shape != right.shape:
        return f"{where}: {left.schema}{left.shape} became {right.schema}{right.shape}"
    for one, other in zip(left.get_columns(), right.get_columns(), strict=True):
        if one.dtype.is_float():
            same = (
                one.drop_nulls().to_numpy().tobytes() == other.drop_nulls().to_numpy().tobytes()
                and one.is_null().equals(other.is_null())
            )
        else:
            same = one.equals(other, check_dtypes=True, null_equal=True) and repr(one.head(1000).to_list()) == repr(
                other.head(1000).to_list()
            )
        if not same:
            return f"{where}[{one.name!r}]: values"
    return None


def _arrow(c: _Comparison, a: Any, b: Any, where: str) -> _Found:
    import pyarrow as pa

    if isinstance(a, pa.Schema):
        return None if a.equals(b, check_metadata=True) else f"{where}: {a} became {b}"
    if isinstance(a, pa.Table | pa.RecordBatch):
        if not a.schema.equals(b.schema, check_metadata=True) or a.shape != b.shape:
            return f"{where}: {a.schema} {a.shape} became {b.schema} {b.shape}"
        pairs = list(zip(a.columns, b.columns, strict=True))
    else:
        pairs = [(a, b)]
    for n, (one, other) in enumerate(pairs):
        if one.type != other.type or len(one) != len(other) or one.null_count != other.null_count:
            return f"{where}[{n}]: {one.type} became {other.type}"
        if pa.types.is_floating(one.type):
            arrays = [x.combine_chunks() if isinstance(x, pa.ChunkedArray) else x for x in (one, other)]
            whole = [x.drop_null().to_numpy(zero_copy_only=False).tobytes() for x in arrays]
            same = whole[0] == whole[1]
        else:
            same = one.equals(other)
        if not same or repr(one.to_pylist()) != repr(other.to_pylist()):
            return f"{where}[{n}]: values"
    return None


def _tensor(c: _Comparison, a: Any, b: Any, where: str) -> _Found:
    import torch

    facts = [(t.dtype, tuple(t.shape), t.layout, t.requires_grad, t.device.type) for t in (a, b)]
    if facts[0] != facts[1]:
        return f"{where}: {facts[0]} became {facts[1]}"
    if a.layout is torch.sparse_coo:
        if a.is_coalesced() != b.is_coalesced():
            return f"{where}: whether it is coalesced"
        inner = [(t._indices(), t._values()) for t in (a, b)]
        return c.items(inner[0], inner[1], where)
    if a.layout in (torch.sparse_csr, torch.sparse_bsr):
        return c.items(
            (a.crow_indices(), a.col_indices(), a.values()), (b.crow_indices(), b.col_indices(), b.values()), where
        )
    if a.layout in (torch.sparse_csc, torch.sparse_bsc):
        return c.items(
            (a.ccol_indices(), a.row_indices(), a.values()), (b.ccol_indices(), b.row_indices(), b.values()), where
        )
    if a.is_meta:
        return None  # there is nothing else in it
    whole = [
        t.detach().resolve_conj().resolve_neg().reshape(-1).clone().view(torch.uint8).numpy().tobytes() for t in (a, b)
    ]
    if whole[0] != whole[1]:
        return f"{where}: values"
    return _attributes(c, a, b, where)


def _generator_free_module(c: _Comparison, a: Any, b: Any, where: str) -> _Found:
    """Modules, by everything in them; what counts hooks differs from process to process."""
    left, right = ({k: v for k, v in vars(m).items() if k != "_forward_hooks"} for m in (a, b))
    return c.mapping(left, right, f"{where}<{type(a).__name__}>")


def _sparse(c: _Comparison, a: Any, b: Any, where: str) -> _Found:
    from test_scipy import inside

    left, right = inside(a), inside(b)
    for key in left:
        if left[key] != right.get(key) and key != "_cached":
            return f"{where}.{key}"
    return None if a.shape == b.shape and a.dtype == b.dtype else f"{where}: {a!r} became {b!r}"


def _graph(c: _Comparison, a: Any, b: Any, where: str) -> _Found:
    return c.items(
        [a.graph, a._node, a._adj, a.is_directed()], [b.graph, b._node, b._adj, b.is_directed()], f"{where}<graph>"
    )


def _xarray(c: _Comparison, a: Any, b: Any, where: str) -> _Found:
    if not a.identical(b):
        return f"{where}: not identical"
    variables = [_variables(x) for x in (a, b)]
    for name, one in variables[0].items():
        other = variables[1][name]
        found = c.compare(
            [str(one.dtype), one.dims, dict(one.attrs)],
            [str(other.dtype), other.dims, dict(other.attrs)],
            f"{where}[{name!r}]",
        )
        if found:
            return found
    return None


def _variables(x: Any) -> dict[Any, Any]:
    if hasattr(x, "data_vars"):
        return dict(x.variables)
    return {None: x, **{name: coordinate.variable for name, coordinate in getattr(x, "coords", {}).items()}}


def _image(c: _Comparison, a: Any, b: Any, where: str) -> _Found:
    left, right = ([x.mode, x.size, x.tobytes(), x.getpalette(), getattr(x, "is_animated", False)] for x in (a, b))
    return c.items(left, right, where)


def _drawn(c: _Comparison, a: Any, b: Any, where: str) -> _Found:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    drawn = []
    for figure in (a, b):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        drawn.append(bytes(canvas.buffer_rgba()))
    return None if drawn[0] == drawn[1] else f"{where}: it is drawn differently"


def _plotly(c: _Comparison, a: Any, b: Any, where: str) -> _Found:
    """The order of keys says nothing in a figure."""

    def ordered(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: ordered(value[key]) for key in sorted(value)}
        return [ordered(item) for item in value] if type(value) is list else value

    return c.compare(ordered(a.to_dict()), ordered(b.to_dict()), where)


def _booster(c: _Comparison, a: Any, b: Any, where: str) -> _Found:
    if hasattr(a, "save_raw"):
        facts = [
            (bytes(x.save_raw("ubj")), x.save_config(), x.attributes(), x.feature_names, x.feature_types)
            for x in (a, b)
        ]
    else:
        facts = [(x.model_to_string(), repr(x.params), x.best_iteration, repr(x.best_score)) for x in (a, b)]
    return None if facts[0] == facts[1] else f"{where}: the model"


def _catboost(c: _Comparison, a: Any, b: Any, where: str) -> _Found:
    import numpy as np

    left, right = (
        [x.get_params(), x.tree_count_, x.feature_names_] if x.is_fitted() else [x.get_params()] for x in (a, b)
    )
    found = c.items(left, right, where)
    if found or not a.is_fitted():
        return found
    rows = np.linspace(-2, 2, 40 * len(a.feature_names_)).reshape(40, -1)
    same = (
        np.asarray(a.predict(rows, prediction_type="RawFormulaVal")).tobytes()
        == np.asarray(b.predict(rows, prediction_type="RawFormulaVal")).tobytes()
    )
    return None if same else f"{where}: predictions"


def _jax(c: _Comparison, a: Any, b: Any, where: str) -> _Found:
    import jax
    import numpy as np

    if str(a.dtype) != str(b.dtype) or a.shape != b.shape or a.weak_type != b.weak_type:
        return f"{where}: {a.aval} became {b.aval}"
    raw = [jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x for x in (a, b)]
    return None if np.asarray(raw[0]).tobytes() == np.asarray(raw[1]).tobytes() else f"{where}: values"


def _keras(c: _Comparison, a: Any, b: Any, where: str) -> _Found:
    # A .keras file is JSON inside, so shapes in it are lists; the layers made from them know only tuples.
    found = c.compare(json.loads(a.to_json()), json.loads(b.to_json()), f"{where}.config")
    weights = [[(w.name, w.numpy()) for w in x.weights] for x in (a, b)]
    found = found or c.compare(weights[0], weights[1], f"{where}.weights")
    optimizers = [getattr(x, "optimizer", None) for x in (a, b)]
    if found is None and optimizers[0] is not None:
        states = [[v.numpy() for v in o.variables] if o is not None else None for o in optimizers]
        found = c.compare(states[0], states[1], f"{where}.optimizer")
    return found


_SET_BY_SAVING = ("_name_or_path", "transformers_version", "architectures", "dtype")
"""What transformers itself sets in the configuration of a model that it saves or loads."""


def _transformer(c: _Comparison, a: Any, b: Any, where: str) -> _Found:
    left, right = ({k: v for k, v in x.config.to_dict().items() if k not in _SET_BY_SAVING} for x in (a, b))
    return c.mapping(left, right, f"{where}.config") or c.compare(dict(a.state_dict()), dict(b.state_dict()), where)


def _tokenizer(c: _Comparison, a: Any, b: Any, where: str) -> _Found:
    return c.items(
        [a.backend_tokenizer.to_str(), a.special_tokens_map],
        [b.backend_tokenizer.to_str(), b.special_tokens_map],
        where,
    )


def _dataset(c: _Comparison, a: Any, b: Any, where: str) -> _Found:
    if a.features != b.features or repr(a.split) != repr(b.split):
        return f"{where}: {a.features} became {b.features}"
    return c.compare(a.with_format(None)[:], b.with_format(None)[:], where)


OWN: dict[str, Callable[[_Comparison, Any, Any, str], _Found]] = {
    **{f"builtins.{name}": _equal for name in ("NoneType", "bool", "int", "range", "slice", "ellipsis", "type")},
    "builtins.builtin_function_or_method": _equal,
    "builtins.str": lambda c, a, b, w: _equal(c, str.__str__(a), str.__str__(b), w) or _attributes(c, a, b, w),
    "builtins.bytes": _equal, "builtins.bytearray": _equal, "builtins.memoryview": _by(bytes),
    "builtins.float": lambda c, a, b, w: None if struct.pack("d", a) == struct.pack("d", b) else f"{w}: {a!r} became {b!r}",
    "builtins.complex": lambda c, a, b, w: c.items((a.real, a.imag), (b.real, b.imag), w),
    "builtins.list": _plain_items, "builtins.tuple": _plain_items, "builtins.set": _set, "builtins.frozenset": _set,
    "builtins.dict": _plain_mapping, "builtins.mappingproxy": lambda c, a, b, w: c.mapping(dict(a), dict(b), w),
    "collections.deque": lambda c, a, b, w: _equal(c, a.maxlen, b.maxlen, w) or _plain_items(c, a, b, w),
    "builtins.function": _function,
    "builtins.module": _equal,
    "builtins.method_descriptor": _equal, "builtins.wrapper_descriptor": _equal,
    "datetime.datetime": lambda c, a, b, w: c.items((repr(a), a.fold), (repr(b), b.fold), w),
    "datetime.time": lambda c, a, b, w: c.items((repr(a), a.fold), (repr(b), b.fold), w),
    "datetime.date": _equal, "datetime.timedelta": _equal, "datetime.timezone": _by(repr),
    "zoneinfo.ZoneInfo": _by(str),
    "decimal.Decimal": _by(lambda x: x.as_tuple()),
    "enum.Enum": lambda c, a, b, w: f"{w}: {a!r} is no longer a member of its class",  # members are compared by identity before
    "numpy.ndarray": _numpy, "numpy.generic": _numpy, "numpy.dtype": _equal,
    "numpy.random.mtrand.RandomState": lambda c, a, b, w: c.compare(a.get_state(), b.get_state(), w),
    "pandas.DataFrame": _pandas, "pandas.Series": _pandas, "pandas.Index": _pandas,
    "pandas.core.frame.DataFrame": _pandas, "pandas.core.series.Series": _pandas, "pandas.core.indexes.base.Index": _pandas,
    "polars.dataframe.frame.DataFrame": _polars, "polars.series.series.Series": _polars,
    **{f"pyarrow.lib.{name}": _arrow for name in ("Table", "RecordBatch", "ChunkedArray", "Array", "Schema")},
    "torch.Tensor": _tensor, "torch._tensor.Tensor": _tensor, "torch.nn.modules.module.Module": _generator_free_module,
    "torch.device": _equal, "torch.dtype": _equal,
    "scipy.sparse._base._spbase": _sparse, "networkx.classes.graph.Graph": _graph,
    "xarray.core.dataarray.DataArray": _xarray, "xarray.core.dataset.Dataset": _xarray, "xarray.core.variable.Variable": _xarray,
    "PIL.Image.Image": _image, "matplotlib.figure.Figure": _drawn, "plotly.basedatatypes.BaseFigure": _plotly,
    "xgboost.core.Booster": _booster, "lightgbm.basic.Booster": _booster, "catboost.core.CatBoost": _catboost,
    "jax.Array": _jax, "jax._src.array.ArrayImpl": _jax, "jaxlib._jax.ArrayImpl": _jax, "jaxlib.xla_extension.ArrayImpl": _jax,
    "jax._src.prng.PRNGKeyArray": _jax, "jax._src.basearray.Array": _jax,
    "keras.src.models.model.Model": _keras,
    "transformers.modeling_utils.PreTrainedModel": _transformer,
    "transformers.tokenization_utils_base.PreTrainedTokenizerBase": _tokenizer,
    "datasets.arrow_dataset.Dataset": _dataset,
    "collections.OrderedDict": _plain_mapping,
    "pathlib.PurePath": _by(str), "pathlib._local.PurePath": _by(str),
    "pandas._libs.tslibs.timestamps.Timestamp": _cells_of_pandas, "pandas._libs.tslibs.timedeltas.Timedelta": _cells_of_pandas,
}  # fmt: skip

__all__ = ["difference"]
