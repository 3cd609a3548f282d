"""A report against its source: every score again from the stored predictions, every file again from those, and each place that differs by name.

What runs say of themselves is checked first: logged scores against predictions, logged parameters against the study's recipes. Then the whole report is
rendered anew in memory with the recomputed scores and compared word by word. Numbers are rounded the same way on both sides, so a printed number may differ by
nothing. Figures are not compared, their alt texts are.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ablate.errors import AblateError, SpecError
from ablate.recipe.canonical import relevant
from ablate.recipe.former_names import with_current_names
from ablate.reporting.compute import compute_results
from ablate.reporting.evidence.tables import noise_runs, run_of_trial
from ablate.reporting.figures.choose import draw_gallery
from ablate.reporting.figures.example_images import LEFT_OUT, Pictures, with_pictures
from ablate.reporting.one_origin import check_one_origin
from ablate.reporting.pages.html import page
from ablate.reporting.pages.write import render_texts
from ablate.reporting.predictions.read import Predictions, split_scores
from ablate.study.record import StudyRecord
from ablate.tracking.events import TrialState
from ablate.tracking.projection import param_text
from ablate.tracking.records import PublishedRun, PublishedStudy

SPLITS = ("val", "test")
_SAME = 1e-9
"""Scores are computed from the same float32 probabilities, here as there."""
_SOURCE = re.compile(r"MLflow: experiment `([^`]+)`, parent run `([^`]+)`, study `([^`]+)`")
_RUN_ID = re.compile(r"`([0-9a-f]{32})`")
_TOKEN = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?|[^\W\d]+|\S")
_INLINED = re.compile(r'src="data:image/svg\+xml;base64,[^"]*"')


@dataclass(frozen=True)
class Finding:
    """One place where the report and its source disagree."""

    place: str
    """`cards/champion.md:34`, or `run 0a1b...`."""
    told: str
    """What stands there."""
    found: str
    """What the store gives."""

    def __str__(self) -> str:
        return f"{self.place}: says {self.told}, the store gives {self.found}"


@dataclass(frozen=True)
class Source:
    """Which study a report was made from, as its README says."""

    grid_name: str
    parent_run_id: str
    study_id: str


def report_source(folder: Path) -> Source:
    """Read which study the report in `folder` cites. Raises SpecError where it does not say."""
    path = folder / "README.md"
    if not path.is_file():
        raise SpecError(
            f"verify takes the folder of a report, e.g. reports/flowers; {folder} holds no README.md"
        )
    found = _SOURCE.search(path.read_text(errors="replace"))
    if found is None:
        raise SpecError(
            f"a report must name its study under `How to reproduce`, {path} does not; verify takes the folder of a report, e.g. reports/flowers"
        )
    return Source(*found.groups())


def verify_report(
    study: PublishedStudy,
    *,
    predictions: Predictions,
    folder: Path,
    pilot: PublishedStudy | None = None,
    pictures: Pictures | None = None,
) -> list[Finding]:
    """Return every disagreement between the report in `folder` and the runs and predictions of `study`, and of its pilot; an empty list is a pass.

    `pictures` as for `write_report`; a report that says that it leaves images out is compared without.
    """
    findings, recomputed = _check_runs(study, predictions)
    findings += [] if pilot is None else _check_pilot(study, pilot, predictions)
    found = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.suffix in {".md", ".csv", ".html"}
    }
    findings += _cited_runs(study, found)
    try:
        check_one_origin(study)
        results = with_pictures(
            compute_results(recomputed, predictions),
            None if _leaves_images_out(folder) else pictures,
        )
    except AblateError as error:
        return [*findings, Finding("the study", "a report", f"none: {error}")]
    drawn = draw_gallery(results)
    texts = render_texts(results, drawn)
    texts["report.html"] = page(texts["README.md"], {f"figures/{name}.svg": b"" for name in drawn})
    findings += [
        Finding(f"figures/{name}{ending}", "nothing", "a figure")
        for name in drawn
        for ending in (".svg", ".png")
        if not (folder / "figures" / (name + ending)).is_file()
    ]
    findings += [
        Finding(name, "a file of its own", "no such arm or table")
        for name in found
        if name not in texts
    ]
    for name, text in texts.items():
        findings += (
            _differences(name, found[name].read_text(errors="replace"), text)
            if name in found
            else [Finding(name, "nothing", "a file")]
        )
    return findings


def _leaves_images_out(folder: Path) -> bool:
    readme = folder / "README.md"
    return readme.is_file() and LEFT_OUT in readme.read_text(errors="replace")


def _check_runs(
    study: PublishedStudy, predictions: Predictions
) -> tuple[list[Finding], PublishedStudy]:
    """Disagreements inside runs, and the study with scores from predictions in place of the logged ones."""
    findings: list[Finding] = []
    speaking = {
        run.run_id
        for run in (*run_of_trial(study).values(), *noise_runs(study))
        if run.status == TrialState.COMPLETE
    }
    runs = []
    for run in study.runs:
        scores: Mapping[str, float] = {}
        if run.run_id in speaking:
            findings += _changed_params(run, study.record)
            try:
                scores = recomputed_scores(run, predictions, study.record)
            except (AblateError, OSError, ValueError, KeyError, IndexError) as error:
                findings.append(
                    Finding(
                        f"run {run.run_id}",
                        "scores",
                        f"none, for want of readable predictions ({error})",
                    )
                )
            findings += _changed_scores(run, scores)
        runs.append(replace(run, metrics={**run.metrics, **scores}))
    return findings, replace(study, runs=tuple(runs))


def _check_pilot(
    study: PublishedStudy, pilot: PublishedStudy, predictions: Predictions
) -> Iterator[Finding]:
    """What the study says of its pilot's trials, against their runs and predictions."""
    runs = {run.trial_id: run for run in pilot.runs}
    for trial in study.record.pilot.trials if study.record.pilot is not None else ():
        run = runs.get(trial.trial_id)
        if run is None:
            yield Finding(f"pilot trial {trial.trial_id}", "a run", "none")
            continue
        found = {
            **run.metrics,
            **(recomputed_scores(run, predictions, study.record) if trial.scores else {}),
        }
        for name, value in trial.scores.items():
            if not math.isclose(found.get(name, math.nan), value, rel_tol=_SAME, abs_tol=_SAME):
                yield Finding(
                    f"pilot trial {trial.trial_id} {name}",
                    f"{value:.9g}",
                    f"{found.get(name, math.nan):.9g} in run {run.run_id}",
                )


def recomputed_scores(
    run: PublishedRun, predictions: Predictions, record: StudyRecord
) -> dict[str, float]:
    """`val/*` and `test/*` of a run, from its stored predictions."""
    frame = predictions(run)
    return {
        f"{split}/{name}": value
        for split in SPLITS
        for name, value in split_scores(frame[frame["split"] == split], record).items()
    }


def _changed_scores(run: PublishedRun, scores: Mapping[str, float]) -> Iterator[Finding]:
    for name, value in scores.items():
        logged = run.metrics.get(name, math.nan)
        if not (
            math.isclose(logged, value, rel_tol=_SAME, abs_tol=_SAME)
            or (math.isnan(logged) and math.isnan(value))
        ):
            yield Finding(
                f"run {run.run_id} {name}", f"{logged:.9g}", f"{value:.9g} from its predictions"
            )


def _changed_params(run: PublishedRun, record: StudyRecord) -> Iterator[Finding]:
    recipe = next(arm.recipe for arm in record.arms if arm.arm_id == run.arm_id)
    matter = relevant(
        recipe
    )  # a run of an equal recipe, from before the grid was edited, may differ in the rest
    asked = {
        **{
            name: param_text(value)
            for name, value in recipe.model_dump(mode="json").items()
            if name in matter
        },
        "seed": str(run.seed),
    }
    params = with_current_names(run.params)
    for name, value in asked.items():
        if params.get(name, value) != value:
            yield Finding(
                f"run {run.run_id} parameter {name}",
                params[name],
                f"{value} in the study's record",
            )


def _cited_runs(study: PublishedStudy, found: Mapping[str, Path]) -> Iterator[Finding]:
    known = {study.parent_run_id, *(run.run_id for run in study.runs)}
    for name, path in found.items():
        if path.suffix == ".md":
            for run_id in dict.fromkeys(_RUN_ID.findall(path.read_text(errors="replace"))):
                if run_id not in known:
                    yield Finding(name, f"run {run_id}", "no such run in the study")


def _differences(name: str, told: str, computed: str) -> Iterator[Finding]:
    """Word by word; lines that were added or lost are named whole."""
    old, new = (_INLINED.sub('src=""', text).splitlines() for text in (told, computed))
    for what, start, end, other_start, other_end in (
        difflib.SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes() if old != new else ()
    ):
        if what == "equal":
            continue
        lines, others = old[start:end], new[other_start:other_end]
        for offset in range(max(len(lines), len(others))):
            line = lines[offset] if offset < len(lines) else ""
            other = others[offset] if offset < len(others) else ""
            yield from _words(f"{name}:{start + offset + 1}", line, other)


def _words(place: str, line: str, other: str) -> Iterator[Finding]:
    words, others = _TOKEN.findall(line), _TOKEN.findall(other)
    if len(words) != len(others):
        yield Finding(place, _cut(line), _cut(other))
        return
    differing = [
        (word, wanted) for word, wanted in zip(words, others, strict=True) if word != wanted
    ]
    for word, wanted in differing or [(_cut(line), _cut(other))]:
        yield Finding(place, word, wanted)


def _cut(line: str) -> str:
    return (line if len(line) <= 120 else f"{line[:119]}…") or "nothing"
