"""Models of pydantic: fields, which of them were set, extra and private attributes, and nothing beyond."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from parts import load, roundtrip, written
from pydantic import BaseModel, ConfigDict, PrivateAttr, RootModel

from aioartifacts.materializers.dataclasses import PydanticMaterializer

PYDANTIC = PydanticMaterializer()


class Plain(BaseModel):
    a: Any
    b: int = 5


class Open(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)
    a: Any = None
    _note: Any = PrivateAttr(default=(1, 2))


class Root(RootModel[list[int]]):
    pass


MODELS: dict[str, Callable[[], BaseModel]] = {
    "set and not set": lambda: Plain(a=1),
    "nested": lambda: Plain(a=[Plain(a=(1,), b=5)]),
    "extra and private": lambda: Open(a=1, zz={2}),
    "a single value": lambda: Root([1, 2]),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back_exactly(name: str) -> None:
    model = MODELS[name]()
    back = roundtrip(PYDANTIC, model, trusted=False)
    assert back == model
    assert vars(back) == vars(model)
    for kept in ("__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__"):
        assert getattr(back, kept) == getattr(model, kept)


def test_a_state_that_a_class_has_no_place_for_is_refused() -> None:
    dump = PYDANTIC.dump(Root([1]))
    data = {part: text.replace(b'"extra":null', b'"extra":{}') for part, text in written(dump).items()}
    with pytest.raises(ValueError, match="has no __pydantic_extra__ now"):
        load(PYDANTIC, data, dump.meta)
