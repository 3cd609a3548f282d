"""The comparison of two studies as Markdown."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

from ablate.errors import plural
from ablate.quoting import code, text
from ablate.reporting.evidence.two_studies import StudyComparison
from ablate.reporting.results import NOT_MEASURED, prose
from ablate.reporting.text.markdown import bullets, join_sections, points, score, table

_PAIRED = (
    "Differences are second minus first, paired by seed, with a t interval for each comparison."
)
_UNPAIRED = (
    "The data differ, so seeds make no pairs: differences are of means and have no interval."
)


def comparison_text(comparison: StudyComparison, *, first: str, second: str) -> str:
    """What differs, whether the same arm wins, and a table of the shared arms.

    `first` and `second` name the studies.
    """
    # names of grid files, which people choose
    first = text(first)
    second = text(second)
    best_of_first, best_of_second = comparison.champions
    summary = [
        f"{plural(len(comparison.shared), 'arm')} in both.",
        f"Best on val: {code(best_of_first)} in {first}, {code(best_of_second)} in {second}.",
        *_agreement(comparison),
    ]
    sections = [f"# {first} and {second}", bullets(summary), _differing(comparison, first, second)]
    if comparison.shared:
        sections.append("## Shared arms")
    sections.append(_PAIRED if comparison.is_paired else _UNPAIRED)
    if comparison.shared:
        sections.append(_table(comparison, first, second))
    return join_sections(sections)


def _differing(comparison: StudyComparison, first: str, second: str) -> str:
    if not comparison.differing:
        return "Nothing but the runs differs between the two."
    facts = []
    for name, (in_first, in_second) in comparison.differing.items():
        facts.append(f"{name}: {code(in_first)} in {first}, {code(in_second)} in {second}")
    return f"## What differs\n\n{bullets(facts)}"


def _agreement(comparison: StudyComparison) -> list[str]:
    # NaN with a single shared arm: one arm has no order.
    if math.isnan(comparison.rank_agreement):
        return []
    metric = prose(comparison.metrics[0])
    return [
        f"Agreement of the two orders by {metric} (Kendall's tau, 1 is the same order): "
        f"{comparison.rank_agreement:.2f}."
    ]


def _table(comparison: StudyComparison, first: str, second: str) -> str:
    # three columns a metric: beside each other, as the eye compares
    header = ["arm"]
    for metric in comparison.metrics:
        name = prose(metric)
        header += [f"{name}, {first}", f"{name}, {second}", f"{name}, points"]
    rows = []
    for row in comparison.table.to_dict("records"):
        cells = [code(str(row["arm"]))]
        for metric in comparison.metrics:
            cells += _cells(row, metric)
        rows.append(cells)
    return table(header, rows)


def _cells(row: Mapping[Hashable, Any], metric: str) -> list[str]:
    """A metric in the first study, in the second, and the difference with its interval."""
    difference = row[f"{metric} difference"]
    low = row[f"{metric} low"]
    high = row[f"{metric} high"]
    gap = NOT_MEASURED
    if not math.isnan(difference):
        gap = points(difference)
    # No interval where one pair alone is shared, or where the data differ and nothing is paired.
    if not math.isnan(low):
        gap += f" ({points(low)} to {points(high)})"
    return [score(row[f"{metric} first"]), score(row[f"{metric} second"]), gap]
