"""The CSV files of a report, in the order in which it names them."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from ablate.reporting.evidence.choices import choice_frame
from ablate.reporting.evidence.confirmed import fresh_gap_frame
from ablate.reporting.evidence.effect_table import effect_frame
from ablate.reporting.evidence.frames import csv_text, trials_csv
from ablate.reporting.pages.sections.review import duplicate_frame
from ablate.reporting.results import Results

FRESH = "fresh_trials"
"""The trials that confirm the choice: not in `trials`, so that no mean takes them in."""

ADDED = "added_trials"
"""Those of arms that results added, for the same reason."""


def table_texts(results: Results) -> dict[str, str]:
    """File name without ending -> CSV."""
    # apart from the frames: it leaves out what differs between runs of an equal study
    texts = {"trials": trials_csv(results.trials)}
    for name, frame in _frames(results).items():
        texts[name] = csv_text(frame)
    if results.confirmed is not None:
        texts[FRESH] = trials_csv(results.confirmed.trials)
    if results.added is not None:
        texts[ADDED] = trials_csv(results.added.trials)
    return texts


def table_names(results: Results) -> list[str]:
    """The names alone."""
    # as `table_texts` has them, without writing numbers that nobody reads
    names = ["trials", *_frames(results)]
    if results.confirmed is not None:
        names.append(FRESH)
    if results.added is not None:
        names.append(ADDED)
    return names


def _frames(results: Results) -> Mapping[str, pd.DataFrame]:
    frames = {
        "arms": results.arms,
        # questions first: what was asked before what can be computed
        "effects": effect_frame([*results.effects.questions, *results.effects.mains]),
        "interactions": effect_frame(results.effects.interactions),
        "choices": choice_frame(results.choices),
        # Between effects and duplicates, where reports have had them since the first version.
        **results.insight.tables(results),
        "near_duplicates": duplicate_frame(results),
    }
    # Only where the grid asks for it: most studies have no fresh seeds.
    if results.confirmed is not None:
        frames["confirmation"] = fresh_gap_frame(results.confirmed.gaps)
    return frames
