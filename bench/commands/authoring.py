"""Commands for authors: `bench new-method`, `new-teacher`, `validate` and `inspect alignment`."""

from pathlib import Path

from bench.authoring.template import class_name, write_method
from bench.data import Pair
from bench.data.cards import load_cards
from bench.data.files import Resolver
from bench.data.training_data import training_data
from bench.encoders.models import TINY, check_encoder
from bench.errors import BenchError
from bench.progress import Display
from bench.request import InspectAlignment, NewCard, NewMethod, NewTeacher, Request, Validate, check_methods
from bench.storage.atomic import atomic_folder
from bench.storage.sealed import cache_problems
from bench.system.machine import machine, precision, prepare_libraries
from bench.system.offline import forbid_network
from bench.tables import Column, print_table
from bench.terminal import write_out
from bench.training.teachers import load_teacher


def new_method(options: NewMethod) -> int:
    """Write a package with a working method, its test and an entry point to the folder NAME."""
    _, module, _ = written = write_method(options.name, Path())
    write_out(f"written: {', '.join(map(str, written))}")
    write_out(f"check it with: bench validate {module}:{class_name(options.name)}")
    write_out(f"install it with: pip install -e {options.name}")
    return 0


def new_card(options: NewCard) -> int:
    """Write the card of a collection from files and folders, whose form is recognised by their content. All of them are
    read and checked. `bench ls formats` lists the forms.
    """
    from bench.authoring.formats import write_card

    paths = {"--train": options.train, "--datasets": options.datasets}
    target = write_card(options.name, paths, options.pairs, options.licence, options.output)
    write_out(f"written: {options.output / target.name}", target.read_text(encoding="utf-8"))
    write_out(f"use it with: --cards {options.output} and its name {options.name}")
    return 0


def validate(options: Validate) -> int:
    """Check that a method follows the rules of all methods. Trains it several times with the tiny encoder, on a small
    part of the generated collection. Prints a line for each check, and exits with 1 if one fails.

    The same seed gives the same bytes, also after a resume. The budget is respected. A saved retriever is loaded
    unchanged. No test data are read. The teacher stays frozen. Settings are documented.
    """
    check_methods([options.name], options.method)
    prepare_libraries(offline=False, threads=1)
    from bench.authoring import validation

    display = Display()
    display.warn(*cache_problems())
    findings = validation.validate(options.name, options, display)
    print_table([Column("check", "word"), Column("", "word"), "finding"], findings)
    return int(any(finding.verdict == validation.FAIL for finding in findings))


def new_teacher(options: NewTeacher) -> int:
    """Train a teacher for late interaction, and write it to FOLDER.

    The teacher is a copy of an encoder. Its token embeddings are trained for maxsim on English questions and passages.
    Rows that overlap with a test collection of English queries or documents are removed. Use it with
    `bench run --encoder FOLDER --scoring maxsim`.
    """
    if options.folder.exists():
        raise BenchError(f"{options.folder} exists already; use it with --encoder, or choose another name")
    check_encoder(options.encoder)
    prepare_libraries(offline=options.offline, threads=options.threads)
    import torch

    from bench.encoders.folders import save_encoder
    from bench.training.late_interaction import late_interaction_teacher

    cards, display, english = load_cards(options.cards), Display(), Pair("eng", "eng")
    tests = {pair.training: None for card in cards.values() for pair in card.pairs("test")}
    tested = [pair for pair in tests if "eng" in (pair.query, pair.document) and pair != english]
    names = options.train or (("conlang",) if TINY.fullmatch(options.encoder) else ("qed", "tydiqa"))
    resolver = Resolver(options.mirror, offline=options.offline, display=display)
    judgments = training_data(names, [english, *tested], resolver, cards).relevance.between(english)
    display.say(f"{len(judgments):,} English questions with a passage, of {', '.join(names)}")
    facts = machine()
    encoder = load_teacher(options.encoder, torch.device(facts.device), offline=options.offline)
    number_format = precision("auto", facts.device, encoder.dimension, facts)
    with display.stage(options.encoder, 1, "of its training") as stage:
        teacher = late_interaction_teacher(
            encoder,
            judgments,
            options.budget,
            options.seed,
            number_format,
            lambda record: stage(record["share"], f"loss {record['loss']:.3f}"),
        )
    with atomic_folder(options.folder) as partial:
        save_encoder(teacher, partial)
    write_out(f"written: {options.folder}")
    return 0


def inspect_alignment(options: InspectAlignment) -> int:
    """Train each method on a generated language, and compare its word alignment with the true alignment.

    Prints the F1 of links between words that are most related to each other. Words are related by the mass that the
    method moves between them, or by the cosine of their embeddings, before and after training. The last column is the
    F1 of chance. The sentences are the first sentences of the training data.
    """
    forbid_network()
    threads = options.threads or machine().threads
    prepare_libraries(offline=True, threads=threads)
    from bench.running.alignments import COLUMNS, aligners, alignment_rows
    from bench.running.experiment import make_experiment
    from bench.running.resources import Resources

    cards, display = load_cards(), Display()
    values = options.model_dump() | {"methods": options.methods or aligners(), "encoder": "tiny"}
    request, resolver = Request.model_validate(values), Resolver(offline=True)
    resources = Resources("tiny", "cpu", "float32", cards, resolver, display, threads)
    display.warn(*cache_problems())
    rows = []
    for row in alignment_rows(make_experiment(request, cards, resolver), resources):
        display.say("  ".join(row))
        rows.append(row)
    print_table(COLUMNS, rows)
    return 0
