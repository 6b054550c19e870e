"""What pickling, left to itself, changes without a word: kept here, or refused with the reason.

cloudpickle makes bytes of a view and a StringIO of an open file. NumPy forgets the attributes of a subclass's instances, of masked
arrays whether there is a mask and whether it is hard, and in which order the bytes of numbers are; pandas forgets the attributes of a
frame, and on which side of a change of the clocks a Timestamp is. Exceptions are built by a call of their class with their ``args``,
which other arguments than those fail, and without their cause; members of enums by their values, which may be a NaN; and msgspec forgets
the attributes of a Struct.

Plain ``pickle.load`` reads what is made of it, where aioartifacts is installed.
"""

from __future__ import annotations

import copyreg
import io
import sys
from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from pickle import PickleBuffer
from types import MemberDescriptorType
from typing import Any

from msgspec import Struct

Reduced = tuple[Any, ...]

_HEAP = 1 << 9  # Py_TPFLAGS_HEAPTYPE: the class was made by a class statement
_PARTS_OF_MEMMAP = frozenset({"_mmap", "filename", "offset", "mode"})
_KNOWN_TO_MASKED = frozenset(
    {"_mask", "_fill_value", "_hardmask", "_sharedmask", "_isfield", "_baseclass", "_optinfo", "_basedict"}
)


def reducers() -> Mapping[type, Callable[[Any], Any]]:
    """For exact types, those of libraries that are imported: what pickle calls a dispatch table."""
    found: dict[type, Callable[[Any], Any]] = {memoryview: _view, io.TextIOWrapper: _open_text}
    numpy: Any = sys.modules.get("numpy")
    for name, plain in (("str_", str), ("bytes_", bytes)):
        # NumPy 2.4 pickles them as arrays, which lose a NUL at the end; tests/fidelity would tell.
        scalar = getattr(numpy, name, None)
        if scalar is not None:
            found[scalar] = partial(_remade, plain)
    timestamp = getattr(sys.modules.get("pandas"), "Timestamp", None)
    if timestamp is not None:
        found[timestamp] = _timestamp
    return found


def reducer_of(cls: type) -> Callable[[Any], Reduced | None] | None:
    """What reduces instances of *cls*, or gives None to leave it to pickle; None when pickle alone does it right."""
    if cls in copyreg.dispatch_table:
        return None
    if issubclass(cls, BaseException):
        return _exception if _has_those_of(cls, _solid(cls)) else None
    if issubclass(cls, Enum):
        return _member if _has_those_of(cls, Enum) else None
    if isinstance(cls, type(Struct)):
        return _struct if _has_those_of(cls, Struct) else None
    array: Any = getattr(sys.modules.get("numpy"), "ndarray", None)
    if array is not None and issubclass(cls, array):
        masked: Any = sys.modules["numpy"].ma.MaskedArray
        if issubclass(cls, masked):
            return _masked if _has_those_of(cls, masked) else None
        return _plain_array if cls is array else _array if _has_those_of(cls, array) else None
    pandas = sys.modules.get("pandas")
    for frame in (getattr(pandas, "DataFrame", None), getattr(pandas, "Series", None)):
        if frame is not None and issubclass(cls, frame):
            return _frame if _has_those_of(cls, frame) else None
    return None


def with_attributes(made: Any, state: tuple[Any, dict[str, Any]]) -> None:
    """Give an object its own state, and then attributes that are no part of it. Pickles call this by its name: it must stay."""
    own, attributes = state
    if own is not None:
        made.__setstate__(own)
    vars(made).update(attributes)


def with_state(error: BaseException, state: dict[str, Any]) -> None:
    """Give an exception its state, whatever its class makes of setting attributes. Pickles call this too."""
    for name, value in state.items():
        BaseException.__setattr__(error, name, value)


def attributes_of(frame: Any) -> dict[str, Any]:
    """What somebody has set on a DataFrame or a Series that pandas neither knows nor keeps."""
    cls: Any = type(frame)
    known = cls._metadata
    return {n: v for n, v in vars(frame).items() if n[:1] != "_" and n not in known and not hasattr(cls, n)}


def extra_of_masked(masked: Any) -> dict[str, Any]:
    """What somebody has set on a masked array."""
    return {name: value for name, value in vars(masked).items() if name not in _KNOWN_TO_MASKED}


def _has_those_of(cls: type, base: type) -> bool:
    """Whether *cls* leaves it to *base* how its instances are pickled."""
    names = ("__reduce__", "__reduce_ex__", "__setstate__", "__getstate__")
    return all(getattr(cls, name, None) is getattr(base, name, None) for name in names)


def _solid(cls: type) -> type:
    """The first of its bases that is written in C."""
    return next(base for base in cls.__mro__ if not base.__flags__ & _HEAP)


def _view(view: memoryview) -> Reduced:
    if not view.c_contiguous or len(view.format.lstrip("@")) != 1 or (not view.nbytes and view.ndim != 1):
        raise TypeError("it is strided, or its items are no plain numbers; save bytes(view), or the object it is a view of")
    data: Any = PickleBuffer(view.cast("B")) if view.nbytes else b"" if view.readonly else bytearray()
    if view.ndim == 1:
        return (memoryview, (data,)) if view.format == "B" else (memoryview.cast, (memoryview(data), view.format))
    return memoryview.cast, (memoryview(data), view.format, view.shape)


def _open_text(file: io.TextIOWrapper) -> Reduced:
    for name in ("stdout", "stderr"):
        if file is getattr(sys, name):
            return getattr, (sys, name)
    raise TypeError("an open file is no data; save what it holds, or its Path")


def _remade(plain: Any, scalar: Any) -> Reduced:
    """Pickle a scalar that is also a str or bytes by what it says."""
    return type(scalar), (plain.__getitem__(scalar, slice(None)),)


def _timestamp(stamp: Any) -> Any:
    if stamp.fold and stamp.tzinfo is None:
        return partial(type(stamp).replace, fold=1), (stamp.replace(fold=0),)
    return stamp.__reduce__()


def _exception(error: Any) -> Reduced | None:
    cls: Any = type(error)
    solid: Any = _solid(cls)
    # Where C code has a state of its own, a call with args gives it; elsewhere there is none but this.
    plain = solid.__basicsize__ == BaseException.__basicsize__ and cls.__new__ is solid.__new__
    made_anew = plain and cls.__init__ is not solid.__init__
    function, args, *rest = error.__reduce__()
    own: dict[str, Any] = (rest[0] if rest else None) or {}
    state = dict(own)
    for base in cls.__mro__:
        for name, member in vars(base).items() if base.__flags__ & _HEAP else ():
            if isinstance(member, MemberDescriptorType) and hasattr(error, name):
                state[name] = getattr(error, name)
    if error.__context__ is not None:
        state["__context__"] = error.__context__
    if error.__cause__ is not None:
        state["__cause__"] = error.__cause__
    if error.__suppress_context__:
        state["__suppress_context__"] = True
    barred = bool(state) and cls.__setattr__ is not solid.__setattr__  # as in a frozen dataclass
    if not made_anew and not barred and len(state) == len(own):
        return None
    if made_anew:
        function, args = copyreg.__newobj__, (cls, *error.args)  # type: ignore[attr-defined]  # what object pickles by; typeshed leaves it out
    return (function, args, state, None, None, with_state) if barred else (function, args, state or None)


def _member(member: Any) -> Reduced | None:
    if type(member._value_) in (int, str, bytes, tuple) or type(member).__dict__["_member_map_"].get(member._name_) is not member:
        return None
    return getattr, (type(member), member._name_)  # a NaN is not found by its value, nor a list that has changed


def _struct(struct: Any) -> Reduced | None:
    attributes = getattr(struct, "__dict__", None)
    return (*struct.__reduce__(), (None, attributes), None, None, with_attributes) if attributes else None


def _plain_array(array: Any) -> Reduced | None:
    dtype = array.dtype
    if dtype.isnative or dtype.names is not None:
        return None
    if dtype.kind in "mM":
        return type(array).view, (array.view(f"{dtype.byteorder}i8"), dtype)
    # One without gaps keeps the order of its bytes.
    reduced: Reduced | None = None if array.flags.forc else array.copy().__reduce_ex__(5)
    return reduced


def _array(array: Any) -> Reduced | None:
    numpy: Any = sys.modules["numpy"]
    beside = _PARTS_OF_MEMMAP if isinstance(array, numpy.memmap) else ()
    attributes = {name: value for name, value in getattr(array, "__dict__", {}).items() if name not in beside}
    if not array.dtype.isnative and array.dtype.names is None:
        return *_viewed(array), (None, attributes), None, None, with_attributes
    if not attributes:
        return None
    function, arguments, *state = array.__reduce_ex__(5)
    return function, arguments, (state[0] if state else None, attributes), None, None, with_attributes


def _masked(masked: Any) -> Reduced:
    return *_viewed(masked), (None, dict(vars(masked))), None, None, with_attributes


def _viewed(array: Any) -> Reduced:
    """As a view of a plain array, which large ones are pickled as without a copy, and in the order of their bytes."""
    view = sys.modules["numpy"].ndarray.view
    return view, (view(array, sys.modules["numpy"].ndarray), type(array))


def _frame(frame: Any) -> Reduced | None:
    attributes = attributes_of(frame)
    if not attributes:
        return None
    function, arguments, own, *_ = frame.__reduce_ex__(5)
    return function, arguments, (own, attributes), None, None, with_attributes


__all__ = ["attributes_of", "extra_of_masked", "reducer_of", "reducers", "with_attributes", "with_state"]
