from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.recipe import Budget, Spent


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("600steps", Budget(600, "steps")),
        ("1step", Budget(1, "steps")),
        ("600", Budget(600, "steps")),
        ("2ksteps", Budget(2000, "steps")),
        ("2Mtokens", Budget(2_000_000, "tokens")),
        ("500 ktokens", Budget(500_000, "tokens")),
        (" 90s ", Budget(90, "seconds")),
        ("90 seconds", Budget(90, "seconds")),
        ("1sec", Budget(1, "seconds")),
    ],
)
def test_budget_is_an_amount_and_a_unit(text: str, budget: Budget) -> None:
    assert Budget.parse(text) == budget


@pytest.mark.parametrize("text", ["", "steps", "0steps", "-5steps", "1.5ksteps", "5apples", "5Gtokens", "5 steps 6"])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(BenchError, match="does not parse; write 600steps"):
        Budget.parse(text)


@given(st.builds(Budget, st.integers(1, 10**9), st.sampled_from(["steps", "tokens", "seconds"])))
def test_budget_parses_back_from_its_text(budget: Budget) -> None:
    assert Budget.parse(str(budget)) == budget


@pytest.mark.parametrize(
    ("budget", "text"),
    [
        (Budget(2_000_000, "tokens"), "2Mtokens"),
        (Budget(1_500, "tokens"), "1500tokens"),
        (Budget(3_000, "tokens"), "3ktokens"),
        (Budget(3_000, "steps"), "3000steps"),
    ],
)
def test_budget_is_written_briefly(budget: Budget, text: str) -> None:
    assert str(budget) == text


def test_share_is_of_the_budgets_own_unit_and_at_most_one() -> None:
    spent = Spent(steps=5, tokens=300, seconds=2.5)
    assert spent.share(Budget(10, "steps")) == 0.5
    assert spent.share(Budget(1_200, "tokens")) == 0.25
    assert spent.share(Budget(2, "seconds")) == 1.0
