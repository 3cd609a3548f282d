"""Where a study keeps what, and what the study is: enough to say how it stands, and to tell MLflow of it, without its data and without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.errors import StoreError
from ablate.files import write_text
from ablate.spec.stages import searched_name
from ablate.spec.study import ArmRecord, StudyRecord
from ablate.spec.trial import Trial
from ablate.tracking.journal import Journal
from ablate.tracking.publisher import attempt_key

JOURNAL, STUDY = "journal.jsonl", "study.json"
EXHAUSTED = "exhausted"
"""File in a search's folder: the number of trials that were asked for when its space had nothing more to propose."""


@dataclass(frozen=True, slots=True)
class StudyFolder:
    """The places in the folder of one study."""

    path: Path

    @property
    def journal(self) -> Journal:
        """Every event of the study."""
        return Journal(self.path / JOURNAL)

    def attempt(self, trial_id: str, attempt: int) -> Path:
        """Folder of what one attempt leaves."""
        return self.path / "trials" / attempt_key(trial_id, attempt)

    def checkpoint(self, trial_id: str) -> Path:
        """Folder of a trial's last whole epoch, which outlives the attempt that trained it."""
        return self.path / "checkpoints" / trial_id

    def failure(self, trial_id: str, attempt: int) -> Path:
        """File of an attempt's full traceback."""
        return self.path / "failures" / f"{attempt_key(trial_id, attempt)}.txt"

    def write_plan(self, plan: StudyPlan) -> None:
        """Keep what the study is. Raises StoreError where the folder cannot be written."""
        try:
            write_text(self.path / STUDY, plan.to_json())
        except OSError as error:
            raise StoreError(f"the study's folder must be writable, {self.path} is not: {error}; set ABLATE_HOME to another place.") from error

    def read_plan(self) -> StudyPlan:
        """What the study is, as its last conductor knew it. Raises StoreError where that is not there."""
        try:
            return StudyPlan.from_json((self.path / STUDY).read_text())
        except (OSError, ValueError, KeyError) as error:
            raise StoreError(f"{self.path / STUDY} must say what the study is, it cannot be read ({error}); running the grid again writes it.") from error


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """What a study is made of, and what is said of each of its runs."""

    record: StudyRecord
    trials: tuple[Trial, ...]
    tags: Mapping[str, str]

    def with_trial(self, trial: Trial) -> StudyPlan:
        """The plan with one more trial, and its arm where that is new."""
        arms = self.record.arms
        if trial.arm_id not in {arm.arm_id for arm in arms}:
            cell = {axis: getattr(trial.recipe, axis) for axis in self.record.axes}
            name = searched_name(trial.recipe, tuple(cell))
            name = f"{name} {trial.arm_id}" if name in {arm.name for arm in arms} else name  # numbers that differ beyond four digits
            arms = (*arms, ArmRecord(arm_id=trial.arm_id, name=name, recipe=trial.recipe, cells=(cell,)))
        return StudyPlan(self.record.model_copy(update={"arms": arms}), (*self.trials, trial), self.tags)

    def to_json(self) -> str:
        """Inverse of `from_json`."""
        trials: Sequence[object] = [trial.model_dump(mode="json") for trial in self.trials]
        return json.dumps({"record": self.record.model_dump(mode="json"), "trials": trials, "tags": dict(self.tags)})

    @classmethod
    def from_json(cls, text: str) -> StudyPlan:
        """Raises ValueError or KeyError for anything else."""
        values = json.loads(text)
        trials = tuple(Trial.model_validate(trial) for trial in values["trials"])
        return cls(StudyRecord.model_validate(values["record"]), trials, values["tags"])
