"""Whether runs that a study compares under one name of pretrained weights started from the same tensors."""

from __future__ import annotations

from collections import defaultdict

from ablate.errors import WeightsError, some
from ablate.reporting.evidence.tables import noise_runs, run_of_trial
from ablate.study.weights_identity import WeightsIdentity, are_pretrained, weights_name
from ablate.tracking.events import TrialState
from ablate.tracking.records import PublishedRun, PublishedStudy

_SHOWN = 4
Origin = list[tuple[PublishedRun, WeightsIdentity]]
"""Runs that started from the same tensors."""


def check_one_origin(study: PublishedStudy) -> None:
    """Raise WeightsError where complete runs of the same backbone, `weights` and pooling started from different tensors: their means would mix networks."""
    for name, runs in _runs_by_weights(study).items():
        origins = origins_of(runs)
        if len(origins) > 1:
            backbone, weights, _ = name.split(" ", 2)
            raise WeightsError(_refusal(origins, backbone=backbone, weights=weights))


def origins_of(runs: list[PublishedRun]) -> list[Origin]:
    """The runs apart by what they started from, in the order of their first runs; runs that do not say it are left out."""
    origins: list[Origin] = []
    for run in runs:
        identity = run.facts.weights
        if identity is None:
            continue
        same = [origin for origin in origins if any(identity.is_same(other) for _, other in origin)]
        origins = [origin for origin in origins if origin not in same]
        origins.append([*(member for origin in same for member in origin), (run, identity)])
    position = {run.run_id: number for number, run in enumerate(runs)}
    return sorted(origins, key=lambda origin: position[origin[0][0].run_id])


def _runs_by_weights(study: PublishedStudy) -> dict[str, list[PublishedRun]]:
    recipes = {arm.arm_id: arm.recipe for arm in study.record.arms}
    runs = {
        run.run_id: run
        for run in (*run_of_trial(study).values(), *noise_runs(study))
        if run.status == TrialState.COMPLETE
    }
    found: dict[str, list[PublishedRun]] = defaultdict(list)
    for run in runs.values():
        recipe = recipes.get(run.arm_id)
        if recipe is not None and are_pretrained(recipe):
            found[weights_name(recipe)].append(run)
    return found


def _refusal(origins: list[Origin], *, backbone: str, weights: str) -> str:
    told = "; ".join(
        f"{origin[0][1]}: {some([run.run_id for run, _ in origin], most=_SHOWN)}"
        for origin in origins
    )
    return (
        f"runs of {backbone} with weights {weights} must have started from the same tensors, they started from {len(origins)} kinds ({told}); "
        "a mean over them would mix networks. Way out: give one of the weights a path of its own, and the grid file another name, and run it again"
    )
