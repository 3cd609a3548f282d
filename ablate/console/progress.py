"""A study on the screen: a live bar and each slot's trial in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

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
from rich.text import Text

from ablate.console.durations import about_left, short_span
from ablate.scheduling.remaining import Left, StudyClock
from ablate.tracking.events import EpochEnded, Event, TrialEnded, TrialStarted, TrialState
from ablate.workflow.run.watcher import StageView

SAY_LEFT_EVERY_S = 60.0
"""Seconds between two lines about the time left, where no bar shows it."""


class _LeftColumn(ProgressColumn):
    """Time left, counted down between events."""

    def __init__(self, left: Callable[[], str]) -> None:
        super().__init__()
        self._left = left

    def render(self, task: Task) -> Text:  # noqa: ARG002  a study has one bar
        return Text(self._left(), style="cyan")


def left_text(left: Left | None) -> str:
    """`about 0:07:10 left`, `roughly 0:07:10 left`, or that nothing is known yet."""
    if left is None:
        return "time left not known yet"
    return about_left(left.seconds, is_rough=left.is_rough)


@dataclass
class StudyDisplay:
    """Shows events as they come."""

    console: Console
    stage: StageView
    started: dict[str, float] = field(default_factory=dict)
    """trial_id -> when its last attempt began, in seconds since 1970."""
    slot_of: dict[str, str] = field(default_factory=dict)
    """trial_id -> the slot that trains it now."""
    doing: dict[str, str] = field(default_factory=dict)
    """Slot -> what it does now."""
    ended: set[str] = field(default_factory=set)
    """Ids of trials; one that is tried again ends twice."""
    _progress: Progress | None = None
    _bar: TaskID | None = None
    _live: Live | None = None
    _said_left_at: float = 0.0

    def __post_init__(self) -> None:
        # One that knows the recipes predicts trials that nobody has run yet; an empty one learns.
        self.clock = self.stage.clock or StudyClock({}, self.stage.n_trials)

    @property
    def _n_ended(self) -> int:
        return self.stage.n_before + len(self.ended)

    @contextmanager
    def shown(self) -> Iterator[StudyDisplay]:
        """Keep the display on the screen for the time of the block."""
        # A debugger in this process needs the terminal for itself.
        if not self.console.is_terminal or self.stage.is_inline:
            yield self
            return
        columns = (
            TextColumn("[bold]trials"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            _LeftColumn(self._left),
        )
        self._progress = Progress(*columns, console=self.console)
        # What earlier calls completed counts, so a resumed study does not begin at 0.
        self._bar = self._progress.add_task(
            "trials", total=self.stage.n_trials, completed=self._n_ended
        )
        picture = self._picture()
        # transient: the bar leaves with the block, the lines of ended trials stay.
        with Live(
            picture, console=self.console, refresh_per_second=4, transient=True
        ) as self._live:
            yield self

    def on_event(self, event: Event) -> None:
        """Show one event."""
        # First, since the picture below shows the time left.
        self.clock.hear(event)
        if isinstance(event, TrialStarted):
            self._trial_started(event)
        elif isinstance(event, EpochEnded):
            self._epoch_ended(event)
        else:
            self._trial_ended(event)
        if self._live is not None:
            self._live.update(self._picture())

    def _trial_started(self, event: TrialStarted) -> None:
        self.started[event.trial_id] = event.at
        self.slot_of[event.trial_id] = event.slot
        self.doing[event.slot] = f"{self._name(event.trial_id)}: starting"

    def _epoch_ended(self, event: EpochEnded) -> None:
        # `?`: an event whose start was not heard must not end the display.
        slot = self.slot_of.get(event.trial_id, "?")
        select_by = self.stage.select_by
        score = event.metrics.get(select_by, float("nan"))
        epoch = f"epoch {event.epoch + 1}/{event.n_epochs}"
        self.doing[slot] = f"{self._name(event.trial_id)}: {epoch}, {select_by} {score:.3f}"

    def _trial_ended(self, event: TrialEnded) -> None:
        # A set, so that a trial that fails and is tried again counts once.
        self.ended.add(event.trial_id)
        self.doing.pop(self.slot_of.pop(event.trial_id, "?"), None)
        # By the events' own times: they may be shown later than they happened.
        seconds = event.at - self.started.pop(event.trial_id, event.at)
        name = self._name(event.trial_id)
        ending, style = self._ending(event)
        line = Text.assemble(
            f"{self._count()} {name}  ", (ending, style), f"  {short_span(seconds)}"
        )
        self.console.print(line)
        if self._progress is not None and self._bar is not None:
            self._progress.update(self._bar, completed=self._n_ended)
        else:
            self._print_left(event.at)

    def _left(self) -> str:
        # Wall-clock time: events carry that of other processes.
        return left_text(self.clock.left(time.time()))

    def _print_left(self, at: float) -> None:
        """Where no bar shows the time left: a line every minute."""
        # The first end starts the minute: with one trial over, an estimate is worth little.
        self._said_left_at = self._said_left_at or at
        if at - self._said_left_at >= SAY_LEFT_EVERY_S:
            self._said_left_at = at
            self.console.print(f"{self._count()} {self._left()}")

    def _ending(self, event: TrialEnded) -> tuple[str, str]:
        """What came of a trial, and the style in which that is shown."""
        select_by = self.stage.select_by
        if event.state == TrialState.COMPLETE and event.outcome is not None:
            return f"{select_by} {event.outcome.metrics[select_by]:.3f}", ""
        # A trial that did not complete has no score to show.
        ending = event.state.value
        if event.failure:
            ending = f"{event.state} {event.failure.message}"
        return ending.rstrip(), "red"

    def _count(self) -> str:
        # As wide as the total, so that the lines of a log align.
        width = len(str(self.stage.n_trials))
        return f"[{self._n_ended:>{width}}/{self.stage.n_trials}]"

    def _name(self, trial_id: str) -> str:
        return self.stage.names.get(trial_id, trial_id)

    def _picture(self) -> Group:
        assert self._progress is not None
        lines = []
        for slot, text in sorted(self.doing.items()):
            lines.append(Text(f"  {slot}  {text}", style="dim"))
        return Group(*lines, self._progress)
