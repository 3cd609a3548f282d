"""From a published study and its predictions to every table of the report."""

from __future__ import annotations

from dataclasses import replace

from ablate.reporting.evidence.added_arms import added_arms, whole_choices
from ablate.reporting.evidence.arm_intervals import with_intervals
from ablate.reporting.evidence.confirmed import confirmed
from ablate.reporting.evidence.frames import arm_frame, trial_frame
from ablate.reporting.evidence.judgement import judge_study
from ablate.reporting.evidence.noise_floor import noise_floor
from ablate.reporting.insights import insight_of
from ablate.reporting.predictions.read import Predictions, Readings, read_study
from ablate.reporting.predictions.replicates import replicate_arrays
from ablate.reporting.results import Results, card_slugs
from ablate.tracking.records import PublishedStudy


def compute_results(study: PublishedStudy, predictions: Predictions) -> Results:
    """Compute every table of the report. Reads the predictions of each complete run once."""
    results = results_of(study, read_study(study, predictions))
    # the one place where added arms come in: they were trained to complete these comparisons
    around = results.choices
    if results.champion is not None:
        around = whole_choices(
            study,
            predictions,
            best=results.champion,
            found=results.choices,
            effects=results.effects,
            to_baseline=results.to_baseline,
        )
    # Apart: nothing above may see a fresh seed or an arm that results added.
    return replace(
        results,
        choices=around,
        added=added_arms(study),
        confirmed=confirmed(study, predictions),
    )


def results_of(study: PublishedStudy, readings: Readings) -> Results:
    """All but fresh seeds and added arms, from predictions that were read before."""
    record = study.record
    trials = trial_frame(study)
    # the same resamples for all that follows, so that one comparison has one interval everywhere
    replicates = replicate_arrays(readings, record)
    insight = insight_of(readings, record)
    # Intervals before the task's columns: these may be about scores, never the other way round.
    arms = with_intervals(arm_frame(study, trials), record, trials, replicates)
    judged = judge_study(record, trials, replicates, order=arms["arm_id"].tolist())
    return Results(
        study=study,
        trials=trials,
        arms=insight.with_columns(arms, record),
        effects=judged.effects,
        noise_floor=noise_floor(study, trials),
        champion=judged.champion,
        to_baseline=judged.to_baseline,
        choices=judged.choices,
        may_be_best=judged.may_be_best,
        insight=insight,
        slugs=card_slugs(record),
    )
