"""A report against its source: every difference is named with its place.

What runs say of themselves is checked first: logged scores against stored predictions, logged
parameters against the study's recipes. Then the whole report is rendered anew in memory with the
recomputed scores and compared word by word, `report.json` value by value. Numbers are rounded the
same way on both sides, so a printed number may differ by nothing. Figures are not drawn again:
their alt texts are compared, and their bytes with the digests in `report.json`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ablate.errors import AblateError, SpecError
from ablate.recipe.canonical import relevant
from ablate.recipe.former_names import first_name
from ablate.reporting.compute import compute_results
from ablate.reporting.differences import Finding, text_differences, value_differences
from ablate.reporting.evidence.second_stage_runs import named_runs
from ablate.reporting.figures.choose import choose_pictures
from ablate.reporting.figures.example_images import Pictures, with_pictures
from ablate.reporting.one_origin import check_one_origin
from ablate.reporting.pages.folder import digest_of, read_mark
from ablate.reporting.pages.html import page
from ablate.reporting.pages.old_report import cited_run_ids, cited_study, leaves_images_out
from ablate.reporting.pages.write import render_texts
from ablate.reporting.predictions.read import Predictions, split_scores
from ablate.reporting.report_record import NAME, ReportRecord, read_report_record
from ablate.reporting.results import Results
from ablate.reporting.summarise import report_record
from ablate.study.arm_record import arms_by_id
from ablate.study.record import StudyRecord
from ablate.tracking.events import TrialState
from ablate.tracking.mlflow_fields import param_text
from ablate.tracking.records import PublishedRun, PublishedStudy

SPLITS = ("val", "test")
_SAME = 1e-9
"""Scores are computed from the same float32 probabilities, here as there."""


@dataclass(frozen=True)
class Source:
    """The study that a report was made from, as the report says."""

    grid_name: str
    parent_run_id: str
    study_id: str


def report_source(folder: Path) -> Source:
    """Read which study the report in `folder` is of. Raises SpecError where it does not say."""
    path = folder / "README.md"
    if not path.is_file():
        raise SpecError(
            "verify takes the folder of a report, e.g. reports/flowers; "
            f"{folder} holds no README.md"
        )
    record = read_report_record(folder)
    if record is not None:
        return Source(record.study.grid, record.tracking.parent_run_id, record.study.study_id)
    cited = cited_study(path.read_text(errors="replace"))
    if cited is None:
        raise SpecError(
            f"a report must name its study under `How to reproduce`, {path} does not; "
            "verify takes the folder of a report, e.g. reports/flowers"
        )
    return Source(cited.grid_name, cited.parent_run_id, cited.study_id)


def verify_report(
    study: PublishedStudy,
    *,
    predictions: Predictions,
    folder: Path,
    pilot: PublishedStudy | None = None,
    pictures: Pictures | None = None,
) -> list[Finding]:
    """Return every disagreement of the report in `folder` with its study, and of that with itself.

    An empty list is a pass. `pictures` as for `write_report`; a report that leaves images out is
    compared without. Raises SpecError where `report.json` cannot be read.
    """
    # 1. runs against themselves; below, scores from predictions stand for the logged ones
    findings, recomputed = _check_runs(study, predictions)
    if pilot is not None:
        findings += _check_pilot(study, pilot, predictions)
    # 2. the report against the runs
    written = _written_texts(folder)
    record = read_report_record(folder)
    findings += _cited_runs(study, written)
    try:
        check_one_origin(study)
        results = compute_results(recomputed, predictions)
        if not _shows_images(folder, record):
            pictures = None
        results = with_pictures(results, pictures)
    # nothing to compare with: what was found so far is still reported
    except AblateError as error:
        return [*findings, Finding("the study", "a report", f"none: {error}")]
    findings += _check_files(folder, written, results)
    if record is not None:
        findings += _check_record(folder, record, results)
    elif _had_record(folder):
        findings.append(Finding(NAME, "nothing", "a file"))
    return findings


def _had_record(folder: Path) -> bool:
    """Whether the report was written with a `report.json`: those of older versions were not."""
    mark = read_mark(folder)
    return mark is not None and NAME in mark.files


def _written_texts(folder: Path) -> dict[str, str]:
    """Path below the folder -> text, of every file that is compared word by word."""
    texts = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in {".md", ".csv", ".html"}:
            # a byte that is no UTF-8 is a difference to be named, not the end of the comparison
            texts[path.relative_to(folder).as_posix()] = path.read_text(errors="replace")
    return texts


def _shows_images(folder: Path, record: ReportRecord | None) -> bool:
    if record is not None:
        return record.has_images
    readme = folder / "README.md"
    return not (readme.is_file() and leaves_images_out(readme.read_text(errors="replace")))


def _check_files(folder: Path, written: Mapping[str, str], results: Results) -> Iterator[Finding]:
    """Every text of the report against the one that is rendered now, and whether figures exist."""
    # of each picture the name and the alt text are compared, not how it is drawn
    drawn = choose_pictures(results)
    texts = render_texts(results, drawn)
    # pictures in the page are compared by their alt texts alone
    no_pictures = {f"figures/{name}.svg": b"" for name in drawn}
    texts["report.html"] = page(texts["README.md"], no_pictures)
    for name in drawn:
        for ending in (".svg", ".png"):
            if not (folder / "figures" / (name + ending)).is_file():
                yield Finding(f"figures/{name}{ending}", "nothing", "a figure")
    for name in written:
        if name not in texts:
            yield Finding(name, "a file of its own", "no such arm or table")
    for name, text in texts.items():
        if name in written:
            yield from text_differences(name, written[name], text)
        else:
            yield Finding(name, "nothing", "a file")


def _check_record(folder: Path, record: ReportRecord, results: Results) -> Iterator[Finding]:
    """`report.json` against what is computed now, and figures against their digests in it."""
    computed = report_record(results, files={}).model_dump(mode="json")
    # The file itself, not what was read of it: reading passes over keys that it does not know.
    stored = json.loads((folder / NAME).read_bytes()) | {"files": {}}
    yield from value_differences(NAME, stored, computed)
    for path in sorted((folder / "figures").glob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix in {".svg", ".png"} and name not in record.files:
            yield Finding(f"{NAME} files", f"nothing of {name}", "its digest")
    for name, digest in record.files.items():
        path = folder / name
        if not (name.startswith("figures/") and path.is_file()):
            continue
        if digest_of(path.read_bytes()) != digest:
            yield Finding(name, "another picture", f"the one of digest {digest[:12]}")


def _check_runs(
    study: PublishedStudy, predictions: Predictions
) -> tuple[list[Finding], PublishedStudy]:
    """Disagreements inside runs, and the study with scores from predictions for the logged ones."""
    findings: list[Finding] = []
    reported = set()
    for run_id, run in named_runs(study).items():
        if run.status == TrialState.COMPLETE:
            reported.add(run_id)
    runs = []
    for run in study.runs:
        scores: Mapping[str, float] = {}
        if run.run_id in reported:
            findings += _changed_params(run, study.record)
            try:
                scores = recomputed_scores(run, predictions, study.record)
            # a tampered table may break anywhere on the way to a score
            except (AblateError, OSError, ValueError, KeyError, IndexError) as error:
                problem = f"none, for want of readable predictions ({error})"
                findings.append(Finding(f"run {run.run_id}", "scores", problem))
            findings += _changed_scores(run, scores)
        # recomputed scores win, everything that cannot be recomputed stays: times, costs
        runs.append(replace(run, metrics={**run.metrics, **scores}))
    return findings, replace(study, runs=tuple(runs))


def _check_pilot(
    study: PublishedStudy, pilot: PublishedStudy, predictions: Predictions
) -> Iterator[Finding]:
    """What the study says of its pilot's trials, against their runs and predictions."""
    if study.record.pilot is None:
        return
    runs = {run.trial_id: run for run in pilot.runs}
    for trial in study.record.pilot.trials:
        place = f"pilot trial {trial.trial_id}"
        run = runs.get(trial.trial_id)
        if run is None:
            yield Finding(place, "a run", "none")
            continue
        metrics = dict(run.metrics)
        # trials that did not complete have no scores to compare
        if trial.scores:
            metrics |= recomputed_scores(run, predictions, study.record)
        for name, value in trial.scores.items():
            found = metrics.get(name, math.nan)
            if not _is_same(found, value):
                yield Finding(f"{place} {name}", f"{value:.9g}", f"{found:.9g} in run {run.run_id}")


def recomputed_scores(
    run: PublishedRun, predictions: Predictions, record: StudyRecord
) -> dict[str, float]:
    """`val/*` and `test/*` of a run, from its stored predictions."""
    frame = predictions(run)
    scores = {}
    for split in SPLITS:
        for name, value in split_scores(frame[frame["split"] == split], record).items():
            scores[f"{split}/{name}"] = value
    return scores


def _changed_scores(run: PublishedRun, scores: Mapping[str, float]) -> Iterator[Finding]:
    for name, value in scores.items():
        logged = run.metrics.get(name, math.nan)
        # a score that nothing defines is NaN in both
        if math.isnan(logged) and math.isnan(value):
            continue
        if not _is_same(logged, value):
            computed = f"{value:.9g} from its predictions"
            yield Finding(f"run {run.run_id} {name}", f"{logged:.9g}", computed)


def _is_same(score: float, other: float) -> bool:
    return math.isclose(score, other, rel_tol=_SAME, abs_tol=_SAME)


def _changed_params(run: PublishedRun, record: StudyRecord) -> Iterator[Finding]:
    recipe = arms_by_id(record.all_arms)[run.arm_id].recipe
    # Only fields that matter: a run of an equal recipe, from before the grid was edited, may
    # differ in the others.
    matter = relevant(recipe)
    asked = {}
    for name, value in recipe.model_dump(mode="json").items():
        if name in matter:
            asked[name] = param_text(value)
    asked["seed"] = str(run.seed)
    for name, value in asked.items():
        # A run of before has a renamed field under its first name alone.
        logged = run.params.get(name, run.params.get(first_name(name), value))
        if logged != value:
            place = f"run {run.run_id} parameter {name}"
            yield Finding(place, logged, f"{value} in the study's record")


def _cited_runs(study: PublishedStudy, written: Mapping[str, str]) -> Iterator[Finding]:
    known = {run.run_id for run in study.runs}
    known.add(study.parent_run_id)
    for name, text in written.items():
        if name.endswith(".md"):
            for run_id in cited_run_ids(text):
                if run_id not in known:
                    yield Finding(name, f"run {run_id}", "no such run in the study")
