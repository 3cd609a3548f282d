"""The rim of reporting: render everything in memory, then write it below one folder."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ablate.reporting.compute import compute_results
from ablate.reporting.figures.choose import choose_pictures
from ablate.reporting.figures.example_images import Pictures, with_pictures
from ablate.reporting.figures.picture import Picture
from ablate.reporting.figures.render import drawing, spare_processes
from ablate.reporting.one_origin import check_one_origin
from ablate.reporting.pages.cards.card import card_text
from ablate.reporting.pages.csv_files import table_texts
from ablate.reporting.pages.folder import (
    MARK,
    Mark,
    cannot_be_written,
    check_in_the_way,
    claim_folder,
    digest_of,
    remove_stale,
    set_aside_edited,
    write_file,
    write_mark,
)
from ablate.reporting.pages.html import page
from ablate.reporting.pages.readme import report_text
from ablate.reporting.predictions.read import Predictions
from ablate.reporting.report_record import NAME, report_json
from ablate.reporting.results import Results
from ablate.reporting.summarise import report_record
from ablate.tracking.records import PublishedStudy

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReportPaths:
    """What was written."""

    readme: Path
    record: Path
    """`report.json`: the same for programs."""
    tables: tuple[Path, ...]
    page: Path
    cards: tuple[Path, ...]
    figures: tuple[Path, ...]
    mark: Path
    """By which the next report knows these files as ours."""

    @property
    def files(self) -> tuple[Path, ...]:
        """All of it."""
        folders = (*self.tables, *self.cards, *self.figures)
        return (self.readme, self.page, self.record, *folders, self.mark)

    @property
    def champion_card(self) -> Path | None:
        """`cards/champion.md`; None where no trial completed."""
        for path in self.cards:
            if path.name == "champion.md":
                return path
        return None


def write_report(
    study: PublishedStudy, *, predictions: Predictions, out: Path, pictures: Pictures | None = None
) -> ReportPaths:
    """Write the report of a study below `out`; equal runs give equal bytes.

    `pictures` gives the images that it shows; without it there are none. What an earlier report
    wrote is replaced or removed, other files are left alone. Raises StoreError where `out` is not a
    report's folder or cannot be written, CheckFailed where runs contradict each other, WeightsError
    where runs of one name of weights started from different tensors.
    """
    # before anything is written, as all that can be refused
    check_one_origin(study)
    mark = claim_folder(out, grid_name=study.record.grid_name, others={})
    files = render_report(with_pictures(compute_results(study, predictions), pictures))
    # after rendering, because only now the names of all files are known
    check_in_the_way(out, mark, files)
    _write_all(out, mark, files)
    return ReportPaths(
        readme=out / "README.md",
        record=out / NAME,
        tables=_paths(out, files, r"\w+\.csv"),
        page=out / "report.html",
        cards=_paths(out, files, r"cards/.*"),
        figures=_paths(out, files, r"figures/.*"),
        mark=out / MARK,
    )


def _paths(out: Path, names: Iterable[str], pattern: str) -> tuple[Path, ...]:
    """The files whose whole name below `out` fits, in the order of `names`."""
    return tuple(out / name for name in names if re.fullmatch(pattern, name))


def _write_all(out: Path, mark: Mark, files: Mapping[str, bytes]) -> None:
    """Replace an earlier report of `mark` by `files`."""
    path = out / MARK
    try:
        # The mark goes first, so that what is half written is known as ours too.
        planned = {**mark.files, **dict.fromkeys(files, "")}
        write_mark(out, mark.model_copy(update={"files": planned}))
        for name, moved in set_aside_edited(out, mark, files).items():
            edited = "%s was changed by hand since a report wrote it; it is kept as %s"
            _LOG.warning(edited, out / name, moved.name)
        for name, content in files.items():
            path = out / name
            write_file(path, content)
        # last: until all is written, an old file is better than none
        remove_stale(out, mark, files)
        path = out / MARK
        write_mark(out, Mark(grid=mark.grid, files=_digests(files)))
    except OSError as error:
        raise cannot_be_written(error, path) from error


def render_report(results: Results) -> dict[str, bytes]:
    """Return path below the report folder -> content, for every file of the report."""
    # figures are rendered by other processes, while texts are made here
    pictures = choose_pictures(results)
    with drawing(pictures, n_processes=spare_processes(len(results.trials))) as drawn_figures:
        texts = render_texts(results, pictures)
        drawn = drawn_figures()
    # the page picks out the pictures that the README shows
    texts["report.html"] = page(texts["README.md"], drawn)
    files = {name: text.encode() for name, text in texts.items()} | drawn
    # of everything but the record itself, which holds them
    files[NAME] = report_json(report_record(results, files=_digests(files))).encode()
    return files


def _digests(files: Mapping[str, bytes]) -> dict[str, str]:
    """Path -> digest, in the order of the paths: equal files give equal records."""
    digests = {}
    for name in sorted(files):
        digests[name] = digest_of(files[name])
    return digests


def render_texts(results: Results, pictures: Mapping[str, Picture]) -> dict[str, str]:
    """Return path -> text of everything with numbers in it: README.md, tables and cards."""
    texts = {"README.md": report_text(results, pictures)}
    for name, csv in table_texts(results).items():
        texts[f"{name}.csv"] = csv
    # also those without a complete trial: their cards say so
    for arm in results.record.arms:
        texts[f"cards/{results.slugs[arm.arm_id]}.md"] = card_text(results, arm)
    # under a name that does not change when another arm becomes the best
    if results.champion is not None:
        texts["cards/champion.md"] = texts[f"cards/{results.slugs[results.champion.arm_id]}.md"]
    return texts
