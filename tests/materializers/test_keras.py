"""Keras's models come back with weights, configuration and optimizer; files that could run code are refused.

With torch as back end, for which Keras looks once, when it is imported.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
from parts import load, roundtrip, written

from aioartifacts.materializers.base import Declined
from aioartifacts.materializers.keras import PART, KerasMaterializer
from aioartifacts.materializers.registry import MaterializerRegistry

KERAS = KerasMaterializer()
pytestmark = pytest.mark.filterwarnings(
    # Keras 3.15 over torch, with NumPy 2: its variables do not know the keyword.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


@keras.saving.register_keras_serializable("tests")
class Doubling(keras.layers.Layer):  # type: ignore[misc]
    def call(self, x: Any) -> Any:
        return x * 2


def sequential() -> Any:
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, activation="relu"), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(np.ones((8, 4)), np.ones((8, 1)), verbose=0, epochs=1)
    return model


def functional() -> Any:
    inputs = keras.Input((6, 2))
    hidden = keras.layers.Conv1D(3, 2)(inputs)
    hidden = keras.layers.BatchNormalization()(hidden)
    outputs = [keras.layers.Flatten()(hidden), keras.layers.GlobalAveragePooling1D()(hidden)]
    return keras.Model(inputs, outputs)


MODELS: dict[str, Any] = {
    "sequential, trained": sequential,
    "functional": functional,
    "registered layer": lambda: keras.Sequential([keras.layers.Input((2,)), Doubling(), keras.layers.Dense(1)]),
    "recurrent": lambda: keras.Sequential([keras.layers.Input((3, 2)), keras.layers.LSTM(2)]),
    "half precision": lambda: keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1, dtype="float16")]),
}


def plain(config: Any) -> Any:
    text = json.dumps(config, default=repr, sort_keys=True)
    return json.loads(text, object_hook=lambda found: {k: v for k, v in found.items() if k != "shared_object_id"})


def bits(variables: Any) -> list[tuple[str, bytes]]:
    return [(variable.dtype, keras.ops.convert_to_numpy(variable).tobytes()) for variable in variables]


@pytest.mark.parametrize("name", MODELS)
def test_model(name: str) -> None:
    model = MODELS[name]()
    back = roundtrip(KERAS, model, trusted=False)
    assert type(back) is type(model)
    assert bits(back.weights) == bits(model.weights)
    assert plain(back.get_config()) == plain(model.get_config())


def test_optimizer_comes_back_with_its_state() -> None:
    model = sequential()
    back = roundtrip(KERAS, model, trusted=False)
    assert int(back.optimizer.iterations) == 1
    assert bits(back.optimizer.variables) == bits(model.optimizer.variables)
    assert plain(back.get_compile_config()) == plain(model.get_compile_config())


def test_lambda_is_declined() -> None:
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Lambda(lambda x: x * 2)])
    with pytest.raises(Declined, match="safe mode"):
        KERAS.dump(model)


def test_class_that_is_not_registered_is_declined() -> None:
    class Own(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x

    with pytest.raises(Declined):
        KERAS.dump(keras.Sequential([keras.layers.Input((2,)), Own()]))


def changed(change: Any) -> dict[str, bytes]:
    """A model's file with another configuration."""
    data = io.BytesIO(written(KERAS.dump(MODELS["registered layer"]()))[PART])
    target = io.BytesIO()
    with zipfile.ZipFile(data) as source, zipfile.ZipFile(target, "w") as file:
        for name in source.namelist():
            content = source.read(name)
            file.writestr(name, json.dumps(change(json.loads(content))) if name == "config.json" else content)
    return {PART: target.getvalue()}


@pytest.mark.parametrize(
    "node",
    [
        {"module": "os", "class_name": "system", "config": "touch hostile", "registered_name": None},
        {"module": "keras.layers", "class_name": "Lambda", "config": {}, "registered_name": None},
        {"class_name": "__lambda__", "config": {"value": "AA=="}},
        {"module": "keras.layers", "class_name": "TorchModuleWrapper", "config": {}},
        {"module": "builtins", "class_name": "function", "config": "eval", "registered_name": "function"},
    ],
    ids=["os.system", "Lambda", "lambda", "torch module", "eval"],
)
def test_configuration_that_could_run_code_is_refused(node: dict[str, Any]) -> None:
    def change(config: Any) -> Any:
        config["config"]["layers"][1] = node
        return config

    with pytest.raises((ValueError, TypeError)):
        load(KERAS, changed(change), trusted=False)


def test_configuration_of_a_huge_model_is_refused_before_it_is_built() -> None:
    def change(config: Any) -> Any:
        dense = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Dense")
        dense["config"]["units"] = 10**12
        return config

    with pytest.raises(ValueError, match="far more than the file has bytes"):
        load(KERAS, changed(change), trusted=False)


def test_files_beyond_those_of_a_model_and_compressed_ones_are_refused() -> None:
    whole = written(KERAS.dump(MODELS["functional"]()))[PART]
    with zipfile.ZipFile(io.BytesIO(whole)) as source:
        contents = {name: source.read(name) for name in source.namelist()}
    for extra, compression in (({"assets/x": b""}, zipfile.ZIP_STORED), ({}, zipfile.ZIP_DEFLATED)):
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", compression) as file:
            for name, content in (contents | extra).items():
                file.writestr(name, content)
        with pytest.raises(ValueError, match="other files"):
            load(KERAS, {PART: target.getvalue()}, trusted=False)


def test_weights_that_refer_to_another_file_are_refused(tmp_path: Path) -> None:
    import h5py

    from aioartifacts.materializers.keras import _check_weights

    for make in (
        lambda file: file.__setitem__("a", h5py.ExternalLink("/etc/passwd", "/")),
        lambda file: file.create_dataset("a", (1 << 40,), "f4", chunks=(1024,)),
        lambda file: file.__setitem__("a", file["/"]),
        lambda file: file.create_dataset("a", (4,), "u1", external=[(str(tmp_path / "x"), 0, 4)]),
    ):
        target = io.BytesIO()
        with h5py.File(target, "w") as file:
            make(file)
        with pytest.raises(ValueError, match="weights"):
            _check_weights(target)


def test_dispatch_comes_before_that_of_torch() -> None:
    formats = [candidate.format for candidate in MaterializerRegistry().candidates(functional())]
    assert formats[0] == "keras"


def test_summary() -> None:
    found = KERAS.summary(sequential())
    assert found["layers"] == ["dense: Dense", "dense_1: Dense"] or len(found["layers"]) == 2  # type: ignore[arg-type]
    assert found["parameters"] == 19
    assert found["optimizer"] == "Adam"
