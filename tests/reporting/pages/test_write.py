"""The rim: which files, which bytes, what is removed, and what is never imported."""

from __future__ import annotations

import csv
import hashlib
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.reporting.pages.write import ReportPaths, write_report


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


SMALL = {"augment": ("none", "light")}


@pytest.fixture(scope="module")
def written(published, tmp_path_factory) -> ReportPaths:
    """A whole report, for tests that only look."""
    return write_report(
        published.study, predictions=published.predictions, out=tmp_path_factory.mktemp("report")
    )


@pytest.mark.slow
def test_the_same_runs_give_the_same_bytes_whatever_their_order(
    published, written, tmp_path
) -> None:
    write_report(
        replace(published.study, runs=published.study.runs[::-1]),
        predictions=published.predictions,
        out=tmp_path,
    )
    assert len(digests(tmp_path)) == 12 + 11 + 2 * 9 + 1
    assert digests(tmp_path) == digests(written.readme.parent)


def test_paths_name_what_was_written(written) -> None:
    out = written.readme.parent
    named = {
        written.readme,
        written.record,
        *written.tables,
        written.page,
        *written.cards,
        *written.figures,
        written.mark,
    }
    assert named == set(written.files) == {path for path in out.rglob("*") if path.is_file()}
    assert written.champion_card == out / "cards" / "champion.md"
    folder = written.readme.parent
    assert len(list(csv.DictReader((folder / "effects.csv").read_text().splitlines()))) == 8
    rows = csv.DictReader((folder / "interactions.csv").read_text().splitlines())
    assert {row["kind"] for row in rows} == {"interaction"}


def test_links_and_images_resolve(written) -> None:
    targets = re.findall(r"\]\(([^)]+)\)", written.readme.read_text())
    cards = {f"cards/{path.name}" for path in written.cards}
    figures = {f"figures/{path.name}" for path in written.figures if path.suffix == ".svg"}
    assert set(targets) == cards | figures
    # every arm once, the best of them and the baseline on the first screen too, and the champion
    assert len(targets) == 10 + 9 + 1 + len(figures)
    assert len(figures) == 9
    assert all((written.readme.parent / target).is_file() for target in targets)


@pytest.mark.slow
def test_the_page_stands_alone(written) -> None:
    """No address, no file beside it: what a browser would fetch is inside, with one script."""
    text = written.page.read_text()
    assert set(re.findall(r'(?:src|href)="([^"]{0,26})', text)) == {"data:image/svg+xml;base64,"}
    assert text.count("<script>") == text.count("<script") == 1
    assert "url(" not in text and "fetch(" not in text and "import(" not in text
    assert text.count("<img ") == 9 and text.count("<h1>") == 1
    assert "**" not in re.sub(r"<code>.*?</code>", "", text) and "](" not in text


def test_no_champion_card_without_a_champion(published, tmp_path) -> None:
    failed = published.with_runs(lambda run: replace(run, status="FAILED"))
    paths = write_report(failed.study, predictions=failed.predictions, out=tmp_path)
    assert paths.champion_card is None and len(paths.cards) == 10 and paths.figures == ()


@pytest.mark.slow
def test_binary_absent_and_single_seed_studies_have_reports(build, tmp_path) -> None:
    studies = [
        build(axes=SMALL, n_classes=2),
        build(axes=SMALL, absent=(0, 3)),
        build(axes=SMALL, seeds=(7,)),
        build(axes={"augment": ("none",)}),
    ]
    for number, study in enumerate(studies):
        paths = write_report(study.study, predictions=study.predictions, out=tmp_path / str(number))
        assert "nan" not in paths.readme.read_text() and paths.champion_card is not None


_WITHOUT_TORCH = """
import sys

HEAVY = {"torch", "torchvision", "timm", "peft", "mlflow", "optuna", "ray", "sklearn"}

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HEAVY:
            raise ImportError(f"reporting imports {name}")

sys.meta_path.insert(0, Refuse())
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from conftest import make_study
from ablate.reporting.pages.write import write_report
study = make_study(axes={"augment": ("none", "light")})
print(write_report(study.study, predictions=study.predictions, out=Path(sys.argv[2])).readme.name)
"""


@pytest.mark.slow
def test_reporting_needs_neither_torch_nor_mlflow(tmp_path) -> None:
    command = [sys.executable, "-c", _WITHOUT_TORCH, str(Path(__file__).parents[1]), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "README.md\n"), done.stderr
