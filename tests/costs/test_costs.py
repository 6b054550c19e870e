"""What a save and a load cost in things that can be counted, without a clock, against the table budget.toml."""

from __future__ import annotations

import pytest
from counting import KINDS, budget, complaint, everything

ROWS = budget()


@pytest.fixture(scope="module")
def counts(tmp_path_factory):
    return everything(tmp_path_factory.mktemp("costs"))


@pytest.mark.parametrize(("kind", "case"), ROWS, ids=lambda part: part)
def test_cost_is_within_its_budget(counts, kind, case):
    assert complaint(counts[kind][case], *ROWS[kind, case]) is None


def test_all_that_is_counted_has_a_budget(counts):
    assert {(kind, case) for kind, cases in counts.items() for case in cases} == set(ROWS)


def test_each_kind_of_cost_is_noticed_when_it_grows(tmp_path):
    found = everything(tmp_path, "--things", "dict", "--more", stores=("local process", "gcs"))
    assert set(found) == set(KINDS)
    for kind, cases in found.items():
        for case, count in cases.items():
            assert "allowed" in (complaint(count, *ROWS[kind, case]) or "nothing"), (kind, case)


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
