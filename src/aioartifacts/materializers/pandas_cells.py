"""Cells, labels and attrs as JSON, exactly: every Python and pandas scalar that has no code in it, and the plain containers.

What JSON itself keeps is written as it is; anything else is ``{"tag": payload}``. Dispatch is on exact types, so a subclass is never
written as its base; what has no tag here is declined.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from importlib import import_module
from typing import Any
from uuid import UUID, SafeUUID
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from aioartifacts.materializers.base import Declined
from aioartifacts.types import JSON

_PLAIN_INT = 1 << 63
_MAX_DEPTH = 100

_encoder = json.JSONEncoder(ensure_ascii=True, allow_nan=False, check_circular=False, separators=(",", ":"))


def to_text(value: object) -> str:
    """*value* as one line of ASCII JSON.

    Raises:
        Declined: it is, or contains, something that has no exact form here.
    """
    return _encoder.encode(to_json(value))


def from_text(text: str) -> Any:
    """The inverse of `to_text`.

    Raises:
        ValueError: *text* was not written by it.
    """
    try:
        return from_json(json.loads(text))
    except (TypeError, KeyError, IndexError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"not a cell: {text!r:.80}") from error


def to_json(value: object, depth: int = 0) -> Any:
    """*value* as JSON; see `to_text`."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if type(value) is str:
        return value if _is_unicode(value) else {"str": _base64(value.encode("utf-8", "surrogatepass"))}
    if depth > _MAX_DEPTH:
        raise Declined(f"it nests deeper than {_MAX_DEPTH}")
    encode = _ENCODE.get(kind)
    if encode is not None:
        return encode(value, depth + 1)
    if (
        isinstance(value, np.generic)
        and kind is value.dtype.type
        and value.dtype.num < 256
        and value.dtype.kind in "biufcSUmM"
    ):
        if value.dtype.kind in "SU" and np.asarray(value)[()] != value:
            raise Declined("a NumPy string ends in NUL")
        return {"np": [value.dtype.str, value.dtype.char, _base64(value.tobytes())]}
    if isinstance(value, pd.tseries.offsets.BaseOffset):
        return {"offset": offset_to_json(value)}
    raise Declined(f"a value of type {kind.__module__}.{kind.__qualname__} is not plain data")


def from_json(found: Any) -> Any:
    """The inverse of `to_json`."""
    if type(found) is dict:
        if len(found) != 1:
            raise ValueError("not a tagged value")
        ((tag, payload),) = found.items()
        decode = _DECODE.get(tag)
        if decode is None:
            raise ValueError(f"unknown tag {tag!r:.40}")
        return decode(payload)
    return [from_json(item) for item in found] if type(found) is list else found


def tz_to_json(tz: tzinfo | None) -> JSON:
    """A time zone: UTC and fixed offsets of the standard library, and named zones of `zoneinfo`."""
    if tz is None:
        return None
    if tz is UTC:
        return "utc"
    if type(tz) is timezone:
        offset: Any = tz.__reduce__()[1]
        seconds = offset[0]
        return {"offset": [seconds.days, seconds.seconds, seconds.microseconds], "name": list(offset[1:])}
    if type(tz) is ZoneInfo and tz.key is not None:
        return {"zone": tz.key}
    raise Declined(f"a time zone of type {type(tz).__module__}.{type(tz).__qualname__} is not plain data")


def tz_from_json(found: Any) -> tzinfo | None:
    """The inverse of `tz_to_json`."""
    if found is None:
        return None
    if found == "utc":
        return UTC
    if "zone" in found:
        return ZoneInfo(found["zone"])
    days, seconds, microseconds = found["offset"]
    return timezone(timedelta(days, seconds, microseconds), *found["name"])


def zone_to_json(tz: Any) -> JSON:
    """As `tz_to_json`, for what pandas localizes itself; there the zones of pytz, which pandas 2 makes, are kept as well."""
    name = getattr(tz, "zone", None)
    if type(tz).__module__.partition(".")[0] != "pytz" or type(name) is not str:
        return tz_to_json(tz)
    return {"pytz": name}


def zone_from_json(found: Any) -> tzinfo | None:
    """The inverse of `zone_to_json`."""
    if type(found) is dict and "pytz" in found:
        zone: tzinfo = import_module("pytz").timezone(found["pytz"])
        return zone
    return tz_from_json(found)


def offset_to_json(offset: Any) -> JSON:
    """A date offset by its ``freqstr``, if that is all there is to it."""
    try:
        text = str(offset.freqstr)
        back = pd.tseries.frequencies.to_offset(text)
    except (ValueError, AttributeError) as error:
        raise Declined(f"the frequency {offset!r} has no name") from error
    if type(back) is not type(offset) or back != offset:
        raise Declined(f"the frequency {offset!r} is more than its name")
    return text


def offset_from_json(found: Any) -> Any:
    """The inverse of `offset_to_json`."""
    if type(found) is not str:
        raise ValueError("not a frequency")
    return pd.tseries.frequencies.to_offset(found)


def _base64(data: bytes | bytearray) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _is_unicode(text: str) -> bool:
    """Whether JSON keeps it: a reader makes one character of two lone surrogates that follow each other."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _int(value: Any, depth: int) -> Any:
    return value if -_PLAIN_INT <= value < _PLAIN_INT else {"int": hex(value)}


def _float(value: Any, depth: int = 0) -> Any:
    return value if value - value == 0 else {"float": struct.pack(">d", value).hex()}


def _unfloat(text: str) -> float:
    return float(struct.unpack(">d", bytes.fromhex(text))[0])


def _items(value: Any, depth: int) -> list[Any]:
    return [to_json(item, depth) for item in value]


def _pairs(value: Any, depth: int) -> Any:
    return {"dict": [[to_json(key, depth), to_json(item, depth)] for key, item in value.items()]}


def _frozen(payload: Any) -> list[Any]:
    return [from_json(item) for item in payload]


def _datetime(value: Any, depth: int) -> Any:
    return {"datetime": [value.replace(tzinfo=None, fold=0).isoformat(), value.fold, tz_to_json(value.tzinfo)]}


def _time(value: Any, depth: int) -> Any:
    return {"time": [value.replace(tzinfo=None, fold=0).isoformat(), value.fold, tz_to_json(value.tzinfo)]}


def _moment(cls: Any) -> Callable[[Any], Any]:
    return lambda found: cls.fromisoformat(found[0]).replace(fold=found[1], tzinfo=tz_from_json(found[2]))


def _timestamp(value: Any, depth: int) -> Any:
    naive = value.tz_localize(None) if value.tz is None else value.tz_convert("UTC").tz_localize(None)
    payload = [int(naive.asm8.view("i8")), value.unit, value.fold, zone_to_json(value.tz)]
    back = _untimestamp(payload)
    if back != value or back.fold != value.fold or back.unit != value.unit:
        raise Declined(f"the timestamp {value!r} cannot be described exactly")
    return {"timestamp": payload}


def _untimestamp(found: Any) -> Any:
    value, unit, fold, zone = found
    stamp: Any = pd.Timestamp(np.int64(value).view(f"M8[{unit}]"))
    if zone is not None:
        stamp = stamp.tz_localize("UTC").tz_convert(zone_from_json(zone))
    return stamp if stamp.fold == fold else stamp.replace(fold=fold)


def _nparray(found: Any) -> Any:
    dtype, char, data = found
    plain = np.dtype(dtype)
    if plain.kind not in "biufcSUmM" or len(char) != 1:
        raise ValueError("not a plain NumPy scalar")
    if plain.char != char and np.dtype(char).itemsize == plain.itemsize and np.dtype(char) == plain:
        plain = np.dtype(char)
    raw = _bytes(data)
    if len(raw) != plain.itemsize:
        raise ValueError("not a NumPy scalar of that dtype")
    return np.frombuffer(raw, plain, count=1)[0] if raw else np.zeros(1, plain)[0]


def _uuid(value: Any, depth: int) -> Any:
    return {"uuid": value.hex if value.is_safe is SafeUUID.unknown else [value.hex, value.is_safe.value]}


def _unuuid(found: Any) -> UUID:
    text, safe = found if type(found) is list else (found, None)
    return UUID(hex=text, is_safe=SafeUUID(safe))


def _interval(value: Any, depth: int) -> Any:
    return {"interval": [to_json(value.left, depth), to_json(value.right, depth), value.closed]}


_ENCODE: dict[type, Callable[[Any, int], Any]] = {
    int: _int,
    float: _float,
    list: _items,
    tuple: lambda value, depth: {"tuple": _items(value, depth)},
    set: lambda value, depth: {"set": _items(value, depth)},
    frozenset: lambda value, depth: {"frozenset": _items(value, depth)},
    dict: _pairs,
    bytes: lambda value, depth: {"bytes": _base64(value)},
    bytearray: lambda value, depth: {"bytearray": _base64(value)},
    complex: lambda value, depth: {"complex": [_float(value.real), _float(value.imag)]},
    date: lambda value, depth: {"date": value.isoformat()},
    datetime: _datetime,
    time: _time,
    timedelta: lambda value, depth: {"timedelta": [value.days, value.seconds, value.microseconds]},
    Decimal: lambda value, depth: {"decimal": str(value)},
    UUID: _uuid,
    type(pd.NaT): lambda value, depth: {"nat": None},
    type(pd.NA): lambda value, depth: {"na": None},
    pd.Timestamp: _timestamp,
    pd.Timedelta: lambda value, depth: {"pd.timedelta": [int(value.asm8.view("i8")), value.unit]},
    pd.Period: lambda value, depth: {"period": [value.ordinal, offset_to_json(value.freq)]},
    pd.Interval: _interval,
}

_DECODE: dict[str, Callable[[Any], Any]] = {
    "str": lambda found: _bytes(found).decode("utf-8", "surrogatepass"),
    "int": lambda found: int(found, 16),
    "float": _unfloat,
    "tuple": lambda found: tuple(_frozen(found)),
    "set": lambda found: set(_frozen(found)),
    "frozenset": lambda found: frozenset(_frozen(found)),
    "dict": lambda found: {from_json(key): from_json(item) for key, item in found},
    "bytes": _bytes,
    "bytearray": lambda found: bytearray(_bytes(found)),
    "complex": lambda found: complex(*_frozen(found)),
    "date": date.fromisoformat,
    "datetime": _moment(datetime),
    "time": _moment(time),
    "timedelta": lambda found: timedelta(*found),
    "decimal": Decimal,
    "uuid": _unuuid,
    "nat": lambda found: pd.NaT,
    "na": lambda found: pd.NA,
    "timestamp": _untimestamp,
    "pd.timedelta": lambda found: pd.Timedelta(np.int64(found[0]).view(f"m8[{found[1]}]")),
    "period": lambda found: pd.Period(ordinal=found[0], freq=offset_from_json(found[1])),
    "interval": lambda found: pd.Interval(from_json(found[0]), from_json(found[1]), closed=found[2]),
    "np": _nparray,
    "offset": offset_from_json,
}
