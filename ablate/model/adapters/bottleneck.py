"""Bottleneck adapters: a narrow MLP of their own beside what is frozen.

`bottleneck` (Houlsby et al. 2019, arXiv 1902.00751): behind attention and behind the MLP of each block, y + up(gelu(down(y))). `adaptformer` (Chen et al. 2022,
arXiv 2205.13535): beside the MLP, mlp(x) + 0.1 * up(relu(down(x))). Both start with up = 0, so the network's output is unchanged until they learn. They take
modules named `attn` that end in a Linear `proj`, and modules named `mlp` that end in a Linear or 1x1 convolution `fc2`: those of ViT, DeiT, Swin, ConvNeXt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ablate.errors import SpecError
from ablate.model.adapters._base import (
    Adapters,
    Wrapped,
    first_output,
    generator_of,
    new_names,
    oversized,
    units_text,
    wrap,
)
from ablate.model.units import Unit
from ablate.recipe.recipe import Recipe

PARALLEL_SCALE = 0.1
"""AdaptFormer's s, as published."""
_LAST = {"attn": "proj", "mlp": "fc2"}
"""Name of a module that is adapted -> its last layer, whose outputs are the module's."""
_FIRST = {"mlp": "fc1"}


class Serial(Wrapped):
    """A module, then a bottleneck with a residual around it."""

    def __init__(
        self, base_layer: nn.Module, last: nn.Module, *, width: int, dropout: float
    ) -> None:
        super().__init__(base_layer)
        n_out, is_conv = _size(last, "out"), isinstance(last, nn.Conv2d)
        self.down, self.up = (
            _layer(n_out, width, is_conv=is_conv),
            _layer(width, n_out, is_conv=is_conv),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Inputs of the module -> outputs of its shape."""
        output = first_output(self.base_layer(inputs, *args, **kwargs))
        return output + cast(Tensor, self.up(self.dropout(F.gelu(self.down(output)))))


class Parallel(Wrapped):
    """A module with a bottleneck beside it."""

    def __init__(
        self,
        base_layer: nn.Module,
        first: nn.Module,
        last: nn.Module,
        *,
        width: int,
        dropout: float,
    ) -> None:
        super().__init__(base_layer)
        is_conv = isinstance(last, nn.Conv2d)
        self.down, self.up = (
            _layer(_size(first, "in"), width, is_conv=is_conv),
            _layer(width, _size(last, "out"), is_conv=is_conv),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Inputs of the module -> outputs of its shape."""
        output = first_output(self.base_layer(inputs, *args, **kwargs))
        return output + PARALLEL_SCALE * cast(
            Tensor, self.up(self.dropout(F.relu(self.down(inputs))))
        )


def add_bottleneck(
    module: nn.Module,
    recipe: Recipe,
    *,
    units: Sequence[Unit],
    run_order: Sequence[str],
    seed: int | None,
) -> Adapters:
    """Put a bottleneck behind attention and MLP of the blocks in `units` in place; see `_base.AddAdapters`."""

    def serial(name: str, base: nn.Module) -> Wrapped:
        last = base.get_submodule(_LAST[name.rpartition(".")[2]])
        return Serial(base, last, width=recipe.bottleneck_width, dropout=recipe.adapter_dropout)

    targets = _find(module, recipe, units=units, run_order=run_order, kinds=("attn", "mlp"))
    return _add(module, targets, serial, seed=seed)


def add_adaptformer(
    module: nn.Module,
    recipe: Recipe,
    *,
    units: Sequence[Unit],
    run_order: Sequence[str],
    seed: int | None,
) -> Adapters:
    """Put a bottleneck beside the MLP of the blocks in `units` in place; see `_base.AddAdapters`."""

    def parallel(_name: str, base: nn.Module) -> Wrapped:
        return Parallel(
            base,
            base.get_submodule("fc1"),
            base.get_submodule("fc2"),
            width=recipe.bottleneck_width,
            dropout=recipe.adapter_dropout,
        )

    targets = _find(module, recipe, units=units, run_order=run_order, kinds=("mlp",))
    return _add(module, targets, parallel, seed=seed)


def _add(
    module: nn.Module,
    targets: tuple[str, ...],
    make: Callable[[str, nn.Module], Wrapped],
    *,
    seed: int | None,
) -> Adapters:
    names = new_names({name: wrap(module, name, partial(make, name)) for name in targets})
    for name in names if seed is not None else ():
        _draw(module.get_parameter(name), name, cast(int, seed))
    return Adapters(
        parameter_names=names,
        targets=targets,
        skipped={},
        oversized=oversized(module, targets, names),
    )


def _find(
    module: nn.Module,
    recipe: Recipe,
    *,
    units: Sequence[Unit],
    run_order: Sequence[str],
    kinds: Sequence[Literal["attn", "mlp"]],
) -> tuple[str, ...]:
    prefixes = dict.fromkeys(
        prefix for unit in units for name in unit.parameter_names for prefix in _prefixes(name)
    )
    called = frozenset(run_order)
    found = tuple(
        name
        for name in prefixes
        if name.rpartition(".")[2] in kinds
        and name in called
        and _is_known(module.get_submodule(name), name)
    )
    if not found:
        what = (
            "attention (attn.proj) or an MLP (mlp.fc2)"
            if "attn" in kinds
            else "an MLP (mlp.fc1, mlp.fc2)"
        )
        raise SpecError(
            f"adapter {recipe.adapter_kind} must find {what} in {units_text(recipe, units)}, there is none; take lora, dora, ia3, ssf or norm_tuning, "
            "or a ViT, DeiT, Swin or ConvNeXt"
        )
    return found


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _is_known(module: nn.Module, name: str) -> bool:
    """Whether the module begins and ends in layers whose sizes say what goes in and comes out."""
    kind = name.rpartition(".")[2]
    ends = [
        getattr(module, _LAST[kind], None),
        *([getattr(module, _FIRST[kind], None)] if kind in _FIRST else []),
    ]
    return all(
        type(end) is nn.Linear
        or (type(end) is nn.Conv2d and end.kernel_size == (1, 1) and end.groups == 1)
        for end in ends
    )


def _size(layer: nn.Module, side: Literal["in", "out"]) -> int:
    return int(
        getattr(layer, f"{side}_channels" if isinstance(layer, nn.Conv2d) else f"{side}_features")
    )


def _layer(n_in: int, n_out: int, *, is_conv: bool) -> nn.Module:
    return nn.Conv2d(n_in, n_out, 1) if is_conv else nn.Linear(n_in, n_out)


def _draw(parameter: nn.Parameter, name: str, seed: int) -> None:
    if name.endswith("down.weight"):
        nn.init.kaiming_uniform_(parameter, a=5**0.5, generator=generator_of(seed, name))
    else:
        torch.nn.init.zeros_(parameter)
