"""Rules that tell an image's group: what they find in a path, and what is no rule."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from ablate.study.image_rule import Column, Level, found_in_path, rule_in_words
from ablate.study.trial import DataSpec


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        (r"(part\d+)_", "part7"),
        (r"^cat/(.*)/", "old"),
        (r"(part)(?P<group>\d+)", "7"),
        (r"(dog)", None),
        (r"(x)?part", None),
        (Level(level=1), "cat"),
        (Level(level=2), "old"),
        (Level(level=3), None),
        (Level(level=-1), "old"),
        (Level(level=-2), "cat"),
        (Level(level=-3), None),
    ],
)
def test_what_a_rule_finds_in_a_path(rule: Any, found: str | None) -> None:
    assert found_in_path(rule, "cat/old/part7_1.png") == found


@pytest.mark.parametrize(
    "given", [r"(a)\d", {"level": -1}, {"level": 2}, {"column": "part"}], ids=str
)
def test_a_rule_is_kept_as_it_was_written(given: Any) -> None:
    spec = DataSpec(source="folder", group_by=given)
    assert spec.model_dump(mode="json")["group_by"] == given
    assert DataSpec.model_validate_json(spec.model_dump_json()) == spec
    assert hash(spec) == hash(DataSpec(source="folder", group_by=given))


def test_a_spec_without_a_rule_is_the_text_that_it_was() -> None:
    assert "group_by" not in DataSpec(source="folder").model_dump_json()


@pytest.mark.parametrize(
    "given",
    [
        "",
        "part",
        "(",
        3,
        True,
        [],
        {},
        {"level": 0},
        {"level": True},
        {"level": "1"},
        {"level": 101},
        {"column": ""},
        {"column": 3},
        {"columns": "a"},
        {"level": 1, "column": "a"},
    ],
    ids=str,
)
def test_what_is_no_rule_is_refused_in_one_sentence(given: Any) -> None:
    with pytest.raises(ValidationError) as error:
        DataSpec(source="folder", group_by=given)
    (only,) = error.value.errors()
    assert only["loc"] == ("group_by",)
    assert only["msg"].startswith(
        "Value error, must be a regular expression with a group in parentheses, {level: number} "
        "or {column: name}"
    )


def test_rules_in_words() -> None:
    assert rule_in_words(r"(a\d)") == r"the expression '(a\d)'"
    assert rule_in_words(Level(level=-1)) == "folder level -1"
    assert rule_in_words(Column(column="part")) == "column part"
