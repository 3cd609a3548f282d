"""Fresh seeds in words: before a study, when it has chosen, and when they ended."""

from __future__ import annotations

from ablate.errors import escaped
from ablate.grid.expand import MOST_CONFIRMED
from ablate.grid.fresh_seeds import first_fresh_seed
from ablate.scheduling.summary import StudySummary
from ablate.study.record import StudyRecord
from ablate.workflow.prepare.resolved import Resolved


def planned_line(resolved: Resolved) -> str:
    """What follows the study, in one line; its arms are chosen by the study."""
    n_confirm = resolved.record.n_confirm
    first = first_fresh_seed(resolved.grid, resolved.record.seeds)
    return (
        f"confirmation: then {n_confirm} fresh seeds ({first} to {first + n_confirm - 1}) of the "
        "best arm, the baseline and the cheapest arm that may be the best: at most "
        f"{MOST_CONFIRMED * n_confirm} more trials, reported apart"
    )


def chosen_line(record: StudyRecord) -> str:
    """Who is confirmed with which seeds, or that there is nothing to confirm."""
    fresh = record.fresh_seeds
    assert record.confirmation is not None
    if not fresh:
        return (
            "confirmation: nothing to confirm, the baseline is the best arm on val and the "
            "cheapest that may be the best"
        )
    names = {arm.arm_id: arm.name for arm in record.arms}
    chosen = [escaped(names[record.confirmation.champion_arm_id]) + " (the best on val)"]
    if record.confirmation.baseline_arm_id != record.confirmation.champion_arm_id:
        chosen.append(escaped(names[record.confirmation.baseline_arm_id]) + " (the baseline)")
    if record.confirmation.cheapest_arm_id is not None:
        cheapest = escaped(names[record.confirmation.cheapest_arm_id])
        chosen.append(f"{cheapest} (the cheapest that may be the best)")
    return f"confirmation: seeds {fresh[0]} to {fresh[-1]} of {', '.join(chosen)}"


def confirmation_ending(summary: StudySummary) -> str:
    """How the fresh trials of a call ended."""
    left = ""
    if summary.n_left:
        left = f", {summary.n_left} left for the next call"
    return f"confirmation: {summary.n_complete} completed now, {summary.n_failed} failed{left}"
