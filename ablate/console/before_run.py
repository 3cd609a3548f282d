"""A study before its trials: data, arms, what is shared, merged and left out, what it will cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console

from ablate.console.pilot import pilot_line, pilot_table
from ablate.console.second_stage import planned_lines
from ablate.console.tables import Rows, rows_table, show_lines, show_more, show_rows
from ablate.data.darkness import N_PEEKED, peek_brightest
from ablate.errors import escaped
from ablate.recipe.tiling import USUAL_JOIN, n_tiles_of
from ablate.study.image_shapes import FEWEST_SEEN, seen_in_words, sizes_in_words
from ablate.study.record import DataFacts
from ablate.study.trial import SPLITS, DataSpec

if TYPE_CHECKING:
    from ablate.workflow.plan.estimate_grid import Estimate
    from ablate.workflow.plan.plan_grid import Plan
    from ablate.workflow.prepare.resolved import Resolved

N_SHOWN = 30
"""Rows of a table, where not all are asked for."""
# Classes by name: one line has room for about so many.
N_CLASSES_SHOWN = 10
_WARNING = "bold yellow"


def show_data(console: Console, resolved: Resolved) -> None:
    """Print which data were found, and how large the grid is on them."""
    facts = resolved.data_set.facts
    # First, and in colour: whatever follows is about other data than those that were asked for.
    if facts.is_fallback:
        console.print(
            f"data: {facts.requested_source} is not available here; "
            f"its declared fallback {facts.source} ({facts.title}) is used",
            style=_WARNING,
        )
    console.print(data_line(facts))
    console.print(classes_line(facts))
    if facts.shapes is not None:
        console.print(f"images: {sizes_in_words(facts.shapes)}")
    if resolved.data.tiles is not None:
        console.print(tiles_line(resolved.data, facts))
    # Multi-page TIFFs and animated GIFs: what is left out is said, not left to be found out.
    if facts.n_first_frames:
        console.print(
            f"data: {facts.n_first_frames} files have several frames or pages; "
            "the first of each is used"
        )
    # What its source says of the data: files that were passed over, folders that were merged.
    for remark in resolved.data_set.remarks:
        console.print(remark)
    if resolved.pilot is not None:
        console.print(pilot_line(resolved))
    if resolved.expansion.arms:
        console.print(_size_line(resolved))
        for line in planned_lines(resolved):
            console.print(line)


def tiles_line(data: DataSpec, facts: DataFacts) -> str:
    """What becomes of an image that is cut into tiles, and how many tiles train has."""
    n_train = facts.n_images["train"] * n_tiles_of(data.tiles)
    return (
        f"tiles: each image is cut into {data.tiles} (rows x columns), images of their own to a "
        f"network, {n_train:,} in train; an image's scores are the "
        f"{data.tiles_join or USUAL_JOIN} of its tiles'"
    )


def data_line(facts: DataFacts) -> str:
    """Return what the data set is, and how many images each split has."""
    kind = "real"
    if facts.is_synthetic:
        kind = "synthetic"
    sizes = []
    for split, n_images in facts.n_images.items():
        sizes.append(f"{split} {n_images}")
    return (
        f"data: {facts.title} ({kind}; {len(facts.class_names)} classes; "
        f"{', '.join(sizes)} images; splits: {facts.split_rule})"
    )


def classes_line(facts: DataFacts) -> str:
    """Return the first classes by name, each with its images in train, val and test."""
    shown = []
    for index, name in enumerate(facts.class_names[:N_CLASSES_SHOWN]):
        counts = [str(facts.class_counts[split][index]) for split in SPLITS]
        # Folders name classes, and a folder may be called anything a terminal would act upon.
        shown.append(f"{escaped(name)} {'/'.join(counts)}")
    more = ""
    if len(facts.class_names) > len(shown):
        more = f" and {len(facts.class_names) - len(shown)} more"
    return f"classes (images in {'/'.join(SPLITS)}): {', '.join(shown)}{more}"


def _size_line(resolved: Resolved) -> str:
    expansion = resolved.expansion
    # Cells that come to the same recipe are one arm, trained once.
    n_merged = sum(len(arm.cells) - 1 for arm in expansion.arms)
    n_seeds = len(resolved.record.seeds)
    seeds = f"{n_seeds} seeds"
    if n_seeds == 1:
        seeds = "1 seed"
    return (
        f"grid: {expansion.n_cells} cells = {len(expansion.arms)} arms + {n_merged} merged with "
        f"an equal one + {len(expansion.excluded)} left out; {seeds}; "
        f"{len(resolved.trials)} trials"
    )


def show_brightness(console: Console, level: int | None, *, images: str) -> None:
    """Warn of images that are all dark. `images` names them.

    The usual cause is a range of values that was taken for a wider one.
    """
    if level is not None:
        console.print(
            f"warning: the brightest pixel of {images} is {level} of 255; "
            "if they are not meant to be so dark (masks, 12 bits kept in 16, values from 0 to 1), "
            "scale them, all by the same factor",
            style=_WARNING,
        )


def show_seen(console: Console, shares: Mapping[str, float]) -> None:
    """Print which share of an image's pixels networks see, by arm_id; nothing where unknown."""
    if not shares:
        return
    line = f"seen: val and test show networks {seen_in_words(shares.values())} of an image's pixels"
    if min(shares.values()) >= FEWEST_SEEN:
        console.print(f"{line}")
        return
    console.print(
        f"warning: {line}, its middle; view: pad or view: squash shows whole images",
        style=_WARNING,
    )


def show_plan(console: Console, plan: Plan, *, n_shown: int | None) -> None:
    """Print which arms there are, what they share, and what is left out and why.

    Of long tables the first `n_shown` rows; None shows all.
    """
    if plan.resolved.pilot is not None:
        rows, title = pilot_table(plan.resolved)
        show_rows(console, rows, title=title, n_shown=n_shown)
    # A plan decodes no data set; a few images show whether all are dark.
    _show_first_images(console, plan.resolved)
    show_seen(console, plan.seen_shares)
    # The arms of a search are what it proposes, so none are known before it runs.
    is_search = not plan.resolved.expansion.arms
    title = "Arms"
    if is_search:
        title = "Some arms that the search may propose; all of them were checked"
    arms = arm_table(plan)
    console.print(rows_table(arms[:n_shown], title=title))
    show_more(console, len(arms), n_shown)
    if is_search:
        return
    show_lines(console, plan.warnings, n_shown=n_shown)
    show_rows(console, plan.shared, title="Frozen prefixes, in passes of an image", n_shown=n_shown)
    passes = plan.passes
    # 0 where no prefix is worth keeping: then nothing is shared, and nothing divided by it.
    if passes.together:
        console.print(
            f"sharing: {passes.together:,} of {passes.alone:,} passes through frozen prefixes "
            f"remain ({passes.alone / passes.together:.1f} times fewer)"
        )
    _show_left_out(console, plan.left_out, n_shown=n_shown)


def arm_table(plan: Plan) -> Rows:
    """The arms of a plan as a reader wants them."""
    rows = []
    for row in plan.arm_rows:
        n_trainable = row["n_trainable"]
        n_parameters = row["n_parameters"]
        # Rows are of mixed types, which a mapping cannot say.
        assert isinstance(n_trainable, int)
        assert isinstance(n_parameters, int)
        mark = ""
        if row["is_baseline"]:
            mark = " (baseline)"
        rows.append(
            {
                "arm": f"{row['arm']}{mark}",
                "cells": row["n_cells"],
                "frozen units": f"{row['freeze_depth']} of {row['n_units']}",
                "trainable": f"{n_trainable:,}",
                "share": f"{n_trainable / n_parameters:.1%}",
            }
        )
    return rows


def show_estimate(console: Console, estimate: Estimate) -> None:
    """Print what the study will cost."""
    console.print(rows_table(estimate.rows, title="Estimated cost, by kind of arm"))
    for line in estimate.lines:
        console.print(line)


def _show_first_images(console: Console, resolved: Resolved) -> None:
    """`show_brightness` of a few images, before all are decoded."""
    train = resolved.data_set.splits["train"]
    # Not read yet: only the few that are peeked at are decoded.
    reads = [partial(train.read, index) for index in range(len(train.labels))]
    # A data set may be smaller than what is peeked at.
    n_seen = min(N_PEEKED, len(reads))
    show_brightness(console, peek_brightest(reads), images=f"{n_seen} images looked at")


def _show_left_out(console: Console, left_out: Rows, *, n_shown: int | None) -> None:
    if not left_out:
        return
    show_rows(console, left_out, title="Left out", n_shown=n_shown)
    if n_shown is not None and len(left_out) > n_shown:
        # The table was cut, but no reason is hidden: each is counted.
        reasons = Counter(row["why"] for row in left_out)
        for why, count in reasons.most_common():
            console.print(f"left out: {count} cells: {why}")
