"""`data.classes`: what a file may say, and what is refused where it stands.

And what it does to the identity of trials.
"""

from __future__ import annotations

import json

import pytest
import yaml
from pydantic import ValidationError

from ablate.errors import SpecError
from ablate.grid.grid_file import Grid
from ablate.grid.parse import parse_grid
from ablate.grid.schema import grid_schema
from ablate.recipe.recipe import Recipe
from ablate.study.trial import DataSpec, Fractions, Trial

GRID = """\
task: classification
data:
  source: textile
  classes:
    good: [nominal]
    defect: [local, global]
base: {epochs: 2}
axes: {freeze_depth: [all, -1]}
seeds: [0]
baseline: {}
select_by: val/average_precision
"""
GROUPS = (("good", ("nominal",)), ("defect", ("local", "global")))


def _parsed(text: str) -> Grid:
    return parse_grid(text, name="g", shown_as="g.yaml")


def _mistakes(*changes: tuple[str, str]) -> list[str]:
    text = GRID
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    with pytest.raises(SpecError) as caught:
        _parsed(text)
    return str(caught.value).splitlines()[1:]


def test_a_mapping_is_kept_in_its_order() -> None:
    assert _parsed(GRID).data.classes == GROUPS
    assert _parsed(GRID.replace("[local, global]", '["*"]')).data.classes == (
        ("good", ("nominal",)),
        ("defect", ("*",)),
    )
    assert (
        _parsed(
            GRID.replace("    good: [nominal]\n    defect: [local, global]\n", "").replace(
                "classes:", "classes: null"
            )
        ).data.classes
        is None
    )


@pytest.mark.parametrize(
    ("old", "new", "mistakes"),
    [
        (
            "[nominal]",
            "nominal",
            [
                "  line 5: data.classes.good: must be a list of at least one class of the "
                "source, got 'nominal'"
            ],
        ),
        (
            "[nominal]",
            "[]",
            [
                "  line 5: data.classes.good: must be a list of at least one class of the "
                "source, got []"
            ],
        ),
        (
            "[nominal]",
            "[nominal, 3]",
            ["  line 5: data.classes.good[1]: must be text, got 3; put it in quotes"],
        ),
        (
            "[nominal]",
            '[nominal, ""]',
            ["  line 5: data.classes.good[1]: must be text that is not empty, got ''"],
        ),
        ("good:", "yes:", ["  line 5: data.classes.yes: must be text, got True; put it in quotes"]),
        ("good:", "0:", ["  line 5: data.classes.0: must be text, got 0; put it in quotes"]),
        (
            "[nominal]",
            "[nominal, local]",
            [
                "  line 6: data.classes.defect[0]: must be in one list, once, got 'local', "
                "which good has already"
            ],
        ),
        (
            "[nominal]",
            "[nominal, nominal]",
            [
                "  line 5: data.classes.good[1]: must be in one list, once, got 'nominal', "
                "which good has already"
            ],
        ),
        (
            "[nominal]",
            '["*", nominal]',
            [
                "  line 5: data.classes.good[0]: must stand alone in its list, got ['*', "
                "'nominal']; '*' takes every class that no list names"
            ],
        ),
        (
            "[nominal]",
            '["*"]\n    rest: ["*"]',
            [
                "  line 6: data.classes.rest[0]: may stand for one new class alone, got '*', "
                "which good has already"
            ],
        ),
        (
            "    defect: [local, global]\n",
            "",
            [
                "  line 4: data.classes: must have at least two new classes, got "
                "{'good': ['nominal']}"
            ],
        ),
        (
            "good:",
            "defect:",
            [
                "  line 4: data.classes: must have at least two new classes, got "
                "{'defect': ['local', 'global']}"
            ],
        ),
        (
            "classes:\n    good: [nominal]\n    defect: [local, global]",
            "classes: [good, defect]",
            [
                "  line 4: data.classes: must be a mapping of new class to a list of classes "
                "of the source, got ['good', 'defect']"
            ],
        ),
    ],
)
def test_what_the_file_alone_shows_is_refused_with_its_line(
    old: str, new: str, mistakes: list[str]
) -> None:
    found = _mistakes((old, new))
    assert [one for one in found if "is given twice" not in one] == mistakes


def test_all_mistakes_of_a_mapping_are_told_at_once() -> None:
    assert _mistakes(
        ("[nominal]", "[]"), ("[local, global]", "[local, local]"), ("epochs: 2", "epochs: 0")
    ) == [
        "  line 5: data.classes.good: must be a list of at least one class of the source, got []",
        "  line 6: data.classes.defect[1]: must be in one list, once, got 'local', which "
        "defect has already",
        "  line 7: base.epochs: must be greater than or equal to 1, got 0",
    ]


def test_several_labels_an_image_are_not_regrouped() -> None:
    assert _mistakes(
        ("task: classification", "task: multilabel"), ("val/average_precision", "val/macro_f1")
    ) == [
        "  line 4: data.classes: must be null for task multilabel: a new class takes the "
        "images of several classes, each image of one, "
        "and here an image has several labels; rename labels in labels.csv instead"
    ]


def test_a_spec_that_no_file_gave_is_checked_too() -> None:
    with pytest.raises(
        ValidationError,
        match=r"defect: 0: must be in one list, once, got 'a', which good has already",
    ):
        DataSpec.model_validate({"source": "textile", "classes": {"good": ["a"], "defect": ["a"]}})


@pytest.mark.slow
def test_the_schema_takes_what_the_parser_takes() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(yaml.safe_load(GRID), grid_schema())
    for old, new in (
        ("[nominal]", "[]"),
        ("[nominal]", "[3]"),
        ("    defect: [local, global]\n", ""),
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(yaml.safe_load(GRID.replace(old, new)), grid_schema())


def _trial(classes: object = None) -> Trial:
    data = DataSpec(
        source="textile",
        split_seed=0,
        fractions=Fractions(train=0.5, val=0.2, test=0.3),
        classes=classes,
    )
    return Trial(
        task="classification",
        data=data,
        data_fingerprint="f" * 64,
        recipe=Recipe(),
        select_by="val/macro_f1",
        seed=3,
    )


def test_trials_without_groups_keep_the_ids_that_they_had_before_there_were_any() -> None:
    assert (_trial().arm_id, _trial().trial_id) == ("3a757f2f639e", "9265f03b445acfbd")


def test_groups_and_their_order_make_another_trial() -> None:
    trials = [
        _trial(),
        _trial(GROUPS),
        _trial(GROUPS[::-1]),
        _trial((GROUPS[0], ("bad", ("local", "global")))),
    ]
    assert (
        len({trial.trial_id for trial in trials})
        == len({trial.arm_id for trial in trials})
        == len(set(trials))
        == 4
    )


def test_a_trial_comes_back_from_json() -> None:
    trial = _trial(GROUPS)
    assert Trial.model_validate_json(trial.model_dump_json()) == trial
    old = json.loads(_trial().model_dump_json())
    del old["data"]["classes"]
    assert Trial.model_validate(old) == _trial()
