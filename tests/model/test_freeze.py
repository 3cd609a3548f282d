from __future__ import annotations

from typing import Any

import pytest
import torch
from support.model_zoo import TRAINED, build, changed, snapshot, train, wake_residuals
from support.untyped import untyped
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ablate.errors import SpecError
from ablate.model.freeze import resolve_depth
from ablate.model.network import Network
from ablate.recipe.recipe import Recipe

_RECIPE = Recipe(head_lr=0.01, lr_ratio=1.0, weight_decay=0.0)


def _middle(backbone: str, side: int, **fields: Any) -> Network:
    n_units = len(build(backbone, image_size=side).units)
    return build(backbone, image_size=side, freeze_depth=n_units // 2, **fields)


def _buffers_of(network: Network, modules: set[int]) -> set[str]:
    owners = {name for name, child in network.module.named_modules() if id(child) in modules}
    return {name for name, _ in network.module.named_buffers() if name.rpartition(".")[0] in owners}


@pytest.mark.slow
@pytest.mark.parametrize("backbone", TRAINED)
def test_what_is_frozen_is_bit_equal_after_training_and_the_rest_has_moved(backbone: str) -> None:
    network = _middle(backbone, TRAINED[backbone])
    frozen_units = network.units[: network.boundary.depth]
    frozen = {name for unit in frozen_units for name in unit.parameter_names}
    free = {
        name for unit in network.units[network.boundary.depth :] for name in unit.parameter_names
    } | set(network.head_names)
    before = snapshot(network)
    train(network, _RECIPE, n_steps=2)
    moved = changed(network, before)
    assert set(network.boundary.frozen_names) == frozen
    assert not moved & frozen
    assert moved >= free, sorted(free - moved)
    prefixes = {name.rpartition(".")[0] for name in frozen}
    frozen_buffers = {name for name in before if name.rpartition(".")[0] in prefixes} - frozen
    assert not moved & frozen_buffers
    assert (
        moved - free
        == {
            name
            for name in before
            if name.endswith(("running_mean", "running_var", "num_batches_tracked"))
        }
        - frozen_buffers
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "backbone", ["tf_efficientnet_lite0", "swin_tiny_patch4_window7_224", "test_resnet"]
)
def test_a_linear_probe_leaves_the_whole_trunk_as_it_was(backbone: str) -> None:
    network = build(backbone, image_size=TRAINED[backbone], freeze_depth="all")
    before = snapshot(network)
    train(network, _RECIPE)
    assert changed(network, before) == set(network.head_names)
    assert network.boundary.is_linear_probe


def test_parameter_free_modules_of_frozen_units_rest_and_the_heads_do_not() -> None:
    network = build("swin_tiny_patch4_window7_224", image_size=64, freeze_depth=2)
    network.train()
    modes = {
        name: child.training
        for name, child in network.module.named_modules()
        if next(child.parameters(), None) is None
    }
    assert {name: mode for name, mode in modes.items() if name.startswith("layers.0.")} == {
        name: False for name in modes if name.startswith("layers.0.")
    }
    drop_paths = [name for name in modes if "drop_path" in name]
    assert [
        name
        for name in drop_paths
        if name.startswith(("layers.2.", "layers.3.")) and not modes[name]
    ] == []
    assert len(drop_paths) >= 20
    assert modes["head.drop"]


def test_dropout_between_the_stem_and_the_blocks_goes_with_the_stem() -> None:
    network = build("test_vit", image_size=64, freeze_depth=1)
    network.train()
    assert not untyped(network.module).pos_drop.training
    assert untyped(network.module).blocks[0].training
    assert untyped(network.module).head_drop.training


@pytest.mark.slow
def test_a_frozen_trunk_in_training_mode_is_a_function() -> None:
    network = build("swin_tiny_patch4_window7_224", image_size=64, freeze_depth="all")
    network.train()
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(
        untyped(network.module).forward_features(images),
        untyped(network.module).forward_features(images),
        rtol=0,
        atol=0,
    )


def test_train_wakes_the_frozen_modules_and_hold_puts_them_back() -> None:
    network = build("test_resnet", image_size=64, freeze_depth="all")
    network.module.train()
    assert untyped(network.module).bn1.training
    network.boundary.hold()
    assert not untyped(network.module).bn1.training


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "affine_moves", "statistics_move"),
    [
        ("frozen", False, False),
        ("affine", True, False),
        ("adapt", False, True),
        ("train", True, True),
    ],
)
@pytest.mark.parametrize("freeze_depth", [0, 2])
def test_batch_norm_policy_bit_by_bit(
    policy: str, affine_moves: bool, statistics_move: bool, freeze_depth: int
) -> None:
    network = build("resnet18", image_size=64, freeze_depth=freeze_depth, batch_norm=policy)
    norms = {
        name: child
        for name, child in network.module.named_modules()
        if isinstance(child, _BatchNorm)
    }
    wake_residuals(network)
    in_frozen = ("bn1", "layer1.") if freeze_depth else ()
    free = [name for name in norms if not name.startswith(in_frozen)] if in_frozen else list(norms)
    before = snapshot(network)
    train(network, _RECIPE)
    moved = changed(network, before)
    affine = {f"{name}.{kind}" for name in free for kind in ("weight", "bias")}
    statistics = {
        f"{name}.{kind}"
        for name in free
        for kind in ("running_mean", "running_var", "num_batches_tracked")
    }
    assert len(free) == (20 if freeze_depth == 0 else 15)
    assert moved & affine == (affine if affine_moves else set())
    assert moved & statistics == (statistics if statistics_move else set())
    everything_else = (
        {name for name in before if name.rpartition(".")[0] in norms} - affine - statistics
    )
    assert not moved & everything_else
    assert {name for name in moved if "conv" in name}  # the policy is about BatchNorm alone


@pytest.mark.parametrize("policy", ["frozen", "affine"])
def test_a_dropout_inside_a_held_batch_norm_of_a_free_unit_stays_awake(policy: str) -> None:
    network = build("tf_efficientnet_lite0", image_size=64, freeze_depth=0, batch_norm=policy)
    network.train()
    assert not untyped(network.module).bn1.training
    assert untyped(network.module).bn1.act.training


@pytest.mark.parametrize(
    ("freeze_depth", "depth"), [("all", 5), (5, 5), (0, 0), (3, 3), (-1, 4), (-5, 0)]
)
def test_depth_counts_from_either_end(freeze_depth: object, depth: int) -> None:
    assert resolve_depth(freeze_depth, n_units=5, backbone="x") == depth  # type: ignore[arg-type]


@pytest.mark.parametrize("freeze_depth", [6, -6])
def test_depth_out_of_range(freeze_depth: int) -> None:
    with pytest.raises(SpecError) as caught:
        build("test_resnet", image_size=64, freeze_depth=freeze_depth)
    assert str(caught.value) == (
        f"freeze_depth must be all or an int in [-5, 5] for test_resnet, got {freeze_depth}; "
        "all is a linear probe, -1 leaves the last unit free, 0 is full fine-tuning"
    )


def test_every_buffer_of_a_resting_module_is_counted_as_resting() -> None:
    network = build("resnet18", image_size=64, freeze_depth=2)
    resting = {id(child) for child in network.boundary.resting}
    names = _buffers_of(network, resting)
    assert names == {
        name for name, _ in network.module.named_buffers() if name.startswith(("bn1.", "layer1."))
    }
    assert all(isinstance(child, nn.Module) for child in network.boundary.resting)
