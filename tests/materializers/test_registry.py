"""Who is asked for which object and format, in which order, and what is imported for it."""

from __future__ import annotations

import collections
import enum
import pickle
import subprocess
import sys
import threading
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapes

from aioartifacts.errors import (
    EncodeError,
    InvalidConfigError,
    MaterializerError,
    MissingDependencyError,
    UnknownFormatError,
)
from aioartifacts.materializers.base import Declined, Dump, Materializer, Parts
from aioartifacts.materializers.registry import DEFAULT, GROUP, PICKLE, Entry, MaterializerRegistry


class Mine:
    pass


class Sub(Mine):
    pass


class MineMaterializer(Materializer):
    name = "mine"
    format = "mine"
    safe = True

    def accepts(self, obj: object) -> bool:
        return isinstance(obj, Mine)

    def dump(self, obj: object) -> Dump:
        raise Declined("never")

    def load(self, parts: Parts) -> object:
        return Mine()


class OtherMaterializer(MineMaterializer):
    name = "other"
    format = "other"


class EverythingMaterializer(MineMaterializer):
    name = "everything"
    format = "everything"

    def accepts(self, obj: object) -> bool:
        return True


class PluginMaterializer(EverythingMaterializer):
    name = "plugin"
    format = "test_registry-plugin"


TWO = (PluginMaterializer, OtherMaterializer)


def formats(registry: MaterializerRegistry, obj: object) -> list[str]:
    return [materializer.format for materializer in registry.candidates(obj)]


@pytest.fixture
def registry() -> MaterializerRegistry:
    return MaterializerRegistry(plugins=tuple)


@pytest.mark.parametrize("entry", [*DEFAULT, PICKLE], ids=lambda entry: entry.format)
def test_every_entry_leads_to_its_materializer(entry: Entry, registry: MaterializerRegistry) -> None:
    if entry.format in ("attrs", "pydantic") and not installed(entry.format):
        with pytest.raises(MissingDependencyError):
            registry.for_format(entry.format)
        return
    materializer = registry.for_format(entry.format)
    assert materializer.format == entry.format


def installed(package: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(package) is not None


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (b"", ["bytes", "pickle"]),
        (bytearray(), ["bytearray", "pickle"]),
        (memoryview(b""), ["memoryview", "pickle"]),
        ("", ["str", "pickle"]),
        ({}, ["json", "pickle"]),
        (None, ["json", "pickle"]),
        (collections.Counter(), ["json", "pickle"]),
        (Path("x"), ["json", "pickle"]),
        (shapes.Plain(1), ["dataclass", "pickle"]),
        (shapes.Point(1), ["namedtuple", "pickle"]),
        (shapes.Defined(1), ["attrs", "pickle"]),
        (shapes.Struct(1), ["msgspec", "pickle"]),
        (shapes.Color.RED, ["enum", "pickle"]),
        (shapes.Level.LOW, ["enum", "pickle"]),
        (shapes.Plain, ["pickle"]),
        (Mine(), ["pickle"]),
        (np.zeros(3), ["npy", "pickle"]),
        (lambda: None, ["pickle"]),
        (type("MyDict", (dict,), {})(), ["pickle"]),
        (type("MyStr", (str,), {})(), ["pickle"]),
        (type("MyBytes", (bytes,), {})(), ["pickle"]),
        (enum.auto(), ["pickle"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_order_is_fixed(obj: Any, expected: list[str], registry: MaterializerRegistry) -> None:
    assert formats(registry, obj) == expected
    assert formats(registry, obj) == expected


def test_a_subclass_of_an_array_is_not_an_array(registry: MaterializerRegistry) -> None:
    sub = np.zeros(3).view(type("MyArray", (np.ndarray,), {}))
    assert "npy" not in formats(registry, sub)


def test_a_path_becomes_a_file_only_when_asked_to(registry: MaterializerRegistry) -> None:
    assert "file" not in formats(registry, Path("x"))


def test_the_latest_registration_is_asked_first(registry: MaterializerRegistry) -> None:
    registry.register(MineMaterializer)
    assert formats(registry, Mine()) == ["mine", "pickle"]
    registry.register(OtherMaterializer, types=Mine)
    assert formats(registry, Mine()) == ["other", "mine", "pickle"]
    assert formats(registry, Sub()) == ["other", "mine", "pickle"]


def test_accepts_has_the_last_word(registry: MaterializerRegistry) -> None:
    registry.register(MineMaterializer, types=(Mine, dict))
    assert formats(registry, {}) == ["json", "pickle"]


def test_a_registration_for_everything_comes_after_builtins(registry: MaterializerRegistry) -> None:
    registry.register(EverythingMaterializer)
    assert formats(registry, {})[0] == "json"
    assert formats(registry, shapes.Plain(1))[0] == "everything"


def test_a_registration_for_exactly_a_builtin_comes_before_it(registry: MaterializerRegistry) -> None:
    registry.register(EverythingMaterializer, types=dict)
    assert formats(registry, {}) == ["everything", "json", "pickle"]
    assert formats(registry, []) == ["json", "pickle"]


def test_a_registration_by_package_is_asked_for_its_classes_and_their_subclasses(registry: MaterializerRegistry) -> None:
    registry.register(EverythingMaterializer, package="shapes")
    assert formats(registry, shapes.Plain(1))[0] == "everything"
    assert formats(registry, type("Far", (shapes.Plain,), {"__module__": "elsewhere"})(1))[0] == "everything"
    assert formats(registry, Mine()) == ["pickle"]


def test_register_is_a_decorator_with_and_without_arguments(registry: MaterializerRegistry) -> None:
    class First(MineMaterializer):
        format = "first"

    class Second(MineMaterializer):
        format = "second"

    assert registry.register(First) is First
    assert registry.register(types=Mine)(Second) is Second
    assert formats(registry, Mine()) == ["second", "first", "pickle"]


def test_a_registration_takes_over_a_format(registry: MaterializerRegistry) -> None:
    class Json(EverythingMaterializer):
        format = "json"

    registry.register(Json)
    assert type(registry.for_format("json")) is Json
    assert [type(found) for found in registry.candidates({}, "json")] == [Json]


@pytest.mark.parametrize("wrong", [5, dict, object()])
def test_something_else_is_not_registered(wrong: Any, registry: MaterializerRegistry) -> None:
    with pytest.raises(InvalidConfigError, match="not a Materializer"):
        registry.register(wrong)


def test_a_materializer_without_a_format_is_not_registered(registry: MaterializerRegistry) -> None:
    class Nameless(MineMaterializer):
        format = ""

    with pytest.raises(InvalidConfigError, match="class attribute format"):
        registry.register(Nameless)


def test_a_format_asked_for_is_the_only_candidate(registry: MaterializerRegistry) -> None:
    assert [m.format for m in registry.candidates({}, "pickle")] == ["pickle"]
    assert [m.format for m in registry.candidates(shapes.Plain(1), "json")] == ["json"]


def test_a_format_that_is_not_for_the_object_is_refused(registry: MaterializerRegistry) -> None:
    with pytest.raises(EncodeError, match=r"'bytes' is not for objects of type builtins\.dict"):
        registry.candidates({}, "bytes")


def test_a_short_name_tells_what_it_is_short_for() -> None:
    with pytest.raises(EncodeError, match=r"'parquet' is short for pandas-parquet, polars-parquet.* none .* of type builtins\.dict"):
        MaterializerRegistry().candidates({}, "parquet")


def test_an_unknown_format_is_named_with_its_neighbours(registry: MaterializerRegistry) -> None:
    with pytest.raises(UnknownFormatError, match=r"'JSON'; did you mean 'json'\?"):
        registry.for_format("JSON")
    with pytest.raises(UnknownFormatError, match=r"'jsn'; did you mean 'json'\? .*register.*known: .*dataclass.*pickle"):
        registry.for_format("jsn")
    with pytest.raises(UnknownFormatError):
        registry.candidates({}, "zzz")


def test_a_missing_package_comes_with_the_pip_line() -> None:
    entry = Entry("far", "no_such_package_anywhere:X", packages=("test_registry",), extra="pandas")
    registry = MaterializerRegistry([entry], plugins=tuple)
    for ask in (lambda: registry.for_format("far"), lambda: list(registry.candidates(Mine()))):
        with pytest.raises(MissingDependencyError, match=r"no_such_package_anywhere.*pip install 'aioartifacts\[pandas\]'"):
            ask()


def test_a_package_that_the_materializer_names_must_be_there() -> None:
    class Needy(MineMaterializer):
        packages = ("no_such_package_anywhere",)

    sys.modules["needy_module"] = type(sys)("needy_module")
    sys.modules["needy_module"].Needy = Needy  # type: ignore[attr-defined]
    try:
        registry = MaterializerRegistry([Entry("mine", "needy_module:Needy", extra="needy")], plugins=tuple)
        with pytest.raises(MissingDependencyError, match=r"pip install 'aioartifacts\[needy\]'"):
            registry.for_format("mine")
    finally:
        del sys.modules["needy_module"]


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, GROUP)


def test_a_plug_in_is_asked_for_its_packages_types_and_formats() -> None:
    registry = MaterializerRegistry(plugins=lambda: [point("test_registry", "test_registry:TWO")])
    assert formats(registry, Mine()) == ["test_registry-plugin", "other", "pickle"]
    assert registry.for_format("test_registry-plugin").name == "plugin"
    assert registry.for_format("other").name == "other"


def test_plug_ins_are_looked_for_on_a_miss_only() -> None:
    asked: list[int] = []

    def plugins() -> Sequence[EntryPoint]:
        asked.append(1)
        return ()

    registry = MaterializerRegistry(plugins=plugins)
    assert formats(registry, {}) == ["json", "pickle"]
    registry.for_format("pickle")
    assert asked == []
    formats(registry, Mine())
    assert asked


def test_a_broken_plug_in_matters_only_to_its_own_formats_and_types() -> None:
    registry = MaterializerRegistry(plugins=lambda: [point("shapes", "no_such_package_anywhere:X")])
    assert formats(registry, {}) == ["json", "pickle"]
    assert formats(registry, Mine()) == ["pickle"]
    with pytest.raises(UnknownFormatError) as caught:
        registry.for_format("elsewhere")
    assert "no_such_package_anywhere" in caught.value.__notes__[0]
    for ask in (lambda: formats(registry, shapes.Plain(1)), lambda: registry.for_format("shapes-x")):
        with pytest.raises(MaterializerError, match=r"plug-in 'shapes' \(no_such_package_anywhere:X\) of an unknown distribution") as caught:
            ask()
        assert caught.value.path is None
        caught.value.path = "what the store that asked makes of it"


def test_a_registry_pickles_with_what_is_registered(registry: MaterializerRegistry) -> None:
    registry.register(MineMaterializer, types=Mine)
    formats(registry, Mine())
    copy = pickle.loads(pickle.dumps(registry))
    assert formats(copy, Mine()) == ["mine", "pickle"]
    assert formats(copy, {}) == ["json", "pickle"]


def test_dropped_classes_are_not_kept(registry: MaterializerRegistry) -> None:
    import gc
    import weakref

    cls = type("Fleeting", (), {})
    formats(registry, cls())
    reference = weakref.ref(cls)
    del cls
    gc.collect()
    assert reference() is None


def test_threads_may_ask_and_register_at_once(registry: MaterializerRegistry) -> None:
    barrier = threading.Barrier(6)
    wrong: list[Any] = []

    def ask() -> None:
        barrier.wait(timeout=30)
        for _ in range(300):
            found = formats(registry, Mine())
            if found[-1] != "pickle" or set(found) - {"mine", "other", "pickle"}:
                wrong.append(found)

    def register() -> None:
        barrier.wait(timeout=30)
        for number in range(20):
            registry.register(MineMaterializer if number % 2 else OtherMaterializer)

    threads = [threading.Thread(target=target) for target in (ask, ask, ask, ask, register, register)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert wrong == []
    assert len(formats(registry, Mine())) == 41


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    script = (
        "import sys\n"
        "from aioartifacts.materializers.registry import MaterializerRegistry\n"
        "registry = MaterializerRegistry()\n"
        "assert not {'numpy', 'pandas', 'pyarrow', 'cloudpickle'} & set(sys.modules), 'start'\n"
        "next(iter(registry.candidates({}))); next(iter(registry.candidates('x'))); registry.for_format('bytes')\n"
        "assert not {'numpy', 'pandas', 'cloudpickle'} & set(sys.modules), 'dict'\n"
        "list(registry.candidates(lambda: 1))\n"
        "assert 'numpy' not in sys.modules and 'cloudpickle' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], timeout=60, check=True)
