"""What predictions on images with several labels say, against scikit-learn and plain counting."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from sklearn import metrics as sk
from support.published import N_IMAGES, AnyStudy, study_of

from ablate.reporting.insights.multilabel.label_digest import LabelDigest, label_digest
from ablate.reporting.insights.multilabel.label_text import label_errors
from ablate.reporting.predictions.read import read_study
from ablate.study.tasks.multilabel import MULTILABEL


@pytest.fixture(scope="module")
def published() -> AnyStudy:
    return study_of(MULTILABEL.name)


@pytest.fixture(scope="module")
def digest(published: AnyStudy) -> LabelDigest:
    arm = published.study.record.arms[0]
    found = label_digest(
        read_study(published.study, published.predictions), published.study.record, arm.arm_id
    )
    assert found is not None
    return found


def _test_arrays(published: AnyStudy) -> list[tuple[np.ndarray, np.ndarray]]:
    """Labels and probabilities of each seed of the first arm."""
    arm_id = published.study.record.arms[0].arm_id
    arrays = []
    for run in published.study.runs:
        if run.arm_id == arm_id:
            frame = published.frames[run.run_id].query("split == 'test'")
            labels = frame.filter(regex=r"^y_").to_numpy()
            arrays.append((labels, frame.filter(regex=r"^p_").to_numpy()))
    return arrays


def test_scores_of_classes_are_means_over_seeds(published: AnyStudy, digest: LabelDigest) -> None:
    f1, precision = [], []
    for labels, probabilities in _test_arrays(published):
        called = probabilities >= 0.5
        f1.append(sk.f1_score(labels, called, average=None))
        precision.append(
            [
                sk.average_precision_score(labels[:, c], probabilities[:, c])
                for c in range(labels.shape[1])
            ]
        )
    np.testing.assert_allclose(digest.classes["f1"], np.mean(f1, axis=0))
    np.testing.assert_allclose(digest.classes["average_precision"], np.mean(precision, axis=0))
    assert (digest.n_seeds, digest.n_images) == (2, N_IMAGES)


def test_exact_and_called_are_counted(published: AnyStudy, digest: LabelDigest) -> None:
    exact = [((p >= 0.5) == y).all(axis=1).mean() for y, p in _test_arrays(published)]
    called = [(p >= 0.5).sum() / len(p) for _, p in _test_arrays(published)]
    assert digest.exact == pytest.approx(np.mean(exact))
    assert digest.n_called == pytest.approx(np.mean(called))


def test_pairs_are_those_most_often_wrong(published: AnyStudy, digest: LabelDigest) -> None:
    wrong: Counter[tuple[int, int]] = Counter()
    for labels, probabilities in _test_arrays(published):
        for label, called in zip(labels, probabilities >= 0.5, strict=True):
            for pair in itertools.combinations(np.flatnonzero(called).tolist(), 2):
                wrong[pair] += int(not label[list(pair)].all())
    found = {(pair.first, pair.second): pair.n_wrong for pair in digest.pairs}
    assert found == {pair: n for pair, n in wrong.items() if n}
    assert [pair.n_wrong for pair in digest.pairs] == sorted(found.values(), reverse=True)


def test_errors_that_most_seeds_made_stand_first(digest: LabelDigest) -> None:
    for errors in (digest.false_positives, digest.false_negatives):
        seeds = [error.n_seeds for error in errors]
        assert seeds == sorted(seeds, reverse=True)
    assert all(error.p >= 0.5 for error in digest.false_positives)
    assert all(error.p < 0.5 for error in digest.false_negatives)


def test_the_text_names_images_and_classes(published: AnyStudy, digest: LabelDigest) -> None:
    names = published.study.record.data.class_names
    text = label_errors(digest, names)
    first = digest.false_positives[0]
    row = f"| `{first.image_id}` | `{names[first.position]}` | {first.p:.3f} | {first.n_seeds} |"
    assert row in text
    assert f"It gets every class right on {100 * digest.exact:.1f} % of the test images" in text
