"""What a plan promises to share is what a run shares, whatever axis a grid varies.

For every field of a recipe: a grid with two levels of it is planned, and really run on a tiny
network; the views that the plan counts are the views that the trials compute.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ablate.grid.parse import load_grid
from ablate.model.backbone import create_backbone
from ablate.recipe.recipe import Recipe
from ablate.recipe.shown_part import SHOWN_FIELDS
from ablate.study.request import Compute
from ablate.training.machine import precision
from ablate.training.trial_run import run_trial
from ablate.workflow.folders import find_folders
from ablate.workflow.plan.sharing import sharing_table
from ablate.workflow.prepare.check_arms import check_arms
from ablate.workflow.prepare.network_facts import BuiltFacts
from ablate.workflow.prepare.prepared import prepare
from ablate.workflow.prepare.resolved import resolve

Fields = dict[str, Any]
BASE: Fields = {
    "backbone": "test_efficientnet",
    "weights": "none",
    "freeze_depth": "all",
    "augment": "light",
    "epochs": 1,
    "batch_size": 8,
    "precision": "fp32",
}
LORA: Fields = {"adapter": "lora", "lora_rank": 2, "adapter_units": 1}
VIT: Fields = {"backbone": "test_vit", "adapter_units": 2}
SOURCE: Fields = {"weights": "first.safetensors"}
AXES: dict[str, tuple[list[Any], Fields]] = {
    "backbone": (["test_efficientnet", "test_resnet"], {}),
    "weights": (["first.safetensors", "second.safetensors"], {}),
    "image_size": ([None, 48], {}),
    "view": ([None, "squash"], {}),
    "crop_share": ([None, 1.0], {}),
    "interpolation": ([None, "nearest"], {}),
    "freeze_depth": (["all", -1], {}),
    "head_lr": ([1e-3, 1e-2], {}),
    "lr_ratio": ([0.1, 1.0], {"freeze_depth": -1}),
    "layer_decay": ([0.5, 1.0], {"freeze_depth": -2}),
    "optimizer": (["adamw", "sgd"], {}),
    "momentum": ([0.5, 0.9], {"optimizer": "sgd"}),
    "weight_decay": ([0.0, 0.1], {}),
    "l2_sp": ([0.0, 0.1], {"freeze_depth": -1}),
    "lwf": ([0.0, 1.0], {**SOURCE, "freeze_depth": -1}),
    "lwf_temperature": ([2.0, 4.0], {**SOURCE, "freeze_depth": -1, "lwf": 1.0}),
    "co_tuning": ([0.0, 1.0], {**SOURCE, "freeze_depth": -1}),
    "delta": ([0.0, 1.0], {"freeze_depth": -1}),
    "bss": ([0.0, 1.0], {"freeze_depth": -1}),
    "bss_k": ([1, 2], {"freeze_depth": -1, "bss": 1.0}),
    "clip_norm": ([None, 1.0], {}),
    "drop_path": ([0.0, 0.1], {"backbone": "test_vit", "freeze_depth": -2}),
    "dropout": ([0.0, 0.1], {}),
    "ema_decay": ([0.0, 0.9], {}),
    "schedule": (["cosine", "constant"], {}),
    "warmup": ([0.0, 0.1], {}),
    "step_every": ([0.3, 0.5], {"schedule": "step"}),
    "step_factor": ([0.1, 0.5], {"schedule": "step"}),
    "epochs": ([1, 2], {}),
    "batch_size": ([4, 8], {}),
    "micro_batch": ([None, 4], {}),
    "strategy": (["single", "lp_ft"], {"freeze_depth": -1, "epochs": 2}),
    "probe_epochs": ([1, 2], {"strategy": "lp_ft", "freeze_depth": -1, "epochs": 3}),
    "n_phases": ([3, 4], {"strategy": "gradual", "freeze_depth": -3, "epochs": 4}),
    "phases": (
        [
            [{"freeze_depth": "all", "epochs": 1}, {"freeze_depth": -1, "epochs": 1}],
            [{"freeze_depth": -1, "epochs": 1}, {"freeze_depth": -2, "epochs": 1}],
        ],
        {},
    ),
    "patience": ([None, 1], {}),
    "augment": (["none", "light"], {}),
    "flip": (["none", "horizontal"], {}),
    "color_jitter": ([None, 0.3], {}),
    "erase": ([None, 0.3], {}),
    "mixup": ([0.0, 0.2], {}),
    "cutmix": ([0.0, 0.5], {}),
    "shots": ([None, 3], {}),
    "sampler": (["shuffle", "balanced"], {}),
    "loss": (["cross_entropy", "focal"], {}),
    "focal_gamma": ([1.0, 2.0], {"loss": "focal"}),
    "logit_adjustment": ([0.0, 1.0], {}),
    "label_smoothing": ([0.0, 0.1], {}),
    "class_weights": (["none", "balanced"], {}),
    "effective_beta": ([0.9, 0.99], {"class_weights": "effective"}),
    "classifier": (["linear", "ridge"], {"epochs": 2, "augment": "none"}),
    "classifier_l2": ([0.1, 1.0], {"classifier": "ridge", "augment": "none"}),
    "neighbours": ([1, 3], {"classifier": "knn", "augment": "none"}),
    "batch_norm": (["frozen", "train"], {"freeze_depth": -1}),
    "pooling": (["avg", "max"], {}),
    "adapter": (["none", "ssf"], {"adapter_units": 1}),
    "lora_rank": ([1, 2], {"adapter": "lora", "adapter_units": 1}),
    "lora_alpha": ([1.0, 2.0], LORA),
    "adapter_dropout": ([0.0, 0.1], LORA),
    "adapter_targets": (["auto", ["*conv*"]], LORA),
    "adapter_units": ([1, 2], {"adapter": "lora", "lora_rank": 2}),
    "bottleneck_width": ([4, 8], {**VIT, "adapter": "bottleneck"}),
    "prompt_tokens": ([2, 4], {**VIT, "adapter": "vpt"}),
    "precision": (["fp32", "bf16"], {}),
}
"""Field -> two levels of it, and what else the recipe needs for both to matter."""
SEEDED = frozenset(
    {"backbone", "weights", *SHOWN_FIELDS, "augment", "epochs", "pooling", "precision"}
)
"""Axes that are run with two seeds: random trunks differ by seed, loaded ones do not."""


@pytest.fixture(autouse=True)
def _measured_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring the machine would take longer than all trials."""
    compute = Compute(device="cpu", precision="fp32", channels_last=True, threads=1)
    monkeypatch.setattr(precision, "choose_compute", lambda *_, **__: compute)


@pytest.fixture
def write_axis(desk: Path) -> Callable[[str], Path]:
    """Write the grid that varies one field."""
    for seed, name in enumerate(("first.safetensors", "second.safetensors")):
        torch.manual_seed(seed)
        backbone = create_backbone("test_efficientnet", n_classes=3, image_size=32)
        save_file(backbone.state_dict(), desk / name)

    def write(axis: str) -> Path:
        levels, needed = AXES[axis]
        base = {**BASE, **needed}
        base.pop(axis, None)
        grid = {
            "task": "classification",
            "data": {"source": "folder", "path": "pictures", "image_size": 32},
            "base": base,
            "axes": {axis: levels},
            "seeds": [0, 1] if axis in SEEDED else [0],
            "baseline": {axis: levels[0]},
            "select_by": "val/macro_f1",
        }
        path = desk / f"{axis}.yaml"
        path.write_text(f"# Is what is planned what happens?\n{json.dumps(grid)}\n")
        return path

    return write


@pytest.mark.slow
@pytest.mark.parametrize("axis", AXES)
def test_the_views_that_are_planned_are_those_that_are_computed(
    axis: str, write_axis: Callable[[str], Path], desk: Path
) -> None:
    where = find_folders()
    grid = load_grid(write_axis(axis))
    resolved = resolve(grid, where, seeds=None, allow_fallback=False, command="")
    assert len(resolved.expansion.arms) == 2
    networks = BuiltFacts()
    facts = check_arms(resolved, networks=networks).facts
    _, planned = sharing_table(resolved, facts, networks=networks)

    prepared = prepare(
        resolved,
        where,
        report_dir=desk / "report",
        threads=1,
        cache_gb=1.0,
        on_progress=lambda *_: None,
    )
    n_computed = 0
    for trial in resolved.trials:
        folder = desk / "attempts" / trial.trial_id
        folder.mkdir(parents=True)
        outcome = run_trial(prepared.request(trial, 1, folder), lambda *_: None)
        assert outcome.facts.cache_problems == ()
        n_computed += outcome.facts.views_computed or 0
    assert n_computed == planned.n_views


def test_every_field_of_a_recipe_is_an_axis_here() -> None:
    assert set(AXES) == set(Recipe.model_fields)
