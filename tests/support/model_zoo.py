"""Architectures and helpers that the tests of `ablate/model` share.

Random weights, small images.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ablate.model.network import Network, build_network
from ablate.model.param_groups import param_groups
from ablate.recipe.recipe import Recipe

TRAINED = {  # backbone -> image side: trained for two real steps
    "resnet18": 64,
    "test_resnet": 64,
    "resnet26d": 64,
    "regnetx_002": 64,
    "test_byobnet": 64,
    "tf_efficientnet_lite0": 64,
    "test_efficientnet": 64,
    "efficientnet_b0": 64,
    "mobilenetv2_050": 64,
    "mobilenetv3_small_050": 64,
    "mobilenetv4_conv_small": 64,
    "test_convnext": 64,
    "convnext_atto": 64,
    "convnextv2_atto": 64,
    "test_vit": 64,
    "test_vit4": 64,
    "vit_tiny_patch16_224": 64,
    "deit_tiny_patch16_224": 64,
    "deit_tiny_distilled_patch16_224": 64,
    "eva02_tiny_patch14_224": 56,
    "swin_tiny_patch4_window7_224": 64,
    "test_nfnet": 64,
    "densenet121": 64,
    "levit_128s": 224,
}
IN_ORDER = {  # only taken apart, on the meta device
    **TRAINED,
    "beit_base_patch16_224": 224,
    "beitv2_base_patch16_224": 224,
    "deit3_small_patch16_224": 224,
    "vit_base_patch16_clip_224": 224,
    "eva02_small_patch14_224": 224,
    "swinv2_tiny_window8_256": 256,
    "swin_s3_tiny_224": 224,
    "resnet50": 224,
    "resnetv2_50": 224,
    "seresnext26d_32x4d": 224,
    "wide_resnet50_2": 224,
    "tf_efficientnetv2_b0": 224,
    "tf_mobilenetv3_large_100": 224,
    "mnasnet_small": 224,
    "ghostnet_100": 224,
    "vgg11": 224,
    "inception_v3": 299,
    "maxvit_tiny_tf_224": 224,
    "mixer_s32_224": 224,
    "hrnet_w18_small": 224,
    "fastvit_t8": 256,
    "efficientformer_l1": 224,
    "convnext_tiny": 224,
}


def build(
    backbone: str, *, image_size: int, seed: int = 0, n_classes: int = 5, **fields: Any
) -> Network:
    """A network with random weights."""
    return build_network(
        Recipe(backbone=backbone, weights="none", **fields),
        n_classes=n_classes,
        image_size=image_size,
        seed=seed,
    )


def images_of(network: Network, *, n: int = 4, seed: int = 1) -> Tensor:
    side = network.preprocessing.image_size
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(seed))


def train(network: Network, recipe: Recipe, *, n_steps: int = 2) -> None:
    """Real steps through the recipe's parameter groups.

    Adam moves a tensor by about its LR however small the gradient, as behind a LayerScale of 1e-6.
    """
    optimizer = torch.optim.AdamW(param_groups(network, recipe), eps=1e-15)
    labels = torch.arange(4) % 5
    for step in range(n_steps):
        network.train()
        optimizer.zero_grad()
        F.cross_entropy(network.module(images_of(network, seed=step)), labels).backward()
        optimizer.step()


def snapshot(network: Network) -> dict[str, Tensor]:
    """Bit-exact copies of all parameters and buffers by name, non-persistent buffers included."""
    return {
        name: tensor.detach().clone()
        for name, tensor in [*network.module.named_parameters(), *network.module.named_buffers()]
    }


def changed(network: Network, before: dict[str, Tensor]) -> set[str]:
    return {
        name for name, tensor in snapshot(network).items() if not torch.equal(tensor, before[name])
    }


def predict(network: Network, images: Tensor) -> Tensor:
    network.module.eval()
    with torch.no_grad():
        logits: Tensor = network.module(images)
    return logits


def wake_residuals(network: Network) -> None:
    """Set the scales that random networks start at 0 to 0.5: a frozen 0 at the end of a residual
    branch would stop every gradient into it.
    """
    with torch.no_grad():
        for name, parameter in network.module.named_parameters():
            if (
                name not in network.adapter_names
                and not name.endswith("bias")
                and not parameter.any()
            ):
                parameter.fill_(0.5)
