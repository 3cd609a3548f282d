"""A study on the screen: a live bar and what each slot does in a terminal, plain lines anywhere else."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from ablate.scheduling.remaining import Left, StudyClock
from ablate.study.trial import Trial
from ablate.tracking.events import EpochEnded, Event, TrialEnded, TrialStarted, TrialState

if TYPE_CHECKING:
    import pandas as pd

SAY_LEFT_EVERY_S = 60.0
"""Seconds between two lines about the time left, where no bar shows it."""


def make_console(*, is_error: bool = False) -> Console:
    """A console that keeps whole lines where nobody watches: pipes and files are never wrapped at 80 columns.

    It prints brackets as they are: names, paths and messages may hold `[red]` or `[default: 1]`.
    """
    console = Console(stderr=is_error, highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(stderr=is_error, highlight=False, markup=False, width=400, soft_wrap=True)
    return console


def importing(console: Console, libraries: Sequence[tuple[str, str]]) -> None:
    """Import libraries, (name, module), that take seconds, and say so first: in a terminal for as long as it lasts, elsewhere in a line."""
    missing = [(name, module) for name, module in libraries if module not in sys.modules]
    if not missing:
        return
    names = ", ".join(name for name, _ in missing)
    if not console.is_terminal:
        console.print(f"loading {names} ...")
        for _, module in missing:
            importlib.import_module(module)
        return
    with console.status("") as line:
        for name, module in missing:
            line.update(f"loading {name} ...")
            importlib.import_module(module)


class _LeftColumn(ProgressColumn):
    """Time left, counted down between events."""

    def __init__(self, say_left: Callable[[], str]) -> None:
        super().__init__()
        self._say_left = say_left

    def render(self, task: Task) -> Text:  # noqa: ARG002
        """Of a study there is one bar."""
        return Text(self._say_left(), style="cyan")


def left_text(left: Left | None) -> str:
    """`about 0:07:10 left`, `at least 0:07:10 left`, or that nothing is known yet."""
    if left is None:
        return "time left not known yet"
    word = "at least" if left.is_at_least else "about"
    return f"{word} {timedelta(seconds=round(left.seconds))} left"


@dataclass
class StudyDisplay:
    """Shows events as they come. `names` maps trial_id -> what to call the trial."""

    console: Console
    names: Mapping[str, str]
    n_trials: int
    select_by: str
    n_before: int = 0
    """Trials that had ended when this began."""
    clock: StudyClock | None = None
    """Knows what earlier calls took; None: made here, knowing nothing."""
    started: dict[str, float] = field(default_factory=dict)
    slot_of: dict[str, str] = field(default_factory=dict)
    doing: dict[str, str] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    """Ids of trials; one that is tried again ends twice."""
    _progress: Progress | None = None
    _bar: TaskID | None = None
    _live: Live | None = None
    _said_left_at: float = 0.0

    def __post_init__(self) -> None:
        if self.clock is None:
            self.clock = StudyClock({}, self.n_trials)

    @property
    def _n_ended(self) -> int:
        return self.n_before + len(self.ended)

    @contextmanager
    def shown(self) -> Iterator[StudyDisplay]:
        """Keep the display on the screen for the time of the block."""
        if not self.console.is_terminal:
            yield self
            return
        columns = (
            TextColumn("[bold]trials"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            _LeftColumn(self._say_left),
        )
        self._progress = Progress(*columns, console=self.console)
        self._bar = self._progress.add_task("trials", total=self.n_trials, completed=self._n_ended)
        with Live(
            self._picture(), console=self.console, refresh_per_second=4, transient=True
        ) as self._live:
            yield self

    def on_event(self, event: Event) -> None:
        """Show one event."""
        assert self.clock is not None
        self.clock.hear(event)
        if isinstance(event, TrialStarted):
            self.started[event.trial_id] = event.at
            self.slot_of[event.trial_id] = event.slot
            self.doing[event.slot] = f"{self._name(event.trial_id)}: starting"
        elif isinstance(event, EpochEnded):
            slot = self.slot_of.get(event.trial_id, "?")
            score = event.metrics.get(self.select_by, float("nan"))
            self.doing[slot] = (
                f"{self._name(event.trial_id)}: epoch {event.epoch + 1}/{event.n_epochs}, {self.select_by} {score:.3f}"
            )
        else:
            self._trial_ended(event)
        if self._live is not None:
            self._live.update(self._picture())

    def _trial_ended(self, event: TrialEnded) -> None:
        self.ended.add(event.trial_id)
        self.doing.pop(self.slot_of.pop(event.trial_id, "?"), None)
        seconds = event.at - self.started.pop(event.trial_id, event.at)
        ending, style = self._ending(event)
        line = Text.assemble(
            f"{self._count()} {self._name(event.trial_id)}  ", (ending, style), f"  {seconds:.1f} s"
        )
        self.console.print(line)
        if self._progress is not None and self._bar is not None:
            self._progress.update(self._bar, completed=self._n_ended)
        else:
            self._say_left_now_and_then(event.at)

    def _say_left(self) -> str:
        assert self.clock is not None
        return left_text(self.clock.left(time.time()))

    def _say_left_now_and_then(self, at: float) -> None:
        """Where no bar shows it: a line a minute."""
        self._said_left_at = self._said_left_at or at
        if at - self._said_left_at >= SAY_LEFT_EVERY_S:
            self._said_left_at = at
            self.console.print(f"{self._count()} {self._say_left()}")

    def _ending(self, event: TrialEnded) -> tuple[str, str]:
        """What came of a trial, and in which style that is shown."""
        if event.state == TrialState.COMPLETE and event.outcome is not None:
            return f"{self.select_by} {event.outcome.metrics[self.select_by]:.3f}", ""
        reason = event.failure.message if event.failure else ""
        return f"{event.state} {reason}".rstrip(), "red"

    def _count(self) -> str:
        width = len(str(self.n_trials))
        return f"[{self._n_ended:>{width}}/{self.n_trials}]"

    def _name(self, trial_id: str) -> str:
        return self.names.get(trial_id, trial_id)

    def _picture(self) -> Group:
        assert self._progress is not None
        return Group(
            *(Text(f"  {slot}  {text}", style="dim") for slot, text in sorted(self.doing.items())),
            self._progress,
        )


@contextmanager
def step_progress(console: Console) -> Iterator[Callback]:
    """A bar for preparation steps in a terminal; elsewhere one line a step that took longer than a moment."""
    callback = Callback(console)
    if console.is_terminal:
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=console,
            transient=True,
        ) as callback.progress:
            yield callback
    else:
        yield callback
    callback.finish()


@dataclass
class Callback:
    """Called with (what, done, total)."""

    console: Console
    progress: Progress | None = None
    tasks: dict[str, TaskID] = field(default_factory=dict)
    since: dict[str, tuple[float, int]] = field(default_factory=dict)
    ends: dict[str, float] = field(default_factory=dict)
    said: set[str] = field(default_factory=set)
    """Steps whose end was told."""

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self.since and self.progress is None:
            self.finish()  # the steps before it: a log reads in the order of time
            self.console.print(f"{what} ...")
        self.since.setdefault(what, (time.perf_counter(), total))
        if done == total:
            self.ends[what] = time.perf_counter()
        if self.progress is not None:
            if what not in self.tasks:
                self.tasks[what] = self.progress.add_task(what, total=total)
            self.progress.update(self.tasks[what], completed=done, total=total)

    def finish(self) -> None:
        """Say of each step that was not told of yet what was done and how long it took."""
        for what, (start, total) in self.since.items():
            if what in self.said:
                continue
            self.said.add(what)
            amount = "" if total == 1 else f"{total} in "
            self.console.print(
                f"{what}: {amount}{self.ends.get(what, time.perf_counter()) - start:.1f} s"
            )


def trial_names(trials: Sequence[Trial], arm_names: Mapping[str, str]) -> dict[str, str]:
    """trial_id -> "freeze_depth=all augment=none, seed 0"."""
    return {trial.trial_id: f"{arm_names[trial.arm_id]}, seed {trial.seed}" for trial in trials}


def rows_table(rows: Sequence[Mapping[str, object]], *, title: str) -> Table:
    """Rows with the same columns as a table for the terminal; the first column is left-aligned."""
    table = Table(title=Text(title), title_justify="left", title_style="bold")
    for index, column in enumerate(rows[0] if rows else ()):
        table.add_column(
            Text(str(column)), justify="left" if index == 0 else "right", overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row.values()))
    return table


def frame_table(frame: pd.DataFrame, *, title: str) -> Table:
    """A DataFrame of text as such a table."""
    return rows_table(
        [
            dict(zip(map(str, frame.columns), row, strict=True))
            for row in frame.itertuples(index=False)
        ],
        title=title,
    )
