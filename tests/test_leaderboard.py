"""Leaderboards of cells made by hand, with means computed by hand; outlying and failed seeds by published values; LaTeX
tables are read by a parser and an engine."""

import errno
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cells import add, spec
from conftest import Cli
from hypothesis import given
from hypothesis import strategies as st
from pylatexenc.latexwalker import LatexEnvironmentNode, LatexNode, LatexWalker

from bench.report.leaderboard import COMPARISONS, Leaderboard, cost_frame, diagnostics_text, leaderboard, long_frame
from bench.report.report import write_leaderboard
from bench.report.tables import escaped, markdown_table, p_value, remarks, tables
from bench.results.store import FAILURE, Store, training_fingerprint
from bench.statistics.significance import outliers


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path).open()


def test_row_is_the_mean_over_queries(store: Store) -> None:
    entry = add(store, {"RR@10": {"q1": 1.0, "q2": 0.5, "q3": 0.0}, "R@100": dict.fromkeys(("q1", "q2", "q3"), 1.0)})
    frame = long_frame([entry]).set_index("measure")
    assert frame.loc["RR@10", "value"] == 0.5
    assert frame.loc["R@100", ["value", "low", "high"]].tolist() == [1, 1, 1]
    assert frame["queries"].tolist() == [3, 3]
    assert set(frame["cell"]) == {entry.manifest["fingerprint"][:12]}


def test_wide_row_is_the_mean_over_queries_and_seeds_by_what_all_seeds_were_scored_by(store: Store) -> None:
    entries = [
        add(store, {"RR@10": {"q1": 1.0, "q2": 0.0}, "P@5": {"q1": 0.2, "q2": 0.2}}, seed="0"),
        add(store, {"RR@10": {"q1": 0.5, "q2": 0.5}}, seed="1"),
        add(store, {"RR@10": {"q1": 0.25, "q2": 0.25}}, method="distillation"),
    ]
    found = Leaderboard(entries, store)
    assert found.measures == ["RR@10"]
    frame = found.wide.set_index("method")
    assert frame["RR@10"].to_dict() == {"optical": 0.5, "distillation": 0.25}
    assert frame["seeds"].to_dict() == {"optical": 2, "distillation": 1}
    assert (frame["queries"] == 2).all()


def test_several_seeds_have_a_spread_and_an_interval_over_both(store: Store) -> None:
    one, other = {f"q{i}": i / 10 for i in range(11)}, {f"q{i}": (10 - i) / 20 for i in range(11)}
    entries = [add(store, {"RR@10": one}, seed="0"), add(store, {"RR@10": other}, seed="1")]
    row = Leaderboard(entries, store).wide.iloc[0]
    assert (row["seeds"], row["interval"]) == (2, "seeds and queries (t)")
    assert row["RR@10"] == 0.375
    assert row["RR@10 sd"] == pytest.approx(0.25 / 2**0.5, abs=1e-6)  # of 0.5 and 0.25
    # With two seeds the t-interval over seed means alone is 12.7 standard errors of 0.125 to either side.
    assert row["RR@10 high"] - row["RR@10"] >= 12.7 * 0.125


@pytest.mark.parametrize(
    "changes",
    [
        *({"method": "psq"}, {"config": "epsilon=0.5"}, {"dataset": "ntrex"}, {"pair": "qab-eng"}),
        *({"encoder": "tiny-1"}, {"scoring": "maxsim"}, {"students": "multilingual"}, {"train": "bible"}),
        *({"bitext_size": 10}, {"bitext_noise": 0.5}, {"budget": "20steps"}, {"seed": 1}, {"leakage": "keep"}),
    ],
)
def test_cells_that_differ_in_any_column_both_count(store: Store, changes: dict[str, object]) -> None:
    add(store, {"RR@10": {"q": 0.1}})
    add(store, {"RR@10": {"q": 0.2}}, **changes)
    assert len(store.contents().cells) == 2


def test_files_are_the_frames_the_same_bytes_every_time_and_costs_are_apart_from_scores(store: Store) -> None:
    entries = [
        add(store, {"RR@10": {f"q{i}": i / 7 for i in range(8)}}),
        add(store, {"RR@10": {f"q{i}": i / 8 for i in range(8)}}, method="a, b"),
    ]
    paths = {path.name: path for path in write_leaderboard(leaderboard(store))}
    names = "leaderboard.csv leaderboard-wide.csv comparisons.csv cost.csv leaderboard.md leaderboard.tex"
    assert set(paths) == set(names.split())
    found = pd.read_csv(paths["leaderboard.csv"], dtype={"seed": str}, keep_default_na=False)
    pd.testing.assert_frame_equal(found, long_frame(entries).reset_index(drop=True), check_dtype=False)
    before = {path: path.read_bytes() for path in paths.values()}
    assert {path: path.read_bytes() for path in write_leaderboard(leaderboard(store))} == before
    cost = cost_frame(entries).iloc[0]
    assert (cost["training_seconds"], cost["trained_steps"], cost["evaluation_search_seconds"]) == (12.5, 10, 0.5)
    assert cost["diagnostics"] == "probe_accuracy=0.750"
    assert b"12.5" in before[paths["cost.csv"]]
    assert b"12.5" not in before[paths["leaderboard.csv"]] + before[paths["leaderboard-wide.csv"]]


def test_diagnostics_are_below_their_table_and_averaged_over_seeds(store: Store, cli: Cli) -> None:
    for seed, found in enumerate(({"accuracy": 0.5, "count": 4}, {"accuracy": 0.75, "count": 4}, {"count": 6})):
        add(store, {"RR@10": {"q": 0.1}}, seed=str(seed), diagnostics=found)
    name, *means = cli("leaderboard", "--results", store.root).out.rstrip().splitlines()[-1].split()
    assert (name, sorted(means)) == ("optical:", ["accuracy=0.625", "count=4.667"])
    assert (store.root / "leaderboard.md").read_text().endswith(f"|\n\noptical: {' '.join(means)}\n")


def test_lines_below_a_table_distinguish_systems_of_the_same_name(store: Store) -> None:
    for size, noise in (("", ""), ("1000", ""), ("1000", "0.5")):
        add(store, {"RR@10": {"q": 0.1}}, bitext_size=size, bitext_noise=noise)
    add(store, {"RR@10": {"q": 0.1}}, config="epsilon=0.5", budget="20steps")
    lines = remarks(leaderboard(store), 0)
    assert [line.split(":")[0] for line in lines] == [
        "rank",
        "optical · bitext 1,000",
        "optical · bitext 1,000, 50 % misaligned",
        "optical · bitext all",
        "optical · epsilon=0.5",
    ]


def test_rows_are_best_first_and_columns_are_shown_where_rows_differ(store: Store) -> None:
    entries = [
        add(store, {"RR@10": {"q": 0.8}}, bitext_size="10000"),
        add(store, {"RR@10": {"q": 0.9}}),
        add(store, {"RR@10": {"q": 0.7}}, bitext_size="1000", bitext_noise="0.125", scoring="maxsim"),
        add(store, {"RR@10": {"q": 0.6}}, method="zero-shot", train=""),
    ]
    assert Leaderboard(entries, store).wide["bitext_size"].tolist() == ["1000", "10000", "", ""]
    found = Leaderboard(entries, store)
    (table,) = tables(found).values()
    assert found.titles == ["conlang qaa-eng, 1 queries, encoder tiny"]
    assert table[["method", "scoring", "bitext"]].values.tolist() == [
        ["optical", "single-vector", "all"],
        ["optical", "single-vector", "10,000"],
        ["optical", "maxsim", "1,000, 12.5 % misaligned"],
        ["zero-shot", "single-vector", "-"],
    ]
    assert table["RR@10 [95 %]"].tolist()[0] == "0.900 [0.900, 0.900]"
    (table,) = tables(Leaderboard(entries[1:2], store)).values()
    assert {"bitext", "scoring"}.isdisjoint(table.columns)


def test_collections_have_columns_of_their_own(store: Store) -> None:
    entries = [
        add(store, {"F1": {"q": 0.25}, "recall": {"q": 0.5}}, dataset="bucc"),
        add(store, {"RR@10": {"q": 0.5}}),
        add(store, {"P@5": {"q": 0.2}}, method="distillation"),
    ]
    found = Leaderboard(entries, store)
    mined, ranked = tables(found, ["RR@10", "P@5", "F1", "recall"]).values()
    assert mined[["F1 [95 %]", "recall"]].values.tolist() == [["0.250 [0.250, 0.250]", "0.500"]]
    assert ranked[["method", "RR@10 [95 %]", "P@5"]].values.tolist() == [
        ["optical", "0.500 [0.500, 0.500]", "-"],
        ["distillation", "-", "0.200"],
    ]
    assert {"RR@10 [95 %]", "P@5"}.isdisjoint(mined) and {"F1", "recall"}.isdisjoint(ranked)
    (only,) = tables(found, ["F1"])
    assert found.titles[only].startswith("bucc ")


def test_favoured_languages_of_a_pool_are_below_its_table(store: Store) -> None:
    tops = {"0": {"eng": 0.4, "spa": 0.6}, "1": {"eng": 0.2, "spa": 0.8}}
    for seed, shares in tops.items():
        languages = {language: {"documents": 0.5, "top": share} for language, share in shares.items()}
        add(store, {"RR@10": {"q": 0.5}}, pair="spa-mul", seed=seed, manifest={"languages": languages})
    add(store, {"RR@10": {"q": 0.5}}, pair="spa-mul", method="psq")
    lines = remarks(leaderboard(store), 0)
    assert lines == [
        "rank: Holm over 1 comparison",
        "optical: probe_accuracy=0.750",
        "psq: probe_accuracy=0.750",
        "optical: first 10 documents against all documents: spa 1.4x, eng 0.6x",
    ]


def test_texts_of_numbers_and_tables() -> None:
    text = markdown_table(pd.DataFrame({"method": ["a|b", "c"], "value": ["1", "2"]}))
    assert text.splitlines() == ["| method | value |", "| --- | --- |", "| a\\|b | 1 |", "| c | 2 |"]
    assert diagnostics_text({"a": 354277, "b": 0, "c": 1.0, "d": 0.25}) == "a=354277 b=0 c=1.000 d=0.250"
    assert [p_value(p) for p in (float("nan"), 0.0001, 0.001, 0.0626, 1.0)] == ["-", "<.001", ".001", ".063", "1.000"]


def test_measure_that_no_cell_was_scored_by_is_an_error(store: Store, cli: Cli) -> None:
    add(store, {"RR@10": {"q": 0.5}})
    said = cli("leaderboard", "--results", store.root, "--measures", "P@5", code=2)
    assert said.line("no cell was scored by P@5; scored: RR@10")


def test_significance_is_against_the_baseline_that_is_named(store: Store) -> None:
    rng = np.random.default_rng(0)
    easy = rng.random(60).tolist()
    halves = [value / 2 for value in easy]
    entries = [
        add(store, {"RR@10": {f"q{i}": value for i, value in enumerate(halves)}}, method="zero-shot"),
        add(store, {"RR@10": {f"q{i}": value for i, value in enumerate(easy)}}),
        add(store, {"RR@10": {f"q{i}": value for i, value in enumerate(halves[::-1])}}, method="psq", scoring="bm25"),
    ]
    wide = Leaderboard(entries, store).wide.set_index("method")
    assert wide.loc["optical", "RR@10 p"] == pytest.approx(2 / 10_001, abs=1e-6)  # of two comparisons, by Holm
    assert wide.loc["psq", "RR@10 p"] > 0.2
    assert pd.isna(wide.loc["zero-shot", "RR@10 p"])
    assert wide["RR@10 best rank"].to_dict() == {"optical": 1, "psq": 2, "zero-shot": 2}
    assert wide["RR@10 worst rank"].to_dict() == {"optical": 1, "psq": 3, "zero-shot": 3}
    assert remarks(Leaderboard(entries, store), 0)[0] == "rank: Holm over 3 comparisons; p: Holm over 2 comparisons"
    assert set(wide["baseline"]) == {"zero-shot"}
    (table,) = tables(Leaderboard(entries, store, "psq")).values()
    assert table[["rank", "method", "p, psq"]].values.tolist() == [
        ["1", "optical", "<.001"],
        ["2-3", "psq", "-"],
        ["2-3", "zero-shot", f"{wide.loc['psq', 'RR@10 p']:.3f}".removeprefix("0")],
    ]
    (table,) = tables(Leaderboard(entries, store, "unheard-of")).values()
    assert not [column for column in table.columns if column.startswith("p,")]


def test_every_pair_is_compared_in_a_file_of_its_own(store: Store) -> None:
    add(store, {"RR@10": {"q1": 1.0, "q2": 0.5, "q3": 0.25}})
    add(store, {"RR@10": {"q1": 0.5, "q2": 0.5, "q3": 0.0}}, method="distillation", seed="0")
    add(store, {"RR@10": {"q1": 0.0, "q2": 0.0, "q3": 0.0}}, method="zero-shot", seed="", train="")
    add(store, {"RR@10": {"q1": 0.0, "q2": 0.0, "q3": 0.0}}, dataset="another")
    found = pd.read_csv({path.name: path for path in write_leaderboard(leaderboard(store))}["comparisons.csv"])
    assert list(found.columns) == COMPARISONS
    assert {(row.method_a, row.method_b): row.difference for row in found.itertuples()} == {
        ("optical", "distillation"): 0.25,
        ("optical", "zero-shot"): 0.583333,
        ("distillation", "zero-shot"): 0.333333,
    }
    assert set(found["family"]) == {3}


TEXTS = {"seed", "bitext_size", "bitext_noise"}
KINDS = {"text": "O", "float64": "f", "int64": "i"}


def documented(file: str) -> dict[str, str]:
    """Return the columns of a file and their types in docs/leaderboards.md; a measure is called M."""
    page = (Path(__file__).parents[1] / "docs/leaderboards.md").read_text(encoding="utf-8")
    parts = [page.split("## Systems and boards")[1].split("\n## ")[0], page.split(f"## `{file}`")[1].split("\n## ")[0]]
    found = {}
    for names, kinds in re.findall(r"^\| (.*?`) \| ([a-z0-9, ]+) \|", "\n".join(parts), re.MULTILINE):
        columns = [name.strip("`") for name in names.split(", ")]
        first, *others = kinds.split(", ")
        found |= dict(zip(columns, [first] * (len(columns) - len(others)) + others, strict=True))
    return found


def test_columns_are_those_that_the_documentation_has(store: Store) -> None:
    for seed in ("0", "1"):
        add(store, {"RR@10": {"q1": 1.0, "q2": 0.5, "q3": 0.25}}, seed=seed, config="epsilon=0.5")
    add(store, {"RR@10": {"q1": 0.5, "q2": 0.5, "q3": 0.125}}, method="zero-shot", seed="", train="")
    paths = {path.name: path for path in write_leaderboard(leaderboard(store))}
    for file in ("leaderboard.csv", "leaderboard-wide.csv", "comparisons.csv"):
        frame = pd.read_csv(paths[file], dtype=dict.fromkeys(TEXTS, str)).rename(
            columns=lambda name: re.sub(r"^RR@10", "M", name)
        )
        known = documented(file)
        if file == "comparisons.csv":
            shared = {name: known[name] for name in ("dataset", "pair", "encoder", "measure")}
            sides = {name: "text" for name in COMPARISONS if name.endswith(("_a", "_b")) and name not in known}
            known = {**shared, **sides, **{name: kind for name, kind in known.items() if name in COMPARISONS}}
        assert set(frame.columns) == set(known) - ({"measure"} if file == "leaderboard-wide.csv" else set())
        for name, column in frame.items():
            assert column.isna().all() or column.dtype.kind == KINDS[known[str(name)]], (file, name)


def test_a_folder_that_cannot_be_written_is_printed(store: Store, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    add(store, {"RR@10": {"q1": 0.5}})
    before = sorted(store.root.rglob("*"))

    def refuse(path: Path, *_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr("bench.report.report.atomic_write", refuse)
    said = cli("leaderboard", "--results", store.root)
    assert " optical " in said.out
    assert said.lines == [f"not written: Read-only file system: {store.root / 'leaderboard.csv'}"]
    assert sorted(store.root.rglob("*")) == before


HOSTILE = r"a_b <50%> & #1 {x|y} ~z^2 \end{table} $5"
ENGINES = ("pdflatex", "lualatex", "xelatex")
DOCUMENT = r"""\documentclass{article}
\usepackage{booktabs}
\begin{document}
\input{leaderboard}
\end{document}
"""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """The tables of two collections, with a method that is better than the baseline and a name full of commands."""
    store, easy = Store(tmp_path).open(), np.random.default_rng(0).random(60)
    for dataset in ("conlang", "some_data"):
        for method, share in (("zero-shot", 2), ("optical", 1), (HOSTILE, 4)):
            scores = {f"q{i}": value / share for i, value in enumerate(easy.tolist())}
            config = "x=1%" if method == "optical" else ""
            add(store, {"RR@10": scores}, method=method, config=config, dataset=dataset)
    write_leaderboard(leaderboard(store))
    return tmp_path / "leaderboard.tex"


def environments(nodes: list[LatexNode], name: str) -> Iterator[LatexEnvironmentNode]:
    for node in nodes:
        if node.isNodeType(LatexEnvironmentNode):
            if node.environmentname == name:
                yield node
            yield from environments(node.nodelist, name)


def test_a_parser_finds_the_rows_with_marks_at_the_best_and_what_differs(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    nodes, _, _ = LatexWalker(text, tolerant_parsing=False).get_latex_nodes()
    tables = list(environments(nodes, "table"))
    assert len(tables) == 2
    for table in tables:
        (tabular,) = environments(table.nodelist, "tabular")
        assert tabular.nodeargd.argnlist[0].latex_verbatim() == "{lr}"
        parts = [node.latex_verbatim().strip() for node in tabular.nodelist]
        assert parts.count("&") == parts.count(r"\\") == 4  # a heading and three systems

    easy = np.random.default_rng(0).random(60)
    assert rf"optical x=1\% & \textbf{{{easy.mean():.3f}}}$^{{\uparrow}}$ \\" in text
    assert rf"zero-shot & {easy.mean() / 2:.3f} \\" in text
    assert rf"{escaped(HOSTILE)} & {easy.mean() / 4:.3f}$^{{\downarrow}}$ \\" in text


def test_an_engine_compiles_them(written: Path, tmp_path: Path) -> None:
    engine = next(filter(shutil.which, ENGINES), None)
    if engine is None:
        pytest.skip("there is no TeX engine (Debian: texlive-latex-recommended); a parser read the tables, see above")
    (tmp_path / "paper.tex").write_text(DOCUMENT, encoding="utf-8")
    call = [engine, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 5_000


@given(st.text())
def test_escaped_text_has_no_command_of_latex(text: str) -> None:
    plain = escaped(text)
    for found in ("backslash", "asciitilde", "asciicircum", "less", "greater", "bar"):
        plain = plain.replace(f"\\text{found}{{}}", "")
    for character in "&%$#_{}":
        plain = plain.replace("\\" + character, "")
    assert not set(plain) & set("\\&%$#_{}~^<>|")


ROSNER = """
-0.25 0.68 0.94 1.15 1.20 1.26 1.26 1.34 1.38 1.43 1.49 1.49 1.55 1.56 1.58 1.65 1.69 1.70 1.76 1.77 1.81 1.91 1.94 1.96
1.99 2.06 2.09 2.10 2.14 2.15 2.23 2.24 2.26 2.35 2.37 2.40 2.47 2.54 2.62 2.64 2.90 2.92 2.92 2.93 3.21 3.26 3.30 3.59
3.68 4.30 4.64 5.34 5.42 6.01
"""


def test_example_of_rosner_has_three_outliers() -> None:
    values = np.array(ROSNER.split(), dtype=float)
    assert values[outliers(values, alpha=0.05)].tolist() == [6.01, 5.42, 5.34]


@pytest.mark.parametrize(("n", "critical"), [(3, 1.155), (4, 1.496), (5, 1.764), (8, 2.274), (10, 2.482)])
def test_one_outlier_is_beyond_the_critical_value_of_grubbs(n: int, critical: float) -> None:
    # Two-sided critical values at 1 %: Grubbs and Beck, Technometrics 14, 1972, table I, rounded to three decimals.
    largest = []
    for distance in np.geomspace(0.1, 1000, 4000):
        values = np.append(np.linspace(-1, 1, n - 1), distance * n)
        if n - 1 in outliers(values):
            break
        largest.append(abs(values[-1] - values.mean()) / values.std(ddof=1))
    assert largest[-1] == pytest.approx(critical, abs=0.002)


def test_equal_and_few_values_have_no_outlier() -> None:
    assert outliers([]) == outliers([0.5]) == outliers([0.1, 0.9]) == outliers([0.3] * 9) == []


def fill(store: Store, means: list[float], **changes: str) -> None:
    for seed, mean in enumerate(means):
        add(store, {"RR@10": {"q1": mean - 0.05, "q2": mean + 0.05}}, seed=str(seed), diagnostics={}, **changes)


def test_outlying_seed_is_named_below_its_table(tmp_path: Path) -> None:
    store = Store(tmp_path).open()
    fill(store, [0.52, 0.53, 0.1, 0.525, 0.54])
    fill(store, [0.42, 0.43, 0.44, 0.43, 0.41], method="distillation")
    assert remarks(leaderboard(store), 0)[1:] == [
        "optical: seed 2 is an outlier by RR@10 (0.100; others 0.520 to 0.540)",
    ]


def test_failed_seed_is_named_if_it_has_the_settings_of_the_others(tmp_path: Path) -> None:
    store, inputs = Store(tmp_path).open(), {"code optical": ""}
    fill(store, [0.5, 0.6])
    fill(store, [0.4, 0.3], config="epsilon=0.5")
    for seed, config, code in ((1, "", ""), (2, "epsilon=0.5", ""), (3, "", "another"), (4, "", "")):
        failed = spec(seed=seed, config=config)
        entry = store.training(failed.training.label, training_fingerprint(failed, inputs | {"code optical": code}))
        (entry.begin() / FAILURE).write_text("Traceback\n  ...\nbench.errors.CellFailed: the loss is nan at step 7\n")
    reason = "failed and is not in the mean (bench.errors.CellFailed: the loss is nan at step 7)"
    assert remarks(leaderboard(store), 0)[1:] == [
        f"optical · epsilon=0.5: seed 2 {reason}",
        f"optical: seed 4 {reason}",
    ]
