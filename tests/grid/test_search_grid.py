"""Search designs and tuning in the grid file: what they mean, and every way to get them wrong."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from ablate.errors import SpecError
from ablate.grid.expand import expand, study_record
from ablate.grid.grid_file import Grid
from ablate.grid.parse import parse_grid
from ablate.grid.pilot_arms import (
    Candidate,
    candidates,
    check_pilot_seed,
    pilot_record,
    probe_arms,
    searched_trial,
    tuned_arms,
)
from ablate.grid.schema import grid_schema
from ablate.grid.search_space import Choice, Range, probe_cells
from ablate.grid.yaml_lines import read_yaml
from ablate.study.record import DataFacts
from ablate.study.trial import DataSpec

DATA = DataSpec(source="rendered_flowers")
SEARCH = """\
task: classification
data: {source: rendered_flowers}
base: {epochs: 2}
design:
  search: {sampler: tpe, n_trials: 10, confirm: 2}
axes:
  head_lr: {low: 1.0e-4, high: 1, log: true}
  freeze_depth: [all, 0]
  lora_rank: [0, 4, 8]
  adapter_units: {low: 1, high: 3, when: {lora_rank: [4, 8]}}
  adapter_targets: {levels: [auto, [a, b]], when: {lora_rank: 8}}
seeds: [0, 1]
select_by: val/macro_f1
"""
TUNE = """\
task: classification
data: {source: rendered_flowers}
base: {lr_ratio: 0.1}
axes:
  freeze_depth: [all, 0]
  augment: [none, light]
tune: {head_lr: [1.0e-3, 1.0e-2], lr_ratio: [0.1, 1]}
seeds: [0, 1]
baseline: {freeze_depth: all, augment: none}
select_by: val/macro_f1
"""
FACTS = DataFacts(
    source="a", title="A", version="1", licence="l", origin="o", is_synthetic=True,
    requested_source="a", class_names=("x", "y"),
    class_counts={}, fingerprint="f", split_rule="official",
)  # fmt: skip


def grid_of(text: str, *changes: tuple[str, str]) -> Grid:
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return parse_grid(text, name="g", shown_as="g.yaml")


def mistakes(text: str, *changes: tuple[str, str]) -> list[str]:
    with pytest.raises(SpecError) as caught:
        grid_of(text, *changes)
    return str(caught.value).splitlines()[1:]


def test_a_search_grid_is_a_space_in_the_types_of_its_fields() -> None:
    grid = grid_of(SEARCH)
    assert grid.space == {
        "head_lr": Range(low=1e-4, high=1.0, log=True),
        "freeze_depth": Choice(levels=("all", 0)),
        "lora_rank": Choice(levels=(0, 4, 8)),
        "adapter_units": Range(low=1, high=3, when={"lora_rank": (4, 8)}),
        "adapter_targets": Choice(levels=("auto", ("a", "b")), when={"lora_rank": (8,)}),
    }
    bounds = [
        (type(axis.low), type(axis.high)) for axis in grid.space.values() if isinstance(axis, Range)
    ]
    assert bounds == [(float, float), (int, int)]
    assert grid.search is not None
    assert (grid.search.pruner, grid.search.objectives, grid.pilot_seed) == ("none", (), 1000)
    assert expand(grid, data=DATA, fingerprint="f").arms == ()


def test_probes_take_every_level_and_bound_with_its_condition() -> None:
    cells = probe_cells(grid_of(SEARCH).space)
    for name, ends in {
        "head_lr": (1e-4, 1.0),
        "lora_rank": (0, 4, 8),
        "adapter_units": (1, 3),
        "adapter_targets": ("auto", ("a", "b")),
    }.items():
        assert {cell[name] for cell in cells if name in cell} == set(ends)
    for cell in cells:
        assert ("adapter_units" in cell) == (cell["lora_rank"] in (4, 8))
        assert ("adapter_targets" in cell) == (cell["lora_rank"] == 8)
    arms = probe_arms(grid_of(SEARCH), data=DATA, fingerprint="f")
    assert len({arm.arm_id for arm in arms}) == len(arms)


def test_proposals_that_make_no_sense_or_are_excluded_are_no_trials() -> None:
    grid = grid_of(
        SEARCH,
        (
            "select_by:",
            "exclude: [{when: {lora_rank: 8, adapter_targets: auto}, why: slow}]\nselect_by:",
        ),
    )

    def trial(**cell):
        return searched_trial(grid, cell, data=DATA, fingerprint="f")

    assert trial(head_lr=0.1, freeze_depth=0, lora_rank=0).seed == 1000
    assert trial(head_lr=0.1, freeze_depth=0, lora_rank=4) is None
    assert trial(head_lr=0.1, freeze_depth="all", lora_rank=8, adapter_targets="auto") is None
    assert (
        trial(head_lr=0.1, freeze_depth="all", lora_rank=8, adapter_targets=("a", "b")) is not None
    )


SEARCH_LINE = "{sampler: tpe, n_trials: 10, confirm: 2}"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            [("sampler: tpe, n_trials", "sampler: cma-ed, n_trails")],
            [
                (
                    "  line 5: design.search.sampler: must be 'random', 'tpe', 'gp', 'cma-es', "
                    "'qmc' or 'nsga2', got 'cma-ed'; did you mean 'cma-es'?"
                ),
                "  line 5: design.search.n_trials: must be given",
                "  line 5: design.search.n_trails: is not a field here; did you mean 'n_trials'?",
            ],
        ),
        (
            [("sampler: tpe", "sampler: cma-es")],
            [
                "  line 5: design.search.sampler: must have at least 2 ranges without `when` "
                "for cma-es, got 1: it moves a normal distribution through ranges, "
                "and draws everything else at random; take tpe"
            ],
        ),
        (
            [("sampler: tpe", "sampler: qmc"), ("{low: 1.0e-4, high: 1, log: true}", "[0.1, 0.2]")],
            [
                "  line 5: design.search.sampler: must have at least 1 range without `when` "
                "for qmc, got 0: it spreads points evenly over ranges, "
                "and draws everything else at random; take tpe"
            ],
        ),
        (
            [
                ("sampler: tpe", "sampler: cma-es, objectives: [val/macro_f1, time/train_s]"),
                ("[0, 4, 8]", "[0, 4, 8]\n  weight_decay: {low: 0, high: 1}"),
            ],
            [
                (
                    "  line 5: design.search.sampler: must be another sampler than cma-es for 2 "
                    "objectives: it ranks by one score; take nsga2 or tpe"
                )
            ],
        ),
        (
            [
                (
                    "confirm: 2",
                    (
                        "confirm: 2, pruner: median, objectives: [cost/n_trainable, "
                        "test/macro_f1, cost/n_trainable]"
                    ),
                )
            ],
            [
                "  line 5: design.search.objectives[1]: must be one of val/macro_f1, "
                "val/auroc_ovr_macro, val/accuracy, val/balanced_accuracy, val/nll, "
                "val/ece, val/average_precision, cost/n_trainable, cost/n_parameters, "
                "cost/delta_mb, cost/peak_memory_mb, "
                "time/train_s, time/total_s, got 'test/macro_f1': "
                "test is sealed, only the report reads it",
                (
                    "  line 5: design.search.objectives[2]: must differ from the objectives "
                    "before it, got 'cost/n_trainable' again"
                ),
                (
                    "  line 5: design.search.objectives: must begin with select_by "
                    "(val/macro_f1), which ranks the arms that are confirmed, got "
                    "'cost/n_trainable'"
                ),
                (
                    "  line 5: design.search.pruner: must be none for 3 objectives: a pruner "
                    "compares trials by one score, got 'median'"
                ),
            ],
        ),
        (
            [
                (
                    "seeds: [0, 1]",
                    (
                        "seeds: [0, 1000]\nbaseline: {lora_rank: 0}\nnoise_floor: 2\ntune: "
                        "{batch_size: [1, 2]}"
                    ),
                )
            ],
            [
                (
                    "  line 12: seeds: pilot_seed (1000) must not be among seeds: an arm that was "
                    "chosen because of a score may not bring that score along"
                ),
                (
                    "  line 13: baseline: must be left out in a search design: a search compares "
                    "the arms that it confirms with one another"
                ),
                "  line 14: noise_floor: must be left out in a search design: it is the "
                "spread of the baseline, and a search has none; "
                "seeds give the spread of the arms that it confirms",
                (
                    "  line 15: tune: must be left out in a search design: the search tunes every "
                    "field that is an axis"
                ),
            ],
        ),
        (
            [
                ("low: 1.0e-4, high: 1,", "low: 0, high: -1,"),
                ("low: 1, high: 3", "low: 1.5, hihg: 3"),
            ],
            [
                "  line 7: axes.head_lr.low: must be greater than 0, got 0",
                "  line 7: axes.head_lr.high: must be greater than 0, got -1",
                "  line 7: axes.head_lr.high: must be above low (0), got -1",
                "  line 7: axes.head_lr.low: must be above 0 on a log scale, got 0",
                "  line 10: axes.adapter_units.high: must be given",
                "  line 10: axes.adapter_units.hihg: is not a field here; did you mean 'high'?",
            ],
        ),
        (
            [
                (
                    "when: {lora_rank: [4, 8]}",
                    "when: {lora_rank: 3, adapter_targets: auto, head_lr: 1}",
                ),
                ("levels: [auto, [a, b]]", "levels: [7]"),
            ],
            [
                (
                    "  line 10: axes.adapter_units.when.lora_rank: must be a level of "
                    "axes.lora_rank (0, 4, 8), got 3"
                ),
                "  line 10: axes.adapter_units.when.adapter_targets: must be an axis that stands "
                "before this one (head_lr, freeze_depth, lora_rank), "
                "got 'adapter_targets'",
                (
                    "  line 10: axes.adapter_units.when.head_lr: must be an axis with a list of "
                    "levels, got 'head_lr', which is a range"
                ),
                (
                    "  line 11: axes.adapter_targets.levels[0]: must be 'auto' or a list, got 7; "
                    "did you mean 'auto'?"
                ),
            ],
        ),
        (
            [
                ("design:\n  search: " + SEARCH_LINE, "design: full\npruner: median"),
                ("seeds:", "baseline: {lora_rank: 0}\nseeds:"),
            ],
            [
                "  line 5: pruner: is not a field here: pruners belong to a search; "
                "without the trials that a pruner ended early, estimated effects would be too good",
                (
                    "  line 7: axes.head_lr: must be a list of levels: ranges and "
                    "conditions belong to a search design, this design estimates effects of levels"
                ),
                (
                    "  line 10: axes.adapter_units: must be a list of levels: ranges and "
                    "conditions belong to a search design, this design estimates effects of levels"
                ),
                (
                    "  line 11: axes.adapter_targets: must be a list of levels: ranges and "
                    "conditions belong to a search design, this design estimates effects of levels"
                ),
            ],
        ),
    ],
)
def test_what_is_no_search(changes: list[tuple[str, str]], told: list[str]) -> None:
    found = mistakes(SEARCH, *changes)
    assert [line.replace("; did you mean 'auto'?", "") for line in found] == [
        line.replace("; did you mean 'auto'?", "") for line in told
    ]


def test_a_pruner_in_a_random_design_is_refused_with_the_reason() -> None:
    design = ("axes:", "design: {random: 3, pruner: hyperband}\naxes:")
    assert mistakes(TUNE, design) == [
        "  line 4: design.pruner: is not a field here: pruners belong to a search; "
        "without the trials that a pruner ended early, estimated effects would be too good"
    ]


def test_all_designs_but_a_search_need_a_baseline() -> None:
    assert mistakes(TUNE, ("baseline: {freeze_depth: all, augment: none}\n", "")) == [
        "  line 1: baseline: must be given"
    ]


def test_what_is_no_tuning() -> None:
    changes = (
        "tune: {head_lr: [1.0e-3, 1.0e-2], lr_ratio: [0.1, 1]}",
        "tune: {head_lr: [1], augment: [none, light], head_lrr: [1, 2], lr_ratio: [0, 0]}",
    )
    assert mistakes(TUNE, changes) == [
        "  line 7: tune.head_lr: must have at least two levels to choose from, got [1]",
        "  line 7: tune.head_lrr: must be a field of base, got 'head_lrr'; did you mean 'head_lr'?",
        "  line 7: tune.lr_ratio[0]: must be greater than 0, got 0",
        "  line 7: tune.lr_ratio[1]: must differ from the levels before it, got 0 again",
        "  line 7: tune.lr_ratio[1]: must be greater than 0, got 0",
        (
            "  line 7: tune.augment: must not be an axis as well: axes are compared, what is "
            "tuned is chosen for each arm"
        ),
    ]


def test_seeds_from_elsewhere_may_not_be_the_pilots() -> None:
    with pytest.raises(SpecError) as caught:
        check_pilot_seed(grid_of(TUNE), (0, 1000))
    assert str(caught.value) == (
        "pilot_seed (1000) must not be among seeds: an arm that was chosen because of a score "
        "may not bring that score along"
    )
    check_pilot_seed(
        grid_of(TUNE, ("tune: {head_lr: [1.0e-3, 1.0e-2], lr_ratio: [0.1, 1]}\n", "")), (0, 1000)
    )


def test_every_arm_is_tuned_over_what_can_matter_for_it() -> None:
    grid = grid_of(TUNE)
    expansion = expand(grid, data=DATA, fingerprint="f")
    tried = candidates(grid, expansion, data=DATA, fingerprint="f")
    n_tried = {arm.name: sum(one.of_arm == arm.arm_id for one in tried) for arm in expansion.arms}
    assert n_tried == {
        "freeze_depth=all augment=none": 2,
        "freeze_depth=all augment=light": 2,
        "freeze_depth=0 augment=none": 4,
        "freeze_depth=0 augment=light": 4,
    }
    assert {candidate.trial.seed for candidate in tried} == {1000}
    assert len({candidate.trial.trial_id for candidate in tried}) == 12
    best: dict[str, Candidate | None] = {candidate.of_arm: candidate for candidate in tried}
    best[expansion.arms[1].arm_id] = None
    arms, lost = tuned_arms(expansion, best, dict.fromkeys(best, 2))
    assert [(arm.name, arm.tuned) for arm in arms] == [
        ("freeze_depth=all augment=none", {"head_lr": 0.01}),
        ("freeze_depth=0 augment=none", {"head_lr": 0.01, "lr_ratio": 1.0}),
        ("freeze_depth=0 augment=light", {"head_lr": 0.01, "lr_ratio": 1.0}),
    ]
    assert [arm.recipe.head_lr for arm in arms] == [0.01] * 3
    assert [(one.cell, one.why) for one in lost] == [
        (
            {"freeze_depth": "all", "augment": "light"},
            "none of the 2 trials of its tuning completed",
        )
    ]


def test_a_field_that_decides_which_cells_are_equal_cannot_be_tuned() -> None:
    grid = grid_of(
        TUNE,
        ("augment: [none, light]", "momentum: [0.8, 0.9]"),
        ("augment: none", "momentum: 0.9"),
        ("lr_ratio: [0.1, 1]", "optimizer: [adamw, sgd]"),
    )
    with pytest.raises(SpecError) as caught:
        candidates(grid, expand(grid, data=DATA, fingerprint="f"), data=DATA, fingerprint="f")
    assert str(caught.value) == (
        "tune must not change which cells are merged into one arm, but head_lr: 0.001, "
        "optimizer: sgd would; make the field an axis, or leave it in base"
    )


def test_a_longer_search_goes_on_and_another_space_is_another_search() -> None:
    def search_id(*changes: tuple[str, str]) -> str:
        grid = grid_of(SEARCH, *changes)
        record = study_record(
            grid, expand(grid, data=DATA, fingerprint="f"), facts=FACTS, seeds=(0, 1), command="c"
        )
        return pilot_record(grid, record, kind="search", n_trials=10).study_id

    assert (
        search_id()
        == search_id(("n_trials: 10, confirm: 2", "n_trials: 20, confirm: 3"))
        == search_id(("seeds: [0, 1]", "seeds: [5]"))
    )
    others = [
        ("high: 1,", "high: 0.5,"),
        ("tpe", "random"),
        ("base: {epochs: 2}", "base: {epochs: 3}"),
        ("seeds:", "pilot_seed: 7\nseeds:"),
    ]
    assert len({search_id(), *(search_id(change) for change in others)}) == 5


@pytest.mark.parametrize("text", [SEARCH, TUNE])
def test_the_schema_takes_what_the_parser_takes(text: str) -> None:
    values = json.loads(json.dumps(read_yaml(text).values))
    validator = Draft202012Validator(grid_schema())
    assert list(validator.iter_errors(values)) == []
    values["axes"]["freeze_depth"] = {"low": 1, "hihg": 2}
    assert [list(error.path) for error in validator.iter_errors(values)] == [
        ["axes", "freeze_depth"]
    ]
