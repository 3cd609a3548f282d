"""kill -9 of a worker that really trains.

The next attempt goes on from the last whole epoch, and every number is that of a study that nobody
disturbed.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file
from support.toy_execution import children

from ablate.grid.parse import load_grid
from ablate.scheduling.conductor import run_study
from ablate.scheduling.executors.local import LocalExecutor
from ablate.scheduling.executors.slots import cpu_slots
from ablate.scheduling.limits import Limits
from ablate.scheduling.session import Session
from ablate.scheduling.study_folder import StudyPlan
from ablate.tracking.events import EpochEnded, Event, TrialEnded
from ablate.workflow.folders import find_folders
from ablate.workflow.prepare.machines import RUN_TRIAL
from ablate.workflow.prepare.prepared import prepare
from ablate.workflow.prepare.resolved import resolve

DEEP = (
    ("[all, -1]", "[0]"),
    ("head_lr: [1.0e-3, 1.0e-2]", "head_lr: [1.0e-2]"),
    ("baseline: {freeze_depth: all}", "baseline: {freeze_depth: 0}"),
)
LONG = ("epochs: 1, batch_size: 8", "epochs: 5, batch_size: 4, precision: fp32, augment: light")


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_of_a_trial_loses_one_epoch(
    desk: Path, write_grid: Callable[..., Path]
) -> None:
    where = find_folders()
    resolved = resolve(
        load_grid(write_grid("resumed", LONG, *DEEP)),
        where,
        seeds=None,
        allow_fallback=False,
        command="",
    )
    prepared = prepare(
        resolved,
        where,
        report_dir=desk / "reports",
        threads=1,
        cache_gb=0,
        on_progress=lambda *step: None,
    )

    def conduct(folder: Path, on_event: Callable[[Event], None]) -> list[Event]:
        heard: list[Event] = []

        def hear(event: Event) -> None:
            heard.append(event)
            on_event(event)

        session = Session(
            folder,
            LocalExecutor(RUN_TRIAL, slots=cpu_slots(1, threads=1), log_folder=folder / "logs"),
            prepared.request,
            on_event=hear,
            limits=Limits(retries=1),
            checkpoint_every_s=0.0,
        )
        summary = run_study(StudyPlan(resolved.record, resolved.trials), session)
        assert (summary.n_complete, summary.n_failed) == (1, 0)
        return heard

    def kill(event: Event) -> None:
        if isinstance(event, EpochEnded) and (event.epoch, event.attempt) == (2, 1):
            for worker in children():
                os.kill(worker, signal.SIGKILL)

    alone, killed = conduct(desk / "alone", lambda event: None), conduct(desk / "killed", kill)
    first, second = (
        [event for event in events if isinstance(event, TrialEnded)][-1]
        for events in (alone, killed)
    )
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.outcome is not None
    assert second.outcome is not None
    assert second.outcome.best_epoch == first.outcome.best_epoch
    names = [name for name in first.outcome.metrics if not name.startswith(("time/", "cost/peak"))]
    assert {name: second.outcome.metrics[name] for name in names} == {
        name: first.outcome.metrics[name] for name in names
    }
    curves = [
        [
            (event.epoch, event.metrics)
            for event in events
            if isinstance(event, EpochEnded) and event.attempt == attempt
        ]
        for events, attempt in ((alone, 1), (killed, 2))
    ]
    assert len(curves[0]) == 5
    assert curves[0] == curves[1]
    trial_id = resolved.trials[0].trial_id
    deltas = [
        load_file(desk / name / "trials" / f"{trial_id}-{n}" / "delta.safetensors")
        for name, n in (("alone", 1), ("killed", 2))
    ]
    assert deltas[0].keys() == deltas[1].keys()
    assert all(deltas[0][name].equal(deltas[1][name]) for name in deltas[0])
