"""Searches over a cheap analytic stand-in: what samplers and pruners are worth, and that a search
is a study like any other.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

import optuna
import pytest
from mlflow import MlflowClient
from support.toy_conductor import ALL_TOLD, conduct, counts, journal, mlflow_runs
from support.toy_execution import children, end_of, outcome_of, run_all, two_workers
from support.toy_search import PILOT, make_trial, search
from support.toy_study import new_store_uri, toy_study

from ablate.errors import CheckFailed
from ablate.grid.search_space import Choice
from ablate.scheduling.executors.inline import InlineExecutor
from ablate.scheduling.executors.local import LocalExecutor
from ablate.scheduling.executors.slots import cpu_slots
from ablate.scheduling.limits import Limits
from ablate.scheduling.optuna_study import default_url
from ablate.scheduling.pilot_summary import pilot_trials
from ablate.scheduling.run_search import SearchResult, confirmation
from ablate.scheduling.study_folder import StudyFolder, StudyPlan
from ablate.scheduling.study_status import study_status
from ablate.tracking.events import EpochEnded, Event, TrialEnded, TrialStarted, TrialState
from ablate.tracking.journal import attempts
from ablate.tracking.mlflow_store import MlflowStore


def score(found: SearchResult, heard: list[Event]) -> float:
    scores = {
        event.trial_id: event.outcome.metrics["val/macro_f1"]
        for event in heard
        if isinstance(event, TrialEnded) and event.outcome
    }
    assert scores[found.best[0].trial_id] == max(scores.values())
    return max(scores.values())


def n_epochs(heard: list[Event]) -> int:
    return sum(isinstance(event, EpochEnded) for event in heard)


@pytest.mark.slow
def test_tpe_beats_random_at_equal_budget(tmp_path):
    best = {
        sampler: [
            score(*search(tmp_path / f"{sampler}-{seed}", sampler=sampler, seed=seed))
            for seed in range(5)
        ]
        for sampler in ("random", "tpe")
    }
    assert sum(best["tpe"]) / 5 > sum(best["random"]) / 5 + 0.02


@pytest.mark.slow
def test_hyperband_spends_under_half_the_epochs_and_finds_as_much(tmp_path):
    whole, pruned = (
        search(tmp_path / pruner, sampler="random", pruner=pruner, n_trials=60, seed=3, epochs=27)
        for pruner in ("none", "hyperband")
    )
    assert n_epochs(whole[1]) == 60 * 27
    assert n_epochs(pruned[1]) < n_epochs(whole[1]) / 2
    assert score(*pruned) > 0.95 * score(*whole)
    summary = pruned[0].summary
    assert summary.n_complete + summary.n_pruned == 60
    assert summary.n_pruned > 30


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["random", "tpe", "gp", "cma-es", "qmc", "nsga2"])
def test_every_sampler_proposes_different_trials_within_the_space(sampler, tmp_path):
    found, heard = search(tmp_path, sampler=sampler, n_trials=12)
    assert (found.summary.n_complete, found.summary.n_left, found.summary.optuna_problem) == (
        12,
        0,
        "",
    )
    assert len({event.trial_id for event in heard}) == 12
    for trial in found.best:
        assert 1e-5 <= trial.recipe.head_lr <= 1.0
        assert trial.recipe.adapter_units in ((1, 2, 3, 4) if trial.recipe.lora_rank else ("all",))


@pytest.mark.slow
@pytest.mark.parametrize("pruner", ["median", "wilcoxon", "patient"])
def test_every_pruner_leaves_something_to_compare(pruner, tmp_path):
    found, _ = search(tmp_path, pruner=pruner, n_trials=16)
    assert found.summary.n_complete + found.summary.n_pruned == 16
    # which waits for a trial that no longer gets better, and these always do
    assert (found.summary.n_pruned > 0) == (pruner != "patient")
    assert len(found.best) == min(3, found.summary.n_complete) > 0


def test_a_space_that_is_exhausted_ends_the_search_for_good(tmp_path):
    small = {"lora_rank": Choice(levels=(0, 2, 4, 8))}
    found, _ = search(tmp_path, sampler="random", n_trials=30, space=small)
    assert (found.summary.n_complete, found.summary.n_left) == (4, 0)
    status = study_status(tmp_path)
    assert (status.n_trials, status.states) == (4, {"COMPLETE": 4})
    again, heard = search(tmp_path, sampler="random", n_trials=30, space=small)
    assert (again.summary.n_reused, again.summary.n_left, heard) == (4, 0, [])


@pytest.mark.slow
def test_cells_that_make_no_sense_are_passed_over(tmp_path):
    found, _ = search(
        tmp_path,
        n_trials=12,
        make=lambda cell: None if cell["lora_rank"] == 8 else make_trial(cell),
    )
    assert found.summary.n_complete == 12
    assert {trial.recipe.lora_rank for trial in StudyFolder(tmp_path).read_plan().trials} == {
        0,
        2,
        4,
    }


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["random", "qmc", "tpe"])
def test_a_search_that_is_continued_proposes_what_is_new(sampler, tmp_path):
    """More past trials than tries for a new one: a sampler that began its stream anew would repeat
    all of them, and the search would end.
    """
    search(tmp_path, sampler=sampler, n_trials=60, epochs=1)
    found, _ = search(tmp_path, sampler=sampler, n_trials=90, epochs=1)
    assert (found.summary.n_reused, found.summary.n_complete, found.summary.n_left) == (60, 30, 0)


@pytest.mark.slow
def test_limits_cut_a_search_into_calls(tmp_path):
    cut, _ = search(tmp_path, n_trials=10, limits=Limits(max_trials=4))
    assert (cut.summary.n_complete, cut.summary.n_left) == (4, 6)
    none, heard = search(tmp_path, n_trials=10, limits=Limits(only_failed=True))
    assert (none.summary.n_complete, none.summary.n_left, heard) == (0, 6, [])
    spent, _ = search(tmp_path, n_trials=10, limits=Limits(budget_s=0.0))
    assert (spent.summary.n_complete, spent.summary.n_left) == (0, 6)
    rest, _ = search(tmp_path, n_trials=10)
    assert (rest.summary.n_complete, rest.summary.n_reused, rest.summary.n_left) == (6, 4, 0)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["random", "tpe", "gp", "nsga2"])
def test_several_objectives_give_the_front_the_best_first(sampler, tmp_path):
    goals = ("val/macro_f1", "cost/n_trainable")
    found, heard = search(
        tmp_path,
        sampler=sampler,
        n_trials=12 if sampler == "gp" else 24,
        objectives=goals,
        n_best=2,
    )
    scores = {
        event.trial_id: [outcome_of(event).metrics[name] for name in goals]
        for event in heard
        if isinstance(event, TrialEnded)
    }
    undominated = [
        key
        for key, (f1, cost) in scores.items()
        if not any(a >= f1 and b <= cost and (a, b) != (f1, cost) for a, b in scores.values())
    ]
    expected = sorted(undominated, key=lambda key: -scores[key][0])
    assert [trial.trial_id for trial in found.front] == expected
    assert [trial.trial_id for trial in found.best] == expected[:2]
    kept = optuna.load_study(study_name=None, storage=default_url(tmp_path))
    assert sorted(trial.values for trial in kept.trials) == sorted(scores.values())


@pytest.mark.slow
def test_what_a_search_tells_of_its_trials(tmp_path):
    _, heard = search(tmp_path, pruner="hyperband", sampler="random", n_trials=20)
    told = pilot_trials(
        StudyFolder(tmp_path),
        lambda trial: ("arm", {"head_lr": trial.recipe.head_lr}),
        objectives=("val/macro_f1",),
    )
    assert sum(trial.n_epochs for trial in told) == n_epochs(heard)
    assert [trial.trial_id for trial in told] == [
        event.trial_id for event in heard if isinstance(event, TrialStarted)
    ]
    ends = {event.trial_id: event for event in heard if isinstance(event, TrialEnded)}
    assert {trial.state for trial in told} == {"COMPLETE", "PRUNED"}
    for trial in told:
        assert trial.state == ends[trial.trial_id].state
        assert trial.scores == (
            {}
            if trial.state == "PRUNED"
            else {"val/macro_f1": outcome_of(ends[trial.trial_id]).metrics["val/macro_f1"]}
        )


@pytest.mark.slow
def test_the_confirmation_stage_runs_exactly_k_arms_times_seeds(tmp_path):
    found, heard = search(tmp_path / "search", n_trials=12)
    trials = confirmation(found.best, seeds=(0, 1, 2, 3))
    record = toy_study()[0]
    arms = {
        trial.arm_id: record.arms[0].model_copy(
            update={"arm_id": trial.arm_id, "recipe": trial.recipe}
        )
        for trial in found.best
    }
    summary, confirmed = conduct(
        tmp_path / "confirmation",
        study=(record.model_copy(update={"arms": tuple(arms.values())}), trials),
    )
    assert counts(summary) == (3 * 4, 0, 0)
    started = [event.trial_id for event in confirmed if isinstance(event, TrialStarted)]
    assert len(started) == len(set(started)) == 12
    assert not set(started) & {event.trial_id for event in heard}


def test_the_confirmation_stage_needs_seeds_of_its_own(tmp_path):
    found, _ = search(tmp_path, n_trials=4)
    with pytest.raises(
        CheckFailed,
        match=r"^the confirmation stage must have seeds of its own, \[1000\] chose the arms\.$",
    ):
        confirmation(found.best, seeds=(0, PILOT))


@pytest.mark.slow
def test_a_search_that_is_interrupted_goes_on_with_what_it_saw(tmp_path):
    uri = new_store_uri(tmp_path / "store")

    def interrupt(event: Event) -> None:
        if isinstance(event, EpochEnded) and (
            event.epoch,
            len(journal(tmp_path / "study").read()) > 60,
        ) == (1, True):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "study", n_trials=12, on_event=interrupt, store=MlflowStore(uri, "toy"))
    before = attempts(journal(tmp_path / "study").read())
    killed = [
        trial_id
        for (trial_id, _), attempt in before.items()
        if end_of(attempt).state is TrialState.KILLED
    ]
    assert len(killed) == 1
    found, heard = search(tmp_path / "study", n_trials=12, store=MlflowStore(uri, "toy"))
    assert (found.summary.n_complete, found.summary.n_reused) == (
        12 - len(before) + 1,
        len(before) - 1,
    )
    assert heard[0].trial_id == killed[0]
    kept = attempts(journal(tmp_path / "study").read())
    assert len({trial_id for trial_id, _ in kept}) == 12
    assert found.summary.unpublished == ALL_TOLD
    assert Counter(mlflow_runs(uri).values()) == {"FINISHED": 12, "KILLED": 1}
    published = MlflowStore(uri, "toy").read_study("toy")
    assert len(published.record.arms) == 12
    assert MlflowClient(tracking_uri=uri).get_run(published.parent_run_id).info.status == "FINISHED"
    again, heard = search(tmp_path / "study", n_trials=12)
    assert (heard, again.summary.n_reused, [one.trial_id for one in again.best]) == (
        [],
        12,
        [one.trial_id for one in found.best],
    )


@pytest.mark.slow
def test_workers_prune_and_die_and_every_trial_ends_once(tmp_path):
    def kill_one(event: Event) -> None:
        if isinstance(event, TrialEnded) and len(journal(tmp_path / "study").read()) in range(
            60, 90
        ):
            for worker in sorted(children())[:1]:  # it may be between two workers
                os.kill(worker, signal.SIGKILL)

    executor = LocalExecutor(
        "support.toy_trials:analytic",
        slots=cpu_slots(2, threads=1),
        log_folder=tmp_path / "workers",
    )
    found, _ = search(
        tmp_path / "study",
        pruner="hyperband",
        sampler="random",
        n_trials=30,
        executor=executor,
        # A death ends an attempt too, and each end in those lines kills again: up to 15 deaths,
        # which two slots may share between the same two trials.
        limits=Limits(retries=15),
        on_event=kill_one,
    )
    kept = attempts(journal(tmp_path / "study").read())
    ends = Counter(
        trial_id
        for (trial_id, _), attempt in kept.items()
        if end_of(attempt).state in (TrialState.COMPLETE, TrialState.PRUNED)
    )
    assert set(ends.values()) == {1}
    assert len(ends) == 30
    assert found.summary.n_complete + found.summary.n_pruned == 30


@pytest.mark.slow
def test_a_pruned_trial_ends_in_every_executor(tmp_path):
    _, trials = toy_study()
    for make in (lambda folder: InlineExecutor("support.toy_trials:run"), two_workers):
        folder = tmp_path / make.__name__.strip("<>")
        events = run_all(
            make(folder),
            trials[:2],
            folder,
            on_event=lambda event: (
                isinstance(event, EpochEnded) and event.trial_id == trials[0].trial_id
            ),
        )
        states = {event.trial_id: event.state for event in events if isinstance(event, TrialEnded)}
        assert states[trials[1].trial_id] is TrialState.COMPLETE
        assert states[trials[0].trial_id] in (
            {TrialState.PRUNED}
            if make is not two_workers
            else {TrialState.PRUNED, TrialState.COMPLETE}
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pruner", "objectives"),
    [
        ("median", ()),
        ("hyperband", ()),
        ("wilcoxon", ()),
        ("none", ("val/macro_f1", "cost/n_trainable")),
    ],
)
def test_a_score_that_is_not_finite_is_never_chosen(tmp_path, pruner, objectives):
    options = {
        "n_trials": 16,
        "pruner": pruner,
        "objectives": objectives,
        "sampler": "nsga2" if objectives else "random",
        "n_best": 16,
    }
    found, _ = search(tmp_path, executor=InlineExecutor("support.toy_trials:diverging"), **options)
    tried = {trial.recipe.lora_rank for trial in StudyFolder(tmp_path).read_plan().trials}
    assert tried == {0, 2, 4, 8}
    assert {trial.recipe.lora_rank for trial in (*found.best, *found.front)} <= {0, 2}
    assert found.best
    again, unheard = search(
        tmp_path, executor=InlineExecutor("support.toy_trials:diverging"), **options
    )
    assert (unheard, again.summary.n_reused, again.best) == ([], 16, found.best)
    described = pilot_trials(
        StudyFolder(tmp_path),
        lambda trial: ("", {"rank": trial.recipe.lora_rank}),
        objectives=("val/macro_f1",),
    )
    assert {trial.levels["rank"] for trial in described if trial.scores} <= {0, 2}


@pytest.mark.slow
@pytest.mark.parametrize("objectives", [(), ("val/macro_f1", "cost/n_trainable")])
def test_a_search_without_a_finite_score_finds_nothing(tmp_path, objectives):
    found, _ = search(
        tmp_path,
        executor=InlineExecutor("support.toy_trials:without_score"),
        n_trials=5,
        sampler="random",
        objectives=objectives,
    )
    assert (found.best, found.front, found.summary.n_complete, found.summary.n_left) == (
        (),
        (),
        5,
        0,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"[" * 100_000], ids=["empty", "no text", "deep"]
)
def test_what_a_search_proposed_survives_a_damaged_plan(tmp_path, content, caplog):
    found, _ = search(tmp_path, n_trials=6)
    (tmp_path / "study.json").write_bytes(content)
    (tmp_path / "exhausted").write_bytes(content)
    again, heard = search(tmp_path, n_trials=6)
    assert (heard, again.summary.n_reused, again.best) == ([], 6, found.best)
    assert caplog.messages[0].startswith(f"{tmp_path}/study.json cannot be read (")
    assert (
        StudyFolder(tmp_path).read_plan().trials
        == StudyPlan.from_json((tmp_path / "study.copy.json").read_bytes()).trials
    )
