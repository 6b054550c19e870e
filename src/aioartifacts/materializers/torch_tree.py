"""What a checkpoint is besides its tensors: dicts, lists and values of exactly the types below, as tagged JSON.

Anything else is declined, so that no code is needed to read it back.
"""

from __future__ import annotations

import base64
import math
import sys
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

import torch

from aioartifacts.materializers.base import Declined
from aioartifacts.materializers.torch_tensors import TensorReader, TensorWriter, dtype_of
from aioartifacts.types import JSON

DEPTH = 100
"""Levels of nesting."""
SEARCH_MAX = 10_000
"""Nodes looked at to find out whether there is a tensor among them."""

_TENSORS = (torch.Tensor, torch.nn.Parameter)
_MAPPINGS: dict[type[Any], str] = {dict: "dict", OrderedDict: "OrderedDict", Counter: "Counter"}
_SEQUENCES: dict[type[Any], str] = {
    list: "list",
    tuple: "tuple",
    set: "set",
    frozenset: "frozenset",
    torch.Size: "Size",
}
_MAKERS: dict[str, Callable[[list[Any]], Any]] = {tag: kind for kind, tag in _SEQUENCES.items()}
_ARRAYS = frozenset("?bhilqBHILQefdFD")
"""NumPy's characters for the dtypes that torch has as well."""


def has_tensor(obj: object) -> bool:
    """Whether *obj*, a container, has a tensor somewhere within its first `SEARCH_MAX` nodes."""
    level: list[Any] = [obj]
    seen = 0
    known: set[int] = set()
    while level and seen < SEARCH_MAX:
        below: list[Any] = []
        for item in level:
            seen += 1
            kind = type(item)
            if kind in _TENSORS:
                return True
            if seen >= SEARCH_MAX:
                break
            if (kind in _MAPPINGS or kind in _SEQUENCES) and id(item) not in known:
                known.add(id(item))
                below += item.values() if kind in _MAPPINGS else item
        level = below
    return False


class TreeWriter:
    """Nodes of JSON for an object; its tensors go to *tensors*."""

    def __init__(self, tensors: TensorWriter) -> None:
        self._tensors = tensors
        self._containers: set[int] = set()

    def node(self, obj: Any, path: str = "", depth: int = 0) -> JSON:
        kind = type(obj)
        if obj is None or kind is bool:
            return obj  # type: ignore[no-any-return]
        if kind is int:
            return obj if -(1 << 63) <= obj < 1 << 63 else ["int", hex(obj)]
        if kind is float:
            # Payloads of nan are not looked at: a Python float cannot show them.
            return obj if math.isfinite(obj) else ["float", repr(obj)]
        if kind is str:
            try:
                obj.encode()
            except UnicodeEncodeError:
                raise Declined(f"a str at {path or 'the top'} has lone surrogates") from None
            return obj  # type: ignore[no-any-return]
        if kind in _TENSORS:
            return ["tensor", self._tensors.add(obj, path)]
        if kind is complex:
            return ["complex", repr(obj.real), repr(obj.imag)]
        if kind is bytes:
            return ["bytes", base64.b64encode(obj).decode()]
        if kind in (torch.dtype, torch.device):
            return [kind.__name__, str(obj).removeprefix("torch.")]
        if kind in _MAPPINGS or kind in _SEQUENCES:
            return self._container(obj, path, depth)
        return self._numpy(obj, path)

    def _container(self, obj: Any, path: str, depth: int) -> JSON:
        if depth >= DEPTH:
            raise Declined(f"it is nested more than {DEPTH} deep")
        if type(obj) not in (tuple, frozenset, torch.Size):
            if id(obj) in self._containers:
                raise Declined(f"the {type(obj).__name__} at {path or 'the top'} occurs in it twice, or within itself")
            self._containers.add(id(obj))
        prefix = f"{path}." if path else ""
        if type(obj) in _SEQUENCES:
            return [_SEQUENCES[type(obj)], [self.node(v, f"{prefix}{i}", depth + 1) for i, v in enumerate(obj)]]
        pairs = [
            [self.node(k, f"{prefix}key", depth + 1), self.node(v, f"{prefix}{k}", depth + 1)] for k, v in obj.items()
        ]
        attributes = vars(obj) if type(obj) is not dict else {}
        if not attributes:
            return [_MAPPINGS[type(obj)], pairs]
        if attributes.keys() != {"_metadata"}:  # which is what Module.state_dict adds
            raise Declined(f"the {type(obj).__name__} at {path or 'the top'} carries attributes of its own")
        return [_MAPPINGS[type(obj)], pairs, self.node(attributes["_metadata"], f"{prefix}_metadata", depth + 1)]

    def _numpy(self, obj: Any, path: str) -> JSON:
        """NumPy's plain arrays and scalars, which are common as states of generators and as metrics."""
        numpy = sys.modules.get("numpy")
        if numpy is not None and (type(obj) is numpy.ndarray or isinstance(obj, numpy.generic)):
            array = numpy.array(obj, order="C")
            scalar = type(obj) is not numpy.ndarray
            if array.dtype.char in _ARRAYS and array.dtype.isnative and (not scalar or type(obj) is array.dtype.type):
                back: Any = torch.from_numpy(array.reshape(-1)).reshape(array.shape)
                if back.numpy().dtype.char == array.dtype.char:
                    return ["scalar" if scalar else "array", self._tensors.add(back, path)]
        raise Declined(f"there is a {type(obj).__module__}.{type(obj).__qualname__} at {path or 'the top'}")


class TreeReader:
    """The object of such nodes."""

    def __init__(self, tensors: TensorReader) -> None:
        self._tensors = tensors

    def object(self, node: Any, depth: int = 0) -> Any:
        if not isinstance(node, list):
            if isinstance(node, dict):
                raise ValueError("the tree of the checkpoint is damaged")
            return node
        if depth > DEPTH:
            raise ValueError("the tree of the checkpoint is nested too deeply")
        tag, value = node[0], node[1]
        match tag:
            case "tensor":
                return self._tensors.get(value)
            case "array":
                return self._tensors.get(value).numpy()
            case "scalar":
                return self._tensors.get(value).numpy()[()]
            case "int":
                return int(value, 16)
            case "float":
                return float(value)
            case "complex":
                return complex(float(value), float(node[2]))
            case "bytes":
                return base64.b64decode(value, validate=True)
            case "dtype":
                return dtype_of(value)
            case "device":
                return torch.device(value)
            case "dict":
                return dict(self._pairs(value, depth))
            case "OrderedDict" | "Counter":
                made: Any = (
                    OrderedDict(self._pairs(value, depth))
                    if tag == "OrderedDict"
                    else Counter(dict(self._pairs(value, depth)))
                )
                if len(node) > 2:
                    made._metadata = self.object(node[2], depth + 1)
                return made
        if tag in _MAKERS:
            return _MAKERS[tag]([self.object(item, depth + 1) for item in value])
        raise ValueError(f"unknown node {tag!r:.80} in the tree of the checkpoint")

    def _pairs(self, pairs: Any, depth: int) -> list[tuple[Any, Any]]:
        return [(self.object(key, depth + 1), self.object(value, depth + 1)) for key, value in pairs]
