"""Images that belong together, as a person walks the path: plan, run, report, predictions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import ablate
from ablate.cli import app
from ablate.reporting.predictions.read import read_study
from ablate.tracking.mlflow_store import MlflowStore

WriteGrid = Callable[..., Path]
GROUPED = (
    "path: pictures,",
    "path: parts, group_by: '(part[0-9]+)_', split_seed: 0, "
    "fractions: {train: 0.5, val: 0.2, test: 0.3},",
)
ONE_ARM = ("head_lr: [1.0e-3, 1.0e-2]", "head_lr: [1.0e-2]")
RULE = "the expression '(part[0-9]+)_'"


@pytest.fixture(autouse=True)
def parts(desk: Path) -> None:
    """Twelve parts of each colour, one to four images of each."""
    for label, name in enumerate(("red", "green")):
        (desk / "data" / "parts" / name).mkdir(parents=True)
        for part in range(12):
            rng = np.random.default_rng([label, part])
            for i in range(1 + part % 4):
                pixels = rng.integers(0, 60, size=(40, 40, 3)) + rng.integers(0, 90, size=3)
                pixels[..., label] += 60
                number = part + 12 * label
                image = Image.fromarray(pixels.astype(np.uint8))
                image.save(desk / "data" / "parts" / name / f"part{number}_{i}.png")


def test_plan_says_how_many_groups_each_side_has(write_grid: WriteGrid) -> None:
    result = CliRunner().invoke(app, ["plan", str(write_grid("planned", GROUPED))])
    assert result.exit_code == 0, result.output
    said = " ".join(result.stdout.split())
    assert f"groups: 24 by {RULE}, of 1 to 4 images; none on two sides (train " in said
    assert "intervals resample groups, not images" in said
    assert "warning: test has only " in said


@pytest.mark.slow
def test_intervals_resample_the_groups_that_predictions_name(
    desk: Path, write_grid: WriteGrid, tracking_uri: str
) -> None:
    grid = write_grid("grouped", GROUPED, ONE_ARM, ("seeds: [0]", "seeds: [0, 1]"))
    result = CliRunner().invoke(app, ["run", str(grid), "--workers", "1"])
    assert result.exit_code == 0, result.output + str(result.exception)
    report = desk / "reports" / "grouped"
    readme = (report / "README.md").read_text()
    assert "Images belong to 24 groups of 1 to 4 (" in readme
    assert "and intervals resample groups of test images, not single ones" in readme
    assert "The intervals allow for other seeds and other groups of test images" in readme
    assert "**Test has only " in readme
    assert "| groups | Images belong to 24 groups" in readme
    card = (report / "cards" / "champion.md").read_text()
    assert "The interval of the mean on test allows for other groups of test images" in card

    frame = ablate.open_study("grouped").predictions()
    assert (frame["group"] == frame["image_id"].str.extract("(part[0-9]+)_")[0]).all()
    sides = frame.drop_duplicates(["split", "group"]).groupby("group").size()
    assert (sides == 1).all()

    store = MlflowStore(tracking_uri, "grouped")
    study = store.read_study("grouped")
    grouped = read_study(study, store.read_predictions).resampled
    single = read_study(
        study, lambda run: store.read_predictions(run).drop(columns="group")
    ).resampled
    assert grouped.keys() == single.keys()
    for key in grouped:
        metric = "test/auroc_ovr_macro"
        assert grouped[key][metric].std() > single[key][metric].std()

    again = CliRunner().invoke(app, ["run", str(grid)])
    assert "trials: 0 completed now, 4 before, 0 failed" in again.stdout, again.output
    said = " ".join(again.stdout.split())
    assert "finished: every trial was complete before this call; nothing was trained" in said
    assert "open it in a browser: " in said
    verified = CliRunner().invoke(app, ["verify", str(report)])
    assert verified.exit_code == 0, verified.output


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("part", "this one has no group: put what images of one group share in parentheses"),
        ("(part", "this is no regular expression (missing ), unterminated subpattern at position"),
    ],
)
def test_a_wrong_expression_is_named_with_its_line(
    write_grid: WriteGrid, rule: str, message: str
) -> None:
    grid = write_grid("wrong", (GROUPED[0], GROUPED[1].replace("(part[0-9]+)_", rule)))
    result = CliRunner().invoke(app, ["plan", str(grid)])
    assert result.exit_code == 2
    assert "data.group_by" in result.stderr
    assert message in " ".join(result.stderr.split())
    assert f"got '{rule}'" in " ".join(result.stderr.split())


def test_a_rule_that_finds_nothing_stops_before_anything_starts(
    desk: Path, write_grid: WriteGrid
) -> None:
    grid = write_grid("nothing", (GROUPED[0], GROUPED[1].replace("part[0", "piece[0")))
    result = CliRunner().invoke(app, ["run", str(grid)])
    assert result.exit_code == 2
    assert "the expression '(piece[0-9]+)_' finds something in none of 60" in result.stderr
    assert not list(desk.glob("home/images/*"))
