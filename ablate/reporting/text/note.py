"""What MLflow shows as a study's description: the short form of its report."""

from __future__ import annotations

import math

from ablate.errors import plural
from ablate.quoting import code, text
from ablate.reporting.report_record import (
    ReportArm,
    ReportContrast,
    ReportEffect,
    ReportFreshGap,
    ReportRecord,
)
from ablate.reporting.results import prose
from ablate.reporting.text.markdown import bullets, mean_sd, points

_N_EFFECTS = 3


def study_note(record: ReportRecord) -> str:
    """The question, the data, the best arm, what may be claimed, and where the report is."""
    # MLflow shows the description above its tables of runs: a few lines, the rest is an artifact.
    lines = [_data_line(record), _trials_line(record), _champion_line(record)]
    champion = record.champion
    if champion is not None and champion.against_baseline is not None:
        baseline = record.arm(record.baseline_arm_id)
        lines.append(_gap_line(champion.against_baseline, baseline))
    if record.confirmation is not None:
        lines += map(_fresh_line, record.confirmation.gaps)
    lines.append(_effects_line(record))
    title = text(record.study.question) or code(record.study.grid)
    return (
        f"# {title}\n\n{bullets(lines)}\n\n"
        "The whole report: artifact `report/report.html`; for programs, `report/report.json`."
    )


def _data_line(record: ReportRecord) -> str:
    data = record.data
    sizes = []
    for split, count in data.n_images.items():
        sizes.append(f"{split} {count:,}")
    line = f"{text(data.title)}: {len(data.class_names)} classes; images: {', '.join(sizes)}."
    # a fallback's results are not the data set's, so it stands before everything
    if data.source == data.requested_source:
        return line
    return f"**Fallback data**: {code(data.requested_source)} is not available. {line}"


def _trials_line(record: ReportRecord) -> str:
    n_complete = sum(trial.state == "COMPLETE" for trial in record.trials)
    return (
        f"{plural(len(record.arms), 'arm')} x {plural(len(record.study.seeds), 'seed')}: "
        f"{n_complete} of {plural(len(record.trials), 'trial')} complete."
    )


def _champion_line(record: ReportRecord) -> str:
    champion = record.champion
    if champion is None:
        return "No trial completed, so there is no best arm."
    scores = []
    for metric in (record.study.select_by, *_test_metrics(record)):
        if metric in champion.scores:
            scores.append(f"{prose(metric)} {_score(champion, metric)}")
    # records that older versions wrote have no short names
    name = champion.short_name or champion.name
    return f"Best arm on val: **{code(name)}**, {', '.join(scores)}."


def _test_metrics(record: ReportRecord) -> list[str]:
    """The metrics that effects are computed in."""
    # each once, the primary one first, as effects are listed
    metrics: dict[str, None] = {}
    for effect in record.effects:
        metrics[effect.metric] = None
    return list(metrics)


def _score(arm: ReportArm, metric: str) -> str:
    score = arm.scores[metric]
    return mean_sd(score.mean, _number(score.sd))


def _number(value: float | None) -> float:
    # JSON has no NaN: report.json writes null for what was not measured.
    if value is None:
        return math.nan
    return value


def _gap_line(gap: ReportContrast, baseline: ReportArm) -> str:
    line = f"Against the baseline ({code(baseline.name)}): {points(gap.difference)} points"
    if gap.low is not None and gap.high is not None:
        line += f" (interval {points(gap.low)} to {points(gap.high)})"
    return f"{line}, {_verdict_words(gap.verdict)}."


def _verdict_words(verdict: str) -> str:
    # "no larger" than what: the note does not name the margin's size
    if verdict == "no larger":
        return "within the margin"
    return verdict


def _fresh_line(gap: ReportFreshGap) -> str:
    reference = "the baseline"
    if gap.what != "best arm":
        reference = "the best arm"
    line = f"Fresh seeds, {gap.what} against {reference}: "
    # no fresh seed, or only one, has completed in both arms yet
    if gap.difference is None or gap.low is None or gap.high is None:
        return f"{line}nothing can be said yet."
    return (
        f"{line}{points(gap.difference)} points (interval {points(gap.low)} to "
        f"{points(gap.high)}, {plural(gap.n_seeds, 'seed')}), {_verdict_words(gap.verdict)}."
    )


def _effects_line(record: ReportRecord) -> str:
    settled = []
    for effect in _promised(record):
        if effect.verdict in ("better", "worse"):
            settled.append(effect)
    if not settled:
        return "What matters: no difference is certain."
    # as the report's summary has them: the largest first
    settled.sort(key=lambda effect: -abs(effect.estimate or 0.0))
    effects = list(map(_effect_text, settled[:_N_EFFECTS]))
    if len(settled) > _N_EFFECTS:
        effects.append(f"{len(settled) - _N_EFFECTS} more")
    return f"What matters: {'; '.join(effects)}."


def _promised(record: ReportRecord) -> list[ReportEffect]:
    """As `Effects.promised`: the questions, or all where none is declared, in the first metric."""
    kinds = {effect.kind for effect in record.effects}
    promised = []
    for effect in record.effects:
        # the record lists effects of the primary metric before those of the secondary one
        is_first = effect.metric == record.effects[0].metric
        if is_first and (effect.kind == "question" or "question" not in kinds):
            promised.append(effect)
    return promised


def _effect_text(effect: ReportEffect) -> str:
    """`lora_rank=8` or a question, with its size and verdict."""
    name = code(effect.name)
    if effect.kind == "question":
        name = text(effect.name)
    size = f"{points(effect.estimate or 0.0)} points of {prose(effect.metric)}"
    return f"{name} {size} ({effect.verdict})"
