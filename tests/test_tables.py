"""Tables where stdout is no terminal: nothing is cut, and no number is broken."""

from __future__ import annotations

import pytest

from bench.tables import PLAIN_WIDTH, WORDS_WIDTH, print_table


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]


@pytest.mark.parametrize("count", range(1, 16))
def test_numbers_stand_in_one_line_however_many_there_are(capsys: pytest.CaptureFixture[str], count: int) -> None:
    numbers = [f"{number}.000 [0.000, 1.000]" for number in range(count)]
    heads = [f"a measure with a long name {number}" for number in range(count)]
    method = "zero-shot with a setting or two that need room"
    print_table(["method", *heads], [[method, *numbers]], right=heads)
    head, _, first, *others = lines(capsys)
    assert [text for text in heads if text not in head] == []
    assert [number for number in numbers if number not in first] == []
    name = [first[: first.index("0.000 [")].strip(), *(line.strip() for line in others)]
    assert " ".join(name) == method
    assert len(name[0]) >= WORDS_WIDTH - len("setting")


def test_words_are_folded_where_the_line_ends(capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"word{number}" for number in range(100)]
    print_table(["id", "text", "score"], [["q1", " ".join(words), "0.5"]], right=["score"])
    printed = lines(capsys)
    assert PLAIN_WIDTH - len(" word99") <= max(map(len, printed)) <= PLAIN_WIDTH
    assert [text for text in " ".join(printed[2:]).split() if text in words] == words
