"""The first lines of a card: what it is, on which data, how far from the baseline."""

from __future__ import annotations

from ablate.errors import plural
from ablate.quoting import code, text
from ablate.reporting.results import NOT_MEASURED, Results
from ablate.reporting.text import conclusions, study_sentences
from ablate.reporting.text.confirmation_sentences import card_sentence
from ablate.reporting.text.markdown import bullets, join_sections
from ablate.study.record import ArmRecord


def opening_text(results: Results, arm: ArmRecord) -> str:
    """Role in the study, data with their warnings, gap to the baseline, what fresh seeds say."""
    parts = [
        _what_it_is(results, arm),
        study_sentences.data_sentence(results),
        bullets(study_sentences.absent_sentences(results)),
        _gap(results, arm),
        # beside the gap that chose it: the best of many looks better than it is
        card_sentence(results, arm.arm_id),
    ]
    return join_sections(parts).rstrip()


def _what_it_is(results: Results, arm: ArmRecord) -> str:
    record = results.record
    # e.g. "image classification"
    purpose = results.task.hub_task.replace("-", " ")
    question = text(record.question) or "no question was written down"
    n_seeds = int(results.number(arm.arm_id, "n_seeds"))
    return (
        f"{code(arm.recipe.backbone)}, fine-tuned for {purpose}: {_role(results, arm)} of the "
        f"study {code(record.grid_name)} ({question}). Its levels: {code(arm.name)}. "
        f"{n_seeds} of {plural(len(record.seeds), 'seed')} completed."
    )


def _role(results: Results, arm: ArmRecord) -> str:
    is_champion = results.champion is not None and results.champion.arm_id == arm.arm_id
    is_baseline = arm.arm_id == results.record.baseline_arm_id
    if is_champion and is_baseline:
        return "the best arm on val and the baseline"
    if is_champion:
        return "the best arm on val"
    if is_baseline:
        return "one arm, the baseline,"
    return "one arm"


def _gap(results: Results, arm: ArmRecord) -> str:
    baseline = results.baseline
    if baseline is None or baseline.arm_id == arm.arm_id:
        return ""
    # every card has its gap, not the best arm's alone: the intervals hold for all arms at once
    gap = results.gap_to_baseline(arm.arm_id)
    if gap is None:
        return f"{_against(baseline)} {NOT_MEASURED}: no seed completed in both arms."
    # the same words and numbers as in the report: one comparison has one answer
    difference = conclusions.gap_text(results, gap)
    noise = conclusions.noise_sentence(results)
    return f"{_against(baseline)} {difference}. {noise}"


def _against(baseline: ArmRecord) -> str:
    return f"Against the baseline ({code(baseline.name)}):"
