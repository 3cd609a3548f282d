"""The report on trials that did not complete."""

from __future__ import annotations

from ablate.quoting import code, without_folders
from ablate.reporting.evidence.frames import NOT_RUN
from ablate.reporting.results import Results, ShowFigure
from ablate.reporting.text.markdown import join_sections, table
from ablate.tracking.events import TrialState
from ablate.tracking.records import PublishedRun

_REASONS: dict[str, str] = {
    NOT_RUN: "the study ended before it started",
    TrialState.PRUNED: "stopped by the pruner",
}
_NOTE = "Trials that did not complete have no score and are in no result above."


def failures_section(results: Results, _show: ShowFigure) -> str:
    """One row per trial, with the reason; says so where every trial completed."""
    incomplete = results.trials[results.trials["state"] != TrialState.COMPLETE]
    rows = []
    for trial in incomplete.to_dict("records"):
        run = results.run_of_trial.get((trial["arm_id"], trial["seed"]))
        # NOT RUN has no run, and so no failure of its own
        reason = _reason(trial["state"], run)
        rows.append(
            [code(results.name(trial["arm_id"])), str(trial["seed"]), trial["state"], reason]
        )
    if not rows:
        return "## Failures\n\nNone: every trial completed."
    listed = table(["arm", "seed", "state", "reason"], rows, n_text_columns=4)
    return join_sections(["## Failures", _NOTE, listed]).rstrip()


def _reason(state: str, run: PublishedRun | None) -> str:
    if run is not None and run.failure:
        # What failed may name folders of the machine that it ran on.
        return code(without_folders(run.failure))
    return _REASONS.get(state, "no reason was recorded")
