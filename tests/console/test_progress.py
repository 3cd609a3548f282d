from __future__ import annotations

import io

from rich.console import Console

from ablate.console.progress import StudyDisplay
from ablate.study.trial_facts import TrialFacts
from ablate.tracking.events import Failure, TrialEnded, TrialOutcome, TrialStarted, TrialState
from ablate.workflow.run.watcher import StageView


def test_a_trial_that_is_tried_again_is_counted_once() -> None:
    out = io.StringIO()
    display = StudyDisplay(
        Console(file=out, width=200),
        StageView({"a": "arm a", "b": "arm b"}, n_trials=2, select_by="val/macro_f1", n_before=0),
    )
    done = TrialOutcome(best_epoch=0, metrics={"val/macro_f1": 0.5}, facts=TrialFacts(), files=())
    for trial_id, attempt, state, outcome, failure in (
        ("a", 1, TrialState.FAILED, None, Failure("RuntimeError", "broken", "")),
        ("b", 1, TrialState.COMPLETE, done, None),
        ("a", 2, TrialState.COMPLETE, done, None),
    ):
        display.on_event(TrialStarted(trial_id, attempt, slot="cpu:0", at=1.0))
        display.on_event(
            TrialEnded(trial_id, attempt, state=state, outcome=outcome, failure=failure, at=3.0)
        )
    assert out.getvalue().splitlines() == [
        "[1/2] arm a  FAILED broken  2.0 s",
        "[2/2] arm b  val/macro_f1 0.500  2.0 s",
        "[2/2] arm a  val/macro_f1 0.500  2.0 s",
    ]
