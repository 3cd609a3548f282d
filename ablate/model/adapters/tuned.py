"""Tuning without new parameters: the biases (BitFit: Ben Zaken et al. 2022, arXiv 2106.10199) or the norms' scale and shift of the frozen units.

Statistics of a BatchNorm in a frozen unit stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from timm.layers import RmsNorm, RmsNorm2d
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from ablate.errors import SpecError
from ablate.model.adapters._base import Adapters, units_text
from ablate.model.units import Unit
from ablate.recipe.recipe import Recipe

_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, RmsNorm, RmsNorm2d)


def add_biases(
    module: nn.Module,  # noqa: ARG001
    recipe: Recipe,
    *,
    units: Sequence[Unit],
    run_order: Sequence[str],  # noqa: ARG001
    seed: int | None,  # noqa: ARG001
) -> Adapters:
    """Let the biases of `units` learn: every parameter called `bias` or `..._bias`. See `_base.AddAdapters`."""
    return _tune(recipe, units, "a bias", lambda name: name.endswith((".bias", "_bias")))


def add_norms(
    module: nn.Module,
    recipe: Recipe,
    *,
    units: Sequence[Unit],
    run_order: Sequence[str],  # noqa: ARG001
    seed: int | None,  # noqa: ARG001
) -> Adapters:
    """Let scale and shift of the norms of `units` learn. See `_base.AddAdapters`."""
    return _tune(
        recipe,
        units,
        "a norm that learns",
        lambda name: isinstance(module.get_submodule(name.rpartition(".")[0]), _NORMS),
    )


def _tune(
    recipe: Recipe, units: Sequence[Unit], what: str, is_tuned: Callable[[str], bool]
) -> Adapters:
    names = tuple(name for unit in units for name in unit.parameter_names if is_tuned(name))
    if not names:
        where = units_text(recipe, units)
        raise SpecError(
            f"adapter {recipe.adapter_kind} must find {what} in {where}, there is none; take another adapter, or adapt more units"
        )
    return Adapters(
        parameter_names=names,
        targets=tuple(dict.fromkeys(name.rpartition(".")[0] for name in names)),
        skipped={},
    )
