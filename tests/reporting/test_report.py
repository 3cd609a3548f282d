"""README.md: its first lines, its sentences and its numbers."""

from __future__ import annotations

import re
import statistics
from dataclasses import replace

import numpy as np
import pytest
from support.reports import section, text_of

from ablate.quoting import code
from ablate.reporting.compute import compute_results
from ablate.reporting.text.markdown import escape, mean_sd, points, table


@pytest.mark.slow
def test_first_lines_say_which_data_was_used(published) -> None:
    text = text_of(published)
    warning = (
        "**Warning: the images are synthetic stand-ins.** `flowers102` is not available here; "
        "the declared fallback `rendered_flowers` (Rendered flowers) was used instead. "
        "No result below says anything about `flowers102`."
    )
    assert text.splitlines()[:6] == [
        "# Which way of transferring works?",
        "",
        "> [!WARNING]",
        f"> {warning}",
        "",
        "<!-- cards -->",
    ]
    data = text.partition("<details><summary>Which data were used?</summary>\n\n")[2]
    assert data.splitlines()[:4] == [
        f"- {warning}",
        "- 5 classes; images: train 60, val 60, test 60. Splits: official. Image size: 128.",
        "- Classes, images in train / val / test: `species 0` 12 / 12 / 12, "
        "`species 1` 12 / 12 / 12, `species 2` 12 / 12 / 12, `species 3` 12 / 12 / 12, "
        "`species 4` 12 / 12 / 12.",
        "- 10 arms x 2 seeds = 20 trials: 20 complete.",
    ]


def test_no_warning_where_the_requested_data_was_used(published) -> None:
    data = published.study.record.data.model_copy(update={"requested_source": "rendered_flowers"})
    text = text_of(published.with_record(data=data))
    assert "Warning" not in text and "WARNING" not in text
    line = "- Data: **Rendered flowers** (`rendered_flowers`, version 1), synthetic images."
    assert line in text.splitlines()


def test_a_real_fallback_is_a_warning_without_the_word_synthetic(published) -> None:
    data = published.study.record.data.model_copy(update={"is_synthetic": False})
    line = text_of(published.with_record(data=data)).splitlines()[3]
    assert line == (
        "> **Warning: not the data set that the grid asks for.** `flowers102` is not available "
        "here; the declared fallback `rendered_flowers` (Rendered flowers) was used instead."
    )


@pytest.mark.slow
def test_summary_cites_the_champion_with_recomputed_numbers(published) -> None:
    by_arm: dict[str, list[dict[str, float]]] = {}
    for run in published.study.runs:
        by_arm.setdefault(run.arm_id, []).append(run.metrics)
    best = max(by_arm.values(), key=lambda runs: statistics.mean(m["val/macro_f1"] for m in runs))
    f1 = [metrics["test/macro_f1"] for metrics in best]
    auroc = [metrics["test/auroc_ovr_macro"] for metrics in best]
    summary = section(text_of(published), "Summary")
    assert (
        f"It reaches test macro F1 {np.mean(f1):.3f} ± {np.std(f1, ddof=1):.3f} "
        f"and AUROC {np.mean(auroc):.3f} ± {np.std(auroc, ddof=1):.3f} "
        "(mean ± SD over 2 seeds)."
    ) in summary
    differences = [
        m["test/macro_f1"] - b["test/macro_f1"]
        for m, b in zip(best, by_arm[f"{0:012x}"], strict=True)
    ]
    assert f"{100 * np.mean(differences):+.1f} points of test macro F1 (interval " in summary
    assert len(summary.strip().splitlines()) == 5 and all(
        line.startswith("- ") for line in summary.strip().splitlines()
    )
    assert "- What matters: " in summary
    assert "- Truly best by test macro F1 " in summary
    assert "Noise floor: a trial varies from seed to seed by SD " in summary


@pytest.mark.slow
def test_a_gap_within_seed_noise_is_called_so(published) -> None:
    record = published.study.record
    last = record.arms[-1].arm_id

    def level_off(run):
        value = 0.9 + (0.02 if run.seed else -0.02) * (run.arm_id == last)
        return replace(
            run,
            metrics={
                **run.metrics,
                "test/macro_f1": value,
                "val/macro_f1": 0.9 if run.arm_id == last else 0.5,
            },
        )

    summary = section(text_of(published.with_runs(level_off)), "Summary")
    assert "paired over 2 seeds; undecided, no difference larger than " in summary


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_trainable", "sentence"),
    [
        (500.0, "It trains as many parameters (500), in "),
        (600.0, "It trains 600 parameters instead of 500, in "),
    ],
)
def test_what_the_champion_trains_is_compared_with_the_baseline(
    published, n_trainable, sentence
) -> None:
    last = published.study.record.arms[-1].arm_id

    def change(run):
        is_last = run.arm_id == last
        return replace(
            run,
            metrics={
                **run.metrics,
                "val/macro_f1": 0.9 if is_last else 0.5,
                "cost/n_trainable": n_trainable if is_last else 500.0,
            },
        )

    assert sentence in section(text_of(published.with_runs(change)), "Summary")


def test_one_seed_is_said_to_know_no_spread(build) -> None:
    summary = section(text_of(build(seeds=(0,))), "Summary")
    assert "Truly best" not in summary
    assert "(one seed, so the spread is unknown)" in summary
    assert (
        "points of test macro F1, paired over 1 seed; "
        "the spread is unknown, so this may be seed noise alone."
    ) in summary
    assert (
        "nothing can be tested, because fewer than 2 seeds of comparable arms completed" in summary
    )
    assert "±" not in summary and "nan" not in summary


def test_the_noise_floor_is_that_of_the_baselines_further_seeds(published) -> None:
    baseline = published.study.record.baseline_arm_id
    runs = [run for run in published.study.runs if run.arm_id == baseline]
    further = [
        replace(
            runs[0],
            run_id=f"aa{seed}",
            seed=seed,
            metrics={**runs[0].metrics, "test/macro_f1": 0.5 + 0.01 * seed},
        )
        for seed in (2, 3, 4)
    ]
    study = replace(
        published, study=replace(published.study, runs=(*published.study.runs, *further))
    ).with_record(noise_seeds=(2, 3, 4))
    sd = np.std([*(run.metrics["test/macro_f1"] for run in runs), 0.52, 0.53, 0.54], ddof=1)
    text = text_of(study)
    assert (
        f"Noise floor: a trial varies from seed to seed by SD {100 * sd:.1f} points "
        "(of the baseline, 5 trials)." in text
    )
    assert "= 20 trials: 20 complete. Noise floor: 3 additional seeds of the baseline." in text
    assert "left out, because" not in text


def test_interactions_and_what_the_design_can_show_are_tables(published) -> None:
    text = text_of(published)
    assert "| `lr_ratio=1.0 x augment=light` |" in section(text, "Interactions")
    rows = [
        line
        for line in section(text, "What this design can show").splitlines()
        if line.startswith("| `")
    ]
    assert len(rows) == 4


@pytest.mark.slow
def test_costs_that_nobody_measured_are_named(published) -> None:
    part = section(text_of(published), "Cost")
    assert (
        "Not measured: multiply-adds per image, s saved by sharing, images/s at inference, "
        "latency at batch 1, ms"
    ) in part
    assert "- test macro F1 against trained parameters: `" in part


@pytest.mark.slow
def test_the_baseline_can_win(published) -> None:
    best = compute_results(published.study, published.predictions).champion
    assert best is not None
    assert "The baseline itself is the best arm: no other arm scores higher on val." in text_of(
        published.with_record(baseline_arm_id=best.arm_id)
    )


def test_arms_are_a_table_with_links_to_cards_and_marks(published) -> None:
    rows = [
        line for line in section(text_of(published), "Arms").splitlines() if line.startswith("| [")
    ]
    assert len(rows) == 10
    first = compute_results(published.study, published.predictions).champion
    assert first is not None
    assert rows[0].startswith(f"| [1](cards/{first.slug}.md) ★ | **-1** | ")
    assert sum("◆" in row for row in rows) == 1
    of_baseline = "(cards/freeze_depth-all__augment-none.md) ◆ | all | – | none | 0 | 2 of 2 |"
    assert of_baseline in next(row for row in rows if "◆" in row)


def test_each_axis_has_one_sentence_a_level_and_a_figure(published) -> None:
    axes = section(text_of(published), "What each axis changes")
    for axis in published.study.record.axes:
        assert f"### `{axis}`" in axes and f"](figures/axis_{axis}.svg)" in axes
    assert len(re.findall(r"^- `", axes, flags=re.MULTILINE)) == 4
    assert "Not counted: 2 cells in which both levels are the same arm." in axes


def test_merged_and_excluded_cells_are_listed_with_reasons(published) -> None:
    text = text_of(published)
    assert "| `baseline` | 2 | `lr_ratio=0.1`; `lr_ratio=1.0` |" in text
    assert (
        "- adapters are compared on a frozen trunk (4 cells): "
        "`freeze_depth=-1 lr_ratio=0.1 augment=none lora_rank=8`" in text
    )


def test_failures_are_listed_with_their_reason(published) -> None:
    def broken(run):
        if run.run_id == "run000":
            return replace(run, status="FAILED", failure="TrialError: the loss | is NaN")
        return None if run.run_id == "run001" else run

    text = text_of(published.with_runs(broken))
    assert "= 20 trials: 18 complete, 1 failed, 1 not run." in text
    assert "| `baseline` | 0 | FAILED | `TrialError: the loss \\| is NaN` |" in text
    assert "| `baseline` | 1 | NOT RUN | the study ended before it started |" in text


def test_a_study_in_which_everything_failed_still_has_a_report(published) -> None:
    text = text_of(
        published.with_runs(
            lambda run: replace(run, status="FAILED", metrics={}, failure="WorkerDied: killed")
        )
    )
    assert "No trial completed, so there is no best arm." in text
    assert "nan" not in text and "figures/" not in text


def test_reproduce_names_command_commit_and_every_run(published) -> None:
    part = section(text_of(published), "How to reproduce")
    assert "make ablation GRID=flowers" in part and "commit: c0ffee" in part and "`parent0`" in part
    assert all(f"`{run.run_id}`" in part for run in published.study.runs)
    assert "sqlite" not in part  # where the store lies on this machine is nobody's business


def test_missing_facts_are_not_measured(published) -> None:
    bare = published.with_runs(
        lambda run: replace(
            run,
            tags={},
            params={},
            metrics={n: v for n, v in run.metrics.items() if not n.startswith(("cost/", "time/"))},
        )
    )
    text = text_of(bare)
    assert "commit: not measured" in text and "versions: not measured" in text
    assert "| not measured | not measured |" in section(text, "Arms")


def test_strays_are_named(published) -> None:
    assert (
        "left out, because the grid file no longer names their arm or seed: runs `run001`, `run003`"
        in text_of(published.with_record(seeds=(0,)))
    )


@pytest.mark.parametrize(
    ("difference", "text"), [(0.0123, "+1.2"), (-0.0004, "+0.0"), (-0.05, "-5.0")]
)
def test_points(difference: float, text: str) -> None:
    assert points(difference) == text


def test_markdown_of_names_that_people_chose() -> None:
    assert escape("a | b\nc") == "a \\| b c"
    assert code("tick ` and\nline") == "`tick ' and line`"
    assert mean_sd(0.5, float("nan")) == "0.500"
    assert table(["a", "b"], [["x|y", "1"]]) == "| a | b |\n| --- | --: |\n| x\\|y | 1 |"
