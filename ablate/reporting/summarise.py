"""From the tables of a report to its `report.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ablate.quoting import without_folders
from ablate.recipe.canonical import canonical
from ablate.reporting.evidence.arm_gaps import ArmGap
from ablate.reporting.evidence.choices import Choice
from ablate.reporting.evidence.confirmed import FreshGap
from ablate.reporting.evidence.effects import Effect
from ablate.reporting.evidence.frames import metric_names
from ablate.reporting.evidence.second_stage_runs import named_runs
from ablate.reporting.report_record import (
    ReportAddedArm,
    ReportArm,
    ReportCheck,
    ReportChoice,
    ReportConfirmation,
    ReportContrast,
    ReportData,
    ReportEffect,
    ReportFreshGap,
    ReportRecord,
    ReportScore,
    ReportStudy,
    ReportTracking,
    ReportTrial,
)
from ablate.reporting.results import Results
from ablate.study.provenance import Provenance
from ablate.study.record import ArmRecord, StudyRecord
from ablate.tracking.passwords import hide_passwords


def report_record(results: Results, *, files: Mapping[str, str]) -> ReportRecord:
    """Return what the report says. `files`: path below its folder -> digest."""
    record = results.record
    champion_arm_id = None
    if results.champion is not None:
        champion_arm_id = results.champion.arm_id
    return ReportRecord(
        study=_study(record),
        tracking=_tracking(results),
        data=_data(record),
        baseline_arm_id=record.baseline_arm_id,
        champion_arm_id=champion_arm_id,
        noise_floor_sd=_known(results.noise_floor.sd),
        arms=tuple(_arms(results)),
        effects=tuple(map(_effect, results.effects.all)),
        choices=tuple(map(_choice, results.choices)),
        confirmation=_confirmation(results),
        trials=tuple(_trials(results)),
        added_arms=tuple(_added_arms(results)),
        more_trials=tuple(_more_trials(results)),
        provenance=_provenance(results),
        checks=tuple(_checks(results)),
        has_images=results.thumbnails is not None,
        # sorted, so that equal reports are equal files
        files=dict(sorted(files.items())),
    )


def _study(record: StudyRecord) -> ReportStudy:
    return ReportStudy(
        grid=record.grid_name,
        study_id=record.study_id,
        question=record.question,
        task=record.task,
        select_by=record.select_by,
        design=record.design,
        axes=record.axes,
        seeds=record.seeds,
        noise_seeds=record.noise_seeds,
        margin=record.margin,
        image_size=record.image_size,
        command=record.command,
    )


def _tracking(results: Results) -> ReportTracking:
    # reports are published: neither passwords nor names of home folders belong in them
    uri = hide_passwords(results.study.tracking_uri)
    return ReportTracking(
        uri=without_folders(uri),
        experiment=results.record.grid_name,
        parent_run_id=results.study.parent_run_id,
    )


def _data(record: StudyRecord) -> ReportData:
    data = record.data
    return ReportData(
        source=data.source,
        requested_source=data.requested_source,
        title=data.title,
        version=data.version,
        licence=data.licence,
        is_synthetic=data.is_synthetic,
        fingerprint=data.fingerprint,
        split_rule=data.split_rule,
        class_names=data.class_names,
        n_images=data.n_images,
    )


def _arms(results: Results) -> list[ReportArm]:
    champion = results.champion
    arms = []
    # in the order of the frame: the best on val first
    for arm_id in results.arms["arm_id"]:
        arm = results.arm_of_id[arm_id]
        summary = ReportArm(
            arm_id=arm_id,
            name=arm.name,
            short_name=results.name(arm_id),
            is_baseline=arm_id == results.record.baseline_arm_id,
            is_champion=champion is not None and arm_id == champion.arm_id,
            # in differences, as people read it: a whole recipe has dozens of fields
            recipe=_differences(arm, results.baseline),
            tuned=arm.tuned,
            # of `select_by`: a trial counts as complete by its score on val
            n_seeds=int(results.number(arm_id, "n_seeds")),
            scores=_scores(results, arm_id),
            against_baseline=_contrast(results.gap_to_baseline(arm_id)),
            may_be_best=arm_id in results.may_be_best,
            card=f"cards/{results.slugs[arm_id]}.md",
        )
        arms.append(summary)
    return arms


def _differences(arm: ArmRecord, baseline: ArmRecord | None) -> dict[str, Any]:
    """The recipe's fields that matter, without those that the baseline has too."""
    # Canonical: a field that cannot matter for this recipe is no difference.
    fields = canonical(arm.recipe)
    if baseline is None or arm.arm_id == baseline.arm_id:
        return fields
    usual = canonical(baseline.recipe)
    differences = {}
    for name, value in fields.items():
        # A field that cannot matter for the baseline is left out there, and differs.
        if usual.get(name) != value:
            differences[name] = value
    return differences


def _scores(results: Results, arm_id: str) -> dict[str, ReportScore]:
    scores = {}
    for metric in metric_names(results.trials):
        mean = results.number(arm_id, f"{metric}/mean")
        if math.isfinite(mean):
            scores[metric] = ReportScore(
                mean=mean,
                sd=_known(results.number(arm_id, f"{metric}/sd")),
                low=_known(results.number(arm_id, f"{metric}/low")),
                high=_known(results.number(arm_id, f"{metric}/high")),
            )
    return scores


def _contrast(gap: ArmGap | None) -> ReportContrast | None:
    if gap is None:
        return None
    return ReportContrast(
        difference=gap.difference,
        low=_known(gap.judged.low),
        high=_known(gap.judged.high),
        p_corrected=_known(gap.judged.p),
        n_seeds=gap.n_seeds,
        verdict=gap.judged.verdict.value,
        seeds_to_settle=gap.seeds_to_settle,
    )


def _choice(choice: Choice) -> ReportChoice:
    neighbour = choice.neighbour
    return ReportChoice(
        axis=neighbour.axis,
        chosen=neighbour.chosen,
        level=neighbour.level,
        arm_id=neighbour.arm_id,
        difference=choice.judged.estimate.value,
        low=_known(choice.judged.low),
        high=_known(choice.judged.high),
        p_corrected=_known(choice.judged.p),
        verdict=choice.judged.verdict.value,
        is_shared=choice.is_shared,
    )


def _effect(effect: Effect) -> ReportEffect:
    comparison = effect.comparison
    return ReportEffect(
        kind=comparison.kind,
        name=comparison.name,
        is_exploratory=effect.is_exploratory,
        axes=comparison.axes,
        levels=comparison.levels,
        against=comparison.against,
        metric=effect.metric,
        estimate=_known(effect.estimate),
        low=_known(effect.judged.low),
        high=_known(effect.judged.high),
        p_corrected=_known(effect.judged.p),
        verdict=effect.verdict.value,
        omega_squared=_known(effect.share),
        smallest_detectable=_known(effect.smallest_effect),
        seeds_to_settle=effect.seeds_to_settle,
        n_seeds=effect.n_seeds,
        n_pairs=effect.n_pairs,
    )


def _trials(results: Results) -> list[ReportTrial]:
    # by trial: the frame has no run ids, as equal studies must have equal tables
    run_ids = {run.trial_id: run.run_id for run in results.study.runs}
    trials = []
    for row in results.trials.to_dict("records"):
        # the frame has an empty word for a trial that was not run
        trial_id = row["trial_id"] or None
        trial = ReportTrial(
            arm_id=row["arm_id"],
            seed=int(row["seed"]),
            state=row["state"],
            trial_id=trial_id,
            run_id=run_ids.get(trial_id or ""),
        )
        trials.append(trial)
    return trials


def _added_arms(results: Results) -> list[ReportAddedArm]:
    added = results.added
    if added is None:
        return []
    arms = []
    for arm in added.arms:
        scores = {}
        for metric in metric_names(added.trials):
            mean = added.mean(arm.arm_id, metric)
            if math.isfinite(mean):
                scores[metric] = ReportScore(mean=mean, sd=_known(added.sd(arm.arm_id, metric)))
        summary = ReportAddedArm(
            arm_id=arm.arm_id,
            name=arm.name,
            short_name=results.name(arm.arm_id),
            recipe=_differences(arm, results.baseline),
            n_seeds=added.n_seeds(arm.arm_id, results.record.select_by),
            scores=scores,
        )
        arms.append(summary)
    return arms


def _more_trials(results: Results) -> list[ReportTrial]:
    """Trials outside the tables of arms, each with its run."""
    trials = []
    for run in named_runs(results.study).values():
        # those stand in `trials`
        if run.seed in results.record.seeds and run.arm_id in results.arm_of_id:
            continue
        trial = ReportTrial(
            arm_id=run.arm_id,
            seed=run.seed,
            state=run.status,
            trial_id=run.trial_id,
            run_id=run.run_id,
        )
        trials.append(trial)
    return trials


def _confirmation(results: Results) -> ReportConfirmation | None:
    confirmed = results.confirmed
    if confirmed is None:
        return None
    return ReportConfirmation(
        chosen_with=confirmed.choice.chosen_with,
        champion_arm_id=confirmed.choice.champion_arm_id,
        seeds=results.record.fresh_seeds,
        gaps=tuple(map(_fresh_gap, confirmed.gaps)),
    )


def _fresh_gap(fresh: FreshGap) -> ReportFreshGap:
    judged = fresh.judged
    return ReportFreshGap(
        what=fresh.what,
        arm_id=fresh.arm_id,
        against_arm_id=fresh.against,
        difference=_known(judged.estimate.value),
        low=_known(judged.low),
        high=_known(judged.high),
        p=_known(judged.p),
        n_seeds=judged.estimate.n_seeds,
        verdict=judged.verdict.value,
    )


def _provenance(results: Results) -> tuple[Provenance, ...]:
    # a list, not a set: provenance holds a dict, which has no hash
    found: list[Provenance] = []
    # by arm and seed, not by time: equal studies list their versions in one order
    for arm in results.record.arms:
        for run in results.complete_runs(arm.arm_id):
            # Usually one for all runs; several tell of a study that went on with other versions.
            if run.provenance not in found:
                found.append(run.provenance)
    return tuple(found)


def _checks(results: Results) -> list[ReportCheck]:
    data = results.record.data
    n_found: dict[str, int | None] = {"near_duplicates_across_splits": None}
    if data.near_duplicates is not None:
        n_found["near_duplicates_across_splits"] = data.near_duplicates.n_pairs
    # What a task looks for by itself, labels in doubt say.
    n_found |= results.insight.checks()
    # A count of 0 is an answer: somebody looked. Null means that nobody did.
    n_found["files_of_several_frames"] = data.n_first_frames
    if data.n_tested_groups is not None:
        n_found["groups_of_test"] = data.n_tested_groups
    for split in ("val", "test"):
        counts: Sequence[int] = data.class_counts.get(split, ())
        n_found[f"classes_absent_from_{split}"] = counts.count(0)
    return [ReportCheck(name=name, n_found=n) for name, n in n_found.items()]


def _known(value: float) -> float | None:
    """JSON has no NaN, and no infinity."""
    if not math.isfinite(value):
        return None
    # float, because a NumPy number is none to JSON
    return float(value)
