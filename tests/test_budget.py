from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.recipe import Budget, Spent


@pytest.mark.parametrize(
    ("text", "budget", "written"),
    [
        ("600steps", Budget(600, "steps"), "600steps"),
        ("1step", Budget(1, "steps"), "1steps"),
        ("600", Budget(600, "steps"), "600steps"),
        ("3ksteps", Budget(3000, "steps"), "3000steps"),
        ("2Mtokens", Budget(2_000_000, "tokens"), "2Mtokens"),
        ("500 ktokens", Budget(500_000, "tokens"), "500ktokens"),
        ("1500tokens", Budget(1_500, "tokens"), "1500tokens"),
        (" 90s ", Budget(90, "seconds"), "90seconds"),
        ("90 seconds", Budget(90, "seconds"), "90seconds"),
        ("1sec", Budget(1, "seconds"), "1seconds"),
    ],
)
def test_budget_is_an_amount_and_a_unit_and_is_written_briefly(text: str, budget: Budget, written: str) -> None:
    assert Budget.parse(text) == budget
    assert str(budget) == written


@pytest.mark.parametrize("text", ["", "steps", "0steps", "-5steps", "1.5ksteps", "5apples", "5Gtokens", "5 steps 6"])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(BenchError, match="does not parse; write 600steps"):
        Budget.parse(text)


@given(st.builds(Budget, st.integers(1, 10**9), st.sampled_from(["steps", "tokens", "seconds"])))
def test_budget_parses_back_from_its_text(budget: Budget) -> None:
    assert Budget.parse(str(budget)) == budget


@pytest.mark.parametrize(("amount", "unit", "share"), [(10, "steps", 0.5), (1_200, "tokens", 0.25), (2, "seconds", 1)])
def test_share_is_of_the_budgets_own_unit_and_at_most_one(amount: int, unit: str, share: float) -> None:
    assert Spent(steps=5, tokens=300, seconds=2.5).share(Budget(amount, unit)) == share
