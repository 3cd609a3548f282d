"""Trial and arm frames, the champion, and the CSV text, recomputed from the runs another way."""

from __future__ import annotations

import csv
import io
import math
import statistics
from dataclasses import replace

import pytest

from ablate.errors import CheckFailed
from ablate.recipe.phase import Phase
from ablate.reporting.evidence.frames import (
    NOT_RUN,
    arm_frame,
    champion,
    csv_text,
    level_text,
    number_text,
    stray_runs,
    trial_frame,
    trials_csv,
)


def test_one_row_for_each_arm_and_seed_with_times_last(published) -> None:
    trials = trial_frame(published.study)
    record = published.study.record
    assert len(trials) == len(record.arms) * len(record.seeds) == 20
    assert list(trials.columns[:9]) == [
        "arm",
        "arm_id",
        "trial_id",
        "seed",
        "state",
        "freeze_depth",
        "lr_ratio",
        "augment",
        "lora_rank",
    ]
    assert list(trials.columns[9:11]) == ["val/macro_f1", "val/auroc_ovr_macro"]
    assert list(trials.columns[-2:]) == ["time/total_s", "time/train_s"] or list(
        trials.columns[-2:]
    ) == ["time/train_s", "time/total_s"]
    assert not any(name.startswith("param/") for name in trials.columns)


def test_a_merged_arm_names_every_level_it_answers(published) -> None:
    trials = trial_frame(published.study).set_index("arm")
    ratios = trials["lr_ratio"]
    assert ratios[["freeze_depth=all augment=none"]].tolist() == ["0.1|1.0", "0.1|1.0"]
    assert ratios[["freeze_depth=-1 lr_ratio=1.0 augment=none"]].tolist() == ["1.0", "1.0"]


def test_a_trial_that_did_not_complete_has_a_state_and_no_score(published) -> None:
    broken = published.with_runs(
        lambda run: (
            replace(run, status="FAILED")
            if run.run_id == "run000"
            else None
            if run.run_id == "run003"
            else run
        )
    )
    trials = trial_frame(broken.study)
    assert trials["state"].tolist()[:4] == ["FAILED", "COMPLETE", "COMPLETE", NOT_RUN]
    assert trials.loc[[0, 3], "test/macro_f1"].isna().all()
    arms = arm_frame(broken.study, trials).set_index("arm_id")
    assert arms[["n_seeds", "n_trials"]].loc[[f"{0:012x}"]].to_numpy().tolist() == [[1, 2]]


def test_means_and_sds_equal_the_standard_library(published) -> None:
    arms = arm_frame(published.study, trial_frame(published.study)).set_index("arm_id")
    for arm in published.study.record.arms:
        values = [
            run.metrics["test/auroc_ovr_macro"]
            for run in published.study.runs
            if run.arm_id == arm.arm_id
        ]
        assert arms.loc[arm.arm_id, "test/auroc_ovr_macro/mean"] == pytest.approx(
            statistics.mean(values)
        )
        assert arms.loc[arm.arm_id, "test/auroc_ovr_macro/sd"] == pytest.approx(
            statistics.stdev(values)
        )


def test_arms_stand_in_the_order_of_the_val_mean_and_the_first_is_champion(published) -> None:
    arms = arm_frame(published.study, trial_frame(published.study))
    means = arms["val/macro_f1/mean"].tolist()
    assert means == sorted(means, reverse=True)
    assert arms["is_champion"].tolist() == [True] + [False] * (len(arms) - 1)
    assert arms["is_baseline"].sum() == 1


def test_lower_is_better_where_the_metric_says_so(published) -> None:
    by_loss = published.with_record(select_by="val/nll")
    trials = trial_frame(by_loss.study)
    means = trials.groupby("arm_id")["val/nll"].mean()
    chosen = champion(by_loss.study.record, trials)
    assert chosen is not None and chosen.arm_id == means.idxmin()
    assert arm_frame(by_loss.study, trials)["val/nll/mean"].is_monotonic_increasing


def test_an_arm_with_failed_seeds_does_not_win_by_the_luck_of_one(published) -> None:
    best = champion(published.study.record, trial_frame(published.study))
    assert best is not None
    cut = published.with_runs(
        lambda run: (
            replace(run, status="FAILED") if (run.arm_id, run.seed) == (best.arm_id, 1) else run
        )
    )
    second = champion(cut.study.record, trial_frame(cut.study))
    assert second is not None and second.arm_id != best.arm_id


def test_no_complete_trial_no_champion(published) -> None:
    failed = published.with_runs(lambda run: replace(run, status="FAILED"))
    trials = trial_frame(failed.study)
    assert champion(failed.study.record, trials) is None
    assert not arm_frame(failed.study, trials)["is_champion"].any()


def test_runs_of_arms_and_seeds_that_the_grid_no_longer_names_are_strays(published) -> None:
    changed = published.with_record(seeds=(0,))
    assert [run.run_id for run in stray_runs(changed.study)] == [
        run.run_id for run in published.study.runs if run.seed == 1
    ]
    assert len(trial_frame(changed.study)) == 10


def test_two_runs_of_one_trial_are_refused(published) -> None:
    double = replace(
        published.study,
        runs=(*published.study.runs, replace(published.study.runs[0], run_id="again")),
    )
    with pytest.raises(CheckFailed) as caught:
        trial_frame(double)
    assert (
        str(caught.value)
        == "a study must hold one run for each trial, runs run000 and again both are arm "
        "000000000000 with seed 0"
    )


def test_trials_csv_is_the_same_for_any_order_of_runs_and_any_times(published) -> None:
    slower = published.with_runs(
        lambda run: replace(
            run,
            metrics={
                n: v * 2 if n.startswith("time/") or n == "cost/peak_memory_mb" else v
                for n, v in run.metrics.items()
            },
        )
    )
    backwards = replace(slower.study, runs=slower.study.runs[::-1])
    one, two = (
        list(csv.DictReader(io.StringIO(trials_csv(trial_frame(study)))))
        for study in (published.study, backwards)
    )
    keep = [
        {name: row[name] for name in row if not name.startswith("time/")}
        for rows in (one, two)
        for row in rows
    ]
    assert keep[:20] == keep[20:]
    assert one != two
    assert [row["arm"] for row in one] == sorted(row["arm"] for row in one)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1 + 0.2, "0.3"),
        (3_371_000.0, "3371000"),
        (math.nan, ""),
        (1e-9, "1e-09"),
        (-0.5, "-0.5"),
        (2 / 3, "0.666667"),
    ],
)
def test_numbers_are_printed_one_way(value: float, text: str) -> None:
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("level", "text"),
    [
        ("all", "all"),
        (-1, "-1"),
        (0.1, "0.1"),
        (None, "null"),
        (True, "true"),
        (("a", "b"), "a+b"),
        (("a+b",), '["a+b"]'),
        ([], "none"),
        (
            [{"epochs": 8, "freeze_depth": "all", "head_lr": 0.01}, {"epochs": 4}],
            "8xall(head_lr=0.01)+4",
        ),
        ([{"epochs": 8, "head_lr": 0.010000001}], '[{"epochs": 8, "head_lr": 0.010000001}]'),
        ((Phase(epochs=8, head_lr=0.01),), "8(head_lr=0.01)"),
    ],
)
def test_levels_are_printed_as_in_the_names_of_arms(level: object, text: str) -> None:
    assert level_text(level) == text


def test_csv_knows_truth_and_blanks(published) -> None:
    one_seed = published.with_record(seeds=(0,))
    first = next(
        csv.DictReader(
            io.StringIO(csv_text(arm_frame(one_seed.study, trial_frame(one_seed.study))))
        )
    )
    assert (first["is_champion"], first["is_baseline"], first["val/macro_f1/sd"]) == (
        "true",
        "false",
        "",
    )
