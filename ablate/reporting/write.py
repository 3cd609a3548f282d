"""The rim of reporting: render everything in memory, then write it below one folder."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ablate.errors import StoreError
from ablate.reporting.cards import card_text
from ablate.reporting.drawing import drawing, spare_processes
from ablate.reporting.effects import effect_frame
from ablate.reporting.examples import Pictures, with_pictures
from ablate.reporting.figures import Picture
from ablate.reporting.gallery import draw_gallery
from ablate.reporting.html import page
from ablate.reporting.one_origin import check_one_origin
from ablate.reporting.readings import Predictions
from ablate.reporting.report import OF_ONE_LABEL, report_text
from ablate.reporting.results import Results, class_frame, compute_results, confusion_frame
from ablate.reporting.review_section import duplicate_frame
from ablate.reporting.suspects import suspect_frame
from ablate.reporting.tables import csv_text, trials_csv
from ablate.tracking.records import PublishedStudy

_OWN_ENDINGS = {"figures": {".svg", ".png"}, "cards": {".md"}}
"""Folder of a report -> endings of the files in it that are ours to remove."""


@dataclass(frozen=True)
class ReportPaths:
    """What was written."""

    readme: Path
    tables: tuple[Path, ...]
    page: Path
    cards: tuple[Path, ...]
    figures: tuple[Path, ...]

    @property
    def champion_card(self) -> Path | None:
        """`cards/champion.md`; None where no trial completed."""
        return next((path for path in self.cards if path.name == "champion.md"), None)


def write_report(study: PublishedStudy, *, predictions: Predictions, out: Path, pictures: Pictures | None = None) -> ReportPaths:
    """Write the report of a study below `out`; equal runs give equal bytes. `pictures` gives the images that it shows; without it there are none.

    Stale figures and cards of an earlier report are removed, other files are left alone. Raises StoreError where `out` cannot be written, CheckFailed where
    runs contradict each other, WeightsError where runs of one name of weights started from different tensors.
    """
    check_one_origin(study)
    check_report_folder(out)
    files = render_report(with_pictures(compute_results(study, predictions), pictures))
    _remove_stale(out, files)
    written = {name: _write(out / name, content) for name, content in files.items()}
    return ReportPaths(
        readme=written["README.md"],
        tables=tuple(path for name, path in written.items() if name.endswith(".csv")),
        page=written["report.html"],
        cards=tuple(path for name, path in written.items() if name.startswith("cards/")),
        figures=tuple(path for name, path in written.items() if name.startswith("figures/")),
    )


def check_report_folder(out: Path) -> None:
    """Make sure that a report can be written below `out`, before hours are spent on it. Creates the folder. Raises StoreError."""
    for folder in (out, *(out / name for name in _OWN_ENDINGS)):
        if folder.is_symlink() and folder != out:
            raise StoreError(f"{folder.name}/ of a report must be a folder of its own, {folder} is a link; remove the link, or name another report folder")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise StoreError(f"the report folder must be writable, {folder} is not: {error.strerror}; free it, or name another report folder") from error


def render_report(results: Results) -> dict[str, bytes]:
    """Return path below the report folder -> content, for every file of the report."""
    pictures = draw_gallery(results)
    with drawing(pictures, n_processes=spare_processes(len(results.trials))) as drawn_figures:
        texts = render_texts(results, pictures)
        drawn = drawn_figures()
    texts["report.html"] = page(texts["README.md"], {name: content for name, content in drawn.items() if name.endswith(".svg")})
    return {**{name: text.encode() for name, text in texts.items()}, **drawn}


def render_texts(results: Results, pictures: Mapping[str, Picture]) -> dict[str, str]:
    """Return path -> text of everything with numbers in it: README.md, tables and cards."""
    texts = {
        "README.md": report_text(results, pictures),
        "trials.csv": trials_csv(results.trials),
        "arms.csv": csv_text(results.arms),
        "effects.csv": csv_text(effect_frame(results.effects.mains)),
        "interactions.csv": csv_text(effect_frame(results.effects.interactions)),
        "classes.csv": csv_text(class_frame(results)),
        "confusion_champion.csv": csv_text(confusion_frame(results)),
        "suspect_labels.csv": csv_text(suspect_frame(results.suspects, results.record.data.class_names)),
        "near_duplicates.csv": csv_text(duplicate_frame(results)),
        **{f"cards/{results.slugs[arm.arm_id]}.md": card_text(results, arm) for arm in results.record.arms},
    }
    if results.has_several_labels:
        texts = {name: text for name, text in texts.items() if name.removesuffix(".csv") not in OF_ONE_LABEL}
    if results.champion is not None:
        texts["cards/champion.md"] = texts[f"cards/{results.slugs[results.champion.arm_id]}.md"]
    return texts


def _remove_stale(out: Path, files: dict[str, bytes]) -> None:
    for folder, endings in _OWN_ENDINGS.items():
        for path in sorted((out / folder).iterdir()):
            if path.suffix in endings and f"{folder}/{path.name}" not in files and (path.is_file() or path.is_symlink()):
                path.unlink()


def _write(path: Path, content: bytes) -> Path:
    """The file appears whole or not at all."""
    half = path.with_name(f"{path.name}.part")
    try:
        half.write_bytes(content)
        half.replace(path)
    except OSError as error:
        raise StoreError(f"the report must be writable, {path} is not: {error.strerror}; free it, or name another report folder") from error
    return path
