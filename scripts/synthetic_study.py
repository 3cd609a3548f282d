"""Large studies that nobody trained, for measuring: a study's folder, and a grid of many axes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.toy_study import toy_study  # noqa: E402

from ablate.recipe.recipe import Recipe  # noqa: E402
from ablate.scheduling.study_folder import StudyFolder, StudyPlan  # noqa: E402
from ablate.study.trial import Trial  # noqa: E402
from ablate.study.trial_facts import TrialFacts  # noqa: E402
from ablate.tracking import journal_lines  # noqa: E402
from ablate.tracking.events import (  # noqa: E402
    EpochEnded,
    Event,
    TrialEnded,
    TrialOutcome,
    TrialStarted,
    TrialState,
)

N_EPOCHS = 6
_SCORES = ("macro_f1", "auroc_ovr_macro", "accuracy", "balanced_accuracy", "nll", "ece")
_FIRST_START = 1_700_000_000.0
_TRIAL_S = 12.0
# Of trials that run while somebody asks.
_N_RUNNING = 2


def running_study(home: Path, *, n_arms: int, n_seeds: int, n_left: int) -> tuple[Path, int]:
    """Write a study below `home` whose trials are complete but for the last `n_left`.

    Two of those run. Returns its folder and the number of its trials.
    """
    levels = tuple((number + 1) * 1e-6 for number in range(n_arms))
    axes = {"head_lr": levels, "freeze_depth": ("all",)}
    record, by_arm = toy_study(grid_name="scale", axes=axes, seeds=range(n_seeds))
    trials = sorted(by_arm, key=lambda trial: trial.seed)
    folder = StudyFolder(home / "studies" / "scale-toy-0123456789ab")
    folder.path.mkdir(parents=True)
    folder.write_plan(StudyPlan(record, tuple(trials)))
    n_complete = len(trials) - n_left
    with folder.journal.path.open("wb") as file:
        for number, trial in enumerate(trials[:n_complete]):
            file.writelines(_lines(_events(trial, at=_FIRST_START + number * _TRIAL_S)))
        begun = trials[n_complete : n_complete + _N_RUNNING]
        for trial in begun:
            events = _events(trial, at=_FIRST_START + n_complete * _TRIAL_S)
            file.writelines(_lines(events[: N_EPOCHS // 2]))
    return folder.path, len(trials)


def _lines(events: list[Event]) -> Iterator[bytes]:
    for place, event in enumerate(events):
        yield journal_lines.encode(event, place=place)


def _events(trial: Trial, *, at: float) -> list[Event]:
    """A complete attempt, about as long on disk as a real one."""
    events: list[Event] = [TrialStarted(trial.trial_id, 1, slot="cpu:0", at=at)]
    scores = {f"val/{name}": 0.123456789 for name in _SCORES}
    for epoch in range(N_EPOCHS):
        ended_at = at + (epoch + 1) * _TRIAL_S / (N_EPOCHS + 1)
        metrics = {"train/loss": 0.987654321, "lr/head": 0.00123, "time/epoch_s": 1.5, **scores}
        events.append(EpochEnded(trial.trial_id, 1, epoch, N_EPOCHS, metrics, at=ended_at))
    finals = {f"{split}/{name}": 0.123456789 for split in ("val", "test") for name in _SCORES}
    finals |= {"time/total_s": 11.5, "time/train_s": 9.25, "time/prefix_s": 1.5}
    outcome = TrialOutcome(
        best_epoch=3,
        metrics=finals,
        facts=TrialFacts(device="cpu", precision="fp32"),
        files=("predictions.parquet", "delta.safetensors", "trial.json"),
    )
    end = TrialEnded(trial.trial_id, 1, TrialState.COMPLETE, at=at + _TRIAL_S, outcome=outcome)
    return [*events, end]


OTHER_LEVELS: dict[str, Any] = {
    "freeze_depth": -1,
    "head_lr": 2e-3,
    "lr_ratio": 0.2,
    "layer_decay": 0.9,
    "optimizer": "sgd",
    "momentum": 0.8,
    "weight_decay": 0.02,
    "l2_sp": 0.1,
    "clip_norm": 1.0,
    "drop_path": 0.1,
    "dropout": 0.1,
    "ema_decay": 0.99,
    "schedule": "constant",
    "warmup": 0.2,
    "step_every": 0.4,
    "step_factor": 0.2,
    "epochs": 7,
    "batch_size": 16,
    "micro_batch": 8,
    "strategy": "lp_ft",
    "probe_epochs": 2,
    "n_phases": 4,
    "patience": 3,
    "augment": "light",
    "flip": "vertical",
    "color_jitter": 0.1,
    "erase": 0.1,
    "mixup": 0.2,
    "cutmix": 0.2,
    "shots": 4,
    "sampler": "balanced",
    "loss": "focal",
    "focal_gamma": 1.0,
    "logit_adjustment": 1.0,
    "label_smoothing": 0.1,
    "class_weights": "balanced",
    "effective_beta": 0.99,
    "batch_norm": "frozen",
    "pooling": "max",
    "adapter": "ssf",
    "lora_rank": 4,
    "lora_alpha": 8.0,
    "adapter_dropout": 0.1,
    "adapter_units": 2,
    "bottleneck_width": 32,
    "prompt_tokens": 5,
    "precision": "fp32",
}
"""A level of each field of a recipe that is not its default: an axis of two levels each."""


def one_factor_grid(folder: Path) -> tuple[Path, int]:
    """Write a grid of a one-factor design over every field that can be varied by itself.

    Returns its path and the number of its axes.
    """
    axes = {}
    for name, level in OTHER_LEVELS.items():
        axes[name] = [Recipe.model_fields[name].default, level]
    grid = {
        "task": "classification",
        "data": {"source": "rendered_flowers", "image_size": 64},
        "base": {"backbone": "tf_efficientnet_lite0"},
        "axes": axes,
        "design": "one_factor",
        "seeds": [0, 1, 2],
        "baseline": {axis: levels[0] for axis, levels in axes.items()},
        "select_by": "val/macro_f1",
    }
    path = folder / "factors.yaml"
    path.write_text("# Which field matters?\n" + yaml.safe_dump(grid, sort_keys=False))
    return path, len(axes)
