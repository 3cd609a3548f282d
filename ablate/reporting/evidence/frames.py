"""From a published study to data frames: one row per trial, one row per arm.

Pure functions; figures and text read nothing else.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from ablate.errors import CheckFailed
from ablate.in_order import present
from ablate.quoting import cell
from ablate.recipe.levels import level_text
from ablate.study.arm_record import arms_by_id
from ablate.study.choosing import best_of, is_better, is_score
from ablate.study.record import ArmRecord, StudyRecord
from ablate.study.tasks import all_metric_names
from ablate.tracking.events import TrialState
from ablate.tracking.records import PublishedRun, PublishedStudy

NOT_RUN = "NOT RUN"
"""State of a trial that the grid asks for and no run answers."""
# the first columns of trials.csv, before axes and metrics
_DESCRIPTION = ["arm", "arm_id", "trial_id", "seed", "state"]
_MEASURED_ON_THE_MACHINE = {"cost/peak_memory_mb"}
"""Not times, yet different in each run of the same trial: kept out of trials.csv, which equal
studies share."""

# what a run logs without a group
_COUNTS = frozenset({"best_epoch", "n_epochs", "n_steps"})
_GROUPS: Mapping[str, int] = {"val": 0, "test": 1, "cost": 3, "time": 4}
"""Groups of final metrics -> their place in tables; counts stand at 2."""


def number_text(value: float) -> str:
    """Six significant digits, whole numbers in full, nothing for NaN.

    Equal numbers give equal text.
    """
    if math.isnan(value):
        return ""
    # a float holds whole numbers up to 9e15: beyond, the last digits would be invented
    if float(value).is_integer() and abs(value) < 1e15:
        return str(int(value))
    # float32 computes with seven digits, of which the last depends on the machine
    return f"{value:.6g}"


def judged_runs(study: PublishedStudy) -> list[PublishedRun]:
    """The study's runs, without values that are not finite.

    A run that ended without a finite score to be chosen by is a failed one.
    """
    return [_judged(run, study.record.select_by) for run in study.runs]


def _judged(run: PublishedRun, select_by: str) -> PublishedRun:
    metrics = {}
    for name, value in run.metrics.items():
        if is_score(value):
            metrics[name] = value
    if run.status == TrialState.COMPLETE and select_by not in metrics:
        got = "its run has none"
        if select_by in run.metrics:
            got = f"got {run.metrics[select_by]:g}"
        return replace(
            run,
            metrics=metrics,
            status=TrialState.FAILED.value,
            failure=f"NoScore: {select_by} must be a finite number, {got}",
        )
    # the same object where nothing was dropped: a study has thousands of runs
    if len(metrics) == len(run.metrics):
        return run
    return replace(run, metrics=metrics)


def complete_runs(study: PublishedStudy, arm_id: str) -> list[PublishedRun]:
    """The arm's completed runs, in the order of the seeds."""
    return complete_among(run_of_trial(study), arm_id, seeds=study.record.seeds)


def complete_among(
    runs: Mapping[tuple[str, int], PublishedRun], arm_id: str, *, seeds: Sequence[int]
) -> list[PublishedRun]:
    """The same from what `run_of_trial` returned: whoever asks for many arms calls that once."""
    complete = []
    for seed in seeds:
        run = runs.get((arm_id, seed))
        if run is not None and run.status == TrialState.COMPLETE:
            complete.append(run)
    return complete


def best_run(study: PublishedStudy, arm_id: str) -> PublishedRun | None:
    """The arm's best run by `select_by`, the first of the seeds where they tie.

    It is the one that is logged as a model if the arm is the champion.
    """
    return best_among(complete_runs(study, arm_id), select_by=study.record.select_by)


def best_among(runs: Sequence[PublishedRun], *, select_by: str) -> PublishedRun | None:
    """The same of an arm's complete runs, in the order of the seeds."""
    return best_of(select_by, runs, lambda run: run.metrics[select_by])


def run_of_trial(study: PublishedStudy) -> dict[tuple[str, int], PublishedRun]:
    """Return (arm_id, seed) -> run for the arms and seeds of the record.

    Raises CheckFailed where two runs claim one trial.
    """
    arms = arms_by_id(study.record.arms)
    runs: dict[tuple[str, int], PublishedRun] = {}
    for run in judged_runs(study):
        # runs of an older grid file, see `second_stage_runs.stray_runs`
        if run.arm_id not in arms or run.seed not in study.record.seeds:
            continue
        # two runs of one trial: averaging or choosing would both be a silent decision
        other = runs.setdefault((run.arm_id, run.seed), run)
        if other is not run:
            raise CheckFailed(
                "a study must hold one run for each trial, "
                f"runs {other.run_id} and {run.run_id} both are arm {run.arm_id} "
                f"with seed {run.seed}"
            )
    return runs


def noise_runs(study: PublishedStudy) -> list[PublishedRun]:
    """Complete runs of the baseline arm in order of their seeds, the noise floor's included."""
    record = study.record
    # the study's own seeds are as good for the floor as the further ones
    seeds = {*record.seeds, *record.noise_seeds}
    replicates = []
    for run in judged_runs(study):
        is_replicate = run.arm_id == record.baseline_arm_id and run.seed in seeds
        if is_replicate and run.status == TrialState.COMPLETE:
            replicates.append(run)
    return sorted(replicates, key=lambda run: run.seed)


def trial_frame(study: PublishedStudy) -> pd.DataFrame:
    """One row for each arm and seed of the record, in that order, whether it was run or not.

    Columns: arm, arm_id, trial_id, seed, state, the axes (as text), then the final metrics,
    `time/*` last. Metrics of trials that are not COMPLETE are NaN: failure is a state, never a
    score; so is a value that is not finite.
    """
    runs = run_of_trial(study)
    complete = {}
    for trial, run_of_it in runs.items():
        if run_of_it.status == TrialState.COMPLETE:
            complete[trial] = run_of_it
    columns = _metric_columns(complete.values())
    rows = []
    for arm in study.record.arms:
        # axes are words in all tables: a level may be a number, a list or null
        levels = arm_levels(study.record, arm)
        for seed in study.record.seeds:
            run = runs.get((arm.arm_id, seed))
            row: dict[str, Any] = {"arm": arm.name, "arm_id": arm.arm_id, "seed": seed}
            row |= _state(run)
            row |= levels
            scored = complete.get((arm.arm_id, seed))
            if scored is not None:
                # values that are not finite are gone, see `judged_runs`; a missing one is NaN
                for name, value in scored.metrics.items():
                    row[name] = float(value)
            rows.append(row)
    return pd.DataFrame(rows, columns=[*_DESCRIPTION, *study.record.axes, *columns])


def _state(run: PublishedRun | None) -> dict[str, str]:
    if run is None:
        return {"trial_id": "", "state": NOT_RUN}
    return {"trial_id": run.trial_id, "state": run.status}


def arm_levels(record: StudyRecord, arm: ArmRecord) -> dict[str, str]:
    """Return axis -> the arm's level as text.

    `a|b` where the arm answers several cells that differ only in what cannot matter.
    """
    levels = {}
    for axis, order in record.axes.items():
        answered = set()
        for cell_of_arm in arm.cells:
            if axis in cell_of_arm:
                answered.add(level_text(cell_of_arm[axis]))
        # in the order of the grid, not of the cells, so that equal sets give equal words
        levels[axis] = "|".join(present(map(level_text, order), among=answered))
    return levels


def arm_frame(study: PublishedStudy, trials: pd.DataFrame) -> pd.DataFrame:
    """One row for each arm, the best mean of `select_by` first, arms without a score last.

    Ties keep the order of the grid. Columns: arm, arm_id, the axes, is_baseline, is_champion,
    n_seeds (complete trials), n_trials, then `<metric>/mean` and `<metric>/sd` over the seeds (SD
    with n - 1; NaN for one seed).
    """
    metrics = metric_names(trials)
    rows = []
    for arm in study.record.arms:
        # by id: two arms may bear one name
        of_arm = trials[trials["arm_id"] == arm.arm_id]
        row: dict[str, Any] = {
            "arm": arm.name,
            "arm_id": arm.arm_id,
            **arm_levels(study.record, arm),
            "is_baseline": arm.arm_id == study.record.baseline_arm_id,
            "is_champion": False,
            "n_seeds": int((of_arm["state"] == TrialState.COMPLETE).sum()),
            "n_trials": len(of_arm),
        }
        for name in metrics:
            row[f"{name}/mean"] = of_arm[name].mean()
            row[f"{name}/sd"] = of_arm[name].std(ddof=1)
        rows.append(row)
    arms = pd.DataFrame(rows)
    chosen = champion(study.record, trials)
    if chosen is not None:
        # set before sorting, and by id: the best mean may belong to an arm with too few seeds
        arms["is_champion"] = arms["arm_id"] == chosen.arm_id
    key = f"{study.record.select_by}/mean"
    if key not in arms:
        return arms
    # where 0 is better than 1, the lowest comes first
    ascending = is_better(study.record.select_by, 0.0, 1.0)
    return arms.sort_values(
        key, ascending=ascending, kind="stable", na_position="last", ignore_index=True
    )


def champion(record: StudyRecord, trials: pd.DataFrame) -> ArmRecord | None:
    """Return the arm with the best mean of `select_by`, the first of the grid where arms tie.

    None where no trial completed. Only arms with the most complete seeds compete, so that an arm
    whose other seeds failed does not win by the luck of one.
    """
    if record.select_by not in trials:
        return None
    scored = trials.dropna(subset=[record.select_by])
    by_arm = scored.groupby("arm_id")[record.select_by].agg(["mean", "size"])
    competing = by_arm[by_arm["size"] == by_arm["size"].max()]
    means = competing["mean"].to_dict()

    def mean_of(arm: ArmRecord) -> float:
        # NaN is never the best
        return float(means.get(arm.arm_id, math.nan))

    return best_of(record.select_by, record.arms, mean_of)


def metric_names(trials: pd.DataFrame) -> list[str]:
    """The metric columns of a trial frame, in their order."""
    names = []
    for name in trials.columns:
        group = name.split("/")[0]
        if name in _COUNTS or group in _GROUPS:
            names.append(name)
    return names


def trials_csv(trials: pd.DataFrame) -> str:
    """The trial frame as CSV, rows sorted by arm and seed.

    Equal studies differ only in the columns `time/*`.
    """
    columns = [name for name in trials.columns if name not in _MEASURED_ON_THE_MACHINE]
    # by name, so that a study whose grid lists its arms in another order gives the same file
    return csv_text(trials[columns].sort_values(["arm", "arm_id", "seed"], kind="stable"))


def csv_text(frame: pd.DataFrame) -> str:
    """CSV with `number_text` for floats, `true`/`false`, and `quoting.cell` for words and headers.

    Each line ends with `\\n`.
    """
    columns = []
    # by place, because two classes may bear one name
    for place in range(frame.shape[1]):
        columns.append(_printed_column(frame.iloc[:, place]))
    header = [cell(str(name)) for name in frame.columns]
    lines = [_csv_line(header)]
    lines += map(_csv_line, zip(*columns, strict=True))
    return "\n".join([*lines, ""])


def _csv_line(cells: Sequence[str]) -> str:
    """One line with every cell quoted that needs it, without the end of the line."""
    # With this terminator the writer quotes a lone \r too, which readers take for a line's end.
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue().removesuffix("\r\n")


def _printed_column(column: pd.Series[Any]) -> list[str]:
    printed: Callable[[Any], str] = _printed
    # before floats: what a column holds decides how each of its cells is printed
    if pd.api.types.is_bool_dtype(column):
        printed = _true_or_false
    elif pd.api.types.is_float_dtype(column):
        printed = number_text
    return list(map(printed, column.tolist()))


def _true_or_false(value: bool) -> str:
    return "true" if value else "false"


def _printed(value: Any) -> str:
    if pd.isna(value):
        return ""
    if isinstance(value, str):
        return cell(value)
    return str(value)


def _metric_columns(runs: Iterable[PublishedRun]) -> list[str]:
    """Every final metric that any of `runs` has, in the order of `metric_rank`.

    `param/*` mirrors and names of epochs are left out.
    """
    ranks = {}
    for run in runs:
        for name in run.metrics:
            rank = metric_rank(name)
            if rank is not None:
                ranks[name] = rank
    # the name breaks ties, e.g. of metrics that no task knows
    return sorted(ranks, key=lambda name: (ranks[name], name))


def metric_rank(name: str) -> tuple[int, int] | None:
    """Place of a final metric in tables: val, test, best epoch, cost, time.

    None for what is no final metric.
    """
    if name in _COUNTS:
        return 2, 0
    group, _, metric = name.partition("/")
    if group not in _GROUPS or not metric:
        return None
    order = all_metric_names()
    if metric in order:
        return _GROUPS[group], order.index(metric)
    # a metric of a later version comes after those that are known
    return _GROUPS[group], len(order)
