"""What a user can get wrong: one clear message, exit code 2, nothing started and nothing lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from ablate.cli import app
from ablate.reporting.pages.folder import Mark, write_mark
from ablate.tracking.mlflow_store import MlflowStore

WriteGrid = Callable[..., Path]


def _refused(desk: Path, grid: Path, *options: str) -> str:
    """Run a grid that must be refused.

    Return the message after having made sure that nothing was started or lost.
    """
    kept = desk / "reports" / grid.stem / "README.md"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text("an earlier report")
    write_mark(kept.parent, Mark(grid=grid.stem, files={kept.name: ""}))
    result = CliRunner().invoke(app, ["run", str(grid), *options])
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert not list(desk.glob("home/studies/*/journal.jsonl"))
    assert kept.read_text() == "an earlier report"
    return result.stderr.strip()


def test_an_unknown_key_and_level(desk: Path, write_grid: WriteGrid) -> None:
    grid = write_grid("bad_key", ("epochs: 1", "epoch: 1"), ("[all, -1]", "[al, -1]"))
    assert _refused(desk, grid) == (
        f"error: {grid}: 3 mistakes, nothing was started\n"
        "  line 4: base.epoch: is not a field here; did you mean 'epochs'?\n"
        "  line 6: axes.freeze_depth[0]: must be 'all' or an int, got 'al'; did you mean 'all'?\n"
        "  line 9: baseline.freeze_depth: must be a level of axes.freeze_depth ('al', -1), got "
        "'all'; did you mean 'al'?"
    )


def test_a_grid_that_does_not_exist(desk: Path) -> None:
    (desk / "experiments").mkdir()
    (desk / "experiments/flowers.yaml").write_text("")
    result = CliRunner().invoke(app, ["run", "flower"])
    assert result.exit_code == 2
    assert (
        result.stderr
        == "error: GRID must be a name in experiments/ (flowers) or the path of a .yaml file, "
        "got 'flower'; did you mean 'flowers'?\n"
    )


@pytest.mark.slow
def test_a_backbone_that_does_not_exist(desk: Path, write_grid: WriteGrid) -> None:
    message = _refused(desk, write_grid("bad_backbone", ("test_efficientnet", "test_eficientnet")))
    assert message == (
        "error: arm freeze_depth=all head_lr=0.001: backbone must be the name of a timm "
        "classification model, got 'test_eficientnet'; "
        "nearest: test_efficientnet, test_efficientnet_ln, test_efficientnet_gn"
    )


@pytest.mark.slow
def test_a_freeze_depth_out_of_range(desk: Path, write_grid: WriteGrid) -> None:
    message = _refused(desk, write_grid("bad_depth", ("[all, -1]", "[all, 40]")))
    assert message == (
        "error: arm freeze_depth=40 head_lr=0.001: freeze_depth must be all or an int in [-7, 7] "
        "for test_efficientnet, got 40; "
        "all is a linear probe, -1 leaves the last unit free, 0 is full fine-tuning"
    )


@pytest.mark.slow
def test_two_names_for_one_depth(desk: Path, write_grid: WriteGrid) -> None:
    message = _refused(desk, write_grid("twice_depth", ("[all, -1]", "[all, 7]")))
    assert message == (
        "error: arms must differ, but 'freeze_depth=all head_lr=0.001' and 'freeze_depth=7 "
        "head_lr=0.001' both freeze 7 of 7 units of test_efficientnet; "
        "name each freeze_depth once (all is the same as the number of units)"
    )


def test_a_missing_data_folder(desk: Path, write_grid: WriteGrid) -> None:
    shutil.rmtree(desk / "data" / "pictures")
    message = _refused(desk, write_grid("no_data"))
    assert message == (
        f"error: data.path must be a folder or a CSV file below the data folder {desk / 'data'}, "
        "got 'pictures', which does not exist; "
        "the data folder is set by --data-dir (make: DATA_DIR=...) or ABLATE_DATA."
    )


def test_an_empty_class(desk: Path, write_grid: WriteGrid) -> None:
    (desk / "data/pictures/train/blue").mkdir()
    message = _refused(desk, write_grid("empty_class"))
    assert "blue" in message


def test_a_class_of_val_that_train_does_not_have(desk: Path, write_grid: WriteGrid) -> None:
    shutil.copytree(desk / "data/pictures/val/red", desk / "data/pictures/val/blue")
    message = _refused(desk, write_grid("val_class"))
    assert "blue" in message
    assert "train" in message


@pytest.mark.slow
def test_a_truncated_image(desk: Path, write_grid: WriteGrid) -> None:
    image = desk / "data/pictures/train/red/3.png"
    image.write_bytes(image.read_bytes()[:200])
    message = _refused(desk, write_grid("truncated"))
    assert "train/red/3.png" in message


def test_a_path_that_leaves_the_data_folder(desk: Path, write_grid: WriteGrid) -> None:
    Image.new("RGB", (4, 4)).save(desk / "secret.png")
    message = _refused(desk, write_grid("escape", ("path: pictures", "path: ../../etc")))
    assert ".." in message


@pytest.mark.slow
def test_hub_weights_without_a_network(
    desk: Path, write_grid: WriteGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    message = _refused(desk, write_grid("no_hub", ("weights: none", "weights: hub")))
    assert "weights" in message
    assert "none" in message


def test_a_report_folder_that_cannot_be_written(desk: Path, write_grid: WriteGrid) -> None:
    (desk / "occupied").write_text("a file of mine")
    message = _refused(desk, write_grid("no_report"), "--report-dir", "occupied")
    assert (
        message
        == "error: the report folder must be a folder, occupied is a file or leads nowhere; free "
        "it, or name another report folder"
    )
    assert (desk / "occupied").read_text() == "a file of mine"


def test_a_tracking_server_that_is_not_there(
    desk: Path, write_grid: WriteGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    message = _refused(desk, write_grid("no_server"))
    assert "http://127.0.0.1:9" in message


@pytest.mark.slow
def test_adapter_targets_that_match_nothing(desk: Path, write_grid: WriteGrid) -> None:
    message = _refused(
        desk,
        write_grid(
            "no_targets",
            ("freeze_depth: [all, -1]", "lora_rank: [0, 2]"),
            ("freeze_depth: all", "lora_rank: 0"),
            ("batch_size: 8", "batch_size: 8, adapter_targets: ['*qkv*']"),
        ),
    )
    assert "adapter_targets" in message
    assert "*qkv*" in message


def test_a_binary_score_that_chooses_among_three_classes(desk: Path, write_grid: WriteGrid) -> None:
    shutil.copytree(desk / "data" / "pictures", desk / "data" / "three")
    for split in ("train", "val", "test"):
        shutil.copytree(
            desk / "data" / "three" / split / "red", desk / "data" / "three" / split / "blue"
        )
    grid = write_grid(
        "bad_score",
        ("path: pictures", "path: three"),
        ("select_by: val/macro_f1", "select_by: val/average_precision"),
    )
    assert _refused(desk, grid) == (
        "error: select_by must be a score of 3 classes (val/macro_f1, val/auroc_ovr_macro, "
        "val/accuracy, val/balanced_accuracy, val/nll, val/ece), "
        "got 'val/average_precision', which needs exactly 2: source folder has blue, green, red"
    )


def test_seeds_that_are_none(desk: Path, write_grid: WriteGrid) -> None:
    assert _refused(desk, write_grid("bad_seeds"), "--seeds", "0,0") == (
        "error: --seeds must be different whole numbers with commas between them, e.g. 0,1,2 or "
        "0-7, got '0,0'"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "arm", "field"),
    [
        ([("batch_size: 8", "batch_size: 1")], "freeze_depth=-1 head_lr=0.001", "batch_size"),
        (
            [("batch_size: 8", "batch_size: 8, micro_batch: 1")],
            "freeze_depth=-1 head_lr=0.001",
            "micro_batch",
        ),
        (
            [("head_lr: [1.0e-3, 1.0e-2]", "batch_size: [8, 1]")],
            "freeze_depth=-1 batch_size=1",
            "batch_size",
        ),
    ],
)
def test_one_image_at_a_time_where_batch_norm_trains(
    desk: Path, write_grid: WriteGrid, changes: list[tuple[str, str]], arm: str, field: str
) -> None:
    grid = write_grid("one_image", *changes)
    assert _refused(desk, grid) == (
        f"error: arm {arm}: {field} must leave at least 2 images in the network at a time, got "
        "1: BatchNorm that trains at the end of "
        "test_efficientnet sees one value of each channel there, which has no variance; "
        f"take a larger {field}, batch_norm: frozen, or a larger data.image_size"
    )
    text = grid.read_text()
    assert CliRunner().invoke(app, ["plan", str(grid)]).exit_code == 2
    grid.write_text(text.replace("epochs: 1", "epochs: 1, batch_norm: frozen"))
    planned = CliRunner().invoke(app, ["plan", str(grid)])
    assert planned.exit_code == 0, planned.output


def test_a_fallback_is_refused_when_asked(desk: Path, write_grid: WriteGrid) -> None:
    grid = write_grid(
        "no_fallback",
        (
            "source: folder, path: pictures",
            "source: folder, path: nothing, fallback: rendered_flowers",
        ),
    )
    message = _refused(desk, grid, "--no-fallback")
    assert "nothing" in message


def test_a_report_of_a_grid_that_never_ran(desk: Path) -> None:
    result = CliRunner().invoke(app, ["report", "never_ran"])
    assert result.exit_code == 2
    assert "never_ran" in result.stderr
    assert not (desk / "reports").exists()


def test_none_of_this_left_a_run_behind(
    desk: Path, tracking_uri: str, write_grid: WriteGrid
) -> None:
    import mlflow

    _refused(desk, write_grid("bad_key", ("epochs: 1", "epoch: 1")))
    client = mlflow.MlflowClient(MlflowStore(tracking_uri, "bad_key").tracking_uri)
    experiments = [
        one.experiment_id
        for one in client.search_experiments()
        if one.name.startswith(("bad_", "no_", "empty_", "val_", "truncated", "twice_", "escape"))
    ]
    assert not experiments or not client.search_runs(experiments)
