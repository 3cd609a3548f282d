"""Fields under their former names mean the same, and messages name them as the file does."""

from __future__ import annotations

import pytest

from ablate.errors import SpecError
from ablate.grid.expand import expand
from ablate.grid.grid_file import Grid
from ablate.grid.parse import parse_grid

FORMER = """# Which units?
task: classification
data: {source: textile, classes: {lora_units: [nominal], rest: ["*"]}}
base: {lora_rank: 4, lora_dropout: 0.1}
axes:
  lora_units: [1, 2]
  lora_targets: [auto, [a, b]]
exclude: [{when: {lora_units: 2, lora_targets: [[a, b]]}, why: slow}]
seeds: [0]
baseline: {lora_units: 1, lora_targets: auto}
select_by: val/macro_f1
"""


def current(text: str) -> str:
    """The same file under the current names; the class that is called as a field was stays."""
    renamed = text.replace("lora_targets", "adapter_targets")
    renamed = renamed.replace("lora_dropout", "adapter_dropout")
    renamed = renamed.replace("lora_units", "adapter_units")
    return renamed.replace("classes: {adapter_units", "classes: {lora_units")


def parsed(text: str) -> Grid:
    return parse_grid(text, name="units", shown_as="units.yaml")


def mistakes_of(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parsed(text)
    return str(caught.value).splitlines()[1:]


def test_former_names_mean_the_current_fields() -> None:
    grid = parsed(FORMER)
    assert grid == parsed(current(FORMER))
    assert list(grid.axes) == ["adapter_units", "adapter_targets"]
    assert grid.data.classes is not None
    expansion = expand(grid, data=grid.data, fingerprint="f")
    assert [arm.name for arm in expansion.arms] == [
        "adapter_units=1 adapter_targets=auto",
        "adapter_units=1 adapter_targets=a+b",
        "adapter_units=2 adapter_targets=auto",
    ]
    assert expansion.baseline_arm_id == expansion.arms[0].arm_id


def test_a_condition_of_a_search_may_use_a_former_name() -> None:
    text = """# Search
task: classification
data: {source: textile}
base: {lora_rank: 4}
axes:
  lora_units: [1, 2]
  lora_targets: {levels: [auto, [a]], when: {lora_units: 2}}
design: {search: {sampler: tpe, n_trials: 4, confirm: 1}}
seeds: [0]
select_by: val/macro_f1
"""
    assert parsed(text).axes == parsed(current(text)).axes


def test_a_mistake_names_the_field_as_the_file_does() -> None:
    assert mistakes_of(FORMER.replace("lora_units: [1, 2]", "lora_units: [1, none]"))[0] == (
        "  line 6: axes.lora_units[1]: must be 'all' or an int, got 'none'"
    )
    assert mistakes_of(current(FORMER).replace("[1, 2]", "[1, none]"))[0] == (
        "  line 6: axes.adapter_units[1]: must be 'all' or an int, got 'none'"
    )


def test_a_field_under_both_names_is_a_mistake() -> None:
    both = FORMER.replace("lora_dropout: 0.1}", "lora_dropout: 0.1, adapter_dropout: 0.1}")
    assert mistakes_of(both) == [
        "  line 4: base.lora_dropout: is the former name of adapter_dropout, "
        "which is given too; keep adapter_dropout"
    ]
