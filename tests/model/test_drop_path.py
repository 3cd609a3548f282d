"""Stochastic depth and dropout before the head.

They draw where they should, as often as asked, and nowhere else.
"""

from __future__ import annotations

import pytest
import torch
from support.model_zoo import TRAINED, build, images_of, wake_residuals
from timm.layers import DropPath
from torch import Tensor, nn

from ablate.errors import SpecError
from ablate.model.backbone import classifier_names, run_order
from ablate.model.network import Network, check_recipe
from ablate.recipe.canonical import canonical
from ablate.recipe.recipe import Recipe

REFUSED = ("densenet121", "vgg11", "hrnet_w18_small")
"""timm's classes of these take no rate."""
NO_SHORTCUT = "test_efficientnet"
FLAT = "levit_128s"
"""One rate for all blocks."""


def seen_by_head(network: Network, images: Tensor) -> Tensor:
    seen: list[Tensor] = []
    for name in classifier_names(network.module):
        network.module.get_submodule(name).register_forward_pre_hook(
            lambda _head, inputs: seen.append(inputs[0].detach())
        )
    network.module(images)
    return torch.cat(seen)


@pytest.mark.slow
@pytest.mark.parametrize(
    "backbone", [name for name in TRAINED if name not in (*REFUSED, NO_SHORTCUT, FLAT)]
)
def test_rates_rise_with_depth_to_the_one_asked_for(backbone: str) -> None:
    network = build(backbone, image_size=TRAINED[backbone], freeze_depth=0, drop_path=0.4)
    rates = [child.drop_prob for child in network.module.modules() if isinstance(child, DropPath)]
    assert rates == sorted(rates)
    assert 0 < rates[0] < rates[-1] <= 0.4 + 1e-6
    assert rates[-1] > 0.4 * (1 - 1 / len(rates)) - 1e-6  # EfficientNets count a last block more


@pytest.mark.slow
@pytest.mark.parametrize(
    "backbone",
    [
        "test_resnet",
        "tf_efficientnet_lite0",
        "test_convnext",
        "test_vit",
        "swin_tiny_patch4_window7_224",
    ],
)
def test_branches_are_left_out_as_often_as_asked_and_only_in_training(backbone: str) -> None:
    network = build(backbone, image_size=TRAINED[backbone], freeze_depth=0, drop_path=0.5)
    wake_residuals(network)
    run = run_order(backbone, TRAINED[backbone], drop_path=0.5)
    path = [
        child
        for name, child in network.module.named_modules()
        if isinstance(child, DropPath) and name in run
    ][-1]
    outputs: list[Tensor] = []
    path.register_forward_hook(
        lambda _path, inputs, output: outputs.append(
            (output / inputs[0]).flatten(1).nanmean(1).detach()
        )
    )
    network.train()
    torch.manual_seed(0)
    with torch.no_grad():
        for _ in range(20):
            network.module(images_of(network, n=16))
    kept = torch.cat(outputs)
    assert set((kept * (1 - path.drop_prob)).round(decimals=3).tolist()) == {
        0.0,
        1.0,
    }  # whole branches of whole images, the mean as before
    assert float((kept == 0).float().mean()) == pytest.approx(path.drop_prob, abs=0.1)
    network.module.eval()
    with torch.no_grad():
        assert torch.equal(network.module(images_of(network)), network.module(images_of(network)))


def test_frozen_units_keep_all_their_branches() -> None:
    network = build("test_resnet", image_size=64, freeze_depth=3, drop_path=0.9)
    network.train()
    paths = {
        name: child.training
        for name, child in network.module.named_modules()
        if isinstance(child, DropPath)
    }
    assert {name[:6] for name, draws in paths.items() if draws} == {"layer3", "layer4"}
    assert {name[:6] for name, draws in paths.items() if not draws} == {
        "layer2"
    }  # layer1 has the rate 0


@pytest.mark.slow
@pytest.mark.parametrize("backbone", TRAINED)
@pytest.mark.parametrize("freeze_depth", ["all", 0])
def test_the_head_sees_a_share_of_its_features_only_in_training(
    backbone: str, freeze_depth: object
) -> None:
    plain = build(
        backbone, image_size=TRAINED[backbone], freeze_depth=freeze_depth, batch_norm="frozen"
    )
    network = build(
        backbone,
        image_size=TRAINED[backbone],
        freeze_depth=freeze_depth,
        batch_norm="frozen",
        dropout=0.25,
    )
    images = images_of(network, n=8)
    with torch.no_grad():
        whole = seen_by_head(plain, images) if not _draws(plain) else None
        dropped = seen_by_head(network, images)
        again = seen_by_head(network, images)
        network.module.eval()
        plain.module.eval()
        assert torch.equal(network.module(images), plain.module(images))
    assert float((dropped == 0).float().mean()) == pytest.approx(
        0.25, abs=0.1 + float((whole == 0).float().mean() if whole is not None else 0)
    )
    assert not torch.equal(dropped, again[: len(dropped)])
    if whole is not None:
        torch.testing.assert_close(dropped, torch.where(dropped == 0, 0.0, whole / 0.75))


def _draws(network: Network) -> bool:
    """Whether the backbone drops something of its own."""
    return any(
        child.training
        and ((isinstance(child, nn.Dropout) and child.p > 0) or isinstance(child, DropPath))
        for child in network.module.modules()
    )


def test_a_recipe_without_them_builds_what_it_did() -> None:
    modules = [
        name
        for name, _ in build("test_resnet", image_size=64, freeze_depth=0).module.named_modules()
    ]
    assert [name for name in modules if "drop_path" in name] == []


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["test_resnet", *REFUSED])
def test_a_probe_is_the_same_with_and_without(backbone: str) -> None:
    recipe = Recipe(backbone=backbone, freeze_depth="all", drop_path=0.2)
    assert check_recipe(recipe, n_classes=5, image_size=224) == check_recipe(
        recipe.model_copy(update={"drop_path": 0.0}), n_classes=5, image_size=224
    )
    assert canonical(recipe) == canonical(recipe.model_copy(update={"drop_path": 0.0}))


@pytest.mark.parametrize("backbone", REFUSED)
def test_a_backbone_without_branches_is_refused(backbone: str) -> None:
    recipe = Recipe(backbone=backbone, freeze_depth=0, drop_path=0.2)
    with pytest.raises(SpecError) as caught:
        check_recipe(recipe, n_classes=5, image_size=224)
    assert (
        str(caught.value)
        == f"drop_path must be 0 for {backbone}, which has no residual branches that timm can "
        "leave out; got 0.2"
    )


def test_a_last_unit_without_branches_is_refused() -> None:
    recipe = Recipe(
        backbone="tf_efficientnet_lite0", freeze_depth=-2, drop_path=0.2
    )  # blocks.6, which has no shortcut, and conv_head
    with pytest.raises(SpecError) as caught:
        check_recipe(recipe, n_classes=5, image_size=64)
    assert str(caught.value) == (
        "drop_path must find a residual branch in the free units of tf_efficientnet_lite0, and at "
        "freeze_depth -2 there is none; "
        "free more units, or leave the combination out"
    )
    with pytest.raises(SpecError, match="at freeze_depth 0 there is none"):
        check_recipe(
            recipe.model_copy(update={"freeze_depth": 0, "backbone": NO_SHORTCUT}),
            n_classes=5,
            image_size=64,
        )
    check_recipe(recipe.model_copy(update={"freeze_depth": -3}), n_classes=5, image_size=64)
