"""JAX: arrays as the bytes of their elements and the name of their dtype; keys of random numbers as the data in them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from aioartifacts.materializers.base import Buffers, Declined, Dump, Materializer, Part, Parts
from aioartifacts.types import JSON

PART = "data.bin"


class JaxMaterializer(Materializer):
    """``jax.Array`` on any number of local devices; comes back on the default one.

    Kept: dtype, shape, and whether the dtype is weak. Keys made by ``jax.random.key`` keep their implementation.
    """

    name = "jax"
    format = "jax"
    safe = True
    packages = ("jax", "jaxlib", "numpy")

    def accepts(self, obj: object) -> bool:
        import jax
        import jax.core

        return isinstance(obj, jax.Array) and not isinstance(obj, jax.core.Tracer)

    def dump(self, obj: object) -> Dump:
        import jax

        array: Any = obj
        if array.is_deleted():
            raise ValueError("the array has been deleted, or donated to a computation")
        meta: dict[str, JSON] = {}
        if jax.numpy.issubdtype(array.dtype, jax.dtypes.prng_key):
            implementation = str(jax.random.key_impl(array))
            array = jax.random.key_data(array)
            meta["key"] = implementation
        if not array.is_fully_addressable:
            raise Declined(
                "parts of the array are on other machines; gather it first (jax.experimental.multihost_utils)"
            )
        values = np.ascontiguousarray(np.asarray(array)).reshape(array.shape)
        if _dtype(values.dtype.name) != values.dtype:
            raise Declined(f"dtype {values.dtype} is not one of JAX's under its own name")
        meta |= {"dtype": values.dtype.name, "shape": list(values.shape), "weak": bool(array.weak_type)}
        data: Any = values.reshape(-1).view(np.uint8)
        return Dump([Part(PART, Buffers(data))], meta)

    def load(self, parts: Parts) -> object:
        import jax
        import jax.numpy as jnp

        meta = parts.meta
        dtype = _dtype(meta["dtype"])
        shape: Any = meta["shape"]
        if not isinstance(shape, list) or any(type(size) is not int or size < 0 for size in shape):
            raise ValueError("the shape is none")
        data = parts.read(PART)
        if math.prod(shape) * dtype.itemsize != data.nbytes:
            raise ValueError(f"{data.nbytes} bytes do not make an array of shape {tuple(shape)} and dtype {dtype}")
        array = jnp.array(np.frombuffer(data, dtype).reshape(shape), copy=True)
        if array.dtype != dtype:
            raise ValueError(
                f"this process has no {dtype} in JAX; set jax_enable_x64 (JAX_ENABLE_X64=1) before loading"
            )
        if meta.get("weak"):
            array = _weak(array)
        key = meta.get("key")
        return array if key is None else jax.random.wrap_key_data(array, impl=str(key))

    def summary(self, obj: object) -> Mapping[str, JSON]:
        array: Any = obj
        return {"shape": list(array.shape), "dtype": str(array.dtype)}


def _weak(array: Any) -> Any:
    """The same array with a weak dtype, as Python's numbers have it. There is no public way to ask for one."""
    from jax._src.lax.lax import _convert_element_type

    return _convert_element_type(array, array.dtype, weak_type=True)


def _dtype(name: object) -> np.dtype[Any]:
    import ml_dtypes

    if not isinstance(name, str):
        raise ValueError("the dtype has no name")
    scalar = getattr(ml_dtypes, name, None)
    if isinstance(scalar, type) and issubclass(scalar, np.generic):
        return np.dtype(scalar)
    dtype = np.dtype(name)
    if dtype.kind not in "biufc":
        raise ValueError(f"{name!r:.80} is no dtype of JAX")
    return dtype
