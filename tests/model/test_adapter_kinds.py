"""What every kind of adapter must do, and what each does by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.model_zoo import build, changed, images_of, predict, snapshot, train, wake_residuals
from support.untyped import untyped
from torch.nn import functional as F

from ablate.errors import SpecError
from ablate.model.delta import delta, load_delta
from ablate.model.merge import NOT_MERGEABLE, merge_adapters
from ablate.model.network import Network, check_recipe
from ablate.model.param_groups import param_groups
from ablate.recipe.canonical import canonical, contradiction
from ablate.recipe.recipe import Recipe

_VIT, _SWIN, _CNN, _CONVNEXT = (
    ("test_vit", 64),
    ("swin_tiny_patch4_window7_224", 64),
    ("tf_efficientnet_lite0", 64),
    ("convnext_atto", 64),
)
_BUILT = [
    *(
        (*backbone, kind)
        for kind in ("dora", "ia3", "ssf", "bitfit", "norm_tuning")
        for backbone in (_VIT, _CNN)
    ),
    *(
        (*backbone, kind)
        for kind in ("bottleneck", "adaptformer")
        for backbone in (_VIT, _SWIN, _CONVNEXT)
    ),
    (*_VIT, "vpt"),
]
_FIELDS = {"lora_rank": 3, "bottleneck_width": 8, "prompt_tokens": 4}


def _network(backbone: str, side: int, kind: str, **fields: Any) -> Network:
    return build(backbone, image_size=side, adapter=kind, **{**_FIELDS, **fields})


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "side", "kind"), _BUILT)
def test_an_adapter_starts_as_nothing_learns_alone_and_comes_back(
    backbone: str, side: int, kind: str, tmp_path: Path
) -> None:
    plain, adapted = build(backbone, image_size=side), _network(backbone, side, kind)
    images = images_of(plain)
    start, unadapted = predict(adapted, images), predict(plain, images)
    assert torch.equal(start, unadapted) == (kind != "vpt")
    before = snapshot(adapted)
    train(adapted, Recipe(head_lr=0.01, lr_ratio=1.0), n_steps=3)
    moved = changed(adapted, before)
    assert moved <= set(adapted.adapter_names) | set(adapted.head_names)
    assert len(moved & set(adapted.adapter_names)) > 0.7 * len(
        adapted.adapter_names
    )  # random residual branches start at 0 here and there

    save_file(delta(adapted), tmp_path / "delta.safetensors")
    fresh = _network(backbone, side, kind)
    load_delta(fresh, load_file(tmp_path / "delta.safetensors"))
    assert torch.equal(predict(fresh, images), predict(adapted, images))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "side", "kind"),
    [
        (*backbone, kind)
        for kind in ("lora", "dora", "ia3", "ssf")
        for backbone in (_VIT, _CNN, _SWIN)
    ],
)
def test_merged_equals_unmerged(backbone: str, side: int, kind: str) -> None:
    network = _network(backbone, side, kind)
    wake_residuals(network)
    train(network, Recipe(head_lr=0.01, lr_ratio=1.0), n_steps=3)
    images = images_of(network)
    whole = predict(network, images)
    plain = build(backbone, image_size=side)
    wake_residuals(plain)
    load_head = {name: network.module.get_parameter(name) for name in network.head_names}
    plain.module.load_state_dict(load_head, strict=False)
    assert (whole - predict(plain, images)).abs().max() > 1e-3, (
        "the adapters must do something, else merging shows nothing"
    )
    difference = merge_adapters(network, images)
    assert difference <= 1e-5
    assert (predict(network, images) - whole).abs().max() == difference
    names = {name for name, _ in network.module.named_parameters()}
    assert names - {name for name, _ in plain.module.named_parameters()} <= {
        name for name in names if kind == "ssf" and name.endswith("bias")
    }


def test_what_cannot_be_merged_is_named_with_its_reason() -> None:
    assert set(NOT_MERGEABLE) == {"bottleneck", "adaptformer", "vpt"}


def test_ssf_scales_and_shifts_by_channel() -> None:
    network = _network(*_CNN, "ssf", adapter_targets=("conv_stem",))
    layer = untyped(network.module, "conv_stem")
    torch.nn.init.normal_(layer.scale)
    torch.nn.init.normal_(layer.shift)
    images = images_of(network)
    torch.testing.assert_close(
        layer(images),
        layer.base_layer(images) * layer.scale[None, :, None, None]
        + layer.shift[None, :, None, None],
    )


def test_ia3_scales_what_comes_out_of_qkv_and_what_goes_into_fc2() -> None:
    network = _network(*_VIT, "ia3", adapter_units=1)
    assert network.targets == ("blocks.5.attn.qkv", "blocks.5.mlp.fc2")
    qkv, fc2 = (untyped(network.module, name) for name in network.targets)
    tokens, hidden = (
        torch.randn(2, 5, qkv.base_layer.in_features),
        torch.randn(2, 5, fc2.base_layer.in_features),
    )
    for layer in (qkv, fc2):
        torch.nn.init.normal_(layer.ia3_l["default"])
    torch.testing.assert_close(
        qkv(tokens),
        F.linear(tokens, qkv.base_layer.weight, qkv.base_layer.bias)
        * qkv.ia3_l["default"].flatten(),
    )
    torch.testing.assert_close(
        fc2(hidden),
        F.linear(
            hidden * fc2.ia3_l["default"].flatten(), fc2.base_layer.weight, fc2.base_layer.bias
        ),
    )


def test_dora_gives_each_filter_the_learned_length() -> None:
    network = _network(*_VIT, "dora", adapter_targets=("blocks.5.mlp.fc2",))
    layer = untyped(network.module, "blocks.5.mlp.fc2")
    down, up, length = (network.module.get_parameter(name) for name in network.adapter_names)
    torch.nn.init.normal_(up)
    torch.nn.init.uniform_(length, 0.5, 2.0)
    weight = layer.base_layer.weight + up @ down
    weight = length[:, None] * weight / weight.norm(dim=1, keepdim=True)
    tokens = torch.randn(3, 7, down.shape[1])
    torch.testing.assert_close(
        layer(tokens), F.linear(tokens, weight, layer.base_layer.bias), rtol=1e-4, atol=1e-5
    )


def test_dora_refuses_a_filter_of_length_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    from ablate.model import kept_backbone

    honest = kept_backbone.load_backbone

    def with_a_dead_filter(*args: Any, **kwargs: Any) -> object:
        loaded = honest(*args, **kwargs)
        torch.nn.init.zeros_(untyped(loaded.module, "conv_stem").weight[3])
        return loaded

    kept_backbone._kept.clear()
    monkeypatch.setattr(kept_backbone, "load_backbone", with_a_dead_filter)
    with pytest.raises(SpecError) as caught, torch.no_grad():
        _network(*_CNN, "dora")
    assert (
        str(caught.value)
        == "dora divides by the length of each filter, and some are zero in conv_stem of "
        "tf_efficientnet_lite0; name others in adapter_targets"
    )
    kept_backbone._kept.clear()


@pytest.mark.slow
def test_dora_with_dropout_leaves_out_what_peft_would_pad_wrongly() -> None:
    skipped = check_recipe(
        Recipe(backbone="tf_efficientnet_lite0", adapter="dora", lora_rank=2, adapter_dropout=0.1),
        n_classes=5,
        image_size=64,
    ).skipped_targets
    assert skipped["conv_stem"] == "peft's DoRA with dropout forgets its padding"


def test_bottlenecks_compute_what_their_papers_say() -> None:
    serial, parallel = (
        _network(*_VIT, kind, adapter_units=1) for kind in ("bottleneck", "adaptformer")
    )
    assert serial.targets == ("blocks.5.attn", "blocks.5.mlp")
    assert parallel.targets == ("blocks.5.mlp",)
    for network, act in ((serial, F.gelu), (parallel, F.relu)):
        layer = untyped(network.module, "blocks.5.mlp").eval()
        torch.nn.init.normal_(layer.up.weight)
        tokens = torch.randn(2, 5, layer.down.in_features)
        base = layer.base_layer(tokens)
        expected = base + (
            layer.up(act(layer.down(base)))
            if network is serial
            else 0.1 * layer.up(act(layer.down(tokens)))
        )
        torch.testing.assert_close(layer(tokens), expected)
        assert layer.down.out_features == 8


def test_prompts_sit_behind_the_class_token_and_leave_with_the_block() -> None:
    network = _network(*_VIT, "vpt", adapter_units=1)
    block = untyped(network.module, "blocks.5").eval()
    width = untyped(network.module).embed_dim
    assert network.adapter_names == ("blocks.5.prompts",)
    assert block.prompts.shape == (1, 4, width)
    assert 0 < block.prompts.abs().max() <= (6 / (3 * 16 * 16 + width)) ** 0.5
    tokens = torch.randn(2, 17, width)
    seen = torch.cat([tokens[:, :1], block.prompts.expand(2, -1, -1), tokens[:, 1:]], dim=1)
    out = block.base_layer(seen)
    torch.testing.assert_close(block(tokens), torch.cat([out[:, :1], out[:, 5:]], dim=1))


def test_bitfit_and_norm_tuning_take_what_is_there() -> None:
    biases, norms = (_network(*_VIT, kind, adapter_units=1) for kind in ("bitfit", "norm_tuning"))
    assert set(biases.adapter_names) == {
        f"blocks.5.{name}.bias"
        for name in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
    } | {"norm.bias"}
    assert set(norms.adapter_names) == {
        f"{name}.{part}"
        for name in ("blocks.5.norm1", "blocks.5.norm2", "norm")
        for part in ("weight", "bias")
    }
    trainable = {
        name for name, parameter in norms.module.named_parameters() if parameter.requires_grad
    }
    assert trainable == set(norms.adapter_names) | set(norms.head_names)


def test_scales_have_no_weight_decay() -> None:
    for kind in ("ia3", "dora", "ssf"):
        network = _network(*_CNN, kind)
        names = {id(parameter): name for name, parameter in network.module.named_parameters()}
        decayed = {
            names[id(p)]
            for group in param_groups(network, Recipe())
            if group["weight_decay"]
            for p in group["params"]
        }
        assert not {
            name
            for name in decayed
            if "ia3_l" in name or "magnitude" in name or name.endswith("scale")
        }
        assert ("conv_stem.lora_A.default.weight" in decayed) == (kind == "dora")


def test_an_adapter_larger_than_its_layer_is_told_of() -> None:
    facts = check_recipe(
        Recipe(backbone="test_vit", lora_rank=64, adapter_targets=("blocks.0.attn.proj",)),
        n_classes=5,
        image_size=64,
    )
    assert dict(facts.oversized) == {"blocks.0.attn.proj": "8,192 parameters around 4,160"}
    assert not check_recipe(
        Recipe(backbone="test_vit", lora_rank=4), n_classes=5, image_size=64
    ).oversized


@pytest.mark.parametrize(
    ("kind", "backbone", "message"),
    [
        (
            "vpt",
            "resnet18",
            "adapter vpt must find blocks of a plain ViT in the frozen units stem, layer1, layer2, "
            "layer3, layer4 of resnet18, there is none; "
            "take another adapter, or a ViT or DeiT",
        ),
        (
            "bottleneck",
            "resnet18",
            "adapter bottleneck must find attention (attn.proj) or an MLP (mlp.fc2) in the frozen "
            "units stem, layer1, layer2, layer3, layer4 of resnet18, "
            "there is none; take lora, dora, ia3, ssf or norm_tuning, or a ViT, DeiT, Swin or "
            "ConvNeXt",
        ),
        (
            "adaptformer",
            "resnet18",
            "adapter adaptformer must find an MLP (mlp.fc1, mlp.fc2) in the frozen units stem, "
            "layer1, layer2, layer3, layer4 of resnet18, "
            "there is none; take lora, dora, ia3, ssf or norm_tuning, or a ViT, DeiT, Swin or "
            "ConvNeXt",
        ),
    ],
)
def test_an_adapter_without_a_place_is_refused(kind: str, backbone: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        check_recipe(Recipe(backbone=backbone, adapter=kind), n_classes=5, image_size=64)
    assert str(caught.value) == message


def test_norms_that_are_not_there_cannot_be_tuned() -> None:
    with pytest.raises(SpecError) as caught:
        check_recipe(
            Recipe(backbone="test_nfnet", adapter="norm_tuning"), n_classes=5, image_size=64
        )
    assert str(caught.value).startswith(
        "adapter norm_tuning must find a norm that learns in the frozen units stem, "
    )


def test_equal_recipes_are_equal_whatever_says_so() -> None:
    off = canonical(Recipe())
    assert (
        canonical(Recipe(adapter="none", lora_rank=8)) == canonical(Recipe(adapter="auto")) == off
    )
    assert canonical(Recipe(adapter="lora", lora_rank=8)) == canonical(Recipe(lora_rank=8)) != off
    assert canonical(Recipe(adapter="ssf", lora_rank=8, bottleneck_width=3)) == canonical(
        Recipe(adapter="ssf")
    )
    assert canonical(Recipe(adapter="bottleneck", bottleneck_width=3)) != canonical(
        Recipe(adapter="bottleneck")
    )
    assert "lr_ratio" in canonical(Recipe(adapter="bitfit"))
    assert (
        not {"adapter", "pooling", "bottleneck_width", "prompt_tokens"}
        & canonical(Recipe(lora_rank=8)).keys()
    )


def test_contradictions_of_adapters() -> None:
    assert contradiction(Recipe(adapter="dora")) == "lora and dora need a lora_rank of at least 1"
    assert (
        contradiction(Recipe(adapter="ssf", freeze_depth=0))
        == "an adapter adapts the frozen units, and freeze_depth 0 leaves none"
    )
    assert contradiction(Recipe(adapter="none", lora_rank=8, freeze_depth=0)) is None
