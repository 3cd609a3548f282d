"""torchvision's ImageNet weights in timm's models of the same architecture.

Only where the two compute the same: a test places a random torchvision model and compares the
logits. The other families differ in more than names: the order of their tensors (VGG, RegNet,
ConvNeXt, Swin, ViT, MobileNetV3), a fused projection, or the epsilon of their BatchNorm
(EfficientNetV2).
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from timm.models import split_model_name_tag
from torch import Tensor, nn

from ablate.errors import WeightsError, first_line
from ablate.model.weights.place_file import trunk_tensors
from ablate.model.weights.tensor_values import digest_of_tensors, odd_values

_RESNETS = (
    "resnet18 resnet34 resnet50 resnet101 resnet152 "
    "resnext50_32x4d resnext101_32x8d resnext101_64x4d wide_resnet50_2 wide_resnet101_2"
)
_DENSENETS = "densenet121 densenet161 densenet169 densenet201"
BY_NAME = {name: name for name in f"{_RESNETS} {_DENSENETS}".split()}
"""timm's name -> torchvision's: tensors have the same names."""
BY_ORDER = {
    "mobilenetv2_100": "mobilenet_v2",
    "mnasnet_100": "mnasnet1_0",
    # the same architecture under both names, b0 to b4
    **{f"efficientnet_b{i}": f"efficientnet_b{i}" for i in range(5)},
}
"""timm's name -> torchvision's: tensors have other names, and the same shapes in the same order."""
_N_LISTED = 5
"""Tensors without a place that an error lists."""


def load_torchvision(
    module: nn.Module, backbone: str, *, check_reach: Callable[[str], None]
) -> tuple[str, str]:
    """Copy torchvision's default weights into the trunk of `module`.

    Returns what they are, e.g. `torchvision resnet18 IMAGENET1K_V1`, and their digest.
    `check_reach` is asked first whether the address can be reached. Raises WeightsError for an
    architecture without such weights, listing those that have them.
    """
    fetched = _fetch(backbone, check_reach=check_reach)
    place_torchvision(module, fetched.state, is_ordered=fetched.is_ordered)
    return fetched.source, digest_of_tensors(fetched.state)


def torchvision_tensors(
    module: nn.Module, backbone: str, *, check_reach: Callable[[str], None]
) -> Mapping[str, Tensor]:
    """Return torchvision's default weights, classifier and all, by the names that timm has.

    `module` is the network with torchvision's number of classes. Raises WeightsError as
    `load_torchvision` does.
    """
    fetched = _fetch(backbone, check_reach=check_reach)
    return _by_timms_names(module, fetched.state, is_ordered=fetched.is_ordered)


@dataclass(frozen=True, slots=True)
class _Fetched:
    state: Mapping[str, Tensor]
    source: str
    """E.g. `torchvision resnet18 IMAGENET1K_V1`."""
    is_ordered: bool
    """Whether names differ from timm's, and the order does not."""


def _fetch(backbone: str, *, check_reach: Callable[[str], None]) -> _Fetched:
    architecture = split_model_name_tag(backbone)[0]
    name = {**BY_NAME, **BY_ORDER}.get(architecture)
    if name is None:
        known = ", ".join(sorted({**BY_NAME, **BY_ORDER}))
        raise WeightsError(
            "weights: torchvision must be asked for an architecture that both libraries build "
            f"alike, got {backbone}; those are {known}"
        )
    # imported here: few trials ask for it
    from torchvision.models import get_model_weights

    weights = cast(Any, get_model_weights(name)).DEFAULT
    check_reach(weights.url)
    try:
        state = weights.get_state_dict(progress=False, weights_only=True)
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise WeightsError(
            f"weights of torchvision's {name} must load, they do not ({reason}); "
            "weights: PATH takes a file"
        ) from error
    return _Fetched(state, f"torchvision {name} {weights.name}", architecture in BY_ORDER)


def _by_timms_names(
    module: nn.Module, state: Mapping[str, Tensor], *, is_ordered: bool
) -> dict[str, Tensor]:
    if not is_ordered:
        return dict(state)
    # a different number of tensors is refused where the trunk is placed
    return dict(zip(module.state_dict(), state.values(), strict=False))


def place_torchvision(module: nn.Module, state: Mapping[str, Tensor], *, is_ordered: bool) -> None:
    """Copy a torchvision state dict into the trunk of `module`, by name or by order.

    Raises WeightsError unless every trunk tensor is placed.
    """
    # the whole state: an order is only an order with the classifier in it
    tensors = _by_timms_names(module, state, is_ordered=is_ordered)
    trunk = trunk_tensors(module)
    astray = []
    for name, tensor in trunk.items():
        if name not in tensors or tensors[name].shape != tensor.shape:
            astray.append(name)
    if astray or len(state) != len(module.state_dict()):
        raise WeightsError(
            "torchvision's weights must place every trunk tensor, they do not: "
            f"{', '.join(astray[:_N_LISTED])}; is it another version of torchvision?"
        )
    placed = {name: tensors[name] for name in trunk}
    odd = next(odd_values(placed, trunk), None)
    if odd is not None:
        raise WeightsError(
            f"torchvision's weights must be finite numbers; {odd}. "
            "Remove the file from torch's cache, and it is fetched again"
        )
    with torch.no_grad():
        for name, tensor in trunk.items():
            tensor.copy_(tensors[name])
