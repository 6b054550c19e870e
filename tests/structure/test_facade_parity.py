"""The blocking classes have the same verbs, signatures and first docstring lines as the async ones."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

import aioartifacts
import aioartifacts.sync
from aioartifacts.options import StoreOptions

RENAMED = {"aclose": "close", "__aenter__": "__enter__", "__aexit__": "__exit__", "__aiter__": "__iter__", "__anext__": "__next__"}
NAMES = sorted(aioartifacts.sync.__all__)
TWINS = [name for name in NAMES if getattr(aioartifacts.sync, name) is not getattr(aioartifacts, name)]
CLASSES = [name for name in TWINS if inspect.isclass(getattr(aioartifacts.sync, name))]
FUNCTIONS = [name for name in TWINS if name not in CLASSES]


def verbs(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_") and not isinstance(getattr(cls, name), property)}


def attributes(store: Any) -> set[str]:
    return {name for name in dir(store) if not name.startswith("_") and not callable(getattr(store, name))}


def pairs() -> list[Any]:
    found = []
    for name in CLASSES:
        cls = getattr(aioartifacts, name)
        found += [pytest.param(name, verb, id=f"{name}.{verb}") for verb in sorted({"__init__", *verbs(cls)})]
    return found


def shape(function: Callable[..., Any]) -> list[tuple[str, str, str, str]]:
    return [
        (parameter.name, parameter.kind.name, repr(parameter.default), plain(parameter.annotation))
        for parameter in inspect.signature(function).parameters.values()
    ]


def plain(annotation: object) -> str:
    """An annotation without what makes it async."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\bAsync(Iterator|Iterable|Generator)\b", r"\1", text)


def first_line(function: object) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0]


@pytest.mark.parametrize("name", CLASSES)
def test_same_verbs(name: str) -> None:
    expected = {RENAMED.get(verb, verb) for verb in verbs(getattr(aioartifacts, name))}
    assert verbs(getattr(aioartifacts.sync, name)) == expected


@pytest.mark.parametrize("url", ["memory://", "folder"])
def test_same_attributes(url: str) -> None:
    assert attributes(aioartifacts.sync.open_store(url)) == attributes(aioartifacts.open_store(url))


def test_same_attributes_of_a_run() -> None:
    ours = aioartifacts.sync.open_store("memory://").run("r1")
    assert attributes(ours) == attributes(aioartifacts.open_store("memory://").run("r1"))


@pytest.mark.parametrize(("name", "verb"), pairs())
def test_same_arguments(name: str, verb: str) -> None:
    ours = getattr(getattr(aioartifacts.sync, name), RENAMED.get(verb, verb))
    assert shape(ours) == shape(getattr(getattr(aioartifacts, name), verb))


@pytest.mark.parametrize(("name", "verb"), pairs())
def test_same_result(name: str, verb: str) -> None:
    ours = getattr(getattr(aioartifacts.sync, name), RENAMED.get(verb, verb))
    theirs = getattr(getattr(aioartifacts, name), verb)
    assert plain(inspect.signature(ours).return_annotation) == plain(inspect.signature(theirs).return_annotation)


@pytest.mark.parametrize("option", StoreOptions.__annotations__)
def test_help_of_a_store_names_every_option(option: str) -> None:
    assert f"*{option}*" in (aioartifacts.ArtifactStore.__init__.__doc__ or "")


@pytest.mark.parametrize(("name", "verb"), pairs())
def test_same_docstring(name: str, verb: str) -> None:
    ours = getattr(getattr(aioartifacts.sync, name), RENAMED.get(verb, verb))
    theirs = getattr(getattr(aioartifacts, name), verb)
    assert first_line(ours) == first_line(theirs) != ""
    if verb not in RENAMED:
        assert inspect.getdoc(ours) == inspect.getdoc(theirs)


def test_source_has_the_same_first_lines() -> None:
    """Those that an editor shows; at run time `help` tells the whole of the async ones."""
    tree = ast.parse(inspect.getsource(aioartifacts.sync))
    checked = 0
    for cls in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        for verb in (node for node in cls.body if isinstance(node, ast.FunctionDef) and ast.get_docstring(node)):
            twin = getattr(getattr(aioartifacts, cls.name), {value: key for key, value in RENAMED.items()}.get(verb.name, verb.name), None)
            if not verb.name.startswith("_") and twin is not None:
                checked += 1
                assert (ast.get_docstring(verb) or "").partition("\n")[0] == first_line(twin)
    assert checked > 20


@pytest.mark.parametrize(("name", "verb"), pairs())
def test_nothing_in_the_facade_is_a_coroutine(name: str, verb: str) -> None:
    ours = getattr(getattr(aioartifacts.sync, name), RENAMED.get(verb, verb))
    assert not inspect.iscoroutinefunction(ours)
    assert not inspect.isasyncgenfunction(ours)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_same_functions(name: str) -> None:
    ours, theirs = getattr(aioartifacts.sync, name), getattr(aioartifacts, name)
    assert shape(ours) == shape(theirs)
    assert first_line(ours) == first_line(theirs) != ""
    assert inspect.getdoc(ours) == inspect.getdoc(theirs)

