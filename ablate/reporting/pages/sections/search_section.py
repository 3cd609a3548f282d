"""The report on the search that chose its arms."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ablate.errors import plural
from ablate.quoting import code, text
from ablate.reporting.evidence.frames import number_text
from ablate.reporting.pages.sections.pilot_counts import counts_text
from ablate.reporting.results import NOT_MEASURED, Results, prose
from ablate.reporting.text.markdown import bullets, join_sections, table
from ablate.study.choosing import is_better, is_score
from ablate.study.pilot_record import Pilot, PilotTrial
from ablate.tracking.events import TrialState


def search_section(results: Results, pilot: Pilot) -> str:
    """What was searched, how, what came out, and what was confirmed."""
    n_trials = plural(len(results.trials), "trial")
    lines = [
        f"Sampler {code(pilot.sampler)}, pruner {code(pilot.pruner)}, "
        f"pilot seed {pilot.seed}: {counts_text(pilot)}.",
        f"Epochs: {_epochs(pilot)}.",
        _confirmed(results, pilot),
        "**No score of the search enters a conclusion.** The arms were chosen for their high "
        "scores, so these scores are optimistic; all other sections are about the "
        f"{n_trials} of the confirmation, with seeds that the search did not use.",
    ]
    axes = []
    for axis, words in pilot.space.items():
        axes.append([code(axis), text(words)])
    space = table(["axis", "searched"], axes, n_text_columns=2)
    outcome = _front(pilot)
    # with one objective a front would be a single trial
    if len(pilot.objectives) == 1:
        outcome = _best_so_far(pilot)
    return join_sections(["## Search", bullets(lines), space, *outcome]).rstrip()


def _epochs(pilot: Pilot) -> str:
    n_epochs = 0
    n_pruned = 0
    n_epochs_pruned = 0
    for trial in pilot.trials:
        n_epochs += trial.n_epochs
        # what pruning saved is unknown: only epochs that were trained are counted
        if trial.state == TrialState.PRUNED:
            n_pruned += 1
            n_epochs_pruned += trial.n_epochs
    if not n_pruned:
        return f"{n_epochs} in the search"
    early = f"{plural(n_pruned, 'trial')} ended early after {n_epochs_pruned} of them"
    return f"{n_epochs} in the search; {early}"


def _confirmed(results: Results, pilot: Pilot) -> str:
    n_arms = len(results.record.arms)
    n_seeds = plural(len(results.record.seeds), "seed")
    first = prose(pilot.objectives[0])
    if len(pilot.objectives) == 1:
        few = ""
        if n_arms < pilot.n_confirm:
            few = f" ({pilot.n_confirm} were asked for, but no more trials ran to their end)"
        best = f"the best {plural(n_arms, 'arm')} by {first} of the search{few}"
        return f"Confirmed: {best}, each with {n_seeds}."
    few = ""
    if len(pilot.front) < pilot.n_confirm:
        few = f", which has {len(pilot.front)}, fewer than the {pilot.n_confirm} asked for"
    return (
        f"Confirmed: {plural(n_arms, 'arm')} of the Pareto front below{few}, the best by {first} "
        f"first, each with {n_seeds}. "
        "An arm off the front was not considered, however high its first score."
    )


def _front(pilot: Pilot) -> list[str]:
    """Several objectives: the trials that no other beats in all of them."""
    rows = []
    for trial_id in pilot.front:
        trial = _by_id(pilot, trial_id)
        scores = [_score(name, trial) for name in pilot.objectives]
        rows.append([_marked(pilot, trial), *scores])
    # no best-so-far: with several objectives there is no single best
    heading = (
        "Pareto front of the search: no other trial is better in every one of these. ✓ confirmed."
    )
    return [heading, table(["arm", *map(prose, pilot.objectives)], rows)]


def _best_so_far(pilot: Pilot) -> list[str]:
    """One objective: how the best score grew, and the trials that were confirmed."""
    name = pilot.objectives[0]
    score = f"{prose(name)}, pilot seed"
    # records alone: the many trials between them are in MLflow
    records = []
    for number, trial in _records(pilot.trials, name):
        records.append([_marked(pilot, trial), str(number), _score(name, trial)])
    chosen = []
    for trial_id in pilot.chosen:
        trial = _by_id(pilot, trial_id)
        chosen.append([_marked(pilot, trial), _score(name, trial)])
    return [
        "Each new best trial, in the order of proposals. ✓ confirmed.",
        table(["arm", "trial", score], records),
        "Confirmed arms:",
        table(["arm", score], chosen),
    ]


def _score(name: str, trial: PilotTrial) -> str:
    # NaN for a trial that was pruned or failed
    value = trial.scores.get(name, math.nan)
    if not is_score(value):
        return NOT_MEASURED
    # Costs and times span orders of magnitude; scores do not.
    if name.startswith("val/"):
        return f"{value:.3f}"
    return number_text(value)


def _by_id(pilot: Pilot, trial_id: str) -> PilotTrial:
    return next(trial for trial in pilot.trials if trial.trial_id == trial_id)


def _marked(pilot: Pilot, trial: PilotTrial) -> str:
    """The trial's name, with a mark where it was confirmed."""
    if trial.trial_id in pilot.chosen:
        return f"{code(trial.arm)} ✓"
    return code(trial.arm)


def _records(trials: Sequence[PilotTrial], name: str) -> list[tuple[int, PilotTrial]]:
    """Trials that were better than all before them, with their numbers from 1."""
    records: list[tuple[int, PilotTrial]] = []
    best = math.nan
    for number, trial in enumerate(trials, start=1):
        value = trial.scores.get(name, math.nan)
        if is_score(value) and (not records or is_better(name, value, than=best)):
            records.append((number, trial))
            best = value
    return records
