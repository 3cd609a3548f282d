"""Simulated studies whose truth is known, for the short test and for the long script."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.metrics.classification import rank, resampled_macro_f1, score
from ablate.metrics.resampling import image_weights, resampled_area
from ablate.recipe.recipe import Recipe
from ablate.reporting.evidence.effects import Effects, study_effects
from ablate.reporting.statistics.verdict import ALPHA
from ablate.study.record import ArmRecord, DataFacts, StudyRecord
from ablate.targets import OneLabel

PRIMARY, SECONDARY = "test/macro_f1", "test/auroc_ovr_macro"
METRICS = (PRIMARY, SECONDARY)
POWER_AXES = {"a": ("0", "1", "2"), "b": ("0", "1", "2"), "c": ("0", "1"), "d": ("0", "1")}
"""36 cells."""
SD = 0.01
N_CLASSES, N_DRAWS = 5, 300
TRUTH_IMAGES = 40_000


@dataclass(frozen=True)
class Scenario:
    """What is simulated. SDs and effects are in units of the noise of a trial."""

    axes: dict[str, tuple[str, ...]]
    n_seeds: int
    effect: float = 0.0
    """Added at the last level of the first axis."""
    merged: bool = False
    """Whether `b` cannot matter at the first level of `a`."""
    failed: float = 0.0
    tails: int | None = None
    """Degrees of freedom of t noise; None is normal."""
    uneven: float = 1.0
    """How much noisier a quarter of the arms is."""
    level_by_seed: float = 0.0
    """SD of what a level gains in a seed: breaks exchangeability inside a seed."""
    n_images: int | None = None
    """Simulate predictions of so many test images; None simulates scores alone."""


def simulate(scenario: Scenario, *, n_studies: int, seed: int) -> dict[str, float]:
    """Shares over the studies: any claimed; found (the planted level); false beside it; covered.

    An effect is claimed where its verdict is better or worse. Covered: main effects whose own 95 %
    interval, not widened for all others, holds the truth.
    """
    record = make_record(scenario)
    truth = (
        true_effect(record, scenario)
        if scenario.n_images
        else dict.fromkeys(METRICS, scenario.effect * SD)
    )
    claims: list[bool] = []
    found: list[bool] = []
    false: list[bool] = []
    covered: dict[str, list[bool]] = {metric: [] for metric in METRICS}
    for study in range(n_studies):
        effects = study_effects(
            record, *draw_study(record, scenario, np.random.default_rng([seed, study]))
        )
        claimed = [effect for effect in effects.all if effect.judged.excludes_zero]
        planted = [effect for effect in claimed if is_planted(effect, scenario)]
        claims.append(bool(claimed))
        found.append(any(effect.metric == PRIMARY for effect in planted))
        false.append(len(planted) < len(claimed))
        for effect in effects.mains:
            true = truth[effect.metric] if is_planted(effect, scenario) else 0.0
            half_width = effect.judged.estimate.half_width(ALPHA)
            if not math.isnan(half_width):
                covered[effect.metric].append(abs(effect.estimate - true) <= half_width)
    shares = {
        "any claimed": claims,
        "found": found,
        "false beside it": false,
        "covered": covered[PRIMARY],
        "covered (AUROC)": covered[SECONDARY],
    }
    return {name: float(np.mean(values)) if values else math.nan for name, values in shares.items()}


def is_planted(effect: Any, scenario: Scenario) -> bool:
    axis, levels = next(iter(scenario.axes.items()))
    return (
        scenario.effect != 0
        and effect.comparison.axes == (axis,)
        and effect.comparison.levels == (levels[-1],)
    )


def make_record(scenario: Scenario) -> StudyRecord:
    """Cells of the grid; with `merged`, those that differ in `b` alone at the first level of `a`
    are one arm.
    """
    cells: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for levels in itertools.product(*scenario.axes.values()):
        cell = dict(zip(scenario.axes, levels, strict=True))
        key = {**cell, "b": "-"} if scenario.merged and cell["a"] == "0" else cell
        cells.setdefault(tuple(key.values()), []).append(cell)
    recipe = Recipe(backbone="tf_efficientnet_lite0")
    arms = tuple(
        ArmRecord(arm_id="/".join(key), name="/".join(key), recipe=recipe, cells=tuple(own))
        for key, own in cells.items()
    )
    facts = DataFacts(
        source="simulated",
        title="simulated",
        version="1",
        licence="none",
        origin="drawn",
        is_synthetic=True,
        requested_source="simulated",
        class_names=tuple(map(str, range(N_CLASSES))),
        class_counts={},
        fingerprint="0" * 64,
        split_rule="official",
    )
    return StudyRecord(
        study_id="s",
        grid_name="g",
        question="",
        task="classification",
        data=facts,
        image_size="1",
        axes=scenario.axes,
        baseline_arm_id=arms[0].arm_id,
        select_by="val/macro_f1",
        seeds=tuple(range(scenario.n_seeds)),
        arms=arms,
        excluded=(),
        command="",
    )


def draw_study(
    record: StudyRecord, scenario: Scenario, rng: np.random.Generator
) -> tuple[pd.DataFrame, dict[str, NDArray[np.float64]]]:
    """A trial frame and the replicates, as the report has them."""
    latent = draw_latent(record, scenario, rng)
    if scenario.n_images is None:
        return frame_of(record, dict.fromkeys(METRICS, 0.8 + SD * latent)), {}
    labels = np.arange(scenario.n_images) % N_CLASSES
    weights = image_weights(
        OneLabel(labels, N_CLASSES), n_draws=N_DRAWS, seed=int(rng.integers(2**31))
    )
    image = rng.normal(size=(scenario.n_images, N_CLASSES))
    shape = (len(record.arms), scenario.n_seeds)
    scores, replicates = (
        {metric: np.empty(shape) for metric in METRICS},
        {metric: np.empty((*shape, N_DRAWS)) for metric in METRICS},
    )
    for place in np.ndindex(shape):
        probabilities = predict(float(latent[place]), image, labels, rng)
        own = score(probabilities, labels)
        scores[PRIMARY][place], scores[SECONDARY][place] = own["macro_f1"], own["auroc_ovr_macro"]
        replicates[PRIMARY][place] = resampled_macro_f1(
            probabilities.argmax(axis=1), labels, weights
        )
        replicates[SECONDARY][place] = resampled_area(rank(probabilities, labels), weights)
    return frame_of(record, scores), replicates


def draw_latent(
    record: StudyRecord, scenario: Scenario, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(arms, seeds) how good a trial is: its seed's luck, its own noise, and what is planted."""
    n_arms, n_seeds = len(record.arms), scenario.n_seeds
    own = (
        rng.normal(size=(n_arms, n_seeds))
        if scenario.tails is None
        else rng.standard_t(scenario.tails, size=(n_arms, n_seeds))
    )
    own[::4] *= scenario.uneven
    latent = own + 2 * rng.normal(size=n_seeds)
    axis, levels = next(iter(scenario.axes.items()))
    for place, arm in enumerate(record.arms):
        latent[place] += scenario.effect * (arm.cells[0][axis] == levels[-1])
    for name, of_axis in scenario.axes.items():
        gains = scenario.level_by_seed * rng.normal(size=(len(of_axis), n_seeds))
        latent += np.array(
            [
                np.mean([gains[of_axis.index(cell[name])] for cell in arm.cells], axis=0)
                for arm in record.arms
            ]
        )
    return np.where(rng.random((n_arms, n_seeds)) < scenario.failed, np.nan, latent)


def predict(
    latent: float, image: NDArray[np.float64], labels: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Probabilities of a trial: images are hard or easy for all trials alike, and each trial has
    its own noise on each image.
    """
    logits = (
        image
        + 0.7 * rng.normal(size=image.shape)
        + (2.0 + 0.1 * latent) * np.eye(N_CLASSES)[labels]
    )
    exponents = np.exp(logits)
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))


def true_effect(record: StudyRecord, scenario: Scenario) -> dict[str, float]:
    """The planted difference in each metric, by brute force over seeds and images."""
    rng = np.random.default_rng(1)
    labels = np.arange(TRUTH_IMAGES) % N_CLASSES
    differences = []
    for _ in range(40):
        image, luck = rng.normal(size=(TRUTH_IMAGES, N_CLASSES)), 2 * rng.normal()
        high, low = (
            score(predict(luck + rng.normal() + shift, image, labels, rng), labels)
            for shift in (scenario.effect, 0.0)
        )
        differences.append(
            [high["macro_f1"] - low["macro_f1"], high["auroc_ovr_macro"] - low["auroc_ovr_macro"]]
        )
    return (
        dict(zip(METRICS, np.mean(differences, axis=0), strict=True))
        if scenario.effect
        else dict.fromkeys(METRICS, 0.0)
    )


def frame_of(record: StudyRecord, scores: dict[str, NDArray[np.float64]]) -> pd.DataFrame:
    rows = [
        {
            "arm_id": arm.arm_id,
            "seed": seed,
            **{metric: values[i, j] for metric, values in scores.items()},
        }
        for i, arm in enumerate(record.arms)
        for j, seed in enumerate(record.seeds)
    ]
    return pd.DataFrame(rows)


def study_of(scenario: Scenario, *, seed: int) -> Effects:
    """The effects of one simulated study."""
    record = make_record(scenario)
    return study_effects(record, *draw_study(record, scenario, np.random.default_rng(seed)))
