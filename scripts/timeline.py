"""When each phase of `ablate run` begins and ends, from what the run itself leaves behind.

run: .venv/bin/python scripts/timeline.py experiments/flowers.yaml --max-trials 4
Everything behind the grid goes to `ablate run`, in a fresh home; prints a Markdown table.

The screen's lines say when data, images and machine were ready; the journal when trials started and
ended; MLflow's file when the study's run was closed; the report's mark when it was written. Seconds
are wall time beside whatever else the machine does: compare two versions in one session.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from ablate.tracking.events import TrialEnded, TrialStarted
from ablate.tracking.journal import Journal

ROOT = Path(__file__).parents[1]
SCREEN = {
    "data: ": "data found, grid expanded",
    "checking arms: ": "networks checked",
    "measuring this machine: ": "machine measured",
    "decoding images: ": "images decoded",
}
"""What a line begins with -> what is over by then."""
MARK = ".ablate-report.json"


@dataclass(frozen=True)
class Screen:
    """What a command printed, and when."""

    began: float
    """Seconds since 1970."""
    lines: tuple[tuple[float, str], ...]
    """(seconds from the beginning, line)."""
    ended_s: float


@dataclass(frozen=True)
class Stay:
    """One trial's time in its slot; seconds since 1970."""

    slot: str
    started: float
    ended: float
    inside_s: float
    """What the trial itself says that it took, without imports before it."""


@dataclass(frozen=True)
class Timeline:
    """One run, in seconds from the command."""

    moments: dict[str, float]
    """What had happened -> when."""
    n_slots: int
    n_trials: int
    importing_s: float
    """Of all slots: what their first trials took beyond later ones before they began."""
    between_s: float
    """Of all slots: from the end of a trial to the start of the next one there."""
    idle_s: float
    """Of all slots: from the command to their first trial, and from their last one to the end."""

    @property
    def idle_share(self) -> float:
        """The share of the slots' time in which no trial ran."""
        lost = self.idle_s + self.between_s + self.importing_s
        return lost / (self.moments["the command ended"] * self.n_slots)


def timed(command: Sequence[str], *, environment: Mapping[str, str], cwd: Path) -> Screen:
    """Run a command and note when it prints what. Raises CalledProcessError where it fails."""
    began = time.time()
    lines = []
    with subprocess.Popen(  # noqa: S603
        command,
        env={**environment, "PYTHONUNBUFFERED": "1"},
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append((time.time() - began, line.rstrip()))
    text = "\n".join(line for _, line in lines)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command, output=text)
    return Screen(began, tuple(lines), time.time() - began)


def timeline_of(screen: Screen, *, home: Path, report: Path) -> Timeline:
    """Put together what a run in a fresh `home` left behind."""
    (journal,) = home.glob("studies/*/journal.jsonl")
    stays = read_stays(journal)
    moments = {"first line on the screen": screen.lines[0][0]}
    for seconds, line in screen.lines:
        for beginning, what in SCREEN.items():
            if line.startswith(beginning):
                moments[what] = seconds
    moments["first trial started"] = min(stay.started for stay in stays) - screen.began
    moments["last trial ended"] = max(stay.ended for stay in stays) - screen.began
    moments["MLflow has every trial"] = _study_closed(home / "mlflow.db") - screen.began
    moments["report written"] = (report / MARK).stat().st_mtime - screen.began
    moments["the command ended"] = screen.ended_s
    slots = sorted({stay.slot for stay in stays})
    of_slots = [[stay for stay in stays if stay.slot == slot] for slot in slots]
    usual_s = statistics.median(_before_s(stay) for stay in stays)
    importing_s = 0.0
    between_s = 0.0
    idle_s = 0.0
    for of_slot in of_slots:
        importing_s += max(0.0, _before_s(of_slot[0]) - usual_s)
        for earlier, later in itertools.pairwise(of_slot):
            between_s += later.started - earlier.ended
        idle_s += of_slot[0].started - screen.began
        idle_s += screen.began + screen.ended_s - of_slot[-1].ended
    return Timeline(moments, len(slots), len(stays), importing_s, between_s, idle_s)


def read_stays(journal: Path) -> list[Stay]:
    """Every trial that completed, in the order of their starts."""
    starts: dict[str, TrialStarted] = {}
    stays = []
    for event in Journal(journal).read():
        if isinstance(event, TrialStarted):
            starts[event.trial_id] = event
        elif isinstance(event, TrialEnded) and event.outcome is not None:
            start = starts[event.trial_id]
            inside_s = event.outcome.metrics["time/total_s"]
            stays.append(Stay(start.slot, start.at, event.at, inside_s))
    return sorted(stays, key=lambda stay: stay.started)


def table(timelines: Mapping[str, Timeline]) -> list[str]:
    """A row a moment, a column a run."""
    lines = ["| s from the command | " + " | ".join(timelines) + " |"]
    lines.append("|---" + "|--:" * len(timelines) + "|")
    moments: dict[str, None] = {}
    for timeline in timelines.values():
        moments.update(dict.fromkeys(timeline.moments))
    for what in moments:
        cells = [what]
        for timeline in timelines.values():
            seconds = timeline.moments.get(what)
            cells.append("-" if seconds is None else f"{seconds:.1f}")
        lines.append(f"| {' | '.join(cells)} |")
    for what, field in (
        ("s of slots that their first trials spent on imports", "importing_s"),
        ("s of slots between trials", "between_s"),
        ("s of slots before their first and after their last trial", "idle_s"),
    ):
        cells = [f"{asdict(timeline)[field]:.1f}" for timeline in timelines.values()]
        lines.append(f"| {what} | {' | '.join(cells)} |")
    shares = [f"{timeline.idle_share:.0%}" for timeline in timelines.values()]
    lines.append(f"| share of the slots' time in which no trial ran | {' | '.join(shares)} |")
    return lines


def _before_s(stay: Stay) -> float:
    return stay.ended - stay.started - stay.inside_s


def _study_closed(database: Path) -> float:
    """When the study's run, which ends last, was closed; seconds since 1970."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        (milliseconds,) = connection.execute("SELECT MAX(end_time) FROM runs").fetchone()
    return float(milliseconds) / 1000


def main(grid: str, options: Sequence[str]) -> None:
    """Run a grid and print its table."""
    with tempfile.TemporaryDirectory(prefix="ablate-timeline-") as scratch:
        home = Path(scratch) / "home"
        report = Path(scratch) / "report"
        command = [sys.executable, "-m", "ablate", "run", grid, "--report-dir", str(report)]
        environment = {**os.environ, "ABLATE_HOME": str(home), "MLFLOW_TRACKING_URI": ""}
        screen = timed([*command, *options], environment=environment, cwd=ROOT)
        lines = table({Path(grid).stem: timeline_of(screen, home=home, report=report)})
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
