"""The report on the tuning of each arm before the study."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ablate.quoting import code, text
from ablate.recipe.levels import level_text
from ablate.reporting.pages.sections.pilot_counts import counts_text
from ablate.reporting.results import NOT_MEASURED, Results, prose
from ablate.reporting.text.markdown import join_sections, table
from ablate.study.choosing import is_better, is_score
from ablate.study.pilot_record import Pilot, PilotTrial
from ablate.study.record import ArmRecord

_EDGE = (
    "At the edge: the lowest or highest value tried was chosen; the best value may lie beyond it."
)


def tuning_section(results: Results, pilot: Pilot) -> str:
    """What every arm was tuned to, and how far its scores spread."""
    name = pilot.objectives[0]
    tried = [f"{code(field)} in {text(words)}" for field, words in pilot.space.items()]
    space = "; ".join(tried)
    how = (
        f"Every arm had the same small search: all combinations of {space} with pilot seed "
        f"{pilot.seed}, and was then trained with its own best by {prose(name)}: arms are compared "
        f"at their best, not at a setting that favours one of them. {counts_text(pilot)}. "
        "**No score of the tuning enters a conclusion**; its seed is not among those below."
    )
    rows = []
    for arm in results.record.arms:
        rows.append(_row(pilot, arm, results.name(arm.arm_id)))
    header = ["arm", *map(code, pilot.space), "pilot trials complete"]
    header += [f"best {prose(name)}", "worst", "at the edge"]
    return join_sections(["## Tuning", how, table(header, rows), _EDGE]).rstrip()


def _row(pilot: Pilot, arm: ArmRecord, name_of_arm: str) -> list[str]:
    name = pilot.objectives[0]
    trials = []
    scores = []
    for trial in pilot.trials:
        if trial.arm != arm.name:
            continue
        trials.append(trial)
        score = trial.scores.get(name, math.nan)
        # a trial that failed, or was pruned, has none
        if is_score(score):
            scores.append(score)
    # "-" for a field that cannot matter for this arm: it was not tuned
    tuned = dict.fromkeys(pilot.space, "-")
    for field in arm.tuned.keys() & tuned.keys():
        tuned[field] = level_text(arm.tuned[field])
    n_complete = f"{len(scores)} of {len(trials)}"
    edges = _at_the_edge(trials, arm.tuned, tuple(pilot.space))
    return [code(name_of_arm), *tuned.values(), n_complete, *_best_and_worst(scores, name), edges]


def _best_and_worst(scores: Sequence[float], name: str) -> tuple[str, str]:
    if not scores:
        return NOT_MEASURED, NOT_MEASURED
    # the best first, whichever way the metric goes
    ordered = sorted(scores, reverse=is_better(name, 1.0, than=0.0))
    return f"{ordered[0]:.3f}", f"{ordered[-1]:.3f}"


def _at_the_edge(
    trials: Sequence[PilotTrial], tuned: Mapping[str, object], fields: Sequence[str]
) -> str:
    """Numeric fields, of more than two values, whose choice is the first or last that was tried."""
    edges = []
    for field in fields:
        tried = set()
        for trial in trials:
            number = _number(trial.levels.get(field))
            # a word has no edge
            if number is not None:
                tried.add(number)
        numbers = sorted(tried)
        # Of two values, one or the other is always at the edge.
        if len(numbers) > 2 and _number(tuned.get(field)) in (numbers[0], numbers[-1]):
            edges.append(code(field))
    return ", ".join(edges) or "-"


def _number(level: object) -> float | None:
    """The level as a number; None for a word."""
    if isinstance(level, int | float):
        return float(level)
    return None
