"""The comparison of two studies as Markdown."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

from ablate.quoting import code, text
from ablate.reporting.evidence.two_studies import StudyComparison
from ablate.reporting.results import prose
from ablate.reporting.text.markdown import bullets, join_sections, plural, points, score, table


def comparison_text(comparison: StudyComparison, *, first: str, second: str) -> str:
    """What differs, whether the same arm wins, and a table of the shared arms; `first`, `second` name the studies."""
    first, second = text(first), text(second)
    facts = [
        f"{name}: {code(one)} in {first}, {code(other)} in {second}"
        for name, (one, other) in comparison.differing.items()
    ]
    told = [
        f"{plural(len(comparison.shared), 'arm')} in both.",
        f"Best on val: {code(comparison.champions[0])} in {first}, {code(comparison.champions[1])} in {second}.",
        *_agreement(comparison),
    ]
    how = (
        "Differences are second less first, paired by seed, with t intervals of one comparison each."
        if comparison.is_paired
        else "The data differ, so seeds make no pairs: differences are of means and have no interval."
    )
    differing = (
        join_sections(["## What differs", bullets(facts)]).rstrip()
        if facts
        else "Nothing but the runs differs between the two."
    )
    return join_sections(
        [
            f"# {first} and {second}",
            bullets(told),
            differing,
            "## Shared arms" if comparison.shared else "",
            how,
            _table(comparison, first, second),
        ]
    )


def _agreement(comparison: StudyComparison) -> list[str]:
    if math.isnan(comparison.rank_agreement):
        return []
    return [
        f"Agreement of the two orders by {prose(comparison.metrics[0])} (Kendall's tau, 1 is the same order): {comparison.rank_agreement:.2f}."
    ]


def _table(comparison: StudyComparison, first: str, second: str) -> str:
    if not comparison.shared:
        return ""
    header = [
        "arm",
        *(
            f"{prose(metric)}, {what}"
            for metric in comparison.metrics
            for what in (first, second, "points")
        ),
    ]
    rows = [
        [
            code(str(row["arm"])),
            *(cell for metric in comparison.metrics for cell in _cells(row, metric)),
        ]
        for row in comparison.table.to_dict("records")
    ]
    return table(header, rows)


def _cells(row: Mapping[Hashable, Any], metric: str) -> list[str]:
    difference, low, high = (row[f"{metric} {what}"] for what in ("difference", "low", "high"))
    gap = "not measured" if math.isnan(difference) else points(difference)
    span = "" if math.isnan(low) else f" ({points(low)} to {points(high)})"
    return [score(row[f"{metric} first"]), score(row[f"{metric} second"]), f"{gap}{span}"]
