"""Fresh seeds as a person meets them: chosen once, trained once, reported apart."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import mlflow
import pytest
from typer.testing import CliRunner

from ablate.cli import app
from ablate.study.record import StudyRecord
from ablate.tracking.events import TrialEnded, TrialState
from ablate.tracking.journal import Journal
from ablate.tracking.mlflow_store import MlflowStore

GRID = """\
# Does what is chosen hold with seeds that did not choose it?
task: classification
data: {source: folder, path: pictures, image_size: 32}
base: {backbone: test_efficientnet, weights: none, epochs: 4, batch_size: 8}
axes: {head_lr: [1.0e-6, 1.0e-2]}
seeds: [0, 1]
noise_floor: 1
confirm: 2
baseline: {head_lr: 1.0e-6}
select_by: val/macro_f1
"""
"""A head that learns nothing is the baseline, so another arm is the best."""
FRESH = ("10000", "10001")
RUN = ("run", "--threads", "1", "--no-images")
DIES_IN = """
import os, signal
import {module}
from ablate.cli import main
from ablate.scheduling.executors.inline import InlineExecutor
import ablate.workflow.prepare.machines
ablate.workflow.prepare.machines.LocalExecutor = lambda run, **options: InlineExecutor(run)
{module}.{name} = lambda *values: os.kill(os.getpid(), signal.SIGKILL)
main()
"""


def _write(desk: Path, name: str, text: str = GRID) -> str:
    (desk / f"{name}.yaml").write_text(text)
    return str(desk / f"{name}.yaml")


def _ablate(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == code, result.output + str(result.exception)
    return " ".join(result.stdout.split())


def _dies(module: str, name: str, *words: str) -> None:
    """Run a command in a process of its own that kills itself where it would call a function."""
    done = subprocess.run(
        [sys.executable, "-c", DIES_IN.format(module=module, name=name), *words],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def _folder(desk: Path, name: str) -> Path:
    (folder,) = (desk / "home" / "studies").glob(f"{name}-folder-????????????")
    return folder


def _record(desk: Path, name: str) -> StudyRecord:
    plan = json.loads((_folder(desk, name) / "study.json").read_text())
    return StudyRecord.model_validate(plan["record"])


def _complete(desk: Path, name: str) -> Counter[str]:
    """Complete ends of each trial."""
    ended = Counter[str]()
    for event in Journal(_folder(desk, name) / "journal.jsonl").read():
        if isinstance(event, TrialEnded) and event.state is TrialState.COMPLETE:
            ended[event.trial_id] += 1
    return ended


def _runs(uri: str, name: str) -> list[mlflow.entities.Run]:
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    return client.search_runs([experiment.experiment_id], max_results=1000)


def _fresh_tags(uri: str, name: str) -> set[tuple[str, str]]:
    """(seed, state) of the runs that are marked as those of the confirmation."""
    found = set()
    for run in _runs(uri, name):
        if run.data.tags.get("ablate.stage") == "confirm":
            found.add((run.data.tags["ablate.seed"], run.info.status))
    return found


@pytest.mark.slow
def test_a_choice_survives_kills_and_later_seeds_and_is_confirmed_once(
    here: Path, tracking_uri: str
) -> None:
    grid = _write(here, "fresh")
    planned = _ablate("plan", grid)
    assert (
        "confirmation: then 2 fresh seeds (10000 to 10001) of the best arm, the baseline and the "
        "cheapest arm that may be the best: at most 6 more trials, reported apart" in planned
    )
    assert "confirmation: 2 fresh seeds find a difference of" in planned

    # Between the stages: the choice is made and was written nowhere yet.
    _dies("ablate.console.run_watcher", "chosen_lines", *RUN, grid)
    assert len(_complete(here, "fresh")) == 5
    assert _record(here, "fresh").confirmation is None
    assert "its arms are chosen once every trial has ended" in _ablate("status", "fresh")
    (status,) = json.loads(_ablate("status", "fresh", "--json"))
    assert (status["awaits_second_stage"], status["states"]) == (True, {"COMPLETE": 5})

    # In the first fresh trial: the choice stands.
    _dies("ablate.console.progress", "StudyDisplay.on_event", *RUN, grid)
    chosen = _record(here, "fresh").confirmation
    assert chosen is not None
    assert chosen.chosen_with == (0, 1)
    assert len(chosen.arm_ids) == 2
    (status,) = json.loads(_ablate("status", "fresh", "--json"))
    assert status["n_trials"] == 5 + 4

    ended = _ablate(*RUN, grid)
    assert "trials: 4 completed now, 5 before, 0 failed" in ended
    assert set(_complete(here, "fresh").values()) == {1}
    finished = {state for _, state in _fresh_tags(tracking_uri, "fresh")} - {"KILLED"}
    assert finished == {"FINISHED"}
    assert {seed for seed, _ in _fresh_tags(tracking_uri, "fresh")} == set(FRESH)
    _check_report(here / "reports" / "fresh", n_fresh=4)
    assert "every number is what the store gives" in _ablate("verify", "reports/fresh")
    assert "has every completed trial" in _ablate("status", "fresh")

    # Seeds that come later may make another arm the best: who is confirmed stays.
    more = _ablate(*RUN, grid, "--seeds", "0,1,2")
    # The baseline has seed 2 from the noise floor, which has seed 3 now.
    assert "trials: 2 completed now, 9 before, 0 failed" in more
    assert _record(here, "fresh").confirmation == chosen
    assert {seed for seed, _ in _fresh_tags(tracking_uri, "fresh")} == set(FRESH)
    n_runs = len(_runs(tracking_uri, "fresh"))
    again = _ablate(*RUN, grid, "--seeds", "0,1,2")
    assert "trials: 0 completed now" in again
    assert len(_runs(tracking_uri, "fresh")) == n_runs

    result = CliRunner().invoke(app, [*RUN, grid, "--seeds", "0,10001"])
    assert result.exit_code == 2
    assert result.stderr == (
        "error: seeds must not be among the fresh ones that confirm the best arm "
        "(10000 to 10001), got 10001: a seed that chooses cannot confirm; take other seeds\n"
    )


def _check_report(report: Path, *, n_fresh: int) -> None:
    with (report / "trials.csv").open() as file:
        assert {row["seed"] for row in csv.DictReader(file)} == {"0", "1"}
    with (report / "fresh_trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert ({row["seed"] for row in rows}, len(rows)) == (set(FRESH), n_fresh)
    with (report / "confirmation.csv").open() as file:
        gaps = list(csv.DictReader(file))
    assert gaps
    assert {gap["n_seeds"] for gap in gaps} == {"2"}
    readme = (report / "README.md").read_text()
    assert "## Confirmed with fresh seeds" in readme
    assert "2 fresh seeds" in readme
    assert "left out, because the grid file no longer names" not in readme
    record = json.loads((report / "report.json").read_text())
    assert record["confirmation"]["seeds"] == [10000, 10001]
    # The noise floor's further seed, and the fresh ones.
    assert len(record["more_trials"]) == 1 + n_fresh


@pytest.mark.slow
def test_another_home_goes_on_with_the_choice_that_the_store_holds(
    here: Path, tracking_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = _write(here, "shared")
    first = _ablate(*RUN, grid, "--max-trials", "6")  # five, and one that confirms
    assert "second stage: 1 completed now, 0 failed" in first
    chosen = _record(here, "shared").confirmation
    assert chosen is not None
    monkeypatch.setenv("ABLATE_HOME", str(here / "other"))
    ended = _ablate(*RUN, grid, "--seeds", "0,1,2")
    assert "trials were found in MLflow" in ended
    study = MlflowStore(tracking_uri, "shared").read_study("shared")
    assert study.record.confirmation == chosen
    assert study.record.fresh_seeds == (10000, 10001)


@pytest.mark.slow
def test_no_choice_is_made_before_every_planned_trial_has_ended(here: Path) -> None:
    grid = _write(here, "half")
    cut = _ablate(*RUN, grid, "--max-trials", "4")
    assert "trials: 4 completed now, 0 before, 0 failed, 1 left" in cut
    assert "confirmation: seeds" not in cut
    assert _record(here, "half").confirmation is None
    assert not (here / "reports/half/confirmation.csv").exists()


AROUND = GRID.replace(
    "axes: {head_lr: [1.0e-6, 1.0e-2]}\n",
    "design: one_factor\naxes: {head_lr: [1.0e-6, 1.0e-2], label_smoothing: [0.0, 0.2]}\n"
    "around: champion\n",
).replace("noise_floor: 1\nconfirm: 2\n", "confirm: 2\n")


@pytest.mark.slow
def test_the_missing_arm_around_the_best_one_is_added_once_and_competes_for_nothing(
    here: Path, tracking_uri: str
) -> None:
    grid = _write(here, "around", AROUND)
    assert (
        "around: then the best arm with each other level of each axis, where the design left it "
        "out: at most 2 more arms, 4 trials" in _ablate("plan", grid)
    )
    # Three arms with two seeds, then a budget that ends in the middle of what was added.
    _ablate(*RUN, grid, "--max-trials", "7")
    around = _record(here, "around").around
    assert around is not None
    (added,) = around.arms
    assert dict(added.cells[0]) == {"head_lr": 1e-2, "label_smoothing": 0.2}
    _dies("ablate.console.progress", "StudyDisplay.on_event", *RUN, grid)
    ended = _ablate(*RUN, grid)
    assert "trials: 5 completed now, 7 before, 0 failed" in ended
    assert set(_complete(here, "around").values()) == {1}
    assert _record(here, "around").around == around

    report = json.loads((here / "reports/around/report.json").read_text())
    assert [arm["arm_id"] for arm in report["added_arms"]] == [added.arm_id]
    assert added.arm_id not in [arm["arm_id"] for arm in report["arms"]]
    assert {choice["axis"] for choice in report["choices"]} == {"head_lr", "label_smoothing"}
    stages = Counter(
        run.data.tags.get("ablate.stage")
        for run in _runs(tracking_uri, "around")
        if run.info.status == "FINISHED" and run.data.tags["ablate.kind"] == "trial"
    )
    assert stages == {None: 6, "around": 2, "confirm": 4}
    assert "every number is what the store gives" in _ablate("verify", "reports/around")
    assert "trials: 0 completed now, 12 before" in _ablate(*RUN, grid)
