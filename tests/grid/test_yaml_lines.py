"""The reader of grid files: plain values with their lines.

Everything in YAML that is not for a grid file is refused in one sentence.
"""

from __future__ import annotations

import datetime
import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ablate.errors import SpecError
from ablate.grid.scalars import number_hint, plain_value
from ablate.grid.yaml_lines import MAX_VALUES, read_yaml


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", None),
        ("# only a comment\n", None),
        ("---\na: 1\n...\n", {"a": 1}),
        ("\ufeff# byte order mark\na: 1", {"a": 1}),
        ("a: [1, -2, +3, 2_000, 0, -0]", {"a": [1, -2, 3, 2000, 0, 0]}),
        (
            "a: [1e-3, 1.e+2, .5, 5., 1E4, -1.5e-7, 01.5]",
            {"a": [1e-3, 100.0, 0.5, 5.0, 1e4, -1.5e-7, 1.5]},
        ),
        ("a: [~, null, Null, ]\nb:", {"a": [None, None, None], "b": None}),
        ("a: [yes, No, ON, off, True, FALSE]", {"a": [True, False, True, False, True, False]}),
        (
            (
                "a: [010, 08, 0x1F, 0b_, 0b1, 0o7, 1:30, 190:20:30.5, 2001-01-01, =, 1__0, _1, "
                "1_, NaN, inf]"
            ),
            {
                "a": [
                    "010",
                    "08",
                    "0x1F",
                    "0b_",
                    "0b1",
                    "0o7",
                    "1:30",
                    "190:20:30.5",
                    "2001-01-01",
                    "=",
                    "1__0",
                    "_1",
                    "1_",
                    "NaN",
                    "inf",
                ]
            },
        ),
        ("a: ['1', \"0.5\", !!str 07, 'yes', '']", {"a": ["1", "0.5", "07", "yes", ""]}),
        ("a: {b: {c: [[], {}, [{d: 1}]]}}", {"a": {"b": {"c": [[], {}, [{"d": 1}]]}}}),
        ("a: &x 1", {"a": 1}),
        ("a: {b, c}", {"a": {"b": None, "c": None}}),
    ],
)
def test_plain_values(text: str, values: object) -> None:
    placed = read_yaml(text)
    assert (placed.values, placed.mistakes) == (values, ())


def test_numbers_that_are_not_finite_are_numbers() -> None:
    high, low, nan = read_yaml("[.inf, -.INF, .nan]").values
    assert (high, low, math.isnan(nan)) == (math.inf, -math.inf, True)


_WRITTEN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text("ab 0.:e-#'\""),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=4)
    ),
    max_leaves=6,
)


@pytest.mark.slow
@given(_WRITTEN)
def test_it_reads_what_a_library_has_written(values: object) -> None:
    placed = read_yaml(yaml.safe_dump(values))
    assert (placed.values, placed.mistakes) == (values, ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: &x [1]\nb: *x",
            "line 2: a grid file must not use YAML aliases (*x): write the value out",
        ),
        ("a: &x [*x]", "line 1: a grid file must not use YAML aliases (*x): write the value out"),
        (
            "a: &a [1]\nb: &b [*a, *a]\nc: [*b, *b]",
            "line 2: a grid file must not use YAML aliases (*a): write the value out",
        ),
        (
            "a: 1\n---\nb: 1",
            "line 2: a grid file must be one YAML document, a second one begins here",
        ),
        (
            "a: !!python/object/apply:os.system [ls]",
            (
                "line 1: a grid file must not use YAML tags, got !!python/object/apply:os.system: "
                "write the plain value"
            ),
        ),
        (
            "a: !!set {b}",
            "line 1: a grid file must not use YAML tags, got !!set: write the plain value",
        ),
        (
            "\na: !!binary aGk=",
            "line 2: a grid file must not use YAML tags, got !!binary: write the plain value",
        ),
        (
            "a: !!timestamp 2001-01-01",
            "line 1: a grid file must not use YAML tags, got !!timestamp: write the plain value",
        ),
        (
            "a: !!int x",
            "line 1: a grid file must not use YAML tags, got !!int: write the plain value",
        ),
        (
            "a: !mine 1",
            "line 1: a grid file must not use YAML tags, got !mine: write the plain value",
        ),
        (
            "[" * 5000,
            (
                "line 1: a grid file must have at most 12 lists and mappings inside one another, "
                "one more begins here"
            ),
        ),
        (
            "- " * 5000,
            (
                "line 1: a grid file must have at most 12 lists and mappings inside one another, "
                "one more begins here"
            ),
        ),
        (
            "{a: " * 5000,
            (
                "line 1: a grid file must have at most 12 lists and mappings inside one another, "
                "one more begins here"
            ),
        ),
        ("? [a]\n: 1", "line 1: a key must be text, got a list or a mapping, which begins here"),
        (
            "[" + "1," * MAX_VALUES + "]",
            f"line 1: a grid file must hold at most {MAX_VALUES} values, one more begins here",
        ),
        (
            "a:\n\tb: 1",
            (
                "line 2, column 1: this is not YAML: found character '\\t' that cannot start any "
                "token; put spaces in place of the tab"
            ),
        ),
        (
            "a: 1\nb: \x00",
            "line 2: this is not YAML: it must have no control characters, got U+0000",
        ),
        (
            "a: 1\r\nb: \x07",
            "line 2: this is not YAML: it must have no control characters, got U+0007",
        ),
        (
            "a: [1",
            "line 1, column 6: this is not YAML: expected ',' or ']', but got '<stream end>'",
        ),
        ("#" * 1_000_001, "a grid file must be at most 1000000 characters, got 1000001"),
    ],
    ids=lambda value: value[:12],
)
def test_what_ends_the_reading(text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_yaml(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        (
            "1: a\nnull: b\nyes: c\n1.5: d",
            [
                "line 1: 1: must be text, got 1; put it in quotes",
                "line 2: null: must be text, got None; put it in quotes",
                "line 3: yes: must be text, got True; put it in quotes",
                "line 4: 1.5: must be text, got 1.5; put it in quotes",
            ],
        ),
        ("a: 1\nb: 2\na: 3", ["line 3: a: is given twice; keep one"]),
        ("a: {b: 1, 'b': 2}", ["line 1: a.b: is given twice; keep one"]),
        (
            "<<: {a: 1}",
            [
                (
                    "line 1: <<: is YAML's way to merge mappings, which a grid file does not "
                    "take: write the fields out"
                )
            ],
        ),
        ("a: " + "9" * 101, ["line 1: a: must be a number of at most 100 characters, got 101"]),
        ("a:\n- " + "9" * 5000, ["line 2: a[0]: must be at most 2000 characters, got 5000"]),
        ("a: " + "x" * 2001, ["line 1: a: must be at most 2000 characters, got 2001"]),
        (
            'a: "\\0"\nb: "x\\ny"\nc: "\\ud800"',
            [
                "line 1: a: must have no control characters, got U+0000",
                "line 2: b: must have no control characters, got U+000A",
                "line 3: c: must have no control characters, got U+D800",
            ],
        ),
        ('"\\e[31m": 1', ["line 1: \\x1b[31m: must have no control characters, got U+001B"]),
        ("why: |\n  two\n  lines", []),
    ],
)
def test_what_is_wrong_with_its_line(text: str, mistakes: list[str]) -> None:
    assert [str(mistake) for mistake in read_yaml(text).mistakes] == mistakes


@given(st.text(max_size=30) | st.from_regex(r"[-+]?[0-9_.eExXbBoO:,]{1,12}", fullmatch=True))
def test_any_word_is_a_value_and_numbers_are_those_of_python(word: str) -> None:
    value = plain_value(word)
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        assert value == type(value)(word)
    if not isinstance(value, str):
        assert value is None or type(value) in (bool, int, float)
    assert not isinstance(value, datetime.date)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("0.1", "; write numbers without quotes"),
        ("1e-3", "; write numbers without quotes"),
        ("010", "; write numbers without leading zeros"),
        ("08", "; write numbers without leading zeros"),
        ("0x1F", "; write numbers in decimal digits"),
        ("1:30", "; write numbers in decimal digits"),
        ("0,5", "; the decimal separator is a point"),
        ("light", ""),
        ("", ""),
        (True, ""),
        (None, ""),
    ],
)
def test_hints_for_text_that_was_meant_as_a_number(text: object, hint: str) -> None:
    assert number_hint(text) == hint
