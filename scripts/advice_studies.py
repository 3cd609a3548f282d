"""What `ablate advise` recommends first, beside what studies found: the table of docs/advice.md.

The advice is asked for the images of each study and a computer of 2 cores, without a GPU, and 30
minutes. What the grid file fixes (the fields of `base` that are no axis, and the image size) is
given to the rules. Of the study's arms, the nearest one to the advice stands for it: distances of
all axes add up, and of arms that are equally near the worst one is taken.
`docs/advice-studies.json` records facts, what is given, and the arms with their scores.

run: .venv/bin/python scripts/advice_studies.py             the table, from the record
     .venv/bin/python scripts/advice_studies.py collect STUDY[=GRID_FILE:REPORT] ...
                     records again; images must be within reach (ABLATE_DATA)
"""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.advice.advise import advise
from ablate.advice.facts import ImageSetFacts, MachineFacts
from ablate.grid.parse import load_grid
from ablate.recipe.recipe import Recipe
from ablate.recipe.strategy import phases_of

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "docs" / "advice-studies.json"
MACHINE = MachineFacts(cores=2, has_bf16=True, minutes=30.0)
SETS = (
    "flowers",
    "flowers102",
    "textile",
    "defects",
    "bouquets",
    "search",
    "cells",
    "digits",
)
"""One study for each set of images and labels; the others ask something else of the same images."""
NEAR = 2.0
"""Points that the recommended arm may be below the best one."""
_AUGMENTS = ("none", "light", "medium", "strong")
_ALL_FREE = 9
"""Units of EfficientNet-Lite0 that learn where everything does."""
_FACTORS = ("lr_ratio", "head_lr")


@dataclass(frozen=True)
class Row:
    """One study: what was advised on its axes, and how the arm that stands for it did."""

    study: str
    kind: str
    advised: Mapping[str, object]
    arm: Mapping[str, object]
    score: float
    """Of the arm that stands for the advice: mean over seeds of the metric on test."""
    best_arm: Mapping[str, object]
    best: float
    metric: str

    @property
    def points(self) -> float:
        """Points that the advice is below the best arm."""
        return 100 * (self.best - self.score)


def rows_of(record: Sequence[Mapping[str, Any]]) -> list[Row]:
    """What the rules of today give on the facts that were recorded."""
    rows = []
    for study in record:
        values = dict(study["facts"])
        for name in ("classes", "median_size", "smallest_size", "aspect_quantiles"):
            if values[name] is not None:
                values[name] = tuple(values[name])
        advice = advise(ImageSetFacts(**values), MACHINE, given=study["given"])
        advised = {}
        for axis in study["axes"]:
            advised[axis] = _advised_level(axis, advice.below("base"), study["given"])
        arms = study["arms"]
        nearest = min(arms, key=lambda arm: (_distance(advised, arm["levels"]), arm["test"]))
        best = max(arms, key=lambda arm: arm["test"])
        rows.append(
            Row(
                study=study["study"],
                kind=study["kind"],
                advised=advised,
                arm=nearest["levels"],
                score=nearest["test"],
                best_arm=best["levels"],
                best=best["test"],
                metric=study["metric"],
            )
        )
    return rows


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown, and how many of each kind are near."""
    lines = [
        "| study | first recommendation on its axes | arm that stands for it | its score "
        "| best arm | its score | points below |",
        "|---|---|---|--:|---|--:|--:|",
    ]
    for row in rows:
        best = _words(row.best_arm)
        if row.best_arm == row.arm:
            best = "the same"
        cells = [
            f"{row.study} ({row.kind})",
            _words(row.advised),
            _words(row.arm),
            f"{row.score:.3f} {row.metric}",
            best,
            f"{row.best:.3f}",
            f"{row.points:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", *counts(rows)]
    return "\n".join(lines) + "\n"


def counts(rows: Sequence[Row]) -> list[str]:
    """In how many the advice is near the best arm: of the sets, and of each kind of study."""
    of_sets = [row for row in rows if row.study in SETS]
    lines = [_count(f"the {len(of_sets)} sets ({', '.join(SETS)})", of_sets)]
    for kind in dict.fromkeys(row.kind for row in rows):
        lines.append(_count(f"studies, {kind}", [row for row in rows if row.kind == kind]))
    return lines


def _count(name: str, rows: Sequence[Row]) -> str:
    n_near = sum(row.points <= NEAR for row in rows)
    return f"- {name}: within {NEAR:g} points of the best arm in {n_near} of {len(rows)}"


def _advised_level(axis: str, base: Mapping[str, object], given: Mapping[str, object]) -> object:
    """What the advice says of an axis; the recipe's default where no rule speaks of it."""
    if axis == "phases":
        fields = {**_given_base(given), **base}
        known = {name: fields[name] for name in fields if name in Recipe.model_fields}
        (*_, last) = phases_of(Recipe.model_validate({**known, "phases": ()}))
        return str(last)
    if axis in base:
        return base[axis]
    return Recipe.model_fields[axis].default


def _given_base(given: Mapping[str, object]) -> dict[str, object]:
    fields = {}
    for field, value in given.items():
        section, _, name = field.partition(".")
        if section == "base":
            fields[name] = value
    return fields


def _distance(advised: Mapping[str, object], levels: Mapping[str, object]) -> float:
    """How far an arm is from the advice: 0 is the same, about 1 for another word."""
    distance = 0.0
    for axis, level in levels.items():
        # An axis that an arm was merged over says nothing of it.
        if level != "":
            distance += _apart(axis, advised[axis], level)
    return distance


def _apart(axis: str, first: Any, second: Any) -> float:
    if axis == "freeze_depth":
        return abs(math.log2(1 + _n_free(first)) - math.log2(1 + _n_free(second)))
    if axis == "phases":
        return _apart("freeze_depth", _last_depth(first), _last_depth(second))
    if axis == "augment":
        return abs(_AUGMENTS.index(first) - _AUGMENTS.index(second)) / 3
    if axis in _FACTORS:
        return abs(math.log10(first) - math.log10(second))
    if axis == "lora_rank":
        return abs(math.log2(1 + first) - math.log2(1 + second)) / 4
    return float(first != second)


def _n_free(depth: object) -> int:
    """Units of the trunk that learn."""
    if depth == "all":
        return 0
    assert isinstance(depth, int)
    if depth == 0:
        return _ALL_FREE
    return -depth


def _last_depth(phases: str) -> object:
    """The freeze depth of the last of some phases: -3 of `12x-3(head_lr=0.003)`."""
    found = re.search(r"x(all|-?\d+)[^x]*$", phases)
    assert found is not None, phases
    if found[1] == "all":
        return "all"
    return int(found[1])


def _words(levels: Mapping[str, object]) -> str:
    words = []
    for axis, level in levels.items():
        if level == "":
            continue
        words.append(f"{axis}={_number(level)}")
    return " ".join(words)


def _number(level: object) -> str:
    if isinstance(level, float):
        return f"{level:.3g}"
    if level is None:
        return "null"
    return str(level)


def main(arguments: Sequence[str]) -> None:
    """Print the table, or record studies again."""
    record = []
    if RECORD.exists():
        record = json.loads(RECORD.read_text())
    if arguments[:1] == ["collect"]:
        for argument in arguments[1:]:
            study, _, places = argument.partition("=")
            grid_file, _, report = places.partition(":")
            found = collect(
                study,
                Path(grid_file or ROOT / "experiments" / f"{study}.yaml"),
                Path(report or ROOT / "reports" / study),
            )
            record = [one for one in record if one["study"] != study] + [found]
            record.sort(key=_place)
            RECORD.write_text(json.dumps(record, indent=1) + "\n")
        return
    sys.stdout.write(table(rows_of(record)))


def _place(study: Mapping[str, Any]) -> int:
    """The sets first, in their order; then the studies that ask more of the same images."""
    if study["study"] in SETS:
        return SETS.index(study["study"])
    return len(SETS)


def collect(study: str, grid_file: Path, report: Path) -> dict[str, Any]:
    """Look at the images of a study, and read its arms from its report."""
    from ablate.data.dataset import load_data
    from ablate.workflow.advice.feature_score import feature_score
    from ablate.workflow.advice.image_facts import image_facts
    from ablate.workflow.folders import find_folders

    grid = load_grid(grid_file)
    spec, data_set = load_data(
        grid.data, data_dir=find_folders().data_dir, allow_fallback=True, task=grid.task
    )
    facts = image_facts(spec, data_set, probe_score=feature_score(data_set))
    base = grid.base.model_dump(mode="json", exclude_unset=True)
    given: dict[str, Any] = {"data.image_size": spec.image_size, "data.view": spec.view or "crop"}
    for name, value in base.items():
        if name not in grid.axes:
            given[f"base.{name}"] = value
    kind = "the rules were made with it in view"
    if report.parent != ROOT / "reports":
        kind = "not looked at before the rules were made"
    metric = grid.select_by.removeprefix("val/")
    return {
        "study": study,
        "kind": kind,
        "facts": dataclasses.asdict(facts),
        "given": given,
        "axes": list(grid.axes),
        "metric": metric,
        "arms": _arms(report, list(grid.axes), metric),
    }


def _arms(report: Path, axes: Sequence[str], metric: str) -> list[dict[str, Any]]:
    recorded = json.loads((report / "report.json").read_text())
    recipes = {arm["arm_id"]: arm["recipe"] for arm in recorded["arms"]}
    with (report / "arms.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    arms = []
    for row in rows:
        levels = {}
        for axis in axes:
            # Of a search, the levels stand in the recipe alone.
            default = Recipe.model_fields[axis].default
            levels[axis] = _level(row.get(axis), recipes[row["arm_id"]].get(axis, default))
        arms.append(
            {
                "levels": levels,
                "test": float(row[f"test/{metric}/mean"]),
                "n_seeds": int(row["n_seeds"]),
            }
        )
    return arms


def _level(cell: str | None, in_recipe: object) -> object:
    """The level of a table's cell; "" where cells of several levels were merged into the arm."""
    if cell is None:
        return in_recipe
    if "|" in cell:
        return ""
    if cell == "":
        return None
    try:
        return json.loads(cell)
    except ValueError:
        return cell


if __name__ == "__main__":
    main(sys.argv[1:])
