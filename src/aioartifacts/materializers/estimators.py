"""Estimators with the interface of scikit-learn: a pickle, and a summary that tells their class and parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aioartifacts.materializers.pickling import PickledMaterializer
from aioartifacts.types import JSON, KIB

SUMMARY_MAX = 8 * KIB
"""Characters of parameters in a summary."""
_VALUE_MAX = 256


class EstimatorMaterializer(PickledMaterializer):
    """Base of the formats for estimators, whichever library they come from."""

    def accepts(self, obj: object) -> bool:
        return not isinstance(obj, type) and all(
            callable(getattr(type(obj), name, None)) for name in ("fit", "get_params", "set_params")
        )

    def summary(self, obj: object) -> Mapping[str, JSON]:
        return describe(obj)


def describe(obj: Any) -> dict[str, JSON]:
    """Class, parameters, and what was seen while fitting, of an estimator; each parameter as JSON or as its abridged repr."""
    found: dict[str, JSON] = {"class": f"{type(obj).__module__}.{type(obj).__qualname__}"}
    try:
        parameters = obj.get_params(deep=False)
        steps = getattr(obj, "steps", None)
        if isinstance(steps, list):
            found["steps"] = [f"{name}: {type(step).__qualname__}" for name, step in steps][:100]
    except Exception as error:  # the estimator's own code, or a subclass's: whatever it raises, the summary says so
        found["params_error"] = f"{type(error).__name__}: {error}"[:_VALUE_MAX]
        return found
    found["params"] = capped(parameters)
    features = getattr(obj, "n_features_in_", None)
    if isinstance(features, int):
        found["features"] = features
    return found


def capped(values: Mapping[str, object]) -> dict[str, JSON]:
    """As many of *values* as `SUMMARY_MAX` allows, and ``"…"`` for how many there are beyond."""
    shown: dict[str, JSON] = {}
    left = SUMMARY_MAX
    for name, value in values.items():
        plain = _plain(value)
        left -= len(str(name)) + len(str(plain)) + 8
        if left < 0:
            shown["…"] = len(values) - len(shown)
            break
        shown[str(name)] = plain
    return shown


def _plain(value: object) -> JSON:
    if value is None or type(value) in (bool, int, float):
        if type(value) is float and value - value != 0.0:
            return repr(value)
        if type(value) is int and abs(value) >= 1 << 63:
            return f"an int of {value.bit_length()} bits"
        return value  # type: ignore[return-value]  # exact types, which a set of them does not tell mypy
    if type(value) is str and len(value) <= _VALUE_MAX:
        return value.encode("utf-8", "replace").decode()
    size = getattr(value, "shape", None)
    if size is None and isinstance(value, (list, tuple, dict, set, str, bytes)) and len(value) > 32:
        size = (len(value),)
    if size is not None:
        return f"{type(value).__qualname__} of shape {tuple(size)}"[:_VALUE_MAX]
    text = repr(value).encode("utf-8", "replace").decode()
    return text if len(text) <= _VALUE_MAX else text[: _VALUE_MAX - 1] + "…"
