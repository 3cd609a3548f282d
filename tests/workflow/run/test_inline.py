"""`--executor inline`: a debugger in the command's own process reaches into a trial."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.errors import SpecError
from ablate.workflow.prepare.machines import parse_kind

ROOT = Path(__file__).parents[3]
STOPS = """
import ablate.training.trial_run as trial_run
run_trial = trial_run.run_trial
def stopping(request, emit):
    breakpoint()
    return run_trial(request, emit)
trial_run.run_trial = stopping
from ablate.__main__ import main
main()
"""


@pytest.mark.slow
def test_a_breakpoint_in_a_trial_stops_in_the_terminal(
    desk: Path, write_grid: Callable[..., Path]
) -> None:
    grid = write_grid("stopped", ("[all, -1]", "[all]"), ("1.0e-3, ", ""))
    words = ["run", str(grid), "--executor", "inline", "--threads", "1"]
    done = subprocess.run(
        [sys.executable, "-c", STOPS, *words],
        input="p 'in trial', request.trial.seed\nc\n",
        # Ray points breakpoint() at a debugger of its own, for this process and its children.
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONBREAKPOINT": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "(Pdb) ('in trial', 0)" in done.stdout
    assert "trials: 1 completed now, 0 before, 0 failed" in done.stdout


def test_it_runs_one_trial_at_a_time() -> None:
    assert parse_kind("inline", workers=1) == "inline"
    with pytest.raises(SpecError) as caught:
        parse_kind("inline", workers=2)
    assert str(caught.value) == (
        "--workers must be 1 or left out with --executor inline, got 2: "
        "its trials run one after the other in the process of the command"
    )
    with pytest.raises(SpecError, match="--executor must be local, inline or ray, got 'dask'"):
        parse_kind("dask")
