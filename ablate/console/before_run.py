"""What commands say of a study before its trials: the data, the arms, what is shared, merged and left out, and what it will cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

from rich.console import Console

from ablate.console.progress import rows_table
from ablate.data.darkness import N_PEEKED, peek_brightest
from ablate.errors import escaped
from ablate.model.facts import RecipeFacts
from ablate.study.record import ArmRecord, DataFacts
from ablate.study.trial import SPLITS
from ablate.workflow.folders import Places
from ablate.workflow.plan.sharing import sharing_table
from ablate.workflow.prepare.network_facts import Looks
from ablate.workflow.prepare.prepared import Resolved

N_SHOWN = 30
"""Rows of a table, where not all are asked for."""
N_CLASSES_SHOWN = 10


def say_what(console: Console, resolved: Resolved) -> None:
    """Say which data and which grid were found."""
    facts, expansion = resolved.data_set.facts, resolved.expansion
    if facts.is_fallback:
        console.print(
            f"data: {facts.requested_source} is not available here; its declared fallback {facts.source} ({facts.title}) is used",
            style="bold yellow",
        )
    sizes = ", ".join(f"{split} {n}" for split, n in facts.n_images.items())
    kind = "synthetic" if facts.is_synthetic else "real"
    console.print(
        f"data: {facts.title} ({kind}; {len(facts.class_names)} classes; {sizes} images; splits: {facts.split_rule})"
    )
    console.print(classes_line(facts))
    if facts.n_first_frames:
        console.print(
            f"data: {facts.n_first_frames} files have several frames or pages; the first of each is used"
        )
    for remark in resolved.data_set.remarks:
        console.print(remark)
    if resolved.pilot is not None:
        from ablate.console.pilot_lines import pilot_line

        console.print(pilot_line(resolved))
    if not expansion.arms:
        return
    n_merged = sum(len(arm.cells) - 1 for arm in expansion.arms)
    n_seeds = len(resolved.record.seeds)
    seeds = "1 seed" if n_seeds == 1 else f"{n_seeds} seeds"
    console.print(
        f"grid: {expansion.n_cells} cells = {len(expansion.arms)} arms + {n_merged} merged with an equal one + {len(expansion.excluded)} left out; "
        f"{seeds}; {len(resolved.trials)} trials"
    )


def classes_line(facts: DataFacts) -> str:
    """Return the first classes by name, each with its images in train, val and test."""
    names = facts.class_names[:N_CLASSES_SHOWN]
    counts = zip(*(facts.class_counts[split] for split in SPLITS), strict=True)
    shown = [
        f"{escaped(name)} {'/'.join(map(str, of_class))}"
        for name, of_class in zip(names, counts, strict=False)
    ]
    n_more = len(facts.class_names) - len(names)
    more = f" and {n_more} more" if n_more else ""
    return f"classes (images in {'/'.join(SPLITS)}): {', '.join(shown)}{more}"


def say_brightness(console: Console, level: int | None, *, looked_at: str) -> None:
    """Warn of pictures that are all dark: the usual cause is a range that was taken for a wider one. `looked_at` names the pictures."""
    if level is not None:
        console.print(
            f"warning: the brightest pixel of {looked_at} is {level} of 255; "
            "if they are not meant to be so dark (masks, 12 bits kept in 16, values from 0 to 1), scale them, all by the same factor",
            style="bold yellow",
        )


def _say_peek(console: Console, resolved: Resolved) -> None:
    """`say_brightness` before anything is decoded, of a few images."""
    train = resolved.data_set.splits["train"]
    reads = [partial(train.read, i) for i in range(len(train.labels))]
    say_brightness(
        console, peek_brightest(reads), looked_at=f"{min(N_PEEKED, len(reads))} images looked at"
    )


def say_estimate(
    console: Console,
    resolved: Resolved,
    facts: dict[str, RecipeFacts],
    *,
    workers: int | None,
    where: Places,
) -> None:
    """Measure a few steps of each kind of arm, and say what the study will cost."""
    from ablate.workflow.plan.estimate import cost_table, kinds_of
    from ablate.workflow.plan.probe import estimate_lines, probe_kinds

    kinds = kinds_of(resolved, facts)
    probes = probe_kinds(resolved, kinds, where, threads=1, workers=workers)
    console.print(
        rows_table(
            cost_table(resolved, kinds, probes.kinds), title="Estimated cost, by kind of arm"
        )
    )
    for line in estimate_lines(resolved, kinds, probes):
        console.print(line)


def say_plan(
    console: Console,
    resolved: Resolved,
    facts: Mapping[str, RecipeFacts],
    *,
    looks: Looks,
    n_shown: int | None,
) -> None:
    """Say which arms there are and what they share, and what is left out and why. Of long tables the first `n_shown` rows; None shows all."""
    _say_peek(console, resolved)
    arms = resolved.expansion.arms
    asked = arms or resolved.arms_to_check
    title = "Arms" if arms else "Some arms that the search may propose; all of them were checked"
    console.print(
        rows_table(
            _arm_rows(asked[:n_shown], facts, baseline_arm_id=resolved.record.baseline_arm_id),
            title=title,
        )
    )
    _say_more(console, len(asked), n_shown)
    if not arms:
        return
    say_lines(console, _warnings(arms, facts), n_shown=n_shown)
    shared, passes = sharing_table(resolved, facts, looks=looks)
    say_rows(console, shared, title="Frozen prefixes, in passes of an image", n_shown=n_shown)
    if passes.together:
        console.print(
            f"sharing: {passes.together:,} of {passes.alone:,} passes through frozen prefixes remain ({passes.alone / passes.together:.1f} times fewer)"
        )
    left_out = [
        {"cell": ", ".join(f"{axis}={level}" for axis, level in one.cell.items()), "why": one.why}
        for one in resolved.expansion.excluded
    ]
    if left_out:
        say_rows(console, left_out, title="Left out", n_shown=n_shown)
    if n_shown is not None and len(left_out) > n_shown:
        for why, count in Counter(row["why"] for row in left_out).most_common():
            console.print(f"left out: {count} cells: {why}")


def say_rows(
    console: Console, rows: Sequence[Mapping[str, object]], *, title: str, n_shown: int | None
) -> None:
    """Print a table; of a long one the first rows, and how many more there are."""
    console.print(rows_table(rows[:n_shown], title=title))
    _say_more(console, len(rows), n_shown)


def say_lines(console: Console, lines: Sequence[str], *, n_shown: int | None) -> None:
    """Print lines; of many the first ones, and how many more there are."""
    for line in lines[:n_shown]:
        console.print(line)
    _say_more(console, len(lines), n_shown)


def _say_more(console: Console, n_all: int, n_shown: int | None) -> None:
    if n_shown is not None and n_all > n_shown:
        console.print(f"... and {n_all - n_shown:,} more; --all prints them")


def _arm_rows(
    arms: Sequence[ArmRecord], facts: Mapping[str, RecipeFacts], *, baseline_arm_id: str
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for arm in arms:
        own = facts[arm.arm_id]
        rows.append(
            {
                "arm": arm.name + (" (baseline)" if arm.arm_id == baseline_arm_id else ""),
                "cells": len(arm.cells),
                "frozen units": f"{own.depth} of {own.n_units}",
                "trainable": f"{own.n_trainable:,}",
                "share": f"{own.n_trainable / own.n_parameters:.1%}",
            }
        )
    return rows


def _warnings(arms: Sequence[ArmRecord], facts: Mapping[str, RecipeFacts]) -> list[str]:
    lines = []
    for arm in arms:
        larger = facts[arm.arm_id].oversized
        if larger:
            shown = "; ".join(f"{name}: {sizes}" for name, sizes in list(larger.items())[:3])
            lines.append(
                f"warning: arm {arm.name} has adapters with more parameters than the layer they adapt, {len(larger)} in all ({shown})"
            )
    return lines
