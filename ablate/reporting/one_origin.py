"""Whether runs of one name of pretrained weights started from the same tensors."""

from __future__ import annotations

from collections import defaultdict

from ablate.errors import WeightsError, some
from ablate.in_order import places
from ablate.reporting.evidence.second_stage_runs import named_runs
from ablate.study.arm_record import arms_by_id
from ablate.study.weights_identity import WeightsIdentity, are_pretrained, weights_name
from ablate.tracking.events import TrialState
from ablate.tracking.records import PublishedRun, PublishedStudy

_SHOWN = 4
Origin = list[tuple[PublishedRun, WeightsIdentity]]
"""Runs that started from the same tensors."""


def check_one_origin(study: PublishedStudy) -> None:
    """Raise WeightsError where complete runs of the same weights started from different tensors.

    The same: of one backbone, `weights` and pooling. Their means would mix networks.
    """
    for name, runs in _runs_by_weights(study).items():
        origins = origins_of(runs)
        # `weights_name` is backbone, weights and pooling: the words of the refusal are in it
        if len(origins) > 1:
            backbone, weights, _ = name.split(" ", 2)
            raise WeightsError(_refusal(origins, backbone=backbone, weights=weights))


def origins_of(runs: list[PublishedRun]) -> list[Origin]:
    """The runs by what they started from, in the order of their first runs.

    Runs that do not say it are left out.
    """
    origins: list[Origin] = []
    for run in runs:
        identity = run.facts.weights
        # runs of older versions do not say what they started from, and prove nothing
        if identity is None:
            continue
        # Either of two digests may agree, so a run can show that two origins so far are one.
        joined: Origin = []
        others = []
        for origin in origins:
            if _is_of(identity, origin):
                joined += origin
            else:
                others.append(origin)
        origins = [*others, [*joined, (run, identity)]]
    # joined origins moved to the end of the list: back into the order of the runs
    position = places(run.run_id for run in runs)
    return sorted(origins, key=lambda origin: position[origin[0][0].run_id])


def _is_of(identity: WeightsIdentity, origin: Origin) -> bool:
    return any(identity.is_same(other) for _, other in origin)


def _runs_by_weights(study: PublishedStudy) -> dict[str, list[PublishedRun]]:
    arms = arms_by_id(study.record.all_arms)
    # every run of the study, also fresh and added ones: all of them are compared in one report
    by_weights: dict[str, list[PublishedRun]] = defaultdict(list)
    for run in named_runs(study).values():
        arm = arms.get(run.arm_id)
        if run.status != TrialState.COMPLETE or arm is None:
            continue
        if are_pretrained(arm.recipe):
            by_weights[weights_name(arm.recipe)].append(run)
    return by_weights


def _refusal(origins: list[Origin], *, backbone: str, weights: str) -> str:
    kinds = []
    for origin in origins:
        _, identity = origin[0]
        of_origin = [run.run_id for run, _ in origin]
        run_ids = some(of_origin, most=_SHOWN)
        kinds.append(f"{identity}: {run_ids}")
    return (
        f"runs of {backbone} with weights {weights} must have started from the same tensors, "
        f"they started from {len(origins)} kinds ({'; '.join(kinds)}); "
        "a mean over them would mix networks. Way out: give one of the weights a path of its own, "
        "and the grid file another name, and run it again"
    )
