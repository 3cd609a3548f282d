"""A published study of any task, made of noise and some signal: nothing is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from ablate.metrics import SCORING
from ablate.recipe.recipe import Recipe
from ablate.study.record import ArmRecord, DataFacts, StudyRecord
from ablate.study.tasks import TASKS, TaskSpec
from ablate.targets import TARGETS, Targets
from ablate.targets.codecs import CODECS, SplitPredictions
from ablate.tracking.records import PublishedRun, PublishedStudy
from ablate.training.tasks import serving_task

CLASSES = ("low", "middle", "high")
N_IMAGES = 30
Predictions = Callable[[PublishedRun], pd.DataFrame]


@dataclass(frozen=True)
class AnyStudy:
    """A study, and the predictions of its runs."""

    study: PublishedStudy
    frames: dict[str, pd.DataFrame]

    def predictions(self, run: PublishedRun) -> pd.DataFrame:
        """As a store gives them."""
        return self.frames[run.run_id]


def study_of(task: str, *, seeds: Sequence[int] = (0, 1)) -> AnyStudy:
    """Two arms, of which the second knows more."""
    spec = TASKS[task]
    targets = {split: _targets(spec, shift) for shift, split in enumerate(("val", "test"))}
    arms = []
    for number, head_lr in enumerate((1e-4, 1e-3)):
        recipe = Recipe(**{**spec.base_defaults, "head_lr": head_lr})
        cell = {"head_lr": head_lr}
        arm_id = f"{number:012x}"
        arms.append(
            ArmRecord(arm_id=arm_id, name=f"head_lr={head_lr}", recipe=recipe, cells=(cell,))
        )
    runs, frames = [], {}
    for number, arm in enumerate(arms):
        for seed in seeds:
            run_id = f"{number}{seed}".rjust(32, "0")
            frames[run_id], scores = _predictions(spec, targets, seed=seed, signal=1.0 + number)
            runs.append(_run(spec, arm, seed=seed, run_id=run_id, scores=scores))
    study = PublishedStudy(
        record=_record(spec, tuple(arms), targets, seeds),
        tracking_uri="sqlite:///elsewhere.db",
        experiment_id="1",
        parent_run_id="f" * 32,
        runs=tuple(runs),
    )
    return AnyStudy(study, frames)


def _targets(spec: TaskSpec, shift: int) -> Targets:
    """Every class has images, and none has all of them."""
    kind = TARGETS[spec.targets]
    labels: list[int | tuple[int, ...]] = []
    for i in range(shift, shift + N_IMAGES):
        single: int | tuple[int, ...] = i % len(CLASSES)
        several = tuple(c for c in range(len(CLASSES)) if (i + c) % (c + 2) == 0)
        labels.append(single if kind.is_label(single) else several)
    return kind.of_labels(labels, n_classes=len(CLASSES))


def _predictions(
    spec: TaskSpec, targets: dict[str, Targets], *, seed: int, signal: float
) -> tuple[pd.DataFrame, dict[str, float]]:
    """The table that a trial stores, and its scores."""
    task = serving_task(spec.name, Recipe(**spec.base_defaults))
    parts = []
    scores: dict[str, float] = {}
    for number, (split, own) in enumerate(targets.items()):
        rng = np.random.default_rng([seed, number])
        noise = rng.normal(size=(N_IMAGES, len(CLASSES)))
        logits = noise + signal * (2 * own.membership() - 1)
        outputs = task.predictions(lambda given: given, torch.from_numpy(logits)).numpy()
        image_ids = [f"{split}/{i}.png" for i in range(N_IMAGES)]
        columns = CODECS[spec.name].encode(SplitPredictions(image_ids, own, outputs))
        parts.append(pd.DataFrame({"split": split, **columns}))
        values = SCORING[spec.name].score(outputs.astype(np.float32).astype(float), own.array)
        scores |= {f"{split}/{name}": value for name, value in values.items()}
    return pd.concat(parts, ignore_index=True), scores


def _run(
    spec: TaskSpec, arm: ArmRecord, *, seed: int, run_id: str, scores: dict[str, float]
) -> PublishedRun:
    select_by = f"val/{spec.primary}"
    curve = ((0, 0.5 * scores[select_by]), (1, scores[select_by]))
    metrics = {
        "best_epoch": 1.0,
        "cost/n_trainable": 500.0,
        "time/train_s": 10.0,
        "time/total_s": 12.0,
    }
    return PublishedRun(
        run_id=run_id,
        trial_id=run_id[-16:],
        arm_id=arm.arm_id,
        seed=seed,
        attempt=1,
        status="COMPLETE",
        metrics={**metrics, **scores},
        curves={select_by: curve, "train/loss": ((0, 1.0), (1, 0.5))},
        params={},
        tags={"device": "cpu"},
        failure="",
    )


def _record(
    spec: TaskSpec,
    arms: tuple[ArmRecord, ...],
    targets: dict[str, Targets],
    seeds: Sequence[int],
) -> StudyRecord:
    counts = {split: own.counts() for split, own in targets.items()}
    counts["train"] = counts["val"]
    is_several = any(sum(own) != N_IMAGES for own in counts.values())
    data = DataFacts(
        source="folder",
        title="Levels",
        version="1",
        licence="CC0",
        origin="nowhere",
        is_synthetic=False,
        requested_source="folder",
        class_names=CLASSES,
        class_counts=counts,
        image_counts=dict.fromkeys(counts, N_IMAGES) if is_several else {},
        fingerprint="f" * 64,
        split_rule="official",
    )
    return StudyRecord(
        study_id="0123456789ab",
        grid_name="levels",
        question="Which level is it?",
        task=spec.name,
        data=data,
        image_size="32",
        axes={"head_lr": tuple(arm.cells[0]["head_lr"] for arm in arms)},
        baseline_arm_id=arms[0].arm_id,
        select_by=f"val/{spec.primary}",
        seeds=tuple(seeds),
        arms=arms,
        excluded=(),
        command="make ablation GRID=levels",
    )
