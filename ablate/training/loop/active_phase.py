"""A phase of a recipe at work: what is frozen, what flows, what steps.

Made anew for every phase, so nothing of an optimizer survives a change.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ablate.model.assemble import phase_depths
from ablate.model.network import Network, at_depth
from ablate.recipe.phase import Phase
from ablate.recipe.recipe import Recipe
from ablate.recipe.strategy import at_phase, phases_of
from ablate.recipe.transfer import trains_below_the_head
from ablate.study.trial_facts import PhaseFact
from ablate.training.feeds.batches import split_batches
from ablate.training.feeds.trained_part import TrainedPart
from ablate.training.loop.build_optimizer import make_optimizer
from ablate.training.loop.ema import EMA, ema_of
from ablate.training.loop.held_to import HeldTo
from ablate.training.loop.l2_sp import L2SP
from ablate.training.loop.schedule import recipe_factor
from ablate.training.transfer.terms import TransferTerms

OpenTrainedPart = Callable[[Network, int], TrainedPart]
"""Takes the network as a phase freezes it, and the epochs, over all phases, after which the phase
ends at the latest."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ActivePhase:
    """One phase with everything that trains in it."""

    phase: Phase
    recipe: Recipe
    """The trial's recipe with the phase's own depth, rates and epochs."""
    network: Network
    """With the boundary of this phase."""
    whole: Network
    """With the boundary of the last phase: its delta is what a trial keeps, whatever is thawed by
    now."""
    trained_part: TrainedPart
    optimizer: torch.optim.Optimizer
    peaks: tuple[float, ...]
    """Peak LR of each of the optimizer's groups."""
    scaler: torch.amp.GradScaler
    ema: EMA | None
    """The averaged weights, where the recipe asks for them."""
    l2_sp: L2SP | None
    """The starting point that weights are pulled to, where the recipe asks for it."""
    transfer: TransferTerms | None
    """Terms beside the loss, where the recipe asks for some and the phase trains a feature."""
    n_steps: int
    """Optimizer steps of the phase, if it takes all its epochs."""

    def set_rates(self, step: int) -> float:
        """Set every group's LR for a 0-based step of the phase; returns the head's."""
        factor = recipe_factor(step, self.recipe, n_steps=self.n_steps)
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            # every group by the same factor: ratios between parts stay
            group["lr"] = peak * factor
        return self.recipe.head_lr * factor


def open_phase(
    network: Network,
    recipe: Recipe,
    number: int,
    *,
    open_trained_part: OpenTrainedPart,
    held_to: HeldTo,
) -> ActivePhase:
    """Freeze what phase `number` (0-based) freezes, split the network there, and build the rest.

    Optimizer, schedule and average start from nothing; the weights stay as they are. `network` is
    the trial's, with the boundary of its last phase.
    """
    phases = phases_of(recipe)
    phase = phases[number]
    # One phase is a recipe of its own: what builds optimizers and schedules knows no phases.
    phase_recipe = at_phase(recipe, phase)
    frozen_network = _freeze_for_phase(network, recipe, number)
    # Cached views are asked for up to the phase's last epoch, and none beyond.
    trained_part = open_trained_part(frozen_network, _last_epoch(phases, number))
    transfer = None
    # In a probe's phase features stay: the source classifier alone would move.
    if trains_below_the_head(phase_recipe):
        transfer = held_to.transfer
    beside = []
    if transfer is not None:
        beside = transfer.param_groups(phase_recipe)
    optimizer = make_optimizer(frozen_network, phase_recipe, beside=beside)
    compute = trained_part.compute
    return ActivePhase(
        phase=phase,
        recipe=phase_recipe,
        network=frozen_network,
        whole=network,
        trained_part=trained_part,
        optimizer=optimizer,
        peaks=tuple(group["lr"] for group in optimizer.param_groups),
        # fp16 alone has too short a range for gradients; elsewhere the scaler passes them on
        scaler=torch.amp.GradScaler(compute.device, enabled=compute.precision == "fp16"),
        ema=ema_of(network, recipe),
        l2_sp=held_to.l2_sp,
        transfer=transfer,
        n_steps=_steps_per_epoch(trained_part, recipe) * phase.epochs,
    )


def _last_epoch(phases: Sequence[Phase], number: int) -> int:
    """Epochs, over all phases, after which a phase ends at the latest."""
    n_epochs = 0
    for phase in phases[: number + 1]:
        n_epochs += phase.epochs
    return n_epochs


def _steps_per_epoch(trained_part: TrainedPart, recipe: Recipe) -> int:
    # as the feeds cut an epoch: a last batch of one image joins the one before it
    every_image = np.arange(len(trained_part.train.labels))
    return len(split_batches(every_image, batch_size=recipe.batch_size))


def phase_facts(network: Network, recipe: Recipe) -> tuple[PhaseFact, ...]:
    """What each phase trains."""
    n_units = len(network.units)
    depths = phase_depths(recipe, n_units=n_units)
    # Before the first phase everything counts as frozen, so what it trains is what it thaws.
    earlier_depth = n_units
    facts = []
    for phase, depth in zip(phases_of(recipe), depths, strict=True):
        fact = PhaseFact(
            epochs=phase.epochs,
            patience=_asked_patience(phase),
            freeze_depth=depth,
            n_units=n_units,
            thawed=tuple(unit.name for unit in network.units[depth:earlier_depth]),
        )
        facts.append(fact)
        earlier_depth = depth
    return tuple(facts)


def _asked_patience(phase: Phase) -> int | None:
    # a phase that ends by its epochs may carry the recipe's patience, and never asks it
    if phase.until == "epochs":
        return None
    return phase.patience


def _freeze_for_phase(network: Network, recipe: Recipe, number: int) -> Network:
    depths = phase_depths(recipe, n_units=len(network.units))
    if len(depths) == 1:
        return network  # as it was built; it may hold adapters
    fact = phase_facts(network, recipe)[number]
    _LOG.info(
        "phase %d of %d: %d epochs, %d of %d units frozen, thaws %s",
        number + 1,
        len(depths),
        fact.epochs,
        fact.freeze_depth,
        fact.n_units,
        " ".join(fact.thawed) or "nothing",
    )
    return at_depth(network, depths[number], batch_norm=recipe.batch_norm)
