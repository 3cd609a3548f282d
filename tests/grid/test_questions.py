"""What a grid asks: questions in the user's words, and the margin that matters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.grids import grid_of, record_of, trials_of

from ablate.errors import SpecError
from ablate.grid.grid_file import Grid
from ablate.grid.parse import parse_grid
from ablate.grid.questions import grid_questions
from ablate.grid.schema import grid_schema
from ablate.study.record import StudyRecord

GOOD = """\
task: classification
data: {source: rendered_flowers}
base: {epochs: 2}
axes:
  freeze_depth: [all, -1, 0]
  lr_ratio: [0.1, 1.0]
  augment: [none, light]
exclude:
  - {when: {freeze_depth: 0, augment: light}, why: too slow}
seeds: [0, 1]
baseline: {freeze_depth: all, augment: none}
select_by: val/macro_f1
"""


def _parse(extra: str = "") -> Grid:
    return grid_of(GOOD + extra)


def _message(extra: str) -> str:
    with pytest.raises(SpecError) as caught:
        _parse(extra)
    return str(caught.value)


def test_a_question_names_two_levels_or_two_arms() -> None:
    grid = _parse(
        "ask:\n"
        "  full against probe: {freeze_depth: [0, all]}\n"
        "  both: [{freeze_depth: -1, lr_ratio: 1}, {augment: light}]\n"
    )
    full, both = grid_questions(grid)
    assert full.name == "full against probe"
    assert (full.levels, full.against) == ({"freeze_depth": 0}, {"freeze_depth": "all"})
    # axes that an arm does not name are the baseline's, and `1` is spelled as the axis spells it
    assert both.levels == {"freeze_depth": -1, "lr_ratio": 1.0, "augment": "none"}
    assert both.against == {"freeze_depth": "all", "lr_ratio": 0.1, "augment": "light"}
    assert both.changed == ("freeze_depth", "lr_ratio", "augment")


@pytest.mark.parametrize(
    ("question", "line", "what"),
    [
        ("q: {freeze_depht: [0, all]}", 14, "ask.q.freeze_depht: must be an axis of this grid"),
        ("q: {freeze_depth: [0, al]}", 14, "got 'al'; did you mean 'all'?"),
        ("q: {freeze_depth: [0, 0]}", 14, "must be two different levels, got 0 twice"),
        ("q: {lr_ratio: [1, 1.0]}", 14, "must be two different levels"),
        ("q: {freeze_depth: [0]}", 14, "must be [level, reference level], got [0]"),
        ("q: {freeze_depth: [0, all], lr_ratio: [0.1, 1]}", 14, "must name one axis, got 2"),
        ("q: {}", 14, "must name one axis, got 0"),
        ("q: 3", 14, "must be {axis: [level, reference level]} or two arms"),
        ("q: [{}]", 14, "must be two arms, each as {axis: level}, got 1"),
        ("q: [{}, 3]", 14, "ask.q[1]: must be an arm as {axis: level}, got 3"),
        ("q: [{}, {augment: strong}]", 14, "ask.q[1].augment: must be a level of axes.augment"),
        ("q: [{}, {freeze_depth: all}]", 14, "both sides are one"),
        # a frozen trunk has no learning rate: both are the arm of the probe
        ("q: [{lr_ratio: 0.1}, {lr_ratio: 1}]", 14, "both sides are one"),
        ("q: [{freeze_depth: 0, augment: light}, {}]", 14, "augment=light is excluded: too slow"),
        ("'': {freeze_depth: [0, all]}", 14, "must be called by a line of text"),
        (f"{'q' * 81}: {{freeze_depth: [0, all]}}", 14, "a name of at most 80 characters, got 81"),
        ("q: {freeze_depth: [0, all]}\n  Q: {freeze_depth: [-1, all]}", 15, "got 'Q' again"),
        ("q: {freeze_depth: [0, all]}\n  q: {freeze_depth: [-1, all]}", 15, "q"),
    ],
)
def test_what_cannot_be_asked_is_said_with_its_line(question: str, line: int, what: str) -> None:
    message = _message(f"ask:\n  {question}\n")
    assert f"line {line}: " in message
    assert what in message


def test_a_question_about_cells_that_the_design_leaves_out_is_refused() -> None:
    message = _message(
        "design: one_factor\nask:\n  q: [{freeze_depth: -1, augment: light}, {augment: none}]\n"
    )
    assert "freeze_depth=-1 lr_ratio=0.1 augment=light is not: the design leaves it out" in message


def test_a_grid_has_at_most_20_questions() -> None:
    asked = "".join(f"  q{i}: {{freeze_depth: [0, all]}}\n" for i in range(21))
    assert "line 13: ask: " in _message(f"ask:\n{asked}")


def test_a_search_asks_nothing() -> None:
    text = GOOD.replace("baseline: {freeze_depth: all, augment: none}\n", "")
    with pytest.raises(SpecError, match="ask: must be left out in a search design"):
        parse_grid(
            text + "design: {search: {sampler: random, n_trials: 2, confirm: 1}}\n"
            "ask: {q: {freeze_depth: [0, all]}}\n",
            name="x",
            shown_as="x.yaml",
        )


def test_a_question_may_use_a_fields_former_name() -> None:
    text = GOOD.replace("freeze_depth: [all, -1, 0]", "lora_units: [1, 2]")
    text = text.replace("{epochs: 2}", "{epochs: 2, lora_rank: 4}")
    text = text.replace("{freeze_depth: 0, augment: light}", "{lora_units: 2, augment: light}")
    text = text.replace("{freeze_depth: all, augment", "{lora_units: 1, augment")
    asked = "ask: {lora_units: {lora_units: [2, 1]}, b: [{lora_units: 2}, {}]}\n"
    grid = parse_grid(text + asked, name="x", shown_as="x.yaml")
    first, second = grid_questions(grid)
    assert first.name == "lora_units"  # a question's own name is the user's
    assert first.levels == {"adapter_units": 2}
    assert second.levels["adapter_units"] == 2


@pytest.mark.parametrize("margin", ["0", "-1", "yes", "'1'", "101", ".nan"])
def test_a_margin_is_a_number_of_points(margin: str) -> None:
    assert "line 13: margin: must be" in _message(f"margin: {margin}\n")


def test_a_margin_is_in_points_and_null_by_default() -> None:
    assert _parse("margin: 1\n").margin == 1.0
    assert _parse("margin: null\n").margin is None
    assert record_of(_parse("margin: 1\n")).margin_of_score == pytest.approx(0.01)
    assert record_of(_parse()).margin_of_score is None


def test_questions_and_margin_enter_no_id() -> None:
    plain = _parse()
    asking = _parse("margin: 1\nask: {q: {freeze_depth: [0, all]}}\n")
    assert record_of(plain).study_id == record_of(asking).study_id
    ids = []
    for grid in (plain, asking):
        trials = trials_of(grid)
        ids.append([trial.trial_id for trial in trials])
    assert ids[0] == ids[1]


def test_a_record_that_asks_nothing_is_written_as_before() -> None:
    plain = json.loads(record_of(_parse()).model_dump_json())
    assert not {"margin", "questions"} & set(plain)
    asking = record_of(_parse("margin: 1\nask: {q: {freeze_depth: [0, all]}}\n"))
    assert StudyRecord.model_validate_json(asking.model_dump_json()) == asking


def test_editors_complete_axes_and_levels_of_questions() -> None:
    sides = grid_schema()["properties"]["ask"]["additionalProperties"]["anyOf"]
    assert "freeze_depth" in sides[0]["properties"]
    assert sides[0]["properties"]["augment"]["minItems"] == 2
    assert "freeze_depth" in sides[1]["items"]["properties"]


def test_the_documented_questions_are_right() -> None:
    docs = (Path(__file__).parents[2] / "docs" / "grid-files.md").read_text()
    block = docs.split("## Questions\n```yaml\n")[1].split("```")[0]
    text = GOOD.replace("augment: [none, light]", "augment: [none, strong]")
    text = text.replace("augment: light}, why", "lr_ratio: 1.0}, why")
    grid = parse_grid(text + block, name="x", shown_as="x.yaml")
    assert [question.name for question in grid_questions(grid)] == [
        "full against probe",
        "best of both",
    ]
