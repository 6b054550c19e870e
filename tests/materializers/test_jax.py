"""JAX's arrays come back to the bit, with weak dtypes and random keys."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parts import load, roundtrip, written

from aioartifacts.materializers.jax import PART, JaxMaterializer
from aioartifacts.materializers.registry import MaterializerRegistry

JAX = JaxMaterializer()

ARRAYS: dict[str, Any] = {
    "float32": jnp.linspace(0, 1, 5),
    "bfloat16": jnp.arange(6, dtype=jnp.bfloat16).reshape(2, 3),
    "float8": jnp.array([1.5, -2], dtype=jnp.float8_e4m3fn),
    "int4": jnp.array([-8, 7, 1], dtype=jnp.int4),
    "complex": jnp.array([1 + 2j, complex("nan")]),
    "bool": jnp.array([True, False]),
    "nan payload": jax.lax.bitcast_convert_type(jnp.array([0x7FC00123, 0xFFC00001], jnp.uint32), jnp.float32),
    "empty": jnp.zeros((0, 3)),
    "zero dimensions": jnp.array(3, dtype=jnp.int8),
    "weak": jnp.asarray(3.5),
}


def bits(array: Any) -> tuple[object, ...]:
    return array.dtype, array.shape, array.weak_type, np.asarray(array).tobytes()


@pytest.mark.parametrize("name", ARRAYS)
def test_array(name: str) -> None:
    back = roundtrip(JAX, ARRAYS[name], trusted=False)
    assert type(back) is type(ARRAYS[name])
    assert bits(back) == bits(ARRAYS[name])


@pytest.mark.parametrize("implementation", ["threefry2x32", "rbg"])
def test_key(implementation: str) -> None:
    key = jax.random.split(jax.random.key(7, impl=implementation), 3)
    back = roundtrip(JAX, key, trusted=False)
    assert back.dtype == key.dtype
    assert back.shape == (3,)
    assert bits(jax.random.uniform(back[1], (4,))) == bits(jax.random.uniform(key[1], (4,)))


def test_64_bits_without_their_switch_are_an_error_rather_than_32() -> None:
    with jax.enable_x64(True):
        array = jnp.arange(3, dtype=jnp.float64)
        data, meta = written(JAX.dump(array)), JAX.dump(array).meta
        assert bits(load(JAX, data, meta)) == bits(array)
    with pytest.raises(ValueError, match="JAX_ENABLE_X64"):
        load(JAX, data, meta)


def test_deleted_array_is_refused() -> None:
    array = jnp.ones(2)
    array.delete()
    with pytest.raises(ValueError, match="deleted"):
        JAX.dump(array)


@pytest.mark.parametrize(
    "meta",
    [
        {"dtype": "float32", "shape": [1 << 40]},
        {"dtype": "object", "shape": [1]},
        {"dtype": "finfo", "shape": [1]},
        {"dtype": "float32", "shape": [-2, -1]},
        {"dtype": "float32", "shape": "2"},
        {"dtype": "uint32", "shape": [2], "key": "no such"},
    ],
    ids=str,
)
def test_hostile_descriptions_are_refused(meta: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        load(JAX, {PART: bytes(8)}, meta, trusted=False)


def test_dispatch_and_summary() -> None:
    for array in (ARRAYS["float32"], jax.random.key(0)):
        assert [candidate.format for candidate in MaterializerRegistry().candidates(array)] == ["jax", "pickle"]
    assert JAX.summary(ARRAYS["bfloat16"]) == {"shape": [2, 3], "dtype": "bfloat16"}
