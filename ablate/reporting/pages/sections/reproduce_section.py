"""The report on how to make it again: command, commit, versions, runs, tables."""

from __future__ import annotations

from ablate.quoting import code, one_line, text
from ablate.reporting.evidence.second_stage_runs import added_runs, fresh_runs, stray_runs
from ablate.reporting.pages.csv_files import table_names
from ablate.reporting.results import Results, ShowFigure
from ablate.reporting.text.facts import commit_text, versions_text
from ablate.reporting.text.layout import folded_list
from ablate.reporting.text.markdown import bullets, code_block, join_sections, table
from ablate.tracking.records import PublishedRun


def reproduce_section(results: Results, _show: ShowFigure) -> str:
    """The command, what it needs, and every run."""
    # one line, because a second one could be another command
    command = code_block(one_line(results.record.command), language="sh")
    parts = ["## How to reproduce", command, bullets(_facts(results)), _files(results)]
    return join_sections([*parts, _runs(results)]).rstrip()


def _facts(results: Results) -> list[str]:
    runs = []
    for arm in results.record.arms:
        runs += results.complete_runs(arm.arm_id)
    study = results.study
    record = results.record
    lines = [
        f"commit: {text(commit_text(runs))}",
        f"versions: {versions_text(runs)}",
        f"MLflow: experiment {code(record.grid_name)}, parent run {code(study.parent_run_id)}, "
        f"study {code(record.study_id)}",
    ]
    strays = [code(run.run_id) for run in stray_runs(study)]
    if strays:
        why = "because the grid file no longer names their arm or seed"
        lines.append(f"left out, {why}: runs {', '.join(strays)}")
    return lines


def _files(results: Results) -> str:
    record = results.record
    tables = [code(f"{name}.csv") for name in table_names(results)]
    names = ", ".join(tables)
    metrics = ", ".join(results.task.metrics_of(len(record.data.class_names)))
    return f"As tables: {names} (metrics {metrics}). Cards: `cards/`. In one file: `report.html`."


def _runs(results: Results) -> str:
    rows = []
    for arm in results.record.arms:
        for seed in results.record.seeds:
            run = results.run_of_trial.get((arm.arm_id, seed))
            if run is not None:
                rows.append(_run_row(results, run))
    # below the design's own, as everywhere
    for run in (*added_runs(results.study), *fresh_runs(results.study)):
        rows.append(_run_row(results, run))
    listed = table(["arm", "seed", "MLflow run", "trial"], rows, n_text_columns=4)
    # hundreds of runs, of which a reader wants one
    return folded_list(len(rows), "run", listed)


def _run_row(results: Results, run: PublishedRun) -> list[str]:
    return [code(results.name(run.arm_id)), str(run.seed), code(run.run_id), code(run.trial_id)]
