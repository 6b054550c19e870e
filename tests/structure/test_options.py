"""Options that the pages name, as in ``Limits(memory=…)``, ``load(…, mmap=True)`` and ``inline_max=…``, are options of the code."""

from __future__ import annotations

import inspect
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import aioartifacts
from aioartifacts.objects.gcs import GCSObjectStore
from aioartifacts.options import StoreOptions

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *(ROOT / "docs" / name for name in ("guide.md", "performance.md", "gcs.md"))]

_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`(?:await )?([^`\n]*\w=[^`\n]*|\w+=)`")
_CALL = re.compile(r"(?:store\.)?([\w.]+)\(([^()]*)\)")
_OPTION = re.compile(r"(?:^|[\s(])(\w+)=")


@cache
def known() -> dict[str, frozenset[str]]:
    """Options by what takes them: the public names, and the verbs of a store."""
    public = {name: getattr(aioartifacts, name) for name in aioartifacts.__all__} | {"GCSObjectStore": GCSObjectStore}
    verbs = {name: verb for name, verb in vars(aioartifacts.ArtifactStore).items() if not name.startswith("_")}
    return {name: _options(thing) for name, thing in (public | verbs).items() if callable(thing)}


def _options(thing: Any) -> frozenset[str]:
    try:
        parameters = inspect.signature(thing).parameters
    except ValueError:
        return frozenset()
    return frozenset(parameters) | (frozenset(StoreOptions.__annotations__) if "options" in parameters else frozenset())


def unknown(text: str) -> list[str]:
    """The code spans of *text* that name an option which is none. Calls of others' functions are left alone."""
    found = []
    for code in _CODE.findall(_FENCE.sub("", text)):
        calls = [(name, _OPTION.findall(arguments)) for name, arguments in _CALL.findall(code)]
        bare = _OPTION.findall(_CALL.sub("", code))
        wrong = [
            option for name, options in calls if name in known() for option in options if option not in known()[name]
        ]
        wrong += [option for option in bare if not any(option in options for options in known().values())]
        found += [code] if wrong else []
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    assert _CODE.findall(_FENCE.sub("", text))
    assert unknown(text) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "`Limits(memory=…)`, `load(…, mmap=True)`, `await store.sweep(dry_run=False)`, `prefix=`, `np.load(mmap_mode=1)`",
            [],
        ),
        ("`Limits(memori=…)`", ["Limits(memori=…)"]),
        ("`load(…, map=True)`", ["load(…, map=True)"]),
        ("`LocalArtifactStore(inline_max=0)`, `inline_maximum=…`", ["inline_maximum=…"]),
        ("`retry=RetryPolicy(deadlin=…)`", ["retry=RetryPolicy(deadlin=…)"]),
        ("`retries=RetryPolicy(deadline=…)`", ["retries=RetryPolicy(deadline=…)"]),
    ],
)
def test_options_that_are_none_are_told(text: str, found: list[str]) -> None:
    assert unknown(text) == found
