"""The ablation report: `README.md` as a tree of sections, each a pure function of the results."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ablate.quoting import code, one_line, text, without_folders
from ablate.reporting.evidence.effects import PRIMARY, Effect
from ablate.reporting.evidence.pareto import COSTS, fronts, measured
from ablate.reporting.evidence.tables import NOT_RUN, level_text, run_of_trial, stray_runs
from ablate.reporting.figures.choose import axis_figure_name
from ablate.reporting.figures.draw import Picture
from ablate.reporting.figures.example_images import LEFT_OUT
from ablate.reporting.figures.image_tiles import CONFUSED, DUPLICATES, MISTAKES, SUSPECTS
from ablate.reporting.pages.sections.adapters import adapters_section
from ablate.reporting.pages.sections.backbone_families import families_text
from ablate.reporting.pages.sections.pilot_section import pilot_section
from ablate.reporting.pages.sections.review import review_text
from ablate.reporting.pages.sections.target_section import target_section
from ablate.reporting.predictions.classification_insight import most_confused
from ablate.reporting.results import Results, prose, shown_scores
from ablate.reporting.statistics.power import MOST_SEEDS
from ablate.reporting.text import conclusions
from ablate.reporting.text.errors import error_sentences, mistakes_table, threshold_sentence
from ablate.reporting.text.errors_multilabel import label_errors
from ablate.reporting.text.facts import commit_text, versions_text
from ablate.reporting.text.markdown import (
    bullets,
    code_block,
    count,
    count_or,
    join_sections,
    mean_sd,
    p_value,
    picture,
    plural,
    points,
    table,
)
from ablate.study.record import ArmRecord, ExcludedCell
from ablate.study.tasks import task_of
from ablate.tracking.events import TrialState

_N_INTERACTIONS = 12
TABLES = (
    "trials",
    "arms",
    "effects",
    "interactions",
    "classes",
    "confusion_champion",
    "suspect_labels",
    "near_duplicates",
)
OF_ONE_LABEL = ("confusion_champion", "suspect_labels")
"""Tables that there are only where each image has one label."""


def report_text(results: Results, pictures: Mapping[str, Picture]) -> str:
    """The whole README.md. `pictures` are those of `gallery.draw_gallery`: sections show what was drawn and say what was not."""
    return join_sections(
        [
            _title(results),
            bullets(_first_lines(results)),
            _summary(results),
            pilot_section(results),
            _arms(results, pictures),
            _axes(results, pictures),
            _interactions(results),
            _design(results),
            target_section(results),
            _costs(results, pictures),
            adapters_section(results),
            families_text(results),
            _curves(pictures),
            _confusion(results, pictures),
            review_text(results, [_shown(pictures, name) for name in (SUSPECTS, DUPLICATES)]),
            _merged(results),
            _excluded(results),
            _failures(results),
            _data(results),
            _reproduce(results),
        ]
    )


def _title(results: Results) -> str:
    return f"# {text(results.record.question or f'Ablation {results.record.grid_name}')}"


def _first_lines(results: Results) -> list[str]:
    told = [
        conclusions.data_sentence(results),
        conclusions.split_sentence(results),
        conclusions.classes_sentence(results),
        *conclusions.absent_sentences(results),
        conclusions.design_sentence(results),
    ]
    return [sentence for sentence in told if sentence]


def _summary(results: Results) -> str:
    """Five lines: what matters, what is best, by how much, what is as good, how much is luck."""
    told = [
        conclusions.claims_sentence(results),
        conclusions.best_sentence(results),
        conclusions.gap_sentence(results),
        conclusions.ties_sentence(results),
        conclusions.optimism_sentence(results),
    ]
    return "## Summary\n\n" + bullets(sentence for sentence in told if sentence)


def _arms(results: Results, pictures: Mapping[str, Picture]) -> str:
    select_by = results.record.select_by
    scores = shown_scores(results.record)
    header = ["arm", "seeds", *map(prose, scores), "trainable parameters", "training s"]
    rows = [_arm_row(results, arm_id, scores) for arm_id in results.arms["arm_id"]]
    note = (
        f"Mean ± SD over seeds; sorted by {prose(select_by)}, the only score that chooses. ★ best, ◆ baseline. "
        "Seeds: complete of asked. Times depend on the machine."
    )
    return join_sections(["## Arms", note, table(header, rows), _shown(pictures, "arms")]).rstrip()


def _arm_row(results: Results, arm_id: str, scores: list[str]) -> list[str]:
    row = results.arms[results.arms["arm_id"] == arm_id].iloc[0]
    marks = f"{' ★' if row['is_champion'] else ''}{' ◆' if row['is_baseline'] else ''}"
    time = mean_sd(
        results.number(arm_id, "time/train_s/mean"),
        results.number(arm_id, "time/train_s/sd"),
        digits=1,
    )
    trainable = count(results.number(arm_id, "cost/n_trainable/mean"))
    cells = [conclusions.metric_cell(results, arm_id, metric) for metric in scores]
    return [
        f"[{code(row['arm'])}](cards/{results.slugs[arm_id]}.md){marks}",
        f"{row['n_seeds']} of {row['n_trials']}",
        *cells,
        trainable,
        time,
    ]


def _axes(results: Results, pictures: Mapping[str, Picture]) -> str:
    how = (
        "Each comparison is against the baseline's level, between trials that differ in this axis alone: same seed, same levels of all other axes. "
        "Merged arms count under each of their names; excluded cells make no pair. Intervals hold seeds and test images; p are permutations within a seed, "
        "corrected by Holm over all comparisons of this report. All numbers are in `effects.csv`. "
        + conclusions.check_sentence(results)
    )
    sections = [
        _axis(results, axis, pictures)
        for axis, levels in results.record.axes.items()
        if len(levels) > 1
    ]
    return join_sections(["## What each axis changes", how, *sections]).rstrip() if sections else ""


def _axis(results: Results, axis: str, pictures: Mapping[str, Picture]) -> str:
    told = [*conclusions.axis_sentences(results, axis), conclusions.share_sentence(results, axis)]
    return join_sections(
        [f"### {code(axis)}", bullets(told), _shown(pictures, axis_figure_name(axis))]
    ).rstrip()


def _interactions(results: Results) -> str:
    found = [
        effect
        for effect in results.effects.interactions
        if effect.metric == PRIMARY and effect.n_pairs
    ]
    if not found:
        return ""
    how = (
        "Whether a level does more, or less, beside a level of another axis: the difference of two differences in points of test macro F1. "
        f"The {_N_INTERACTIONS} with the smallest p; all are in `interactions.csv`."
    )
    rows = [
        _interaction_row(effect)
        for effect in sorted(
            found, key=lambda effect: (_last(effect.test.p), -abs(effect.estimate))
        )[:_N_INTERACTIONS]
    ]
    header = [
        "levels",
        "against",
        "points",
        "95 % interval",
        "p",
        "corrected",
        "omega squared",
        "claimed",
    ]
    return join_sections(["## Interactions", how, table(header, rows, n_text_columns=2)]).rstrip()


def _interaction_row(effect: Effect) -> list[str]:
    interval, p, corrected = (
        effect.interval,
        *(p_value(p).removeprefix("p ").removeprefix("= ") for p in (effect.test.p, effect.p_holm)),
    )
    span = (
        "not measured"
        if math.isnan(interval.low)
        else f"{points(interval.low)} to {points(interval.high)}"
    )
    share = "not measured" if math.isnan(effect.share) else f"{100 * effect.share:.0f} %"
    against = code(" x ".join(effect.comparison.against))
    return [
        code(effect.comparison.name),
        against,
        points(effect.estimate),
        span,
        p,
        corrected,
        share,
        "yes" if effect.is_claimed else "no",
    ]


def _last(p: float) -> float:
    return math.inf if math.isnan(p) else p


def _design(results: Results) -> str:
    """What this design can show, level by level."""
    mains = [
        effect for effect in results.effects.mains if effect.metric == PRIMARY and effect.n_pairs
    ]
    if not mains:
        return ""
    rows = [
        [
            code(effect.comparison.name),
            points(effect.estimate),
            "none"
            if math.isinf(effect.smallest_effect) or math.isnan(effect.smallest_effect)
            else f"{100 * effect.smallest_effect:.1f}",
            f"more than {MOST_SEEDS}"
            if effect.seeds_for_this_gap is None
            else str(effect.seeds_for_this_gap),
            _points_or_missing(effect.interval.se_seeds),
            _points_or_missing(effect.interval.se_images),
        ]
        for effect in mains
    ]
    how = (
        "The smallest true effect that this design would have claimed with a power of 80 %, and the seeds that a true effect of the size seen would need. "
        f"{conclusions.noise_sentence(results)} Standard errors say what more seeds, or more test images, would buy. All in points of test macro F1."
    )
    header = [
        "level",
        "seen",
        "smallest shown",
        "seeds for the gap seen",
        "SE, seeds",
        "SE, images",
    ]
    return join_sections(["## What this design can show", how, table(header, rows)]).rstrip()


def _points_or_missing(value: float) -> str:
    return "not measured" if math.isnan(value) else f"{100 * value:.2f}"


def _costs(results: Results, pictures: Mapping[str, Picture]) -> str:
    costs = measured(results.arms)
    missing = [cost.title for cost in COSTS if cost not in costs]
    note = (
        f"Means over seeds. Not measured: {', '.join(missing)}." if missing else "Means over seeds."
    )
    rows = [
        [
            code(arm),
            *(
                count_or(results.number(arm_id, f"{cost.metric}/mean"), cost.digits)
                for cost in costs
            ),
        ]
        for arm, arm_id in zip(results.arms["arm"], results.arms["arm_id"], strict=True)
    ]
    listed = table(["arm", *(cost.title for cost in costs)], rows) if costs else ""
    names = {arm.arm_id: arm.name for arm in results.record.arms}
    told = [
        f"test macro F1 against {title}: {', '.join(code(names[arm_id]) for arm_id in front)}"
        for title, front in fronts(results.arms).items()
    ]
    pareto = (
        join_sections(
            [
                "Arms that no other beats in both (Pareto front, by means; the cheapest first):",
                bullets(told),
            ]
        ).rstrip()
        if told
        else ""
    )
    return join_sections(["## Cost", note, listed, pareto, _shown(pictures, "cost")]).rstrip()


def _curves(pictures: Mapping[str, Picture]) -> str:
    shown = (
        _shown(pictures, "learning_curves")
        or "Not measured: no complete trial published its epochs."
    )
    return f"## Learning curves\n\n{shown}"


def _confusion(results: Results, pictures: Mapping[str, Picture]) -> str:
    champion = results.champion
    if champion is not None and champion.arm_id in results.label_insights:
        told = label_errors(
            results.label_insights[champion.arm_id], results.record.data.class_names
        )
        return join_sections(
            [
                "## Errors of the best arm",
                told,
                LEFT_OUT if results.thumbnails is None else "",
                _shown(pictures, MISTAKES),
            ]
        ).rstrip()
    if champion is None or champion.arm_id not in results.insights:
        return (
            "## Errors of the best arm\n\nNot measured: no predictions of a best arm could be read."
        )
    insight = results.insights[champion.arm_id]
    pairs = most_confused(insight, results.record.data.class_names, n_pairs=5)
    told = f"Test predictions of {plural(insight.n_seeds, 'seed')} together. " + (
        "Most confused:" if pairs else "No image was taken for another class."
    )
    listed = (
        table(
            ["label", "taken for", "images"],
            [[code(label), code(taken), str(n)] for label, taken, n in pairs],
            n_text_columns=2,
        )
        if pairs
        else ""
    )
    names = results.record.data.class_names
    wrong = mistakes_table(insight, names)
    confident = (
        join_sections(
            [
                "The most confident mistakes, those that most seeds made first: look at their labels.",
                wrong,
            ]
        ).rstrip()
        if wrong
        else ""
    )
    spoken = bullets(
        [*error_sentences(insight, names), *filter(None, [threshold_sentence(insight, names)])]
    )
    left_out = LEFT_OUT if results.thumbnails is None else ""
    shown = [
        _shown(pictures, CONFUSED),
        left_out,
        _shown(pictures, "confusion_champion"),
        confident,
        _shown(pictures, MISTAKES),
    ]
    shown.append(_shown(pictures, "reliability_champion"))
    return join_sections(["## Errors of the best arm", spoken, told, listed, *shown]).rstrip()


def _merged(results: Results) -> str:
    merged = [arm for arm in results.record.arms if len(arm.cells) > 1]
    if not merged:
        return ""
    rows = [[code(arm.name), str(len(arm.cells)), _cells_text(arm)] for arm in merged]
    why = "These cells differ only in what cannot matter for them, so each group was trained once and counts under every name."
    return join_sections(
        ["## Merged cells", why, table(["arm", "cells", "which"], rows, n_text_columns=3)]
    ).rstrip()


def _cells_text(arm: ArmRecord) -> str:
    """The levels in which the arm's cells differ."""
    differing = [
        axis for axis in arm.cells[0] if len({level_text(cell[axis]) for cell in arm.cells}) > 1
    ]
    return "; ".join(
        code(" ".join(f"{axis}={level_text(cell[axis])}" for axis in differing))
        for cell in arm.cells
    )


def _excluded(results: Results) -> str:
    by_reason: dict[str, list[ExcludedCell]] = {}
    for excluded in results.record.excluded:
        by_reason.setdefault(excluded.why, []).append(excluded)
    if not by_reason:
        return ""
    parts = [
        f"{text(why)} ({plural(len(cells), 'cell')}): {', '.join(code(_cell_text(cell)) for cell in cells)}"
        for why, cells in by_reason.items()
    ]
    return f"## Excluded cells\n\n{bullets(parts)}"


def _cell_text(excluded: ExcludedCell) -> str:
    return " ".join(f"{axis}={level_text(level)}" for axis, level in excluded.cell.items())


def _failures(results: Results) -> str:
    runs = run_of_trial(results.study)
    bad = results.trials[results.trials["state"] != TrialState.COMPLETE]
    rows = [
        [
            code(arm),
            str(seed),
            state,
            _reason(state, runs[arm_id, seed].failure if (arm_id, seed) in runs else ""),
        ]
        for arm, arm_id, seed, state in zip(
            bad["arm"], bad["arm_id"], bad["seed"], bad["state"], strict=True
        )
    ]
    if not rows:
        return "## Failures\n\nNone: every trial completed."
    listed = table(["arm", "seed", "state", "reason"], rows, n_text_columns=4)
    return join_sections(
        [
            "## Failures",
            "A trial that did not complete has no score and counts nowhere above.",
            listed,
        ]
    ).rstrip()


def _reason(state: str, failure: str) -> str:
    if failure:
        return code(without_folders(failure))
    return {
        NOT_RUN: "the study ended before it started",
        TrialState.PRUNED: "stopped by the pruner",
    }.get(state, "no reason was recorded")


def _data(results: Results) -> str:
    data = results.record.data
    facts = {
        "source": code(data.source)
        + (f", asked for {code(data.requested_source)}" if data.is_fallback else ""),
        "origin": text(data.origin),
        "version": text(data.version),
        "licence": text(data.licence),
        "synthetic": "yes" if data.is_synthetic else "no",
        **({"classes regrouped": conclusions.regrouped_text(data)} if data.regrouped else {}),
        "splits": text(data.split_rule),
        "fingerprint": code(data.fingerprint),
    }
    return "## Data\n\n" + table(["what", "value"], facts.items(), n_text_columns=2)


def _reproduce(results: Results) -> str:
    study = results.study
    runs = [run for arm in results.record.arms for run in results.complete_runs(arm.arm_id)]
    facts = [
        f"commit: {text(commit_text(runs))}",
        f"versions: {versions_text(runs)}",
        f"MLflow: experiment {code(results.record.grid_name)}, parent run {code(study.parent_run_id)}, study {code(results.record.study_id)}",
    ]
    strays = stray_runs(study)
    if strays:
        facts.append(
            f"left out, because the grid file no longer names their arm or seed: runs {', '.join(code(run.run_id) for run in strays)}"
        )
    by_trial = run_of_trial(study)
    rows = [
        [
            code(arm.name),
            str(seed),
            code(by_trial[arm.arm_id, seed].run_id),
            code(by_trial[arm.arm_id, seed].trial_id),
        ]
        for arm in results.record.arms
        for seed in results.record.seeds
        if (arm.arm_id, seed) in by_trial
    ]
    listed = f"<details><summary>{plural(len(rows), 'run')}</summary>\n\n{table(['arm', 'seed', 'MLflow run', 'trial'], rows, n_text_columns=4)}\n\n</details>"
    command = code_block(one_line(results.record.command), language="sh")
    tables = ", ".join(
        code(f"{name}.csv")
        for name in TABLES
        if not (results.has_several_labels and name in OF_ONE_LABEL)
    )
    metrics = ", ".join(
        task_of(results.record.task).metrics_of(len(results.record.data.class_names))
    )
    files = f"As tables: {tables} (metrics {metrics}). Cards: `cards/`. In one file: `report.html`."
    return join_sections(["## How to reproduce", command, bullets(facts), files, listed]).rstrip()


def _shown(pictures: Mapping[str, Picture], name: str) -> str:
    return picture(name, pictures[name].alt, folder="figures") if name in pictures else ""
