"""What came before a study is shown, said to be no conclusion, and checked against its own runs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.reports import no_figures, section, text_of

from ablate.reporting.compute import compute_results
from ablate.reporting.evidence.arm_names import difference_names
from ablate.reporting.pages.sections.pilot_section import pilot_section
from ablate.reporting.pages.write import write_report
from ablate.reporting.verify_report import verify_report
from ablate.study.pilot_record import Pilot, PilotTrial

SCORES = [0.5, None, 0.4, 0.625, 0.6, 0.75]
"""Of six trials of a search, one of which was pruned."""


def _trial(number: int, arm: str, score: float | None) -> PilotTrial:
    """A trial of the search; without a score it was pruned after an epoch."""
    trial = PilotTrial(
        trial_id=f"t{number}", arm=arm, levels={}, state="PRUNED", n_epochs=1, scores={}
    )
    if score is None:
        return trial
    scores = {"val/macro_f1": score, "cost/n_trainable": 100.0 * number}
    return trial.model_copy(update={"state": "COMPLETE", "n_epochs": 4, "scores": scores})


def searched(published, **changes):
    """A search that tried six arms and confirmed the two best."""
    arms = published.study.record.arms
    trials = tuple(_trial(number, arms[number].name, score) for number, score in enumerate(SCORES))
    asked = {
        "kind": "search",
        "study_id": "p",
        "seed": 1000,
        "n_asked": 6,
        "objectives": ("val/macro_f1",),
        "sampler": "tpe",
        "pruner": "median",
    }
    found = {
        "n_confirm": 10,
        "space": {"head_lr": "0.001 to 0.1, log scale"},
        "trials": trials,
        "front": ("t5",),
        "chosen": ("t5", "t3"),
    }
    return published.with_record(pilot=Pilot(**{**asked, **found, **changes}), axes={})


def test_a_search_tells_what_it_spent_and_that_it_concludes_nothing(published) -> None:
    text = text_of(searched(published))
    told = section(text, "Search")
    assert (
        "- Sampler `tpe`, pruner `median`, pilot seed 1000: 6 of 6 trials: 5 complete, 1 pruned."
        in told
    )
    assert "- Epochs: 21 in the search; 1 trial ended early after 1 of them." in told
    assert "- Confirmed: the best 10 arms by val macro F1 of the search, each with 2 seeds." in told
    assert "**No score of the search enters a conclusion.**" in told
    names = [arm.name for arm in published.study.record.arms]
    rows = [
        line
        for line in told.split("Each new best trial")[1].split("Confirmed arms:")[0].splitlines()
        if line.startswith("| `")
    ]
    assert rows == [
        f"| `{names[0]}` | 1 | 0.500 |",
        f"| `{names[3]}` ✓ | 4 | 0.625 |",
        f"| `{names[5]}` ✓ | 6 | 0.750 |",
    ]
    assert "What matters: not tested." in section(text, "Summary")
    assert "What each axis changes" not in text


def test_a_front_is_shown_in_all_its_objectives(published) -> None:
    goals = ("val/macro_f1", "cost/n_trainable")
    told = section(
        text_of(
            searched(
                published, objectives=goals, front=("t5", "t3", "t0"), chosen=("t5", "t3", "t0")
            )
        ),
        "Search",
    )
    names = [arm.name for arm in published.study.record.arms]
    assert "which has 3, fewer than the 10 asked for, the best by val macro F1 first" in told
    assert f"| `{names[5]}` ✓ | 0.750 | 500 |" in told


@pytest.mark.slow
def test_fewer_complete_trials_than_arms_asked_for_are_said(published) -> None:
    told = section(text_of(searched(published, n_confirm=11)), "Search")
    assert (
        "the best 10 arms by val macro F1 of the search (11 were asked for, "
        "but no more trials ran to their end), each with 2 seeds." in told
    )


def tuned(published):
    """Three rates for each arm; the first arm takes the highest, all others the middle one."""
    arms = tuple(
        arm.model_copy(update={"tuned": {"head_lr": 0.1 if n == 0 else 0.01}})
        for n, arm in enumerate(published.study.record.arms)
    )
    trials = tuple(
        PilotTrial(
            trial_id=f"{n}-{rate}",
            arm=arm.name,
            levels={"head_lr": rate},
            state="COMPLETE",
            n_epochs=2,
            scores={"val/macro_f1": score},
        )
        for n, arm in enumerate(arms)
        for rate, score in ((0.001, 0.25), (0.01, 0.5), (0.1, 0.625 if n == 0 else 0.375))
    )
    pilot = Pilot(
        kind="tune",
        study_id="p",
        seed=1000,
        n_asked=30,
        objectives=("val/macro_f1",),
        space={"head_lr": "0.001, 0.01, 0.1"},
        trials=trials,
    )
    return published.with_record(pilot=pilot, arms=arms)


def test_a_tuning_lists_what_each_arm_got_and_what_lies_at_the_edge(published) -> None:
    told = section(text_of(tuned(published)), "Tuning")
    names = list(difference_names(published.study.record).values())
    assert "all combinations of `head_lr` in 0.001, 0.01, 0.1 with pilot seed 1000" in told
    assert f"| `{names[0]}` | 0.1 | 3 of 3 | 0.625 | 0.250 | `head_lr` |" in told
    assert f"| `{names[1]}` | 0.01 | 3 of 3 | 0.500 | 0.250 | - |" in told
    assert "**No score of the tuning enters a conclusion**" in told


def test_a_study_without_a_pilot_says_nothing_of_one(published) -> None:
    assert pilot_section(compute_results(published.study, published.predictions), no_figures) == ""


@pytest.mark.slow
@pytest.mark.parametrize("forged", [False, True])
def test_a_pilots_scores_are_checked_against_its_own_runs(
    published, tmp_path, forged: bool
) -> None:
    runs = published.study.runs[:2]
    trials = tuple(
        PilotTrial(
            trial_id=run.trial_id,
            arm="a",
            levels={},
            state="COMPLETE",
            n_epochs=1,
            scores={"val/macro_f1": run.metrics["val/macro_f1"]},
        )
        for run in runs
    )
    if forged:
        trials = (
            trials[0].model_copy(update={"scores": {"val/macro_f1": 0.999}}),
            trials[1].model_copy(update={"trial_id": "gone"}),
        )
    study = searched(
        published, trials=trials, front=(trials[0].trial_id,), chosen=(trials[0].trial_id,)
    )
    write_report(study.study, predictions=study.predictions, out=tmp_path)
    pilot = replace(published.study, runs=runs)
    found = [
        str(one)
        for one in verify_report(
            study.study, predictions=study.predictions, folder=tmp_path, pilot=pilot
        )
        if one.place.startswith("pilot")
    ]
    if forged:
        score = runs[0].metrics["val/macro_f1"]
        assert found == [
            f"pilot trial {runs[0].trial_id} val/macro_f1: says 0.999, "
            f"the store gives {score:.9g} in run {runs[0].run_id}",
            "pilot trial gone: says a run, the store gives none",
        ]
    else:
        assert found == []
