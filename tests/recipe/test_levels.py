"""Values are compared as what they mean: a number is a number however it is written, and "
"neither text nor a switch is one."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.errors import SpecError
from ablate.grid.expand import expand
from ablate.grid.grid_file import Grid
from ablate.grid.parse import parse_grid
from ablate.grid.pilot_arms import searched_trial
from ablate.grid.search_space import is_active
from ablate.recipe.levels import meaning
from ablate.recipe.recipe import Level
from ablate.study.trial import DataSpec

DATA = DataSpec(source="rendered_flowers")
GOOD = """\
# q?
task: classification
data: {source: rendered_flowers}
base: {freeze_depth: -1}
axes:
  AXIS
seeds: [0, 1]
baseline: {}
select_by: val/macro_f1
"""


def grid_of(axis: str, *changes: tuple[str, str]) -> Grid:
    text = GOOD.replace("AXIS", axis)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return parse_grid(text, name="g", shown_as="g.yaml")


def mistakes(axis: str, *changes: tuple[str, str]) -> list[str]:
    with pytest.raises(SpecError) as caught:
        grid_of(axis, *changes)
    first, *rest = str(caught.value).splitlines()
    counted = "1 mistake" if len(rest) == 1 else f"{len(rest)} mistakes"
    assert first == f"g.yaml: {counted}, nothing was started"
    return [line.strip() for line in rest]


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        (
            "weights: [w.pth, ./w.pth]",
            [
                (
                    "line 6: axes.weights[1]: must differ from the levels before it, "
                    "got './w.pth', which is 'w.pth' again"
                )
            ],
        ),
        (
            "weights: [auto, a//w, a/./w]",
            [
                (
                    "line 6: axes.weights[2]: must differ from the levels before it, "
                    "got 'a/./w', which is 'a//w' again"
                )
            ],
        ),
        (
            "weight_decay: [0, 0.0]",
            [
                (
                    "line 6: axes.weight_decay[1]: must differ from the levels before it, "
                    "got 0.0, which is 0 again"
                )
            ],
        ),
        (
            "weight_decay: [0.0, -0.0]",
            [
                (
                    "line 6: axes.weight_decay[1]: must differ from the levels before it, "
                    "got -0.0, which is 0.0 again"
                )
            ],
        ),
        (
            "weight_decay: [0.01, 1.0e-2]",
            ["line 6: axes.weight_decay[1]: must differ from the levels before it, got 0.01 again"],
        ),
        (
            "head_lr: [1, 0.5, 1e0]",
            [
                (
                    "line 6: axes.head_lr[2]: must differ from the levels before it, "
                    "got 1.0, which is 1 again"
                )
            ],
        ),
        (
            "augment: [1, 1.0]",
            [
                (
                    "line 6: axes.augment[1]: must differ from the levels before it, "
                    "got 1.0, which is 1 again"
                )
            ],
        ),
        (
            "class_weights: [[1, 2], [1.0, 2.0]]",
            [
                (
                    "line 6: axes.class_weights[1]: must differ from the levels before it, "
                    "got [1.0, 2.0], which is [1, 2] again"
                )
            ],
        ),
        (
            "class_weights: [{a: 1}, {a: 1.0}]",
            [
                (
                    "line 6: axes.class_weights[1]: must differ from the levels before it, "
                    "got {'a': 1.0}, which is {'a': 1} again"
                )
            ],
        ),
        (
            "lora_alpha: [null, ~]",
            ["line 6: axes.lora_alpha[1]: must differ from the levels before it, got None again"],
        ),
        (
            "phases: [[{epochs: 2}], [{epochs: 2, head_lr: null}]]",
            [
                (
                    "line 6: axes.phases[1]: must differ from the levels before it, "
                    "got [{'epochs': 2, 'head_lr': None}], which is [{'epochs': 2}] again"
                )
            ],
        ),
        (
            "weight_decay: ['0.1', 0.1]",
            [
                (
                    "line 6: axes.weight_decay[0]: must be a number, got '0.1'; "
                    "write numbers without quotes"
                )
            ],
        ),
        ("weight_decay: [no, 0]", ["line 6: axes.weight_decay[0]: must be a number, got False"]),
        ("head_lr: [1, yes]", ["line 6: axes.head_lr[1]: must be a number, got True"]),
        (
            "epochs: [010, 8]",
            [
                (
                    "line 6: axes.epochs[0]: must be an int, got '010'; "
                    "write numbers without leading zeros"
                )
            ],
        ),
        (
            "epochs: [0x10, 1:30]",
            [
                (
                    "line 6: axes.epochs[0]: must be an int, got '0x10'; "
                    "write numbers in decimal digits"
                ),
                (
                    "line 6: axes.epochs[1]: must be an int, got '1:30'; "
                    "write numbers in decimal digits"
                ),
            ],
        ),
        (
            "epochs: [2.0, true]",
            [
                "line 6: axes.epochs[0]: must be an int, got 2.0",
                "line 6: axes.epochs[1]: must be an int, got True",
            ],
        ),
        (
            "backbone: [5, resnet18]",
            ["line 6: axes.backbone[0]: must be text, got 5; put it in quotes"],
        ),
        (
            "phases: [[{epochs: '2', head_lr: yes}]]",
            [
                (
                    "line 6: axes.phases[0][0].epochs: must be an int, got '2'; "
                    "write numbers without quotes"
                ),
                "line 6: axes.phases[0][0].head_lr: must be a number, got True",
            ],
        ),
        (
            "head_lr: ['0,1']",
            [
                (
                    "line 6: axes.head_lr[0]: must be a number, got '0,1'; "
                    "the decimal separator is a point"
                )
            ],
        ),
        (
            "erase: [0.1, '0.1']",
            ["line 6: axes.erase[1]: must be a number, got '0.1'; write numbers without quotes"],
        ),
    ],
)
def test_levels(axis: str, expected: list[str]) -> None:
    assert mistakes(axis) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("seeds: [0, 1]", "seeds: [0, no]", ["line 7: seeds[1]: must be an int, got False"]),
        ("seeds: [0, 1]", "seeds: [1, 1.0]", ["line 7: seeds[1]: must be an int, got 1.0"]),
        (
            "seeds: [0, 1]",
            "seeds: [1, '1']",
            ["line 7: seeds[1]: must be an int, got '1'; write numbers without quotes"],
        ),
        (
            "seeds: [0, 1]",
            "seeds: [08, 010]",
            [
                "line 7: seeds[0]: must be an int, got '08'; write numbers without leading zeros",
                "line 7: seeds[1]: must be an int, got '010'; write numbers without leading zeros",
            ],
        ),
        (
            "seeds: [0, 1]",
            "seeds: [2, +2]",
            ["line 7: seeds: must differ from one another, got [2, 2]"],
        ),
        (
            "seeds: [0, 1]",
            "seeds: [0, -1]",
            ["line 7: seeds[1]: must be greater than or equal to 0, got -1"],
        ),
        (
            "seeds: [0, 1]",
            f"seeds: [{2**63}]",
            [f"line 7: seeds[0]: must be less than or equal to {10**18}, got {2**63}"],
        ),
        ("seeds: [0, 1]", "seeds: []", ["line 7: seeds: must be a list of at least one, got []"]),
        ("seeds: [0, 1]", "seeds: 3", ["line 7: seeds: must be a list, got 3"]),
        (
            "seeds: [0, 1]",
            "seeds: [0]\npilot_seed: yes\ntune: {batch_size: [4, 8]}",
            ["line 8: pilot_seed: must be an int, got True"],
        ),
        (
            "seeds: [0, 1]",
            "seeds: [0]\nnoise_floor: '2'",
            ["line 8: noise_floor: must be an int, got '2'; write numbers without quotes"],
        ),
        (
            "seeds: [0, 1]",
            "seeds: [0]\ntarget_precision: '0.9'",
            ["line 8: target_precision: must be a number, got '0.9'; write numbers without quotes"],
        ),
        (
            "seeds: [0, 1]",
            "seeds: [0]\ntune: {lr_ratio: [1, 1.0]}",
            [
                (
                    "line 8: tune.lr_ratio[1]: must differ from the levels before it, "
                    "got 1.0, which is 1 again"
                )
            ],
        ),
        (
            "seeds: [0, 1]",
            "seeds: [0]\ndesign: {random: '3'}",
            ["line 8: design.random: must be an int, got '3'; write numbers without quotes"],
        ),
        (
            "seeds: [0, 1]",
            "seeds: [0]\nexclude: [{when: {head_lr: '0.1'}, why: x}]",
            [
                (
                    "line 8: exclude[0].when.head_lr: must be a level of axes.head_lr (0.1, 0.5), "
                    "got '0.1'; did you mean '0.1'?"
                )
            ],
        ),
        (
            "baseline: {}",
            "baseline: {head_lr: yes}",
            ["line 8: baseline.head_lr: must be a level of axes.head_lr (0.1, 0.5), got True"],
        ),
        (
            "flowers}",
            "flowers, split_seed: '1'}",
            ["line 3: data.split_seed: must be an int, got '1'; write numbers without quotes"],
        ),
        (
            "flowers}",
            "flowers, image_size: '64'}",
            [
                (
                    "line 3: data.image_size: must be 'auto' or an int, got '64'; "
                    "write numbers without quotes"
                )
            ],
        ),
        (
            "flowers}",
            "flowers, fractions: {train: '0.5', val: yes, test: 0.25}}",
            [
                (
                    "line 3: data.fractions.train: must be a number, got '0.5'; "
                    "write numbers without quotes"
                ),
                "line 3: data.fractions.val: must be a number, got True",
            ],
        ),
        (
            "flowers}",
            "flowers, sizes: {train: 1e3}}",
            ["line 3: data.sizes.train: must be an int, got 1000.0"],
        ),
        (
            "flowers}",
            "flowers, path: 5}",
            ["line 3: data.path: must be text, got 5; put it in quotes"],
        ),
        (
            "select_by: val/macro_f1",
            "select_by: 1",
            [
                (
                    "line 9: select_by: must be 'val/macro_f1', 'val/auroc_ovr_macro', "
                    "'val/accuracy', 'val/balanced_accuracy', 'val/nll', 'val/ece' "
                    "or 'val/average_precision', got 1"
                )
            ],
        ),
        ("-1}", "-1, dropout: yes}", ["line 4: base.dropout: must be a number, got True"]),
        (
            "-1}",
            "-1, epochs: 1000000000}",
            ["line 4: base.epochs: must be less than or equal to 1000000, got 1000000000"],
        ),
    ],
)
def test_every_other_field(old: str, new: str, expected: list[str]) -> None:
    assert mistakes("head_lr: [0.1, 0.5]", (old, new)) == expected


def test_numbers_may_be_written_in_any_way_where_levels_are_named() -> None:
    change = (
        "baseline: {}",
        (
            "baseline: {weight_decay: 0, head_lr: 1.0}\nexclude: [{when: {weight_decay: 1.0e-2, "
            "head_lr: [0.5e0]}, why: slow}]"
        ),
    )
    grid = grid_of("weight_decay: [0.0, 0.01]\n  head_lr: [1, 0.5]", change)
    expansion = expand(grid, data=DATA, fingerprint="f")
    assert grid.baseline_cell == {"weight_decay": 0.0, "head_lr": 1}
    (excluded,) = expansion.excluded
    assert excluded.cell == {"weight_decay": 0.01, "head_lr": 0.5}
    assert excluded.why == "slow"
    assert expansion.baseline_arm_id == expansion.arms[0].arm_id


def test_the_baseline_takes_the_level_that_base_has_however_it_is_written() -> None:
    base = (
        "base: {freeze_depth: -1}",
        "base: {freeze_depth: -1, class_weights: [1, 2], adapter_targets: [a, b], weight_decay: 0}",
    )
    axes = (
        "class_weights: [none, [1.0, 2.0]]\n"
        "  adapter_targets: [auto, [a, b]]\n"
        "  weight_decay: [0.1, 0.0]"
    )
    assert grid_of(axes, base).baseline_cell == {
        "class_weights": [1.0, 2.0],
        "adapter_targets": ["a", "b"],
        "weight_decay": 0.0,
    }


def test_conditions_and_exclusions_of_a_search_hold_for_levels_that_are_lists() -> None:
    design = "design: {search: {sampler: tpe, n_trials: 4, confirm: 1}}\nseeds:"
    exclude = (
        "baseline: {}",
        "exclude: [{when: {adapter_targets: [[a, b]], lora_rank: 8}, why: slow}]",
    )
    axes = (
        "adapter_targets: [auto, [a, b]]\n"
        "  lora_rank: [4, 8]\n"
        "  lora_alpha: {low: 1, high: 8, when: {adapter_targets: [[a, b]]}}"
    )
    grid = grid_of(axes, ("seeds:", design), exclude, ("-1}", "all}"))
    alpha = grid.space["lora_alpha"]
    assert is_active(alpha, {"adapter_targets": ("a", "b")})
    assert not is_active(alpha, {"adapter_targets": "auto"})
    cell: dict[str, Level] = {"adapter_targets": ("a", "b"), "lora_rank": 8}
    assert searched_trial(grid, cell, data=DATA, fingerprint="f") is None
    cell["lora_rank"] = 4
    assert searched_trial(grid, cell, data=DATA, fingerprint="f") is not None


_NUMBERS = st.sampled_from(
    [
        "0",
        "0.0",
        "-0.0",
        "0e0",
        "1",
        "1.0",
        "1e0",
        "+1",
        "0.1",
        "1e-1",
        ".1",
        "1.0e-1",
        "0.25",
        "2.5E-1",
    ]
)


@pytest.mark.slow
@given(st.lists(_NUMBERS, min_size=1, max_size=5))
def test_levels_are_refused_exactly_when_two_are_one_arm(words: list[str]) -> None:
    """The law: as many arms as levels, or a mistake for each level that is one before it."""
    n_again = len(words) - len({float(word) for word in words})
    axis = f"weight_decay: [{', '.join(words)}]"
    if n_again == 0:
        assert len(expand(grid_of(axis), data=DATA, fingerprint="f").arms) == len(words)
    else:
        assert len(mistakes(axis)) == n_again


@given(
    st.sampled_from(["weight_decay", "epochs", "augment", "freeze_depth", "shots"]),
    st.lists(st.sampled_from([0, 0.0, 1, 1.0, True, False, "1", None, "all"])),
)
def test_equal_meanings_are_equal_values_of_one_field(name: str, levels: list[object]) -> None:
    for level, other in combinations(levels, 2):
        if meaning(name, level) == meaning(name, other):
            assert level == other
            # 1 == True in Python, and a recipe field takes one of them at most.
            assert isinstance(level, bool) == isinstance(other, bool)


def test_arms_have_names_of_their_own_where_their_levels_read_alike() -> None:
    grid = grid_of("adapter_targets: [[a, b], [a+b], [c]]", ("-1}", "all, lora_rank: 4}"))
    arms = expand(grid, data=DATA, fingerprint="f").arms
    assert [arm.name for arm in arms] == [
        f"adapter_targets=a+b ({arms[0].arm_id})",
        f"adapter_targets=a+b ({arms[1].arm_id})",
        "adapter_targets=c",
    ]


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        (
            "adapter_targets: [auto, []]",
            "line 6: axes.adapter_targets[1]: must be 'auto' or a list of at least one, got []",
        ),
        (
            "class_weights: [none, {}]",
            (
                "line 6: axes.class_weights[1]: must be 'none', 'balanced' or 'effective' or a "
                "list of at least one, got {}"
            ),
        ),
    ],
)
def test_an_empty_list_is_no_level(axis: str, expected: str) -> None:
    assert mistakes(axis) == [expected]


@pytest.mark.parametrize("path", ["x" * 256, "a/" + "ü" * 128, "/".join(["y" * 100] * 11)])
@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("flowers}", "flowers, path: PATH}", "3: data.path"),
        ("-1}", "-1, weights: PATH}", "4: base.weights"),
    ],
)
def test_paths_that_no_file_system_takes(path: str, old: str, new: str, place: str) -> None:
    shown = repr(path)
    if len(path) >= 79:
        shown = f"{shown[:77]}..."
    assert mistakes("head_lr: [1]", (old, new.replace("PATH", path))) == [
        (
            f"line {place}: must be a path of at most 1,000 characters, with at most 255 bytes in "
            f"the name of each file and folder, got {shown}"
        )
    ]


@pytest.mark.parametrize("word", ["auto", "hub", "torchvision", "more", "none"])
def test_a_word_for_weights_is_no_file(word: str) -> None:
    assert meaning("weights", word) == word
    assert meaning("weights", f"./{word}") == ("file", word)
