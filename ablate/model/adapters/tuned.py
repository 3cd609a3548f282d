"""Tuning without new parameters, in the frozen units.

BitFit: the biases (Ben Zaken et al. 2022, arXiv 2106.10199). Norm tuning: scale and shift of the
norms. Statistics of a BatchNorm in a frozen unit stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable

from timm.layers import RmsNorm, RmsNorm2d
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from ablate.errors import SpecError
from ablate.model.adapters._base import Adapters, AdapterSite
from ablate.model.units import owner_of

# `_NormBase`, private in torch, is all that BatchNorm and InstanceNorm have in common
_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, RmsNorm, RmsNorm2d)


def add_biases(module: nn.Module, site: AdapterSite) -> Adapters:  # noqa: ARG001
    """Let the biases at the site learn: every parameter called `bias` or `..._bias`.

    See `_base.AddAdapters`.
    """
    # "_bias" without a dot: BEiT keeps q_bias and v_bias beside its qkv layer
    return _tune(site, "a bias", lambda name: name.endswith((".bias", "_bias")))


def add_norms(module: nn.Module, site: AdapterSite) -> Adapters:
    """Let scale and shift of the norms at the site learn. See `_base.AddAdapters`."""

    def is_of_norm(name: str) -> bool:
        return isinstance(module.get_submodule(owner_of(name)), _NORMS)

    return _tune(site, "a norm that learns", is_of_norm)


def _tune(site: AdapterSite, what: str, is_tuned: Callable[[str], bool]) -> Adapters:
    names: list[str] = []
    for unit in site.units:
        for name in unit.parameter_names:
            if is_tuned(name):
                names.append(name)
    if not names:
        raise SpecError(
            f"adapter {site.recipe.adapter_kind} must find {what} in {site}, there is none; "
            "take another adapter, or adapt more units"
        )
    return Adapters(
        parameter_names=tuple(names),
        targets=tuple(dict.fromkeys(map(owner_of, names))),
        skipped={},
    )
