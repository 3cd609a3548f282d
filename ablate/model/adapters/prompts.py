"""VPT-deep: learned tokens beside the image's in every adapted block of a ViT (Jia et al. 2022, arXiv 2203.12119).

What the block makes of its prompts is dropped, and the next block has its own. Prompts take part in attention from the start, so the output does change at
init; there is no weight to merge them into. They go behind the class and register tokens of timm's `VisionTransformer` (ViT, DeiT, MAE, DINO, CLIP); a network
whose attention knows the places of its tokens (Swin's windows, EVA's rotary embedding, relative positions) is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, cast

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ablate.errors import SpecError
from ablate.model.adapters._base import (
    Adapters,
    Wrapped,
    first_output,
    generator_of,
    new_names,
    oversized,
    owners_of,
    units_text,
    wrap,
)
from ablate.model.units import Unit
from ablate.recipe.recipe import Recipe


class Prompted(Wrapped):
    """A block of a ViT that sees learned tokens."""

    def __init__(
        self, base_layer: nn.Module, *, n_tokens: int, n_prefix: int, width: int, dropout: float
    ) -> None:
        super().__init__(base_layer)
        self.prompts = nn.Parameter(torch.zeros(1, n_tokens, width))
        self.n_prefix = n_prefix
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Tokens (B, N, D) -> tokens (B, N, D)."""
        prompts = self.dropout(self.prompts).expand(len(tokens), -1, -1).to(tokens.dtype)
        seen = torch.cat(
            [tokens[:, : self.n_prefix], prompts, tokens[:, self.n_prefix :]], dim=1
        )  # (B, N + P, D)
        output = first_output(self.base_layer(seen, *args, **kwargs))
        return torch.cat(
            [output[:, : self.n_prefix], output[:, self.n_prefix + prompts.shape[1] :]], dim=1
        )


def add_prompts(
    module: nn.Module,
    recipe: Recipe,
    *,
    units: Sequence[Unit],
    run_order: Sequence[str],
    seed: int | None,
) -> Adapters:
    """Give the blocks in `units` learned tokens in place, drawn as the paper does; see `_base.AddAdapters`."""
    called = frozenset(run_order)
    blocks = dict.fromkeys(
        found[0] for name in owners_of(units) if (found := re.match(r"blocks\.\d+(?=\.)", name))
    )
    targets = tuple(name for name in blocks if name in called)
    if not isinstance(module, VisionTransformer) or not targets:
        raise SpecError(
            f"adapter vpt must find blocks of a plain ViT in {units_text(recipe, units)}, there is none; take another adapter, or a ViT or DeiT"
        )
    width, n_prefix = int(module.embed_dim), int(module.num_prefix_tokens)

    def prompted(base: nn.Module) -> Prompted:
        return Prompted(
            base,
            n_tokens=recipe.prompt_tokens,
            n_prefix=n_prefix,
            width=width,
            dropout=recipe.adapter_dropout,
        )

    names = new_names({name: wrap(module, name, prompted) for name in targets})
    patch = cast(Any, module.patch_embed).proj.weight.shape
    bound = (6 / (patch[1] * patch[2] * patch[3] + width)) ** 0.5
    for name in names if seed is not None else ():
        nn.init.uniform_(
            module.get_parameter(name), -bound, bound, generator=generator_of(cast(int, seed), name)
        )
    return Adapters(
        parameter_names=names,
        targets=targets,
        skipped={},
        oversized=oversized(module, targets, names),
    )
