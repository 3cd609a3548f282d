"""Weights without a classifier stop a study that needs it before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ablate.errors import SpecError, WeightsError
from ablate.grid.parse import load_grid
from ablate.model.backbone import create_backbone
from ablate.workflow.folders import find_folders
from ablate.workflow.prepare.check_arms import check_arms
from ablate.workflow.prepare.resolved import resolve

GRID = """\
# What holds?
task: classification
data: {source: folder, path: pictures, image_size: 32}
base: {backbone: BACKBONE, weights: w.safetensors, epochs: 1, batch_size: 8, freeze_depth: DEPTH}
axes: {AXIS: [0, 1.0]}
seeds: [0]
baseline: {}
select_by: val/macro_f1
"""


def checked(desk: Path, axis: str, depth: str = "-1", backbone: str = "test_efficientnet") -> None:
    path = desk / "g.yaml"
    text = GRID.replace("AXIS", axis).replace("DEPTH", depth).replace("BACKBONE", backbone)
    path.write_text(text)
    grid = load_grid(path)
    check_arms(resolve(grid, find_folders(), seeds=None, allow_fallback=False, command=""))


@pytest.fixture
def trunk(desk: Path) -> dict[str, torch.Tensor]:
    state = create_backbone("test_efficientnet", n_classes=7, image_size=32).state_dict()
    save_file(
        {name: one for name, one in state.items() if not name.startswith("classifier")},
        desk / "w.safetensors",
    )
    return state


@pytest.mark.parametrize("axis", ["lwf", "co_tuning"])
def test_a_trunk_alone_is_refused_where_its_classifier_is_needed(
    desk: Path, trunk: dict[str, torch.Tensor], axis: str
) -> None:
    with pytest.raises(WeightsError) as caught:
        checked(desk, axis)
    assert str(caught.value) == (
        "lwf and co_tuning need weights with the classifier that they were pretrained with, "
        "those of test_efficientnet (weights: w.safetensors) cannot give it: they hold no "
        "classifier.weight of 256 features; take delta, bss or l2_sp"
    )
    save_file(trunk, desk / "w.safetensors")
    checked(desk, axis)


@pytest.mark.parametrize("axis", ["delta", "bss"])
def test_the_others_take_a_trunk_alone(
    desk: Path, trunk: dict[str, torch.Tensor], axis: str
) -> None:
    assert trunk
    checked(desk, axis)


@pytest.mark.parametrize(("axis", "is_refused"), [("bss", True), ("lwf", True), ("delta", False)])
def test_a_head_that_is_not_one_linear_layer_is_refused_where_features_are_rows(
    desk: Path, trunk: dict[str, torch.Tensor], axis: str, is_refused: bool
) -> None:
    """ResNetV2 classifies by a convolution."""
    assert trunk
    name = "resnetv2_50"
    state = create_backbone(name, n_classes=7, image_size=32).state_dict()
    save_file(state, desk / "w.safetensors")
    if not is_refused:
        checked(desk, axis, backbone=name)
        return
    with pytest.raises(SpecError) as caught:
        checked(desk, axis, backbone=name)
    assert str(caught.value).endswith(
        f"{axis} needs a head that is one linear layer with a bias, that of {name} is not; "
        "take delta or l2_sp"
    )
