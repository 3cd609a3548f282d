"""The report on each axis: its levels against the baseline's, and its figure."""

from __future__ import annotations

from ablate.quoting import code
from ablate.reporting.figures.choose import axis_figure_name
from ablate.reporting.results import Results, ShowFigure
from ablate.reporting.text import effect_sentences, study_sentences
from ablate.reporting.text.layout import in_pairs
from ablate.reporting.text.markdown import bullets, join_sections
from ablate.reporting.text.question_sentences import EXPLORATORY
from ablate.reporting.text.split_sentences import seeds_in_words

_HOW = (
    "Each level is compared with the baseline's, in pairs of trials that differ in this axis "
    "alone: same seed, same levels of all other axes. Merged arms count under each of their names; "
    "excluded cells form no pair. The intervals allow for other {seeds} and other {drawn_again}, "
    "and for the number of comparisons: all of them hold together in 95 % of such studies. Each "
    "verdict follows from its interval. All numbers are in `effects.csv`."
)


def axes_section(results: Results, show: ShowFigure) -> str:
    """One part per axis with levels to compare; empty where there is none."""
    parts = []
    for axis, levels in results.record.axes.items():
        # an axis of one level was left in the grid: nothing to compare
        if len(levels) > 1:
            parts.append(_axis(results, axis, show))
    if not parts:
        return ""
    # said once above all axes, instead of beside each
    data = results.record.data
    drawn_again = study_sentences.drawn_again(data)
    how = _HOW.format(seeds=seeds_in_words(data), drawn_again=drawn_again)
    if results.effects.questions:
        how += f" {EXPLORATORY}"
    return join_sections(["## What each axis changes", how, in_pairs(parts)]).rstrip()


def _axis(results: Results, axis: str, show: ShowFigure) -> str:
    lines = [
        *effect_sentences.axis_sentences(results, axis),
        effect_sentences.share_sentence(results, axis),
    ]
    parts = [f"### {code(axis)}", bullets(filter(None, lines)), show(axis_figure_name(axis))]
    return join_sections(parts).rstrip()
