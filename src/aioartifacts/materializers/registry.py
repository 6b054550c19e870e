"""Which materializer for which object, and for which recorded format.

A registry belongs to a store. For an object it names candidates in this order, which never varies:

1. what the user registered for exactly the object's type;
2. the built-in table's entries for exactly that type (``dict``, ``bytes``, ``datetime.date``, …);
3. what else the user registered, latest first, where ``types`` or ``package`` fit and ``accepts`` agrees;
4. along the type's MRO, entries for the package (top-level module) a class comes from, in table order; then installed
   plug-ins of that name;
5. protocols: dataclass, NamedTuple, attrs, msgspec.Struct, pydantic, Enum;
6. pickle.

Whether a candidate really takes the object is its own say (`Materializer.accepts`, then `Declined` from ``dump``), so
a subclass with state of its own is never written as its base class. For a format there is exactly one answer, and no
fallback.

Nothing is imported before an object of that family, or a record of that format, turns up.

Plug-ins are entry points of the group ``aioartifacts.materializers``. The name of one is the package whose types it
is for (its formats are named ``package`` or ``package-…``), and it refers to a `Materializer` class, or a sequence of
them.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload
from weakref import WeakKeyDictionary

from aioartifacts.errors import (
    EncodeError,
    InvalidConfigError,
    MaterializerError,
    MissingDependencyError,
    UnknownFormatError,
)
from aioartifacts.forks import start_anew_after_fork
from aioartifacts.materializers.base import Materializer

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint  # slow to import, and rarely needed

GROUP = "aioartifacts.materializers"
_HERE = "aioartifacts.materializers"
_NAME = re.compile(r"[A-Za-z0-9_]+")

M = TypeVar("M", bound="Materializer | type[Materializer]")


@dataclass(frozen=True, slots=True)
class Entry:
    """A materializer that is imported when it is first needed."""

    format: str
    target: str
    """``module:Class``."""
    types: tuple[str, ...] = ()
    """Exact types it is for, as ``module.qualname``."""
    packages: tuple[str, ...] = ()
    """Top-level modules of the types it is for, subclasses elsewhere included."""
    attributes: tuple[str, ...] = ()
    """It is for classes that have all of these attributes."""
    when: str | None = None
    """A top-level module; it is not asked for any object before that has been imported, for no object can be its own."""
    extra: str | None = None
    """The extra of aioartifacts that installs what it needs."""


def _builtins(*names: str) -> tuple[str, ...]:
    return tuple(name if "." in name else f"builtins.{name}" for name in names)


_JSON_TYPES = _builtins(
    *("NoneType", "bool", "int", "float", "complex", "list", "tuple", "dict", "set", "frozenset", "range", "slice", "ellipsis"),
    *("datetime.datetime", "datetime.date", "datetime.time", "datetime.timedelta", "datetime.timezone", "zoneinfo.ZoneInfo"),
    *("decimal.Decimal", "fractions.Fraction", "uuid.UUID"),
    *(f"pathlib.{name}" for name in ("PurePosixPath", "PureWindowsPath", "PosixPath", "WindowsPath")),
    *(f"pathlib._local.{name}" for name in ("PurePosixPath", "PureWindowsPath", "PosixPath", "WindowsPath")),  # Python 3.13
    *("collections.OrderedDict", "collections.defaultdict", "collections.Counter", "collections.deque"),
)
_TENSORS_IN = _builtins("dict", "list", "tuple", "collections.OrderedDict")

DEFAULT: tuple[Entry, ...] = (
    Entry("bytes", f"{_HERE}.raw:BytesMaterializer", _builtins("bytes")),
    Entry("bytearray", f"{_HERE}.raw:BytearrayMaterializer", _builtins("bytearray")),
    Entry("memoryview", f"{_HERE}.raw:MemoryviewMaterializer", _builtins("memoryview")),
    Entry("str", f"{_HERE}.raw:StrMaterializer", _builtins("str")),
    Entry("json", f"{_HERE}.typed_json:JsonMaterializer", _JSON_TYPES),
    Entry("npy", f"{_HERE}.numpy:ArrayMaterializer", packages=("numpy",), extra="numpy"),
    Entry("numpy-scalar", f"{_HERE}.numpy:ScalarMaterializer", packages=("numpy", "ml_dtypes"), extra="numpy"),
    Entry("numpy-view", f"{_HERE}.numpy:ArrayViewMaterializer", packages=("numpy",), extra="numpy"),
    Entry("numpy-masked", f"{_HERE}.numpy:MaskedArrayMaterializer", packages=("numpy",), extra="numpy"),
    Entry("numpy-ml", f"{_HERE}.numpy:MlDtypesMaterializer", packages=("numpy",), extra="numpy"),
    Entry("numpy-string", f"{_HERE}.numpy:StringArrayMaterializer", packages=("numpy",), extra="numpy"),
    Entry("pandas-arrow", f"{_HERE}.pandas:PandasMaterializer", packages=("pandas",), extra="pandas"),
    Entry("pandas-parquet", f"{_HERE}.pandas:PandasParquetMaterializer", extra="pandas"),
    Entry("pandas-csv", f"{_HERE}.pandas_csv:PandasCsvMaterializer", extra="pandas"),
    Entry("networkx", f"{_HERE}.networkx:GraphMaterializer", packages=("networkx",), extra="networkx"),
    Entry("scipy-sparse", f"{_HERE}.scipy:SparseMatrixMaterializer", packages=("scipy",), extra="scipy"),
    Entry("torch", f"{_HERE}.torch:TorchMaterializer", _TENSORS_IN, packages=("torch",), extra="torch", when="torch"),
    Entry("torch-module", f"{_HERE}.torch:ModuleMaterializer", packages=("torch",), extra="torch"),
    Entry("torch-state-dict", f"{_HERE}.torch:StateDictMaterializer", extra="torch"),
    Entry("safetensors", f"{_HERE}.torch:SafetensorsMaterializer", extra="torch"),
    Entry("xgboost", f"{_HERE}.xgboost:BoosterMaterializer", packages=("xgboost",), extra="xgboost"),
    Entry("xgboost-estimator", f"{_HERE}.xgboost:WrapperMaterializer", packages=("xgboost",), extra="xgboost"),
    Entry("lightgbm", f"{_HERE}.lightgbm:BoosterMaterializer", packages=("lightgbm",), extra="lightgbm"),
    Entry("lightgbm-estimator", f"{_HERE}.lightgbm:WrapperMaterializer", packages=("lightgbm",), extra="lightgbm"),
    Entry("catboost", f"{_HERE}.catboost:CatBoostMaterializer", packages=("catboost",), extra="catboost"),
    Entry("cbm", f"{_HERE}.catboost:CbmMaterializer", extra="catboost"),
    Entry("keras", f"{_HERE}.keras:KerasMaterializer", packages=("keras",), extra="keras"),
    Entry("jax", f"{_HERE}.jax:JaxMaterializer", packages=("jax", "jaxlib"), extra="jax"),
    Entry("transformers", f"{_HERE}.huggingface:ModelMaterializer", packages=("transformers",), extra="huggingface"),
    Entry("transformers-tokenizer", f"{_HERE}.huggingface:TokenizerMaterializer", packages=("transformers",), extra="huggingface"),
    Entry("datasets", f"{_HERE}.huggingface:DatasetMaterializer", packages=("datasets",), extra="huggingface"),
    Entry("sklearn", f"{_HERE}.sklearn:SklearnMaterializer", packages=("sklearn",), extra="sklearn"),
    Entry("skops", f"{_HERE}.sklearn:SkopsMaterializer", extra="sklearn"),
    Entry("arrow", f"{_HERE}.arrow:ArrowMaterializer", packages=("pyarrow",), extra="arrow"),
    Entry("polars", f"{_HERE}.polars:PolarsMaterializer", packages=("polars",), extra="polars"),
    Entry("polars-parquet", f"{_HERE}.polars:ParquetMaterializer", packages=("polars",), extra="polars"),
    Entry("matplotlib", f"{_HERE}.matplotlib:FigureMaterializer", packages=("matplotlib",), extra="matplotlib"),
    Entry("plotly", f"{_HERE}.plotly:FigureMaterializer", packages=("plotly",), extra="plotly"),
    Entry("pillow", f"{_HERE}.pillow:ImageMaterializer", packages=("PIL",), extra="pillow"),
    Entry("xarray", f"{_HERE}.xarray:XarrayMaterializer", packages=("xarray",), extra="xarray"),
    Entry("file", f"{_HERE}.files:FileMaterializer"),
    Entry("folder", f"{_HERE}.files:FolderMaterializer"),
    Entry("flowyml-pickle", f"{_HERE}.flowyml:FlowyMLPickle"),
    Entry("flowyml-numpy", f"{_HERE}.flowyml:FlowyMLNumpy", extra="numpy"),
    Entry("flowyml-pandas", f"{_HERE}.flowyml:FlowyMLPandas", extra="pandas"),
    Entry("dataclass", f"{_HERE}.dataclasses:DataclassMaterializer", attributes=("__dataclass_fields__",)),
    Entry("namedtuple", f"{_HERE}.dataclasses:NamedTupleMaterializer", attributes=("_fields", "_make")),
    Entry("attrs", f"{_HERE}.dataclasses:AttrsMaterializer", attributes=("__attrs_attrs__",)),
    Entry("msgspec", f"{_HERE}.dataclasses:StructMaterializer", attributes=("__struct_fields__",)),
    Entry("pydantic", f"{_HERE}.dataclasses:PydanticMaterializer", attributes=("__pydantic_fields__",)),
    Entry("enum", f"{_HERE}.dataclasses:EnumMaterializer", attributes=("_member_map_",)),
)
PICKLE = Entry("pickle", f"{_HERE}.pickled:PickleMaterializer")


@cache
def installed() -> tuple[EntryPoint, ...]:
    """The plug-ins of this environment, in a fixed order. Looking reads files of every installed package, hence once per process."""
    from importlib.metadata import entry_points

    found = entry_points(group=GROUP)
    return tuple(sorted(found, key=lambda point: (point.name, point.value)))


class _Slot:
    """A materializer, made when first asked for."""

    __slots__ = ("entry", "materializer")

    def __init__(self, entry: Entry | None, materializer: Materializer | None = None) -> None:
        self.entry = entry
        self.materializer = materializer

    def get(self) -> Materializer:
        if self.materializer is None:
            self.materializer = _make(cast("Entry", self.entry))
        return self.materializer


@dataclass(frozen=True, slots=True)
class _Registered:
    slot: _Slot
    types: tuple[type, ...]
    package: str | None

    def concerns(self, mro: tuple[type, ...], packages: tuple[str, ...]) -> bool:
        if not self.types and self.package is None:
            return True
        return any(cls in self.types for cls in mro) or self.package in packages


class _Plans:
    """Candidates by type, until something is registered."""

    __slots__ = ("by_class", "exact")

    def __init__(self) -> None:
        self.exact: dict[type, tuple[_Slot, ...]] = {}
        # Weak, because classes can be made and dropped by the thousand.
        self.by_class: WeakKeyDictionary[type, tuple[_Slot, ...]] = WeakKeyDictionary()


class MaterializerRegistry:
    """The materializers of one store. Thread-safe; pickles when everything registered does."""

    def __init__(
        self, entries: Sequence[Entry] = DEFAULT, *, plugins: Callable[[], Sequence[EntryPoint]] = installed
    ) -> None:
        """*entries* is the table; *plugins* tells the entry points, and is asked on a miss only."""
        self._entries = tuple(entries)
        self._plugins = plugins
        self._registered: tuple[_Registered, ...] = ()
        self._start()

    def _reset(self) -> None:
        self._lock = RLock()

    def _start(self) -> None:
        self._reset()
        start_anew_after_fork(self)
        self._slots = [_Slot(entry) for entry in self._entries]
        self._pickle = _Slot(PICKLE)
        self._loaded: dict[tuple[str, str], tuple[_Slot, ...] | MaterializerError] = {}
        self._plans = _Plans()

    def __getstate__(self) -> dict[str, object]:
        registered = [(item.slot.get(), item.types, item.package) for item in self._registered]
        return {"entries": self._entries, "plugins": self._plugins, "registered": registered}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._entries = state["entries"]
        self._plugins = state["plugins"]
        self._registered = tuple(_Registered(_Slot(None, made), types, package) for made, types, package in state["registered"])
        self._start()

    @overload
    def register(self, materializer: M, *, types: type | Iterable[type] = (), package: str | None = None) -> M: ...
    @overload
    def register(
        self, materializer: None = None, *, types: type | Iterable[type] = (), package: str | None = None
    ) -> Callable[[M], M]: ...
    def register(
        self, materializer: M | None = None, *, types: type | Iterable[type] = (), package: str | None = None
    ) -> M | Callable[[M], M]:
        """Add a materializer, a class or an instance; also as a decorator, with or without arguments.

        It is asked for objects of *types*, their subclasses, and of classes that come from the top-level module *package*;
        with neither, for every object that is not of a built-in type. What is registered later is asked earlier, and
        takes over a format of the same name.

        Raises:
            InvalidConfigError: it is no materializer, or has no name or format.
        """
        wanted = (types,) if isinstance(types, type) else tuple(types)
        if materializer is None:
            return lambda given: self.register(given, types=wanted, package=package)
        item = _Registered(_Slot(None, _instance(materializer)), wanted, package)
        with self._lock:
            self._registered = (item, *self._registered)
            self._plans = _Plans()
        return materializer

    def candidates(self, obj: object, format: str | None = None) -> Iterator[Materializer]:
        """The materializers to try for *obj*, in order; with *format*, only the one for that format, whose name may leave out the package.

        Raises:
            UnknownFormatError: nothing registered writes *format*.
            MissingDependencyError: a package it needs is not installed.
            EncodeError: the one for *format* is not for objects like *obj*.
        """
        if format is not None:
            return iter((self._writer(obj, format),))
        plans = self._plans
        cls = type(obj)
        plan = plans.exact.get(cls)
        if plan is None:
            plan = plans.by_class.get(cls) or self._plan(cls, plans)
        return _accepting(plan, obj)

    def for_format(self, format: str) -> Materializer:
        """The one materializer that reads *format*.

        Raises:
            UnknownFormatError: nothing registered reads it.
            MissingDependencyError: a package it needs is not installed.
        """
        for item in self._registered:
            materializer = item.slot.get()
            if materializer.format == format:
                return materializer
        for slot in (*self._slots, self._pickle):
            if slot.entry is not None and slot.entry.format == format:
                return slot.get()
        return self._plugin_for(format)

    def formats(self) -> tuple[str, ...]:
        """Every format that can be asked for, sorted; of plug-ins, the names."""
        known = {item.slot.get().format for item in self._registered}
        known.update(entry.format for entry in (*self._entries, PICKLE))
        known.update(point.name for point in self._plugins())
        return tuple(sorted(known))

    def _writer(self, obj: object, format: str) -> Materializer:
        try:
            materializer = self.for_format(format)
        except UnknownFormatError:
            meant = self._meant(format)
            if not meant:
                raise
            full = next((meant[package] for package in map(_package, type(obj).__mro__) if package in meant), None)
            if full is None:
                raise EncodeError(
                    f"format {format!r} is short for {', '.join(meant.values())}, none of which is for objects of type {_dotted(type(obj))}"
                ) from None
            materializer = self.for_format(full)
        if not materializer.accepts(obj):
            raise EncodeError(f"format {format!r} is not for objects of type {_dotted(type(obj))}")
        return materializer

    def _meant(self, format: str) -> dict[str, str]:
        """What a short name means, by the package an object comes from: "parquet" is "pandas-parquet" for a frame of pandas."""
        ending = f"-{format.replace('_', '-')}"
        known = [entry.format for entry in self._entries]
        return {name.removesuffix(ending): name for name in known if name.endswith(ending)}

    def _plan(self, cls: type, plans: _Plans) -> tuple[_Slot, ...]:
        mro = cls.__mro__
        packages = tuple(dict.fromkeys(_package(base) for base in mro))
        name = _dotted(cls)
        exact = [slot for slot in self._slots if slot.entry is not None and name in slot.entry.types]
        registered = [item for item in self._registered if item.concerns(mro, packages)]
        found = [item.slot for item in registered if cls in item.types]
        found += exact
        found += [item.slot for item in registered]
        for package in packages:
            found += [slot for slot in self._slots if slot.entry is not None and package in slot.entry.packages]
            if package != "builtins":
                found += self._plugins_of(package)
        found += [slot for slot in self._slots if slot.entry is not None and _has(cls, slot.entry.attributes)]
        plan = tuple(dict.fromkeys([*found, self._pickle]))
        if exact:
            plans.exact[cls] = plan
        else:
            plans.by_class[cls] = plan
        return plan

    def _plugins_of(self, package: str) -> list[_Slot]:
        found: list[_Slot] = []
        for point in self._plugins():
            if _NAME.match(point.name) and _stem(point.name) == package:
                found += self._open(point)
        return found

    def _plugin_for(self, format: str) -> Materializer:
        points = sorted(self._plugins(), key=lambda point: point.name != format and _stem(point.name) != _stem(format))
        broken: list[MaterializerError] = []
        for point in points:
            try:
                slots = self._open(point)
            except MaterializerError as error:
                if _stem(point.name) == _stem(format):
                    raise
                broken.append(error)
                continue
            for slot in slots:
                if slot.get().format == format:
                    return slot.get()
        raise _unknown(format, self.formats(), broken)

    def _open(self, point: EntryPoint) -> tuple[_Slot, ...]:
        with self._lock:
            key = (point.name, point.value)
            opened = self._loaded.get(key)
            if opened is None:
                try:
                    opened = _opened(point)
                except MaterializerError as error:
                    opened = error
                self._loaded[key] = opened
        if isinstance(opened, MaterializerError):
            raise copy(opened) from opened.__cause__  # each call tells its own path in it
        return opened


def _accepting(plan: tuple[_Slot, ...], obj: object) -> Iterator[Materializer]:
    for slot in plan:
        if slot.entry is not None and slot.entry.when is not None and slot.entry.when not in sys.modules:
            continue
        materializer = slot.materializer or slot.get()
        if materializer.accepts(obj):
            yield materializer


def _make(entry: Entry) -> Materializer:
    module, _, name = entry.target.partition(":")
    try:
        cls = cast("type[Materializer]", getattr(importlib.import_module(module), name))
        for package in cls.packages:
            if importlib.util.find_spec(package) is None:
                raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return cls()
    except ImportError as error:
        what = f"aioartifacts[{entry.extra}]" if entry.extra else (error.name or "aioartifacts").partition(".")[0]
        raise MissingDependencyError(
            f"format {entry.format!r} cannot be used: {error}; pip install {what!r}", install=what
        ) from error


def _instance(given: Materializer | type[Materializer]) -> Materializer:
    if isinstance(given, type) and issubclass(given, Materializer):
        made = given()
    elif isinstance(given, Materializer):
        made = given
    else:
        raise InvalidConfigError(
            f"{given!r} is not a Materializer; for an object with save(obj, directory) and load(directory), use directory_materializer"
        )
    for attribute in ("name", "format"):
        value = getattr(made, attribute, None)
        if not isinstance(value, str) or not value:
            raise InvalidConfigError(f"{type(made).__qualname__} needs a class attribute {attribute}, a non-empty str")
    return made


def _opened(point: EntryPoint) -> tuple[_Slot, ...]:
    owner = point.dist.name if point.dist is not None else "an unknown distribution"
    try:
        loaded = point.load()
        given = (loaded,) if isinstance(loaded, (type, Materializer)) else tuple(loaded)
        return tuple(_Slot(None, _instance(item)) for item in given)
    except Exception as error:
        raise MaterializerError(
            f"the plug-in {point.name!r} ({point.value}) of {owner} cannot be used: {type(error).__name__}: {error}; "
            f"update or uninstall {owner}"
        ) from error


def _unknown(format: str, known: tuple[str, ...], broken: Sequence[MaterializerError]) -> UnknownFormatError:
    from difflib import get_close_matches

    near = get_close_matches(format.lower(), known, n=1, cutoff=0.8)
    hint = f"did you mean {near[0]!r}? " if near else ""
    error = UnknownFormatError(
        f"no materializer for format {format!r}; {hint}if it is one of your own, register it with store.materializers.register(); "
        f"known: {', '.join(known)}"
    )
    for other in broken:
        error.add_note(str(other))
    return error


def _has(cls: type, attributes: tuple[str, ...]) -> bool:
    return bool(attributes) and all(hasattr(cls, attribute) for attribute in attributes)


def _dotted(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _package(cls: type) -> str:
    return str(cls.__module__).partition(".")[0]


def _stem(name: str) -> str:
    found = _NAME.match(name)
    return found.group() if found else name
