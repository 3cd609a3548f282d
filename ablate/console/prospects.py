"""What a design can show before it is trained, for `ablate plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from ablate.console.tables import Rows, rows_table, show_rows
from ablate.errors import escaped

if TYPE_CHECKING:
    from ablate.workflow.plan.prospects import Confirming, Prospects, WithSeeds

_WARNING = "bold yellow"


def show_prospects(console: Console, prospects: Prospects | None, *, n_shown: int | None) -> None:
    """Print the smallest effect of each comparison, and what other numbers of seeds would give.

    Of long tables the first `n_shown` rows; None shows all, and the cost of each arm.
    """
    # A search has no comparisons yet, and a grid of one arm never has any.
    if prospects is None or not prospects.findings:
        return
    show_rows(console, _findings(prospects), title="What this design can show", n_shown=n_shown)
    console.print(
        f"smallest: the true difference, in points of {prospects.metric} on test, that the report "
        f"finds with a power of 80 %; the test images' error comes on top"
    )
    console.print(f"noise: SD {prospects.noise.sd:.1f} points; {prospects.noise.source}")
    # The commonest mistake of a first grid; nothing else on this screen would say it.
    if prospects.can_show_nothing:
        console.print(
            "warning: with 1 seed this design can show nothing, whatever is true: "
            "its report will have scores and no verdict; take 2 seeds or more",
            style=_WARNING,
        )
    console.print(rows_table(_by_seeds(prospects), title="With other numbers of seeds"))
    if prospects.confirming is not None:
        console.print(_confirming_line(prospects.confirming))
    if prospects.time_from:
        console.print(_time_line(prospects))
    # With --all only: a large grid has hundreds of arms.
    if n_shown is None and prospects.time_from:
        console.print(rows_table(_arms(prospects), title="Cost of the arms"))


def _confirming_line(confirming: Confirming) -> str:
    price = ""
    if confirming.most_seconds is not None:
        price = f", at most {confirming.most_seconds:,.0f} s"
    return (
        f"confirmation: {confirming.n_seeds} fresh seeds find a difference of "
        f"{_points(confirming.smallest)} points of the best arm to the baseline with a power of "
        f"80 %; at most {confirming.most_trials} trials{price}"
    )


def _findings(prospects: Prospects) -> Rows:
    rows = []
    for finding in prospects.findings:
        rows.append(
            {
                # Names of questions and levels are the user's: a terminal must not act upon them.
                finding.kind: escaped(finding.name),
                "against": escaped(finding.against),
                "pairs per seed": finding.n_cells,
                "smallest": _points(finding.smallest),
            }
        )
    return rows


def _by_seeds(prospects: Prospects) -> Rows:
    rows = []
    for row in prospects.by_seeds:
        mark = ""
        if row.n_seeds == prospects.n_seeds:
            mark = " (this grid)"
        words: dict[str, object] = {"seeds": f"{row.n_seeds}{mark}", "smallest": _range(row)}
        if row.seconds is not None:
            words["s of trials"] = f"{row.seconds:,.0f}"
        rows.append(words)
    return rows


def _range(row: WithSeeds) -> str:
    """`1.2 to 3.4`, from the comparison that is known best to the one that is known worst."""
    lowest = _points(row.smallest)
    highest = _points(row.largest)
    # As text: sizes that differ by less than is shown are one.
    if lowest == highest:
        return lowest
    return f"{lowest} to {highest}"


def _points(size: float | None) -> str:
    # No difference, however large, would be found.
    if size is None:
        return "nothing"
    return f"{size:.1f}"


def _time_line(prospects: Prospects) -> str:
    n_arms = len(prospects.arms)
    untimed = ""
    if prospects.n_timed < n_arms:
        untimed = f"; {n_arms - prospects.n_timed} of {n_arms} arms count as the mean of the others"
    return (
        f"seconds are those of all trials one after the other on this machine, "
        f"from {prospects.time_from}{untimed}"
    )


def _arms(prospects: Prospects) -> Rows:
    rows = []
    for arm in prospects.arms:
        seconds = "not timed"
        # The one says it for both columns.
        of_grid = seconds
        if arm.trial_s is not None:
            seconds = f"{arm.trial_s:.1f}"
            of_grid = f"{arm.trial_s * prospects.n_seeds:,.1f}"
        rows.append(
            {
                "arm": arm.arm,
                "s per trial": seconds,
                f"s with {prospects.n_seeds} seeds": of_grid,
            }
        )
    return rows
