"""What kind of network a backbone is, read off its modules: for reports that set convolutions against attention."""

from __future__ import annotations

from typing import Literal

from torch import nn

Family = Literal["CNN", "ViT", "hybrid", "MLP"]


def family_of(module: nn.Module) -> Family:
    """Return "CNN" for overlapping convolutions alone, "ViT" for attention alone (Swin too), "hybrid" for both, "MLP" for neither.

    A patch embedding, a convolution whose steps do not overlap, does not make a network a CNN. Attention is a module with heads; squeeze-and-excite has none.
    """
    has_attention = any(hasattr(one, "num_heads") for one in module.modules())
    has_convolution = any(
        isinstance(one, nn.Conv2d)
        and any(k > s for k, s in zip(one.kernel_size, one.stride, strict=True))
        for one in module.modules()
    )
    if has_attention:
        return "hybrid" if has_convolution else "ViT"
    return "CNN" if has_convolution else "MLP"
