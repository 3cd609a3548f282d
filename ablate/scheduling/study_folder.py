"""Where a study keeps what, and what the study is.

Enough to say how it stands and to publish it, without its data and without torch.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import ValidationError

from ablate.checksum import is_sealed, sealed, unsealed, unsealed_json
from ablate.errors import StoreError, some
from ablate.files import write_text
from ablate.grid.pilot_arms import searched_name
from ablate.recipe.recipe import Recipe
from ablate.scheduling.attempt_tags import Tags, note_tags, read_tags
from ablate.schema_version import KEY, SCHEMA_VERSION, NewerSchema, check_schema
from ablate.study.arm_record import arms_by_id
from ablate.study.record import ArmRecord, StudyRecord
from ablate.study.trial import DataSpec, Trial
from ablate.tracking.events import TrialStarted
from ablate.tracking.journal import Journal
from ablate.tracking.journal_lines import AttemptKey
from ablate.tracking.publisher import attempt_key

JOURNAL = "journal.jsonl"
STUDY = "study.json"
STUDY_COPY = "study.copy.json"
"""The same as `study.json`, for a search above all: what it proposed stands nowhere else."""
OPTUNA_FILE = "optuna.db"
EXHAUSTED = "exhausted"
"""File in a search's folder: the number of trials that were asked for when its space had nothing
more to propose."""
_PLAN_FIELDS = ("record", "trials", "tags")
"""Of `study.json`, besides its schema version and its checksum."""
# Of an attempt's number in the name of a folder that ablate made.
_MOST_DIGITS = 9
_LOG = logging.getLogger(__name__)
Part = TypeVar("Part")
PartOfPlan = TypeVar("PartOfPlan", covariant=True)


class Parse(Protocol[PartOfPlan]):
    """Reads a plan, or a part of it, from the text of a file named by `place`."""

    def __call__(self, text: bytes, /, *, place: str) -> PartOfPlan: ...


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
            # One after the other: whatever cuts this short, one of the two is whole.
            write_text(self.path / STUDY, text)
            write_text(self.path / STUDY_COPY, text)
        except OSError as error:
            raise StoreError(
                f"the study's folder must be writable, {self.path} is not: {error}; "
                "set ABLATE_HOME to another place."
            ) from error

    def keep_former_tags(self, tags: Tags) -> None:
        """Keep what made the attempts so far, before the plan of a call with `tags` is written.

        Only the study's owner may. Raises StoreError where the folder cannot be written.
        """
        former = self._former_tags()
        # The same code on the same machine: what is said of old attempts and of new ones is one.
        if former is None or former == tags:
            return
        made_by: dict[str, Tags] = {}
        for event in self.journal.skim().events:
            if isinstance(event, TrialStarted):
                made_by[attempt_key(event.trial_id, event.attempt)] = former
        note_tags(self.path, made_by)

    def _former_tags(self) -> Tags | None:
        """The tags of the last call; None where nothing is known of one."""
        for name in (STUDY, STUDY_COPY):
            # The tags alone: to validate thousands of trials for them would take seconds.
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                text = (self.path / name).read_bytes().strip()
                values = unsealed_json(text, fields=(KEY, *_PLAN_FIELDS))
                return _tags(values["tags"])
        return None

    def read_tags(self) -> dict[str, Tags]:
        """Attempt's key -> tags of its run, for attempts that the last call did not make."""
        return read_tags(self.path)

    def read_plan(self) -> StudyPlan:
        """What the study is, as its last conductor knew it.

        Taken from the copy where the file itself is damaged. Raises StoreError where neither can be
        read, or a later version of ablate wrote it.
        """
        return self._read(StudyPlan.from_json)

    def read_record(self) -> StudyRecord:
        """The record of the plan alone, read as `read_plan` does, with the same errors."""
        # To validate thousands of trials takes seconds, and most who open a study want none.
        return self._read(StudyPlan.record_from_json)

    def _read(self, parse: Parse[Part]) -> Part:
        try:
            return self._parsed(STUDY, parse)
        except (OSError, ValueError) as error:
            part = self._copied(parse)
            if part is None:
                raise StoreError(
                    f"{self.path / STUDY} must say what the study is, "
                    f"it cannot be read ({error}); running the grid again writes it."
                ) from error
            _LOG.warning(
                "%s cannot be read (%s); its copy %s is taken, "
                "and running the grid again writes both",
                self.path / STUDY,
                error,
                STUDY_COPY,
            )
            return part

    def _copied(self, parse: Parse[Part]) -> Part | None:
        with contextlib.suppress(OSError, ValueError):
            return self._parsed(STUDY_COPY, parse)
        return None

    def _parsed(self, name: str, parse: Parse[Part]) -> Part:
        path = self.path / name
        return parse(path.read_bytes(), place=str(path))

    def check_schema(self) -> None:
        """Raise NewerSchema where a later version of ablate wrote anything of the study.

        Whoever is about to write asks here first. What is damaged or missing is not judged.
        """
        for name in (STUDY, STUDY_COPY):
            with contextlib.suppress(OSError, ValueError):
                self._parsed(name, StudyPlan.from_json)
        try:
            self.journal.skim()
        except NewerSchema:
            raise
        except StoreError:
            return  # it cannot be read: whoever opens the study says so

    def strays(self, known: Container[AttemptKey]) -> list[str]:
        """Names of attempts that left files here and are not `known` to the journal."""
        strays: list[str] = []
        with contextlib.suppress(OSError):
            for path in sorted((self.path / "trials").iterdir()):
                if _is_stray(path, known):
                    strays.append(path.name)
        return strays

    def is_exhausted(self, n_asked: int) -> bool:
        """Whether a search had nothing more to propose when it was asked for so many trials."""
        try:
            return (self.path / EXHAUSTED).read_bytes() == str(n_asked).encode()
        except OSError:
            return False

    def note_exhausted(self, n_asked: int) -> None:
        """Keep that a search had nothing more to propose.

        Where that cannot be written, the next call finds it out again.
        """
        with contextlib.suppress(OSError):
            write_text(self.path / EXHAUSTED, str(n_asked))


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """What a study is made of, and what is said of each of its runs."""

    record: StudyRecord
    trials: tuple[Trial, ...]
    tags: Tags = field(default_factory=dict)
    """What makes the runs of this call; those of earlier calls: `StudyFolder.read_tags`."""

    def with_trial(self, trial: Trial) -> StudyPlan:
        """The plan with one more trial, and its arm where that is new."""
        arms = self.record.arms
        if trial.arm_id not in arms_by_id(arms):
            arms = (*arms, self._arm(trial))
        record = self.record.model_copy(update={"arms": arms})
        return StudyPlan(record, (*self.trials, trial), self.tags)

    def _arm(self, trial: Trial) -> ArmRecord:
        cell = {axis: getattr(trial.recipe, axis) for axis in self.record.axes}
        # A search draws numbers with many digits: names round them, and two can then read alike.
        name = searched_name(trial.recipe, tuple(cell))
        if name in {arm.name for arm in self.record.arms}:
            name = f"{name} {trial.arm_id}"  # numbers that differ beyond four digits
        return ArmRecord(arm_id=trial.arm_id, name=name, recipe=trial.recipe, cells=(cell,))

    def to_json(self) -> str:
        """Inverse of `from_json`, with a checksum."""
        trials: list[object] = []
        for trial in self.trials:
            trials.append(trial.model_dump(mode="json"))
        # The version first: a later form may have nothing else in common with this one.
        values = {
            KEY: SCHEMA_VERSION,
            "record": self.record.model_dump(mode="json"),
            "trials": trials,
            "tags": dict(self.tags),
        }
        return sealed(json.dumps(values, separators=(",", ":")))

    @classmethod
    def from_json(cls, text: bytes, *, place: str = "the plan of a study") -> StudyPlan:
        """Read a plan, also one of version 1, which has no checksum.

        Raises NewerSchema, naming `place`, for one of a later version, ValueError for anything
        else.
        """
        with _damage_as_value_error():
            values = _plan_values(text, place=place)
            plan = cls(
                StudyRecord.model_validate(values.pop("record")),
                _trials(values.pop("trials")),
                _tags(values.pop("tags")),
            )
        arm_ids = arms_by_id(plan.record.all_arms).keys()
        # What is left in `values` was popped by nobody: this version does not know it.
        unknown = {trial.arm_id for trial in plan.trials} - arm_ids | values.keys()
        if unknown:
            raise ValueError(f"it has unknown keys or arms: {some(sorted(unknown), most=3)}")
        return plan

    @staticmethod
    def record_from_json(text: bytes, *, place: str) -> StudyRecord:
        """The record of a plan. Raises as `from_json` does, but for damage in the trials."""
        with _damage_as_value_error():
            return StudyRecord.model_validate(_plan_values(text, place=place)["record"])


@contextlib.contextmanager
def _damage_as_value_error() -> Iterator[None]:
    """What JSON of another form raises, whatever its kind, in one line."""
    try:
        yield
    except (ValidationError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}".partition("\n")[0]) from error


def _plan_values(text: bytes, *, place: str) -> dict[str, Any]:
    """The fields of a plan, whose checksum is right where it has one."""
    whole = text.strip()
    content: bytes | None = whole
    # Version 1 wrote none.
    if is_sealed(whole):
        content = unsealed(whole)
    if content is None:
        raise ValueError("its checksum is not that of its text")
    values: dict[str, Any] = json.loads(content.decode())
    check_schema(values.pop(KEY, None), place=place)
    return values


def _is_stray(path: Path, known: Container[AttemptKey]) -> bool:
    """Whether a folder holds files of an attempt that is not known."""
    key = _attempt_of(path.name)
    if key is None or key in known:
        return False
    # An empty one is no stray: a conductor died between making it and the trial's first event.
    return path.is_dir() and any(path.iterdir())


def _attempt_of(name: str) -> AttemptKey | None:
    """Inverse of `attempt_key`; None for another name."""
    trial_id, _, number = name.rpartition("-")
    is_number = number.isdecimal() and number.isascii() and len(number) <= _MOST_DIGITS
    if not is_number:
        return None
    return trial_id, int(number)


def _trials(values: Any) -> tuple[Trial, ...]:
    """The trials of a plan. Those that are written with one recipe share it in memory."""
    # By its text, and the same for the data: each is validated once, not once for each seed.
    recipes: dict[str, Recipe] = {}
    data: dict[str, DataSpec] = {}
    trials = []
    for trial in values:
        shared = {
            "recipe": _shared(recipes, trial["recipe"], Recipe.model_validate),
            "data": _shared(data, trial["data"], DataSpec.model_validate),
        }
        # pydantic keeps an instance as it is, which is what makes the sharing work.
        trials.append(Trial.model_validate({**trial, **shared}))
    return tuple(trials)


def _shared(known: dict[str, Part], value: object, validate: Callable[[object], Part]) -> Part:
    text = repr(value)
    if text not in known:
        known[text] = validate(value)
    return known[text]


def _tags(values: Any) -> dict[str, str]:
    for value in values.values():
        if not isinstance(value, str):
            raise TypeError("tags must be texts")
    return dict(values)
