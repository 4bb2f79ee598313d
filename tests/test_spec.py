"""The one record of identity: it parses, prints itself, and finds itself however it is spelled."""

import json
from dataclasses import fields, replace

import pytest
from cells import spec
from hypothesis import given
from hypothesis import strategies as st

from bench.data.bitext_subsets import BitextSubset
from bench.errors import BenchError
from bench.options import spelled
from bench.running.method_specs import resolve_method
from bench.spec import COLUMNS, SYSTEM, MethodSpec, NamedMethod, RunSpec, parse_methods, select

VALUES = st.one_of(
    st.booleans(), st.integers(-5, 5), st.floats(0.001, 100), st.text("abcxyz", min_size=1, max_size=4), st.none()
)
SETTINGS = st.dictionaries(st.text("abcdef_", min_size=1, max_size=6), VALUES, min_size=1, max_size=5)


def method(name: str, settings: dict[str, object], changed: tuple[str, ...] = ()) -> MethodSpec:
    return MethodSpec(tuple(sorted(settings.items())), changed, name=name, shown=changed)


@given(SETTINGS, st.integers(0, 9), st.sampled_from([None, 5, 1000]), st.sampled_from([0.0, 0.25]))
def test_a_manifest_gives_back_the_same_spec(
    settings: dict[str, object], seed: int, size: int | None, noise: float
) -> None:
    one = replace(spec(seed=seed, bitext_size=size or "", bitext_noise=noise), methods=(method("optical", settings),))
    again = RunSpec.parse(json.loads(json.dumps(one.dump())))
    assert again == one
    assert hash(again) == hash(one)
    assert (again.fingerprint, again.columns, again.label) == (one.fingerprint, one.columns, one.label)


def test_exact_search_has_the_fingerprint_that_it_had_before_there_were_others() -> None:
    """The value is from before the field existed, so results of then are still those of exact search."""
    exact = spec(seed=3)
    assert exact.fingerprint == "2de52f6eb4722ba52199b28ba82202d3f370014b5920166175c1afa74afdf1c1"
    other = replace(exact, index="IVF256,Flat:nprobe=16")
    assert other.system != exact.system and other.training == exact.training and other.board == exact.board
    assert other.columns["scoring"] == "single-vector IVF256,Flat:nprobe=16"
    assert RunSpec.parse(json.loads(json.dumps(other.dump()))) == other


@given(st.data(), SETTINGS)
def test_settings_in_any_order_and_defaults_spelled_out_find_the_row(
    data: st.DataObject, settings: dict[str, object]
) -> None:
    changed = data.draw(st.lists(st.sampled_from(sorted(settings)), unique=True))
    row = replace(spec(), methods=(method("optical", settings, tuple(changed)),))
    told = data.draw(st.permutations([*changed, *data.draw(st.sets(st.sampled_from(sorted(settings))).map(sorted))]))
    words = dict.fromkeys(told)
    texts = [f"{key}={spelled(settings[key])}" for key in words]
    assert row.matches(":".join(["optical", *texts]))
    assert row.matches(" ".join(["optical", *texts]))
    assert row.matches(row.name)
    assert not row.matches(":".join(["optical", *texts, "unheard_of=1"]))
    if changed:
        assert not row.matches("optical")


def test_values_may_be_spelled_otherwise() -> None:
    row = replace(spec(), methods=(method("optical", {"epsilon": 0.5, "special_tokens": True}, ("special_tokens",)),))
    for text in (
        "optical:special_tokens=true",
        "optical special_tokens=True epsilon=.5",
        "optical:epsilon=5e-1:special_tokens=true",
    ):
        assert row.matches(text), text
    for text in ("optical", "optical:special_tokens=false", "optical:special_tokens=true:epsilon=0.25", "psq"):
        assert not row.matches(text), text


def test_a_text_that_names_nothing_is_refused_with_a_suggestion() -> None:
    with pytest.raises(BenchError, match="did you mean optical"):
        select("optcal", [spec()], "method")


def test_a_row_of_the_command_line_is_that_of_its_own_name() -> None:
    row = resolve_method("optical:special_tokens=true:epsilon=0.2+distillation:weight=2", {})
    same = resolve_method("optical:epsilon=0.20:special_tokens=true+distillation:weight=2.0", {})
    assert row.methods == same.methods
    one = replace(spec(), methods=row.methods)
    assert one.name == "optical+distillation optical.epsilon=0.2 optical.special_tokens=true distillation.weight=2.0"
    assert one.matches(one.name)
    assert one.matches("optical:special_tokens=true:epsilon=0.2+distillation:weight=2")


def test_fingerprint_is_of_what_is_asked_and_not_of_how_it_is_shown() -> None:
    one = replace(spec(), methods=(method("optical", {"a": 1, "b": 2}),))
    other = replace(
        one, methods=(replace(one.methods[0], changed=("a",), shown=("a",), supervision=("x",), place="p.py:P"),)
    )
    assert one == other
    assert one.fingerprint == other.fingerprint
    assert replace(one, leakage="keep").fingerprint != one.fingerprint


def test_every_dimension_of_the_data_has_a_column() -> None:
    names = [column.name for column in COLUMNS]
    assert [each.name for each in fields(BitextSubset) if each.name not in names] == []
    assert [name for name in names if name != "seed"] == SYSTEM


@pytest.mark.parametrize(
    ("text", "specs"),
    [
        ("optical", [NamedMethod("optical", {})]),
        ("optical:epsilon=1e+2:solver=exact", [NamedMethod("optical", {"epsilon": 100.0, "solver": "exact"})]),
        ("optical:a=2+x:y=1", [NamedMethod("optical", {"a": 2}), NamedMethod("x", {"y": 1})]),
        (
            "one+my/file.py:Class:a=true+./b.py:C",
            [NamedMethod("one", {}), NamedMethod("my/file.py:Class", {"a": True}), NamedMethod("./b.py:C", {})],
        ),
        (
            "f+[a:x=[1,2]+b]+c",
            [NamedMethod("f", {}), NamedMethod("a", {"x": [1, 2]}), NamedMethod("b", {}, True), NamedMethod("c", {})],
        ),
        ("f+[a]+b:x=[1]", [NamedMethod("f", {}), NamedMethod("a", {}), NamedMethod("b", {"x": [1]})]),
    ],
)
def test_a_text_names_methods_with_settings(text: str, specs: list[NamedMethod]) -> None:
    assert parse_methods(text) == specs
