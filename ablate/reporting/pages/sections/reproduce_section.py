"""The report on how to make it again: command, commit, versions, runs, tables."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.quoting import code, one_line, text
from ablate.reporting.evidence.tables import run_of_trial, stray_runs
from ablate.reporting.pages.tables import table_names
from ablate.reporting.results import NOT_MEASURED, Results, ShowFigure, shared_fact
from ablate.reporting.text.markdown import bullets, code_block, join_sections, plural, table
from ablate.tracking.records import PublishedRun

_COMMIT_NAMES = ("commit", "mlflow.source.git.commit")
_VERSION_NAMES = ("versions", "version", "python", "torch", "timm", "torchvision", "peft")


def reproduce_section(results: Results, _show: ShowFigure) -> str:
    """The command, what it needs, and every run."""
    command = code_block(one_line(results.record.command), language="sh")
    parts = ["## How to reproduce", command, bullets(_facts(results)), _files(results)]
    return join_sections([*parts, _runs(results)]).rstrip()


def _facts(results: Results) -> list[str]:
    runs = []
    for arm in results.record.arms:
        runs += results.complete_runs(arm.arm_id)
    study, record = results.study, results.record
    lines = [
        f"commit: {text(_commit(runs))}",
        f"versions: {_versions(runs)}",
        f"MLflow: experiment {code(record.grid_name)}, parent run {code(study.parent_run_id)}, "
        f"study {code(record.study_id)}",
    ]
    strays = ", ".join(code(run.run_id) for run in stray_runs(study))
    if strays:
        why = "because the grid file no longer names their arm or seed"
        lines.append(f"left out, {why}: runs {strays}")
    return lines


def _commit(runs: Sequence[PublishedRun]) -> str:
    for name in _COMMIT_NAMES:
        commit = shared_fact(runs, name)
        if commit != NOT_MEASURED:
            return commit
    return NOT_MEASURED


def _versions(runs: Sequence[PublishedRun]) -> str:
    versions = []
    for name in _VERSION_NAMES:
        version = shared_fact(runs, name)
        if version != NOT_MEASURED:
            versions.append(f"{name} {text(version)}")
    return ", ".join(versions) or NOT_MEASURED


def _files(results: Results) -> str:
    record = results.record
    names = ", ".join(code(f"{name}.csv") for name in table_names(results))
    metrics = ", ".join(results.task.metrics_of(len(record.data.class_names)))
    return f"As tables: {names} (metrics {metrics}). Cards: `cards/`. In one file: `report.html`."


def _runs(results: Results) -> str:
    by_trial = run_of_trial(results.study)
    rows = []
    for arm in results.record.arms:
        for seed in results.record.seeds:
            run = by_trial.get((arm.arm_id, seed))
            if run is not None:
                rows.append([code(arm.name), str(seed), code(run.run_id), code(run.trial_id)])
    listed = table(["arm", "seed", "MLflow run", "trial"], rows, n_text_columns=4)
    # Hundreds of runs are folded away; GitHub and the page both open them.
    summary = f"<details><summary>{plural(len(rows), 'run')}</summary>"
    return f"{summary}\n\n{listed}\n\n</details>"
