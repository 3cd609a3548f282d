"""VPT-deep: learned tokens in every adapted block of a ViT (Jia et al. 2022, arXiv 2203.12119).

What the block makes of its prompts is dropped, and the next block has its own. Prompts take part in
attention from the start, so the output does change at init; there is no weight to merge them into.
They go behind the class and register tokens of timm's `VisionTransformer` (ViT, DeiT, MAE, DINO,
CLIP); a network whose attention knows the places of its tokens (Swin's windows, EVA's rotary
embedding, relative positions) is refused.
"""

from __future__ import annotations

import re
from typing import Any, cast

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ablate.errors import SpecError
from ablate.in_order import present
from ablate.model.adapters._base import (
    Adapters,
    AdapterSite,
    Wrapped,
    first_output,
    generator_of,
    new_names,
    oversized,
    wrap,
)


class Prompted(Wrapped):
    """A block of a ViT that sees learned tokens."""

    def __init__(
        self, base_layer: nn.Module, *, n_tokens: int, n_prefix: int, width: int, dropout: float
    ) -> None:
        super().__init__(base_layer)
        # zeros until `add_prompts` draws them
        self.prompts = nn.Parameter(torch.zeros(1, n_tokens, width))
        self.n_prefix = n_prefix
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Tokens (B, N, D) -> tokens (B, N, D); the block sees N + P of them."""
        # `cat` would widen half-precision tokens to the float32 of the prompts, hence the `to`
        prompts = self.dropout(self.prompts).expand(len(tokens), -1, -1).to(tokens.dtype)
        # class and register tokens stay in front, where timm's pooling looks for them
        prefix = tokens[:, : self.n_prefix]
        patches = tokens[:, self.n_prefix :]
        seen = torch.cat([prefix, prompts, patches], dim=1)  # (B, N + P, D)
        output = first_output(self.base_layer(seen, *args, **kwargs))
        # what the block made of its prompts is dropped
        first_patch = self.n_prefix + prompts.shape[1]
        return torch.cat([output[:, : self.n_prefix], output[:, first_patch:]], dim=1)


def add_prompts(module: nn.Module, site: AdapterSite) -> Adapters:
    """Give the site's blocks learned tokens in place, drawn as the paper does.

    See `_base.AddAdapters`.
    """
    targets = _called_blocks(site)
    if not isinstance(module, VisionTransformer) or not targets:
        raise SpecError(
            f"adapter vpt must find blocks of a plain ViT in {site}, there is none; "
            "take another adapter, or a ViT or DeiT"
        )
    width = int(module.embed_dim)
    n_prefix = int(module.num_prefix_tokens)

    def prompted(base: nn.Module) -> Prompted:
        return Prompted(
            base,
            n_tokens=site.recipe.prompt_tokens,
            n_prefix=n_prefix,
            width=width,
            dropout=site.recipe.adapter_dropout,
        )

    wrapped = {}
    for name in targets:
        wrapped[name] = wrap(module, name, prompted)
    names = new_names(wrapped)
    if site.seed is not None:
        # the convolution that cuts the image into patches: (D, channels, height, width of a patch)
        _, n_channels, height, patch_width = cast(Any, module.patch_embed).proj.weight.shape
        # Xavier's bound for a layer from a patch to a token, as in the paper's code
        bound = (6 / (n_channels * height * patch_width + width)) ** 0.5
        for name in names:
            generator = generator_of(site.seed, name)
            nn.init.uniform_(module.get_parameter(name), -bound, bound, generator=generator)
    return Adapters(
        parameter_names=names,
        targets=targets,
        skipped={},
        oversized=oversized(module, targets, names),
    )


def _called_blocks(site: AdapterSite) -> tuple[str, ...]:
    """Names such as `blocks.4` around the site's parameters."""
    # patch embedding, position embedding and final norm lie in no block and get no prompts
    blocks: dict[str, None] = {}
    for name in site.owners:
        match = re.match(r"blocks\.\d+(?=\.)", name)
        if match:
            blocks[match[0]] = None
    return tuple(present(blocks, among=site.called))
