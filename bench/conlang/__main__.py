"""`python -m bench.conlang`: what the generated data is like, and two aligned sentence pairs per language."""

from __future__ import annotations

from bench.conlang import LANGUAGES, aligned_bitext, statistics

SAMPLES = 2


def main() -> None:
    print_statistics()
    for code in LANGUAGES:
        for english, foreign, links in aligned_bitext(code)[:SAMPLES]:
            print(f"\neng  {' '.join(english)}\n{code}  {' '.join(foreign)}")
            print("     " + "  ".join(f"{english[source]}:{foreign[target]}" for source, target in links))


def print_statistics() -> None:
    """What shows, per language, that it is no cipher; `bench.conlang.statistics` says what each figure is."""
    measured = {code: statistics(code) for code in LANGUAGES}
    columns = list(next(iter(measured.values())))
    print("  ".join(["code", "name  ", "order", *columns]))
    for code, values in measured.items():
        spec = LANGUAGES[code]
        cells = [f"{values[column]:{len(column)}.{0 if column == 'bitext_rows' else 3}f}" for column in columns]
        print("  ".join([f"{code:4}", f"{spec.name:6}", f"{spec.word_order:5}", *cells]))


if __name__ == "__main__":
    main()
