"""The tables of `make bench`, as Markdown, from what both sides measured."""

from __future__ import annotations

import statistics
from collections import defaultdict
from typing import Any

from timeline import Timeline, table

Runs = dict[str, Any]
"""Name of a grid -> what `run_plain` or `run_ablate` returned for it."""
TITLES = {
    "ten": "10 trials: head, last unit, full x lr_ratio x augment",
    "lora": "2 LoRA trials",
    "frozen": "36 trials: head, last unit x LR x augment x 3 seeds",
}
"""Grids that both sides run -> what the tables call them."""


def report(plain: Runs, measured: Runs) -> str:
    """The tables; `plain` of the plain loop, `measured` of ablate."""
    lines = [
        *_kinds_of_arms(plain, measured),
        *_whole_grids(plain, measured),
        *_more_probes(measured),
        *_where_time_goes(measured),
        *_warm_head_only(measured),
        *_from_the_command(measured),
    ]
    return "\n".join(lines) + "\n"


def _kinds_of_arms(plain: Runs, measured: Runs) -> list[str]:
    lines = [
        "### Kinds of arms",
        "",
        "| arm | plain loop, s per trial | ablate, s per trial in its slot | slots "
        "| machine's s per trial | ratio | macro F1 plain | macro F1 ablate |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    slots = max(run["slots"] for run in measured.values())
    measured_trials = _by_kind(measured)
    for kind, plain_trials in _by_kind(plain).items():
        trials = measured_trials[kind]
        warm = [trial["seconds"] for trial in trials if not trial["is_built"]]
        seconds = statistics.median(warm or [trial["seconds"] for trial in trials])
        plain_seconds = statistics.median(trial["seconds"] for trial in plain_trials)
        score = statistics.mean(trial["macro_f1"] for trial in trials)
        plain_score = statistics.mean(trial["macro_f1"] for trial in plain_trials)
        # Slots work side by side, so the machine pays a slot's share of a trial's seconds.
        lines.append(
            f"| {kind} | {plain_seconds:.1f} | {seconds:.2f} | {slots} | {seconds / slots:.2f} "
            f"| {plain_seconds * slots / seconds:.1f} | {plain_score:.3f} | {score:.3f} |"
        )
    lines += [
        "",
        "Medians; of ablate's trials those that found their prefix's activations, "
        "which is all but the first of each view. Slots work side by side.",
    ]
    return lines


def _by_kind(runs: Runs) -> dict[str, list[dict[str, Any]]]:
    by_kind: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for name in TITLES:
        if name in runs:
            for trial in runs[name]["trials"]:
                by_kind[trial["name"]].append(trial)
    return by_kind


def _whole_grids(plain: Runs, measured: Runs) -> list[str]:
    lines = [
        "",
        "### Whole grids, from the command to its end",
        "",
        "| grid | plain loop, s | ablate, s | ratio |",
        "|---|--:|--:|--:|",
    ]
    for name, title in TITLES.items():
        if name not in plain:
            continue
        n_run = plain[name].get("n_run")
        n_all = len(measured[name]["trials"])
        if n_run not in (None, n_all):
            title += f" (plain loop: {n_run} of {n_all} run, scaled up)"
        plain_wall = plain[name]["wall"]
        wall = measured[name]["wall"]
        lines.append(f"| {title} | {plain_wall:.0f} | {wall:.0f} | {plain_wall / wall:.1f} |")
    return lines


def _more_probes(measured: Runs) -> list[str]:
    lines = [
        "",
        "### More linear probes",
        "",
        "| probes | ablate, s | s for each further probe |",
        "|--:|--:|--:|",
    ]
    earlier: tuple[int, float] | None = None
    for name in ("probes5", "probes20", "probes80"):
        if name not in measured:
            continue
        count = len(measured[name]["trials"])
        wall = measured[name]["wall"]
        further = ""
        if earlier is not None:
            further = f"{(wall - earlier[1]) / (count - earlier[0]):.2f}"
        lines.append(f"| {count} | {wall:.1f} | {further} |")
        earlier = (count, wall)
    return lines


def _where_time_goes(measured: Runs) -> list[str]:
    lines = [
        "",
        "### Where slots spend their time",
        "",
        "| grid | training steps | prefixes | all else in trials | between trials and start-up |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, run in measured.items():
        available = run["wall"] * run["slots"]
        steps = _sum_of(run, "compute")
        prefixes = _sum_of(run, "prefix")
        inside = _sum_of(run, "in_trial")
        rest = inside - steps - prefixes
        if name.startswith("probes"):
            # Heads that train at once count the pass that they share among their steps.
            steps = steps - prefixes
        cells = [name]
        for seconds in (steps, prefixes, rest, available - inside):
            cells.append(f"{max(0.0, seconds) / available:.0%}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _sum_of(run: dict[str, Any], key: str) -> float:
    return float(sum(trial[key] for trial in run["trials"]))


def _warm_head_only(measured: Runs) -> list[str]:
    warm = []
    for run in measured.values():
        for trial in run["trials"]:
            if trial["name"] == "head only" and not trial["is_built"]:
                warm.append(trial)
    if not warm:
        return []
    beyond = statistics.median(trial["seconds"] - trial["compute"] for trial in warm)
    whole = statistics.median(trial["seconds"] for trial in warm)
    return [
        "",
        f"A warm head-only trial takes {whole:.2f} s in its slot (median), "
        f"of which {beyond:.2f} s are not training steps.",
    ]


def _from_the_command(measured: Runs) -> list[str]:
    timelines = {}
    for name, run in measured.items():
        # Parts that an earlier version measured have none.
        if "timeline" in run:
            timelines[name] = Timeline(**run["timeline"])
    if not timelines:
        return []
    return ["", "### From the command to its end", "", *table(timelines)]
