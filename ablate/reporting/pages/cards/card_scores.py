"""The scores of a card: all metrics over the seeds, and seed by seed."""

from __future__ import annotations

import math

from ablate.quoting import code
from ablate.reporting.results import NOT_MEASURED, Results, best_epoch, prose, shown_scores
from ablate.reporting.text import conclusions, study_sentences
from ablate.reporting.text.markdown import join_sections, score, table
from ablate.reporting.text.split_sentences import scores_by_seed_note, seeds_in_words
from ablate.study.record import ArmRecord


def scores_section(results: Results, arm: ArmRecord) -> str:
    """Every metric on val and on test, with the interval on test where it is known."""
    rows = []
    for metric in results.task.metrics_of(len(results.record.data.class_names)):
        # val beside test: a large gap between the two is what a reader looks for here
        val = conclusions.metric_cell(results, arm.arm_id, f"val/{metric}")
        test = conclusions.metric_cell(results, arm.arm_id, f"test/{metric}")
        rows.append([prose(metric), val, test, _interval(results, arm, metric)])
    data = results.record.data
    drawn_again = study_sentences.drawn_again(data)
    seeds = seeds_in_words(data)
    note = (
        f"Mean ± SD over {seeds}. The epoch was chosen by {prose(results.record.select_by)}; "
        "test was scored once per trial. The interval of the mean on test allows for other "
        f"{drawn_again} and other {seeds}; the arms lend each other their spread over seeds."
    )
    header = ["metric", "val", "test", "95 % interval, test"]
    parts = ["## Results", note, table(header, rows), results.insight.score_note(results, arm)]
    return join_sections(parts).rstrip()


def _interval(results: Results, arm: ArmRecord, metric: str) -> str:
    low = results.number(arm.arm_id, f"test/{metric}/low")
    high = results.number(arm.arm_id, f"test/{metric}/high")
    if math.isnan(low):
        return NOT_MEASURED
    return f"{low:.3f} to {high:.3f}"


def by_seed_section(results: Results, arm: ArmRecord) -> str:
    """One row per complete run."""
    runs = results.complete_runs(arm.arm_id)
    if not runs:
        return f"### By seed\n\n{NOT_MEASURED.capitalize()}: no trial of this arm completed."
    # what chooses first, as in the table of arms
    metrics = [*shown_scores(results.record), *results.insight.words.scores_by_seed]
    rows = []
    for run in runs:
        # Not every version logged every metric.
        scores = [score(run.metrics.get(name, math.nan)) for name in metrics]
        epoch = best_epoch(run, results.record.select_by)
        epoch_text = NOT_MEASURED
        if epoch is not None:
            epoch_text = str(epoch)
        rows.append([str(run.seed), *scores, epoch_text, code(run.run_id)])
    header = ["seed", *map(prose, metrics), "best epoch", "MLflow run"]
    note = scores_by_seed_note(results.record.data)
    return join_sections(["### By seed", note, table(header, rows)]).rstrip()
