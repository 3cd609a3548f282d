"""Images with several labels, as a person walks the path.

labels.csv and a grid in; runs, a verified report and cards out.
"""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from ablate.cli import app
from ablate.model.backbone import create_backbone
from ablate.reporting.verify_report import verify_report
from ablate.targets.codecs import CODECS, SplitPredictions
from ablate.tracking.mlflow_store import MlflowStore

GRID = """\
# Which switches are on?
task: multilabel
data:
  {source: folder, path: switches, image_size: 32, split_seed: 0,
   fractions: {train: 0.5, val: 0.25, test: 0.25}}
base: {backbone: test_efficientnet, weights: none, epochs: 2, batch_size: 8, head_lr: 1.0e-2, MORE}
axes: {AXES}
seeds: [0, 1]
baseline: {}
select_by: val/average_precision_macro
"""
NAMES = ("blue", "green", "red")


def _decoded(rows: pd.DataFrame) -> SplitPredictions:
    return CODECS["multilabel"].decode(dict(rows.items()), n_classes=len(NAMES))


@pytest.fixture
def switches(desk: Path) -> Path:
    """48 noisy pictures in which each colour is bright or not by itself."""
    folder, rows = desk / "data" / "switches", ["image,labels"]
    folder.mkdir(parents=True)
    for number in range(48):
        rng = np.random.default_rng(number)
        is_on = rng.random(3) < 0.5
        pixels = rng.integers(0, 80, size=(40, 44, 3)) + 120 * is_on[::-1]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        rows.append(
            f"{number}.png,{';'.join(name for name, on in zip(NAMES, is_on, strict=True) if on)}"
        )
    (folder / "labels.csv").write_text("\n".join(rows))
    return desk


def _run(
    desk: Path,
    name: str,
    *,
    axes: str,
    more: str = "ema_decay: 0.5, patience: 2",
    options: tuple[str, ...] = (),
) -> str:
    path = desk / f"{name}.yaml"
    path.write_text(GRID.replace("MORE", more).replace("AXES", axes))
    result = CliRunner().invoke(app, ["run", str(path), "--workers", "1", *options])
    assert result.exit_code == 0, result.output + str(result.exception)
    return result.stdout


@pytest.mark.slow
def test_a_list_of_labels_becomes_a_report_that_verifies(
    switches: Path, tracking_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = _run(switches, "several", axes="freeze_depth: [all, -1], class_weights: [none, balanced]")
    assert "trials: 8 completed now, 0 before, 0 failed" in out
    report = switches / "reports" / "several"
    readme = (report / "README.md").read_text()
    assert "Best arm by mean val mean average precision:" in readme
    assert "test mean average precision | test subset accuracy" in readme
    assert "It gets every class right on" in readme
    assert "Suspect labels: not searched for where images have several" in readme
    assert not (report / "confusion_champion.csv").exists()
    with (report / "classes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["class"] for row in rows} == set(NAMES) and all(
        row["average_precision"] for row in rows
    )

    result = CliRunner().invoke(app, ["verify", str(report)])
    assert result.exit_code == 0, result.output
    store = MlflowStore(tracking_uri, "several")
    study = store.read_study("several")
    victim = study.runs[0].run_id

    def lied(run):  # one label of one image turned round
        frame = store.read_predictions(run)
        return (
            frame.assign(y_1=frame["y_1"].where(frame.index != len(frame) - 1, 1 - frame["y_1"]))
            if run.run_id == victim
            else frame
        )

    found = [str(finding) for finding in verify_report(study, predictions=lied, folder=report)]
    assert any(
        f"run {victim} test/average_precision_macro" in one and "from its predictions" in one
        for one in found
    )
    higher = replace(
        study,
        runs=tuple(
            replace(run, metrics={**run.metrics, "test/micro_f1": 0.123}) for run in study.runs
        ),
    )
    assert any(
        "test/micro_f1: says 0.123" in str(one)
        for one in verify_report(higher, predictions=store.read_predictions, folder=report)
    )

    _check_the_cards_code(switches, report, store, capsys)


def _check_the_cards_code(
    desk: Path, report: Path, store: MlflowStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both blocks of the champion's card print what the stored predictions say of a test image."""
    card = (report / "cards" / "champion.md").read_text()
    assert "pipeline_tag: image-classification" in card and "- multi-label" in card
    blocks = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    run_id = re.search(r'get_run\("([0-9a-f]{32})"\)', blocks[0])
    assert len(blocks) == 2 and run_id is not None
    run = next(run for run in store.read_study("several").runs if run.run_id == run_id[1])
    frame = store.read_predictions(run)
    test = frame[frame["split"] == "test"].reset_index(drop=True)
    p = _decoded(test).outputs
    clear = int(np.abs(p - 0.5).min(axis=1).argmax())
    Image.open(desk / "data" / "switches" / test["image_id"][clear]).save(
        desk / "image.jpg", format="png"
    )
    for block in blocks:
        capsys.readouterr()
        exec(block, {})
        printed = capsys.readouterr().out.strip().splitlines()[-1]
        assert set(re.findall(r"'(\w+)'", printed)) == {
            name for name, one in zip(NAMES, p[clear], strict=True) if one >= 0.5
        }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "axes", "more"),
    [
        ("mixes", "mixup: [0.0, 0.4], cutmix: [0.0, 1.0]", "label_smoothing: 0.1, micro_batch: 3"),
        (
            "phases",
            "augment: [none, light]",
            "phases: [{epochs: 1, freeze_depth: all}, {epochs: 2, freeze_depth: -1, until: "
            "plateau, patience: 1}]",
        ),
        ("adapters", "lora_rank: [0, 4]", "ema_decay: 0.9"),
    ],
)
def test_what_a_single_label_can_do_several_can_too(
    switches: Path, tracking_uri: str, name: str, axes: str, more: str
) -> None:
    assert " 0 before, 0 failed" in _run(switches, f"several_{name}", axes=axes, more=more)
    store = MlflowStore(tracking_uri, f"several_{name}")
    arms = [
        _decoded(store.read_predictions(run)).outputs.tobytes()
        for run in store.read_study(f"several_{name}").runs
        if run.seed == 0
    ]
    assert len(set(arms)) == len(arms) > 1, "an axis did nothing"


@pytest.mark.slow
def test_kept_activations_give_the_same_trials(switches: Path) -> None:
    tables = []
    for name, options in (("several_shared", ()), ("several_alone", ("--cache-gb", "0"))):
        _run(switches, name, axes="freeze_depth: [all, -1]", options=options)
        tables.append(
            pd.read_csv(switches / "reports" / name / "trials.csv").filter(regex="^(val|test)/")
        )
    assert len(tables[0].columns) == 10
    np.testing.assert_allclose(tables[0], tables[1], atol=1e-5)


@pytest.mark.slow
def test_what_looks_ahead_sees_several_labels_too(switches: Path) -> None:
    """A probe of the plan takes steps, and the LR search too, with the loss of several labels.

    Neither leaves a study.
    """
    path = switches / "several_ahead.yaml"
    path.write_text(GRID.replace("MORE", "patience: 2").replace("AXES", "freeze_depth: [all, -1]"))
    plan = CliRunner().invoke(app, ["plan", str(path), "--probe", "--workers", "1"])
    assert plan.exit_code == 0, plan.output + str(plan.exception)
    assert re.search(r"estimate: .*\d", plan.stdout)
    found = CliRunner().invoke(app, ["lr-find", str(path), "--steps", "20"])
    assert found.exit_code == 0, found.output + str(found.exception)
    assert "suggestion: head_lr " in found.stdout, found.stdout
    assert not list(switches.glob("home/studies/*"))


@pytest.mark.slow
def test_predictions_hold_the_labels_as_they_were_given(switches: Path, tracking_uri: str) -> None:
    _run(switches, "several_kept", axes="freeze_depth: [all, -1]")
    store = MlflowStore(tracking_uri, "several_kept")
    frame = store.read_predictions(store.read_study("several_kept").runs[0])
    with (switches / "data" / "switches" / "labels.csv").open() as file:
        given = {row["image"]: row["labels"] for row in csv.DictReader(file)}
    order = sorted(NAMES)
    assert [";".join(np.array(order)[row == 1]) for row in _decoded(frame).targets.array] == [
        ";".join(sorted(filter(None, given[image_id].split(";")))) for image_id in frame["image_id"]
    ]


@pytest.mark.slow
def test_labels_are_learned_beside_what_pretraining_knew(switches: Path, tracking_uri: str) -> None:
    """Co-Tuning is refused for such images; the others ask nothing of labels."""
    torch.manual_seed(0)
    known = create_backbone("test_efficientnet", n_classes=7, image_size=32)
    save_file(known.state_dict(), switches / "known.safetensors")
    path = switches / "held.yaml"
    text = GRID.replace("MORE", "freeze_depth: -1, mixup: 0.2, lwf: 1.0, delta: 1.0, bss: 0.01")
    text = text.replace("weights: none", "weights: known.safetensors")
    path.write_text(text.replace("AXES", "head_lr: [1.0e-3, 1.0e-2]").replace("[0, 1]", "[0]"))
    result = CliRunner().invoke(app, ["run", str(path), "--workers", "1"])
    assert result.exit_code == 0, result.output + str(result.exception)
    assert "trials: 2 completed now, 0 before, 0 failed" in result.stdout
