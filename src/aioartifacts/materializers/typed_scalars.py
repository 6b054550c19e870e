"""Typed JSON, the leaves: exact values that are not JSON's own, each as a tag and a payload, in both directions.

A tagged value is an object whose ``"$"`` names the tag and whose ``"v"`` holds the payload. Every payload is built
and taken apart here in time linear in its length: integers are hexadecimal, because decimal conversion is quadratic,
and fractions are bounded, because their greatest common divisor is too.
"""

from __future__ import annotations

import re
import struct
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from pathlib import PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any
from uuid import UUID, SafeUUID
from zoneinfo import ZoneInfo

INT_MIN, INT_MAX = -(2**63), 2**64 - 1
"""What JSON's numbers hold exactly in every reader of this library."""
FRACTION_BITS = 1 << 17
LONG = 1 << 16
"""Characters, or bytes, from which a string or bytes are written in pieces."""

_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,64}(?:/[A-Za-z0-9_+-]{1,64}){0,3}")
_PATHS = (PurePosixPath, PureWindowsPath, PosixPath, WindowsPath)


class Refused(Exception):
    """This value has no exact form here. Collects its way up: the innermost step comes first."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.steps: list[str] = []

    def __str__(self) -> str:
        steps = self.steps[::-1]
        if len(steps) > 24:
            steps = [*steps[:12], "…", *steps[-8:]]
        return f"${''.join(steps)}: {self.reason}"


def tagged(tag: str, payload: object) -> dict[str, object]:
    return {"$": tag, "v": payload}


def int_node(value: int) -> object:
    return value if INT_MIN <= value <= INT_MAX else tagged("int", hex(value))


def float_node(value: float) -> object:
    # NaN has payloads and a sign, which no text form keeps.
    return value if value - value == 0.0 else tagged("float", struct.pack(">d", value).hex())


def str_node(value: str) -> object:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return tagged("str", b64encode(value.encode("utf-8", "surrogatepass")).decode())
    return value


def bytes_node(value: bytes | bytearray | memoryview) -> str:
    return b64encode(value).decode()


def _exact(value: object, *types: type) -> object:
    """*value*, an int or None inside of another value; anything else there is refused."""
    if type(value) not in types:
        raise Refused(f"holds a {type(value).__qualname__}")
    return int_node(value) if type(value) is int else value


def _zone(zone: tzinfo | None) -> object:
    if zone is None:
        return None
    if type(zone) is timezone:
        offset, *name = zone.__getinitargs__()  # type: ignore[attr-defined]  # what pickle uses; typeshed leaves it out
        return [*_timedelta(offset), *(str_node(part) for part in name)]
    if type(zone) is ZoneInfo:
        key: str | None = zone.key  # None for one that was made from a file
        if key is None or not _ZONE.fullmatch(key) or ZoneInfo(key) is not zone:
            raise Refused("a ZoneInfo that its key does not lead back to")
        return key
    raise Refused(f"time zone of type {type(zone).__module__}.{type(zone).__qualname__}")


def _timedelta(value: timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


def _datetime(value: datetime) -> object:
    fields = (value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond)
    return [*fields, value.fold, _zone(value.tzinfo)]


def _time(value: time) -> object:
    return [value.hour, value.minute, value.second, value.microsecond, value.fold, _zone(value.tzinfo)]


def _fraction(value: Fraction) -> object:
    if value.numerator.bit_length() + value.denominator.bit_length() > FRACTION_BITS:
        raise Refused("a fraction of too many digits")
    return [_exact(value.numerator, int), _exact(value.denominator, int)]


def _slice(value: slice) -> object:
    return [_exact(part, int, type(None)) for part in (value.start, value.stop, value.step)]


def _decimal(value: Decimal) -> object:
    return str(value)


def _uuid(value: UUID) -> object:
    return value.hex if value.is_safe is SafeUUID.unknown else [value.hex, value.is_safe.value]


def _path_node(value: PurePath) -> object:
    text = str(value)
    if isinstance(value, PureWindowsPath) and (again := type(value)(text)).drive != value.drive:
        text = f".\\{text}"  # "./c:" is a file of that name, and says so only when it is made
        again = type(value)(text)
        if (again.drive, again.root, again.parts) != (value.drive, value.root, value.parts):
            raise Refused("a path that its text does not lead back to")
    return str_node(text)


ENCODERS: dict[type, tuple[str, Callable[[Any], object]]] = {
    bytes: ("bytes", bytes_node),
    complex: ("complex", lambda v: [float_node(v.real), float_node(v.imag)]),
    datetime: ("datetime", _datetime),
    date: ("date", lambda v: [v.year, v.month, v.day]),
    time: ("time", _time),
    timedelta: ("timedelta", _timedelta),
    timezone: ("zone", _zone),
    ZoneInfo: ("zone", _zone),
    Decimal: ("decimal", _decimal),
    Fraction: ("fraction", _fraction),
    UUID: ("uuid", _uuid),
    range: ("range", lambda v: [_exact(part, int) for part in (v.start, v.stop, v.step)]),
    slice: ("slice", _slice),
    type(...): ("ellipsis", lambda v: None),
    **{cls: (cls.__name__, _path_node) for cls in _PATHS},
}
"""By exact type: the tag, and the function that makes the payload. str, int and float have nodes of their own above."""


def _scalar(node: object) -> Any:
    """A payload's own tagged parts: ints, floats and strings only."""
    if type(node) is dict:
        tag = node.get("$")
        if tag not in ("int", "float", "str"):
            raise ValueError(f"tag {tag!r} inside of a scalar")
        return DECODERS[tag](node["v"])
    if type(node) is list:
        raise ValueError("a list inside of a scalar")
    return node


def _scalars(payload: object, count: int, *types: type) -> list[Any]:
    if type(payload) is not list or len(payload) != count:
        raise ValueError(f"a payload must be a list of {count}")
    values = [_scalar(node) for node in payload]
    if not all(type(value) in types for value in values):
        raise ValueError("a payload holds something of a wrong type")
    return values


def _text(payload: object) -> str:
    if type(payload) is not str:
        raise ValueError("a payload must be a string")
    return payload


def _as_float(payload: object) -> float:
    return float(struct.unpack(">d", bytes.fromhex(_text(payload)))[0])


def _as_zone(payload: object) -> tzinfo | None:
    if payload is None:
        return None
    if type(payload) is str:
        if not _ZONE.fullmatch(payload):
            raise ValueError("not the key of a time zone")
        return ZoneInfo(payload)
    if type(payload) is not list or len(payload) not in (3, 4):
        raise ValueError("not a time zone")
    offset = timedelta(*_scalars(payload[:3], 3, int))
    return timezone(offset, _path_text(payload[3])) if len(payload) == 4 else timezone(offset)


def _as_datetime(payload: object) -> datetime:
    if type(payload) is not list or len(payload) != 9:
        raise ValueError("not a datetime")
    year, month, day, hour, minute, second, microsecond, fold = _scalars(payload[:8], 8, int)
    return datetime(year, month, day, hour, minute, second, microsecond, _as_zone(payload[8]), fold=fold)


def _as_time(payload: object) -> time:
    if type(payload) is not list or len(payload) != 6:
        raise ValueError("not a time")
    hour, minute, second, microsecond, fold = _scalars(payload[:5], 5, int)
    return time(hour, minute, second, microsecond, _as_zone(payload[5]), fold=fold)


def _as_fraction(payload: object) -> Fraction:
    numerator, denominator = _scalars(payload, 2, int)
    if numerator.bit_length() + denominator.bit_length() > FRACTION_BITS:
        raise ValueError("a fraction of too many digits")
    return Fraction(numerator, denominator)


def _as_uuid(payload: object) -> UUID:
    if type(payload) is list and len(payload) == 2 and type(payload[1]) is int:
        return UUID(hex=_text(payload[0]), is_safe=SafeUUID(payload[1]))
    return UUID(hex=_text(payload))


def _path_text(payload: object) -> str:
    return _text(_scalar(payload))


def _path(cls: type[PurePath]) -> Callable[[Any], PurePath]:
    return lambda payload: cls(_path_text(payload))


DECODERS: dict[str, Callable[[Any], object]] = {
    "int": lambda v: int(_text(v), 16),
    "float": _as_float,
    "str": lambda v: b64decode(_text(v), validate=True).decode("utf-8", "surrogatepass"),
    "bytes": lambda v: b64decode(_text(v), validate=True),
    "complex": lambda v: complex(*_scalars(v, 2, float)),
    "datetime": _as_datetime,
    "date": lambda v: date(*_scalars(v, 3, int)),
    "time": _as_time,
    "timedelta": lambda v: timedelta(*_scalars(v, 3, int)),
    "zone": _as_zone,
    "decimal": lambda v: Decimal(_text(v)),
    "fraction": _as_fraction,
    "uuid": _as_uuid,
    "range": lambda v: range(*_scalars(v, 3, int)),
    "slice": lambda v: slice(*_scalars(v, 3, int, type(None))),
    "ellipsis": lambda v: ...,
    **{cls.__name__: _path(cls) for cls in _PATHS},
}
"""By tag: the function that takes the payload apart. What is malformed raises `ValueError`, `TypeError` or a relative."""
