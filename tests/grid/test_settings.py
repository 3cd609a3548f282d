"""`--set`: the grid is the one whose file says so, and mistakes are told as those of the option."""

from __future__ import annotations

import contextlib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ablate.errors import SpecError
from ablate.grid.grid_file import Grid
from ablate.grid.parse import parse_grid

GOOD = """\
# Does it matter?
task: classification
data: {source: rendered_flowers}
base: {epochs: 2, lora_dropout: 0.1}
axes:
  freeze_depth: [all, -1, 0]
  head_lr: [1e-3, 1.0e-2]
seeds: [0, 1]
baseline: {freeze_depth: all}
select_by: val/macro_f1
"""


def grid_of(*settings: str, text: str = GOOD) -> Grid:
    return parse_grid(text, name="x", shown_as="x.yaml", settings=settings)


def message(*settings: str) -> str:
    with pytest.raises(SpecError) as caught:
        grid_of(*settings)
    return str(caught.value)


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("base.epochs=3", ("base", "epochs"), 3),
        ("base.batch_size = 16", ("base", "batch_size"), 16),
        ("axes.head_lr=[1e-3]", ("axes", "head_lr"), [1e-3]),
        ("axes.augment=[none, 'light']", ("axes", "augment"), ["none", "light"]),
        ("data.sizes={train: 70, val: 28}", ("data", "sizes"), {"train": 70, "val": 28}),
        ("data.sizes.train=70", ("data", "sizes"), {"train": 70}),
        ("seeds=[4, 5]", ("seeds",), [4, 5]),
        ("margin=2", ("margin",), 2),
        ("base.erase=null", ("base", "erase"), None),
    ],
)
def test_a_setting_is_what_the_file_would_say(setting, path, value) -> None:
    values = yaml.safe_load(GOOD.replace("1e-3", "0.001"))
    inner = values
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    wanted = grid_of(text="# Does it matter?\n" + yaml.safe_dump(values))
    assert grid_of(setting) == wanted.model_copy(update={"settings": (setting,)})


def test_the_last_setting_of_a_field_wins_and_the_others_stay() -> None:
    grid = grid_of("base.epochs=3", "base.batch_size=8", "base.epochs=4")
    assert (grid.base.epochs, grid.base.batch_size) == (4, 8)
    assert grid.settings == ("base.epochs=3", "base.batch_size=8", "base.epochs=4")


def test_a_former_name_sets_the_field_of_today() -> None:
    assert grid_of("base.lora_dropout=0.2").base.adapter_dropout == 0.2


def test_a_setting_replaces_a_value_with_mistakes() -> None:
    broken = GOOD.replace("seeds: [0, 1]", "seeds: [0, x]")
    assert grid_of("seeds=[0]", text=broken).seeds == (0,)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (
            "base.epochs=x",
            "x.yaml: 1 mistake, nothing was started\n  --set base.epochs: must be an int, got 'x'",
        ),
        (
            "base.epoch=3",
            "x.yaml: 1 mistake, nothing was started\n"
            "  --set base.epoch: is not a field here; did you mean 'epochs'?",
        ),
        (
            "axes.head_lr=[0.1, -1]",
            "x.yaml: 1 mistake, nothing was started\n"
            "  --set axes.head_lr[1]: must be greater than 0, got -1",
        ),
        (
            "base.epochs",
            "x.yaml: --set takes FIELD=VALUE, with dots between the names of a field, "
            "e.g. base.epochs=3; got 'base.epochs'",
        ),
        (
            "base..epochs=3",
            "x.yaml: --set takes FIELD=VALUE, with dots between the names of a field, "
            "e.g. base.epochs=3; got 'base..epochs=3'",
        ),
        (
            "base.epochs=",
            "x.yaml: --set takes FIELD=VALUE, with dots between the names of a field, "
            "e.g. base.epochs=3; base.epochs has no value, null is one",
        ),
        (
            "seeds.first=3",
            "x.yaml: --set seeds.first: seeds must be a mapping to have the field first; "
            "give seeds itself",
        ),
        (
            "base.epochs=[3",
            "x.yaml: --set base.epochs: line 1, column 3: this is not YAML: expected ',' or ']', "
            "but got '<stream end>'",
        ),
        (
            "settings=[1]",
            "x.yaml: 1 mistake, nothing was started\n  --set settings: is not a field here: "
            "it is what the command line changes with --set",
        ),
    ],
)
def test_a_mistake_is_that_of_the_option(setting: str, expected: str) -> None:
    assert message(setting) == expected


@given(st.text())
def test_any_text_is_a_setting_or_a_spec_error(setting: str) -> None:
    with contextlib.suppress(SpecError):
        assert isinstance(grid_of(setting), Grid)
