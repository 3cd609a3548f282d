"""What a study will cost on this machine, from a few measured steps.

The price before anything was trained, in seconds. How long a study that runs still takes is another
question, with better answers: `scheduling.remaining` learns from the trials that have ended, and
`scheduling.trial_costs` only says which of two trials is the dearer one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate.errors import SpecError
from ablate.model.backbone_facts import RecipeFacts
from ablate.study.record import ArmRecord
from ablate.workflow.folders import Folders
from ablate.workflow.plan.estimate import (
    Kind,
    arm_seconds,
    cost_table,
    images_by_split,
    kinds_of,
    study_cost,
)
from ablate.workflow.plan.probe import Probes, probe_kinds
from ablate.workflow.prepare.option_checks import check_workers
from ablate.workflow.prepare.resolved import Resolved


@dataclass(frozen=True, slots=True)
class Estimate:
    """The cost of a study."""

    rows: Sequence[Mapping[str, object]]
    """One per kind of arm, as text."""
    lines: Sequence[str]
    """The whole, and what it rests on."""
    trial_s: Mapping[str, float]
    """arm_id -> seconds of one of its trials."""


def estimate_grid(
    resolved: Resolved,
    facts: Mapping[str, RecipeFacts],
    folders: Folders,
    *,
    workers: int | None = None,
) -> Estimate:
    """Measure a few steps of each kind of arm. Raises SpecError, StoreError."""
    check_workers(workers)
    if not resolved.expansion.arms:
        raise SpecError(
            "a cost can be estimated where the arms are known; "
            "a search proposes them while it runs, plan it without an estimate"
        )
    kinds = kinds_of(resolved, dict(facts))
    # One thread: a slot of a study has one, where nobody asked for another number.
    probes = probe_kinds(resolved, kinds, folders, threads=1, workers=workers)
    rows = cost_table(resolved, kinds, probes.kinds)
    lines = _lines(resolved, kinds, probes)
    return Estimate(rows, lines, arm_seconds(resolved, kinds, probes.kinds))


def _lines(
    resolved: Resolved, kinds: Mapping[Kind, Sequence[ArmRecord]], probes: Probes
) -> list[str]:
    """The estimate, and what it rests on."""
    cost = study_cost(resolved, kinds, probes.kinds)
    n_images = sum(images_by_split(resolved).values())
    before_s = probes.worker_start_s + probes.decode_s * n_images * _n_stores(resolved)
    # Decoding is counted in full: how much of it an earlier study has left is not looked at.
    wall_s = cost.wall_s(probes.n_slots, before_s=before_s)
    slots = f"{probes.n_slots} slot"
    if probes.n_slots > 1:
        slots += "s"
    rests_on = (
        f"It rests on one measured step and evaluation of {len(probes.kinds)} kinds of arm "
        f"({_duration(probes.took_s)}, {slots} at work)"
    )
    n_untried = len(kinds) - len(probes.kinds)
    if n_untried:
        rests_on += f"; {n_untried} rarer kinds are taken as the nearest of them"
    return [
        f"estimate: {_duration(wall_s)} on {slots} of this machine "
        f"for {len(resolved.trials)} trials: {_duration(cost.trials_s)} of trials and "
        f"{_duration(cost.prefixes_s)} of prefixes computed once, side by side; "
        f"{_duration(before_s)} before, for workers and for decoding images "
        "that are not decoded yet.",
        f"{rests_on}. Patience and trials that are complete already make it shorter; "
        "the report is not in it.",
    ]


def _n_stores(resolved: Resolved) -> int:
    """Every backbone has its images at its own resolution, and every way of showing them."""
    stores = set()
    for arm in resolved.expansion.arms:
        stores.add((arm.recipe.backbone, resolved.data.shown_to(arm.recipe)))
    return len(stores)


def _duration(seconds: float) -> str:
    """E.g. "2.4 s", "3 min 10 s" or "4 h 05 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
