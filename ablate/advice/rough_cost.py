"""About what an advised study costs, from known speeds: no step of it was measured here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ablate.advice.cost import Work, memory_gb, roughly, seconds_a_trial
from ablate.advice.facts import ImageSetFacts, MachineFacts
from ablate.advice.recommendation import Advice


@dataclass(frozen=True, slots=True)
class RoughCost:
    """Time where all of the computer works, and memory of one training step."""

    trial_s: float
    """Seconds of a trial of the recommended arm."""
    study_s: float
    """Seconds of all arms with all seeds."""
    n_arms: int
    n_seeds: int
    memory_gb: float
    """Of a batch while the recommended arm trains; weights and optimizer are left out."""

    @property
    def line(self) -> str:
        """The cost in one sentence."""
        return (
            f"about {roughly(self.study_s)} for {self.n_arms} arms x {self.n_seeds} seeds "
            f"({roughly(self.trial_s)} for a trial of the recommended arm) and "
            f"{self.memory_gb:.1f} GB for a batch, from known speeds; --probe measures here"
        )


def rough_cost(facts: ImageSetFacts, machine: MachineFacts, advice: Advice) -> RoughCost:
    """The cost of all cells of the axes that can be trained."""
    axes = advice.below("axes")
    # Every rule for seeds gives a list.
    seeds = advice.value("seeds")
    assert isinstance(seeds, list)
    n_arms = 0
    arms_s = 0.0
    # These two change what a trial costs; the other axes only multiply the trials.
    for depth in _levels(axes.get("freeze_depth"), advice.value("base.freeze_depth")):
        for augment in _levels(axes.get("augment"), advice.value("base.augment")):
            n_cells = _n_cells(axes, depth)
            work = _work(facts, advice, depth, augment)
            n_arms += n_cells
            arms_s += n_cells * seconds_a_trial(work, machine)
    depth = advice.value("base.freeze_depth")
    recommended = _work(facts, advice, depth, advice.value("base.augment"))
    batch_size = _whole(advice, "base.batch_size")
    return RoughCost(
        trial_s=seconds_a_trial(recommended, machine),
        study_s=len(seeds) * arms_s,
        n_arms=n_arms,
        n_seeds=len(seeds),
        memory_gb=memory_gb(recommended, batch_size=batch_size),
    )


def _n_cells(axes: dict[str, object], depth: object) -> int:
    """Cells at one freeze depth and augmentation that are no contradiction."""
    n_cells = 1
    for name, levels in axes.items():
        # A probe has one phase, and a fitted classifier nothing that is free.
        is_fixed = (name == "strategy" and depth == "all") or (
            name == "classifier" and depth != "all"
        )
        if name not in ("freeze_depth", "augment") and not is_fixed:
            n_cells *= len(_levels(levels, None))
    return n_cells


def _levels(levels: object, otherwise: object) -> Sequence[object]:
    if isinstance(levels, list):
        return levels
    return [otherwise]


def _work(facts: ImageSetFacts, advice: Advice, depth: object, augment: object) -> Work:
    return Work(
        backbone=str(advice.value("base.backbone")),
        n_train=facts.n_train,
        n_val=facts.n_val,
        image_size=_whole(advice, "data.image_size"),
        depth=depth,
        epochs=_whole(advice, "base.epochs"),
        is_augmented=augment != "none",
    )


def _whole(advice: Advice, field: str) -> int:
    value = advice.value(field)
    assert isinstance(value, int)
    return value
