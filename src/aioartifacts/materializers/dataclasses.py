"""Instances that are their fields: of dataclasses, named tuples, attrs, msgspec.Struct, pydantic; members of enums.

Written as typed JSON under the class's import path; see ``typed_classes`` for which classes qualify, and
``typed_json`` for what their fields may hold. The rest is declined, local classes and those of ``__main__`` included,
and left to pickle.

Safe: no code of the class runs on loading. Where the artifact is not trusted, the class's module has to be imported
already.
"""

from __future__ import annotations

from collections.abc import Mapping

from aioartifacts.errors import DecodeError
from aioartifacts.materializers.base import Declined, Dump, Materializer, Parts
from aioartifacts.materializers.typed_classes import check_class, kind_of
from aioartifacts.materializers.typed_json import decode, encode
from aioartifacts.types import JSON


class DataclassMaterializer(Materializer):
    """Instances of dataclasses. The format's name is the kind of class."""

    name = "dataclass"
    format = "dataclass"
    safe = True

    def accepts(self, obj: object) -> bool:
        return kind_of(type(obj)) == self.format

    def dump(self, obj: object) -> Dump:
        if not self.accepts(obj):
            raise Declined(f"{type(obj).__qualname__} is not of the kind {self.format}")
        return encode(obj, plain=False)

    def load(self, parts: Parts) -> object:
        loaded = decode(parts)
        if kind_of(type(loaded)) != self.format:
            raise DecodeError(f"it holds a {type(loaded).__qualname__}, which is not of the kind {self.format}")
        return loaded

    def check_loadable(self, type: str, meta: Mapping[str, JSON], *, trusted: bool) -> None:
        check_class(type, self.format, trusted=trusted)

    def summary(self, obj: object) -> Mapping[str, JSON]:
        return {"class": f"{type(obj).__module__}.{type(obj).__qualname__}"}


class NamedTupleMaterializer(DataclassMaterializer):
    """Named tuples."""

    name = "namedtuple"
    format = "namedtuple"


class AttrsMaterializer(DataclassMaterializer):
    """Instances of attrs classes."""

    name = "attrs"
    format = "attrs"
    packages = ("attrs",)


class StructMaterializer(DataclassMaterializer):
    """Instances of msgspec.Struct."""

    name = "msgspec"
    format = "msgspec"
    packages = ("msgspec",)


class PydanticMaterializer(DataclassMaterializer):
    """Instances of pydantic models (version 2): fields, extra and private attributes, and which fields were set."""

    name = "pydantic"
    format = "pydantic"
    packages = ("pydantic",)


class EnumMaterializer(DataclassMaterializer):
    """Single members of enums, by name."""

    name = "enum"
    format = "enum"
