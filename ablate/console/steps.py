"""The steps before the first trial: images that are decoded, networks that are checked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from ablate.console.durations import short_span


@contextmanager
def step_progress(console: Console) -> Iterator[Steps]:
    """A bar per step in a terminal; elsewhere a line at its beginning and one at its end."""
    steps = Steps(console)
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=console, transient=True) as steps.progress:
            yield steps
    else:
        yield steps
    # After the bars have gone, or the lines would be drawn between them.
    steps.finish()


@dataclass
class Step:
    """One step that was begun."""

    began: float
    total: int
    ended: float | None = None
    is_reported: bool = False

    @property
    def seconds(self) -> float:
        """What it took, or has taken so far."""
        # Not time.time: a clock that is set meanwhile would change how long a step took.
        end = self.ended
        if end is None:
            end = time.perf_counter()
        return end - self.began


@dataclass
class Steps:
    """Called with (what is done, done, total)."""

    console: Console
    progress: Progress | None = None
    steps: dict[str, Step] = field(default_factory=dict)
    bars: dict[str, TaskID] = field(default_factory=dict)

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self.steps:
            if self.progress is None:
                self.finish()  # the steps before it: a log reads in the order of time
                self.console.print(f"{what} ...")
            self.steps[what] = Step(time.perf_counter(), total)
        if done == total:
            self.steps[what].ended = time.perf_counter()
        if self.progress is not None:
            # The bar of a step stays until the block ends: one can be taken up again.
            if what not in self.bars:
                self.bars[what] = self.progress.add_task(what, total=total)
            self.progress.update(self.bars[what], completed=done, total=total)

    def finish(self) -> None:
        """Print, once for each step, what was done and how long it took."""
        for what, step in self.steps.items():
            if step.is_reported:
                continue
            step.is_reported = True
            # "1 in 3.2 s" would tell nothing of a step that is a single thing.
            amount = ""
            if step.total != 1:
                amount = f"{step.total} in "
            self.console.print(f"{what}: {amount}{short_span(step.seconds)}")
