"""Cross-validation as a person walks the path: plan, run, kill, run again, report, verify."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
from PIL import Image
from safetensors.torch import save_model
from typer.testing import CliRunner

import ablate
from ablate.cli import app
from ablate.data.store import open_store
from ablate.reporting.predictions.read import read_study
from ablate.tracking.mlflow_store import MlflowStore

WriteGrid = Callable[..., Path]
N_FOLDS = 3
FOLDED = ("path: pictures,", f"path: parts, folds: {N_FOLDS}, split_seed: 0,")
GROUPED = (FOLDED[0], FOLDED[1] + " group_by: '(part[0-9]+)_',")
SEEDS = ("seeds: [0]", "seeds: [0, 1, 2]")
ONE_LR = ("head_lr: [1.0e-3, 1.0e-2]", "head_lr: [1.0e-2]")
N_IMAGES = 36
WAIT_S = 120.0


@pytest.fixture(autouse=True)
def parts(desk: Path) -> None:
    """Nine parts of each colour, two images of each; no splits."""
    for label, name in enumerate(("red", "green")):
        for part in range(9):
            rng = np.random.default_rng([label, part])
            for i in range(2):
                pixels = rng.integers(0, 100, size=(40, 40, 3))
                pixels[..., label] += 70
                path = desk / "data" / "parts" / name / f"part{part + 9 * label:02d}_{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels.astype(np.uint8)).save(path)


def _run(grid: Path, *options: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["run", str(grid), *options])
    assert result.exit_code == code, result.output + str(result.exception)
    return " ".join(result.stdout.split())


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        rows = []
        for row in csv.DictReader(file):
            rows.append({key: value for key, value in row.items() if not key.startswith("time/")})
        return rows


def _predictions(name: str, tracking_uri: str) -> dict[tuple[str, int], pd.DataFrame]:
    store = MlflowStore(tracking_uri, name)
    frames = {}
    for run in store.read_study(name).runs:
        frames[run.arm_id, run.seed] = store.read_predictions(run)
    return frames


def test_plan_says_what_the_seeds_test(write_grid: WriteGrid) -> None:
    result = CliRunner().invoke(app, ["plan", str(write_grid("planned", FOLDED, SEEDS))])
    assert result.exit_code == 0, result.output
    said = " ".join(result.stdout.split())
    assert "splits: 3 folds, stratified: each seed tests one, val is the next" in said
    assert "note: each seed has a split of its own; every one of 36 images is tested once" in said


def test_fewer_seeds_than_folds_are_warned_of(write_grid: WriteGrid) -> None:
    result = CliRunner().invoke(app, ["plan", str(write_grid("few", FOLDED))])
    assert result.exit_code == 0, result.output
    assert (
        "warning: each seed has a split of its own; 24 of 36 images are tested by none of 1 seeds; "
        "3 seeds would test each equally often"
    ) in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    "changes",
    [
        (("axes:\n", "tune: {weight_decay: [0.0, 0.1]}\naxes:\n"),),
        (
            ("baseline: {freeze_depth: all}", "design: {search: {n_trials: 4}}"),
            ("head_lr: [1.0e-3, 1.0e-2]", "head_lr: {low: 1.0e-3, high: 1.0e-2, log: true}"),
        ),
    ],
)
def test_a_pilot_is_refused(write_grid: WriteGrid, changes: tuple[tuple[str, str], ...]) -> None:
    result = CliRunner().invoke(app, ["plan", str(write_grid("pilot", FOLDED, SEEDS, *changes))])
    assert result.exit_code == 2, result.output
    assert (
        "data.folds: must be left out beside a search or tune: what they choose by, val of one "
        "split, is test of other seeds"
    ) in " ".join(result.stderr.split())


@pytest.mark.slow
def test_a_study_of_folds_tests_each_image_once_and_says_so(
    desk: Path, write_grid: WriteGrid, tracking_uri: str
) -> None:
    grid = write_grid("folded", GROUPED, SEEDS, ONE_LR)
    assert "trials: 6 completed now, 0 before, 0 failed" in _run(grid, "--workers", "1")
    # 1. what was tested: each image once by each arm, no group on two sides
    for arm in ablate.open_study("folded").arms["arm_id"]:
        tested = []
        for (arm_id, _), frame in _predictions("folded", tracking_uri).items():
            if arm_id == arm:
                tested += frame.loc[frame["split"] == "test", "image_id"].tolist()
                sides = frame.drop_duplicates(["split", "group"]).groupby("group").size()
                assert (sides == 1).all()
        assert len(tested) == len(set(tested)) == N_IMAGES
    # 2. what was decoded and computed: every image once
    (folder,) = [path for path in (desk / "home" / "images").iterdir() if path.is_dir()]
    assert len(open_store(folder).split("all").labels) == N_IMAGES
    # 3. what is said of it
    report = desk / "reports" / "folded"
    readme = (report / "README.md").read_text()
    assert (
        "Each seed has a split of its own (the numbers are those of the first): every one of 36 "
        "images is tested once by 3 seeds. All intervals are over splits and seeds"
    ) in readme
    assert "allow for other splits and seeds and other groups of test images" in readme
    assert "Mean ± SD over splits and seeds" in readme
    card = (report / "cards" / "champion.md").read_text()
    assert "Each run was trained, chosen and tested on a split of its own" in card
    assert "Each seed was tested on other images" in card
    verified = CliRunner().invoke(app, ["verify", str(report)])
    assert verified.exit_code == 0, verified.output
    assert "trials: 0 completed now, 6 before, 0 failed" in _run(grid)
    # 4. more seeds are another round of folds, and no trial of the first is lost
    said = _run(grid, "--seeds", "0-5", "--workers", "1")
    assert "trials: 6 completed now, 6 before, 0 failed" in said
    readme = (report / "README.md").read_text()
    assert "every one of 36 images is tested 2 times by 6 seeds" in readme
    store = MlflowStore(tracking_uri, "folded")
    (pooled,) = read_study(store.read_study("folded"), store.read_predictions).pooled
    assert len(pooled.image_ids) == N_IMAGES
    assert (pooled.votes.sum(axis=1) == 2 * 2).all()  # two arms, twice


@pytest.mark.slow
def test_clean_activations_are_computed_once_for_all_folds(
    desk: Path, write_grid: WriteGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = timm.create_model("test_efficientnet", num_classes=0)
    save_model(network, str(desk / "weights.safetensors"))
    base = ("weights: none", "weights: weights.safetensors, precision: fp32")
    probes = ("freeze_depth: [all, -1]", "freeze_depth: [all]")
    tables = []
    for number, options in enumerate(([], ["--cache-gb", "0"])):
        home = desk / f"home{number}"
        monkeypatch.setenv("ABLATE_HOME", str(home))
        grid = write_grid(f"shared{number}", FOLDED, SEEDS, base, probes)
        _run(grid, "--workers", "1", *options)
        tables.append(_rows(desk / "reports" / grid.stem / "trials.csv"))
    assert tables[0] == tables[1]
    identities = []
    for meta in (desk / "home0" / "activations").glob("*/meta.json"):
        identities.append(json.loads(meta.read_text())["identity"])
    # One view of all images, whichever of three folds a seed tests.
    assert [identity["split"] for identity in identities] == ["all"]


@pytest.mark.slow
def test_a_fold_trains_as_the_same_split_given_by_the_source(
    desk: Path, write_grid: WriteGrid, tracking_uri: str
) -> None:
    base = ("batch_size: 8", "batch_size: 8, augment: light, precision: fp32")
    arm = ("freeze_depth: [all, -1]", "freeze_depth: [0]")
    baseline = ("baseline: {freeze_depth: all}", "baseline: {freeze_depth: 0}")
    _run(write_grid("by_folds", FOLDED, SEEDS, base, arm, baseline, ONE_LR), "--workers", "1")
    folded = _predictions("by_folds", tracking_uri)
    side_of = {}
    ((arm_id, seed), frame) = next(item for item in folded.items() if item[0][1] == 1)
    for split, image_id in zip(frame["split"], frame["image_id"], strict=True):
        side_of[image_id] = split
    lines = ["file,label,split"]
    for path in sorted((desk / "data" / "parts").rglob("*.png")):
        image_id = path.relative_to(desk / "data" / "parts").as_posix()
        side = side_of.get(image_id, "train")
        lines.append(f"{image_id},{path.parent.name},{side}")
    (desk / "data" / "parts" / "fold.csv").write_text("\n".join(lines) + "\n")
    given = ("path: pictures,", "path: parts/fold.csv,")
    one_seed = ("seeds: [0]", "seeds: [1]")
    _run(write_grid("given", given, one_seed, base, arm, baseline, ONE_LR), "--workers", "1")
    (alone,) = _predictions("given", tracking_uri).values()
    columns = ["split", "image_id", "label"]
    # Classes of a CSV are sorted, as folders are.
    pd.testing.assert_frame_equal(frame[columns], alone[columns])
    np.testing.assert_array_equal(frame[["p_0", "p_1"]], alone[["p_0", "p_1"]])
    assert arm_id
    assert seed == 1


@pytest.mark.slow
def test_a_study_of_folds_that_was_killed_ends_as_one_that_was_not(
    desk: Path, write_grid: WriteGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = ("batch_size: 8", "batch_size: 8, augment: light, precision: fp32")
    confirmed = ("select_by: val/macro_f1", "select_by: val/macro_f1\nnoise_floor: 1\nconfirm: 2")
    tables = []
    for number in range(2):
        home = desk / f"home{number}"
        monkeypatch.setenv("ABLATE_HOME", str(home))
        grid = write_grid(f"struck{number}", FOLDED, SEEDS, base, ONE_LR, confirmed)
        if number == 0:
            _strike(grid, home)
        _run(grid, "--workers", "1")
        tables.append(_rows(desk / "reports" / grid.stem / "trials.csv"))
    assert tables[0] == tables[1]
    assert {row["state"] for row in tables[0]} == {"COMPLETE"}


def _strike(grid: Path, home: Path) -> None:
    """Run the grid, and kill the whole of it when two trials have ended."""
    command = [sys.executable, "-m", "ablate", "run", str(grid), "--workers", "1"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    until = time.monotonic() + WAIT_S
    try:
        while time.monotonic() < until and process.poll() is None:
            journals = list(home.glob("studies/*/journal.jsonl"))
            if journals and journals[0].read_text().count('"trial_ended"') >= 2:
                break
            time.sleep(0.05)
        assert process.poll() is None
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
