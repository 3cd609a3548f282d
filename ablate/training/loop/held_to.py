"""What a trial is held to, made before its first phase: all phases look back to one start."""

from __future__ import annotations

from dataclasses import dataclass

from ablate.model.network import Network
from ablate.recipe.recipe import Recipe
from ablate.training.loop.l2_sp import L2SP, l2_sp_of
from ablate.training.transfer.source_outputs import SourceOutputs
from ablate.training.transfer.terms import TransferTerms, transfer_terms


@dataclass(frozen=True, eq=False)
class HeldTo:
    """The starting point in weights, and in what the network makes of images."""

    l2_sp: L2SP | None
    transfer: TransferTerms | None


def held_to(network: Network, recipe: Recipe, source: SourceOutputs | None) -> HeldTo:
    """Return what the recipe asks for; the start is the network as it is now."""
    return HeldTo(l2_sp_of(network, recipe), transfer_terms(network, recipe, source))
