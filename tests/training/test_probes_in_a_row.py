"""Probes that follow one another in a worker equal probes that run alone, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from ablate.errors import TrialError
from ablate.model import kept_backbone, kept_probe
from ablate.study.request import TrialRequest
from ablate.training.trial_run import run_trial

PROBES: tuple[dict[str, Any], ...] = (
    {"head_lr": 1e-2},
    {"head_lr": 1e-1, "weight_decay": 0.1},
    {"head_lr": 1e-2, "seed": 5, "dropout": 0.0},
    {"head_lr": 1e-2, "label_smoothing": 0.2, "class_weights": "balanced"},
    {"head_lr": 1e-2, "dropout": 0.4},
    {"head_lr": 1e-2, "freeze_depth": -1},
    {"head_lr": 3e-2, "optimizer": "sgd", "shots": 3, "ema_decay": 0.5},
)


@pytest.fixture(autouse=True)
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    model = timm.create_model("test_efficientnet", num_classes=3)
    save_file(model.state_dict(), "weights.safetensors")
    _forget()
    yield
    _forget()


def _forget() -> None:
    kept_probe._kept.clear()
    kept_backbone._kept.clear()


def _result(request: TrialRequest) -> tuple[Any, ...]:
    epochs: list[Any] = []
    outcome = run_trial(request, lambda *epoch: epochs.append(epoch))
    scores = {}
    for name, value in outcome.metrics.items():
        if not name.startswith("time/") and name != "cost/peak_memory_mb":
            scores[name] = value
    predictions = (request.folder / "predictions.parquet").read_bytes()
    tensors = load_file(request.folder / "delta.safetensors")
    delta = {name: tensor.tolist() for name, tensor in tensors.items()}
    return epochs, scores, outcome.best_epoch, outcome.facts, predictions, delta


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.slow)])
def test_probes_in_a_row_equal_probes_alone(make_request, tmp_path: Path, precision: str) -> None:
    def request(probe: dict[str, Any]) -> TrialRequest:
        fields = {"freeze_depth": "all", "weights": "weights.safetensors", **probe}
        return make_request(cache=tmp_path / "cache", precision=precision, **fields)

    for probe in PROBES:
        _result(request(probe))  # activations are there for all that follow
    alone = []
    for probe in PROBES:
        _forget()
        alone.append(_result(request(probe)))
    _forget()
    for probe, expected in zip(PROBES, alone, strict=True):
        assert _result(request(probe)) == expected, probe
    # in another order, and so in other company
    for probe, expected in reversed(list(zip(PROBES, alone, strict=True))):
        assert _result(request(probe)) == expected, probe


def test_a_trial_that_breaks_off_leaves_nothing_to_the_next(make_request, tmp_path: Path) -> None:
    fields = {"freeze_depth": "all", "weights": "weights.safetensors"}
    good = make_request(cache=tmp_path / "cache", **fields)
    run_trial(good, lambda *_: None)
    assert kept_probe._kept
    with pytest.raises(TrialError):
        run_trial(make_request(cache=tmp_path / "cache", head_lr=1e38, **fields), lambda *_: None)
    assert not kept_probe._kept
