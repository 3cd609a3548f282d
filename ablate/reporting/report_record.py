"""`report.json`: what a report says, for programs. One type, one writer, one reader.

`docs/report.schema.json` is its JSON Schema. A number that is not known is null, never NaN.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ablate.errors import SpecError
from ablate.study.provenance import Provenance

NAME = "report.json"
SCHEMA_VERSION = 1
"""Grows when a reader of the former version would misunderstand; new optional fields do not."""
# spelled out, not from the enum of verdicts: the schema must not change when the enum does
Word = Literal["better", "worse", "no larger", "undecided", "unknown"]
"""What may be said of a difference: all verdicts of a report hold together with 95 %."""
# ignore: a reader must pass over optional fields that a later version adds
_FROZEN = ConfigDict(frozen=True, extra="ignore")


class ReportStudy(BaseModel):
    """What the grid asked."""

    model_config = _FROZEN
    grid: str
    study_id: str
    question: str
    task: str
    select_by: str
    """What arms are chosen by, on val."""
    design: str
    axes: dict[str, tuple[Any, ...]]
    seeds: tuple[int, ...]
    noise_seeds: tuple[int, ...] = ()
    margin: float | None = None
    """Points of the primary metric below which a difference does not matter; null where the grid
    names none."""
    image_size: str
    command: str


class ReportTracking(BaseModel):
    """Where the runs are, without passwords and without folders of the machine."""

    model_config = _FROZEN
    # of a file the name alone, of a server the address without its password
    uri: str
    experiment: str
    parent_run_id: str


class ReportData(BaseModel):
    """The images that were used."""

    model_config = _FROZEN
    source: str
    requested_source: str
    """Differs from `source` where the declared fallback stood in."""
    title: str
    version: str
    licence: str
    is_synthetic: bool
    fingerprint: str
    split_rule: str
    class_names: tuple[str, ...]
    n_images: dict[str, int]
    """split -> images."""


class ReportScore(BaseModel):
    """A metric of an arm, over its seeds."""

    model_config = _FROZEN
    mean: float
    sd: float | None = None
    """Null for one seed."""
    low: float | None = None
    """95 % interval of the mean, over seeds and images, where it was computed."""
    high: float | None = None


class ReportContrast(BaseModel):
    """An arm less another one, in the primary metric on test, paired by seed."""

    model_config = _FROZEN
    difference: float
    low: float | None
    high: float | None
    """95 % interval that holds together with those of all other arms."""
    p_corrected: float | None
    """Below 0.05 exactly where the interval excludes 0."""
    n_seeds: int
    verdict: Word
    seeds_to_settle: int | None = None
    """As of an effect."""


class ReportArm(BaseModel):
    """One arm."""

    model_config = _FROZEN
    arm_id: str
    name: str
    short_name: str = ""
    """What the report calls it: the axes in which it differs from the baseline."""
    is_baseline: bool
    is_champion: bool
    recipe: dict[str, Any]
    """The fields in which it differs from the baseline; of the baseline, all."""
    tuned: dict[str, Any] = {}
    n_seeds: int
    """Complete trials."""
    scores: dict[str, ReportScore]
    against_baseline: ReportContrast | None = None
    may_be_best: bool
    """Whether it is among the arms that hold the best one in 95 % of studies."""
    card: str
    """Its card, below the report's folder."""


class ReportAddedArm(BaseModel):
    """An arm that results added around the best one: in no effect, and never the best."""

    model_config = _FROZEN
    arm_id: str
    name: str
    short_name: str
    recipe: dict[str, Any]
    """The fields in which it differs from the baseline."""
    n_seeds: int
    scores: dict[str, ReportScore]


class ReportChoice(BaseModel):
    """The best arm less an arm that differs from it in one axis, on test, paired by seed."""

    model_config = _FROZEN
    axis: str
    chosen: str
    """The best arm's level."""
    level: str
    """The other arm's."""
    arm_id: str
    """The other arm."""
    difference: float
    low: float | None
    high: float | None
    p_corrected: float | None
    verdict: Word
    is_shared: bool
    """Whether the two arms are compared elsewhere too, by a question, by a main effect, or because
    one is the baseline: then this is that answer. The others are a family of their own."""


class ReportFreshGap(BaseModel):
    """One chosen arm less another, in the primary metric on test, paired over fresh seeds alone."""

    model_config = _FROZEN
    what: str
    """`best arm` (less the baseline) or `cheapest arm` (less the best arm)."""
    arm_id: str
    against_arm_id: str
    difference: float | None
    low: float | None
    high: float | None
    """95 % interval of this comparison by itself: one paired t."""
    p: float | None
    n_seeds: int
    verdict: Word


class ReportConfirmation(BaseModel):
    """What fresh seeds, which had no part in the choice, say of it."""

    model_config = _FROZEN
    chosen_with: tuple[int, ...]
    """Seeds that the choice was made by."""
    champion_arm_id: str
    """The best arm on val when the choice was made; the study may have another one by now."""
    seeds: tuple[int, ...]
    """The fresh seeds."""
    gaps: tuple[ReportFreshGap, ...]


class ReportEffect(BaseModel):
    """What a declared question compares, a level changes, or two levels together."""

    model_config = _FROZEN
    kind: Literal["question", "main effect", "interaction"]
    name: str = ""
    """The question in the user's words, or the level: `augment=light`."""
    is_exploratory: bool = False
    """Whether the grid declares questions and this is none of them: then its verdict holds together
    with those of other explored effects only."""
    axes: tuple[str, ...]
    levels: tuple[str, ...]
    against: tuple[str, ...]
    metric: str
    estimate: float | None
    low: float | None
    high: float | None
    p_corrected: float | None
    verdict: Word
    omega_squared: float | None
    smallest_detectable: float | None
    """Null where this design cannot find an effect of any size."""
    seeds_to_settle: int | None
    """Seeds after which the interval would settle it, were the difference what it is; null where it
    is settled, and beyond 100."""
    n_seeds: int
    n_pairs: int


class ReportTrial(BaseModel):
    """One trial and its run."""

    model_config = _FROZEN
    arm_id: str
    seed: int
    state: str
    trial_id: str | None
    run_id: str | None
    """Null for a trial that was not run."""


class ReportCheck(BaseModel):
    """A look at the data or the labels, and how much it found."""

    model_config = _FROZEN
    name: str
    n_found: int | None
    """Null where nobody looked."""


class ReportRecord(BaseModel):
    """A whole report."""

    model_config = _FROZEN
    schema_version: int = SCHEMA_VERSION
    study: ReportStudy
    tracking: ReportTracking
    data: ReportData
    baseline_arm_id: str
    champion_arm_id: str | None
    """Null where no trial completed."""
    noise_floor_sd: float | None
    arms: tuple[ReportArm, ...]
    """The best on val first."""
    effects: tuple[ReportEffect, ...]
    choices: tuple[ReportChoice, ...] = ()
    """What each choice of the best arm is worth."""
    confirmation: ReportConfirmation | None = None
    """Null where the grid asks for no fresh seeds, or they have not come yet."""
    trials: tuple[ReportTrial, ...]
    added_arms: tuple[ReportAddedArm, ...] = ()
    """Arms that results added around the best one, to complete `choices`."""
    more_trials: tuple[ReportTrial, ...] = ()
    """Complete ones with further seeds of the noise floor, all with fresh seeds, and all of added
    arms: they are in no table of arms."""
    # several where a study was continued with another version
    provenance: tuple[Provenance, ...]
    """Of the runs, each that differs once."""
    checks: tuple[ReportCheck, ...]
    has_images: bool
    """Whether the report shows images of the data set."""
    files: dict[str, str] = Field(default_factory=dict)
    """Every other file of the report -> SHA-256 of its content, in hex, ends of lines as `\\n`."""

    def arm(self, arm_id: str) -> ReportArm:
        """The arm of that id. Raises KeyError."""
        # a scan, not a dict: a frozen model keeps no cache, and arms are few
        for arm in self.arms:
            if arm.arm_id == arm_id:
                return arm
        raise KeyError(arm_id)

    @property
    def champion(self) -> ReportArm | None:
        """The best arm on val; None where no trial completed."""
        if self.champion_arm_id is None:
            return None
        return self.arm(self.champion_arm_id)


def report_json(record: ReportRecord) -> str:
    """The text of `report.json`: equal records give equal text."""
    # allow_nan=False: "NaN" is no JSON, and most readers refuse a whole file for it
    values = record.model_dump(mode="json")
    return json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_report_record(folder: Path) -> ReportRecord | None:
    """Read `report.json` in a report's folder; None where an older version wrote none.

    Raises SpecError for one that a newer version wrote, or that is damaged.
    """
    # a folder of before this file existed is no error: `old_report` reads its prose
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_bytes())
        # before validation, whose errors would hide the true reason
        version = values["schema_version"]
        if version > SCHEMA_VERSION:
            raise SpecError(
                f"{path} must be of schema version {SCHEMA_VERSION} at most, got {version}; "
                "a newer ablate wrote it: update ablate"
            )
        return ReportRecord.model_validate(values)
    # broken JSON and pydantic's complaints are ValueErrors; SpecError above is none, and passes
    except (ValueError, KeyError, TypeError) as error:
        problem = str(error).partition("\n")[0]
        raise SpecError(
            f"{path} must be as a report wrote it, it is damaged ({problem}); "
            "write the report again"
        ) from error


def report_schema() -> dict[str, Any]:
    """The JSON Schema of `report.json`."""
    return ReportRecord.model_json_schema(mode="serialization")


def report_schema_text() -> str:
    """The schema as it is kept in `docs/report.schema.json`."""
    return json.dumps(report_schema(), indent=2, sort_keys=True) + "\n"
