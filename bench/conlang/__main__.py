"""`python -m bench.conlang`: what the generated data is like, and two aligned sentence pairs per language."""

from __future__ import annotations

from . import LANGUAGES, aligned_bitext, statistics

SAMPLES = 2


def main() -> None:
    measured = {code: statistics(code) for code in LANGUAGES}
    columns = list(next(iter(measured.values())))
    print("  ".join(["code", "name  ", "order", *columns]))
    for code, values in measured.items():
        spec = LANGUAGES[code]
        cells = [f"{values[column]:{len(column)}.{0 if column == 'bitext_rows' else 3}f}" for column in columns]
        print("  ".join([f"{code:4}", f"{spec.name:6}", f"{spec.word_order:5}", *cells]))
    for code in LANGUAGES:
        for english, foreign, links in aligned_bitext(code)[:SAMPLES]:
            print(f"\neng  {' '.join(english)}\n{code}  {' '.join(foreign)}")
            print("     " + "  ".join(f"{english[source]}:{foreign[target]}" for source, target in links))


if __name__ == "__main__":
    main()
