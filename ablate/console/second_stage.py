"""What follows a study in words: before it, when it has chosen, and when that ended."""

from __future__ import annotations

from ablate.errors import escaped, some
from ablate.grid.expand import MOST_CONFIRMED, most_neighbours
from ablate.grid.fresh_seeds import first_fresh_seed
from ablate.scheduling.summary import StudySummary
from ablate.study.arm_record import arms_by_id
from ablate.study.record import StudyRecord
from ablate.workflow.prepare.resolved import Resolved

# Arms that a line names.
_N_NAMED = 6


def planned_lines(resolved: Resolved) -> list[str]:
    """What follows the study, one line each; its arms are chosen by the study."""
    lines = []
    if resolved.record.around is not None:
        lines.append(_around_line(resolved))
    if resolved.record.n_confirm:
        lines.append(_confirm_line(resolved))
    return lines


def _around_line(resolved: Resolved) -> str:
    # How many there will be depends on which arm is the best: only the most can be said.
    n_arms = most_neighbours(resolved.grid)
    if not n_arms:
        return "around: a full design has every arm around the best one, none is added"
    n_seeds = len(resolved.record.seeds)
    return (
        "around: then the best arm with each other level of each axis, where the design left it "
        f"out: at most {n_arms} more arms, {n_arms * n_seeds} trials"
    )


def _confirm_line(resolved: Resolved) -> str:
    n_confirm = resolved.record.n_confirm
    first = first_fresh_seed(resolved.grid, resolved.record.seeds)
    return (
        f"confirmation: then {n_confirm} fresh seeds ({first} to {first + n_confirm - 1}) of the "
        "best arm, the baseline and the cheapest arm that may be the best: at most "
        f"{MOST_CONFIRMED * n_confirm} more trials, reported apart"
    )


def chosen_lines(record: StudyRecord) -> list[str]:
    """Which arms are added, who is confirmed with which seeds, or that there is nothing to do."""
    lines = []
    if record.around is not None:
        names = [escaped(arm.name) for arm in record.added_arms]
        lines.append(f"around: {some(names, most=_N_NAMED) or 'no arm is missing'}")
    # None while trials are left: who is confirmed is chosen when all have ended.
    if record.n_confirm and record.confirmation is not None:
        lines.append(_confirmed_line(record))
    return lines


def _confirmed_line(record: StudyRecord) -> str:
    fresh = record.fresh_seeds
    assert record.confirmation is not None
    if not fresh:
        return (
            "confirmation: nothing to confirm, the baseline is the best arm on val and the "
            "cheapest that may be the best"
        )
    arms = arms_by_id(record.arms)
    chosen = [escaped(arms[record.confirmation.champion_arm_id].name) + " (the best on val)"]
    # One arm can have two roles, and is trained once.
    if record.confirmation.baseline_arm_id != record.confirmation.champion_arm_id:
        chosen.append(escaped(arms[record.confirmation.baseline_arm_id].name) + " (the baseline)")
    if record.confirmation.cheapest_arm_id is not None:
        cheapest = escaped(arms[record.confirmation.cheapest_arm_id].name)
        chosen.append(f"{cheapest} (the cheapest that may be the best)")
    return f"confirmation: seeds {fresh[0]} to {fresh[-1]} of {', '.join(chosen)}"


def second_stage_ending(summary: StudySummary) -> str:
    """How the trials of a call ended that follow its study."""
    left = ""
    if summary.n_left:
        left = f", {summary.n_left} left for the next call"
    return f"second stage: {summary.n_complete} completed now, {summary.n_failed} failed{left}"
