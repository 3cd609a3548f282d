"""What a reader sees first: what is wrong, what to use, how sure, what is cheapest, the top arms.

Blocks between HTML comments are laid out side by side in `report.html`; GitHub shows them one
below the other.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from ablate.errors import plural
from ablate.in_order import present
from ablate.quoting import code, one_line
from ablate.reporting.decision import FEWEST_SEEDS, Decision, OpenQuestion, Option, decide
from ablate.reporting.evidence.effects import Effect
from ablate.reporting.pages.sections.arm_rows import arm_rows, legend, varied_axes
from ablate.reporting.results import Results, ShowFigure, prose
from ablate.reporting.statistics.power import MOST_SEEDS
from ablate.reporting.statistics.verdict import Verdict
from ablate.reporting.text.conclusions import metric_cell
from ablate.reporting.text.confirmation_sentences import confirmation_line
from ablate.reporting.text.effect_sentences import interval_text, sides
from ablate.reporting.text.layout import CARDS, COLUMNS
from ablate.reporting.text.markdown import (
    bullets,
    compact,
    headed,
    join_sections,
    points,
    score,
    table,
)
from ablate.reporting.text.question_sentences import question_lines
from ablate.reporting.text.warnings import warnings
from ablate.tracking.events import TrialState

# with cards and checks it fits one screen
_N_TOP = 8
_MOST_AXES_BESIDE = 5
"""A table with more columns has no room beside the checks."""
_HEADLINES = {
    Verdict.BETTER: "better than the baseline",
    Verdict.WORSE: "worse than the baseline on test",
    Verdict.NO_LARGER: "as good as the baseline, within the margin",
    Verdict.UNDECIDED: "not yet known to be better than the baseline",
    Verdict.UNKNOWN: "unknown: one seed cannot tell",
}


def first_screen(results: Results, _show: ShowFigure) -> str:
    """Bar, cards, table, checks; without a complete trial that there is no best arm."""
    decision = decide(results)
    if decision is None:
        nothing = "No trial completed, so there is no best arm."
        return join_sections([_bar(results), nothing]).rstrip()
    opening, following, closing = COLUMNS
    top_arms = _top_arms(results, decision)
    # wider than the column: then all blocks stand one below the other, with no marks between
    if len(varied_axes(results, top_arms)) > _MOST_AXES_BESIDE:
        opening = following = closing = ""
    parts = [
        _bar(results),
        CARDS[0],
        _cards(results, decision),
        CARDS[1],
        opening,
        bullets(question_lines(results)),
        _top_table(results, top_arms),
        following,
        _side(results),
        closing,
    ]
    return join_sections(parts).rstrip()


def _bar(results: Results) -> str:
    """GitHub's form of a warning; nothing where nothing is wrong."""
    lines = warnings(results)
    if not lines:
        return ""
    bar = f"> [!WARNING]\n> {lines[0]}"
    for line in lines[1:]:
        # an empty line of the quotation, or GitHub would join the two to one paragraph
        bar += f"\n>\n> {line}"
    return bar


def _cards(results: Results, decision: Decision) -> str:
    columns = [
        _use_card(results, decision),
        _sure_card(results, decision),
        _cheapest_card(results, decision),
    ]
    # the cards are columns of a table, the one layout that GitHub has; short ones end early
    rows = list(itertools.zip_longest(*columns, fillvalue=""))
    # val says what is best, but nobody is told to use what a settled answer speaks against
    first = "Use this" if decision.spoken_against is None else "Best on val"
    header = [first, "How sure", "Cheapest that may be as good"]
    return table(header, rows, n_text_columns=3)


def _use_card(results: Results, decision: Decision) -> list[str]:
    use = decision.use
    metric = prose(results.effects.primary)
    interval = ""
    if not math.isnan(use.low):
        interval = f" (95 % interval {use.low:.3f} to {use.high:.3f})"
    scores = (
        f"{metric} **{score(use.score)}**{interval}, "
        f"{results.task.secondary_prose} {score(use.secondary)}; {plural(use.n_seeds, 'seed')}"
    )
    lines = [f"**{code(use.name)}**", scores]
    if decision.baseline is not None and use.gap is not None:
        lines.append(_gap_line(use))
    lines.append(_cost_line(use, decision.baseline))
    # an empty line would be an empty row of the table of cards
    return list(filter(None, lines))


def _gap_line(option: Option) -> str:
    assert option.gap is not None
    judged = option.gap.judged
    return f"{points(judged.estimate.value)} points to the baseline ({interval_text(judged)})"


def _cost_line(use: Option, baseline: Option | None) -> str:
    """What is trained, and how long it takes, beside the baseline."""
    if math.isnan(use.n_trained):
        return ""
    seconds = ""
    if not math.isnan(use.train_s):
        seconds = f" in {use.train_s:,.1f} s"
    line = f"trains {compact(use.n_trained)} parameters{seconds}"
    if baseline is None or baseline.arm == use.arm or math.isnan(baseline.n_trained):
        return line
    usual = compact(baseline.n_trained)
    if seconds and not math.isnan(baseline.train_s):
        usual += f" in {baseline.train_s:,.1f} s"
    return f"{line} (baseline: {usual})"


def _sure_card(results: Results, decision: Decision) -> list[str]:
    lines = [f"**{_headline(decision)}**"]
    if decision.spoken_against is not None:
        lines.append(_spoken_against_line(decision.spoken_against))
    lines.append(_family(results, decision))
    fresh = confirmation_line(results)
    if fresh:
        lines.append(fresh)
    questions = decision.open_questions
    if not questions and decision.baseline is None:
        # the headline has said among how many arms the best one is
        return lines
    if not questions:
        return [*lines, "no question is open"]
    # the one that the recommendation rests on, and the one that a few seeds would settle
    named = list(dict.fromkeys([questions[0], decision.settled_next or questions[0]]))
    for question in named:
        lines.append(_open_line(results, question))
    # to be copied as it stands
    if decision.settling_command is not None:
        lines.append(code(one_line(decision.settling_command)))
    n_more = len(questions) - len(named)
    if n_more:
        lines.append(f"{plural(n_more, 'more question')} open")
    return lines


def _open_line(results: Results, question: OpenQuestion) -> str:
    name = code(question.name)
    if question.is_of_best_arm:
        name = f"{name} against the baseline"
    # the noise is unknown, so no number of seeds can be named
    if len(results.record.seeds) < 2:
        return f"{name}: open; begin with {FEWEST_SEEDS} seeds"
    if question.n_seeds is None:
        return f"{name}: open; more than {MOST_SEEDS} seeds would settle it"
    return f"{name}: about {question.n_seeds} seeds would settle it"


def _spoken_against_line(effect: Effect) -> str:
    """`freeze_depth=0` is worse than `freeze_depth=all`, -5.7 points."""
    worse, better = sides(effect.comparison)
    # said from the worse side, whichever the effect names first
    loss = -abs(effect.estimate)
    if effect.verdict is not Verdict.WORSE:
        worse, better = better, worse
    return (
        f"a settled answer speaks against it: {worse} is worse than {better}, {points(loss)} points"
    )


def _headline(decision: Decision) -> str:
    use = decision.use
    if decision.baseline is None:
        if decision.n_candidates == 1:
            return f"the best of {plural(decision.n_scored, 'arm')}"
        return f"one of {decision.n_candidates} arms that may be the best"
    if use.arm == decision.baseline.arm:
        return "the baseline is the best on val"
    if use.gap is None:
        return _HEADLINES[Verdict.UNKNOWN]
    return _HEADLINES[use.gap.judged.verdict]


def _family(results: Results, decision: Decision) -> str:
    if decision.baseline is None and len(results.record.seeds) > 1:
        return f"by {prose(results.effects.primary)}; true in 95 % of such studies"
    if results.effects.n_tests == 0:
        return "nothing can be tested with fewer than 2 seeds of comparable arms"
    settled = f"{decision.n_settled} of {plural(decision.n_compared, decision.kind)} settled"
    over = ""
    if results.record.data.splits is not None:
        over = ", over splits and seeds"
    return f"{settled}; all verdicts hold together in 95 % of such studies{over}"


def _cheapest_card(results: Results, decision: Decision) -> list[str]:
    cheapest = decision.cheapest
    n_arms = plural(decision.n_scored, "arm")
    among = f"truly best, 95 % sure: one of {decision.n_candidates} (of {n_arms})"
    if decision.n_candidates == 1:
        among = f"truly best, 95 % sure: 1 of {n_arms}"
    elif decision.n_candidates == decision.n_scored:
        among = f"any of {n_arms} may be the truly best"
    if cheapest is None:
        return ["not measured", among]
    metric = prose(results.effects.primary)
    if cheapest.arm == decision.use.arm:
        return [
            "**the best arm itself**",
            "no arm that may be the best trains fewer parameters",
            among,
        ]
    lines = [f"**{code(cheapest.name)}**", f"{metric} {score(cheapest.score)}"]
    if cheapest.gap is not None:
        lines.append(_gap_line(cheapest))
    return [*lines, _cost_line(cheapest, None), among]


def _top_arms(results: Results, decision: Decision) -> list[str]:
    """The arm_ids of the best on val, the baseline, and the cheapest that may be the best."""
    order = list(results.arms["arm_id"])
    # what the cards speak of must be in the table, however far down
    wanted = set(order[:_N_TOP])
    for option in (decision.use, decision.baseline, decision.cheapest):
        if option is not None:
            wanted.add(option.arm.arm_id)
    return present(order, among=wanted)


def _top_table(results: Results, shown: Sequence[str]) -> str:
    metric = results.effects.primary
    select_by = results.record.select_by
    note = legend(results, shown)
    n_more = len(results.arms) - len(shown)
    if n_more:
        note = f"{plural(n_more, 'more arm')} below. {note}"

    def on_val(arm_id: str) -> str:
        return score(results.number(arm_id, f"{select_by}/mean"))

    def on_test(arm_id: str) -> str:
        return metric_cell(results, arm_id, metric)

    columns = {prose(select_by): on_val, f"{prose(metric)} ± SD": on_test}
    return join_sections([arm_rows(results, shown, columns), note]).rstrip()


def _side(results: Results) -> str:
    parts = [
        headed(_errors_heading(results), bullets(results.insight.error_lines(results))),
        headed("**Checks**", bullets(_checks(results))),
        headed("**Take it with you**", bullets(_take_away(results))),
    ]
    return join_sections(parts).rstrip()


def _errors_heading(results: Results) -> str:
    return f"**What it gets wrong** (of test, {plural(_n_seeds_of_best(results), 'seed')})"


def _n_seeds_of_best(results: Results) -> int:
    assert results.champion is not None
    return int(results.number(results.champion.arm_id, "n_seeds"))


def _checks(results: Results) -> list[str]:
    data = results.record.data
    duplicates = "near-duplicates between splits: not searched for"
    if data.near_duplicates is not None:
        duplicates = f"{plural(data.near_duplicates.n_pairs, 'near-duplicate')} between splits"
    lines = [duplicates]
    # none in studies that never counted
    counts = data.test_counts
    if counts:
        lines.append(f"smallest class: {plural(min(counts), 'test image')}")
    n_suspects = results.insight.checks().get("suspect_labels")
    if n_suspects is not None:
        lines.append(f"{plural(n_suspects, 'label')} to look at")
    states = results.trials["state"]
    n_complete = int((states == TrialState.COMPLETE).sum())
    lines.append(f"{n_complete} of {plural(len(states), 'trial')} complete")
    # the default folder: whoever wrote the report elsewhere knows where
    verify = code(f"ablate verify reports/{results.record.grid_name}")
    return [*lines, f"{verify} computes every number again"]


def _take_away(results: Results) -> list[str]:
    """Ways to the model that this version has."""
    assert results.champion is not None
    study = f'ablate.open_study("{results.record.grid_name}")'
    return [
        # two lines of code, since a narrow column would break one long one within a word
        f"in Python: {code(f'study = {study}')}, then {code('study.champion.predict([photo])')}",
        f"from MLflow: the code is in its card, [{code('cards/champion.md')}](cards/champion.md)",
    ]
