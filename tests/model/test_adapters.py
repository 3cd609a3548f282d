from __future__ import annotations

import pytest
import torch
from support.model_zoo import build, changed, images_of, predict, snapshot, train, wake_residuals
from support.untyped import untyped
from torch import nn
from torch.nn import functional as F

from ablate.errors import SpecError
from ablate.model.network import check_recipe
from ablate.recipe.recipe import Recipe

_SIDES = {
    "tf_efficientnet_lite0": 64,
    "test_resnet": 64,
    "mobilenetv3_small_050": 64,
    "test_convnext": 64,
    "test_vit": 64,
    "eva02_tiny_patch14_224": 56,
    "swin_tiny_patch4_window7_224": 64,
    "swinv2_tiny_window8_256": 64,
    "test_nfnet": 64,
    "hrnet_w18_small": 64,
    "densenet121": 64,
}


@pytest.mark.slow
@pytest.mark.parametrize("backbone", _SIDES)
def test_output_is_unchanged_at_init_and_every_adapter_learns(backbone: str) -> None:
    plain = build(backbone, image_size=_SIDES[backbone])
    adapted = build(backbone, image_size=_SIDES[backbone], lora_rank=3)
    for network in (plain, adapted):
        wake_residuals(network)
    images = images_of(plain)
    torch.testing.assert_close(predict(adapted, images), predict(plain, images), rtol=0, atol=0)

    before = snapshot(adapted)
    train(adapted, Recipe(head_lr=0.01, lr_ratio=1.0))
    moved = changed(adapted, before)
    assert moved == set(adapted.adapter_names) | set(adapted.head_names)
    assert len(adapted.adapter_names) == 2 * len(adapted.targets)


def test_depthwise_convolutions_are_left_out_and_named() -> None:
    network = build("tf_efficientnet_lite0", image_size=64, lora_rank=4)
    depthwise = {
        name
        for name, child in _plain_modules("tf_efficientnet_lite0")
        if isinstance(child, nn.Conv2d) and child.groups > 1
    }
    assert len(depthwise) == 16
    assert dict(network.skipped_targets) == dict.fromkeys(
        network.skipped_targets, "grouped convolution"
    )
    assert set(network.skipped_targets) == depthwise
    others = {
        name
        for name, child in _plain_modules("tf_efficientnet_lite0")
        if isinstance(child, nn.Conv2d) and child.groups == 1
    }
    assert set(network.targets) == others


def _plain_modules(backbone: str) -> list[tuple[str, nn.Module]]:
    return list(build(backbone, image_size=64).module.named_modules())


def test_a_layer_whose_weight_is_read_by_its_parent_is_left_out() -> None:
    facts = check_recipe(
        Recipe(backbone="beit_base_patch16_224", lora_rank=4), n_classes=5, image_size="auto"
    )
    assert dict(facts.skipped_targets) == {
        f"blocks.{i}.attn.qkv": "its parent reads the weight without calling it" for i in range(12)
    }
    assert "blocks.0.attn.proj" in facts.targets


def test_a_convolution_that_standardises_its_weight_is_left_out() -> None:
    facts = check_recipe(Recipe(backbone="test_nfnet", lora_rank=4), n_classes=5, image_size=64)
    assert facts.skipped_targets["final_conv"] == "ScaledStdConv2d rewrites its weight"


@pytest.mark.parametrize(
    ("freeze_depth", "adapter_units", "units"),
    [
        ("all", "all", ["stem", "layer1", "layer2", "layer3", "layer4"]),
        ("all", 2, ["layer3", "layer4"]),
        (-1, 2, ["layer2", "layer3"]),
        (1, 4, ["stem"]),
    ],
)
def test_adapters_sit_in_the_last_frozen_units(
    freeze_depth: object, adapter_units: object, units: list[str]
) -> None:
    network = build(
        "test_resnet",
        image_size=64,
        freeze_depth=freeze_depth,
        adapter_units=adapter_units,
        lora_rank=2,
    )
    carriers = {
        unit.name
        for unit in network.units
        if any(
            name.startswith(f"{target}.")
            for target in network.targets
            for name in unit.parameter_names
        )
    }
    assert carriers == set(units)
    assert not set(network.adapter_names) & {
        name for unit in network.units for name in unit.parameter_names
    }


def test_a_target_named_like_the_end_of_another_adapts_itself_alone() -> None:
    network = build("resnet18", image_size=64, lora_rank=2, adapter_targets=("conv1",))
    assert network.targets == ("conv1",)
    assert network.adapter_names == ("conv1.lora_A.default.weight", "conv1.lora_B.default.weight")


def test_patterns_choose_targets() -> None:
    network = build(
        "test_vit", image_size=64, lora_rank=2, adapter_targets=("*.attn.qkv", "blocks.0.mlp.*")
    )
    assert network.targets == (
        "blocks.0.attn.qkv",
        "blocks.0.mlp.fc1",
        "blocks.0.mlp.fc2",
        *(f"blocks.{i}.attn.qkv" for i in range(1, 6)),
    )
    assert network.skipped_targets == {}


def test_targets_that_match_nothing() -> None:
    with pytest.raises(SpecError) as caught:
        check_recipe(
            Recipe(
                backbone="test_vit", lora_rank=2, adapter_units=2, adapter_targets=("*.attn.query",)
            ),
            n_classes=5,
            image_size="auto",
        )
    assert str(caught.value) == (
        "adapter_targets must match a Linear or an ungrouped convolution in the frozen units "
        "blocks.4, blocks.5 of test_vit, got ['*.attn.query']; "
        "eligible there: blocks.4.attn.qkv, blocks.4.attn.proj, blocks.4.mlp.fc1, "
        "blocks.4.mlp.fc2, blocks.5.attn.qkv ..."
    )


def test_targets_that_match_only_what_cannot_be_adapted() -> None:
    with pytest.raises(SpecError) as caught:
        check_recipe(
            Recipe(
                backbone="test_nfnet", lora_rank=2, adapter_units=1, adapter_targets=("final_conv",)
            ),
            n_classes=5,
            image_size=64,
        )
    assert str(caught.value) == (
        "adapter_targets must match a Linear or an ungrouped convolution in the frozen units "
        "final_conv of test_nfnet, got ['final_conv']; "
        "nothing there is eligible; adapt more units"
    )


@pytest.mark.parametrize("freeze_depth", [0, -5])
def test_nothing_frozen_leaves_nothing_to_adapt(freeze_depth: int) -> None:
    with pytest.raises(SpecError) as caught:
        check_recipe(
            Recipe(backbone="test_resnet", lora_rank=2, freeze_depth=freeze_depth),
            n_classes=5,
            image_size=64,
        )
    assert (
        str(caught.value)
        == {
            0: (
                "a recipe must make sense, this one does not: LoRA adapts the frozen units, and "
                "freeze_depth 0 leaves none"
            ),
            -5: (
                "freeze_depth must leave a frozen unit for LoRA to adapt, got -5, which frees all "
                "5 of test_resnet"
            ),
        }[freeze_depth]
    )


def test_an_adapter_is_the_low_rank_product_scaled_by_alpha_over_rank() -> None:
    network = build(
        "test_vit",
        image_size=64,
        lora_rank=2,
        lora_alpha=6.0,
        adapter_targets=("blocks.5.mlp.fc2",),
    )
    layer = untyped(network.module, "blocks.5.mlp.fc2")
    down, up = (network.module.get_parameter(name) for name in network.adapter_names)
    nn.init.normal_(up, generator=torch.Generator().manual_seed(0))
    tokens = torch.randn(3, 7, down.shape[1])
    base = F.linear(tokens, layer.base_layer.weight, layer.base_layer.bias)
    torch.testing.assert_close(layer(tokens), base + 6.0 / 2 * (tokens @ down.T @ up.T))


def test_an_adapter_starts_the_same_whatever_else_is_adapted() -> None:
    few = build("test_vit", image_size=64, lora_rank=2, adapter_units=1)
    many = build("test_vit", image_size=64, lora_rank=2)
    other_seed = build("test_vit", image_size=64, lora_rank=2, adapter_units=1, seed=1)
    name = few.adapter_names[0]
    assert torch.equal(few.module.get_parameter(name), many.module.get_parameter(name))
    assert not torch.equal(few.module.get_parameter(name), other_seed.module.get_parameter(name))


def test_dropout_of_adapters_stays_awake_inside_frozen_units() -> None:
    network = build("test_vit", image_size=64, lora_rank=2, adapter_dropout=0.5)
    network.train()
    layer = untyped(network.module, "blocks.0.mlp.fc1")
    assert layer.lora_dropout["default"].training
    assert not layer.base_layer.training
