"""Searches and tunings as a person runs them.

What is killed goes on, every trial ends once, and only the study after the pilot makes
conclusions.
"""

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
from ablate.scheduling.executors.inline import InlineExecutor
from ablate.tracking.events import TrialEnded, TrialState
from ablate.tracking.journal import Journal
from ablate.tracking.mlflow_store import MlflowStore

HEAD = """\
# Does it hang together in two stages?
task: classification
data:
  {source: rendered_flowers, image_size: 64, split_seed: 0, sizes: {train: 28, val: 28, test: 28}}
base: {backbone: test_efficientnet, weights: none, epochs: 2, batch_size: 14}
select_by: val/macro_f1
"""
SEARCH = """\
design: {search: {sampler: tpe, n_trials: 5, confirm: 2}}
axes:
  head_lr: {low: 1.0e-3, high: 1.0e-1, log: true}
  freeze_depth: [all, -1]
  lr_ratio: {low: 0.1, high: 1.0, when: {freeze_depth: -1}}
seeds: [0, 1]
"""
FRONT = SEARCH.replace(
    "tpe, n_trials: 5, confirm: 2",
    "nsga2, n_trials: 6, confirm: 9, objectives: [val/macro_f1, cost/n_trainable]",
)
TUNE = """\
axes:
  freeze_depth: [all, -1]
tune: {head_lr: [1.0e-3, 1.0e-2, 1.0e+30]}
seeds: [0, 1]
baseline: {freeze_depth: all}
noise_floor: 1
"""
DIES = """
import os, signal, sys
import ablate.console.progress, ablate.workflow.run.run_prepared
from ablate.cli import main
from ablate.scheduling.executors.inline import InlineExecutor
from ablate.tracking.events import EpochEnded
ablate.workflow.prepare.machines.LocalExecutor = lambda run, **options: InlineExecutor(run)
show, left = ablate.console.progress.StudyDisplay.on_event, int(sys.argv.pop(1))
def dying(display, event):
    global left
    show(display, event)
    left -= isinstance(event, EpochEnded)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
ablate.console.progress.StudyDisplay.on_event = dying
main()
"""


def _write(desk: Path, name: str, text: str) -> str:
    (desk / f"{name}.yaml").write_text(HEAD + text)
    return str(desk / f"{name}.yaml")


def _ablate(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == code, result.output + str(result.exception)
    return result.stdout


def _dies_after(n_epochs: int, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DIES, str(n_epochs), *words],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def _ends(desk: Path, pattern: str) -> Counter[str]:
    """Complete ends of each trial in the journal of the one study whose folder fits."""
    (folder,) = (desk / "home" / "studies").glob(pattern)
    events = Journal(folder / "journal.jsonl").read()
    return Counter(
        event.trial_id
        for event in events
        if isinstance(event, TrialEnded) and event.state is TrialState.COMPLETE
    )


def _runs(uri: str, name: str) -> list[mlflow.entities.Run]:
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    return client.search_runs([experiment.experiment_id], max_results=1000)


@pytest.mark.slow
def test_a_search_that_is_killed_twice_ends_complete_and_only_its_confirmation_counts(
    here: Path, tracking_uri: str
) -> None:
    grid = _write(here, "searched", SEARCH)
    assert (
        "search: 5 trials with pilot seed 1000, sampler tpe; then the best 2 arms with 2 seeds: "
        "4 trials" in _ablate("plan", grid)
    )
    _dies_after(5, "run", grid)  # in the third of five trials
    (status,) = json.loads(_ablate("status", "searched", "--json"))
    assert (status["stage"], status["n_trials"], status["states"]) == (
        "search",
        5,
        {"COMPLETE": 2, "KILLED": 1, "WAITING": 2},
    )
    assert (
        "must have arms, its pilot has not chosen any yet"
        in CliRunner().invoke(app, ["report", "searched"]).stderr
    )
    _dies_after(6 + 3, "run", grid)  # in the second of four trials of the confirmation
    ended = _ablate("run", grid)
    assert "search: 0 completed now, 5 before, 0 failed" in ended
    assert "trials: 3 completed now, 1 before, 0 failed" in ended

    searched, confirmed = (
        _ends(here, "searched-*-search-*"),
        _ends(here, "searched-rendered_flowers-????????????"),
    )
    assert (len(searched), len(confirmed), set((searched + confirmed).values())) == (5, 4, {1})
    runs = _runs(tracking_uri, "searched")
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}
    by_stage = Counter(
        (run.data.tags["ablate.kind"], run.data.tags["ablate.stage"], run.info.status)
        for run in runs
    )
    assert by_stage == {
        ("study", "study", "FINISHED"): 1,
        ("pilot", "search", "FINISHED"): 1,
        ("trial", "search", "FINISHED"): 5,
        ("trial", "search", "KILLED"): 1,
        ("trial", "study", "FINISHED"): 4,
        ("trial", "study", "KILLED"): 1,
    }
    parent_of = {run.info.run_id: run.data.tags.get("mlflow.parentRunId") for run in runs}
    ids = {run.data.tags["ablate.kind"]: run.info.run_id for run in runs}
    assert parent_of[ids["pilot"]] == ids["study"]
    searches = [
        run
        for run in runs
        if (run.data.tags["ablate.kind"], run.data.tags["ablate.stage"]) == ("trial", "search")
    ]
    assert {parent_of[run.info.run_id] for run in searches} == {ids["pilot"]}

    study = MlflowStore(tracking_uri, "searched").read_study("searched")
    assert study.record.pilot is not None
    best = sorted(study.record.pilot.trials, key=lambda trial: -trial.scores["val/macro_f1"])[:2]
    assert [trial.trial_id for trial in best] == list(study.record.pilot.chosen)
    with (here / "reports/searched/trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert Counter(row["arm"] for row in rows) == {trial.arm: 2 for trial in best}
    assert {row["seed"] for row in rows} == {"0", "1"}
    readme = (here / "reports/searched/README.md").read_text()
    assert "**No score of the search enters a conclusion.**" in readme
    assert "5 of 5 trials: 5 complete" in readme
    assert "What matters: not tested." in readme

    assert "searched: every number is what the store gives" in _ablate("verify", "reports/searched")
    assert _ablate("sync", "searched").count("all is published") == 2
    again = _ablate("run", grid)
    assert "search: 0 completed now, 5 before, 0 failed" in again
    assert "trials: 0 completed now, 4 before, 0 failed" in again
    assert len(_runs(tracking_uri, "searched")) == len(runs)


@pytest.mark.slow
def test_a_tuning_gives_every_arm_its_own_best_and_diverging_values_never_win(
    here: Path, tracking_uri: str
) -> None:
    grid = _write(here, "tuned", TUNE)
    cut = _ablate("run", grid, "--max-trials", "2")
    assert "4 left for the next call; arms are compared once it is over" in cut
    assert not (here / "reports/tuned/README.md").exists()
    ended = _ablate(
        "run", grid, code=1
    )  # the rate at which nothing can be learned fails, in this call again
    assert "trials: 5 completed now, 0 before, 0 failed" in ended

    study = MlflowStore(tracking_uri, "tuned").read_study("tuned")
    pilot = study.record.pilot
    assert pilot is not None
    assert Counter(trial.state for trial in pilot.trials) == {"COMPLETE": 4, "FAILED": 2}
    for arm in study.record.arms:
        tried = {
            trial.levels["head_lr"]: trial.scores["val/macro_f1"]
            for trial in pilot.trials
            if trial.arm == arm.name and trial.scores
        }
        assert arm.tuned == {"head_lr": max(tried, key=lambda rate: (tried[rate], -rate))}
        assert {run.params["head_lr"] for run in study.runs if run.arm_id == arm.arm_id} == {
            str(arm.tuned["head_lr"])
        }
    assert [arm.name for arm in study.record.arms] == ["freeze_depth=all", "freeze_depth=-1"]
    assert study.record.baseline_arm_id == study.record.arms[0].arm_id
    assert (
        set(_ends(here, "tuned-*-tune-*").values())
        == set(_ends(here, "tuned-rendered_flowers-????????????").values())
        == {1}
    )
    assert not [run for run in _runs(tracking_uri, "tuned") if run.info.status == "RUNNING"]
    readme = (here / "reports/tuned/README.md").read_text()
    assert "**No score of the tuning enters a conclusion**" in readme
    assert f"| `baseline` | {study.record.arms[0].tuned['head_lr']} | 2 of 3 |" in readme
    assert "### `freeze_depth`" in readme
    assert "tuned: every number is what the store gives" in _ablate("verify", "reports/tuned")


@pytest.mark.slow
def test_several_objectives_confirm_the_front(here: Path, tracking_uri: str) -> None:
    _ablate("run", _write(here, "front", FRONT))
    study = MlflowStore(tracking_uri, "front").read_study("front")
    pilot = study.record.pilot
    assert pilot is not None
    points = {
        trial.trial_id: (trial.scores["val/macro_f1"], -trial.scores["cost/n_trainable"])
        for trial in pilot.trials
    }
    front = [
        key
        for key, own in points.items()
        if not any(
            all(a >= b for a, b in zip(other, own, strict=True)) and other != own
            for other in points.values()
        )
    ]
    assert sorted(pilot.front) == sorted(pilot.chosen) == sorted(front)
    assert len(study.runs) == 2 * len(front)
    readme = (here / "reports/front/README.md").read_text()
    assert (
        f"of the Pareto front below, which has {len(front)}, fewer than the 9 asked for" in readme
    )
    assert "An arm off the front was not considered, however high its first score." in readme


def test_a_level_that_cannot_be_built_is_found_before_the_search(here: Path) -> None:
    grid = _write(
        here,
        "unbuilt",
        SEARCH.replace("[all, -1]", "[all, 99]").replace("freeze_depth: -1", "freeze_depth: 99"),
    )
    result = CliRunner().invoke(app, ["run", grid])
    assert result.exit_code == 2
    assert "freeze_depth=99" in result.stderr
    assert not list((here / "home").glob("studies/*"))


def test_seeds_on_the_command_line_may_not_be_the_pilots(here: Path) -> None:
    result = CliRunner().invoke(app, ["run", _write(here, "seeds", SEARCH), "--seeds", "0,1000"])
    assert result.exit_code == 2
    assert result.stderr == (
        "error: pilot_seed (1000) must not be among seeds: an arm that was chosen because of a "
        "score may not bring that score along\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "text"), [("search", FRONT), ("tuning", TUNE)])
def test_a_pilot_without_a_finite_score_ends_in_a_sentence(desk, monkeypatch, kind, text):
    """Every trial completes, and no score is a number.

    Nothing is chosen, and nothing trained with it.
    """
    monkeypatch.setattr(
        "ablate.workflow.prepare.machines.LocalExecutor",
        lambda run, **_: InlineExecutor("support.toy_trials:without_score"),
    )
    name = "spoilt" + str(len(text))
    out = " ".join(_ablate("run", _write(desk, name, text), "--no-images", code=1).split())
    scores = "val/macro_f1 and cost/n_trainable" if text == FRONT else "val/macro_f1"
    assert (
        f"{kind}: no trial completed with a finite {scores}, so no arm could be chosen; ablate "
        "status shows what failed and why" in out
    )
    assert len(list((desk / "home" / "studies").glob("*/journal.jsonl"))) == 1
    assert not (desk / "reports" / name / "README.md").exists()
