"""Where a network of a card comes from: what it took, how to load it, which runs it is."""

from __future__ import annotations

from ablate.quoting import code, text
from ablate.reporting.evidence.pareto import COSTS
from ablate.reporting.results import NOT_MEASURED, Results, prose
from ablate.reporting.text.conclusions import metric_cell
from ablate.reporting.text.facts import boundary_text, commit_text, shared_text
from ablate.reporting.text.markdown import code_block, count, join_sections, table
from ablate.study.record import ArmRecord
from ablate.tracking.records import PublishedRun

# of the architecture, not of a training
_EQUAL_IN_ALL_SEEDS = {"cost/n_trainable", "cost/n_parameters", "cost/macs"}


def compute_section(results: Results, arm: ArmRecord) -> str:
    """Device, precision, and every cost."""
    runs = results.complete_runs(arm.arm_id)
    rows = {
        "device": text(shared_text(runs, lambda facts: facts.device)),
        "precision": text(shared_text(runs, lambda facts: facts.precision)),
        "s per trial, in total": metric_cell(results, arm.arm_id, "time/total_s", digits=1),
    }
    for cost in COSTS:
        # ± 0 would look like a measurement.
        if cost.metric in _EQUAL_IN_ALL_SEEDS:
            rows[cost.title] = count(results.number(arm.arm_id, f"{cost.metric}/mean"))
        else:
            rows[cost.title] = metric_cell(results, arm.arm_id, cost.metric, digits=cost.digits)
    listed = table(["what", "value"], rows.items(), n_text_columns=2)
    return f"## Compute\n\nMeans ± SD over seeds.\n\n{listed}"


def loading_section(results: Results, arm: ArmRecord) -> str:
    """Code that loads the arm's best run by val and tries it on an image."""
    # The run that `log_champion` logs as a model: both take it from best_run, or the first
    # block would name a run without one.
    run = results.best_run(arm.arm_id)
    if run is None:
        return f"## How to load it\n\n{NOT_MEASURED.capitalize()}: no trial of this arm completed."
    words = results.insight.words
    is_champion = results.champion is not None and results.champion.arm_id == arm.arm_id
    note = (
        f"Seed {run.seed}, its best by {prose(results.record.select_by)}. "
        "`MLFLOW_TRACKING_URI` names the store that holds the study."
    )
    templates = [words.load_run]
    if is_champion:
        templates = [words.load_champion, words.load_run]
    blocks = [_code_block(template, run, results) for template in templates]
    return join_sections(["## How to load it", note, *blocks]).rstrip()


def _code_block(template: str, run: PublishedRun, results: Results) -> str:
    class_names = list(results.record.data.class_names)
    # names of classes may hold braces: what is filled in is not read again
    filled = template.format(run_id=run.run_id, class_names=class_names)
    return code_block(filled, language="python")


def lineage_section(results: Results, arm: ArmRecord) -> str:
    """Arm, runs, fingerprints, versions: by what everything above can be found again."""
    runs = results.complete_runs(arm.arm_id)
    run_ids = [f"seed {run.seed} {code(run.run_id)}" for run in runs]
    rows = {
        "arm": code(arm.arm_id),
        "MLflow parent run": code(results.study.parent_run_id),
        "MLflow runs": ", ".join(run_ids) or NOT_MEASURED,
        "data fingerprint": code(results.record.data.fingerprint),
        "pretrained weights": text(shared_text(runs, lambda facts: facts.weights_source)),
        "weights digest": text(shared_text(runs, lambda facts: facts.weights_digest)),
        "freeze boundary": text(shared_text(runs, boundary_text)),
        "commit": text(commit_text(runs)),
        "torch": text(shared_text(runs, lambda facts: facts.torch)),
        "command": code(results.record.command),
    }
    return "## Lineage\n\n" + table(["what", "value"], rows.items(), n_text_columns=2)
