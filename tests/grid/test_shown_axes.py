"""How images are shown as axes of a grid: arms, names, exclusions, what reports are told."""

from __future__ import annotations

import pytest
from support.grids import grid_of, record_of

from ablate.errors import SpecError
from ablate.grid.expand import expand
from ablate.grid.pilot_arms import probe_arms, searched_trial
from ablate.grid.search_space import Cell
from ablate.grid.shown_recipes import shown_recipes

HEAD = """\
# Which images are best shown?
task: classification
data: {source: rendered_flowers, image_size: 96}
base: {backbone: test_efficientnet, weights: none, epochs: 1}
select_by: val/macro_f1
seeds: [0]
"""
CROSSED = f"""{HEAD}
axes:
  image_size: [96, 128]
  view: [crop, squash]
  crop_share: [null, 1.0]
baseline: {{view: crop, crop_share: null}}
"""
SEARCH = f"""{HEAD}
design: {{search: {{sampler: random, n_trials: 4, confirm: 1}}}}
axes:
  backbone: [test_efficientnet, test_resnet]
  head_lr: {{low: 1.0e-3, high: 1.0e-1, log: true}}
  image_size: [96, 128]
  view: [crop, squash]
  crop_share: {{levels: [0.9, 1.0], when: {{view: crop}}}}
exclude:
  - {{when: {{backbone: test_resnet, image_size: 128}}, why: too slow}}
"""


def test_each_way_is_an_arm_and_a_share_of_whole_images_is_excluded_with_a_reason() -> None:
    grid = grid_of(CROSSED)
    expansion = expand(grid, data=grid.data, fingerprint="f")
    names = [arm.name for arm in expansion.arms]
    assert names == [
        "image_size=96 view=crop crop_share=null",
        "image_size=96 view=crop crop_share=1.0",
        "image_size=96 view=squash crop_share=null",
        "image_size=128 view=crop crop_share=null",
        "image_size=128 view=crop crop_share=1.0",
        "image_size=128 view=squash crop_share=null",
    ]
    assert len(expansion.excluded) == 2
    for excluded in expansion.excluded:
        assert excluded.cell["view"] == "squash"
        assert excluded.why.startswith("crop_share is of the middle square")


def test_a_level_that_the_data_say_is_the_arm_of_null() -> None:
    grid = grid_of(
        HEAD + "axes: {image_size: [null, 96, 128], view: [null, crop]}\n"
        "baseline: {image_size: null, view: null}\n"
    )
    expansion = expand(grid, data=grid.data, fingerprint="f")
    assert [arm.name for arm in expansion.arms] == [
        "image_size=null view=null",
        "image_size=128 view=null",
    ]
    assert [len(arm.cells) for arm in expansion.arms] == [4, 2]
    alone = grid_of(HEAD + "axes: {head_lr: [1.0e-3]}\nbaseline: {head_lr: 1.0e-3}\n")
    (arm,) = expand(alone, data=alone.data, fingerprint="f").arms
    assert arm.arm_id == expansion.baseline_arm_id == expansion.arms[0].arm_id


def test_where_data_show_whole_images_a_share_is_excluded_too() -> None:
    text = HEAD.replace("image_size: 96", "image_size: 96, view: pad")
    grid = grid_of(text + "axes: {crop_share: [null, 1.0]}\nbaseline: {crop_share: null}\n")
    expansion = expand(grid, data=grid.data, fingerprint="f")
    assert len(expansion.arms) == 1
    assert [excluded.cell for excluded in expansion.excluded] == [{"crop_share": 1.0}]


def test_the_baseline_is_usually_what_the_data_say() -> None:
    grid = grid_of(
        HEAD + "axes: {image_size: [128, 96], freeze_depth: [all, -1]}\n"
        "baseline: {freeze_depth: all}\n"
    )
    assert grid.baseline_cell == {"image_size": 96, "freeze_depth": "all"}


def test_a_fitted_classifier_is_of_its_images_too() -> None:
    grid = grid_of(
        HEAD.replace("epochs: 1", "classifier: ridge")
        + "axes: {image_size: [96, 128]}\nbaseline: {image_size: 96}\n"
    )
    assert len(expand(grid, data=grid.data, fingerprint="f").arms) == 2


def test_the_record_names_the_sizes_where_they_vary() -> None:
    assert record_of(grid_of(CROSSED)).image_size == (
        "96 or 128 (the middle square, or crop share 1, or whole images, squashed to a square)"
    )
    single = grid_of(HEAD + "axes: {head_lr: [1.0e-3]}\nbaseline: {head_lr: 1.0e-3}\n")
    assert record_of(single).image_size == "96"
    assert record_of(grid_of(SEARCH)).image_size.startswith("96 or 128 (")


def test_a_search_knows_every_way_that_it_may_propose() -> None:
    grid = grid_of(SEARCH)
    ways = {(recipe.backbone, grid.data.shown_to(recipe)) for recipe in shown_recipes(grid)}
    assert {(backbone, shown.image_size) for backbone, shown in ways} == {
        ("test_efficientnet", 96),
        ("test_efficientnet", 128),
        ("test_resnet", 96),
    }
    cells: list[Cell] = [
        {"backbone": backbone, "head_lr": 0.01, "image_size": size, "view": view, **share}
        for backbone in ("test_efficientnet", "test_resnet")
        for size in (96, 128)
        for view, share in (("crop", {"crop_share": 1.0}), ("squash", {}))
    ]
    for cell in cells:
        trial = searched_trial(grid, cell, data=grid.data, fingerprint="f")
        if trial is not None:
            assert (trial.recipe.backbone, trial.shown) in ways
    # what is checked beforehand is far less than all of them
    assert len(probe_arms(grid, data=grid.data, fingerprint="f")) < 10


def test_a_range_of_sizes_is_refused() -> None:
    with pytest.raises(SpecError) as error:
        grid_of(SEARCH.replace("image_size: [96, 128]", "image_size: {low: 64, high: 128}"))
    assert (
        "axes.image_size: must be a list of levels: images are decoded for each of them before the "
        "search" in str(error.value)
    )


def test_a_name_that_is_no_interpolation_is_refused() -> None:
    with pytest.raises(SpecError) as error:
        grid_of(HEAD + "axes: {interpolation: [bicubical, null]}\nbaseline: {}\n")
    assert "axes.interpolation[0]" in str(error.value)
    assert "bicubic" in str(error.value)
