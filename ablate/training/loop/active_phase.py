"""A phase of a recipe at work: what is frozen, what flows, what steps. Made anew for every phase, so nothing of an optimizer survives a change."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ablate.model.network import Network, at_depth, phase_depths
from ablate.recipe.phase import Phase
from ablate.recipe.recipe import Recipe
from ablate.recipe.strategy import at_phase, phases_of
from ablate.study.trial_facts import PhaseFact
from ablate.training.feeds.batches import split_batches
from ablate.training.feeds.trained_part import Lanes
from ablate.training.loop.build_optimizer import make_optimizer
from ablate.training.loop.ema import Average
from ablate.training.loop.l2_sp import StartingPoint
from ablate.training.loop.schedule import recipe_factor

OpenLanes = Callable[[Network, int], Lanes]
"""Takes the network as a phase freezes it, and the epochs, over all phases, after which the phase ends at the latest."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Stage:
    """One phase with everything that trains in it."""

    phase: Phase
    recipe: Recipe
    """The trial's recipe with the phase's own depth, rates and epochs."""
    network: Network
    """With the boundary of this phase."""
    whole: Network
    """With the boundary of the last phase: its delta is what a trial keeps, whatever is thawed by now."""
    lanes: Lanes
    optimizer: torch.optim.Optimizer
    peaks: tuple[float, ...]
    """Peak LR of each of the optimizer's groups."""
    scaler: torch.amp.GradScaler
    average: Average | None
    start: StartingPoint | None
    """What L2-SP pulls to."""
    n_steps: int
    """Optimizer steps of the phase, if it takes all its epochs."""

    def set_rates(self, step: int) -> float:
        """Set every group's LR for a 0-based step of the phase; returns the head's."""
        factor = recipe_factor(step, self.recipe, n_steps=self.n_steps)
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor
        return self.recipe.head_lr * factor


def open_stage(
    network: Network,
    recipe: Recipe,
    number: int,
    *,
    open_lanes: OpenLanes,
    start: StartingPoint | None,
) -> Stage:
    """Freeze what phase `number` (0-based) freezes, cut the network there, and build optimizer, schedule and average from nothing.

    `network` is the trial's, with the boundary of its last phase. The weights stay as they are.
    """
    phase = phases_of(recipe)[number]
    own = at_phase(recipe, phase)
    now = _frozen_for(network, recipe, number)
    lanes = open_lanes(now, sum(one.epochs for one in phases_of(recipe)[: number + 1]))
    optimizer = make_optimizer(now, own)
    steps_per_epoch = len(
        split_batches(np.arange(len(lanes.train.labels)), batch_size=recipe.batch_size)
    )
    return Stage(
        phase=phase,
        recipe=own,
        network=now,
        whole=network,
        lanes=lanes,
        optimizer=optimizer,
        peaks=tuple(group["lr"] for group in optimizer.param_groups),
        scaler=torch.amp.GradScaler(
            lanes.compute.device, enabled=lanes.compute.precision == "fp16"
        ),
        average=Average(network, decay=recipe.ema_decay) if recipe.ema_decay > 0 else None,
        start=start,
        n_steps=steps_per_epoch * phase.epochs,
    )


def phase_facts(network: Network, recipe: Recipe) -> tuple[PhaseFact, ...]:
    """What each phase trains."""
    n_units = len(network.units)
    depths = phase_depths(recipe, n_units=n_units)
    before = (n_units, *depths)
    facts = []
    for phase, depth, earlier in zip(phases_of(recipe), depths, before, strict=False):
        fact = PhaseFact(
            epochs=phase.epochs,
            patience=None if phase.until == "epochs" else phase.patience,
            freeze_depth=depth,
            n_units=n_units,
            thawed=tuple(unit.name for unit in network.units[depth:earlier]),
        )
        facts.append(fact)
    return tuple(facts)


def _frozen_for(network: Network, recipe: Recipe, number: int) -> Network:
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
