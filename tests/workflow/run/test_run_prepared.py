"""The whole path as a person walks it: a grid in; runs, a report and cards out."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from typer.testing import CliRunner

from ablate.cli import app
from ablate.data.store import open_store
from ablate.tracking.mlflow_store import MlflowStore

WriteGrid = Callable[..., Path]


def _run(grid: Path, *options: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["run", str(grid), *options])
    assert result.exit_code == code, result.output + str(result.exception)
    return result.stdout


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return [
            {name: value for name, value in row.items() if not name.startswith("time/")}
            for row in csv.DictReader(file)
        ]


@pytest.mark.slow
def test_a_grid_becomes_a_report_and_is_not_run_again(desk: Path, write_grid: WriteGrid) -> None:
    grid = write_grid("whole")
    first = _run(grid, "--workers", "2")
    assert "trials: 4 completed now, 0 before, 0 failed" in first
    report = desk / "reports" / "whole"
    assert {"README.md", "trials.csv", "arms.csv", "cards", "figures"} <= {
        path.name for path in report.iterdir()
    }
    assert len(list((report / "cards").glob("*.md"))) == 5
    before = {path: path.read_bytes() for path in report.rglob("*") if path.is_file()}
    again = _run(grid)
    assert "trials: 0 completed now, 4 before, 0 failed" in again
    assert {path: path.read_bytes() for path in report.rglob("*") if path.is_file()} == before


@pytest.mark.slow
@pytest.mark.parametrize("augment", ["light", "strong"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_one_worker_or_two_or_none_shared_give_equal_trials(
    desk: Path,
    write_grid: WriteGrid,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
    augment: str,
) -> None:
    """To the last digit, whichever precision this machine would choose by itself.

    Full fine-tuning and the frozen prefix draw the same views: those of `strong` are kept.
    """
    axes = ("[all, -1]", "[all, -1, 0]")
    base = ("batch_size: 8", f"batch_size: 8, augment: {augment}, precision: {precision}")
    tables = []
    options_of_runs = (
        ["--workers", "1"],
        ["--workers", "2"],
        ["--workers", "2", "--cache-gb", "0"],
    )
    for number, options in enumerate(options_of_runs):
        home = desk / f"home{number}"
        monkeypatch.setenv("ABLATE_HOME", str(home))
        if number:  # how this machine computes was measured once and is remembered
            home.mkdir()
            for measured in (desk / "home0").glob("*.json"):
                shutil.copy(measured, home)
        grid = write_grid(f"workers{number}_{precision}_{augment}", axes, base)
        _run(grid, *options)
        tables.append(_rows(desk / "reports" / grid.stem / "trials.csv"))
    assert len(tables[0]) == 6
    assert tables[1] == tables[0]
    assert tables[2] == tables[0]
    assert not list((desk / "home2" / "activations").glob("*/rows.bin"))
    for name in ("home0", "home1"):
        kept = (desk / name / "activations").glob("*/meta.json")
        n_drawn = sum('"uint8"' in meta.read_text() for meta in kept)
        assert (n_drawn > 0) == (augment == "strong")


@pytest.mark.slow
def test_crops_are_cut_from_images_nearer_their_own_resolution(
    desk: Path, write_grid: WriteGrid
) -> None:
    plain = write_grid("uncropped")
    cropped = write_grid("cropped", ("head_lr: [1.0e-3, 1.0e-2]", "augment: [none, light]"))
    for grid in (plain, cropped):
        _run(grid, "--workers", "1")
    stores = {
        path.name.partition("-")[2]: open_store(path)
        for path in (desk / "home" / "images").iterdir()
        if path.is_dir()
    }
    assert {
        name: None if (fine := store.split("train").fine) is None else fine.shape[1]
        for name, store in stores.items()
    } == {"": None, "64": 40}
    assert stores[""].clean_key == stores["64"].clean_key


@pytest.mark.slow
def test_a_trial_that_fails_does_not_stop_the_others(desk: Path, write_grid: WriteGrid) -> None:
    grid = write_grid(
        "one_fails",
        ("1.0e-2]", "1.0e+30]"),
        ("[all, -1]", "[all]"),
        ("batch_size: 8", "batch_size: 8, optimizer: sgd, warmup: 0.0"),
    )
    out = _run(grid, code=1)
    assert "trials: 1 completed now, 0 before, 1 failed" in out
    assert "training diverged; lower head_lr" in out
    readme = (desk / "reports/one_fails/README.md").read_text()
    assert "training diverged; lower head_lr" in readme
    (traceback,) = (desk / "home/studies").glob("one_fails-*/failures/*.txt")
    assert "TrialError" in traceback.read_text()
    again = _run(grid, code=1)
    assert "trials: 0 completed now, 1 before, 1 failed" in again
    status = CliRunner().invoke(app, ["status", "one_fails"])
    assert status.exit_code == 0
    assert "COMPLETE" in status.stdout
    assert "FAILED" in status.stdout


@pytest.mark.slow
def test_an_edited_grid_trains_only_what_is_new(desk: Path, write_grid: WriteGrid) -> None:
    _run(write_grid("edited"))
    out = _run(write_grid("edited", ("[all, -1]", "[all, -1, 0]")), "--seeds", "0,1")
    assert "trials: 8 completed now, 4 before, 0 failed" in out


@pytest.mark.slow
def test_the_fallback_is_said_wherever_a_reader_looks(desk: Path, write_grid: WriteGrid) -> None:
    changes = (
        "source: folder, path: pictures",
        "source: folder, path: nothing, fallback: rendered_flowers, split_seed: 0, sizes: "
        "{train: 28, val: 28, test: 28}",
    )
    out = _run(write_grid("fallen_back", changes, ("[all, -1]", "[all]"), ("1.0e-3, ", "")))
    assert "its declared fallback rendered_flowers" in out
    report = desk / "reports/fallen_back"
    head = "\n".join((report / "README.md").read_text().splitlines()[:8])
    assert "folder" in head
    assert "rendered_flowers" in head
    for card in (report / "cards").glob("*.md"):
        assert "rendered_flowers" in card.read_text()


@pytest.mark.slow
def test_the_champion_is_a_model_that_mlflow_loads(
    desk: Path, write_grid: WriteGrid, tracking_uri: str
) -> None:
    _run(write_grid("served"))
    study = MlflowStore(tracking_uri, "served").read_study("served")
    (uri,) = {run.tags["ablate.champion"] for run in study.runs if "ablate.champion" in run.tags}
    mlflow.set_tracking_uri(tracking_uri)
    model = mlflow.pyfunc.load_model(uri)
    images = np.random.default_rng(0).integers(0, 255, size=(2, 50, 40, 3), dtype=np.uint8)
    probabilities = model.predict(images)
    assert probabilities.shape == (2, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
    _runs_the_code_of_the_card(desk)


def _runs_the_code_of_the_card(desk: Path) -> None:
    """Both ways to load that the champion's card prints, as they stand there.

    They give one and the same answer.
    """
    shutil.copy(next((desk / "data/pictures/test/red").glob("*.png")), desk / "image.jpg")
    blocks = re.findall(
        r"```python\n(.*?)```",
        (desk / "reports/served/cards/champion.md").read_text(),
        flags=re.DOTALL,
    )
    assert len(blocks) == 2
    by_mlflow: dict[str, Any] = {}
    by_ablate: dict[str, Any] = {}
    exec(blocks[0], by_mlflow)
    exec(blocks[1], by_ablate)
    classified = by_ablate["classifier"].classify(by_ablate["Image"].open("image.jpg"))
    assert sorted(classified) == ["green", "red"]
    np.testing.assert_allclose(
        sorted(by_mlflow["probabilities"]), sorted(classified.values()), atol=1e-5
    )


@pytest.mark.slow
def test_a_copy_across_splits_is_listed_and_shown_unless_images_are_left_out(
    desk: Path, write_grid: WriteGrid, tracking_uri: str
) -> None:
    shutil.copy(desk / "data/pictures/train/red/0.png", desk / "data/pictures/test/red/0.png")
    grid, report = (
        write_grid("copied", ("[all, -1]", "[all]"), ("1.0e-3, ", "")),
        desk / "reports/copied",
    )
    _run(grid, "--no-images")
    store = MlflowStore(tracking_uri, "copied")
    parent = store.read_study("copied").parent_run_id
    assert "Near-duplicates across splits: 1 pair (" in (report / "README.md").read_text()
    assert not list((report / "figures").glob("examples_*")) and store.read_thumbnails(parent) == {}
    _run(grid)
    assert (report / "figures/examples_duplicates.svg").is_file()
    assert len(store.read_thumbnails(parent)) >= 2
    before = (report / "README.md").read_bytes()
    for command in (["report", "copied"], ["verify", str(report)]):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, result.output
    assert (report / "README.md").read_bytes() == before and (
        report / "figures/examples_duplicates.svg"
    ).is_file()


@pytest.mark.slow
def test_what_mlflow_knows_of_a_trial(desk: Path, write_grid: WriteGrid, tracking_uri: str) -> None:
    _run(write_grid("known"))
    study = MlflowStore(tracking_uri, "known").read_study("known")
    client = mlflow.MlflowClient(tracking_uri)
    parent = client.get_run(study.parent_run_id)
    assert parent.data.tags["ablate.kind"] == "study"
    note = parent.data.tags["mlflow.note.content"]
    assert "What matters: no difference is certain." in note  # one seed
    assert "The whole report: artifact `report/report.html`" in note
    assert {"report/README.md", "report/effects.csv", "report/report.html"} <= {
        file.path for file in client.list_artifacts(study.parent_run_id, "report")
    }
    names = [frozenset(client.get_run(published.run_id).data.metrics) for published in study.runs]
    assert (
        len(set(names)) == 1
        and {"cost/macs", "cost/disk_mb", "time/latency_ms", "time/images_per_s"} <= names[0]
    )
    for published in study.runs:
        run = client.get_run(published.run_id)
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == study.parent_run_id
        assert run.data.tags["ablate.seed"] == "0"
        assert (
            f"| macro_f1 | {run.data.metrics['val/macro_f1']:.3f} | "
            f"{run.data.metrics['test/macro_f1']:.3f} |" in run.data.tags["mlflow.note.content"]
        )
        assert run.data.params["backbone"] == "test_efficientnet"
        assert run.data.metrics["param/head_lr"] == float(run.data.params["head_lr"])
        assert {
            "val/macro_f1",
            "test/macro_f1",
            "test/auroc_ovr_macro",
            "val/average_precision",
            "test/average_precision",
            "time/train_s",
            "cost/n_trainable",
        } <= run.data.metrics.keys()
        assert len(client.get_metric_history(run.info.run_id, "epoch/val/macro_f1")) == 1
        assert run.inputs is not None
        assert run.inputs.dataset_inputs
        files = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert {"predictions.parquet", "delta.safetensors", "trial.json"} <= files


WITHOUT_TORCH = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "timm", "peft", "optuna"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
from ablate.cli import main
main()
"""


@pytest.mark.slow
def test_a_report_needs_no_torch(desk: Path, write_grid: WriteGrid) -> None:
    _run(write_grid("torchless"))
    made = {
        path.name: path.read_bytes()
        for path in (desk / "reports/torchless").rglob("*")
        if path.is_file()
    }
    command = [
        sys.executable,
        "-c",
        WITHOUT_TORCH,
        "report",
        "torchless",
        "--report-dir",
        "elsewhere",
    ]
    subprocess.run(
        command, check=True, cwd=desk, env=dict(os.environ), capture_output=True, text=True
    )
    assert {
        path.name: path.read_bytes() for path in (desk / "elsewhere").rglob("*") if path.is_file()
    } == made


def test_plan_shows_arms_and_what_is_left_out(desk: Path, write_grid: WriteGrid) -> None:
    grid = write_grid(
        "planned",
        ("[all, -1]", "[all, -1, 0]"),
        ("seeds:", "exclude: [{when: {freeze_depth: 0, head_lr: 1.0e-2}, why: too fast}]\nseeds:"),
    )
    result = CliRunner().invoke(app, ["plan", str(grid)])
    assert result.exit_code == 0, result.output
    assert (
        "grid: 6 cells = 5 arms + 0 merged with an equal one + 1 left out; 1 seed; 5 trials"
        in result.stdout
    )
    assert "freeze_depth=0, head_lr=0.01" in result.stdout
    assert "too fast" in result.stdout
    assert not list(desk.glob("home/studies/*"))


def test_plan_warns_of_adapters_larger_than_their_layer(desk: Path, write_grid: WriteGrid) -> None:
    grid = write_grid(
        "larger", ("[all, -1]", "[all]"), ("batch_size: 8", "batch_size: 8, lora_rank: 300")
    )
    out = CliRunner().invoke(app, ["plan", str(grid)]).stdout
    assert (
        "has adapters with more parameters than the layer they adapt, 15 in all (conv_stem: " in out
    )
    assert (
        "adapters with more parameters"
        not in CliRunner()
        .invoke(
            app,
            ["plan", str(write_grid("smaller", ("batch_size: 8", "batch_size: 8, lora_rank: 1")))],
        )
        .stdout
    )


@pytest.mark.slow
def test_the_resolved_spec_of_a_trial_is_kept(desk: Path, write_grid: WriteGrid) -> None:
    _run(write_grid("kept", ("1.0e-3, ", ""), ("[all, -1]", "[all]")))
    (described,) = (desk / "home/studies").glob("kept-*/trials/*/trial.json")
    recipe = json.loads(described.read_text())["trial"]["recipe"]
    assert recipe["backbone"] == "test_efficientnet"
    assert recipe["lr_ratio"] == 0.1
