"""Hugging Face: models and tokenizers of ``transformers``, and data sets, as the folders their libraries write."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from aioartifacts.materializers.arrow_ipc import check_stream
from aioartifacts.materializers.base import Declined, Dump, Materializer, Parts
from aioartifacts.materializers.scratch import ScratchFolder, unfolded
from aioartifacts.types import JSON, KIB, MIB

_CONFIG_MAX = 8 * KIB
_FREE, _GROWTH, _MODULE = 256 * MIB, 8, 16 * KIB
"""Bytes of a stranger's model, or so many for each byte of its files if that is more; a module counts for some by itself."""


class ModelMaterializer(Materializer):
    """``transformers.PreTrainedModel`` of a class that transformers itself has: configuration and safetensors, and training or not."""

    name = "transformers"
    format = "transformers"
    safe = True
    packages = ("transformers", "torch", "safetensors")

    def accepts(self, obj: object) -> bool:
        transformers = sys.modules.get("transformers")
        return transformers is not None and isinstance(obj, transformers.PreTrainedModel)

    def dump(self, obj: object) -> Dump:
        model: Any = obj
        cls = _own(type(model))
        folder = ScratchFolder()
        model.save_pretrained(folder.path)
        back = _model(cls, folder.path)
        left, right = model.state_dict(), back.state_dict()
        for name in left.keys() | right.keys():
            one, other = left.get(name), right.get(name)
            if one is None or other is None or not _same(one, other):
                raise Declined(f"transformers reads it back with another {name}")
        if _config(model) != _config(back):
            raise Declined("transformers reads it back with another configuration")
        if any(p.requires_grad != q.requires_grad for p, q in zip(model.parameters(), back.parameters(), strict=True)):
            raise Declined("some of its parameters are frozen, which its folder does not keep")
        modes = {module.training for module in model.modules()}
        if len(modes) != 1:
            raise Declined("some of its modules are in training mode and some are not, which its folder does not keep")
        return Dump(folder.parts(), {"class": cls.__name__, "training": model.training})

    def load(self, parts: Parts) -> object:
        if any(not name.endswith((".json", ".safetensors")) or "/" in name for name in parts.names):
            raise ValueError("the folder holds other files than configurations and safetensors")
        cls = _named(parts.meta.get("class"), "PreTrainedModel")
        limit = max(_FREE, _GROWTH * sum(map(parts.size, parts.names)))
        with unfolded(parts) as folder, nullcontext() if parts.trusted else _bounded(limit):
            model = _model(cls, folder)
        return model.train() if parts.meta.get("training") is True else model

    def summary(self, obj: object) -> Mapping[str, JSON]:
        model: Any = obj
        config = model.config.to_json_string(use_diff=True)
        return {
            "class": f"transformers.{type(model).__name__}",
            "parameters": model.num_parameters(),
            "dtype": str(model.dtype).removeprefix("torch."),
            "config": json.loads(config) if len(config) <= _CONFIG_MAX else config[:_CONFIG_MAX],
        }


@contextmanager
def _bounded(limit: int) -> Iterator[None]:
    """Refuse modules of more than so many bytes in this thread: a configuration may ask for any number of layers of any width."""
    import torch
    from torch.nn.modules.module import (
        register_module_buffer_registration_hook,
        register_module_module_registration_hook,
        register_module_parameter_registration_hook,
    )

    thread = threading.get_ident()
    taken = 0

    def count(module: Any, name: str, made: Any) -> None:
        nonlocal taken
        if threading.get_ident() != thread:
            return
        taken += made.numel() * made.element_size() if isinstance(made, torch.Tensor) else _MODULE
        if taken > limit:
            raise ValueError("the configuration asks for a model of far more bytes than there are weights")

    hooks = [
        register(count)
        for register in (
            register_module_buffer_registration_hook,
            register_module_module_registration_hook,
            register_module_parameter_registration_hook,
        )
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class TokenizerMaterializer(Materializer):
    """Fast tokenizers of ``transformers``: all of the tokenizer itself, and the settings around it."""

    name = "transformers-tokenizer"
    format = "transformers-tokenizer"
    safe = True
    packages = ("transformers", "tokenizers")

    def accepts(self, obj: object) -> bool:
        transformers = sys.modules.get("transformers")
        return transformers is not None and isinstance(obj, transformers.PreTrainedTokenizerFast)

    def dump(self, obj: object) -> Dump:
        tokenizer: Any = obj
        cls = _own(type(tokenizer))
        folder = ScratchFolder()
        tokenizer.save_pretrained(folder.path)
        back = cls.from_pretrained(folder.path, local_files_only=True, trust_remote_code=False)
        for name, state in _tokenizer_state(tokenizer).items():
            if state != _tokenizer_state(back)[name]:
                raise Declined(f"transformers reads it back with another {name}")
        return Dump(folder.parts(), {"class": cls.__name__})

    def load(self, parts: Parts) -> object:
        if any("/" in name or not name.endswith((".json", ".jinja", ".txt", ".model")) for name in parts.names):
            raise ValueError("the folder holds other files than those of a tokenizer")
        cls = _named(parts.meta.get("class"), "PreTrainedTokenizerFast")
        with unfolded(parts) as folder:
            return cls.from_pretrained(folder, local_files_only=True, trust_remote_code=False)

    def summary(self, obj: object) -> Mapping[str, JSON]:
        tokenizer: Any = obj
        return {"class": f"transformers.{type(tokenizer).__name__}", "tokens": len(tokenizer)}


class DatasetMaterializer(Materializer):
    """``datasets.Dataset`` and ``DatasetDict``: Arrow files, features and split. Rows that a filter has left out are not kept."""

    name = "datasets"
    format = "datasets"
    safe = True
    packages = ("datasets", "pyarrow")

    def accepts(self, obj: object) -> bool:
        datasets = sys.modules.get("datasets")
        return datasets is not None and type(obj) in (datasets.Dataset, datasets.DatasetDict)

    def dump(self, obj: object) -> Dump:
        data: Any = obj
        splits: list[Any] = [data] if type(data).__name__ == "Dataset" else list(data.values())
        for item in splits:
            if item.list_indexes():
                raise Declined(
                    "it has a search index, which its folder does not keep; drop_index first, and save the index by itself"
                )
        folder = ScratchFolder()
        data.save_to_disk(folder.path)
        try:
            kind: Any = type(data)
            back = kind.load_from_disk(folder.path, keep_in_memory=False)
        except Exception as error:  # datasets 5.2 does not read back what it writes of one without rows
            raise Declined(f"datasets does not read it back: {type(error).__name__}: {error}") from error
        if _shown(back) != _shown(data):
            raise Declined("datasets reads it back with other features, rows, format or split")
        del back
        return Dump(folder.parts(), {"class": type(data).__name__})

    def load(self, parts: Parts) -> object:
        import datasets  # type: ignore[import-untyped]

        name = parts.meta.get("class")
        if name not in ("Dataset", "DatasetDict") or any(
            not part.endswith((".json", ".arrow")) for part in parts.names
        ):
            raise ValueError("the folder is not one of a data set")
        if not parts.trusted:
            for part in parts.names:
                if part.endswith(".arrow"):
                    check_stream(parts.read(part))
        with unfolded(parts) as folder:
            # In memory, for the folder is about to go.
            return getattr(datasets, str(name)).load_from_disk(folder, keep_in_memory=True)

    def summary(self, obj: object) -> Mapping[str, JSON]:
        data: Any = obj
        if isinstance(data, dict):
            return {
                "class": "DatasetDict",
                "splits": {str(name): item.num_rows for name, item in list(data.items())[:50]},
            }
        columns = {name[:80]: str(kind)[:80] for name, kind in list(data.features.items())[:50]}
        return {"class": "Dataset", "rows": data.num_rows, "columns": columns}


def _shown(data: Any) -> list[Any]:
    """What can be compared without reading rows."""
    if not isinstance(data, dict):
        return [data.features, data.num_rows, data.format, data.split]
    return [[name, *_shown(item)] for name, item in data.items()]


def _own(cls: type[Any]) -> Any:
    """*cls*, if transformers has it under its name.

    Raises:
        Declined: it is a class from elsewhere, whose code the folder would have to bring along.
    """
    import transformers

    if getattr(transformers, cls.__name__, None) is not cls:
        raise Declined(f"{cls.__module__}.{cls.__qualname__} is not a class of transformers")
    return cls


def _named(name: object, base: str) -> Any:
    import transformers

    cls = getattr(transformers, name, None) if isinstance(name, str) else None
    if not (isinstance(cls, type) and issubclass(cls, getattr(transformers, base))):
        raise ValueError(f"{name!r:.80} is no {base} of transformers {transformers.__version__}")
    return cls


def _model(cls: Any, folder: str) -> Any:
    return cls.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype="auto"
    )


def _config(model: Any) -> dict[str, Any]:
    return {
        key: value
        for key, value in model.config.to_dict().items()
        if key not in ("_name_or_path", "architectures", "dtype")
    }


def _same(one: Any, other: Any) -> bool:
    import torch

    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    left, right = (tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8) for tensor in (one, other))
    return bool(torch.equal(left, right))


def _tokenizer_state(tokenizer: Any) -> dict[str, Any]:
    return {
        "tokenizer": tokenizer.backend_tokenizer.to_str(),
        "set of special tokens": tokenizer.special_tokens_map,
        "longest input": tokenizer.model_max_length,
        "padding side": tokenizer.padding_side,
        "truncation side": tokenizer.truncation_side,
        "chat template": tokenizer.chat_template,
        "set of inputs": tokenizer.model_input_names,
    }
