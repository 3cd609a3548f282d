"""A trial that is killed anywhere and goes on ends with the numbers of one that was left alone,
bit for bit on the CPU in fp32."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from ablate.model.backbone import create_backbone
from ablate.study.request import CheckpointSpec, TrialRequest
from ablate.tracking.artifacts import read_predictions
from ablate.tracking.events import TrialOutcome
from ablate.training.loop import fit
from ablate.training.loop.active_phase import ActivePhase
from ablate.training.loop.checkpoint import FILE, Checkpoint
from ablate.training.loop.training_progress import TrainingProgress
from ablate.training.trial_run import run_trial

RECIPES = {
    "adamw, BatchNorm trains": {
        "freeze_depth": 0,
        "batch_norm": "train",
        "augment": "light",
        "head_lr": 1e-2,
    },
    "sgd, last unit": {
        "freeze_depth": -1,
        "optimizer": "sgd",
        "head_lr": 1e-2,
        "label_smoothing": 0.1,
        "class_weights": "balanced",
    },
    "adapters with dropout": {
        "freeze_depth": "all",
        "lora_rank": 2,
        "adapter_dropout": 0.3,
        "head_lr": 1e-2,
    },
    "a transformer that drops": {
        "backbone": "test_vit",
        "freeze_depth": 0,
        "head_lr": 1e-3,
        "schedule": "constant",
    },
    "features and branches dropped": {
        "backbone": "test_resnet",
        "freeze_depth": 0,
        "dropout": 0.5,
        "drop_path": 0.5,
        "head_lr": 1e-2,
        "micro_batch": 4,
    },
    "a probe first": {
        "strategy": "lp_ft",
        "freeze_depth": 0,
        "head_lr": 1e-2,
        "layer_decay": 0.8,
        "schedule": "one_cycle",
        "augment": "light",
    },
    "averaged weights": {
        "freeze_depth": -1,
        "ema_decay": 0.9,
        "head_lr": 1e-2,
    },  # within one phase: each begins its own mean
    "all tools at once": {
        "strategy": "gradual",
        "freeze_depth": -2,
        "patience": 1,
        "ema_decay": 0.5,
        "clip_norm": 1.0,
        "l2_sp": 0.1,
        "micro_batch": 4,
        "optimizer": "lamb",
        "schedule": "step",
        "head_lr": 1e-2,
    },
    "what pretraining knew": {
        "backbone": "test_efficientnet",
        "weights": "test_efficientnet.safetensors",
        "freeze_depth": -1,
        "lwf": 1.0,
        "co_tuning": 1.0,
        "delta": 1.0,
        "bss": 0.01,
        "micro_batch": 4,
        "augment": "light",
        "head_lr": 1e-2,
    },
    "what pretraining knew, mixed and in phases": {
        "backbone": "test_efficientnet",
        "weights": "test_efficientnet.safetensors",
        "strategy": "lp_ft",
        "freeze_depth": 0,
        "lwf": 1.0,
        "delta": 1.0,
        "mixup": 0.4,
        "ema_decay": 0.5,
        "optimizer": "sgd",
        "head_lr": 1e-2,
    },
}
N_EPOCHS, STEPS_PER_EPOCH = 3, 3


class Killed(BaseException):
    """The end of a process, as far as one process can play it."""


def kept(request: TrialRequest, folder: Path, *, every_s: float = 0.0) -> TrialRequest:
    return request.model_copy(update={"checkpoint": CheckpointSpec(folder=folder, every_s=every_s)})


def run(request: TrialRequest) -> tuple[TrialOutcome, list[tuple[int, int, dict[str, float]]]]:
    epochs: list[tuple[int, int, dict[str, float]]] = []
    return run_trial(request, lambda *epoch: epochs.append(epoch)), epochs


def numbers(outcome: TrialOutcome) -> tuple[int, dict[str, float]]:
    """What does not depend on time and memory."""
    return outcome.best_epoch, {
        name: value
        for name, value in outcome.metrics.items()
        if not name.startswith(("time/", "cost/peak"))
    }


def assert_equal_files(one: TrialRequest, other: TrialRequest) -> None:
    first, second = (load_file(request.folder / "delta.safetensors") for request in (one, other))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    first_scores, second_scores = (
        read_predictions(request.folder / "predictions.parquet").filter(like="p_").to_numpy()
        for request in (one, other)
    )
    np.testing.assert_array_equal(first_scores, second_scores)


def counted_steps(patch: pytest.MonkeyPatch, before_step: Callable[[int], None]) -> None:
    """Call `before_step` with the number of each optimizer step, counted over all epochs and
    attempts, before it is taken."""
    train_epoch, set_rates = fit.train_epoch, ActivePhase.set_rates
    now: list[TrainingProgress] = []

    def epoch(active, setup, done):
        now[:] = [done]
        return train_epoch(active, setup, done)

    def rates(active: ActivePhase, step: int) -> float:
        before_step(now[0].n_steps)
        return set_rates(active, step)

    patch.setattr(fit, "train_epoch", epoch)
    patch.setattr(ActivePhase, "set_rates", rates)


def run_killed_at(step: int, request: TrialRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break off before the optimizer step `step`, counted over all epochs."""

    def break_off(at: int) -> None:
        if at == step:
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        counted_steps(patch, break_off)
        run(request)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_killed_before_any_step_a_trial_ends_with_the_same_numbers(
    make_request, pretrained, tmp_path, monkeypatch, recipe
):
    pretrained()
    alone = make_request(epochs=N_EPOCHS, **recipe)
    expected, expected_epochs = run(alone)
    assert expected.metrics["n_steps"] == N_EPOCHS * STEPS_PER_EPOCH
    for step in range(1, N_EPOCHS * STEPS_PER_EPOCH):
        folder = tmp_path / f"checkpoint-{step}"
        run_killed_at(step, kept(make_request(epochs=N_EPOCHS, **recipe), folder), monkeypatch)
        assert (folder / FILE).exists() == (step >= STEPS_PER_EPOCH)
        torch.manual_seed(step)  # whatever another process has drawn
        again = kept(make_request(epochs=N_EPOCHS, **recipe), folder)
        outcome, epochs = run(again)
        assert numbers(outcome) == numbers(expected)
        assert epochs == expected_epochs
        assert_equal_files(alone, again)


@pytest.mark.slow
def test_killed_again_and_again(make_request, tmp_path, monkeypatch):
    """Early stopping counts on through the kills, and nothing is trained twice but the epoch
    that was broken off."""
    recipe = {"freeze_depth": 0, "head_lr": 1e-2, "patience": 2, "epochs": 8}
    alone = make_request(**recipe)
    expected, expected_epochs = run(alone)
    for step in range(1, int(expected.metrics["n_steps"]), 2):
        run_killed_at(step, kept(make_request(**recipe), tmp_path / "checkpoint"), monkeypatch)
    again = kept(make_request(**recipe), tmp_path / "checkpoint")
    outcome, epochs = run(again)
    assert (numbers(outcome), epochs) == (numbers(expected), expected_epochs)
    assert_equal_files(alone, again)


def test_a_resumed_trial_does_not_train_the_epochs_that_it_has(make_request, tmp_path, monkeypatch):
    request = kept(make_request(epochs=N_EPOCHS), tmp_path / "checkpoint")
    run_killed_at(2 * STEPS_PER_EPOCH + 1, request, monkeypatch)
    steps: list[int] = []
    counted_steps(monkeypatch, steps.append)
    run(kept(make_request(epochs=N_EPOCHS), tmp_path / "checkpoint"))
    assert steps == [6, 7, 8]


def test_short_epochs_are_not_kept(make_request, tmp_path):
    run(kept(make_request(epochs=2), tmp_path / "checkpoint", every_s=600.0))
    assert not (tmp_path / "checkpoint").exists()


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["torn", "empty", "another trial's", "another torch's"])
def test_a_checkpoint_that_is_not_the_trials_is_left_aside(
    make_request, tmp_path, monkeypatch, damage
):
    expected, _ = run(make_request(epochs=N_EPOCHS))
    folder = tmp_path / "checkpoint"
    run_killed_at(
        2 * STEPS_PER_EPOCH,
        kept(make_request(epochs=N_EPOCHS, seed=int(damage == "another trial's")), folder),
        monkeypatch,
    )
    if damage in ("torn", "empty"):
        content = (folder / FILE).read_bytes()
        (folder / FILE).write_bytes(content[: len(content) // 2 if damage == "torn" else 0])
    if damage == "another torch's":
        monkeypatch.setattr(torch, "__version__", "0.0.1")
    outcome, epochs = run(kept(make_request(epochs=N_EPOCHS), folder))
    assert numbers(outcome) == numbers(expected)
    assert len(epochs) == N_EPOCHS


@pytest.mark.slow
def test_a_damaged_checkpoint_is_as_none(make_request, tmp_path, monkeypatch):
    """Whichever byte is other than it was written: a tensor's value, the header, a length.

    No value of it is trained on.
    """
    folder = tmp_path / "checkpoint"
    run_killed_at(2 * STEPS_PER_EPOCH, kept(make_request(epochs=N_EPOCHS), folder), monkeypatch)
    with safe_open(folder / FILE, framework="pt") as file:
        identity = json.loads(file.metadata()["ablate"])["identity"]
    checkpoint = Checkpoint(folder, identity=identity, every_s=0.0)
    assert checkpoint.read() is not None
    whole, rng = (folder / FILE).read_bytes(), random.Random(11)
    places = [
        *range(16),
        *(rng.randrange(len(whole)) for _ in range(80)),
        *(len(whole) - 1 - n for n in range(4)),
    ]
    for at in places:
        (folder / FILE).write_bytes(
            whole[:at] + bytes([whole[at] ^ (1 << rng.randrange(8))]) + whole[at + 1 :]
        )
        assert checkpoint.read() is None, at
    for end in (0, 7, 8, 100, len(whole) - 1):
        (folder / FILE).write_bytes(whole[:end])
        assert checkpoint.read() is None, end
    outcome, epochs = run(kept(make_request(epochs=N_EPOCHS), folder))
    assert numbers(outcome) == numbers(run(make_request(epochs=N_EPOCHS))[0])
    assert len(epochs) == N_EPOCHS


@pytest.mark.slow
def test_a_checkpoint_on_other_weights_is_left_aside(make_request, tmp_path, monkeypatch):
    """The trunk's frozen part is not in it.

    With another file under the same name it would be a mixture of two networks.
    """
    monkeypatch.chdir(tmp_path)
    for seed in (1, 2):
        torch.manual_seed(seed)
        torch.save(
            create_backbone("test_efficientnet", n_classes=2, image_size=64).state_dict(),
            f"{seed}.pth",
        )
    recipe = {"weights": "w.pth", "epochs": N_EPOCHS, "head_lr": 1e-2}
    Path("2.pth").replace("w.pth")
    expected, _ = run(make_request(**recipe))
    Path("w.pth").replace("2.pth")
    Path("1.pth").replace("w.pth")
    run_killed_at(
        2 * STEPS_PER_EPOCH, kept(make_request(**recipe), tmp_path / "checkpoint"), monkeypatch
    )
    Path("2.pth").replace("w.pth")
    outcome, epochs = run(kept(make_request(**recipe), tmp_path / "checkpoint"))
    assert numbers(outcome) == numbers(expected)
    assert len(epochs) == N_EPOCHS


def test_a_disk_that_is_full_costs_the_checkpoint_only(make_request, tmp_path, caplog):
    (tmp_path / "checkpoint").write_text("in the way of the folder")
    outcome, _ = run(kept(make_request(epochs=1), tmp_path / "checkpoint"))
    assert outcome.best_epoch == 0
    assert "the trial goes on without" in caplog.text


def test_a_checkpoint_holds_tensors_and_json_only(make_request, tmp_path):
    run(kept(make_request(epochs=2), tmp_path / "checkpoint"))
    with safe_open(tmp_path / "checkpoint" / FILE, framework="pt") as file:
        header = json.loads(file.metadata()["ablate"])
    assert header["progress"]["phase"] == 0
    assert header["progress"]["n_epochs"] == 2
    assert len(header["progress"]["history"]) == 2
    assert list((tmp_path / "checkpoint").iterdir()) == [tmp_path / "checkpoint" / FILE]
