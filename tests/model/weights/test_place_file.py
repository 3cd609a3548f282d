"""Checkpoints in the key layout of the reference code of MoCo v2, MoCo v3, DINO and MAE.

Every trunk tensor must be placed.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from support.untyped import untyped
from timm.layers import resample_abs_pos_embed
from torch import Tensor

from ablate.errors import SpecError, WeightsError
from ablate.model.network import build_network, check_recipe
from ablate.model.weights.load import load_backbone
from ablate.recipe.recipe import Recipe

_VIT = {"backbone": "vit_tiny_patch16_224", "image_size": 224}


def _trunk(backbone: str, *, seed: int, **arguments: Any) -> dict[str, Tensor]:
    """A random model's trunk, no tensor of which is what timm starts with."""
    torch.manual_seed(seed)
    state = timm.create_model(backbone, num_classes=0, **arguments).state_dict()
    return {
        name: torch.rand_like(tensor) if tensor.is_floating_point() else tensor
        for name, tensor in state.items()
    }


def _under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def _mlp(prefix: str, *layers: int) -> dict[str, Tensor]:
    return {
        f"{prefix}.{layer}.{part}": torch.rand(4) for layer in layers for part in ("weight", "bias")
    }


def _moco_v2(trunk: dict[str, Tensor]) -> dict[str, Any]:
    other = _trunk("resnet18", seed=9)
    queue = {"module.queue": torch.rand(128, 64), "module.queue_ptr": torch.zeros(1)}
    query, key = {**trunk, **_mlp("fc", 0, 2)}, {**other, **_mlp("fc", 0, 2)}
    return {
        "epoch": 200,
        "arch": "resnet18",
        "state_dict": {
            **_under("module.encoder_k.", key),
            **_under("module.encoder_q.", query),
            **queue,
        },
        "optimizer": {},
    }


def _moco_v3(trunk: dict[str, Tensor]) -> dict[str, Any]:
    base, momentum = (
        {**trunk, **_mlp("head", 0, 3, 6)},
        {**_trunk("vit_tiny_patch16_224", seed=9), **_mlp("head", 0, 3, 6)},
    )
    state = {
        **_under("module.base_encoder.", base),
        **_under("module.momentum_encoder.", momentum),
        **_mlp("module.predictor", 0, 3),
    }
    return {"epoch": 300, "arch": "vit_base", "state_dict": state, "optimizer": {}}


def _dino(trunk: dict[str, Tensor]) -> dict[str, Any]:
    head = {
        **_mlp("head.mlp", 0, 2, 4),
        "head.last_layer.weight_g": torch.rand(8, 1),
        "head.last_layer.weight_v": torch.rand(8, 4),
    }
    student = _under(
        "module.", {**_under("backbone.", _trunk("vit_tiny_patch16_224", seed=9)), **head}
    )
    teacher = {**_under("backbone.", trunk), **head}
    return {
        "student": student,
        "teacher": teacher,
        "epoch": 100,
        "args": argparse.Namespace(arch="vit_tiny"),
        "dino_loss": {"center": torch.rand(1, 8)},
    }


def _mae(trunk: dict[str, Tensor]) -> dict[str, Any]:
    decoder = {
        **_mlp("decoder_blocks.0.mlp", 1),
        "decoder_pos_embed": torch.rand(1, 197, 8),
        "decoder_pred.weight": torch.rand(8, 8),
    }
    return {
        "model": {**trunk, "mask_token": torch.rand(1, 1, 8), **decoder},
        "epoch": 800,
        "args": argparse.Namespace(lr=1e-3),
        "scaler": {},
    }


_LAYOUTS: dict[str, tuple[Any, dict[str, Any], str, str]] = {
    "MoCo v2": (
        _moco_v2,
        {"backbone": "resnet18", "image_size": 64},
        (
            "state_dict > module.encoder_q.*; left out: module.encoder_k (124), module.queue (1), "
            "module.queue_ptr (1), module.encoder_q.fc (4)"
        ),
        "avg",
    ),
    "MoCo v3": (
        _moco_v3,
        _VIT,
        (
            "state_dict > module.base_encoder.*; left out: module.momentum_encoder (156), "
            "module.predictor (4), module.base_encoder.head (6)"
        ),
        "token",
    ),
    "DINO": (_dino, _VIT, "teacher > backbone.*; left out: head (8)", "token"),
    "MAE": (
        _mae,
        _VIT,
        "left out: mask_token (1), decoder_blocks (2), decoder_pos_embed (1), decoder_pred (1)",
        "avg",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("layout", _LAYOUTS)
def test_a_self_supervised_checkpoint_places_every_trunk_tensor(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write, asked, notes, pooling = _LAYOUTS[layout]
    trunk = _trunk(str(asked["backbone"]), seed=5)
    torch.save(write(trunk), "pretrained.pth.tar")
    recipe = Recipe(backbone=asked["backbone"], weights="pretrained.pth.tar")
    network = build_network(recipe, n_classes=3, image_size=asked["image_size"], seed=0)
    placed = network.module.state_dict()
    assert len(trunk) == len(placed) - 2
    for name, tensor in trunk.items():
        assert torch.equal(placed[name], tensor), name
    assert network.weights.source == f"file pretrained.pth.tar ({notes})"
    assert network.pooling == pooling


def test_position_embeddings_are_resized_to_the_image(tmp_path: Path) -> None:
    trunk = _trunk("vit_tiny_patch16_224", seed=5)
    torch.save(_dino(trunk), tmp_path / "dino.pth")
    loaded = load_backbone(
        "vit_tiny_patch16_224", str(tmp_path / "dino.pth"), n_classes=3, image_size=96
    )
    expected = resample_abs_pos_embed(trunk["pos_embed"], new_size=[6, 6], num_prefix_tokens=1)
    torch.testing.assert_close(loaded.module.state_dict()["pos_embed"], expected)
    assert "pos_embed resized from [1, 197, 192]" in loaded.source


@pytest.mark.slow
def test_dinov2_with_its_own_names(tmp_path: Path) -> None:
    trunk = _trunk("vit_small_patch14_dinov2", seed=5, img_size=56)
    torch.save({**trunk, "mask_token": torch.rand(1, 384)}, tmp_path / "dinov2.pth")
    placed = load_backbone(
        "vit_small_patch14_dinov2", str(tmp_path / "dinov2.pth"), n_classes=3, image_size=56
    ).module.state_dict()
    assert all(torch.equal(placed[name], tensor) for name, tensor in trunk.items())


def test_an_open_clip_image_tower(tmp_path: Path) -> None:
    trunk = _trunk("vit_tiny_patch16_224", seed=5)
    text = {"token_embedding.weight": torch.rand(3, 4), "logit_scale": torch.rand(1)}
    torch.save(
        {"state_dict": _under("module.", {**_under("visual.trunk.", trunk), **text})},
        tmp_path / "clip.pt",
    )
    loaded = load_backbone(
        "vit_tiny_patch16_224", str(tmp_path / "clip.pt"), n_classes=3, image_size="auto"
    )
    assert all(
        torch.equal(loaded.module.state_dict()[name], tensor) for name, tensor in trunk.items()
    )
    assert (
        loaded.source
        == "file clip.pt (state_dict > module.visual.trunk.*; left out: module.token_embedding "
        "(1), module.logit_scale (1))"
    )


def test_a_trunk_tensor_that_is_missing_is_named(tmp_path: Path) -> None:
    trunk = _trunk("vit_tiny_patch16_224", seed=5)
    del trunk["blocks.3.attn.qkv.bias"]
    trunk["blocks.3.attn.stranger"] = torch.rand(1)
    torch.save(_moco_v3(trunk), tmp_path / "short.pth")
    with pytest.raises(WeightsError) as caught:
        load_backbone(
            "vit_tiny_patch16_224", str(tmp_path / "short.pth"), n_classes=3, image_size=224
        )
    assert str(caught.value) == (
        "weights short.pth must fit the trunk of vit_tiny_patch16_224; missing: "
        "blocks.3.attn.qkv.bias; unexpected: blocks.3.attn.stranger. "
        "Is it another backbone, or another image_size?"
    )


@pytest.mark.slow
def test_moco_v3_small_has_other_heads_than_timms(tmp_path: Path) -> None:
    torch.save(
        {"state_dict": _under("module.base_encoder.", _trunk("vit_small_patch16_224", seed=5))},
        tmp_path / "small.pth",
    )
    with pytest.raises(WeightsError) as caught:
        load_backbone(
            "vit_small_patch16_224", str(tmp_path / "small.pth"), n_classes=3, image_size=224
        )
    assert str(caught.value) == (
        "weights small.pth must be for a network with as many attention heads: MoCo v3's ViT-S has "
        "12, timm's has 6, so that its tensors fit and "
        "compute something else; take MoCo v3's ViT-B or ResNet-50"
    )


@pytest.mark.slow
def test_pooling_is_what_the_recipe_says() -> None:
    pooled = {}
    for pooling in ("auto", "token", "avg", "max", "avgmax"):
        network = build_network(
            Recipe(backbone="test_vit", weights="none", pooling=pooling),
            n_classes=3,
            image_size=64,
            seed=0,
        )
        module = untyped(network.module.eval())
        tokens = module.forward_features(
            torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        )
        pooled[pooling] = module.forward_head(tokens, pre_logits=True)
        patches = tokens[:, 1:]
        expected = {
            "token": tokens[:, 0],
            "avg": patches.mean(1),
            "max": patches.amax(1),
            "avgmax": (patches.mean(1) + patches.amax(1)) / 2,
        }
        torch.testing.assert_close(pooled[pooling], expected[network.pooling])
    assert torch.equal(pooled["auto"], pooled["token"])
    cnn = build_network(
        Recipe(backbone="test_resnet", weights="none", pooling="max"),
        n_classes=3,
        image_size=64,
        seed=0,
    )
    module = untyped(cnn.module.eval())
    features = module.forward_features(torch.rand(2, 3, 64, 64))
    torch.testing.assert_close(
        module.forward_head(features, pre_logits=True), features.amax((2, 3))
    )


@pytest.mark.parametrize(
    ("backbone", "pooling", "message"),
    [
        (
            "test_resnet",
            "token",
            (
                "pooling must be one that test_resnet has, got token (it has no class token); "
                "auto is avg"
            ),
        ),
        (
            "deit_tiny_distilled_patch16_224",
            "avg",
            "pooling must be one that deit_tiny_distilled_patch16_224 has, got avg (The distilled "
            "head reads the class and distillation tokens.); "
            "auto is token",
        ),
    ],
)
def test_a_pooling_that_the_backbone_does_not_have(
    backbone: str, pooling: str, message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        check_recipe(Recipe(backbone=backbone, pooling=pooling), n_classes=3, image_size=64)
    assert message in str(caught.value)
