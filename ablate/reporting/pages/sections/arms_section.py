"""The report's table of arms."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ablate.quoting import code
from ablate.reporting.results import Results, ShowFigure, prose, shown_scores
from ablate.reporting.text import conclusions
from ablate.reporting.text.markdown import count, join_sections, mean_sd, table


def arms_section(results: Results, show: ShowFigure) -> str:
    """Every arm with its scores and what it trains, the best first."""
    scores = shown_scores(results.record)
    header = ["arm", "seeds", *map(prose, scores), "trainable parameters", "training s"]
    rows = [_row(results, row, scores) for _, row in results.arms.iterrows()]
    note = (
        f"Mean ± SD over seeds; sorted by {prose(results.record.select_by)}, the only score used "
        "to choose. ★ best, ◆ baseline. Seeds: complete of planned. Times depend on the machine."
    )
    return join_sections(["## Arms", note, table(header, rows), show("arms")]).rstrip()


def _row(results: Results, row: pd.Series, scores: Sequence[str]) -> list[str]:
    arm_id = row["arm_id"]
    marks = " ★" if row["is_champion"] else ""
    if row["is_baseline"]:
        marks += " ◆"
    seconds = results.number(arm_id, "time/train_s/mean")
    seconds_sd = results.number(arm_id, "time/train_s/sd")
    return [
        f"[{code(row['arm'])}](cards/{results.slugs[arm_id]}.md){marks}",
        f"{row['n_seeds']} of {row['n_trials']}",
        *[conclusions.metric_cell(results, arm_id, metric) for metric in scores],
        count(results.number(arm_id, "cost/n_trainable/mean")),
        mean_sd(seconds, seconds_sd, digits=1),
    ]
