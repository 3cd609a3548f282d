"""Searches over a cheap analytic stand-in: what samplers and pruners are worth, and that a search is a study like any other."""

from __future__ import annotations

import os
import signal
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from mlflow import MlflowClient
from test_conductor import ALL_TOLD, conduct, counts, journal, make_request, mlflow_runs
from toy_execution import children, two_workers
from toy_study import new_store_uri, toy_study

from ablate.errors import CheckFailed
from ablate.scheduling.executors.inline import InlineExecutor
from ablate.scheduling.executors.local import LocalExecutor
from ablate.scheduling.executors.slots import cpu_slots
from ablate.scheduling.run_search import Found, confirmation, run_search
from ablate.scheduling.search import Cell, Range, Search, SearchAxis
from ablate.spec.recipe import Recipe
from ablate.spec.trial import Trial
from ablate.tracking.events import EpochEnded, Event, TrialEnded, TrialStarted, TrialState
from ablate.tracking.journal import attempts
from ablate.tracking.mlflow_store import MlflowStore

PILOT = 1000
SPACE = {
    "head_lr": SearchAxis(Range(1e-5, 1.0, log=True)),
    "weight_decay": SearchAxis(Range(1e-6, 1.0, log=True)),
    "lora_rank": SearchAxis((0, 2, 4, 8)),
    "lora_units": SearchAxis(Range(1, 4), when={"lora_rank": (2, 4, 8)}),
}
TEMPLATE = toy_study()[1][0]
N_EPOCHS = 9


def make_trial(cell: Cell, *, epochs: int = N_EPOCHS) -> Trial:
    return TEMPLATE.model_copy(update={"recipe": Recipe(epochs=epochs, **cell), "seed": PILOT})


def search(
    folder: Path,
    *,
    sampler: str = "tpe",
    pruner: str = "none",
    n_trials: int = 30,
    seed: int = 0,
    epochs: int = N_EPOCHS,
    executor=None,
    on_event=None,
    **more,
):
    heard: list[Event] = []

    def hear(event: Event) -> None:
        heard.append(event)
        if on_event:
            on_event(event)

    record = toy_study()[0].model_copy(update={"arms": (), "axes": dict.fromkeys(SPACE, ())})
    asked = Search(SPACE, select_by="val/macro_f1", n_trials=n_trials, n_epochs=epochs, sampler=sampler, pruner=pruner, seed=seed)
    found = run_search(
        asked,
        n_best=3,
        record=record,
        make_trial=partial(make_trial, epochs=epochs),
        folder=folder,
        executor=executor or InlineExecutor("toy_trials:analytic"),
        store=more.pop("store", None),
        make_request=make_request,
        on_event=hear,
        **more,
    )
    return found, heard


def score(found: Found, heard: list[Event]) -> float:
    scores = {event.trial_id: event.outcome.metrics["val/macro_f1"] for event in heard if isinstance(event, TrialEnded) and event.outcome}
    assert scores[found.best[0].trial_id] == max(scores.values())
    return max(scores.values())


def n_epochs(heard: list[Event]) -> int:
    return sum(isinstance(event, EpochEnded) for event in heard)


def test_tpe_beats_random_at_equal_budget(tmp_path):
    best = {sampler: [score(*search(tmp_path / f"{sampler}-{seed}", sampler=sampler, seed=seed)) for seed in range(5)] for sampler in ("random", "tpe")}
    assert sum(best["tpe"]) / 5 > sum(best["random"]) / 5 + 0.02


def test_hyperband_spends_under_half_the_epochs_and_finds_as_much(tmp_path):
    whole, pruned = (search(tmp_path / pruner, sampler="random", pruner=pruner, n_trials=60, seed=3, epochs=27) for pruner in ("none", "hyperband"))
    assert n_epochs(whole[1]) == 60 * 27
    assert n_epochs(pruned[1]) < n_epochs(whole[1]) / 2
    assert score(*pruned) > 0.95 * score(*whole)
    summary = pruned[0].summary
    assert summary.n_complete + summary.n_pruned == 60
    assert summary.n_pruned > 30


@pytest.mark.parametrize("sampler", ["random", "tpe", "gp", "qmc", "nsga2"])
def test_every_sampler_proposes_different_trials_within_the_space(sampler, tmp_path):
    found, heard = search(tmp_path, sampler=sampler, n_trials=12)
    assert (found.summary.n_complete, found.summary.n_left, found.summary.optuna_problem) == (12, 0, "")
    assert len({event.trial_id for event in heard}) == 12
    for trial in found.best:
        assert 1e-5 <= trial.recipe.head_lr <= 1.0
        assert trial.recipe.lora_units in ((1, 2, 3, 4) if trial.recipe.lora_rank else ("all",))


@pytest.mark.parametrize("pruner", ["median", "wilcoxon", "patient"])
def test_every_pruner_leaves_something_to_compare(pruner, tmp_path):
    found, _ = search(tmp_path, pruner=pruner, n_trials=16)
    assert found.summary.n_complete + found.summary.n_pruned == 16
    assert len(found.best) == 3


def test_a_space_that_is_exhausted_ends_the_search(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "SPACE", {"lora_rank": SearchAxis((0, 2, 4, 8))})
    found, _ = search(tmp_path, sampler="random", n_trials=30)
    assert found.summary.n_complete == 4


def test_the_confirmation_stage_runs_exactly_k_arms_times_seeds(tmp_path):
    found, heard = search(tmp_path / "search", n_trials=12)
    trials = confirmation(found.best, seeds=(0, 1, 2, 3))
    record = toy_study()[0]
    arms = {trial.arm_id: record.arms[0].model_copy(update={"arm_id": trial.arm_id, "recipe": trial.recipe}) for trial in found.best}
    summary, confirmed = conduct(tmp_path / "confirmation", study=(record.model_copy(update={"arms": tuple(arms.values())}), trials))
    assert counts(summary) == (3 * 4, 0, 0)
    started = [event.trial_id for event in confirmed if isinstance(event, TrialStarted)]
    assert len(started) == len(set(started)) == 12
    assert not set(started) & {event.trial_id for event in heard}


def test_the_confirmation_stage_needs_seeds_of_its_own(tmp_path):
    found, _ = search(tmp_path, n_trials=4)
    with pytest.raises(CheckFailed, match=r"^the confirmation stage must have seeds of its own, \[1000\] chose the arms\.$"):
        confirmation(found.best, seeds=(0, PILOT))


def test_a_search_that_is_interrupted_goes_on_with_what_it_saw(tmp_path):
    uri = new_store_uri(tmp_path / "store")

    def interrupt(event: Event) -> None:
        if isinstance(event, EpochEnded) and (event.epoch, len(journal(tmp_path / "study").read()) > 60) == (1, True):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "study", n_trials=12, on_event=interrupt, store=MlflowStore(uri, "toy"))
    before = attempts(journal(tmp_path / "study").read())
    killed = [trial_id for (trial_id, _), attempt in before.items() if attempt.ended.state is TrialState.KILLED]
    assert len(killed) == 1
    found, heard = search(tmp_path / "study", n_trials=12, store=MlflowStore(uri, "toy"))
    assert (found.summary.n_complete, found.summary.n_reused) == (12 - len(before) + 1, len(before) - 1)
    assert heard[0].trial_id == killed[0]
    kept = attempts(journal(tmp_path / "study").read())
    assert len({trial_id for trial_id, _ in kept}) == 12
    assert found.summary.unpublished == ALL_TOLD
    assert Counter(mlflow_runs(uri).values()) == {"FINISHED": 12, "KILLED": 1}
    published = MlflowStore(uri, "toy").read_study("toy")
    assert len(published.record.arms) == 12
    assert MlflowClient(tracking_uri=uri).get_run(published.parent_run_id).info.status == "FINISHED"
    again, heard = search(tmp_path / "study", n_trials=12)
    assert (heard, again.summary.n_reused, [one.trial_id for one in again.best]) == ([], 12, [one.trial_id for one in found.best])


def test_workers_prune_and_die_and_every_trial_ends_once(tmp_path):
    def kill_one(event: Event) -> None:
        if isinstance(event, TrialEnded) and len(journal(tmp_path / "study").read()) in range(60, 90):
            os.kill(min(children()), signal.SIGKILL)

    executor = LocalExecutor("toy_trials:analytic", slots=cpu_slots(2, threads=1), log_folder=tmp_path / "workers")
    found, _ = search(tmp_path / "study", pruner="hyperband", sampler="random", n_trials=30, executor=executor, retries=5, on_event=kill_one)
    kept = attempts(journal(tmp_path / "study").read())
    ends = Counter(trial_id for (trial_id, _), attempt in kept.items() if attempt.ended.state in (TrialState.COMPLETE, TrialState.PRUNED))
    assert set(ends.values()) == {1}
    assert len(ends) == 30
    assert found.summary.n_complete + found.summary.n_pruned == 30


def test_a_pruned_trial_ends_in_every_executor(tmp_path):
    _, trials = toy_study()
    for make in (lambda folder: InlineExecutor("toy_trials:run"), two_workers):
        from test_executors import run_all

        folder = tmp_path / make.__name__.strip("<>")
        events = run_all(make(folder), trials[:2], folder, on_event=lambda event: isinstance(event, EpochEnded) and event.trial_id == trials[0].trial_id)
        states = {event.trial_id: event.state for event in events if isinstance(event, TrialEnded)}
        assert states[trials[1].trial_id] is TrialState.COMPLETE
        assert states[trials[0].trial_id] in ({TrialState.PRUNED} if make is not two_workers else {TrialState.PRUNED, TrialState.COMPLETE})
