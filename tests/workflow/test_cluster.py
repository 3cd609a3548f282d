"""A real study on a real cluster of two nodes, through the command line.

Beside the same study on this machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.toy_cluster import two_nodes
from typer.testing import CliRunner

from ablate.cli import app
from ablate.data.store import verify_store
from ablate.grid.parse import load_grid
from ablate.scheduling.conductor import run_study
from ablate.scheduling.executors.inline import InlineExecutor
from ablate.scheduling.session import Session
from ablate.scheduling.study_folder import JOURNAL, StudyPlan
from ablate.tracking.journal import Journal, attempts
from ablate.workflow.folders import find_folders
from ablate.workflow.prepare.machines import RUN_TRIAL
from ablate.workflow.prepare.prepared import prepare
from ablate.workflow.prepare.resolved import resolve

pytestmark = [
    pytest.mark.skipif(
        find_spec("ray") is None, reason="Ray is not installed: pip install 'ray>=2.50,<3'"
    ),
    pytest.mark.xdist_group("ray"),
]


def scores(folder: Path) -> dict[str, dict[str, float]]:
    """trial_id -> val and test scores, from the study's journal."""
    ended = attempts(Journal(folder / JOURNAL).read())
    outcomes = {
        trial_id: attempt.ended.outcome
        for (trial_id, _), attempt in ended.items()
        if attempt.is_complete and attempt.ended is not None
    }
    assert len(outcomes) == 4
    scores: dict[str, dict[str, float]] = {}
    for trial_id, outcome in outcomes.items():
        assert outcome is not None
        scores[trial_id] = {}
        for name, value in outcome.metrics.items():
            if name.startswith(("val/", "test/")):
                scores[trial_id][name] = value
    return scores


@pytest.mark.slow
def test_a_cluster_gives_the_numbers_of_one_machine(
    write_grid: Callable[..., Path], desk: Path
) -> None:
    """Weights and predictions come back as well.

    The report is made from them, and every number verifies.
    """
    path = write_grid("clustered", ("batch_size: 8}", "batch_size: 8, precision: fp32}"))
    cluster = two_nodes()
    command = [
        sys.executable,
        "-m",
        "ablate",
        "run",
        str(path),
        "--executor",
        "ray",
        "--address",
        cluster.address,
        "--report-dir",
        "out",
        "--threads",
        "1",
    ]
    root = str(Path(__file__).parents[2])
    # in a process of its own: this one may have joined the cluster in another test
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": root}
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "trials: 4 completed now" in ran.stdout
    verified = CliRunner().invoke(app, ["verify", "out"])
    assert "every number is what the store gives" in verified.output
    stores = list((cluster.folder / "node2" / "images").glob("*/meta.json"))
    assert stores, "the second node got no image store, so it ran nothing"
    for store in stores:
        verify_store(store.parent)

    where = find_folders()
    resolved = resolve(load_grid(path), where, seeds=None, allow_fallback=False, command="")
    prepared = prepare(
        resolved,
        where,
        report_dir=desk / "alone",
        threads=1,
        cache_gb=1,
        on_progress=lambda *step: None,
    )
    run_study(
        StudyPlan(resolved.record, resolved.trials),
        Session(desk / "alone", InlineExecutor(RUN_TRIAL), prepared.request),
    )
    assert scores(prepared.folder) == scores(desk / "alone")
