"""The report on arms that results added around the best one."""

from __future__ import annotations

from ablate.errors import some
from ablate.quoting import code
from ablate.reporting.evidence.added_arms import AddedArms
from ablate.reporting.results import Results, ShowFigure, prose
from ablate.reporting.text.markdown import join_sections, mean_sd, table
from ablate.study.record import ArmRecord

# more are in the table below
_N_NAMED = 3


def added_arms_section(results: Results, _show: ShowFigure) -> str:
    """One row per added arm; empty where none was added."""
    added = results.added
    if added is None:
        return ""
    record = results.record
    metrics = (record.select_by, results.effects.primary)
    header = ["added arm", "seeds"]
    for metric in metrics:
        header.append(f"{prose(metric)} ± SD")
    rows = []
    for arm in added.arms:
        seeds = f"{added.n_seeds(arm.arm_id, record.select_by)} of {len(record.seeds)}"
        scores = [_score(added, arm, metric) for metric in metrics]
        rows.append([f"{code(results.name(arm.arm_id))} ＋", seeds, *scores])
    note = (
        "These differ from the best arm in one axis and were added after the results of the arms "
        "above, for what each choice of the best arm is worth. Results chose them, so they are in "
        "no main effect, and neither the best arm nor one that may be the best."
    )
    parts = ["## Added arms", f"{note}{_ahead(results, added)}", table(header, rows)]
    return join_sections(parts).rstrip()


def _score(added: AddedArms, arm: ArmRecord, metric: str) -> str:
    return mean_sd(added.mean(arm.arm_id, metric), added.sd(arm.arm_id, metric))


def _ahead(results: Results, added: AddedArms) -> str:
    """Which of them score higher on val than the best arm, and what to do about it."""
    if results.champion is None:
        return ""
    select_by = results.record.select_by
    # on val, by which the best arm was chosen: by test, nothing is chosen
    best = results.number(results.champion.arm_id, f"{select_by}/mean")
    ahead = []
    for arm in added.ahead(select_by, best):
        ahead.append(code(results.name(arm.arm_id)))
    if not ahead:
        return ""
    return (
        f" **Better on val than the best arm: {some(ahead, most=_N_NAMED)}.** To let them compete, "
        "name them in a grid of their own, with fresh seeds: the best of so many looks is lucky."
    )
