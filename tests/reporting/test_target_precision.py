"""The operating point of a binary study: recomputed by scikit-learn.

It stands in report, cards and table, and is checked by verify.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from io import StringIO

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk

from ablate.errors import SpecError
from ablate.grid.parse import parse_grid
from ablate.metrics.classification import score
from ablate.reporting.compute import compute_results
from ablate.reporting.pages.write import write_report
from ablate.reporting.predictions.target_precision import VALUES
from ablate.reporting.verify_report import verify_report
from ablate.study.record import StudyRecord

TARGET = 0.8
GRID = """\
task: classification
data: {source: folder, path: p}
base: {epochs: 2}
axes: {freeze_depth: [all, -1]}
seeds: [0]
baseline: {}
select_by: val/macro_f1
target_precision: 0.9
"""


@pytest.fixture(scope="module")
def study(build):
    """Of four arms, the first with one seed in which no threshold keeps the target on val."""
    made = build(
        axes={"augment": ("none", "light"), "freeze_depth": ("all", -1)},
        n_classes=2,
        n_images=40,
        seeds=(0, 1, 2),
    )
    made = made.with_record(target_precision=TARGET)
    run = made.study.runs[1]
    frame = made.frames[run.run_id].copy()
    on_val = frame["split"] == "val"
    frame.loc[on_val, "p_1"] = np.where(frame.loc[on_val, "label"] == 1, 0.25, 0.75).astype(
        np.float32
    )
    frame.loc[on_val, "p_0"] = 1 - frame.loc[on_val, "p_1"]
    made.frames[run.run_id] = frame
    own = frame[on_val]
    scores = {
        f"val/{name}": value
        for name, value in score(own[["p_0", "p_1"]].to_numpy(), own["label"].to_numpy()).items()
    }
    made = made.with_runs(
        lambda one: (
            replace(one, metrics={**one.metrics, **scores}) if one.run_id == run.run_id else one
        )
    )
    return made.with_runs(lambda one: replace(one, run_id=one.run_id.removeprefix("run").zfill(32)))


def predictions(study, change=lambda run, frame: frame):
    return lambda run: change(run, study.frames[f"run{int(run.run_id):03d}"])


@pytest.fixture(scope="module")
def report(study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_report(study.study, predictions=predictions(study), out=folder)
    return folder


def oracle(frame: pd.DataFrame, target: float) -> tuple[float, float, float] | None:
    """Threshold, precision and recall by scikit-learn.

    The highest recall on val among the thresholds that keep the target.
    """
    val, test = (frame[frame["split"] == split] for split in ("val", "test"))
    precision, _, thresholds = sk.precision_recall_curve(val["label"], val["p_1"])
    good = thresholds[precision[:-1] >= target]
    if not len(good):
        return None
    called = test["p_1"] >= good.min()
    return (
        float(good.min()),
        sk.precision_score(test["label"], called),
        sk.recall_score(test["label"], called),
    )


@pytest.mark.slow
def test_the_table_of_arms_holds_what_scikit_learn_gives(study, report) -> None:
    arms = pd.read_csv(report / "arms.csv").set_index("arm_id")
    for number, arm in enumerate(study.study.record.arms):
        own = [oracle(study.frames[f"run{3 * number + seed:03d}"], TARGET) for seed in range(3)]
        points = np.array([one for one in own if one is not None])
        row = arms.loc[arm.arm_id] if arm.arm_id in arms.index else arms.loc[int(arm.arm_id, 16)]
        assert (row["at_target/n_seeds"], row["at_target/n_reached"]) == (3, len(points))
        assert len(points) == (2 if number == 0 else 3)
        for name, values in zip(VALUES, points.T, strict=True):
            assert row[f"at_target/{name}/mean"] == pytest.approx(values.mean(), abs=1e-6)
            assert row[f"at_target/{name}/sd"] == pytest.approx(values.std(ddof=1), abs=1e-6)


def test_report_and_card_say_it_and_what_is_not_reached(study, report) -> None:
    readme = (report / "README.md").read_text()
    section = readme.partition("## At a precision of 0.8 on val\n")[2].partition("\n## ")[0]
    assert (
        "the lowest threshold on the probability of `species 1` that reaches a precision of "
        "0.8 on val" in section
    )
    results = compute_results(study.study, predictions(study))
    first = results.name(study.study.record.arms[0].arm_id)
    assert f"- `{first}`: not reachable on val in 1 of 3 seeds." in section
    assert section.count("not reachable") == 1 and f"| `{first}` | 2 of 3 |" in section
    assert results.champion is not None
    name = results.name(results.champion.arm_id)
    line = next(line for line in section.splitlines() if line.startswith(f"| `{name}` |"))
    _, precision, recall = [cell.strip() for cell in line.strip("|").split("|")][2:]
    card = (report / "cards" / "champion.md").read_text()
    assert (
        "At a precision of 0.8 on val, with the lowest threshold on the probability of "
        "`species 1` that reaches it there: threshold " in card
    )
    assert f"test precision {precision}, test recall {recall} (mean ± SD over 3 seeds)." in card
    assert "threshold chosen on val for a precision of 0.80, by seed" in card
    told = [
        path.read_text() for path in (report / "cards").glob("*.md") if path.name != "champion.md"
    ]
    assert (
        sum(
            "(mean ± SD over 2 seeds); not reachable on val in 1 of 3 seeds." in one for one in told
        )
        == 1
    )


@pytest.mark.slow
def test_a_target_that_nobody_reaches_is_said_plainly(study, tmp_path) -> None:
    flat = predictions(
        study, lambda run, frame: frame.assign(p_0=np.float32(0.5), p_1=np.float32(0.5))
    )
    write_report(study.study, predictions=flat, out=tmp_path)
    section = (
        (tmp_path / "README.md")
        .read_text()
        .partition("## At a precision of 0.8 on val\n")[2]
        .partition("\n## ")[0]
    )
    assert section.count("not reachable on val in 3 of 3 seeds.") == 4
    assert section.count("| 0 of 3 | not measured | not measured | not measured |") == 4
    assert (
        "that reaches it there: not reachable on val in 3 of 3 seeds."
        in (tmp_path / "cards" / "champion.md").read_text()
    )
    assert "nan" not in section


@pytest.mark.slow
def test_a_study_without_a_target_says_nothing_of_it(study, tmp_path) -> None:
    plain = study.with_record(target_precision=None)
    write_report(plain.study, predictions=predictions(plain), out=tmp_path)
    assert "At a precision" not in "".join(path.read_text() for path in tmp_path.rglob("*.md"))
    assert "at_target" not in (tmp_path / "arms.csv").read_text()
    assert (
        "threshold chosen on val for a precision of 0.90, by seed"
        in (tmp_path / "README.md").read_text()
    )


@pytest.mark.slow
def test_verify_recomputes_it(study, report) -> None:
    assert verify_report(study.study, predictions=predictions(study), folder=report) == []
    for name, before in (
        ("README.md", "## At a precision"),
        ("cards/champion.md", "At a precision of"),
        ("arms.csv", "at_target/recall/mean"),
    ):
        path = report / name
        whole = path.read_text()
        start = (
            whole.index(
                "0.",
                whole.index("threshold", whole.index(before))
                if name != "arms.csv"
                else whole.index("\n"),
            )
            + 2
        )
        if name == "arms.csv":
            table = pd.read_csv(StringIO(whole), dtype=str)
            value = table["at_target/recall/mean"][0]
            start = whole.index(f",{value},") + 3
        path.write_text(whole[:start] + ("1" if whole[start] != "1" else "2") + whole[start + 1 :])
        found = [
            str(one)
            for one in verify_report(study.study, predictions=predictions(study), folder=report)
        ]
        path.write_text(whole)
        assert any(
            one.startswith(f"{name}:{whole[:start].count(chr(10)) + 1}: says ") for one in found
        ), (name, found)
    other = study.with_record(target_precision=0.7)
    assert any(
        "README.md" in str(one)
        for one in verify_report(other.study, predictions=predictions(other), folder=report)
    )


@pytest.mark.slow
def test_a_prediction_that_moves_the_recall_is_found_in_the_section(study, report) -> None:

    def moved(run, frame):
        top = frame[(frame["split"] == "test") & (frame["label"] == 1)]["p_1"].idxmax()
        return frame.assign(
            p_1=frame["p_1"].where(frame.index != top, np.float32(0.501)),
            p_0=frame["p_0"].where(frame.index != top, np.float32(0.499)),
        )

    line = (report / "README.md").read_text().partition("## At a precision")[0].count("\n") + 1
    found = verify_report(study.study, predictions=predictions(study, moved), folder=report)
    places = [int(one.place.split(":")[1]) for one in found if one.place.startswith("README.md:")]
    assert any(line < place < line + 12 for place in places), places


def test_an_old_record_is_read(study) -> None:
    old = json.loads(study.study.record.model_dump_json())
    del old["target_precision"], old["data"]["regrouped"]
    assert StudyRecord.model_validate(old) == study.study.record.model_copy(
        update={"target_precision": None}
    )


@pytest.mark.parametrize(
    ("old", "new", "mistake"),
    [
        ("0.9\n", "1\n", "  line 8: target_precision: must be less than 1, got 1"),
        ("0.9\n", "0.0\n", "  line 8: target_precision: must be greater than 0, got 0.0"),
        (
            "0.9\n",
            "'0.9'\n",
            "  line 8: target_precision: must be a number, got '0.9'; write numbers without quotes",
        ),
        ("0.9\n", ".nan\n", "  line 8: target_precision: must be a finite number, got nan"),
        (
            "task: classification",
            "task: multilabel",
            "  line 8: target_precision: must be null for task multilabel: it is for two "
            "classes that exclude each other, and here each label is a yes or a no",
        ),
    ],
)
def test_what_cannot_be_a_target_is_refused_with_its_line(old: str, new: str, mistake: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_grid(GRID.replace(old, new), name="g", shown_as="g.yaml")
    assert str(caught.value).splitlines()[1:] == [mistake]
    assert math.isclose(parse_grid(GRID, name="g", shown_as="g.yaml").target_precision or 0, 0.9)
