"""Imports go down only, plug-ins do not know each other, and a heavy library is known to one file."""

from __future__ import annotations

import sys

import pytest
from modules import Module, modules, ours

LEVELS = {
    "errors": 0, "types": 0, "keys": 0, "checksum": 0, "record": 0, "trust": 0, "legacy": 0,
    "forks": 1, "objects": 1, "objects.base": 1, "materializers": 1, "materializers.base": 1, "materializers.collector": 1,
    "materializers.pickling": 1, "materializers.scratch": 1, "materializers.estimators": 1, "materializers.glimpse": 1,
    "materializers.choosing": 1, "materializers.pickling_exactly": 1,
    # How families write what they have in common: an array, plain Python values, an Arrow or Parquet file.
    "materializers.numpy_npy": 1, "materializers.arrow_ipc": 1, "materializers.parquet_pages": 1,
    **dict.fromkeys((f"materializers.typed_{part}" for part in (
        "classes", "decode", "encode", "frames", "json", "plain", "scalars", "shared"
    )), 1),
    "operations": 2, "protocol": 2, "reading": 2, "explaining": 2, "previews": 2,
    "blocking": 3, "budget": 3, "drivers": 3, "engine": 3, "jobs": 3, "parts": 3, "pipe": 3, "pool": 3, "putting": 3, "quota": 3, "spill": 3, "transfer": 3, "workers": 3,
    "options": 4, "run": 4, "store": 4, "stores": 4, "upkeep": 4,
    "portal": 5, "sync": 5,
    "": 6, "testing": 6, "__main__": 6,
}  # fmt: skip
PLUGINS = 2

CORE_DEPENDENCIES = {
    "msgspec": {0, 1, 2},
    "crc32c": {0},
    "anyio": {3, 4, 5},
    "aiofiles": {3},
    "cloudpickle": {1, 2},
}
"""Which levels may import what is always installed; `testing` may import anything."""

FENCES = {
    "numpy": {
        "materializers.jax", "materializers.torch", "materializers.numpy", "materializers.pandas",
        "materializers.flowyml", "materializers.scipy", "materializers.xarray", "materializers.lightgbm",
        "materializers.plotly",
    },
    "pandas": {"materializers.pandas", "materializers.flowyml", "materializers.xarray"},
    "pyarrow": {"materializers.pandas", "materializers.arrow"},
    "ml_dtypes": {"materializers.numpy", "materializers.jax"},
    "torch": {"materializers.torch", "materializers.huggingface"},
    "skops": {"materializers.sklearn"},
    "sklearn": {"materializers.sklearn"},
    "xgboost": {"materializers.xgboost"},
    "lightgbm": {"materializers.lightgbm"},
    "catboost": {"materializers.catboost"},
    "keras": {"materializers.keras"},
    "h5py": {"materializers.keras"},
    "jax": {"materializers.jax"},
    "transformers": {"materializers.huggingface"},
    "datasets": {"materializers.huggingface"},
    "polars": {"materializers.polars"},
    "scipy": {"materializers.scipy"},
    "xarray": {"materializers.xarray"},
    "networkx": {"materializers.networkx"},
    "PIL": {"materializers.pillow"},
    "matplotlib": {"materializers.matplotlib"},
    "plotly": {"materializers.plotly"},
    "gcloud": {"objects.gcs"},
    "aiohttp": {"objects.gcs"},
    "yarl": {"objects.gcs"},
    "anyio": {"objects.gcs"},
    "crc32c": {"objects.gcs"},
}
"""Families of files in which a library may be imported; private files of a family count as the family."""

FAMILIES = {
    "objects.posix": "objects.local",
    "objects.windows": "objects.local",
    "materializers.dataclasses": "materializers.typed",
}
"""Files that belong to a family without its name."""


def level(name: str) -> int:
    if name in LEVELS:
        return LEVELS[name]
    top = name.partition(".")[0]
    return PLUGINS if top in ("objects", "materializers") else LEVELS[top]


def family(name: str) -> str:
    """``objects.gcs`` for ``objects.gcs.upload`` and for ``objects.gcs_upload``; other modules are their own family."""
    package, _, rest = name.partition(".")
    if package not in ("objects", "materializers") or not rest:
        return name
    name = f"{package}.{rest.lstrip('_').partition('.')[0].partition('_')[0]}"
    return FAMILIES.get(name, name)


def is_plugin(name: str) -> bool:
    return name.startswith(("objects.", "materializers.")) and level(name) == PLUGINS


def complaint(module: Module, target: str) -> str | None:
    here, there = level(module.name), level(target)
    if module.name == target or there == 6 == here:
        return None
    if is_plugin(module.name) and is_plugin(target):
        return None if family(module.name) == family(target) else "plug-ins never import each other"
    if there > here:
        return f"level {here} imports level {there}"
    if is_plugin(module.name) and there == 2:
        return "plug-ins know the contracts only"
    if is_plugin(target) and here in (2, 3):
        return "steps and engine know no concrete plug-in"
    return None


@pytest.mark.parametrize("module", modules().values(), ids=lambda module: module.name or "__init__")
def test_imports_go_down(module: Module) -> None:
    wrong = [
        f"{module.file.name}:{imported.line}: {imported.module}: {reason}"
        for imported in module.imports
        if not imported.typing_only
        and (target := ours(imported.module)) is not None
        and target in modules()
        and (reason := complaint(module, target))
    ]
    assert not wrong


@pytest.mark.parametrize("module", modules().values(), ids=lambda module: module.name or "__init__")
def test_third_party_imports_stay_where_they_belong(module: Module) -> None:
    if module.name.startswith("testing"):
        return  # whoever imports one of these wants what it is for
    wrong = [
        f"{module.file.name}:{imported.line}: {imported.module}"
        for imported in module.imports
        if ours(imported.module) is None and not _allowed(module, imported.module.partition(".")[0])
    ]
    assert not wrong


def _allowed(module: Module, library: str) -> bool:
    if library in sys.stdlib_module_names:
        return True
    if level(module.name) in CORE_DEPENDENCIES.get(library, set()):
        return True
    return family(module.name) in FENCES.get(library, set())


@pytest.mark.parametrize("name", ["", "store", "stores", "sync", "objects", "materializers", "protocol", "materializers.registry"])
def test_plugins_are_imported_when_first_needed(name: str) -> None:
    module = modules()[name]
    eager = [
        imported.module
        for imported in module.imports
        if imported.top_level
        and not imported.typing_only
        and (target := ours(imported.module)) is not None
        and is_plugin(target)
        and target not in ("materializers.registry", name)
    ]
    assert not eager


def test_every_module_has_a_level() -> None:
    unknown = [name for name in modules() if name.partition(".")[0] not in {key.partition(".")[0] for key in LEVELS}]
    assert not unknown


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("keys", "errors", True),
        ("errors", "objects.base", False),
        ("objects.base", "protocol", False),
        ("objects.local", "objects.base", True),
        ("objects.local", "objects.local_paths", True),
        ("objects.local", "objects.memory", False),
        ("objects.local", "protocol", False),
        ("objects.gcs.upload", "objects.gcs.errors", True),
        ("materializers.pandas", "materializers.numpy", False),
        ("materializers.pandas", "store", False),
        ("protocol", "objects.memory", False),
        ("drivers", "objects.local", False),
        ("drivers", "workers", True),
        ("stores", "objects.local", True),
        ("store", "sync", False),
        ("testing.stores", "store", True),
    ],
)
def test_the_rule_itself(importer: str, imported: str, allowed: bool) -> None:
    module = Module(importer, modules()["errors"].file, modules()["errors"].tree, ())
    assert (complaint(module, imported) is None) is allowed
