"""Commands about collections and lists: `bench fetch`, `bench ls` and `bench inspect leakage`."""

import json
from typing import Any

from bench import registry
from bench.data import fetch as downloads
from bench.data.cards import get_card, load_cards
from bench.data.counts import read_counts
from bench.data.files import Resolver
from bench.errors import BenchError
from bench.inspection.listing import COLUMNS, COUNTS, counts_rows, describe_dataset, describe_encoder, listing
from bench.progress import Display
from bench.request import Fetch, InspectLeakage, Listing
from bench.storage.atomic import atomic_write
from bench.tables import frame_csv, print_markdown, print_table, print_text
from bench.terminal import write_out


def fetch(options: Fetch) -> int:
    """Download the files of collections, and verify stored files. Interrupted downloads are resumed. A file appears
    under its name only when it is complete and its sha256 is right.
    """
    display = Display(quiet=options.quiet)
    resolver = Resolver(options.mirror, offline=options.offline, display=display)
    return downloads.fetch(options.names, options.pairs, load_cards(options.cards), resolver, display)


def ls(options: Listing) -> int:
    """List methods, collections, pairs, encoders or measures, or describe one method, collection or encoder."""
    kind, name, cards = options.kind, options.name, load_cards(options.cards)
    if options.output is not None:
        if kind not in ("methods", "formats") or name is not None:
            raise BenchError("--output is for bench ls methods and bench ls formats, which write pages")
        if kind == "formats":
            from bench.authoring.formats import formats_page

            with atomic_write(options.output / "formats.md") as file:
                file.write(formats_page())
        else:
            from bench.inspection.pages import write_pages

            write_pages(options.output)
    elif name is None:
        for line in registry.usable()[1] if kind == "methods" else ():
            Display().warn(f"skipped: {line}")
        columns = COLUMNS[kind]
        if kind == "formats":
            from bench.authoring.formats import formats_table

            rows = formats_table()
        else:
            rows = listing(kind, cards, options.pairs)
        if options.json_:
            _print_json([dict(zip((column.name for column in columns), row, strict=True)) for row in rows])
        else:
            print_table(columns, rows, wide=options.wide)
    elif options.pairs:
        raise BenchError("--pairs is for lists; leave out the name")
    elif kind == "methods":
        entry = registry.find_method(name)
        from bench.inspection.pages import method_page

        if options.json_:
            _print_json({"name": name, **entry.describe()})
        else:
            print_markdown(method_page(entry))
    elif kind in ("datasets", "encoders"):
        card = get_card(name, cards) if kind == "datasets" else None
        resolver = Resolver(options.mirror, offline=True)
        about = describe_dataset(card, resolver) if card else describe_encoder(name, offline=False)
        if options.json_:
            _print_json(about)
            return 0
        first = filter(None, (about.pop("name"), about.pop("description", "")))
        for line in (": ".join(first), *(f"{fact}: {text}" for fact, text in about.items())):
            print_text(line)
        if card and (counts := [row for row in read_counts() if row.collection == card.name]):
            write_out()
            print_table(COUNTS, counts_rows(counts), wide=options.wide)
    else:
        raise BenchError(f"bench ls {kind} takes no name")
    return 0


def _print_json(value: Any) -> None:
    write_out(json.dumps(value, ensure_ascii=False, indent=2))


def inspect_leakage(options: InspectLeakage) -> int:
    """List the training rows that overlap with a test collection: its queries, their translations and its relevant
    documents. They are removed before training.
    """
    import pandas as pd

    from bench.data.training_data import default_mix, search
    from bench.inspection.leakage import COLUMNS as LEAKAGE
    from bench.inspection.leakage import FINDING, GROUP, count, excerpt, findings, leakage_pairs

    cards, display = load_cards(options.cards), Display()
    resolver = Resolver(options.mirror, offline=options.offline, display=display)
    rows, everything = [], [pd.DataFrame(columns=FINDING)]
    for pair in options.pairs or leakage_pairs(options.train, cards):
        found = search(options.train or (default_mix(pair, cards),), [pair], resolver, cards)
        leaks = findings(pair, found, resolver, cards)
        for (_, test, training, role), members in leaks.groupby(GROUP, sort=False):
            rows.append(count(members, found))
            everything.append(members)
            if options.limit:
                write_out(f"{pair}: {training} {role} repeats {test}")
                write_out("\n".join([*excerpt(members, options.limit), ""]))
        if clean := [test for test in found.tests if test not in set(leaks["test"])]:
            display.say(f"{pair}: no leakage of {', '.join(clean)}")
        for test, reason in found.not_checked.items():
            display.warn(f"{pair}: NOT CHECKED: {test}: {reason}")
    if rows:
        print_table(LEAKAGE, rows)
    if options.output is not None:
        frame = pd.concat(everything)
        frame["queries"] = frame["queries"].map(sorted).map(" ".join)
        with atomic_write(options.output) as file:
            file.write(frame_csv(frame[FINDING], float_format="%.4f"))
        display.say(f"written: {options.output}")
    return 0
