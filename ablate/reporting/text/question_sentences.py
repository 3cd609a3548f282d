"""One sentence for each question that the grid declares: the answer, its interval, how sure."""

from __future__ import annotations

from ablate import quoting
from ablate.quoting import code
from ablate.reporting.evidence.effects import Effect
from ablate.reporting.results import Results, prose
from ablate.reporting.text.effect_sentences import effect_verdict, interval_text
from ablate.reporting.text.markdown import plural, points

EXPLORATORY = (
    "Exploratory: the grid declares its questions, and these verdicts are not among their answers. "
    "They hold together with one another, not with the answers."
)


def question_sentences(results: Results) -> list[str]:
    """The questions in the order of the grid; none where it declares none."""
    sentences = []
    for effect in results.effects.questions:
        if effect.metric == results.effects.primary:
            sentences.append(_sentence(results, effect))
    return sentences


def questions_note(results: Results) -> str:
    """What the answers promise together."""
    n_questions = plural(len(question_sentences(results)), "question")
    return (
        f"{n_questions} declared before training. With the arms against the baseline, all these "
        "answers are true together in 95 % of such studies; everything else is exploratory."
    )


def _sentence(results: Results, effect: Effect) -> str:
    question = f"**{quoting.text(effect.comparison.name)}** ({_sides(effect)})"
    if effect.n_pairs == 0:
        return f"{question}: nothing to compare, no pair of its trials is complete."
    size = f"{points(effect.estimate)} points of {prose(effect.metric)}"
    pairs = f"{plural(effect.n_pairs, 'pair')} with equal seeds"
    verdict = effect_verdict(effect, margin=results.record.margin)
    return f"{question}: {verdict}. {size} ({interval_text(effect.judged)}), mean of {pairs}."


def _sides(effect: Effect) -> str:
    """`freeze_depth=0 augment=strong` against `freeze_depth=all augment=none`."""
    comparison = effect.comparison
    sides = []
    for levels in (comparison.levels, comparison.against):
        named = zip(comparison.axes, levels, strict=True)
        sides.append(code(" ".join(f"{axis}={level}" for axis, level in named)))
    return " against ".join(sides)
