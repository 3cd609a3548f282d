"""Adapters: what learns inside the frozen units.

The rule. Adapters go into the last `adapter_units` frozen units, counted back from the freeze
boundary; the free units learn by themselves. Another kind of adapter is another function that
satisfies `_base.AddAdapters`, and its name in the table below.
"""

from __future__ import annotations

from collections.abc import Sequence

from ablate.model.adapters._base import NO_ADAPTERS, Adapters, AdapterSite, AddAdapters
from ablate.model.adapters.bottleneck import add_adaptformer, add_bottleneck
from ablate.model.adapters.peft_layers import add_dora, add_ia3, add_lora
from ablate.model.adapters.prompts import add_prompts
from ablate.model.adapters.scale_shift import add_scale_shift
from ablate.model.adapters.tuned import add_biases, add_norms
from ablate.model.units import Unit
from ablate.recipe.recipe import AdapterKind, Recipe

__all__ = ["ADAPTERS", "NO_ADAPTERS", "AdapterSite", "Adapters", "adapted_units"]

ADAPTERS: dict[AdapterKind, AddAdapters] = {
    "lora": add_lora,
    "dora": add_dora,
    "ia3": add_ia3,
    "ssf": add_scale_shift,
    "bottleneck": add_bottleneck,
    "adaptformer": add_adaptformer,
    "vpt": add_prompts,
    "bitfit": add_biases,
    "norm_tuning": add_norms,
}
"""Every kind but `none`."""


def adapted_units(recipe: Recipe, units: Sequence[Unit], depth: int) -> Sequence[Unit]:
    """Return the frozen units with adapters: the last `adapter_units` of the first `depth`."""
    # more units may be asked for than are frozen: then all of them carry adapters
    first = 0 if recipe.adapter_units == "all" else max(0, depth - recipe.adapter_units)
    return units[first:depth]
