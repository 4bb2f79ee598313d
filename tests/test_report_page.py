"""The page in a browser: it reacts to clicks and keys, has no errors and makes no network request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import Browser, find_browser, running
from test_report import EVIL, add, add_external, scores

from bench.report import html
from bench.report.data import report_data
from bench.report.leaderboard import leaderboard
from bench.results.store import Store

pytestmark = pytest.mark.skipif(
    find_browser() is None,
    reason="there is no Chromium to open the page in; apt-get install chromium, or set BROWSER_PATH",
)

HEADS = "[...document.querySelectorAll('#leaderboard thead button')].find((b) => b.textContent.startsWith({name!r}))"
METHODS = (
    "[...document.querySelectorAll('#leaderboard tbody tr')].map((row) => row.querySelector('.name b').textContent)"
)
FIGURES = "[...document.querySelectorAll('#leaderboard .estimate b')].map((node) => Number(node.textContent))"
VERDICT = "[...document.querySelectorAll('.verdict > div')].map((each) => [...each.children].map((c) => c.textContent))"
CONTRASTS = """
(() => {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const luminance = (colour) => {
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map((byte) => byte / 255);
    const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  };
  const seen = (node) => {
    const colour = getComputedStyle(node).backgroundColor;
    return colour === "rgba(0, 0, 0, 0)" ? seen(node.parentElement) : colour;
  };
  return [...document.querySelectorAll("SELECTOR")].map((node) => {
    const [dark, light] = [luminance(getComputedStyle(node).color), luminance(seen(node))].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  });
})()
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of systems on four boards. One system has a hostile name, one is only a reported mean, and one board is
    scored by a measure of its own, which is better when lower.
    """
    root = tmp_path_factory.mktemp("report")
    store = Store(root / "results").open()
    for i, pair in enumerate(("qaa-eng", "qab-eng", "qac-eng")):
        add(store, scores(i, 0.7 - i / 10), losses=300, pair=pair)
        add(store, scores(i + 3, 0.6 - i / 10), losses=300, pair=pair, seed="1")
        add(
            store,
            scores(i + 6, 0.25),
            losses=7,
            pair=pair,
            method="adversarial",
            supervision="relevance + unpaired text",
        )
        add(store, scores(i + 9, 0.35), pair=pair, method=EVIL, config=EVIL)
        add(store, scores(i + 12, 0.1), pair=pair, method="zero-shot", supervision="", train="", seed="", budget="")
        add(store, scores(i + 15, 0.9), pair=pair, method="oracle", supervision="", train="", seed="", budget="")
    add(store, {"MaxR@1000": {"a": 3.0, "b": 900.0}}, dataset="pool", method="adversarial", seed="")
    add(store, {"MaxR@1000": {"a": 9.0, "b": 900.0}}, dataset="pool", method="zero-shot", train="", seed="")
    add_external(store, "qaa-eng", "RR@10", 0.5)
    path = root / "report.html"
    path.write_text(html.page(report_data(leaderboard(store))), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running(find_browser() or "", tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Browser]:
    """The page, just opened. After the test it must have no errors and no requests but that of its own file."""
    browser.errors.clear()
    browser.requests.clear()
    browser.resize(1280)
    browser.open(report)
    yield browser
    assert browser.errors == []
    assert set(browser.requests) == {report.resolve().as_uri()}


def choose(page: Browser, label: str, value: Any) -> None:
    """Choose the radio button or the option with this value."""
    page.run(
        f"""(() => {{
          const radio = document.querySelector(`input[name="{label}"][value="{value}"]`);
          if (radio) return radio.click();
          const labels = [...document.querySelectorAll("label.choice")];
          const select = labels.find((each) => each.textContent.startsWith("{label}")).querySelector("select");
          select.value = {str(value)!r};
          if (select.value !== {str(value)!r}) throw new Error("no such option");
          select.dispatchEvent(new Event("change", {{ bubbles: true }}));
        }})()"""
    )
    page.settle()


def test_a_click_on_a_header_sorts_and_another_reverses(page: Browser) -> None:
    assert page.run(METHODS) == ["oracle", "optical", EVIL, "adversarial", "zero-shot"]
    head = HEADS.format(name="method")
    orders = []
    for direction in ("ascending", "descending"):
        page.run(f"{head}.click()")
        orders.append(page.run(METHODS))
        assert page.run(f"{head}.parentElement.getAttribute('aria-sort')") == direction
        assert page.run("document.querySelectorAll('#leaderboard [aria-sort]').length") == 1
    assert orders[0] == orders[1][::-1]


def test_the_keyboard_sorts_every_column_and_missing_values_come_last(page: Browser) -> None:
    choose(page, "board", 0)
    count = page.run("document.querySelectorAll('#leaderboard thead button').length")
    assert count >= 10
    for column in range(count):
        for key in ("Space", "Enter"):
            page.run(f"document.querySelectorAll('#leaderboard thead button')[{column}].focus()")
            page.press(key)
            path = f"#leaderboard thead th:nth-child({column + 1})"
            assert page.run(f"document.querySelector('{path}').hasAttribute('aria-sort')")
            cells = f"[...document.querySelectorAll('#leaderboard tbody tr > :nth-child({column + 1})')]"
            missing = page.run(f"{cells}.map((cell) => cell.textContent === '–')")
            assert missing == sorted(missing)


def test_another_measure_has_other_figures_and_is_kept_in_the_address(page: Browser, report: Path) -> None:
    before = page.run(FIGURES)
    choose(page, "measure", "RR@10")
    after = page.run(FIGURES)
    assert len(before) == 5 and len(after) == 6  # of one system only this measure is known
    assert set(before).isdisjoint(after)
    assert "RR@10" in page.text("#leaderboard caption")
    page.open(report, page.run("location.hash"))
    assert page.run(FIGURES) == after


def test_a_board_has_intervals_ranks_and_p_values(page: Browser) -> None:
    choose(page, "board", 1)
    heads = page.run("[...document.querySelectorAll('#leaderboard thead button')].map((b) => b.textContent)")
    assert {"rank", "p", "to zero-shot", "sd", "seeds", "train s", "steps", "params", "diagnostics"} <= set(heads)
    assert page.text("#leaderboard h2") == "conlang qab-eng, 40 queries, encoder tiny"


def test_rows_are_filtered_everywhere_by_name_and_by_training_data(page: Browser) -> None:
    choose(page, "trains on", "nothing")
    assert page.run(METHODS) == ["oracle", "zero-shot"]
    choose(page, "trains on", "")
    assert len(page.run(METHODS)) == 5
    page.run("document.querySelector('#filter').focus()")
    page.send("Input.insertText", text="ADVERS")
    assert page.run(METHODS) == ["adversarial"]
    for rows in ("#heat tbody tr", "#curves figure"):
        assert page.run(f"document.querySelectorAll('{rows}').length") == 1
    page.send("Input.insertText", text=" and no such thing")
    assert "No system passes the filter" in page.text("#leaderboard")


def test_two_systems_are_compared_query_by_query(page: Browser) -> None:
    choose(page, "board", 2)
    choose(page, "system", "oracle")
    choose(page, "against", "zero-shot")
    shown = dict(page.run(VERDICT))
    assert int(shown["wins"]) + int(shown["ties"]) + int(shown["losses"]) == 40
    assert int(shown["wins"]) > 35
    assert shown["difference"].startswith("+0.") and shown["p, queries"] == "<.001" and shown["p, Holm of 10"] == ".001"
    page.run("document.querySelector('#duel .chart svg').focus()")
    page.press("Home")
    first = page.text(".readout")
    assert page.text(".extremes code") == first.split(":")[0]
    page.press("ArrowRight")
    assert page.text(".readout") != first
    choose(page, "system", "zero-shot")
    choose(page, "against", "oracle")
    turned = dict(page.run(VERDICT))
    assert (turned["wins"], turned["losses"]) == (shown["losses"], shown["wins"])
    assert turned["difference"].startswith("−0.")


def test_a_measure_that_is_better_when_lower_is_sorted_so(page: Browser) -> None:
    choose(page, "measure", "MaxR@1000")
    choose(page, "board", 3)
    assert page.run(METHODS) == ["adversarial", "zero-shot"]
    assert "Less of MaxR@1000 is better" in page.text("#leaderboard .note")
    shown = dict(page.run(VERDICT))
    assert (shown["wins"], shown["ties"], shown["losses"]) == ("1", "1", "0")
    choose(page, "board", 0)
    assert "was not scored by MaxR@1000" in page.text("#leaderboard")


def test_a_mean_that_others_report_has_no_interval(page: Browser) -> None:
    choose(page, "measure", "RR@10")
    choose(page, "board", 0)
    row = "[...document.querySelectorAll('#leaderboard tbody tr')].find((row) => row.textContent.includes('elsewhere'))"
    assert page.run(f"{row}.querySelector('.estimate').textContent") == "0.500"


def test_a_manifest_unfolds_and_a_point_shows_its_tip(page: Browser) -> None:
    choose(page, "board", 0)
    page.run("[...document.querySelectorAll('#manifests > details')].forEach((each) => (each.open = true))")
    page.run("new Promise((done) => setTimeout(done, 50))")
    text = page.text("#manifests")
    assert "fingerprint" in text and "c0ffee" in text and f"bench run --methods {EVIL}" in text
    page.run("document.querySelector('#cost .mark:last-of-type').focus()")
    assert not page.run("document.querySelector('#tip').hidden")
    assert "nDCG@10" in page.text("#tip")
    page.run("document.activeElement.blur()")
    assert page.run("document.querySelector('#tip').hidden")


def test_a_hostile_name_is_text_and_the_policy_lets_no_injected_script_run(page: Browser) -> None:
    for board in (-1, 0):
        choose(page, "board", board)
        assert page.run("document.querySelectorAll('img').length") == 0
        assert EVIL in page.text("body")
    page.run("document.body.insertAdjacentHTML('beforeend', `<img src='data:,' onerror='window.hit = 1'>`)")
    page.run("document.body.append(Object.assign(document.createElement('script'), { textContent: 'window.hit = 2' }))")
    page.run("new Promise((done) => setTimeout(done, 100))")
    assert page.run("window.hit === undefined")
    assert len(page.errors) == 2 and all("Content Security Policy" in error for error in page.errors)
    page.errors.clear()
    page.requests[:] = [request for request in page.requests if request != "data:,"]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_the_window_and_has_enough_contrast(page: Browser, width: int, dark: bool) -> None:
    page.resize(width, dark=dark)
    for board in (0, -1):
        choose(page, "board", board)
        assert page.run("document.documentElement.scrollWidth <= innerWidth")
    for selector in ("td.heat span", ".note", "thead button", "#leaderboard td", ".switches span"):
        contrasts = page.run(CONTRASTS.replace("SELECTOR", selector))
        assert contrasts and min(contrasts) >= 4.5, selector
