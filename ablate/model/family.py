"""What kind of network a backbone is, for reports that set convolutions against attention."""

from __future__ import annotations

from typing import Literal

from torch import nn

Family = Literal["CNN", "ViT", "hybrid", "MLP"]


def family_of(module: nn.Module) -> Family:
    """Return what the modules of a network say of its kind.

    "CNN" for overlapping convolutions alone, "ViT" for attention alone (Swin too), "hybrid" for
    both, "MLP" for neither. A patch embedding, a convolution whose steps do not overlap, does not
    make a network a CNN.
    """
    # squeeze-and-excite is called attention too, but has no heads
    has_attention = any(hasattr(child, "num_heads") for child in module.modules())
    has_convolution = any(map(_overlaps, module.modules()))
    if has_attention and has_convolution:
        return "hybrid"
    if has_attention:
        return "ViT"
    return "CNN" if has_convolution else "MLP"


def _overlaps(module: nn.Module) -> bool:
    """Whether a module is a convolution whose kernel is larger than its step."""
    if not isinstance(module, nn.Conv2d):
        return False
    sides = zip(module.kernel_size, module.stride, strict=True)
    return any(kernel > stride for kernel, stride in sides)
