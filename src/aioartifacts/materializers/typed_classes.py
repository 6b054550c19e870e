"""Typed JSON, instances: classes that can be taken apart into fields and put together without running their code.

A class qualifies when an instance is its fields and nothing else: no pickling of its own, no ``__del__``, no property
in a field's place, no base written in C, and a name under which it is found again. Instances are rebuilt without
``__init__``, ``__post_init__``, ``__new__`` or ``__setattr__`` of the class, so what was saved comes back as it was,
and an artifact cannot make a constructor run.

Where code is not to be run, a class is looked up among the modules already imported, and nowhere else.
"""

from __future__ import annotations

import copyreg
import dataclasses
import enum
import importlib
import importlib.util
import re
import sys
import types
from dataclasses import dataclass
from typing import Any

import msgspec

from aioartifacts.errors import UntrustedArtifactError
from aioartifacts.materializers.typed_scalars import Refused

KINDS = ("dataclass", "namedtuple", "attrs", "msgspec", "pydantic", "enum")

_HEAP = 1 << 9  # Py_TPFLAGS_HEAPTYPE: the class was made by a class statement
_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_PICKLING = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__getnewargs__", "__getnewargs_ex__")
_GENERATED = {
    "dataclass": ("dataclasses",),
    "namedtuple": ("__getnewargs__",),
    "attrs": ("attr._make",),
    "pydantic": ("pydantic.main", "pydantic.root_model"),
}
_PYDANTIC = ("__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")


@dataclass(frozen=True, slots=True)
class Shape:
    """A class that qualifies."""

    cls: type
    kind: str
    path: str
    """``module:qualname``."""
    fields: tuple[str, ...]
    """In order; empty for an enum."""
    slots: tuple[str, ...]


def shape_of(cls: type) -> Shape | None:
    """The shape of *cls*; None when it is of no known kind.

    Raises:
        Refused: it is of a known kind, and does not qualify; the message says why.
    """
    kind = kind_of(cls)
    if kind is None:
        return None
    path = _path_of(cls)
    reason = _unfit(cls, kind)
    if reason is not None:
        raise Refused(f"{path}: {reason}")
    return Shape(cls, kind, path, _fields(cls, kind), _slots(cls))


def take_apart(shape: Shape, obj: Any) -> list[Any] | dict[str, Any] | str:
    """The state of *obj*: a member's name, a named tuple's items, or a dict that `put_together` understands.

    Raises:
        Refused: *obj* holds more, or less, than its class says.
    """
    if shape.kind == "enum":
        name = obj._name_
        if type(name) is not str or shape.cls.__dict__["_member_map_"].get(name) is not obj:
            raise Refused(f"{shape.path}: not a single member")
        return name
    state = dict(getattr(obj, "__dict__", ()))
    if shape.kind == "namedtuple":
        if state or tuple.__len__(obj) != len(shape.fields):
            raise Refused(f"{shape.path}: more than its fields")
        return list(tuple.__iter__(obj))
    if shape.kind == "msgspec":
        try:
            state.update({name: getattr(obj, name) for name in shape.fields})
        except AttributeError as error:
            raise Refused(f"{shape.path}: its field {error.name!r} is not set") from None
    else:
        for name in shape.slots:
            try:
                state[name] = object.__getattribute__(obj, name)
            except AttributeError:
                continue  # a slot that was never filled stays so
    extra = [state.pop(name, None) for name in _PYDANTIC] if shape.kind == "pydantic" else []
    beyond = [name for name in state if name not in shape.fields or type(name) is not str]
    if beyond:
        raise Refused(f"{shape.path}: state beyond its fields: {beyond[0]!r}")
    # The live __dict__, not the copy: identity is what tells shared objects.
    return dict(zip(("fields", "set", "extra", "private"), (obj.__dict__, *extra), strict=True)) if extra else state


def put_together(shape: Shape, state: Any) -> Any:
    """The inverse of `take_apart`; runs no code of the class.

    Raises:
        ValueError: *state* is not a state of that class.
    """
    cls = shape.cls
    if shape.kind == "enum":
        members = cls.__dict__["_member_map_"]
        if type(state) is not str or state not in members:
            raise ValueError(f"{shape.path} has no such member")
        return members[state]
    if shape.kind == "namedtuple":
        if type(state) is not list or len(state) != len(shape.fields):
            raise ValueError(f"{shape.path} has {len(shape.fields)} fields now")
        return tuple.__new__(cls, state)
    if type(state) is not dict:
        raise ValueError(f"{shape.path}: not a state")
    extra: dict[str, Any] = {}
    if shape.kind == "pydantic":
        if state.keys() != {"fields", "set", "extra", "private"} or type(state["fields"]) is not dict:
            raise ValueError(f"{shape.path}: not a state")
        if type(state["set"]) is not set or not all(type(state[name]) in (dict, type(None)) for name in ("extra", "private")):
            raise ValueError(f"{shape.path}: not a state")
        extra = dict(zip(_PYDANTIC, (state["set"], state["extra"], state["private"]), strict=True))
        state = state["fields"]
    if not state.keys() <= set(shape.fields):
        raise ValueError(f"{shape.path} has other fields now")
    if shape.kind == "msgspec":
        return cls(**state)  # Struct's own constructor, in C: `_unfit` has seen to that
    made: Any = object.__new__(cls)
    for name, value in (*state.items(), *extra.items()):
        if name in extra and not isinstance(_found_in(cls, name), types.MemberDescriptorType):
            if value is not None:
                raise ValueError(f"{shape.path} has no {name} now")
            continue  # a RootModel has it once for all
        object.__setattr__(made, name, value)
    return made


def find(path: object, kind: str, *, trusted: bool) -> Shape:
    """The class that a ``module:qualname`` names.

    Raises:
        ValueError: there is none, or it is not of *kind*, or does not qualify.
        UntrustedArtifactError: its module is not imported, and *trusted* is false.
    """
    module, _, qualname = path.partition(":") if type(path) is str and len(path) < 1000 else ("", "", "")
    if not _NAME.fullmatch(module) or not _NAME.fullmatch(qualname):
        raise ValueError("not the name of a class")
    if trusted:
        importlib.import_module(module)
    elif module not in sys.modules:
        raise UntrustedArtifactError(
            f"it holds a {qualname} of the module {module!r}, which is not imported here, and importing it would run code. "
            f"Import {module} first; or, if you trust whoever wrote this, open the store with trust='all'",
            format=kind,
        )
    cls = _walk(module, qualname)
    try:
        shape = shape_of(cls) if isinstance(cls, type) else None
    except Refused as refused:
        raise ValueError(refused.reason) from None
    if shape is None or shape.kind != kind:
        raise ValueError(f"{path} is not a {kind}")
    return shape


def check_class(name: str, kind: str, *, trusted: bool) -> None:
    """Raise what `find` would for the class of the qualified *name*, as far as that shows without an import."""
    names = name.split(".") if len(name) < 1000 else [""]
    # Where the module ends and the class begins, the name does not tell.
    for end in range(len(names) - 1, 0, -1):
        module, qualname = ".".join(names[:end]), ".".join(names[end:])
        if module in sys.modules:
            if isinstance(_walk(module, qualname), type) or "__path__" not in getattr(sys.modules[module], "__dict__", {}):
                find(f"{module}:{qualname}", kind, trusted=False)
                return
            break  # a package: the class may lie in a module of it that is not imported
    if not trusted:
        find(f"{'.'.join(names[:-1])}:{names[-1]}", kind, trusted=False)
    elif names[0] not in sys.modules and (not names[0] or importlib.util.find_spec(names[0]) is None):
        raise ModuleNotFoundError(f"it is a {name[:1000]}, and there is no module {names[0]!r} here", name=names[0])


def hashes_by_itself(shape: Shape) -> bool:
    """Whether hashing and comparing an instance runs generated or built-in code only."""
    if shape.kind == "enum":
        return True
    for name in ("__hash__", "__eq__"):
        code = getattr(getattr(shape.cls, name), "__code__", None)
        if code is not None and not code.co_filename.startswith("<"):
            return False
    return True


def kind_of(cls: type) -> str | None:
    """Which of `KINDS` the class is of, whether or not it qualifies."""
    if issubclass(cls, enum.Enum):
        return "enum"
    if issubclass(cls, tuple):
        fields = getattr(cls, "_fields", None)
        named = type(fields) is tuple and hasattr(cls, "_make") and all(type(name) is str for name in fields)
        return "namedtuple" if named else None
    if isinstance(cls, type(msgspec.Struct)):
        return "msgspec"
    if type(getattr(cls, "__pydantic_fields__", None)) is dict and not hasattr(cls, "__dataclass_fields__"):
        return "pydantic"
    if hasattr(cls, "__attrs_attrs__"):
        return "attrs"
    return "dataclass" if hasattr(cls, "__dataclass_fields__") else None


def _path_of(cls: type) -> str:
    module, qualname = cls.__module__, cls.__qualname__
    path = f"{module}:{qualname}"
    if module == "__main__" or "<locals>" in qualname:
        raise Refused(f"{path}: a class that another process cannot import")
    if not _NAME.fullmatch(module) or not _NAME.fullmatch(qualname) or _walk(module, qualname) is not cls:
        raise Refused(f"{path}: the name leads to something else")
    return path


def _walk(module: str, qualname: str) -> object:
    # vars(), never getattr: a module's __getattr__ may import, and a class's descriptors may do anything.
    found: object = sys.modules.get(module)
    for name in qualname.split("."):
        found = getattr(found, "__dict__", {}).get(name) if isinstance(found, (types.ModuleType, type)) else None
    return found


def _unfit(cls: type, kind: str) -> str | None:
    for base in cls.__mro__:
        if base is object or (base is tuple and kind == "namedtuple") or kind == "enum":
            continue
        if not base.__flags__ & _HEAP and base not in msgspec.Struct.__mro__:
            return f"its base {base.__qualname__} has state of its own"
        if "__del__" in base.__dict__:
            return "it has a __del__"
        for name in _PICKLING:
            method = base.__dict__.get(name)
            if method is not None and base not in msgspec.Struct.__mro__ and not _is_generated(method, name, kind):
                return f"it has a {name} of its own"
        if kind == "msgspec" and base not in msgspec.Struct.__mro__ and {"__init__", "__new__", "__post_init__"} & base.__dict__.keys():
            return "it has a constructor of its own"
    if kind == "msgspec" and type(cls) is not type(msgspec.Struct):
        return "it has a metaclass of its own"
    if cls in copyreg.dispatch_table:
        return "copyreg knows how to pickle it"
    if kind in ("dataclass", "attrs", "pydantic"):
        return _behind_descriptor(cls, _fields(cls, kind))
    return None


def _is_generated(method: object, name: str, kind: str) -> bool:
    known = _GENERATED.get(kind, ())
    if name in known:
        return True
    code = getattr(method, "__code__", None)
    home = getattr(method, "__globals__", {}).get("__name__") if code is not None else None
    return home in known


def _behind_descriptor(cls: type, fields: tuple[str, ...]) -> str | None:
    for name in fields:
        found = _found_in(cls, name)
        if hasattr(type(found), "__set__") and not isinstance(found, types.MemberDescriptorType):
            return f"its field {name!r} is a {type(found).__qualname__}"
    return None


def _found_in(cls: type, name: str) -> object:
    """What the class, or a base of it, has under a name, as it is; else None."""
    return next((base.__dict__[name] for base in cls.__mro__ if name in base.__dict__), None)


def _fields(cls: Any, kind: str) -> tuple[str, ...]:
    if kind == "dataclass":
        return tuple(field.name for field in dataclasses.fields(cls))
    if kind == "namedtuple":
        return tuple(cls._fields)
    if kind == "attrs":
        return tuple(attribute.name for attribute in cls.__attrs_attrs__)
    if kind == "msgspec":
        return tuple(cls.__struct_fields__)
    return tuple(cls.__pydantic_fields__) if kind == "pydantic" else ()


def _slots(cls: type) -> tuple[str, ...]:
    # The descriptors, not __slots__: those are mangled, may be a spent iterator, and name __dict__ and __weakref__ as well.
    found = [
        name
        for base in cls.__mro__
        for name, member in base.__dict__.items()
        if isinstance(member, types.MemberDescriptorType) and base.__flags__ & _HEAP
    ]
    return tuple(dict.fromkeys(found))
