"""What a plan says of its design: by the report's own method, and a guess is called one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.simulated import PRIMARY, Scenario, draw_study, make_record
from typer.testing import CliRunner

import ablate
from ablate.cli import app
from ablate.grid.parse import load_grid
from ablate.reporting.evidence.effects import study_effects
from ablate.reporting.evidence.planned import planned_comparisons
from ablate.reporting.statistics.power import Design, smallest_effect
from ablate.reporting.statistics.variance import noise
from ablate.study.question import Question
from ablate.workflow.plan.past_studies import PastStudies, PastStudy
from ablate.workflow.plan.prospects import prospects_of

WriteGrid = Callable[..., Path]
GRID = Path(__file__).parents[2] / "grid" / "golden_grids" / "flowers.yaml"
SCENARIO = Scenario({"a": ("0", "1", "2"), "b": ("x", "y"), "c": ("p", "q")}, n_seeds=4)
ASKED = (
    Question(name="two over one", levels={"a": "2"}, against={"a": "1"}),
    Question(
        name="far apart",
        levels={"a": "2", "b": "y", "c": "q"},
        against={"a": "0", "b": "x", "c": "p"},
    ),
)


def _run(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, result.output + str(result.exception)
    return result.stdout


@pytest.mark.parametrize("questions", [(), ASKED])
def test_the_plan_promises_what_the_report_will_say(questions: tuple[Question, ...]) -> None:
    record = make_record(SCENARIO).model_copy(update={"questions": questions})
    trials, _ = draw_study(record, SCENARIO, np.random.default_rng(5))
    effects = study_effects(record, trials, {})
    sd = effects.noise[PRIMARY].sd
    judged = [e for e in (effects.questions or effects.mains) if e.metric == PRIMARY]
    planned = planned_comparisons(record)
    assert [one.comparison.name for one in planned] == [e.comparison.name for e in judged]
    for one, effect in zip(planned, judged, strict=True):
        promised = smallest_effect(one.design, len(record.seeds), sd=sd)
        assert promised == pytest.approx(effect.smallest_effect)


def _past(rng: np.random.Generator, *, sd: float = 0.01, backbone: str = "net") -> PastStudy:
    arms = {f"arm{i}": backbone for i in range(12)}
    luck = rng.normal(size=3)
    metrics: dict[tuple[str, int], dict[str, float]] = {}
    for arm_id in arms:
        quality = rng.normal()
        for seed in range(3):
            score = 0.5 + 0.1 * quality + 0.05 * luck[seed] + sd * rng.normal()
            metrics[arm_id, seed] = {PRIMARY: score, "time/total_s": 2.0 + seed}
    return PastStudy("earlier", "s1", arms, metrics)


def test_noise_is_what_is_left_when_arm_and_seed_are_known() -> None:
    study = _past(np.random.default_rng(0))
    table = np.array(
        [[study.metrics[arm, seed][PRIMARY] for seed in range(3)] for arm in study.backbones]
    )
    measured = PastStudies([study]).noise(PRIMARY, backbones=frozenset({"net"}))
    assert measured is not None
    assert measured.sd == pytest.approx(noise(table).sd)
    assert (measured.df, measured.grid) == (22, "earlier")


def test_noise_of_another_backbone_or_of_one_seed_says_nothing() -> None:
    study = _past(np.random.default_rng(0))
    past = PastStudies([study])
    assert past.noise(PRIMARY, backbones=frozenset({"other"})) is None
    assert past.noise("test/nll", backbones=frozenset({"net"})) is None
    first = {key: value for key, value in study.metrics.items() if key[1] == 0}
    alone = PastStudy("earlier", "s1", study.backbones, first)
    assert PastStudies([alone]).noise(PRIMARY, backbones=frozenset({"net"})) is None
    same = _past(np.random.default_rng(0), sd=0.0)
    steady = {key: {PRIMARY: 0.5} for key in same.metrics}
    fitted = PastStudy("earlier", "s1", same.backbones, steady)
    assert PastStudies([fitted]).noise(PRIMARY, backbones=frozenset({"net"})) is None


def test_who_says_how_noisy_a_trial_is() -> None:
    record = make_record(SCENARIO)
    backbone = record.arms[0].recipe.backbone
    grid = load_grid(GRID)
    guessed = prospects_of(grid, record, PastStudies())
    assert (guessed.noise.sd, guessed.noise.is_guess) == (2.0, True)
    stated = prospects_of(grid.model_copy(update={"noise": 0.5}), record, PastStudies())
    assert (stated.noise.sd, stated.noise.is_guess) == (0.5, True)
    assert "stated in the grid file" in stated.noise.source
    for rough, fine in zip(guessed.findings, stated.findings, strict=True):
        assert rough.smallest is not None
        assert fine.smallest == pytest.approx(rough.smallest / 4)
    past = PastStudies([_past(np.random.default_rng(1), backbone=backbone)])
    measured = prospects_of(grid.model_copy(update={"noise": 0.5}), record, past)
    assert not measured.noise.is_guess  # what was measured is better than a guess
    assert measured.noise.sd == pytest.approx(1.0, rel=0.5)


def test_one_seed_can_show_nothing_and_more_seeds_show_more() -> None:
    record = make_record(SCENARIO).model_copy(update={"seeds": (7,)})
    prospects = prospects_of(load_grid(GRID), record, PastStudies())
    assert prospects.can_show_nothing
    first, *others = prospects.by_seeds
    assert (first.n_seeds, first.smallest, first.seconds) == (1, None, None)
    sizes = [row.smallest or math.inf for row in others]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < math.inf


def test_seeds_cost_what_the_arms_cost() -> None:
    record = make_record(SCENARIO)
    probed = {arm.arm_id: 10.0 for arm in record.arms[1:]}
    prospects = prospects_of(load_grid(GRID), record, PastStudies(), probed_s=probed)
    assert (prospects.n_timed, len(prospects.arms)) == (11, 12)
    by_seeds = {row.n_seeds: row.seconds for row in prospects.by_seeds}
    assert by_seeds[4] == pytest.approx(4 * 12 * 10.0)  # the untimed arm as the mean
    assert by_seeds[20] == pytest.approx(20 * 12 * 10.0)
    study = _past(np.random.default_rng(0))
    assert PastStudies([study]).trial_s()["arm3"] == 3.0


def test_a_search_has_no_prospects(desk: Path, write_grid: WriteGrid) -> None:
    changes = (
        (
            "baseline: {freeze_depth: all}",
            "design: {search: {sampler: random, n_trials: 2, confirm: 1}}",
        ),
    )
    document = json.loads(_run("plan", str(write_grid("searching", *changes)), "--json"))
    assert document["prospects"] is None


@pytest.mark.slow
def test_a_study_is_asked_run_and_planned_again(desk: Path, write_grid: WriteGrid) -> None:
    """Plan with a guess, run, read the answer, plan again with the noise and times of the run."""
    asked = (
        "seeds: [0, 1]\nmargin: 5\nask:\n"
        "  free or frozen: {freeze_depth: [-1, all]}\n"
        "  faster head: [{head_lr: 1.0e-2}, {}]"
    )
    grid = str(write_grid("asking", ("seeds: [0]", asked)))
    before = _run("plan", grid)
    assert "free or frozen" in before
    assert "noise: SD 2.0 points; a guess" in before
    assert "Cost of the arms" not in before
    _run("run", grid, "--no-images")
    report = (desk / "reports" / "asking" / "README.md").read_text()
    answers = report.split("## What was asked\n")[1].split("\n## ")[0]
    assert "2 questions declared before training" in answers
    assert "**free or frozen** (`freeze_depth=-1` against `freeze_depth=all`)" in answers
    assert "**faster head** (`head_lr=0.01` against `head_lr=0.001`)" in answers
    effects = (desk / "reports" / "asking" / "effects.csv").read_text()
    assert "question,free or frozen,false,freeze_depth,-1,all" in effects
    record = json.loads((desk / "reports" / "asking" / "report.json").read_text())
    assert record["study"]["margin"] == 5.0

    after = json.loads(_run("plan", grid, "--json"))["prospects"]
    assert after["time_from"] == "earlier studies"
    assert all(arm["trial_s"] > 0 for arm in after["arms"])
    assert after["by_seeds"][0]["seconds"] > 0
    assert "Cost of the arms" in _run("plan", grid, "--all")
    plan: Any = ablate.plan(grid)
    assert plan.prospects().n_seeds == 2


def test_fresh_seeds_are_promised_and_priced_by_the_dearest_arms() -> None:
    record = make_record(SCENARIO).model_copy(update={"n_confirm": 5})
    arm_ids = [arm.arm_id for arm in record.arms]
    seconds = {arm_id: 1.0 + place for place, arm_id in enumerate(arm_ids)}
    grid = load_grid(GRID)
    made = prospects_of(grid, record, PastStudies([]), probed_s=seconds)
    assert made.confirming is not None
    # A paired t test with 4 degrees of freedom, of its own 5 %.
    alone = Design(square=2.0, rank=1, alpha=0.05)
    assert made.confirming.smallest == pytest.approx(smallest_effect(alone, 5, sd=made.noise.sd))
    assert made.confirming.most_trials == 15
    others = sorted(seconds[arm_id] for arm_id in arm_ids if arm_id != record.baseline_arm_id)
    expected = 5 * (seconds[record.baseline_arm_id] + others[-1] + others[-2])
    assert made.confirming.most_seconds == pytest.approx(expected)
    plain = prospects_of(grid, make_record(SCENARIO), PastStudies([]), probed_s=seconds)
    assert plain.confirming is None
