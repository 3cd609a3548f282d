"""What a trial starts from, and what is left of it.

Weights that were replaced and files that were damaged are told, never used.
"""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ablate.errors import TrialError, WeightsError
from ablate.model.backbone import create_backbone
from ablate.model.network import identify_weights
from ablate.tracking.events import TrialOutcome
from ablate.training.serving.export import DELTA, SHA256, TRIAL, WEIGHTS, export_complete
from ablate.training.serving.predict import load_classifier
from ablate.training.trial_run import run_trial

COPY = "take the copy among the run's artifacts in MLflow"


def _write_weights(seed: int) -> None:
    torch.manual_seed(seed)
    torch.save(
        create_backbone("test_efficientnet", n_classes=2, image_size=64).state_dict(), "w.pth"
    )


@pytest.fixture
def finished(make_request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _write_weights(1)
    request = make_request(weights="w.pth", epochs=1)
    started = identify_weights(request.trial.recipe, image_size=64)
    request = request.model_copy(update={"weights": started})
    return request, run_trial(request, lambda *_: None)


def test_a_trial_says_what_it_started_from(finished) -> None:
    request, outcome = finished
    assert outcome.facts.weights == request.weights


def test_weights_that_are_replaced_while_a_study_runs_end_the_trial(finished, make_request) -> None:
    request, _ = finished
    _write_weights(2)
    now = identify_weights(request.trial.recipe, image_size=64)
    with pytest.raises(TrialError) as caught:
        run_trial(
            make_request(weights="w.pth", epochs=1).model_copy(update={"weights": request.weights}),
            lambda *_: None,
        )
    assert str(caught.value) == (
        "weights must stay what the study began with (file w.pth, digest "
        f"{request.weights.digest[:12]}), now it is file w.pth, digest {now.digest[:12]}; "
        "put the former weights back and run the same command again, or give the new ones a path "
        "of their own"
    )


def test_a_delta_is_put_on_its_own_weights_only(finished, tmp_path) -> None:
    request, _ = finished
    _write_weights(2)
    now = identify_weights(request.trial.recipe, image_size=64)
    with pytest.raises(WeightsError) as caught:
        export_complete(request.folder, tmp_path / "whole")
    assert str(caught.value) == (
        "weights must be what the trial was trained from (file w.pth, digest "
        f"{request.weights.digest[:12]}), now it is file w.pth, digest {now.digest[:12]}; "
        "put the former weights back"
    )
    assert not (tmp_path / "whole").exists()


def _damages(content: bytes) -> list[bytes]:
    rng = random.Random(3)
    flips = [
        content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]
        for at in (rng.randrange(len(content)) for _ in range(6))
    ]
    return [*flips, content[: len(content) // 2], b"", b"text"]


def test_a_damaged_delta_is_told(finished, tmp_path) -> None:
    request, _ = finished
    whole = (request.folder / DELTA).read_bytes()
    for damaged in _damages(whole):
        (request.folder / DELTA).write_bytes(damaged)
        with pytest.raises(WeightsError) as caught:
            export_complete(request.folder, tmp_path / "whole")
        assert (
            str(caught.value)
            == f"{DELTA} of a finished trial must be as it was written, the one in "
            f"{request.folder.name} is damaged; {COPY}"
        )
    (request.folder / DELTA).unlink()
    with pytest.raises(WeightsError) as caught:
        export_complete(request.folder, tmp_path / "whole")
    assert (
        str(caught.value)
        == f"{DELTA} of a finished trial must be beside its {TRIAL}, in {request.folder.name} it "
        f"is not; {COPY}"
    )
    (request.folder / DELTA).write_bytes(whole)
    export_complete(request.folder, tmp_path / "whole")


def test_a_damaged_model_is_told(finished, tmp_path) -> None:
    request, _ = finished
    folder = export_complete(request.folder, tmp_path / "whole")
    load_classifier(folder)
    model, described = (folder / WEIGHTS).read_bytes(), (folder / TRIAL).read_text()
    for damaged in _damages(model):
        (folder / WEIGHTS).write_bytes(damaged)
        with pytest.raises(WeightsError) as caught:
            load_classifier(folder)
        assert (
            str(caught.value)
            == f"{WEIGHTS} of a finished trial must be as it was written, the one in whole is "
            f"damaged; {COPY}"
        )
    (folder / WEIGHTS).write_bytes(model)
    for text in ("", "{", "[]", "{}", described.replace('"recipe"', '"recipes"'), described[:200]):
        (folder / TRIAL).write_text(text)
        with pytest.raises(WeightsError) as caught:
            load_classifier(folder)
        assert (
            str(caught.value)
            == f"{TRIAL} must describe a finished trial, the one in whole cannot be read; {COPY}"
        )


def test_what_older_versions_left_is_read(finished, tmp_path) -> None:
    """Their descriptions have no digests of files, and one of the weights."""
    request, _ = finished
    described = json.loads((request.folder / TRIAL).read_text())
    del described[SHA256], described["facts"]["weights_content"]
    old = Path(shutil.copytree(request.folder, tmp_path / "old"))
    (old / TRIAL).write_text(json.dumps(described))
    folder = export_complete(old, tmp_path / "whole")
    exported = json.loads((folder / TRIAL).read_text())
    del exported[SHA256]
    (folder / TRIAL).write_text(json.dumps(exported))
    load_classifier(folder)
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-4])
    with pytest.raises(
        WeightsError,
        match=(
            r"^weights model.safetensors must be a safetensors file or a state dict of tensors "
            r"alone, it is damaged"
        ),
    ):
        load_classifier(folder)


def test_activations_of_other_weights_are_not_taken(make_request, tmp_path, monkeypatch) -> None:
    """The cache knows weights by their tensors.

    Another file under the same name shares nothing, the same tensors in another file share all.
    """
    monkeypatch.chdir(tmp_path)
    _write_weights(1)
    recipe = {"weights": "w.pth", "epochs": 1, "freeze_depth": -1}
    first = run_trial(make_request(**recipe, cache=tmp_path / "cache"), lambda *_: None)
    assert (first.facts.views_computed, first.facts.views_from_cache) == (3, 0)
    _write_weights(2)
    other = run_trial(make_request(**recipe, cache=tmp_path / "cache"), lambda *_: None)
    assert (other.facts.views_computed, other.facts.views_from_cache) == (3, 0)
    alone = run_trial(make_request(**recipe, cache=tmp_path / "another cache"), lambda *_: None)
    assert _scores(other) == _scores(alone)
    save_file(torch.load("w.pth", weights_only=True), "w.safetensors")
    again = run_trial(
        make_request(**{**recipe, "weights": "w.safetensors"}, cache=tmp_path / "cache"),
        lambda *_: None,
    )
    assert (again.facts.views_computed, again.facts.views_from_cache) == (0, 3)
    assert _scores(again) == _scores(other)


def _scores(outcome: TrialOutcome) -> dict[str, float]:
    return {
        name: value for name, value in outcome.metrics.items() if name.startswith(("val/", "test/"))
    }
