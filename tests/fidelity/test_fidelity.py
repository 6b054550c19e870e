"""What is loaded equals what was saved, or the save said why not: for every hard value of every family."""

from __future__ import annotations

import pytest
from corpora import AT_LEAST, FAMILIES, PROCESSES
from fidelity import Result, run, table


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    found = run(FAMILIES, folder=tmp_path_factory.mktemp("fidelity") / "store")
    print(table(found))
    return found


def test_every_family_is_loaded_once() -> None:
    assert sorted(family for group in PROCESSES for family in group) == sorted(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_comes_back_different(family: str, results: dict[str, Result]) -> None:
    assert results[family].different == {}


@pytest.mark.parametrize("family", FAMILIES)
def test_corpus_is_large_enough(family: str, results: dict[str, Result]) -> None:
    assert results[family].total >= AT_LEAST.get(family, 5)


def test_what_is_refused_is_refused_with_a_reason(results: dict[str, Result]) -> None:
    refused = {
        f"{family}: {name}": reason for family, result in results.items() for name, reason in result.refused.items()
    }
    assert refused.keys() == {"polars: lazy", "polars: objects"}
    assert all(len(reason) > 40 for reason in refused.values())


def test_subclasses_are_saved_by_no_format_of_their_base(results: dict[str, Result]) -> None:
    assert set(results["subclasses"].exact.values()) == {"pickle"}
    for family in ("numpy", "pandas", "polars", "scipy", "networkx", "torch"):
        assert results[family].exact["subclass"] == "pickle"
