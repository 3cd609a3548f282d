"""Labels in doubt: planted wrong labels are found, and a clean study has few.

Thresholds are recomputed class by class.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from ablate.reporting.compute import compute_results
from ablate.reporting.figures.example_images import with_pictures
from ablate.reporting.insights.classification.confusion import similarity_order
from ablate.reporting.insights.classification.suspects import class_thresholds, suspect_labels
from ablate.reporting.pages.readme import report_text
from ablate.reporting.pages.write import write_report
from ablate.reporting.predictions.read import read_study
from ablate.reporting.verify_report import recomputed_scores, verify_report
from ablate.study.record import NearDuplicate, NearDuplicates


@pytest.fixture(scope="module")
def sure(build):
    return build(
        axes={"augment": ("none", "light")}, n_classes=4, n_images=120, signal=lambda recipe: 4.0
    )


def _mislabelled(study, places):
    """The same predictions; the labels of some test images are another class's."""

    def predictions(run):
        frame = study.frames[run.run_id].copy()
        rows = frame.index[frame["split"] == "test"][places]
        frame.loc[rows, "label"] = (frame.loc[rows, "label"] + 1) % 4
        return frame

    return predictions


def test_planted_wrong_labels_are_found_first(sure) -> None:
    places = [3, 40, 77, 101]
    found = suspect_labels(read_study(sure.study, _mislabelled(sure, places)).pooled)
    assert {one.image_id for one in found[:4]} == {f"test/{place}" for place in places}
    assert {one.split for one in found[:4]} == {"test"}
    assert all(
        (one.likely + 1) % 4 == one.label
        and one.p_likely > one.p_label
        and one.n_votes > one.n_trials / 2
        for one in found[:4]
    )
    assert len(suspect_labels(read_study(sure.study, sure.predictions).pooled)) <= 4


def test_thresholds_are_the_mean_of_each_class() -> None:
    rng = np.random.default_rng(0)
    probabilities, labels = rng.dirichlet(np.ones(3), size=50), rng.integers(0, 2, size=50)
    found = class_thresholds(probabilities, labels)
    assert found[:2] == pytest.approx(
        [probabilities[labels == c, c].mean() for c in (0, 1)]
    ) and np.isinf(found[2])


def test_classes_that_are_taken_for_each_other_stand_side_by_side() -> None:
    matrix = np.full((6, 6), 1) + 50 * np.eye(6, dtype=int)
    for a, b in ((0, 3), (1, 4), (2, 5)):
        matrix[a, b] = matrix[b, a] = 30
    order = list(similarity_order(matrix))
    assert sorted(order) == list(range(6))
    assert all(abs(order.index(a) - order.index(b)) == 1 for a, b in ((0, 3), (1, 4), (2, 5)))


PAIR = NearDuplicate(
    first_split="train",
    first_id="train/a",
    first_label=0,
    second_split="test",
    second_id="test/3",
    second_label=1,
    likeness=0.999,
    is_mirrored=False,
)


@pytest.mark.slow
def test_report_shows_images_that_are_at_hand_and_leaves_them_out_when_told(sure, tmp_path) -> None:
    record = sure.study.record
    facts = record.data.model_copy(
        update={"near_duplicates": NearDuplicates(n_pairs=1, pairs=(PAIR,))}
    )
    study = replace(sure.study, record=record.model_copy(update={"data": facts}))
    asked = []

    def pictures(wanted):
        asked.extend(wanted)
        return {key: np.full((8, 8, 3), 90, dtype=np.uint8) for key in wanted}

    read = _mislabelled(sure, [3, 40])
    paths = write_report(study, predictions=read, out=tmp_path / "with", pictures=pictures)
    text = paths.readme.read_text()
    drawn = {path.name for path in paths.figures if path.suffix == ".svg"}
    assert {
        f"examples_{name}.svg" for name in ("confused", "mistakes", "suspects", "duplicates")
    } <= drawn
    assert all(
        f"(figures/examples_{name}.svg)" in text
        for name in ("confused", "mistakes", "suspects", "duplicates")
    )
    assert (
        ("train", "train/a") in asked and ("test", "test/40") in asked and "--no-images" not in text
    )
    assert (
        "Near-duplicates across splits: 1 pair (" in text
        and "| `train/a` | train | `test/3` | test | `species 0` and `species 1` | 0.999 |" in text
    )
    bare = write_report(study, predictions=read, out=tmp_path / "without")
    assert "Example images are left out (`--no-images`)." in bare.readme.read_text()
    assert not any("examples" in path.name for path in bare.figures)


@pytest.mark.slow
def test_a_report_with_or_without_images_verifies_and_a_changed_table_is_named(
    sure, tmp_path
) -> None:
    study = sure.with_runs(
        lambda run: replace(run, run_id=run.run_id.removeprefix("run").zfill(32))
    )

    def read(run):
        return sure.frames[f"run{int(run.run_id):03d}"]

    def pictures(wanted):
        return {key: np.zeros((8, 8, 3), dtype=np.uint8) for key in wanted}

    for name, given in (("with", pictures), ("without", None)):
        write_report(study.study, predictions=read, out=tmp_path / name, pictures=given)
        assert (
            verify_report(study.study, predictions=read, folder=tmp_path / name, pictures=pictures)
            == []
        )
    for name in ("classes.csv", "confusion_champion.csv"):
        path = tmp_path / "with" / name
        kept = path.read_text()
        digit = max(place for place, letter in enumerate(kept) if letter.isdigit())
        path.write_text(kept[:digit] + ("1" if kept[digit] != "1" else "2") + kept[digit + 1 :])
        found = verify_report(
            study.study, predictions=read, folder=tmp_path / "with", pictures=pictures
        )
        assert any(str(one).startswith(f"{name}:") for one in found), (name, found)
        path.write_text(kept)


def test_kinds_of_backbones_stand_beside_each_other_where_there_are_two(sure) -> None:
    def results(families):
        kinds = {
            arm.arm_id: kind for arm, kind in zip(sure.study.record.arms, families, strict=True)
        }
        study = sure.with_runs(
            lambda run: replace(run, tags={**run.tags, "family": kinds[run.arm_id]})
        ).study
        return with_pictures(compute_results(study, sure.predictions), None)

    assert " against " not in "".join(
        line
        for line in report_text(results(["CNN", "CNN"]), {}).splitlines()
        if line.startswith("## ")
    )
    text = report_text(results(["CNN", "ViT"]), {})
    assert "## CNN against ViT" in text or "## ViT against CNN" in text
    assert len(re.findall(r"The best (?:CNN|ViT) against the baseline: ", text)) == 1


@pytest.mark.slow
def test_a_changed_cell_of_every_table_is_named_by_verify(sure, tmp_path) -> None:
    """The last digit of each CSV file, the lists of images in doubt among them."""
    record = sure.study.record
    facts = record.data.model_copy(
        update={"near_duplicates": NearDuplicates(n_pairs=1, pairs=(PAIR,))}
    )
    read = _mislabelled(sure, [3, 40])
    runs = tuple(
        replace(run, metrics={**run.metrics, **recomputed_scores(run, read, record)})
        for run in sure.study.runs
    )
    study = replace(sure.study, record=record.model_copy(update={"data": facts}), runs=runs)
    write_report(study, predictions=read, out=tmp_path)

    def places() -> set[str]:
        return {
            str(finding).partition(":")[0]
            for finding in verify_report(study, predictions=read, folder=tmp_path)
        }

    texts = {path.name: path.read_text() for path in tmp_path.glob("*.csv")}
    assert {
        "suspect_labels.csv",
        "near_duplicates.csv",
        "classes.csv",
        "confusion_champion.csv",
    } <= texts.keys()
    assert places() == set()
    for name, whole in texts.items():
        if not any(map(str.isdigit, whole)):
            assert name == "interactions.csv"  # one axis has none
            continue
        at = max(position for position, letter in enumerate(whole) if letter.isdigit())
        (tmp_path / name).write_text(
            whole[:at] + ("1" if whole[at] != "1" else "2") + whole[at + 1 :]
        )
        assert name in places()
        (tmp_path / name).write_text(whole)
