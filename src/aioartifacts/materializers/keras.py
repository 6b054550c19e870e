"""Keras 3: models as ``.keras`` files, read in safe mode, so that nothing in them is unpickled."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from zipfile import ZIP_STORED, ZipFile

from aioartifacts.materializers.base import Declined, Dump, Materializer, Parts
from aioartifacts.materializers.scratch import ScratchFolder
from aioartifacts.types import JSON, MIB

PART = "model.keras"
_FILES = {"metadata.json", "config.json", "model.weights.h5"}
_CODE = ("Lambda", "__lambda__", "TorchModuleWrapper", "TFSMLayer")
"""Classes that run what their configuration says, or read files that it names."""
_FREE = 64 * MIB
"""Weights that a stranger's model may have, or one for each byte of its file if that is more."""


class KerasMaterializer(Materializer):
    """``keras.Model``: architecture, weights, and compiled state with the optimizer's.

    The seeds that dropout has drawn so far are Keras's own affair: its file leaves them out for some layers.
    Classes and functions of one's own must be registered with Keras (``@keras.saving.register_keras_serializable``). A model
    whose file would hold code (lambdas), or that does not come back with the same weights, is declined.
    """

    name = "keras"
    format = "keras"
    safe = True
    packages = ("keras", "h5py")

    def accepts(self, obj: object) -> bool:
        keras = sys.modules.get("keras")
        return keras is not None and isinstance(obj, keras.Model)

    def dump(self, obj: object) -> Dump:
        import keras  # type: ignore[import-untyped]

        model: Any = obj
        folder = ScratchFolder()
        path = f"{folder.path}/{PART}"
        model.save(path)
        try:
            back = keras.saving.load_model(path, safe_mode=True)
            _check(path)
        except Exception as error:  # of any kind: Keras reads its file by calling what it names
            raise Declined(f"Keras does not read it back in safe mode: {str(error)[:300]}") from error
        difference = _difference(model, back)
        if difference:
            raise Declined(f"Keras reads it back with another {difference}")
        return Dump(folder.parts())

    def load(self, parts: Parts) -> object:
        import keras

        path = parts.path(PART)
        if not parts.trusted:
            _check(path)
        return keras.saving.load_model(path, safe_mode=True)

    def summary(self, obj: object) -> Mapping[str, JSON]:
        model: Any = obj
        found: dict[str, JSON] = {
            "class": f"{type(model).__module__}.{type(model).__qualname__}",
            "layers": [f"{layer.name}: {type(layer).__qualname__}"[:80] for layer in model.layers[:50]],
        }
        if model.built:
            found["parameters"] = model.count_params()
        optimizer = getattr(model, "optimizer", None)
        if optimizer is not None:
            found["optimizer"] = type(optimizer).__qualname__
        return found


def _difference(model: Any, back: Any) -> str | None:
    """What tells the two apart."""
    import keras

    if type(back) is not type(model):
        return "class"
    if _plain(keras.saving.serialize_keras_object(model)) != _plain(keras.saving.serialize_keras_object(back)):
        return "configuration"
    for name in ("weights", "optimizer"):
        pairs = [
            [] if found is None else found if isinstance(found, list) else found.variables
            for found in (getattr(model, name, None), getattr(back, name, None))
        ]
        if len(pairs[0]) != len(pairs[1]):
            return name
        for one, other in zip(*pairs, strict=True):
            left: Any = keras.ops.convert_to_numpy(one)
            right: Any = keras.ops.convert_to_numpy(other)
            if one.dtype != other.dtype or left.shape != right.shape or left.tobytes() != right.tobytes():
                return name
    return None


def _plain(config: Any) -> Any:
    """A configuration without what differs from process to process."""
    if isinstance(config, dict):
        return {key: _plain(value) for key, value in config.items() if key != "shared_object_id"}
    return [_plain(value) for value in config] if isinstance(config, (list, tuple)) else config


def _check(path: str) -> None:
    """Refuse what Keras's safe mode may let pass.

    Raises:
        ValueError: the file names classes from elsewhere, or is larger inside than outside, or refers to other files.
    """
    with ZipFile(path) as file:
        items = file.infolist()
        if any(item.filename not in _FILES or item.compress_type != ZIP_STORED for item in items) or len(items) > len(
            _FILES
        ):
            raise ValueError("the .keras file holds other files than Keras writes for a model, or compressed ones")
        if any(item.file_size != item.compress_size for item in items) or sum(
            item.file_size for item in items
        ) > os.path.getsize(path):
            raise ValueError("a file in the .keras file says another size than it has")
        config = json.loads(file.read("config.json"))
        _check_config(config, 0)
        _check_size(config, max(_FREE, os.path.getsize(path)))
        with file.open("model.weights.h5") as weights:
            _check_weights(weights)


def _check_config(node: Any, depth: int) -> None:
    import keras

    if depth > 100:
        raise ValueError("the configuration is nested too deeply")
    if isinstance(node, dict):
        if node.get("class_name") in _CODE:
            raise ValueError(f"the configuration asks for {node['class_name']}, which can run code or read other files")
        module = node.get("module", "keras")
        if module not in (None, "builtins") and str(module).partition(".")[0] != "keras":
            name = node.get("registered_name")
            if not isinstance(name, str) or keras.saving.get_registered_object(name) is None:
                raise ValueError(f"the configuration asks for {module!r:.80}, which is not registered with Keras here")
        node = list(node.values())
    if isinstance(node, list):
        for value in node:
            _check_config(value, depth + 1)


def _check_size(config: Any, limit: int) -> None:
    """Refuse a configuration that asks for far more weights than there are. Here none of them is made."""
    import keras

    bare = {key: value for key, value in config.items() if key != "compile_config"}

    def count() -> int:
        with keras.StatelessScope(initialize_variables=False):
            model: Any = keras.saving.deserialize_keras_object(bare, safe_mode=True)
            return sum(math.prod(weight.shape) for weight in model.weights)

    # In a thread of its own, for Keras keeps a list by thread of variables that it has still to make.
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(count).result()
    if asked > limit:
        raise ValueError(f"the configuration asks for {asked} weights, which are far more than the file has bytes")


def _check_weights(stream: Any) -> None:
    import h5py  # type: ignore[import-untyped]
    import h5py.h5o  # type: ignore[import-untyped]

    with h5py.File(stream, "r") as file:
        groups: list[Any] = [file]
        seen = {h5py.h5o.get_info(file.id).addr}
        while groups:
            group = groups.pop()
            for name in group:
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise ValueError(f"the weights refer to another file or place, at {name!r:.80}")
                item: Any = group[name]
                address = h5py.h5o.get_info(item.id).addr
                if address in seen:
                    raise ValueError(f"the weights have {name!r:.80} in two places")
                seen.add(address)
                if isinstance(item, h5py.Group):
                    groups.append(item)
                elif (
                    item.external
                    or item.is_virtual
                    or item.chunks is not None
                    or item.id.get_storage_size() != item.nbytes
                ):
                    raise ValueError(f"the weights at {name!r:.80} are not in the file as they are")
