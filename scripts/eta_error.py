"""How far the predicted end of a study is from its end: recorded trials, played again.

The seconds of each trial of a report (`trials.csv`) on two slots, in the order in which a study
runs them; epochs are taken as evenly long. Of a study's folder, its journal is played as it is.
What a `StudyClock` says when 5, 10, 25 and 50 % of the time have passed is compared with the truth.

run: .venv/bin/python scripts/eta_error.py [reports/textile ...]
"""

from __future__ import annotations

import csv
import heapq
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ablate.grid.parse import load_grid
from ablate.recipe.recipe import Recipe
from ablate.scheduling.remaining import StudyClock
from ablate.scheduling.study_folder import JOURNAL, StudyFolder
from ablate.scheduling.work_units import WorkUnits
from ablate.study.trial import DataSpec, Trial
from ablate.study.trial_facts import TrialFacts
from ablate.tracking.events import (
    EpochEnded,
    Event,
    TrialEnded,
    TrialOutcome,
    TrialStarted,
    TrialState,
)

Recipes = Mapping[str, Recipe]
"""trial_id -> recipe."""
ROOT = Path(__file__).parents[1]
N_SLOTS = 2
SHARES = (0.05, 0.1, 0.25, 0.5)
"""Of the time from the first start to the last end."""


@dataclass(frozen=True)
class Recorded:
    """A trial as a report has it."""

    trial: Trial
    seconds: float
    prefix_s: float
    once_s: float
    """Of all that is no training, what another seed of the arm did not need: imports, mostly."""
    n_epochs: int


def recorded(report: Path) -> list[Recorded]:
    """The complete trials of a report, in the order of the grid: seed by seed."""
    grid = load_grid(ROOT / "experiments" / f"{report.name}.yaml")
    base = grid.base.model_dump()
    with (report / "trials.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["state"] == "COMPLETE"]
    least_s: dict[str, float] = {}
    for row in rows:
        least_s[row["arm_id"]] = min(_rest_s(row), least_s.get(row["arm_id"], math.inf))
    trials = []
    for row in rows:
        trial = Trial(
            task=grid.task,
            data=DataSpec(source="folder"),
            data_fingerprint="",
            recipe=Recipe(**{**base, **_levels(row)}),
            select_by=grid.select_by,
            seed=int(row["seed"]),
        )
        one = Recorded(
            trial,
            seconds=float(row["time/total_s"]),
            prefix_s=float(row["time/prefix_s"]),
            once_s=_rest_s(row) - least_s[row["arm_id"]],
            n_epochs=int(row["n_epochs"]),
        )
        trials.append(one)
    return sorted(trials, key=lambda one: one.trial.seed)


def _rest_s(row: dict[str, str]) -> float:
    """Seconds of a trial that were neither training nor its prefix."""
    total_s = float(row["time/total_s"])
    return max(0.0, total_s - float(row["time/prefix_s"]) - float(row["time/train_s"]))


def _levels(row: dict[str, str]) -> dict[str, Any]:
    """The fields of the recipe that a row names: its axes, or in a search its arm's words."""
    levels = {}
    for name, text in row.items():
        if name in Recipe.model_fields and text:
            levels[name] = _level(text)
    if levels:
        return levels
    for word in row["arm"].split():
        name, _, text = word.partition("=")
        levels[name] = _level(text)
    return levels


def _level(text: str) -> Any:
    # Of a merged arm the first: its levels do not matter.
    return yaml.safe_load(text.partition("|")[0])


def played(trials: Sequence[Recorded]) -> list[Event]:
    """The events of a study of these trials, in the order of their times, from 0."""
    by_id = {one.trial.trial_id: one for one in trials}
    units = WorkUnits([one.trial for one in trials], _unit)
    busy: list[tuple[float, int, str]] = []
    events: list[Event] = []
    now = 0.0
    free = list(range(N_SLOTS))
    while True:
        while free and (trial := units.take()) is not None:
            slot = free.pop()
            one = by_id[trial.trial_id]
            events += _events(one, slot=slot, at=now)
            heapq.heappush(busy, (now + one.seconds, slot, trial.trial_id))
        if not busy:
            break
        now, slot, trial_id = heapq.heappop(busy)
        units.ended(by_id[trial_id].trial, is_complete=True)
        free.append(slot)
    return sorted(events, key=lambda event: event.at)


def _unit(trial: Trial) -> str | None:
    recipe = trial.recipe
    if recipe.freeze_depth == 0:
        return None
    is_for_all_seeds = recipe.augment == "none" and recipe.weights != "none"
    seed = "" if is_for_all_seeds else trial.seed
    return f"{recipe.backbone} {recipe.augment} {seed}"


def _events(one: Recorded, *, slot: int, at: float) -> Iterator[Event]:
    trial_id = one.trial.trial_id
    yield TrialStarted(trial_id, 1, f"cpu:{slot}", at)
    before_s = one.prefix_s + one.once_s
    for epoch in range(one.n_epochs):
        share = (epoch + 1) / one.n_epochs * 0.99
        ended_at = at + before_s + (one.seconds - before_s) * share
        yield EpochEnded(trial_id, 1, epoch, one.n_epochs, {}, at=ended_at)
    metrics = {"time/prefix_s": one.prefix_s, "time/total_s": one.seconds}
    outcome = TrialOutcome(best_epoch=0, metrics=metrics, facts=TrialFacts(), files=())
    yield TrialEnded(trial_id, 1, TrialState.COMPLETE, at + one.seconds, outcome)


def in_journal(folder: Path) -> tuple[Recipes, list[Event]]:
    """The recipes and the events of a study that was run here, less those of trials that left."""
    plan = StudyFolder(folder).read_plan()
    recipes = {trial.trial_id: trial.recipe for trial in plan.trials}
    events = StudyFolder(folder).journal.read()
    return recipes, [event for event in events if event.trial_id in recipes]


def errors(recipes: Recipes, events: Sequence[Event]) -> list[float | None]:
    """Predicted whole time / true whole time - 1, at each of `SHARES`; None: nothing was said."""
    began = min(event.at for event in events)
    whole_s = max(event.at for event in events) - began
    found: list[float | None] = []
    for share in SHARES:
        now = began + share * whole_s
        clock = StudyClock(recipes, len(recipes))
        clock.hear_all(event for event in events if event.at <= now)
        left = clock.left(now)
        error = None
        if left is not None:
            error = (share * whole_s + left.seconds) / whole_s - 1
        found.append(error)
    return found


def main() -> None:
    """Print a table of the reports."""
    reports = [Path(name) for name in sys.argv[1:]] or sorted((ROOT / "reports").iterdir())
    heads = " | ".join(f"{share:.0%}" for share in SHARES)
    lines = [f"| report | trials | {heads} |", "|---|--:|" + "--:|" * len(SHARES)]
    for report in reports:
        if (report / JOURNAL).exists():
            recipes, events = in_journal(report)
        else:
            trials = recorded(report)
            recipes = {one.trial.trial_id: one.trial.recipe for one in trials}
            events = played(trials)
        cells = []
        for error in errors(recipes, events):
            cells.append("-" if error is None else f"{error:+.0%}")
        lines.append(f"| {report.name} | {len(recipes)} | {' | '.join(cells)} |")
    print("\n".join(lines))  # noqa: T201


if __name__ == "__main__":
    main()
