"""The page in a browser: it does what it is asked, complains of nothing and asks the network for nothing."""

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
    """The page of systems on four boards: one has a hostile name, of one only a mean is known, and one board is scored
    by a measure of its own, of which less is better.
    """
    root = tmp_path_factory.mktemp("report")
    store = Store(root / "results").open()
    for i, pair in enumerate(("qaa-eng", "qab-eng", "qac-eng")):
        add(store, scores(i, 0.7 - i / 10), losses=300, pair=pair)
        add(store, scores(i + 3, 0.6 - i / 10), losses=300, pair=pair, seed="1")
        add(store, scores(i + 6, 0.25), losses=7, pair=pair, method="adversarial", uses="relevance + unpaired text")
        add(store, scores(i + 9, 0.35), pair=pair, method=EVIL, config=EVIL)
        add(store, scores(i + 12, 0.1), pair=pair, method="zero-shot", uses="", train="", seed="", budget="")
        add(store, scores(i + 15, 0.9), pair=pair, method="oracle", uses="", train="", seed="", budget="")
    add(store, {"MaxR@1000": {"a": 3.0, "b": 900.0}}, dataset="pool", method="adversarial", seed="")
    add(store, {"MaxR@1000": {"a": 9.0, "b": 900.0}}, dataset="pool", method="zero-shot", train="", seed="")
    add_external(store, "qaa-eng", "RR@10", 0.5)
    path = root / "report.html"
    path.write_text(html.page(report_data(leaderboard(store))), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    path = find_browser()
    assert path is not None
    with running(path, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Browser]:
    """The page as it is opened first; after the test it has complained of nothing and asked for nothing but itself."""
    browser.errors.clear()
    browser.requests.clear()
    browser.resize(1280)
    browser.open(report)
    yield browser
    assert browser.errors == []
    assert set(browser.requests) == {report.resolve().as_uri()}


def choose(page: Browser, label: str, value: Any) -> None:
    """Choose the radio button or the option of this value, as a user does."""
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


def test_a_click_on_a_header_sorts_and_another_turns_it_around(page: Browser) -> None:
    assert page.run(METHODS) == ["oracle", "optical", EVIL, "adversarial", "zero-shot"]
    head = HEADS.format(name="method")
    page.run(f"{head}.click()")
    ascending = page.run(METHODS)
    assert page.run(f"{head}.parentElement.getAttribute('aria-sort')") == "ascending"
    assert page.run("document.querySelectorAll('#leaderboard [aria-sort]').length") == 1
    page.run(f"{head}.click()")
    assert page.run(METHODS) == ascending[::-1]
    assert page.run(f"{head}.parentElement.getAttribute('aria-sort')") == "descending"


def test_the_keyboard_sorts_every_column_and_what_is_missing_comes_last(page: Browser) -> None:
    choose(page, "board", 0)
    count = page.run("document.querySelectorAll('#leaderboard thead button').length")
    assert count >= 10
    for column in range(count):
        for way in range(2):
            page.run(f"document.querySelectorAll('#leaderboard thead button')[{column}].focus()")
            page.press("Enter" if way else "Space")
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
    assert "RR@10" in page.run("document.querySelector('#leaderboard caption').textContent")
    page.open(report, page.run("location.hash"))
    assert page.run(FIGURES) == after


def test_a_board_has_intervals_ranks_and_p_values(page: Browser) -> None:
    choose(page, "board", 1)
    heads = page.run("[...document.querySelectorAll('#leaderboard thead button')].map((b) => b.textContent)")
    assert {"rank", "p", "to zero-shot", "sd", "seeds", "train s", "steps", "params", "diagnostics"} <= set(heads)
    assert (
        page.run("document.querySelector('#leaderboard h2').textContent") == "conlang qab-eng, 40 queries, encoder tiny"
    )


def test_the_filter_takes_rows_out_everywhere(page: Browser) -> None:
    page.run("document.querySelector('#filter').focus()")
    page.send("Input.insertText", text="ADVERS")
    assert page.run(METHODS) == ["adversarial"]
    assert page.run("document.querySelectorAll('#heat tbody tr').length") == 1
    assert page.run("document.querySelectorAll('#curves figure').length") == 1
    page.send("Input.insertText", text=" and no such thing")
    assert "No system passes the filter" in page.run("document.querySelector('#leaderboard').textContent")


def test_systems_can_be_chosen_by_what_they_train_on(page: Browser) -> None:
    choose(page, "trains on", "unpaired text")
    assert page.run(METHODS) == ["adversarial"]
    choose(page, "trains on", "nothing")
    assert page.run(METHODS) == ["oracle", "zero-shot"]
    choose(page, "trains on", "")
    assert len(page.run(METHODS)) == 5


def test_two_systems_are_compared_query_by_query(page: Browser, report: Path) -> None:
    choose(page, "board", 2)
    choose(page, "system", "oracle")
    choose(page, "against", "zero-shot")
    said = dict(page.run(VERDICT))
    assert int(said["wins"]) + int(said["ties"]) + int(said["losses"]) == 40
    assert int(said["wins"]) > 35
    assert said["difference"].startswith("+0.") and said["p, queries"] == "<.001" and said["p, Holm of 10"] == ".001"
    page.run("document.querySelector('#duel .chart svg').focus()")
    page.press("Home")
    first = page.run("document.querySelector('.readout').textContent")
    assert page.run("document.querySelector('.extremes code').textContent") == first.split(":")[0]
    page.press("ArrowRight")
    assert page.run("document.querySelector('.readout').textContent") != first
    choose(page, "system", "zero-shot")
    choose(page, "against", "oracle")
    turned = dict(page.run(VERDICT))
    assert (turned["wins"], turned["losses"]) == (said["losses"], said["wins"])
    assert turned["difference"].startswith("−0.")


def test_a_measure_of_which_less_is_better_is_sorted_so(page: Browser) -> None:
    choose(page, "measure", "MaxR@1000")
    choose(page, "board", 3)
    assert page.run(METHODS) == ["adversarial", "zero-shot"]
    assert "Less of MaxR@1000 is better" in page.run("document.querySelector('#leaderboard .note').textContent")
    said = dict(page.run(VERDICT))
    assert (said["wins"], said["ties"], said["losses"]) == ("1", "1", "0")


def test_a_mean_that_others_report_has_no_interval(page: Browser) -> None:
    choose(page, "measure", "RR@10")
    choose(page, "board", 0)
    assert "elsewhere" in page.run(METHODS)
    row = "[...document.querySelectorAll('#leaderboard tbody tr')].find((row) => row.textContent.includes('elsewhere'))"
    assert page.run(f"{row}.querySelector('.estimate').textContent") == "0.500"


def test_a_measure_that_a_board_has_not_says_so(page: Browser) -> None:
    choose(page, "measure", "MaxR@1000")
    choose(page, "board", 0)
    assert "was not scored by MaxR@1000" in page.run("document.querySelector('#leaderboard').textContent")


def test_a_manifest_unfolds(page: Browser) -> None:
    choose(page, "board", 0)
    page.run("[...document.querySelectorAll('#manifests > details')].forEach((each) => (each.open = true))")
    page.run("new Promise((done) => setTimeout(done, 50))")
    text = page.run("document.querySelector('#manifests').textContent")
    assert "fingerprint" in text and "c0ffee" in text and f"bench run --methods {EVIL}" in text


def test_a_hostile_name_is_text(page: Browser) -> None:
    for board in (-1, 0):
        choose(page, "board", board)
        assert page.run("document.querySelectorAll('img').length") == 0
        assert EVIL in page.run("document.body.textContent")


def test_the_policy_lets_no_script_run_that_got_into_the_page(page: Browser) -> None:
    page.run("document.body.insertAdjacentHTML('beforeend', `<img src='data:,' onerror='window.hit = 1'>`)")
    page.run("document.body.append(Object.assign(document.createElement('script'), { textContent: 'window.hit = 2' }))")
    page.run("new Promise((done) => setTimeout(done, 100))")
    assert page.run("window.hit === undefined")
    assert len(page.errors) == 2 and all("Content Security Policy" in error for error in page.errors)
    page.errors.clear()
    page.requests[:] = [request for request in page.requests if request != "data:,"]


def test_points_tell_what_they_are_when_they_are_focused(page: Browser) -> None:
    choose(page, "board", 0)
    page.run("document.querySelector('#cost .mark:last-of-type').focus()")
    assert page.run(
        "!document.querySelector('#tip').hidden && document.querySelector('#tip').textContent.includes('nDCG@10')"
    )
    page.run("document.activeElement.blur()")
    assert page.run("document.querySelector('#tip').hidden")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_the_window_and_can_be_read(page: Browser, width: int, dark: bool) -> None:
    page.resize(width, dark=dark)
    for board in (0, -1):
        choose(page, "board", board)
        assert page.run("document.documentElement.scrollWidth <= innerWidth")
    for selector in ("td.heat span", ".note", "thead button", "#leaderboard td", ".switches span"):
        contrasts = page.run(CONTRASTS.replace("SELECTOR", selector))
        assert contrasts and min(contrasts) >= 4.5, selector
