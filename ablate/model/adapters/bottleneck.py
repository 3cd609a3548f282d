"""Bottleneck adapters: a narrow MLP of their own beside what is frozen.

`bottleneck` (Houlsby et al. 2019, arXiv 1902.00751): behind attention and behind the MLP of each
block, y + up(gelu(down(y))). `adaptformer` (Chen et al. 2022, arXiv 2205.13535): beside the MLP,
mlp(x) + 0.1 * up(relu(down(x))). Both start with up = 0, so the network's output is unchanged until
they learn. They take modules named `attn` that end in a Linear `proj`, and modules named `mlp` that
end in a Linear or 1x1 convolution `fc2`: those of ViT, DeiT, Swin, ConvNeXt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, cast

from torch import Tensor, nn
from torch.nn import functional as F

from ablate.errors import SpecError
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

PARALLEL_SCALE = 0.1
"""AdaptFormer's s, as published."""
_LAST = {"attn": "proj", "mlp": "fc2"}
"""Name of a module that is adapted -> its last layer, whose outputs are the module's."""
_FIRST = {"mlp": "fc1"}
"""Likewise, its first layer."""


class Serial(Wrapped):
    """A module, then a bottleneck with a residual around it (Houlsby et al. 2019)."""

    def __init__(
        self, base_layer: nn.Module, last: nn.Module, *, width: int, dropout: float
    ) -> None:
        super().__init__(base_layer)
        n_out = _size(last, "out")
        # the last layer's outputs are the module's, and the bottleneck reads and writes those
        self.down = _layer_like(last, n_out, width)
        self.up = _layer_like(last, width, n_out)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Inputs of the module, (B, N, D) or (B, D, H, W) -> outputs of its shape."""
        # attention is called with masks besides
        output = first_output(self.base_layer(inputs, *args, **kwargs))
        narrow = F.gelu(self.down(output))  # width instead of D
        return output + cast(Tensor, self.up(self.dropout(narrow)))


class Parallel(Wrapped):
    """A module with a bottleneck beside it (AdaptFormer: Chen et al. 2022)."""

    def __init__(self, base_layer: nn.Module, *, width: int, dropout: float) -> None:
        super().__init__(base_layer)
        # both are there: `_find_targets` takes no MLP without them
        first = base_layer.get_submodule("fc1")
        last = base_layer.get_submodule("fc2")
        self.down = _layer_like(last, _size(first, "in"), width)
        self.up = _layer_like(last, width, _size(last, "out"))
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Inputs of the module, (B, N, D) or (B, D, H, W) -> outputs of its shape."""
        output = first_output(self.base_layer(inputs, *args, **kwargs))
        narrow = F.relu(self.down(inputs))  # width instead of D
        return output + PARALLEL_SCALE * cast(Tensor, self.up(self.dropout(narrow)))


def add_bottleneck(module: nn.Module, site: AdapterSite) -> Adapters:
    """Put a bottleneck behind attention and MLP of the site's blocks; see `_base.AddAdapters`."""
    recipe = site.recipe

    def serial(name: str, base: nn.Module) -> Wrapped:
        last = base.get_submodule(_LAST[_kind_of(name)])
        return Serial(base, last, width=recipe.bottleneck_width, dropout=recipe.adapter_dropout)

    return _add(module, site, kinds=("attn", "mlp"), wrapper=serial)


def add_adaptformer(module: nn.Module, site: AdapterSite) -> Adapters:
    """Put a bottleneck beside the MLP of the site's blocks in place; see `_base.AddAdapters`."""
    recipe = site.recipe

    def parallel(_name: str, base: nn.Module) -> Wrapped:
        return Parallel(base, width=recipe.bottleneck_width, dropout=recipe.adapter_dropout)

    return _add(module, site, kinds=("mlp",), wrapper=parallel)


def _add(
    module: nn.Module,
    site: AdapterSite,
    *,
    kinds: Sequence[Literal["attn", "mlp"]],
    wrapper: Callable[[str, nn.Module], Wrapped],
) -> Adapters:
    targets = _find_targets(module, site, kinds=kinds)
    wrapped = {}
    for name in targets:
        wrapped[name] = wrap(module, name, partial(wrapper, name))
    names = new_names(wrapped)
    # on the meta device there is nothing to draw
    if site.seed is not None:
        for name in names:
            _draw(module.get_parameter(name), name, site.seed)
    return Adapters(
        parameter_names=names,
        targets=targets,
        skipped={},
        oversized=oversized(module, targets, names),
    )


def _find_targets(
    module: nn.Module, site: AdapterSite, *, kinds: Sequence[Literal["attn", "mlp"]]
) -> tuple[str, ...]:
    """Called modules around the site's parameters that bear a known name and known layers."""
    # an `attn` or `mlp` has several parameters and is listed once, in the network's order
    around: dict[str, None] = {}
    for unit in site.units:
        for parameter_name in unit.parameter_names:
            for ancestor in _ancestors(parameter_name):
                around[ancestor] = None
    targets = []
    for name in around:
        # around a module that is never called an adapter would do nothing
        is_candidate = _kind_of(name) in kinds and name in site.called
        if is_candidate and _has_known_ends(module.get_submodule(name), name):
            targets.append(name)
    if not targets:
        what = "an MLP (mlp.fc1, mlp.fc2)"
        if "attn" in kinds:
            what = "attention (attn.proj) or an MLP (mlp.fc2)"
        raise SpecError(
            f"adapter {site.recipe.adapter_kind} must find {what} in {site}, there is none; "
            "take lora, dora, ia3, ssf or norm_tuning, or a ViT, DeiT, Swin or ConvNeXt"
        )
    return tuple(targets)


def _ancestors(parameter_name: str) -> list[str]:
    """The modules around a parameter, the outermost first."""
    parts = parameter_name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _kind_of(name: str) -> str:
    """The last part of a module's name: `blocks.0.attn` -> `attn`."""
    return name.rpartition(".")[2]


def _has_known_ends(module: nn.Module, name: str) -> bool:
    """Whether the module begins and ends in layers whose sizes say what goes in and comes out."""
    kind = _kind_of(name)
    ends = [_LAST[kind]]
    if kind in _FIRST:
        ends.append(_FIRST[kind])
    return all(_is_pointwise(getattr(module, end, None)) for end in ends)


def _is_pointwise(layer: object) -> bool:
    # the exact type: a subclass may pad, or rewrite its weight
    """Whether a layer maps channels to channels, each place by itself."""
    if type(layer) is nn.Conv2d:
        return layer.kernel_size == (1, 1) and layer.groups == 1
    return type(layer) is nn.Linear


def _size(layer: nn.Module, side: Literal["in", "out"]) -> int:
    word = "channels" if isinstance(layer, nn.Conv2d) else "features"
    return int(getattr(layer, f"{side}_{word}"))


def _layer_like(last: nn.Module, n_in: int, n_out: int) -> nn.Module:
    """A fresh layer that takes channels where `last` has them: second, or at the end."""
    return nn.Conv2d(n_in, n_out, 1) if isinstance(last, nn.Conv2d) else nn.Linear(n_in, n_out)


def _draw(parameter: nn.Parameter, name: str, seed: int) -> None:
    if name.endswith("down.weight"):
        # torch's own initialisation of a Linear, from a generator of its own
        nn.init.kaiming_uniform_(parameter, a=5**0.5, generator=generator_of(seed, name))
    else:
        # `up`, so that the adapter adds nothing at first, and biases
        nn.init.zeros_(parameter)
