"""Grid files: what is right is read, what is wrong is said all at once, each with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ablate.errors import SpecError
from ablate.grid.grid_file import Grid
from ablate.grid.parse import load_grid, parse_grid
from ablate.grid.schema import grid_schema_text

ROOT = Path(__file__).parents[2]
GOOD = """\
# Does it matter?
task: classification
data: {source: rendered_flowers}
base: {epochs: 2}
axes:
  freeze_depth: [all, -1, 0]
  head_lr: [1e-3, 1.0e-2]
seeds: [0, 1]
baseline: {freeze_depth: all}
select_by: val/macro_f1
"""


def _message(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        parse_grid(text, name="x", shown_as="x.yaml")
    return str(caught.value)


def test_a_grid_file_becomes_a_grid() -> None:
    grid = parse_grid(GOOD, name="x", shown_as="x.yaml")
    assert (grid.name, grid.question) == ("x", "Does it matter?")
    assert grid.axes == {"freeze_depth": ("all", -1, 0), "head_lr": (1e-3, 1e-2)}
    assert grid.baseline_cell == {"freeze_depth": "all", "head_lr": 1e-3}
    assert grid.base.epochs == 2


def test_no_field_is_suggested_that_a_file_does_not_have() -> None:
    """The name, the question and the settings of a grid come from elsewhere."""
    for misspelt in ("nam", "questions", "setings"):
        message = _message(f"{GOOD}{misspelt}: x\n")
        assert f"{misspelt}: is not a field here" in message
        assert not any(f"'{word}'" in message for word in ("name", "question", "settings"))


def test_all_mistakes_are_shown_at_once_with_their_lines() -> None:
    text = """\
task: clasification
data: {source: flowers102, image_sise: 128, sizes: {train: 0}}
base:
  backbon: x
  epochs: 0
  head_lr: .nan
  weights: ../../etc/passwd
  freeze_depth: al
axes:
  freeze_depth: [all, al, -1, -1]
  augment: [ligth, none]
  lr_ration: [0.1]
  lora_rank: 4
exclude:
  - {when: {lora_rnk: 8}, why: ""}
seeds: [0, 0]
baseline: {freeze_depth: 3}
select_by: test/macro_f1
"""
    assert _message(text).splitlines() == [
        "x.yaml: 18 mistakes, nothing was started",
        (
            "  line 1: task: must be 'classification' or 'multilabel', got 'clasification'; did "
            "you mean 'classification'?"
        ),
        "  line 2: data.sizes.train: must be greater than or equal to 1, got 0",
        "  line 2: data.image_sise: is not a field here; did you mean 'image_size'?",
        "  line 4: base.backbon: is not a field here; did you mean 'backbone'?",
        "  line 5: base.epochs: must be greater than or equal to 1, got 0",
        "  line 6: base.head_lr: must be a finite number, got nan",
        (
            "  line 7: base.weights: must be auto, hub, torchvision, more, none or a path below "
            "the working folder, without '..', got '../../etc/passwd'"
        ),
        "  line 8: base.freeze_depth: must be 'all' or an int, got 'al'; did you mean 'all'?",
        "  line 10: axes.freeze_depth[1]: must be 'all' or an int, got 'al'; did you mean 'all'?",
        "  line 10: axes.freeze_depth[3]: must differ from the levels before it, got -1 again",
        "  line 11: axes.augment[0]: must be 'none', 'light', 'medium', 'strong', "
        "'randaugment', 'trivialaugment' or 'augmix' or a number, "
        "got 'ligth'; did you mean 'light'?",
        (
            "  line 12: axes.lr_ration: must be a field of base, got 'lr_ration'; did you mean "
            "'lr_ratio'?"
        ),
        "  line 13: axes.lora_rank: must be a list of at least one level, got 4",
        "  line 15: exclude[0].why: must be text that is not empty, got ''",
        (
            "  line 15: exclude[0].when.lora_rnk: must be an axis of this grid (freeze_depth, "
            "augment, lr_ration), got 'lora_rnk'; did you mean 'lr_ration'?"
        ),
        "  line 16: seeds: must differ from one another, got [0, 0]",
        (
            "  line 17: baseline.freeze_depth: must be a level of axes.freeze_depth ('all', 'al', "
            "-1, -1), got 3"
        ),
        "  line 18: select_by: must be 'val/macro_f1', 'val/auroc_ovr_macro', 'val/accuracy', "
        "'val/balanced_accuracy', 'val/nll', 'val/ece' "
        "or 'val/average_precision', got 'test/macro_f1'; did you mean 'val/macro_f1'?",
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "seeds: [0, 1]\n",
            "",
            "x.yaml: 1 mistake, nothing was started\n  line 2: seeds: must be given",
        ),
        (
            "select_by:",
            "seeds: [3]\nselect_by:",
            "x.yaml: 1 mistake, nothing was started\n  line 10: seeds: is given twice; keep one",
        ),
        (
            "[all, -1, 0]",
            "[all, -1, 0",
            "x.yaml: line 7, column 10: this is not YAML: expected ',' or ']', but got ':'",
        ),
        (
            "baseline: {freeze_depth: all}",
            "baseline: {freeze_depth: 0}\nexclude: [{when: {freeze_depth: 0}, why: too slow}]",
            (
                "x.yaml: 1 mistake, nothing was started\n  line 9: baseline: must be a cell that "
                "is trained, but it is excluded: too slow"
            ),
        ),
        (
            "{epochs: 2}",
            "{epochs: 2.5}",
            (
                "x.yaml: 1 mistake, nothing was started\n  line 4: base.epochs: must be an int, "
                "got 2.5"
            ),
        ),
        (
            "{epochs: 2}",
            "{epochs: true}",
            (
                "x.yaml: 1 mistake, nothing was started\n  line 4: base.epochs: must be an int, "
                "got True"
            ),
        ),
    ],
)
def test_one_mistake_one_line(old: str, new: str, message: str) -> None:
    assert _message(GOOD.replace(old, new)) == message


def test_what_is_no_mapping_is_refused() -> None:
    assert _message("- 1\n") == (
        "x.yaml: a grid file must be a mapping with task, data, base, axes, seeds, baseline "
        "and select_by, got [1]"
    )
    assert _message("") == (
        "x.yaml: a grid file must be a mapping with task, data, base, axes, seeds, baseline "
        "and select_by, got None"
    )


def test_python_objects_and_aliases_are_refused() -> None:
    assert _message(GOOD + "extra: !!python/object/apply:os.system [ls]\n") == (
        "x.yaml: line 11: a grid file must not use YAML tags, got "
        "!!python/object/apply:os.system: write the plain value"
    )
    assert (
        _message("a: &a [1]\nb: *a\n")
        == "x.yaml: line 2: a grid file must not use YAML aliases (*a): write the value out"
    )


@given(st.text(max_size=200))
def test_any_text_gives_a_grid_or_a_spec_error(text: str) -> None:
    try:
        parse_grid(text, name="x", shown_as="x.yaml")
    except SpecError as error:
        assert str(error).startswith("x.yaml")


_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats()
    | st.sampled_from(["all", "none", "x", ""])
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["epochs", "lora_rank", "when", "x"]), inner)
    ),
    max_leaves=6,
)


@given(
    st.sampled_from(["task", "data", "base", "axes", "exclude", "seeds", "baseline", "select_by"]),
    _VALUES,
)
def test_any_value_of_any_field_gives_a_grid_or_a_spec_error(field: str, value: object) -> None:
    text = yaml.safe_dump({**yaml.safe_load(GOOD), field: value})
    try:
        assert isinstance(parse_grid(text, name="x", shown_as="x.yaml"), Grid)
    except SpecError as error:
        assert "nothing was started" in str(error)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match="must be readable text"):
        load_grid(path)


def test_the_published_schema_is_that_of_the_code() -> None:
    assert (ROOT / "experiments/grid.schema.json").read_text() == grid_schema_text(), (
        "run `make schema`"
    )


def test_the_schema_agrees_with_the_parser() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(grid_schema_text())
    jsonschema.validate(yaml.safe_load(GOOD.replace("1e-3", "0.001")), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(
            yaml.safe_load(GOOD.replace("freeze_depth: [all", "freeze_depth: [al")), schema
        )


GRIDS = sorted((ROOT / "experiments").glob("*.yaml"))


def test_the_examples_are_found() -> None:
    assert {"flowers", "textile", "smoke", "flowers_probe"} <= {path.stem for path in GRIDS}


@pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.stem)
def test_every_example_parses_and_asks_a_question(path: Path) -> None:
    assert load_grid(path).question.endswith("?")
