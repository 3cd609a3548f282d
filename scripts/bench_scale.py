"""What large studies cost the framework itself: nothing here trains, nothing needs images.

    take        the next trial of 2 arms with 1,000 and with 5,000 seeds
    conductor   a trial that does nothing, in this process, without MLflow: the conductor alone
    status      `ablate status` of a study of 20,000 trials while somebody runs it
    plan        `ablate plan` of a one-factor design over 50 axes
    report      a report of 2,000 runs that are in memory

run: .venv/bin/python scripts/bench_scale.py [take status ...]
Prints a Markdown table. Wall time is what it is on whatever the machine is doing besides; processor
time is that of all threads, and of the processes that draw figures. `bench.py --scale` is the same.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "reporting"), str(ROOT / "scripts")]

from synthetic_study import one_factor_grid, running_study  # noqa: E402

from ablate.study.request import Compute, TrialRequest  # noqa: E402
from ablate.study.trial import Trial  # noqa: E402


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    seconds: float
    processor_s: float
    """Of all threads and processes: what an idle machine would take at most, on one core."""
    memory_mb: float | None = None
    """Peak of the process; None where it is this one."""


def _processor_s() -> float:
    """Of this process and of those it has waited for: figures are drawn by others."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


class Meter:
    """Wall and processor time since it was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._processor_began = _processor_s()

    def row(self, what: str, *, n: int = 1) -> Row:
        """What one of `n` took."""
        seconds = time.perf_counter() - self._began
        processor_s = _processor_s() - self._processor_began
        return Row(what, seconds / n, processor_s / n)


def take() -> list[Row]:
    """Seconds of one `WorkUnits.take` while all that waits is being built, by number of seeds."""
    from support.toy_study import toy_study

    from ablate.scheduling.work_units import WorkUnits

    rows = []
    for n_seeds in (1_000, 5_000):
        _, by_arm = toy_study(seeds=range(n_seeds), axes={"lr_ratio": (0.1, 1.0)})
        trials = sorted(by_arm, key=lambda trial: trial.seed)
        units = WorkUnits(trials, lambda _: "clean views")
        n_taken = 200
        meter = Meter()
        for _ in range(n_taken):
            units.take()
        rows.append(meter.row(f"take a trial, {n_seeds:,} seeds", n=n_taken))
    return rows


def conductor() -> list[Row]:
    """Seconds that a trial takes which itself takes none, of 2,000."""
    from support.toy_study import toy_study

    from ablate.scheduling.conductor import run_study
    from ablate.scheduling.executors.inline import InlineExecutor
    from ablate.scheduling.session import Session
    from ablate.scheduling.study_folder import StudyPlan

    levels = tuple((number + 1) * 1e-6 for number in range(200))
    axes = {"head_lr": levels, "freeze_depth": ("all",)}
    record, trials = toy_study(axes=axes, seeds=range(10))
    with tempfile.TemporaryDirectory(prefix="ablate-scale-") as scratch:
        executor = InlineExecutor("support.toy_trials:nothing")
        session = Session(Path(scratch) / "study", executor, _request)
        meter = Meter()
        run_study(StudyPlan(record, tuple(trials)), session)
        row = meter.row("conduct a trial, 2,000 trials, Optuna followed", n=len(trials))
    return [row]


def _request(trial: Trial, attempt: int, folder: Path) -> TrialRequest:
    compute = Compute(device="cpu", precision="fp32", channels_last=False, threads=1)
    return TrialRequest(
        trial=trial, attempt=attempt, n_classes=3, store_path=folder, folder=folder, compute=compute
    )


def status() -> list[Row]:
    """`ablate status` of 20,000 trials, six epochs each, all but a hundred of them over."""
    from ablate.scheduling.lease import lease

    with tempfile.TemporaryDirectory(prefix="ablate-scale-") as scratch:
        home = Path(scratch)
        folder, n_trials = running_study(home, n_arms=2_000, n_seeds=10, n_left=100)
        # A lease, so that status says how long is left as well.
        with lease(folder):
            row = _command(f"ablate status, {n_trials:,} trials", ["status", "scale"], home)
    return [row]


def plan() -> list[Row]:
    """`ablate plan` of a one-factor design, the first time and with its networks known."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="ablate-scale-") as scratch:
        home = Path(scratch)
        path, n_axes = one_factor_grid(home)
        for when in ("first", "again"):
            what = f"ablate plan, one_factor over {n_axes} axes, {when}"
            rows.append(_command(what, ["plan", str(path)], home))
        rows.append(_command("ablate --help", ["--help"], home))
    return rows


def report() -> list[Row]:
    """400 arms with 5 seeds, 150 images in val and in test; not read from MLflow."""
    # Before tests/, which has a conftest too.
    sys.path.insert(0, str(ROOT / "tests" / "reporting"))
    from conftest import make_study  # type: ignore[attr-defined]

    from ablate.reporting.pages.write import write_report

    axes = {
        "head_lr": tuple(1e-3 * (number + 1) for number in range(100)),
        "augment": ("none", "light", "medium", "strong"),
    }
    published = make_study(axes=axes, seeds=range(5), n_classes=3, n_images=150)
    with tempfile.TemporaryDirectory(prefix="ablate-scale-") as scratch:
        meter = Meter()
        write_report(published.study, predictions=published.predictions, out=Path(scratch) / "r")
        row = meter.row("report of 2,000 runs")
    return [row]


PARTS: dict[str, Callable[[], list[Row]]] = {
    "take": take,
    "conductor": conductor,
    "status": status,
    "plan": plan,
    "report": report,
}


def _command(what: str, arguments: Sequence[str], home: Path) -> Row:
    """Run a command of ablate in a process of its own. Raises OSError where it fails."""
    environment = {
        **os.environ,
        "ABLATE_HOME": str(home),
        "MLFLOW_TRACKING_URI": "",
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "200",
    }
    command = [sys.executable, "-m", "ablate", *arguments]
    began = time.perf_counter()
    with (home / "output.txt").open("w") as output:
        actions = [(os.POSIX_SPAWN_DUP2, output.fileno(), number) for number in (1, 2)]
        pid = os.posix_spawn(sys.executable, command, environment, file_actions=actions)
        # wait4 and not subprocess: it alone knows the peak of this one child.
        _, code, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - began
    if code:
        raise OSError(f"{' '.join(arguments)} failed: {(home / 'output.txt').read_text()[-2000:]}")
    return Row(what, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def table(rows: Sequence[Row]) -> str:
    """Rows as Markdown."""
    lines = ["| what | time | processor | peak memory |", "|---|--:|--:|--:|"]
    for row in rows:
        memory = ""
        if row.memory_mb is not None:
            memory = f"{row.memory_mb:,.0f} MB"
        times = f"{_time(row.seconds)} | {_time(row.processor_s)}"
        lines.append(f"| {row.what} | {times} | {memory} |")
    return "\n".join(lines)


def _time(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1e3:.3f} ms"
    return f"{seconds:.2f} s"


def main() -> None:
    """Measure what was asked for and print."""
    parser = argparse.ArgumentParser(description="What large studies cost the framework itself.")
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    print(scale_table(parser.parse_args().parts))  # noqa: T201


def scale_table(parts: Sequence[str]) -> str:
    """The table of some parts, of all where none is named."""
    rows: list[Row] = []
    for name in parts or PARTS:
        rows += PARTS[name]()
    return table(rows)


if __name__ == "__main__":
    main()
