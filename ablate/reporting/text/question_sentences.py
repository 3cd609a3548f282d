"""One sentence for each question that the grid declares: the answer, its interval, how sure."""

from __future__ import annotations

from ablate import quoting
from ablate.errors import plural
from ablate.reporting.evidence.effects import Effect
from ablate.reporting.results import Results, prose
from ablate.reporting.text.effect_sentences import effect_verdict, interval_text, sides
from ablate.reporting.text.markdown import points

_N_FIRST = 4
EXPLORATORY = (
    "Verdicts marked exploratory answer no declared question: they hold together with one another, "
    "not with the answers."
)


def question_sentences(results: Results) -> list[str]:
    """The questions in the order of the grid; none where it declares none."""
    sentences = []
    for effect in results.effects.questions:
        # the secondary metric's answers stand in effects.csv
        if effect.metric == results.effects.primary:
            sentences.append(_sentence(results, effect))
    return sentences


def question_lines(results: Results) -> list[str]:
    """The first answers in short, for the first screen."""
    lines: list[str] = []
    for effect in results.effects.questions:
        # a question without a complete pair has no answer to show
        if effect.metric == results.effects.primary and effect.n_pairs:
            question = f"**{quoting.text(effect.comparison.name)}**"
            size = f"{points(effect.estimate)} points ({interval_text(effect.judged)})"
            verdict = effect_verdict(effect, margin=results.record.margin)
            lines.append(f"{question}: {verdict}, {size}")
    return lines[:_N_FIRST]


def questions_note(results: Results) -> str:
    """What the answers promise together."""
    # by sentences, because `effects.questions` has each twice, in both metrics
    n_questions = plural(len(question_sentences(results)), "question")
    return (
        f"{n_questions} declared before training. These answers, and what arms gain over the "
        "baseline, are all true together in 95 % of such studies; everything else is exploratory."
    )


def _sentence(results: Results, effect: Effect) -> str:
    compared = " against ".join(sides(effect.comparison))
    question = f"**{quoting.text(effect.comparison.name)}** ({compared})"
    if effect.n_pairs == 0:
        return f"{question}: nothing to compare, no pair of its trials is complete."
    size = f"{points(effect.estimate)} points of {prose(effect.metric)}"
    pairs = f"{plural(effect.n_pairs, 'pair')} of trials with equal seeds"
    verdict = effect_verdict(effect, margin=results.record.margin)
    return f"{question}: {verdict}. {size} ({interval_text(effect.judged)}), mean of {pairs}."
