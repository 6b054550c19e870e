"""What a save and a load cost in things that can be counted, without a clock, against the table budget.toml."""

from __future__ import annotations

import pytest
from counting import KINDS, budget, complaint, everything

ROWS = budget()


@pytest.fixture(scope="module")
def counts(tmp_path_factory):
    return everything(tmp_path_factory.mktemp("costs"))


def complaints(counts, kind):
    found = {case: complaint(count, *ROWS[kind, case]) for case, count in counts[kind].items()}
    return {case: said for case, said in found.items() if said is not None}


@pytest.mark.parametrize("kind", KINDS)
def test_costs_are_within_their_budgets(counts, kind):
    assert complaints(counts, kind) == {}


def test_all_that_is_counted_has_a_budget_and_the_other_way_round(counts):
    assert {(kind, case) for kind, cases in counts.items() for case in cases} == set(ROWS)


def test_every_cost_that_grows_is_noticed(tmp_path):
    found = everything(tmp_path, "--things", "dict", "--more", stores=("local process", "gcs"))
    assert set(found) == set(KINDS)
    for kind, cases in found.items():
        said = complaints(found, kind)
        assert said.keys() == cases.keys()
        assert all("are allowed" in one for one in said.values())


@pytest.mark.parametrize(
    ("count", "measured", "allowed", "said"),
    [
        (10, 10, 10, None),
        (11, 10, 10, "11, where 10 were measured and 10 are allowed"),
        (9, 10, 10, "only 9, where 10 were measured: tighten the budget of 10"),
        (12, 10, 12, None),
        (13, 10, 12, "13, where 10 were measured and 12 are allowed"),
        (8, 10, 12, None),
        (7, 10, 12, "only 7, where 10 were measured: tighten the budget of 12"),
    ],
)
def test_a_count_may_be_as_far_off_as_the_budget_says_and_no_further(count, measured, allowed, said):
    assert complaint(count, measured, allowed) == said
