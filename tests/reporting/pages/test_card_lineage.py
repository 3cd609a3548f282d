"""How a card says to load its network: the run that it names is the one that has a model."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from ablate.reporting.compute import compute_results
from ablate.reporting.evidence.frames import best_run
from ablate.reporting.pages.cards.card import card_text
from ablate.reporting.pages.sections.backbone_families import best_of_family
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.records import PublishedRun
from ablate.workflow.run.run_prepared import log_champion


def _loaded(card: str) -> set[str]:
    """The runs that the code of a card loads."""
    return set(re.findall(r'(?:get_run\(|run_id=)"(\w+)"', card))


def test_noise_floor_seeds_do_not_compete_for_the_model(published: Any, tmp_path: Path) -> None:
    """The baseline is champion, and one of its further seeds scores higher than all others."""
    baseline = published.study.record.baseline_arm_id

    def baseline_wins(run: PublishedRun) -> PublishedRun:
        score = 0.9 - 0.01 * run.seed if run.arm_id == baseline else 0.5
        return replace(run, metrics={**run.metrics, "val/macro_f1": score})

    study = published.with_runs(baseline_wins).study
    first = next(run for run in study.runs if run.arm_id == baseline)
    metrics = {**first.metrics, "val/macro_f1": 0.99}
    lucky = replace(first, run_id="lucky", trial_id="1" * 16, seed=7, metrics=metrics)
    record = study.record.model_copy(update={"noise_seeds": (7,)})
    study = replace(study, record=record, runs=(lucky, *study.runs))

    results = compute_results(study, published.predictions)
    assert results.champion is not None and results.champion.arm_id == baseline
    no_store = cast(MlflowStore, None)  # without the trial's folder there is nothing to log
    logged = log_champion(study, no_store, folder=tmp_path)
    assert logged is not None and logged.run_id == first.run_id
    assert _loaded(card_text(results, results.champion)) == {logged.run_id}


def test_every_card_loads_the_best_of_its_own_seeds(published: Any) -> None:
    results = compute_results(published.study, published.predictions)
    for arm in results.record.arms:
        runs = [run for run in published.study.runs if run.arm_id == arm.arm_id]
        scores = {run.run_id: run.metrics["val/macro_f1"] for run in runs}
        best = best_run(published.study, arm.arm_id)
        assert best is not None and scores[best.run_id] == max(scores.values())
        assert _loaded(card_text(results, arm)) == {best.run_id}


def test_the_best_of_a_family_does_not_win_by_the_luck_of_one_seed(published: Any) -> None:
    """As for the champion: an arm whose other seed failed does not compete with complete ones."""
    results = compute_results(published.study, published.predictions)
    assert results.champion is not None
    champion = results.champion

    def second_seed_fails(run: PublishedRun) -> PublishedRun:
        if run.arm_id != champion.arm_id:
            return run
        if run.seed == 1:
            return replace(run, status="FAILED")
        return replace(run, metrics={**run.metrics, "val/macro_f1": 0.999})

    study = published.with_runs(second_seed_fails).study
    changed = compute_results(study, published.predictions)
    assert changed.arms["arm_id"].iloc[0] == champion.arm_id
    best = best_of_family(changed, list(changed.record.arms))
    assert changed.champion is not None and best == changed.champion != champion
