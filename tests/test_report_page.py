"""The page in a browser: it reacts to clicks and keys, has no errors and makes no network request.

A script at the end of the page's own acts and writes what it sees to the page, which headless Chromium prints.
"""

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cells import EVIL, add, add_external, fill_report

from bench.report import page as reporting
from bench.report.leaderboard import leaderboard
from bench.results.store import Store

CHROMIUM = os.environ.get("BROWSER_PATH") or shutil.which("chromium") or shutil.which("google-chrome")
# Tests may run as root in containers, whose /dev/shm is small; the page is our own. On a busy machine much virtual time
# passes while the page is drawn.
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--virtual-time-budget=300000", "--dump-dom")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium to open the page in; apt-get install chromium, or set BROWSER_PATH"
)

SCRIPT = r"""
const all = (selector) => [...document.querySelectorAll(selector)];
const text = (selector) => document.querySelector(selector).textContent;
const heads = () => all("#leaderboard thead button");
const head = (name) => heads().find((button) => button.textContent.startsWith(name));
const methods = () => all("#leaderboard tbody tr").map((row) => row.querySelector(".name b").textContent);
const figures = () => all("#leaderboard .estimate b").map((node) => Number(node.textContent));
const texts = (node) => [...node.children].map((child) => child.textContent);
const verdicts = () => Object.fromEntries(all(".verdict > div").map(texts));
const press = (node, key) => node.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const drawn = async (selector) => {
  while (!document.querySelector(selector)) await wait(20);
  return document.querySelector(selector);
};
const type = (words) => {
  byId("filter").value = words;
  byId("filter").dispatchEvent(new Event("input", { bubbles: true }));
};
const choose = (label, value) => {
  const radio = document.querySelector(`input[name="${label}"][value="${value}"]`);
  if (radio) return radio.click();
  const select = all("label.choice").find((each) => each.textContent.startsWith(label)).querySelector("select");
  select.value = value;
  if (select.value !== String(value)) throw new Error("no such option");
  select.dispatchEvent(new Event("change", { bubbles: true }));
};
const luminance = (colour) => {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map((byte) => byte / 255);
  const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
};
const background = (node) => {
  const colour = getComputedStyle(node).backgroundColor;
  return colour === "rgba(0, 0, 0, 0)" ? background(node.parentElement) : colour;
};
const contrast = (node) => {
  const [dark, light] = [getComputedStyle(node).color, background(node)].map(luminance).sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
};
const looks = () => ({
  dark: matchMedia("(prefers-color-scheme: dark)").matches,
  width: innerWidth,
  fits: document.documentElement.scrollWidth <= innerWidth,
  contrast: Math.min(...all("td.heat span, .note, thead button, #leaderboard td, .switches span").map(contrast)),
});
const errors = [];
addEventListener("error", (event) => errors.push(event.message));
const initial = { measure: data.measures[0], board: EVERYTHING, text: "", supervision: "", duel: { board: 0 } };
const results = {};
for (const [name, test] of Object.entries(TESTS)) {
  change(structuredClone(initial));
  byId("controls").replaceChildren();
  controls();
  try { results[name] = await test(); } catch (error) { results[name] = String(error.stack); }
}
results.errors = [...errors];
results.requests = performance.getEntriesByType("resource").map((entry) => entry.name);
const blocked = [];
addEventListener("securitypolicyviolation", (event) => blocked.push(event.violatedDirective));
document.body.insertAdjacentHTML("beforeend", "<img src='data:,' onerror='window.hit = 1'>");
document.body.append(Object.assign(document.createElement("script"), { textContent: "window.hit = 2" }));
await wait(100);
results.injected = [window.hit ?? null, blocked.length];
byId("heading").replaceChildren(`RESULTS${JSON.stringify(results)}END`);
"""
TESTS = {
    "sorting by clicks": """
        head("mean").click(); head("method").click();
        const up = methods(), aria = head("method").parentElement.getAttribute("aria-sort");
        head("method").click();
        return [up, aria, methods(), all("#leaderboard [aria-sort]").length];
    """,
    "sorting every column": """
        choose("board", 0);
        return heads().map((_, i) => {
          heads()[i].click();
          const missing = all(`#leaderboard tbody tr > :nth-child(${i + 1})`).map((cell) => cell.textContent === "–");
          const sorted = String(missing) === String(missing.sort());
          return [heads()[i].tagName, heads()[i].parentElement.hasAttribute("aria-sort"), sorted];
        });
    """,
    "measure": """
        const before = figures();
        choose("measure", "RR@10");
        const after = figures(), hash = location.hash;
        change(initial); history.replaceState(null, "", hash); restore(); change({});
        const common = before.filter((each) => after.includes(each));
        return [before.length, after.length, common, figures().length, text("#leaderboard caption")];
    """,
    "board": """
        choose("board", 1);
        return [text("#leaderboard h2"), heads().map((button) => button.textContent)];
    """,
    "filter": """
        choose("trains on", "nothing");
        const nothing = methods();
        choose("trains on", "");
        const count = methods().length;
        type("ADVERS");
        await drawn("#curves figure");
        const rows = ["#heat tbody tr", "#curves figure"].map((rows) => all(rows).length), filtered = methods();
        type("no such thing");
        const none = text("#leaderboard");
        type("");
        return [nothing, count, filtered, rows, none.includes("No system passes the filter")];
    """,
    "two systems": """
        choose("board", 2); choose("system", "optical"); choose("against", "zero-shot");
        const shown = verdicts(), chart = await drawn("#duel .chart svg");
        press(chart, "Home");
        const first = text(".readout"), best = text(".extremes code");
        press(chart, "ArrowRight");
        const second = text(".readout");
        choose("system", "zero-shot"); choose("against", "optical");
        return [shown, verdicts(), first, best, second];
    """,
    "lower is better": """
        choose("measure", "MaxR@1000"); choose("board", 3);
        const [shown, note, found] = [methods(), text("#leaderboard .note"), verdicts()];
        choose("board", 0);
        return [shown, note, [found.wins, found.ties, found.losses], text("#leaderboard")];
    """,
    "imported mean": """
        choose("measure", "RR@10"); choose("board", 0);
        const row = all("#leaderboard tbody tr").find((row) => row.textContent.includes("elsewhere"));
        return [text("#leaderboard h2"), row.querySelector(".estimate").textContent];
    """,
    "manifests and tips": """
        choose("board", 0);
        all("#manifests > details").forEach((each) => (each.open = true));
        await wait(50);
        (await drawn("#cost .mark:last-of-type")).focus();
        const tip = [byId("tip").hidden, text("#tip")];
        document.activeElement.blur();
        return [text("#manifests"), ...tip, byId("tip").hidden];
    """,
    "downloads and pages": """
        const files = all(".downloads a").map((link) => [link.download, link.href.startsWith("blob:")]);
        const links = all("#leaderboard .name a").map((link) => link.getAttribute("href"));
        return [files, links, links.every((link) => document.querySelector(link))];
    """,
    "combined name": """
        const name = nameOf({ method: "a+b", pages: ["a", "b"], details: ["c=1"] });
        const links = [...name.querySelectorAll("a")];
        return [texts(name), links.map((link) => link.getAttribute("href"))];
    """,
    "p-values and cue": """
        choose("board", -1);
        const heads_ = heads().map((head) => head.textContent);
        const hidden = (node) => node.scrollWidth - node.clientWidth - node.scrollLeft > 2;
        await wait(200);
        const cues = all(".scroll").map((node) => [hidden(node), node.parentElement.classList.contains("more")]);
        const [wide] = all(".scroll");
        wide.scrollLeft = wide.scrollWidth;
        wide.dispatchEvent(new Event("scroll")); // a page without a screen may scroll without one
        return [heads_, cues, wide.parentElement.classList.contains("more")];
    """,
    "hostile names": "return [all('img').length, text('main')];",
    "looks": "const whole = looks(); choose('board', 0); return [whole, looks()];",
}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of systems on four boards. One system is only a reported mean, and one board is scored by a measure of
    its own, which is better when lower.
    """
    root = tmp_path_factory.mktemp("report")
    store = fill_report(Store(root / "results").open(), ("qaa-eng", "qab-eng", "qac-eng"))
    for method, worst in (("adversarial", 3.0), ("zero-shot", 9.0)):
        add(store, {"MaxR@1000": {"a": worst, "b": 900.0}}, dataset="pool", method=method, train="", seed="")
    add_external(store, "qaa-eng", "RR@10", 0.5)
    tests = ",\n".join(f"{json.dumps(name)}: async () => {{ {body} }}" for name, body in TESTS.items())
    read, script = reporting._read, f"\n{{ {SCRIPT.replace('TESTS', f'{{{tests}}}')} }}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reporting, "_read", lambda name: read(name) + (script if name == "page.js" else ""))
        (root / "report.html").write_text(reporting.page(reporting.report_data(leaderboard(store))), encoding="utf-8")
    return root / "report.html"


def look(page: Path, *options: str) -> dict[str, Any]:
    """Open the page and return the results of all tests."""
    call = [str(CHROMIUM), *OPTIONS, f"--user-data-dir={page.parent / 'profile'}", *options, page.as_uri()]
    dom = subprocess.run(call, capture_output=True, text=True, check=True, timeout=120).stdout
    (found,) = re.findall(r"RESULTS(.*?)END</h1>", dom, re.DOTALL)
    return dict(json.loads(html.unescape(found)))


@pytest.fixture(scope="module")
def seen(page: Path) -> dict[str, Any]:
    return look(page, "--window-size=1280,900")


def test_a_click_on_any_header_sorts_and_another_reverses(seen: dict[str, Any]) -> None:
    up, direction, down, sorted_columns = seen["sorting by clicks"]
    assert up == down[::-1] == sorted(up)
    assert (direction, sorted_columns) == ("ascending", 1)
    # Every column is sorted by a button, and missing values come last.
    assert len(seen["sorting every column"]) >= 10
    assert all(each == ["BUTTON", True, True] for each in seen["sorting every column"])


def test_a_measure_and_a_board_have_figures_of_their_own_and_are_kept_in_the_address(seen: dict[str, Any]) -> None:
    before, after, common, restored, caption = seen["measure"]
    assert (before, after, common, restored) == (4, 5, [], 5)  # of one system only this measure is known
    assert "RR@10" in caption
    title, heads = seen["board"]
    assert title == "conlang qab-eng, 40 queries, encoder tiny"
    assert {"rank", "p", "to zero-shot", "sd", "seeds", "train s", "steps", "params", "diagnostics"} <= set(heads)


def test_rows_are_filtered_everywhere_by_name_and_by_training_data(seen: dict[str, Any]) -> None:
    assert seen["filter"] == [["zero-shot"], 4, ["adversarial"], [1, 1], True]


def test_two_systems_are_compared_query_by_query(seen: dict[str, Any]) -> None:
    shown, turned, first, best, second = seen["two systems"]
    assert int(shown["wins"]) + int(shown["ties"]) + int(shown["losses"]) == 40
    assert (turned["wins"], turned["losses"]) == (shown["losses"], shown["wins"])
    assert int(shown["wins"]) > 20 and shown["difference"].startswith("+0.") and turned["difference"].startswith("−0.")
    assert {"p, queries", "p, seeds", "p, Holm of 6", "effect size"} <= shown.keys()
    assert best == first.split(":")[0] and first != second


def test_lower_values_of_some_measures_are_first_and_an_imported_mean_has_no_interval(
    seen: dict[str, Any],
) -> None:
    shown, note, counts, other = seen["lower is better"]
    assert (shown, counts) == (["adversarial", "zero-shot"], ["1", "1", "0"])
    assert "Less of MaxR@1000 is better" in note
    assert "was not scored by MaxR@1000" in other
    assert seen["imported mean"] == ["conlang qaa-eng, 40 queries, encoder tiny", "0.500"]


def test_a_manifest_unfolds_and_a_point_shows_its_tip(seen: dict[str, Any]) -> None:
    manifests, hidden, tip, hidden_again = seen["manifests and tips"]
    assert "fingerprint" in manifests and "c0ffee" in manifests and f"bench run --methods {EVIL}" in manifests
    assert not hidden and "nDCG@10" in tip and hidden_again


def test_a_hostile_name_is_text_and_nothing_injected_runs_or_makes_requests(seen: dict[str, Any]) -> None:
    images, text = seen["hostile names"]
    assert images == 0 and EVIL in text
    assert seen["injected"] == [None, 2]
    assert (seen["errors"], seen["requests"]) == ([], [])


def test_files_are_downloaded_from_the_page_and_names_lead_to_methods(seen: dict[str, Any]) -> None:
    files, links, all_lead_somewhere = seen["downloads and pages"]
    assert files == [["leaderboard-wide.csv", True], ["leaderboard.tex", True]]
    assert "#method-adversarial" in links and all_lead_somewhere


def test_the_name_of_combined_methods_leads_to_each_of_them(seen: dict[str, Any]) -> None:
    assert seen["combined name"] == [["a+b", "a", "b", "c=1"], ["#method-a", "#method-b"]]


def test_p_values_are_in_the_main_table_and_hidden_columns_have_a_cue(seen: dict[str, Any]) -> None:
    heads, cues, at_the_end = seen["p-values and cue"]
    assert "p" in heads
    assert len(cues) == 2 and all(hidden == cue for hidden, cue in cues) and any(hidden for hidden, _ in cues)
    assert not at_the_end


def test_it_fits_the_window_and_has_enough_contrast(page: Path, seen: dict[str, Any]) -> None:
    narrow = look(page, "--window-size=390,900", "--blink-settings=preferredColorScheme=0")["looks"]
    assert [each["dark"] for each in (*seen["looks"], *narrow)] == [False, False, True, True]
    assert narrow[0]["width"] <= 500
    for each in (*seen["looks"], *narrow):
        assert each["fits"] and each["contrast"] >= 4.5
