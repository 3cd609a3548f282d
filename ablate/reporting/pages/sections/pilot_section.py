"""The report's section on what came before its trials: a search, or a tuning of every arm. Shown, and kept out of every conclusion."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from ablate.quoting import code, text
from ablate.reporting.evidence.tables import level_text, number_text
from ablate.reporting.results import NOT_MEASURED, Results, ShowFigure, prose
from ablate.reporting.text.markdown import bullets, join_sections, plural, table
from ablate.study.pilot import Pilot, PilotTrial
from ablate.study.trial import is_better, is_score
from ablate.tracking.events import TrialState


def pilot_section(results: Results, _show: ShowFigure) -> str:
    """The section, or nothing for a study without a pilot."""
    pilot = results.record.pilot
    if pilot is None:
        return ""
    return _search(results, pilot) if pilot.kind == "search" else _tuning(results, pilot)


def _search(results: Results, pilot: Pilot) -> str:
    told = [
        f"Sampler {code(pilot.sampler)}, pruner {code(pilot.pruner)}, pilot seed {pilot.seed}: {_counts(pilot)}.",
        f"Epochs: {_epochs(pilot)}.",
        _confirmed(results, pilot),
        "**No score of the search enters a conclusion.** It chose these arms because their scores were high, so those scores are too good; all other "
        f"sections are of the {plural(len(results.trials), 'trial')} of the confirmation, with seeds that the search has not seen.",
    ]
    space = table(
        ["axis", "searched"],
        [[code(axis), text(words)] for axis, words in pilot.space.items()],
        n_text_columns=2,
    )
    return join_sections(["## Search", bullets(told), space, *_found(pilot)]).rstrip()


def _counts(pilot: Pilot) -> str:
    states = Counter(trial.state for trial in pilot.trials)
    told = ", ".join(f"{states[state]} {state.lower()}" for state in sorted(states))
    few = "; the space had no more to propose" if len(pilot.trials) < pilot.n_asked else ""
    return f"{len(pilot.trials)} of {plural(pilot.n_asked, 'trial')}: {told}{few}"


def _epochs(pilot: Pilot) -> str:
    spent = sum(trial.n_epochs for trial in pilot.trials)
    pruned = [trial for trial in pilot.trials if trial.state == TrialState.PRUNED]
    saved = (
        f"; {plural(len(pruned), 'trial')} ended early after {sum(trial.n_epochs for trial in pruned)} of them"
        if pruned
        else ""
    )
    return f"{spent} in the search{saved}"


def _confirmed(results: Results, pilot: Pilot) -> str:
    n_arms = len(results.record.arms)
    first = prose(pilot.objectives[0])
    if len(pilot.objectives) == 1:
        few = (
            f" ({pilot.n_confirm} were asked for, but no more trials ran to their end)"
            if n_arms < pilot.n_confirm
            else ""
        )
        return f"Confirmed: the best {plural(n_arms, 'arm')} by {first} of the search{few}, each with {plural(len(results.record.seeds), 'seed')}."
    few = (
        f", which has {len(pilot.front)}, fewer than the {pilot.n_confirm} asked for"
        if len(pilot.front) < pilot.n_confirm
        else ""
    )
    return (
        f"Confirmed: {plural(n_arms, 'arm')} of the Pareto front below{few}, the best by {first} first, each with {plural(len(results.record.seeds), 'seed')}. "
        "An arm off the front was not considered, however high its first score."
    )


def _found(pilot: Pilot) -> list[str]:
    """How the best score grew; for several objectives, the trials that no other beats in all of them."""
    marked = set(pilot.chosen)
    if len(pilot.objectives) > 1:
        front = [
            trial
            for trial_id in pilot.front
            for trial in pilot.trials
            if trial.trial_id == trial_id
        ]
        rows = [
            [_marked(trial, marked), *(_score(name, trial) for name in pilot.objectives)]
            for trial in front
        ]
        return [
            "Pareto front of the search: no other trial is better in every one of these. ✓ confirmed.",
            table(["arm", *map(prose, pilot.objectives)], rows),
        ]
    name = pilot.objectives[0]
    rows = [
        [_marked(trial, marked), str(number), _score(name, trial)]
        for number, trial in _records(pilot.trials, name)
    ]
    ranked = [
        [_marked(trial, marked), _score(name, trial)]
        for trial in (_by_id(pilot, trial_id) for trial_id in pilot.chosen)
    ]
    return [
        "Best so far, in the order of proposals. ✓ confirmed.",
        table(["arm", "trial", f"{prose(name)}, pilot seed"], rows),
        "What was confirmed:",
        table(["arm", f"{prose(name)}, pilot seed"], ranked),
    ]


def _score(name: str, trial: PilotTrial) -> str:
    value = trial.scores.get(name, math.nan)
    if not is_score(value):
        return NOT_MEASURED
    return f"{value:.3f}" if name.startswith("val/") else number_text(value)


def _by_id(pilot: Pilot, trial_id: str) -> PilotTrial:
    return next(trial for trial in pilot.trials if trial.trial_id == trial_id)


def _marked(trial: PilotTrial, chosen: set[str]) -> str:
    return f"{code(trial.arm)}{' ✓' if trial.trial_id in chosen else ''}"


def _records(trials: Sequence[PilotTrial], name: str) -> list[tuple[int, PilotTrial]]:
    """Trials that were better than all before them, with their numbers from 1."""
    found: list[tuple[int, PilotTrial]] = []
    for number, trial in enumerate(trials, start=1):
        value = trial.scores.get(name, math.nan)
        if is_score(value) and (
            not found or is_better(name, value, than=found[-1][1].scores[name])
        ):
            found.append((number, trial))
    return found


def _tuning(results: Results, pilot: Pilot) -> str:
    name, fields = pilot.objectives[0], list(pilot.space)
    how = (
        f"Every arm had the same small search: all combinations of {_words(pilot)} with pilot seed {pilot.seed}, and was then trained with its own best by "
        f"{prose(name)}: arms are compared at their best, not at a setting that suits one of them. {_counts(pilot)}. "
        "**No score of the tuning enters a conclusion**; its seed is none of those below."
    )
    rows = []
    for arm in results.record.arms:
        own = [trial for trial in pilot.trials if trial.arm == arm.name]
        scores = [trial.scores[name] for trial in own if is_score(trial.scores.get(name, math.nan))]
        tuned = [level_text(arm.tuned[field]) if field in arm.tuned else "-" for field in fields]
        rows.append(
            [
                code(arm.name),
                *tuned,
                f"{len(scores)} of {len(own)}",
                *_range(scores, name),
                _at_the_edge(own, arm.tuned, fields),
            ]
        )
    header = [
        "arm",
        *map(code, fields),
        "pilot trials complete",
        f"best {prose(name)}",
        "worst",
        "at the edge",
    ]
    note = "At the edge: a value that is the lowest or highest number tried; the arm's best may lie beyond it."
    return join_sections(["## Tuning", how, table(header, rows), note]).rstrip()


def _words(pilot: Pilot) -> str:
    return "; ".join(f"{code(field)} in {text(words)}" for field, words in pilot.space.items())


def _range(scores: Sequence[float], name: str) -> tuple[str, str]:
    ordered = sorted(scores, reverse=is_better(name, 1.0, than=0.0))
    return (
        (f"{ordered[0]:.3f}", f"{ordered[-1]:.3f}") if ordered else ("not measured", "not measured")
    )


def _at_the_edge(own: Sequence[PilotTrial], tuned: dict[str, object], fields: Sequence[str]) -> str:
    """Numeric fields, of more than two values, whose choice is the first or last that was tried."""
    edges = []
    for field in fields:
        tried = {
            float(value)
            for trial in own
            if isinstance(value := trial.levels.get(field), int | float)
        }
        value = tuned.get(field, math.nan)
        if len(tried) > 2 and isinstance(value, int | float) and value in (min(tried), max(tried)):
            edges.append(code(field))
    return ", ".join(edges) or "-"
