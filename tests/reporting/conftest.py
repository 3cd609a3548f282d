"""Studies as a tracking store would give them back.

Their metrics are computed from the very predictions that they hold.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ablate.metrics.classification import score
from ablate.recipe.canonical import canonical
from ablate.recipe.recipe import Recipe
from ablate.study.provenance import Provenance, provenance_to_tags
from ablate.study.record import ArmRecord, DataFacts, ExcludedCell, StudyRecord
from ablate.study.trial_facts import TrialFacts, facts_to_tags
from ablate.tracking.mlflow_fields import TAG_LENGTH
from ablate.tracking.records import PublishedRun, PublishedStudy


@dataclass(frozen=True)
class Published:
    """A study and the predictions of its runs."""

    study: PublishedStudy
    frames: dict[str, pd.DataFrame] = field(default_factory=dict)

    def predictions(self, run: PublishedRun) -> pd.DataFrame:
        return self.frames[run.run_id]

    def with_runs(self, change: Callable[[PublishedRun], PublishedRun | None]) -> Published:
        """The same study after `change` of each run; None drops it."""
        runs = tuple(
            changed for run in self.study.runs for changed in [change(run)] if changed is not None
        )
        return replace(self, study=replace(self.study, runs=runs))

    def with_record(self, **changes: Any) -> Published:
        return replace(
            self, study=replace(self.study, record=self.study.record.model_copy(update=changes))
        )


AXES: dict[str, tuple[Any, ...]] = {
    "freeze_depth": ("all", -1),
    "lr_ratio": (0.1, 1.0),
    "augment": ("none", "light"),
    "lora_rank": (0, 8),
}


def make_arms(
    axes: dict[str, tuple[Any, ...]],
) -> tuple[tuple[ArmRecord, ...], tuple[ExcludedCell, ...]]:
    """Merge cells by their canonical recipe; adapters with free units are excluded."""
    recipes: dict[str, Recipe] = {}
    cells: dict[str, list[dict[str, Any]]] = {}
    excluded = []
    for levels in itertools.product(*axes.values()):
        cell = dict(zip(axes, levels, strict=True))
        recipe = Recipe(**cell)
        if recipe.lora_rank and recipe.freeze_depth != "all":
            excluded.append(ExcludedCell(cell=cell, why="adapters are compared on a frozen trunk"))
            continue
        fields = canonical(recipe)
        name = " ".join(f"{axis}={fields[axis]}" for axis in axes if axis in fields)
        recipes.setdefault(name, recipe)
        cells.setdefault(name, []).append(cell)
    arms = tuple(
        ArmRecord(arm_id=f"{index:012x}", name=name, recipe=recipes[name], cells=tuple(cells[name]))
        for index, name in enumerate(recipes)
    )
    return arms, tuple(excluded)


def make_frame(
    seed: int, labels: dict[str, np.ndarray], *, n_classes: int, signal: float
) -> pd.DataFrame:
    """Predictions as an artifact holds them: float32 probabilities.

    They know more of the label the larger `signal` is.
    """
    parts = []
    for number, (split, own) in enumerate(labels.items()):
        rng = np.random.default_rng([seed, number])
        logits = rng.normal(size=(len(own), n_classes)) + signal * np.eye(n_classes)[own]
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        columns = {f"p_{c}": probabilities[:, c].astype(np.float32) for c in range(n_classes)}
        parts.append(
            pd.DataFrame(
                {
                    "split": split,
                    "image_id": [f"{split}/{i}" for i in range(len(own))],
                    "label": own,
                    **columns,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


FACTS = TrialFacts(
    device="cpu",
    precision="fp32",
    weights_source="package",
    weights_digest="ab" * 32,
    torch="2.9",
)
PROVENANCE = Provenance(
    version="0.1.0",
    commit="c0ffee",
    platform="Linux x86_64",
    libraries={"python": "3.12.3", "timm": "1.0.22", "torch": "2.9"},
)


def make_run(arm: ArmRecord, seed: int, frame: pd.DataFrame, *, number: int) -> PublishedRun:
    metrics = {
        "best_epoch": 2.0,
        "cost/n_parameters": 3_400_000.0,
        "cost/n_trainable": 5_000.0 * (1 + number % 7),
        "cost/peak_memory_mb": 500.5 + number,
    }
    for split in ("val", "test"):
        own = frame[frame["split"] == split]
        scores = score(own.filter(like="p_").to_numpy(), own["label"].to_numpy())
        metrics |= {f"{split}/{name}": value for name, value in scores.items()}
    best = metrics["val/macro_f1"]
    curves: dict[str, tuple[tuple[int, float], ...]] = {
        "train/loss": ((0, 1.5), (1, 0.9), (2, 0.6)),
        "val/macro_f1": ((0, 0.5 * best), (1, 0.9 * best), (2, best)),
    }
    return PublishedRun(
        run_id=f"run{number:03d}",
        trial_id=f"{number:016x}",
        arm_id=arm.arm_id,
        seed=seed,
        attempt=1,
        status="COMPLETE",
        metrics={
            **metrics,
            "time/train_s": 10.0 + number / 7,
            "time/total_s": 12.0 + number / 7,
            "param/lr_ratio": 0.1,
        },
        curves=curves,
        params={"precision": "auto"},
        tags={**facts_to_tags(FACTS, longest=TAG_LENGTH), **provenance_to_tags(PROVENANCE)},
        failure="",
    )


def make_study(
    *,
    axes: dict[str, tuple[Any, ...]] = AXES,
    seeds: Sequence[int] = (0, 1),
    n_classes: int = 5,
    n_images: int = 60,
    absent: Sequence[int] = (),
    signal: Callable[[Recipe], float] = lambda recipe: (
        1.5 + (recipe.freeze_depth == -1) + 0.4 * (recipe.augment == "light")
    ),
) -> Published:
    """A complete study; classes in `absent` have no image in test."""
    arms, excluded = make_arms(axes)
    every = np.arange(n_images) % n_classes
    labels = {"val": every, "test": every[~np.isin(every, list(absent))]}
    counts = {"train": every, **labels}
    class_counts = {}
    for split, labels_of_split in counts.items():
        n_images_of = np.bincount(labels_of_split, minlength=n_classes)
        class_counts[split] = tuple(n_images_of.tolist())
    data = DataFacts(
        source="rendered_flowers",
        title="Rendered flowers",
        version="1",
        licence="Apache-2.0",
        origin="drawn by ablate",
        is_synthetic=True,
        requested_source="flowers102",
        class_names=tuple(f"species {c}" for c in range(n_classes)),
        class_counts=class_counts,
        fingerprint="f" * 64,
        split_rule="official",
    )
    record = StudyRecord(
        study_id="s" * 12,
        grid_name="flowers",
        question="Which way of transferring works?",
        task="classification",
        data=data,
        image_size="128",
        axes=axes,
        baseline_arm_id=arms[0].arm_id,
        select_by="val/macro_f1",
        seeds=tuple(seeds),
        arms=arms,
        excluded=excluded,
        command="make ablation GRID=flowers",
    )
    runs, frames = [], {}
    for number, (arm, seed) in enumerate(itertools.product(arms, seeds)):
        frame = make_frame(
            seed, labels, n_classes=n_classes, signal=signal(arm.recipe) + 0.01 * number
        )
        runs.append(make_run(arm, seed, frame, number=number))
        frames[runs[-1].run_id] = frame
    study = PublishedStudy(
        record=record,
        tracking_uri="sqlite:///elsewhere.db",
        experiment_id="1",
        parent_run_id="parent0",
        runs=tuple(runs),
    )
    return Published(study, frames)


@pytest.fixture(scope="session")
def build() -> Callable[..., Published]:
    return make_study


@pytest.fixture(scope="session")
def published() -> Published:
    return make_study()
