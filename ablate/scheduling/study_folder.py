"""Where a study keeps what, and what the study is: enough to say how it stands, and to tell MLflow of it, without its data and without torch."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ablate.checksum import is_sealed, sealed, unsealed
from ablate.errors import StoreError, some
from ablate.files import write_text
from ablate.grid.pilot_arms import searched_name
from ablate.study.record import ArmRecord, StudyRecord
from ablate.study.trial import Trial
from ablate.tracking.journal import Journal
from ablate.tracking.journal_lines import AttemptKey
from ablate.tracking.publisher import attempt_key

JOURNAL, STUDY = "journal.jsonl", "study.json"
STUDY_COPY = "study.copy.json"
"""The same as `study.json`, for a search above all: what it proposed stands nowhere else."""
_LOG = logging.getLogger(__name__)
OPTUNA_FILE = "optuna.db"
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
        text = plan.to_json()
        try:
            write_text(self.path / STUDY, text)
            write_text(self.path / STUDY_COPY, text)
        except OSError as error:
            raise StoreError(
                f"the study's folder must be writable, {self.path} is not: {error}; set ABLATE_HOME to another place."
            ) from error

    def read_plan(self) -> StudyPlan:
        """What the study is, as its last conductor knew it; from the copy where the file itself is damaged.

        Raises StoreError where neither can be read.
        """
        try:
            return StudyPlan.from_json((self.path / STUDY).read_bytes())
        except (OSError, ValueError) as error:
            plan = self._copied_plan()
            if plan is None:
                raise StoreError(
                    f"{self.path / STUDY} must say what the study is, it cannot be read ({error}); running the grid again writes it."
                ) from error
            _LOG.warning(
                "%s cannot be read (%s); its copy %s is taken, and running the grid again writes both",
                self.path / STUDY,
                error,
                STUDY_COPY,
            )
            return plan

    def _copied_plan(self) -> StudyPlan | None:
        with contextlib.suppress(OSError, ValueError):
            return StudyPlan.from_json((self.path / STUDY_COPY).read_bytes())
        return None

    def strays(self, known: Container[AttemptKey]) -> list[str]:
        """Names of attempts that left files here and of which the journal, which has the `known` ones, says nothing."""
        with contextlib.suppress(OSError):
            folders = sorted(
                path
                for path in (self.path / "trials").iterdir()
                if path.is_dir() and any(path.iterdir())
            )
            return [
                path.name
                for path in folders
                if (key := _attempt_of(path.name)) is not None and key not in known
            ]
        return []

    def is_exhausted(self, n_asked: int) -> bool:
        """Whether a search had nothing more to propose when it was asked for so many trials."""
        try:
            return (self.path / EXHAUSTED).read_bytes() == str(n_asked).encode()
        except OSError:
            return False

    def note_exhausted(self, n_asked: int) -> None:
        """Keep that a search had nothing more to propose. Where that cannot be written, the next call finds it out again."""
        with contextlib.suppress(OSError):
            write_text(self.path / EXHAUSTED, str(n_asked))


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """What a study is made of, and what is said of each of its runs."""

    record: StudyRecord
    trials: tuple[Trial, ...]
    tags: Mapping[str, str] = field(default_factory=dict)

    def with_trial(self, trial: Trial) -> StudyPlan:
        """The plan with one more trial, and its arm where that is new."""
        arms = self.record.arms
        if trial.arm_id not in {arm.arm_id for arm in arms}:
            cell = {axis: getattr(trial.recipe, axis) for axis in self.record.axes}
            name = searched_name(trial.recipe, tuple(cell))
            name = (
                f"{name} {trial.arm_id}" if name in {arm.name for arm in arms} else name
            )  # numbers that differ beyond four digits
            arms = (
                *arms,
                ArmRecord(arm_id=trial.arm_id, name=name, recipe=trial.recipe, cells=(cell,)),
            )
        return StudyPlan(
            self.record.model_copy(update={"arms": arms}), (*self.trials, trial), self.tags
        )

    def to_json(self) -> str:
        """Inverse of `from_json`, with a checksum."""
        trials: Sequence[object] = [trial.model_dump(mode="json") for trial in self.trials]
        return sealed(
            json.dumps(
                {
                    "record": self.record.model_dump(mode="json"),
                    "trials": trials,
                    "tags": dict(self.tags),
                },
                separators=(",", ":"),
            )
        )

    @classmethod
    def from_json(cls, text: bytes) -> StudyPlan:
        """Read a plan, also one of a former version, which has no checksum. Raises ValueError for anything else."""
        whole = text.strip()
        content = unsealed(whole) if is_sealed(whole) else whole
        if content is None:
            raise ValueError("its checksum is not that of its text")
        try:
            values = json.loads(content.decode())
            plan = cls(
                StudyRecord.model_validate(values.pop("record")),
                _trials(values.pop("trials")),
                _tags(values.pop("tags")),
            )
        except (ValidationError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{type(error).__name__}: {error}".partition("\n")[0]) from error
        strays = {trial.arm_id for trial in plan.trials} - {arm.arm_id for arm in plan.record.arms}
        if values or strays:
            raise ValueError(
                f"it has strange keys or arms: {some(sorted(values.keys() | strays), most=3)}"
            )
        return plan


def _attempt_of(name: str) -> AttemptKey | None:
    """Inverse of `attempt_key`; None for another name."""
    trial_id, _, number = name.rpartition("-")
    return (
        (trial_id, int(number))
        if number.isdecimal() and number.isascii() and len(number) < 10
        else None
    )


def _trials(values: Any) -> tuple[Trial, ...]:
    return tuple(Trial.model_validate(trial) for trial in values)


def _tags(values: Any) -> dict[str, str]:
    if not all(isinstance(value, str) for value in values.values()):
        raise TypeError("tags must be texts")
    return dict(values)
