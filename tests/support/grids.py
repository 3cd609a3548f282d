"""Grid files as text, and what a study of one is recorded as, without any image."""

from __future__ import annotations

from ablate.grid.expand import expand, study_record, study_trials
from ablate.grid.grid_file import Grid
from ablate.grid.parse import parse_grid
from ablate.study.record import DataFacts, StudyRecord
from ablate.study.trial import Trial

FACTS = DataFacts(
    source="rendered_flowers",
    title="flowers",
    version="1",
    licence="none",
    origin="drawn",
    is_synthetic=True,
    requested_source="rendered_flowers",
    class_names=("a", "b"),
    class_counts={"train": (2, 2), "val": (1, 1), "test": (1, 1)},
    fingerprint="f" * 64,
    split_rule="official",
)


def grid_of(text: str) -> Grid:
    """A grid file `x.yaml` of this text."""
    return parse_grid(text, name="x", shown_as="x.yaml")


def record_of(grid: Grid) -> StudyRecord:
    """The grid's study, on data of two classes."""
    expansion = expand(grid, data=grid.data, fingerprint=FACTS.fingerprint)
    return study_record(grid, expansion, facts=FACTS, seeds=grid.seeds, command="")


def trials_of(grid: Grid) -> list[Trial]:
    """What the grid plans on those data."""
    expansion = expand(grid, data=grid.data, fingerprint=FACTS.fingerprint)
    return study_trials(
        grid, expansion, data=grid.data, fingerprint=FACTS.fingerprint, seeds=grid.seeds
    )
