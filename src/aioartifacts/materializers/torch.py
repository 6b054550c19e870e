"""PyTorch: tensors and checkpoints over their own memory, in a file that can be read without running code; modules as pickles."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import IO, Any, cast

import cloudpickle  # type: ignore[import-untyped]
import msgspec
import torch

from aioartifacts.errors import UntrustedArtifactError
from aioartifacts.materializers import glimpse
from aioartifacts.materializers.base import Declined, Dump, Materializer, Part, Parts, Producer, Sink
from aioartifacts.materializers.torch_file import layout, places
from aioartifacts.materializers.torch_tensors import TensorReader, TensorWriter, storage_reader
from aioartifacts.materializers.torch_tree import TreeReader, TreeWriter, has_tensor
from aioartifacts.types import JSON, Buffer

PART = "data.safetensors"
TREE = "aioartifacts.tree"
"""Where in the metadata of the file our part of it is: what the object is, and how its tensors lie on the entries."""
_SUMMARY_MAX = 1_000_000
"""Elements up to which the extremes of a tensor are worth showing."""
_NAMES_MAX = 50


class TorchMaterializer(Materializer):
    """Tensors and Parameters; dicts, lists and tuples with tensors in them, such as state dicts and checkpoints.

    Kept: dtype, shape, dense strides, requires_grad, which tensors are the same or overlap, sparse layouts, and the device, to which
    they return. Not part of a value: gradients and how it was computed. Loaded with ``mmap=True``, tensors are copy-on-write.
    """

    name = "torch"
    format = "torch"
    safe = True
    packages = ("torch",)

    def accepts(self, obj: object) -> bool:
        kind = type(obj)
        if kind in (torch.Tensor, torch.nn.Parameter):
            return True
        return kind in (dict, OrderedDict, list, tuple) and has_tensor(obj)

    def dump(self, obj: object) -> Dump:
        writer = TensorWriter()
        tree = TreeWriter(writer).node(obj)
        entries = writer.entries()
        text = msgspec.json.encode({"tree": tree, "tensors": writer.records}).decode()
        return Dump([Part(PART, layout(entries, {"format": "pt", TREE: text}))])

    def load(self, parts: Parts) -> object:
        size = parts.size(PART)
        if parts.options.mmap:
            with parts.open(PART) as stream:
                metadata, found = places(stream.read, size)
            # Copy on write: what parts.read would map is read-only, and torch does not know such tensors.
            file: Any = torch.UntypedStorage.from_file(parts.path(PART), False, size)
        else:
            view = parts.read(PART)
            metadata, found = places(_Reading(view), size)
            file = torch.frombuffer(view, dtype=torch.uint8).untyped_storage()
        content = msgspec.json.decode(metadata[TREE], type=dict[str, Any])
        tensors = TensorReader(content["tensors"], storage_reader(file, found, copied=not parts.options.mmap))
        return TreeReader(tensors).object(content["tree"])

    def summary(self, obj: object) -> Mapping[str, JSON]:
        return _tensor_summary(obj) if isinstance(obj, torch.Tensor) else _container_summary(obj)

    def preview(self, obj: object) -> Mapping[str, JSON]:
        if isinstance(obj, dict):
            return glimpse.entries(((key, _shown(value)) for key, value in obj.items()), len(obj))
        if isinstance(obj, torch.Tensor) and obj.layout is torch.strided and obj.device.type == "cpu":
            first = obj.detach()
            while first.ndim > 1 and first.shape[0]:
                first = first[0]
            return glimpse.items(first.reshape(-1)[: glimpse.ITEMS].tolist(), obj.numel())
        return {}


class SafetensorsMaterializer(TorchMaterializer):
    """A dict of plain tensors, on request: the same file, but declined unless every reader of safetensors sees all of it."""

    name = "safetensors"
    format = "safetensors"

    def accepts(self, obj: object) -> bool:
        return type(obj) in (dict, OrderedDict) and has_tensor(obj)

    def dump(self, obj: object) -> Dump:
        assert isinstance(obj, dict)
        storages: dict[int, str] = {}
        for name, tensor in obj.items():
            where = f"entry {name!r:.80}"
            if type(name) is not str or name == "__metadata__" or type(tensor) is not torch.Tensor:
                raise Declined(f"{where} is not a plain tensor under a name; safetensors holds nothing else")
            if tensor.layout is not torch.strided or not tensor.is_contiguous():
                raise Declined(f"{where} is not contiguous; save tensor.contiguous(), or without format='safetensors'")
            if tensor.requires_grad:
                raise Declined(f"{where} requires a gradient, which safetensors does not keep; save tensor.detach()")
            if tensor.numel() and storages.setdefault(tensor.untyped_storage().data_ptr(), name) != name:
                raise Declined(f"{where} shares memory with another one, which safetensors does not keep")
        return super().dump(obj)


class ModuleMaterializer(Materializer):
    """``torch.nn.Module``, whole: what ``torch.save`` writes with cloudpickle, so that classes of scripts and notebooks work."""

    name = "torch-module"
    format = "torch-module"
    packages = ("torch", "cloudpickle")

    def accepts(self, obj: object) -> bool:
        return isinstance(obj, torch.nn.Module) and not isinstance(obj, torch.jit.ScriptModule)

    def dump(self, obj: object) -> Dump:
        def save(sink: Sink) -> None:
            torch.save(obj, cast("IO[bytes]", _File(sink)), pickle_module=cloudpickle)

        return Dump([Part("data.pt", Producer(save))])

    def load(self, parts: Parts) -> object:
        if not parts.trusted:
            raise UntrustedArtifactError(
                "it is a pickled module, and decoding one can run any code. If you trust whoever wrote it, open the store with "
                "trust='all'; or save it with format='torch-state-dict'",
                format=self.format,
            )
        if parts.options.mmap:
            return torch.load(parts.path("data.pt"), weights_only=False, mmap=True)
        with parts.open("data.pt") as stream:
            return torch.load(stream, weights_only=False)

    def summary(self, obj: object) -> Mapping[str, JSON]:
        assert isinstance(obj, torch.nn.Module)
        parameters = list(obj.parameters())
        return {
            "class": f"{type(obj).__module__}.{type(obj).__qualname__}",
            "parameters": sum(p.numel() for p in parameters if not torch.nn.parameter.is_lazy(p)),
            "trainable": sum(p.numel() for p in parameters if p.requires_grad and not torch.nn.parameter.is_lazy(p)),
            "dtypes": sorted({str(p.dtype).removeprefix("torch.") for p in parameters}),
            "layers": {name: type(child).__qualname__ for name, child in list(obj.named_children())[:_NAMES_MAX]},
            "training": obj.training,
        }


class StateDictMaterializer(TorchMaterializer):
    """What a module has learnt, on request: its ``state_dict()``, which is also what ``load`` returns."""

    name = "torch-state-dict"
    format = "torch-state-dict"

    def accepts(self, obj: object) -> bool:
        return isinstance(obj, torch.nn.Module) or (type(obj) in (dict, OrderedDict) and has_tensor(obj))

    def dump(self, obj: object) -> Dump:
        return super().dump(obj.state_dict() if isinstance(obj, torch.nn.Module) else obj)

    def summary(self, obj: object) -> Mapping[str, JSON]:
        return super().summary(obj.state_dict() if isinstance(obj, torch.nn.Module) else obj)


def _shown(value: object) -> object:
    return f"tensor {tuple(value.shape)}" if isinstance(value, torch.Tensor) else value


class _Reading:
    """Reads a buffer from its beginning."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._position = 0

    def __call__(self, size: int) -> memoryview:
        piece = self._view[self._position : self._position + size]
        self._position += size
        return piece


class _File:
    """As much of a file as ``torch.save`` asks for."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, data: Buffer) -> int:
        self._sink.write(data)
        return memoryview(data).nbytes

    def flush(self) -> None:
        """A sink has nothing to flush."""


def _tensor_summary(tensor: torch.Tensor) -> dict[str, JSON]:
    found: dict[str, JSON] = {
        "shape": list(tensor.shape),
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "device": str(tensor.device),
    }
    if tensor.requires_grad:
        found["requires_grad"] = True
    if tensor.layout is not torch.strided:
        found["layout"] = str(tensor.layout).removeprefix("torch.")
    elif 0 < tensor.numel() <= _SUMMARY_MAX and tensor.device.type == "cpu":
        plain = tensor.detach()
        if plain.dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64) or (
            plain.dtype in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
        ):
            low, high = (value.item() for value in plain.aminmax())
            if math.isfinite(low) and math.isfinite(high):
                found["min"], found["max"] = low, high
    return found


def _container_summary(obj: Any) -> dict[str, JSON]:
    found: dict[str, JSON] = {"class": type(obj).__name__, "entries": len(obj)}
    items = list(obj.items() if isinstance(obj, dict) else enumerate(obj))
    found["items"] = {
        f"{name}"[:80].encode("utf-8", "replace").decode(): _brief(value) for name, value in items[:_NAMES_MAX]
    }
    tensors = [value for _, value in items if isinstance(value, torch.Tensor)]
    if tensors:
        found["elements"] = sum(tensor.numel() for tensor in tensors)
        found["dtypes"] = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors})
    return found


def _brief(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, (dict, list, tuple)) else type(value).__name__
