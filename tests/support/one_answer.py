"""Whether a report has one answer for each comparison, in all of its files."""

from __future__ import annotations

import csv
import html
import io
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NUMBER = r"[+-]\d+\.\d"
IN_POINTS = re.compile(
    rf"(?P<value>{NUMBER})(?:\*\*)?(?: points[^|;\n(]*)? ?\((?:interval )?"
    rf"(?P<low>{NUMBER}) to (?P<high>{NUMBER})\)"
)
"""`+25.7 points of test macro F1 (interval +17.9 to +33.5)`, `**+25.7** (+17.9 to +33.5)`."""


@dataclass(frozen=True)
class Answer:
    """An estimate with its interval as pages print it, and its verdict."""

    value: str
    low: str
    high: str
    verdict: str

    @property
    def numbers(self) -> tuple[str, str, str]:
        return self.value, self.low, self.high


Key = tuple[str, str, str]


@dataclass(frozen=True)
class Answers:
    """What `report.json` says."""

    record: dict[str, Any]
    of_arm: dict[str, Answer]
    """Card of an arm -> it less the baseline."""
    of_effect: dict[Key, Answer]
    """(axes, levels, metric) -> the main effect or interaction."""
    of_question: dict[tuple[str, str], Answer]
    """(question, metric) -> its answer."""
    of_choice: dict[tuple[str, str, str], Answer]
    """(axis, the other level, the other arm's arm_id) -> the best arm less its neighbour."""
    of_fresh: dict[tuple[str, str], Answer]
    """(arm_id, arm_id of the reference) -> the difference on fresh seeds alone: another question
    than the same two arms on the study's own seeds."""

    @property
    def all_numbers(self) -> set[tuple[str, str, str]]:
        effects = (*self.of_effect.values(), *self.of_question.values())
        others = (*self.of_choice.values(), *self.of_fresh.values())
        every = (*self.of_arm.values(), *effects, *others)
        return {answer.numbers for answer in every}


def answers(report_json: str) -> Answers:
    """Read the one answer of each comparison."""
    record = json.loads(report_json)
    of_arm = {}
    for arm in record["arms"]:
        if arm["against_baseline"] is not None:
            of_arm[arm["card"]] = _answer(arm["against_baseline"], "difference")
    of_effect = {}
    of_question = {}
    for effect in record["effects"]:
        if effect["estimate"] is None:
            continue
        if effect["kind"] == "question":
            of_question[effect["name"], effect["metric"]] = _answer(effect, "estimate")
        else:
            of_effect[_effect_key(effect)] = _answer(effect, "estimate")
    of_choice = {}
    for choice in record["choices"]:
        of_choice[_choice_key(choice)] = _answer(choice, "difference")
    of_fresh = {}
    for gap in (record.get("confirmation") or {"gaps": ()})["gaps"]:
        of_fresh[gap["arm_id"], gap["against_arm_id"]] = _answer(gap, "difference")
    return Answers(record, of_arm, of_effect, of_question, of_choice, of_fresh)


def _effect_key(effect: Mapping[str, Any]) -> Key:
    return " x ".join(effect["axes"]), " x ".join(effect["levels"]), effect["metric"]


def contradictions(files: Mapping[str, str]) -> tuple[list[str], int]:
    """Every place of a report that differs from `report.json`, and how many places were read.

    `files`: path below the report's folder -> its text.
    """
    known = answers(files["report.json"])
    found: list[str] = []
    n_read = 0
    for place, said, wanted in _places(files, known):
        n_read += 1
        if said != wanted:
            found.append(f"{place}: says {said}, report.json {wanted}")
    return found, n_read


def _places(files: Mapping[str, str], known: Answers) -> Iterator[tuple[str, Any, Any]]:
    readme = files["README.md"]
    page = _plain(files["report.html"])
    yield from _intervals(files, known)
    yield from _arm_tables(readme, page, known)
    yield from _cards(files, known)
    yield from _axis_sentences(readme, known)
    yield from _alt_texts(readme, known)
    yield from _interaction_table(readme, known)
    yield from _effect_csvs(files, known)
    yield from _choices(files, known)
    yield from _first_screen(readme, known)
    yield from _fresh(files, known)
    yield from _question_sentences(readme, known)
    yield from _pairs(files, known)


def _intervals(files: Mapping[str, str], known: Answers) -> Iterator[tuple[str, Any, Any]]:
    """No interval stands anywhere that belongs to no comparison."""
    for name, text in files.items():
        if not name.endswith((".md", ".html")):
            continue
        for found in IN_POINTS.finditer(_plain(text) if name.endswith(".html") else text):
            numbers = (found["value"], found["low"], found["high"])
            yield f"{name}: {found[0]}", numbers in known.all_numbers, True


def _arm_tables(readme: str, page: str, known: Answers) -> Iterator[tuple[str, Any, Any]]:
    cards = [arm["card"] for arm in known.record["arms"]]
    for line in readme.splitlines():
        row = re.match(r"\| \[(\d+)\]\((cards/[^)]+)\)", line)
        if row is None:
            continue
        assert cards[int(row[1]) - 1] == row[2], line
        yield from _row_of_arm(f"README.md {row[2]}", line, known.of_arm.get(row[2]))
    for row in re.finditer(r"<tr>\s*<td>(\d+)( [★◆]+)*</td>(.*?)</tr>", page, re.DOTALL):
        card = cards[int(row[1]) - 1]
        yield from _row_of_arm(f"report.html {card}", row[3], known.of_arm.get(card))


def _row_of_arm(place: str, row: str, answer: Answer | None) -> Iterator[tuple[str, Any, Any]]:
    found = IN_POINTS.search(row)
    if answer is None or math.isnan(_number(answer.low)):
        yield place, found, None
        return
    assert found is not None, row
    yield place, (found["value"], found["low"], found["high"]), answer.numbers
    yield f"{place} bold", f"**{found['value']}**" in row, answer.verdict in ("better", "worse")


def _cards(files: Mapping[str, str], known: Answers) -> Iterator[tuple[str, Any, Any]]:
    for card, answer in known.of_arm.items():
        shape = rf"Against the baseline[^\n]*?: {IN_POINTS.pattern}[^\n]*?;[^\n]*"
        said = re.search(shape, files[card])
        if not math.isnan(_number(answer.low)):
            assert said is not None, card
            yield card, (said["value"], said["low"], said["high"]), answer.numbers
            yield f"{card} verdict", _verdict_in(said[0]), answer.verdict


def _axis_sentences(readme: str, known: Answers) -> Iterator[tuple[str, Any, Any]]:
    for axis in known.record["study"]["axes"]:
        section = readme.partition(f"### `{axis}`\n")[2].partition("\n#")[0]
        for line in section.splitlines():
            level = re.match(r"- `([^`]+)` against ", line)
            found = IN_POINTS.search(line)
            if level is None or found is None:
                continue
            metric = _primary(known)
            answer = known.of_effect[axis, level[1], metric]
            place = f"README.md {axis}={level[1]}"
            yield place, (found["value"], found["low"], found["high"]), answer.numbers
            yield f"{place} verdict", _verdict_in(line), answer.verdict


def _verdict_in(line: str) -> str:
    if "**better**" in line:
        return "better"
    if "**worse**" in line:
        return "worse"
    if "**better by more than" in line:
        return "better"
    if "**worse by more than" in line:
        return "worse"
    return "undecided" if "undecided" in line else "no larger"


def _alt_texts(readme: str, known: Answers) -> Iterator[tuple[str, Any, Any]]:
    for axis in known.record["study"]["axes"]:
        alt = re.search(rf"!\[([^\]]*)\]\(figures/axis_{re.escape(axis)}\.svg\)", readme)
        if alt is None:
            continue
        n_answers = 0
        for (of_axis, level, metric), answer in known.of_effect.items():
            if (of_axis, metric) != (axis, _primary(known)) or answer.low == "nan":
                continue
            shape = (
                rf"[(;] ?{re.escape(level)}: ({NUMBER}) points, interval ({NUMBER}) to ({NUMBER})"
            )
            found = re.search(shape, _unescaped(alt[1]))
            yield f"alt text of {axis}={level}", found and found.groups(), answer.numbers
            n_answers += 1
        assert n_answers == alt[1].count(" points, interval "), alt[1]


def _unescaped(markdown: str) -> str:
    return re.sub(r"\\([^\w\s])", r"\1", html.unescape(markdown))


def _interaction_table(readme: str, known: Answers) -> Iterator[tuple[str, Any, Any]]:
    section = readme.partition("## Interactions\n")[2].partition("\n## ")[0]
    shape = rf"\| `([^`]+)` \| `[^`]+` \| ({NUMBER}) \| ({NUMBER}) to ({NUMBER}) \|.*\| ([\w ]+) \|"
    for name, value, low, high, verdict in re.findall(shape, section):
        pairs = [part.split("=", 1) for part in name.split(" x ")]
        key = (" x ".join(p[0] for p in pairs), " x ".join(p[1] for p in pairs), _primary(known))
        said = Answer(value, low, high, _verdict_of_cell(verdict))
        yield f"README.md {name}", said, known.of_effect[key]


def _verdict_of_cell(words: str) -> str:
    """A table has `no larger` in words."""
    return "no larger" if words == "within the margin" else words


def _question_sentences(readme: str, known: Answers) -> Iterator[tuple[str, Any, Any]]:
    section = readme.partition("## What was asked\n")[2].partition("</details>")[0]
    for (name, metric), answer in known.of_question.items():
        if metric != _primary(known) or math.isnan(_number(answer.low)):
            continue
        lines = [line for line in section.splitlines() if line.startswith(f"- **{name}**")]
        assert len(lines) == 1, name
        found = IN_POINTS.search(lines[0])
        assert found is not None, lines[0]
        yield f"README.md {name}", (found["value"], found["low"], found["high"]), answer.numbers
        yield f"README.md {name} verdict", _verdict_in(lines[0]), answer.verdict


def _pairs(files: Mapping[str, str], known: Answers) -> Iterator[tuple[str, Any, Any]]:
    """All that `report.json` says of one arm against another one is one answer.

    A question, a main effect, an arm against the baseline and a choice may be the same comparison.
    """
    first: dict[tuple[str, str], tuple[str, tuple[Answer, Any]]] = {}
    for place, pair, answer in _of_pairs(files, known):
        exchanged = (_reversed(answer[0]), answer[1])
        first.setdefault(pair, (place, answer))
        first.setdefault(pair[::-1], (place, exchanged))
        other, wanted = first[pair]
        # a choice has no price of its own
        if answer[1] == "unpriced":
            yield f"{place} as {other}", answer[0], wanted[0]
        else:
            yield f"{place} as {other}", answer, wanted


def _of_pairs(
    files: Mapping[str, str], known: Answers
) -> Iterator[tuple[str, tuple[str, str], tuple[Answer, Any]]]:
    """Place, (arm, other arm), (answer, seeds that would settle it) of comparisons of two arms."""
    axes = list(known.record["study"]["axes"])
    cells = _cells(files["arms.csv"], axes)
    for arm in known.record["arms"]:
        gap = arm["against_baseline"]
        if gap is not None and gap["low"] is not None:
            pair = (arm["arm_id"], known.record["baseline_arm_id"])
            yield arm["name"], pair, (known.of_arm[arm["card"]], gap["seeds_to_settle"])
    for effect in known.record["effects"]:
        if effect["metric"] != _primary(known) or effect["low"] is None:
            continue
        pairs = _matched(cells, axes, effect) if effect["kind"] != "interaction" else set()
        if len(pairs) == 1:
            answer = _answer(effect, "estimate")
            yield effect["name"], pairs.pop(), (answer, effect["seeds_to_settle"])
    for choice in known.record["choices"]:
        if choice["low"] is not None:
            pair = (known.record["champion_arm_id"], choice["arm_id"])
            place = f"choice {choice['axis']}={choice['level']}"
            yield place, pair, (_answer(choice, "difference"), "unpriced")


def _cells(arms_csv: str, axes: Sequence[str]) -> dict[tuple[str, ...], str]:
    """Levels -> arm_id, of the arms with a score; an arm of merged cells has `a|b`."""
    cells = {}
    for row in csv.DictReader(io.StringIO(arms_csv)):
        if int(row["n_seeds"]) > 0:
            levels = [_from_cell(row[axis]).split("|") for axis in axes]
            for cell in itertools.product(*levels):
                cells[cell] = row["arm_id"]
    return cells


def _matched(
    cells: Mapping[tuple[str, ...], str], axes: Sequence[str], effect: Mapping[str, Any]
) -> set[tuple[str, str]]:
    """The pairs of arms that an effect compares: cells that agree in all other axes."""
    changed = [axes.index(axis) for axis in effect["axes"]]
    pairs = set()
    for cell, arm_id in cells.items():
        if [cell[place] for place in changed] != list(effect["levels"]):
            continue
        other = list(cell)
        for place, level in zip(changed, effect["against"], strict=True):
            other[place] = level
        other_id = cells.get(tuple(other))
        if other_id is not None and other_id != arm_id:
            pairs.add((arm_id, other_id))
    return pairs


def _effect_csvs(files: Mapping[str, str], known: Answers) -> Iterator[tuple[str, Any, Any]]:
    for name in ("effects.csv", "interactions.csv"):
        for row in csv.DictReader(io.StringIO(files[name])):
            if not row["difference"]:
                continue
            key = (row["axes"], _from_cell(row["levels"]), row["metric"])
            answer = known.of_effect.get(key)
            if row["kind"] == "question":
                answer = known.of_question[_from_cell(row["name"]), row["metric"]]
            yield f"{name} {key}", _of_csv(row), answer


def _choices(files: Mapping[str, str], known: Answers) -> Iterator[tuple[str, Any, Any]]:
    """As a table and as CSV."""
    for row in csv.DictReader(io.StringIO(files["choices.csv"])):
        key = (row["axis"], _from_cell(row["instead_of"]), row["arm_id"])
        yield f"choices.csv {key}", _of_csv(row), known.of_choice[key]
    section = files["README.md"].partition("## What each choice of the best arm is worth\n")[2]
    shape = (
        rf"\| `([^`]+)` \| `[^`]+` \| `([^`]+)` \| `([^`]+)`(?: [◆＋])? \| ({NUMBER}) \| "
        rf"({NUMBER}) to ({NUMBER}) \| ([\w ]+) \|"
    )
    every_arm = (*known.record["arms"], *known.record.get("added_arms", ()))
    arm_ids = {arm["short_name"]: arm["arm_id"] for arm in every_arm}
    for axis, level, name, *printed in re.findall(shape, section.partition("</details>")[0]):
        wanted = known.of_choice[axis, level, arm_ids[name]]
        value, low, high, words = printed
        yield f"README.md {axis}: {name}", Answer(value, low, high, _verdict_of_cell(words)), wanted


def _choice_key(choice: Mapping[str, Any]) -> tuple[str, str, str]:
    return choice["axis"], choice["level"], choice["arm_id"]


def _first_screen(readme: str, known: Answers) -> Iterator[tuple[str, Any, Any]]:
    """The cards: the best arm's gap and its verdict in words."""
    champion = next((arm for arm in known.record["arms"] if arm["is_champion"]), None)
    if champion is None or champion["card"] not in known.of_arm:
        return
    answer = known.of_arm[champion["card"]]
    cards = readme.partition("<!-- cards -->")[2].partition("<!-- /cards -->")[0]
    shape = rf"\| ({NUMBER}) points to the baseline \(interval ({NUMBER}) to ({NUMBER})\)"
    found = re.search(shape, cards)
    if found is not None:
        yield "README.md, use this", found.groups(), answer.numbers
    words = {
        "better": "better than the baseline",
        "worse": "worse than the baseline on test",
        "no larger": "as good as the baseline, within the margin",
        "undecided": "not yet known to be better than the baseline",
        "unknown": "unknown: one seed cannot tell",
    }
    headline = words[answer.verdict]
    yield "README.md, how sure", f"**{headline}**" in cards, True
    spoken = re.search(rf"speaks against it: .* is worse than .*?, ({NUMBER}) points", cards)
    if spoken is not None:
        judged = (*known.of_effect.values(), *known.of_question.values())
        losses = [-abs(float(a.value)) for a in judged if a.verdict in ("better", "worse")]
        yield "README.md, speaks against it", float(spoken[1]) in losses, True


def _fresh(files: Mapping[str, str], known: Answers) -> Iterator[tuple[str, Any, Any]]:
    """Fresh seeds: the CSV, the section's table, and the line of the first screen."""
    if not known.of_fresh:
        return
    for row in csv.DictReader(io.StringIO(files["confirmation.csv"])):
        key = (row["arm_id"], row["against_arm_id"])
        yield f"confirmation.csv {key}", _of_csv(row), known.of_fresh[key]
    readme = files["README.md"]
    section = readme.partition("## Confirmed with fresh seeds\n")[2].partition("</details>")[0]
    shape = (
        rf"\| [\w ]+ `([^`]+)` \| `([^`]+)` \| ({NUMBER}) \| ({NUMBER}) to ({NUMBER}) \| "
        r"([\w ]+) \|"
    )
    arm_ids = {arm["short_name"]: arm["arm_id"] for arm in known.record["arms"]}
    for name, against, *printed in re.findall(shape, section):
        wanted = known.of_fresh[arm_ids[name], arm_ids[against]]
        yield f"README.md fresh {name}", Answer(*printed), wanted
    line = re.search(rf"fresh seeds[^|]*?: \*\*([\w ]+)\*\*, {IN_POINTS.pattern}", readme)
    baseline = known.record["baseline_arm_id"]
    best = known.record["confirmation"]["champion_arm_id"]
    if line is not None:
        said = Answer(line["value"], line["low"], line["high"], line[1])
        yield "README.md, how sure, fresh seeds", said, known.of_fresh[best, baseline]


def _answer(values: Mapping[str, Any], difference: str) -> Answer:
    return Answer(
        _points(values[difference]),
        _points(values["low"]),
        _points(values["high"]),
        values["verdict"],
    )


def _of_csv(row: Mapping[str, str]) -> Answer:
    numbers = [float(row[name]) if row[name] else None for name in ("difference", "low", "high")]
    value, low, high = map(_points, numbers)
    return Answer(value, low, high, row["verdict"])


def _points(value: float | None) -> str:
    if value is None:
        return "nan"
    rounded = f"{100 * value:+.1f}"
    return "+0.0" if rounded == "-0.0" else rounded


def _reversed(answer: Answer) -> Answer:
    opposite = {"better": "worse", "worse": "better"}
    numbers = [-_number(number) for number in (answer.value, answer.high, answer.low)]
    value, low, high = (_points(number / 100) for number in numbers)
    return Answer(value, low, high, opposite.get(answer.verdict, answer.verdict))


def _number(printed: str) -> float:
    return float(printed)


def _primary(known: Answers) -> str:
    return str(known.record["effects"][0]["metric"])


def _from_cell(printed: str) -> str:
    return printed[1:] if printed.startswith("'") else printed


def _plain(page: str) -> str:
    """The page without its pictures, entities as letters, bold words as in Markdown."""
    without = re.sub(r'src="data:[^"]*"', "", page)
    return html.unescape(re.sub("</?strong>", "**", without))
