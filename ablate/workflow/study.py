"""A study as a value: what `ablate.run` and `ablate.open_study` give. Reading it needs no torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ablate.errors import SpecError, StoreError
from ablate.grid.wording import nearest
from ablate.reporting.compute import compute_results
from ablate.reporting.evidence.effect_table import effect_frame
from ablate.reporting.evidence.frames import (
    arm_frame,
    best_run,
    champion,
    complete_runs,
    trial_frame,
)
from ablate.reporting.pages.write import ReportPaths
from ablate.reporting.results import Results
from ablate.study.record import ArmRecord, StudyRecord
from ablate.targets.codecs import CODECS
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.records import PublishedRun, PublishedStudy
from ablate.workflow.after.reports import report_study
from ablate.workflow.champion import Champion
from ablate.workflow.folders import Folders
from ablate.workflow.notebook import page
from ablate.workflow.stores import open_store, read_whole_study

if TYPE_CHECKING:
    from ablate.workflow.run.run_grid import RunOutcome


# Columns of `arms` that a notebook shows; costs and single trials stay in the frames.
_SCORE = re.compile(r"(val|test)/.+/(mean|sd)")


class Study:
    """A study in the tracking store. It is read once, when something of it is first asked for.

    The columns of its frames are declared in `ablate.workflow.columns`.
    """

    def __init__(
        self,
        folders: Folders,
        grid_name: str,
        study_id: str | None = None,
        *,
        outcome: RunOutcome | None = None,
    ) -> None:
        """`study_id` None is the newest study of the grid."""
        self.grid_name = grid_name
        self.outcome = outcome
        """What the call of `ablate.run` behind it has achieved; None for `open_study`."""
        self._folders = folders
        self._study_id = study_id

    @cached_property
    def _store(self) -> MlflowStore:
        # Not in `__init__`: opening a store can ask a server, and a handle costs nothing.
        return open_store(self._folders, self.grid_name)

    @cached_property
    def published(self) -> PublishedStudy:
        """The study as the tracking store has it. Raises StoreError where there is none."""
        return read_whole_study(self._folders, self._store, study_id=self._study_id)

    @cached_property
    def _results(self) -> Results:
        return compute_results(self.published, self._store.read_predictions)

    @property
    def record(self) -> StudyRecord:
        """What was asked: arms, seeds, data."""
        return self.published.record

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row per arm and seed; see `columns.TRIALS`."""
        return trial_frame(self.published)

    @property
    def arms(self) -> pd.DataFrame:
        """One row per arm, the best first, with intervals; see `columns.ARMS`."""
        return self._results.arms

    @cached_property
    def effects(self) -> pd.DataFrame:
        """One row per comparison and metric; see `columns.EFFECTS`."""
        effects = self._results.effects
        return effect_frame([*effects.questions, *effects.mains, *effects.interactions])

    def predictions(self, arm: str | None = None) -> pd.DataFrame:
        """One row per seed and image of an arm, the champion where none is named.

        `arm` is a name or an arm_id; see `columns.PREDICTIONS`. Raises SpecError for an arm that
        the study does not have, StoreError where its predictions cannot be read.
        """
        if arm is None:
            chosen = self._champion_arm()
        else:
            chosen = self._arm(arm)
        frames = []
        for run in complete_runs(self.published, chosen.arm_id):
            frame = _named(self._store.read_predictions(run), self.record)
            # Put in front one after the other: arm, seed, split, ...
            frame.insert(0, "seed", run.seed)
            frame.insert(0, "arm", chosen.name)
            frames.append(frame)
        # Also where it has trials: they failed, or have not ended yet.
        if not frames:
            raise StoreError(
                f"an arm must have a completed trial before it predicts, {chosen.name!r} has none"
            )
        return pd.concat(frames, ignore_index=True)

    def report(self, folder: Path | str | None = None, *, has_images: bool = True) -> ReportPaths:
        """Write the report into `folder`, by default `reports/<grid>`; return what was written.

        Raises StoreError for a folder with other files, or that cannot be written.
        """
        # Where `ablate run` and `ablate report` write it as well.
        out = Path("reports") / self.grid_name
        if folder is not None:
            out = Path(folder)
        _, paths = report_study(
            self._folders,
            grid_name=self.grid_name,
            # By its id, so that a newer study of the grid cannot take its place.
            study_id=self.record.study_id,
            report_dir=out,
            has_images=has_images,
        )
        return paths

    @cached_property
    def champion(self) -> Champion:
        """The arm with the best mean score on val, as a model. Raises StoreError without one."""
        arm = self._champion_arm()
        return Champion(arm, self._best_run(arm), self._store, self._folders)

    def _champion_arm(self) -> ArmRecord:
        arm = champion(self.record, self.trials)
        if arm is None:
            raise StoreError(
                f"a study must have a completed trial before it has a champion, {self!r} has none"
            )
        return arm

    def _best_run(self, arm: ArmRecord) -> PublishedRun:
        run = best_run(self.published, arm.arm_id)
        assert run is not None, "a champion has a completed trial"
        return run

    def _arm(self, name: str) -> ArmRecord:
        for arm in self.record.arms:
            # Names of arms are unique, and no id of an arm is the name of another.
            if name in (arm.name, arm.arm_id):
                return arm
        names = [arm.name for arm in self.record.arms]
        raise SpecError(
            f"arm must be the name or the arm_id of an arm of the study, "
            f"got {name!r}{nearest(name, names)}"
        )

    def __repr__(self) -> str:
        return f"Study of grid {self.grid_name}"

    def _repr_html_(self) -> str:
        # Without the intervals of `arms`: those read every prediction of the study.
        arms = arm_frame(self.published, self.trials)
        scores = []
        for name in map(str, arms):
            if _SCORE.fullmatch(name):
                scores.append(name)
        # Costs and identities are columns of `arms`; a notebook's page has no room for them.
        shown = arms[["arm", "is_baseline", "is_champion", "n_seeds", *scores]]
        states = []
        for state, count in self.trials["state"].value_counts().items():
            states.append(f"{count} {state}")
        lines = [f"trials: {', '.join(states)}"]
        return page(f"Study of grid {self.grid_name}", self.record.question, lines, shown)


def _named(stored: pd.DataFrame, record: StudyRecord) -> pd.DataFrame:
    """Stored predictions with classes by name instead of by number."""
    class_names = record.data.class_names
    frames = []
    for split, rows in stored.groupby("split", sort=False):
        # The codec of the task knows how it stored labels and scores; plain arrays go in.
        columns = {name: rows[name].to_numpy() for name in rows}
        decoded = CODECS[record.task].decode(columns, n_classes=len(class_names))
        memberships = decoded.targets.membership().tolist()
        frame = pd.DataFrame({"split": split, "image_id": decoded.image_ids})
        if decoded.groups is not None:
            frame["group"] = decoded.groups
        frame["label"] = [_words(row, class_names) for row in memberships]
        # Also where an image may have several labels: then the likeliest of them.
        top_classes = decoded.outputs.argmax(axis=1)
        frame["top_class"] = np.array(class_names, dtype=object)[top_classes]
        for index, name in enumerate(class_names):
            frame[f"p/{name}"] = decoded.outputs[:, index].astype(float)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _words(membership: Sequence[int], class_names: Sequence[str]) -> str:
    """The classes that an image belongs to, of one number per class."""
    names = []
    for name, is_in in zip(class_names, membership, strict=True):
        if is_in:
            names.append(name)
    return ", ".join(names)
