"""Weights that are replaced under the same name.

A study goes on with its own, or says what changed; it never mixes two.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from ablate.cli import app
from ablate.errors import WeightsError
from ablate.grid.parse import load_grid
from ablate.model.network import identify_weights
from ablate.recipe.recipe import Recipe
from ablate.scheduling.study_folder import StudyFolder, StudyPlan
from ablate.study.trial import DataSpec, Trial
from ablate.study.trial_facts import TrialFacts
from ablate.study.weights_identity import WeightsIdentity, weights_name
from ablate.tracking.events import Failure, TrialEnded, TrialOutcome, TrialStarted, TrialState
from ablate.workflow.folders import find_folders
from ablate.workflow.prepare.prepared import prepare
from ablate.workflow.prepare.resolved import Resolved, resolve
from ablate.workflow.prepare.same_weights import check_weights_of_past
from ablate.workflow.prepare.study_folders import study_folder

WriteGrid = Callable[..., Path]
RECIPE = Recipe(backbone="test_resnet", weights="w.pth")
NOW = WeightsIdentity(source="file w.pth", digest="b" * 64, content="2" * 64)
WAYS_OUT = (
    "Ways out: put the former weights back, and finished trials are used; or give the new ones "
    "a path of their own, or the grid file another name, "
    "and they are trained as other trials"
)


def _trial(seed: int, *, image_size: int = 32, **recipe: object) -> Trial:
    data = DataSpec(source="folder", image_size=image_size)
    changed = RECIPE.model_copy(update=recipe)
    return Trial(
        task="classification",
        data=data,
        data_fingerprint="f" * 64,
        recipe=changed,
        select_by="val/macro_f1",
        seed=seed,
    )


def _finished(
    folder: Path, trial: Trial, *, state: TrialState = TrialState.COMPLETE, **facts: Any
) -> None:
    journal = StudyFolder(folder).journal
    is_complete = state is TrialState.COMPLETE
    journal.append(TrialStarted(trial.trial_id, 1, slot="cpu:0", at=1.0))
    outcome = None
    if is_complete:
        outcome = TrialOutcome(best_epoch=0, metrics={}, facts=TrialFacts(**facts), files=())
    failure = None if is_complete else Failure("TrialError", "no", "")
    journal.append(TrialEnded(trial.trial_id, 1, state, at=2.0, outcome=outcome, failure=failure))


def _check(folder: Path, *trials: Trial, now: WeightsIdentity = NOW) -> None:
    check_weights_of_past(
        [folder, folder / "no pilot"], trials, {weights_name(RECIPE): now}, image_size=32
    )


def test_trials_of_other_weights_are_named_with_both_digests(tmp_path: Path) -> None:
    trials = [_trial(seed) for seed in range(6)]
    for trial in trials:
        _finished(tmp_path, trial, weights_source="file w.pth", weights_digest="a" * 64)
    with pytest.raises(WeightsError) as caught:
        _check(tmp_path, *trials)
    assert str(caught.value) == (
        "weights must be what the study's finished trials were trained from, they are not: 6 "
        "finished trials "
        f"({', '.join(trial.trial_id for trial in trials[:4])} and 2 more) started from file "
        "w.pth, digest aaaaaaaaaaaa; "
        f"now it is file w.pth, digest bbbbbbbbbbbb. {WAYS_OUT}"
    )


def test_a_package_that_was_upgraded_is_named_with_both_versions(tmp_path: Path) -> None:
    _finished(
        tmp_path, _trial(0), weights_source="package some-model 0.1.0", weights_digest="a" * 64
    )
    with pytest.raises(WeightsError) as caught:
        _check(
            tmp_path, _trial(0), now=NOW.model_copy(update={"source": "package some-model 0.2.0"})
        )
    assert str(caught.value) == (
        "weights must be what the study's finished trials were trained from, they are not: 1 "
        f"finished trial ({_trial(0).trial_id}) started from "
        "package some-model 0.1.0, digest aaaaaaaaaaaa; now it is package some-model 0.2.0, "
        f"digest bbbbbbbbbbbb. {WAYS_OUT}"
    )


@pytest.mark.parametrize(
    "facts",
    [
        {"weights_digest": "b" * 64},  # a study of a version that noted one digest
        {"weights_digest": "b" * 64, "weights_content": "1" * 64},  # packed otherwise
        {"weights_digest": "a" * 64, "weights_content": "2" * 64},  # converted on another machine
        {},  # a study that noted none
    ],
    ids=str,
)
def test_the_same_weights_are_taken(tmp_path: Path, facts: dict[str, Any]) -> None:
    _finished(tmp_path, _trial(0), **facts)
    _check(tmp_path, _trial(0))


@pytest.mark.parametrize(
    "trial",
    [
        _trial(0, weights="none"),
        _trial(0, weights="other.pth"),
        _trial(0, backbone="test_vit"),
        _trial(0, image_size=64),
        _trial(0, pooling="max"),
    ],
    ids=lambda trial: (
        f"{trial.recipe.backbone} {trial.recipe.weights} {trial.recipe.pooling} "
        f"{trial.data.image_size}"
    ),
)
def test_what_trials_of_another_kind_started_from_is_their_own(
    tmp_path: Path, trial: Trial
) -> None:
    _finished(tmp_path, trial, weights_digest="a" * 64)
    _check(tmp_path, trial)


def test_a_trial_that_left_no_score_holds_nothing(tmp_path: Path) -> None:
    _finished(tmp_path, _trial(0), state=TrialState.FAILED)
    _check(tmp_path, _trial(0))


def test_arms_that_the_grid_names_no_more_count_too(tmp_path: Path, write_grid: WriteGrid) -> None:
    """They are in the study's folder, and come back with the next edit of the grid."""
    record = _resolved(write_grid("plan")).record
    StudyFolder(tmp_path).write_plan(StudyPlan(record, (), {}).with_trial(_trial(0)))
    _finished(tmp_path, _trial(0), weights_digest="a" * 64)
    with pytest.raises(WeightsError, match="1 finished trial "):
        _check(tmp_path)


def _resolved(path: Path) -> Resolved:
    return resolve(load_grid(path), find_folders(), seeds=None, allow_fallback=False, command="")


def _weights(seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return dict(timm.create_model("test_efficientnet").state_dict())


def _said(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*words])
    return result.exit_code, result.output


@pytest.mark.slow
@pytest.mark.parametrize(
    "noted",
    [("source", "digest", "content"), ("source", "digest")],
    ids=["now", "by a version that noted one digest"],
)
def test_a_study_goes_on_with_its_own_weights_only(
    desk: Path, write_grid: WriteGrid, noted: tuple[str, ...]
) -> None:
    """Finished trials are written as a run leaves them.

    `training` tests that a trial says what it started from.
    """
    grid = write_grid("replaced", ("weights: none", "weights: w.pth"))
    torch.save(_weights(1), "w.pth")
    resolved = _resolved(grid)
    folder = study_folder(resolved.record, find_folders())
    started = identify_weights(resolved.trials[0].recipe, image_size=32).model_dump()
    _finished(folder, resolved.trials[0], **{f"weights_{name}": started[name] for name in noted})
    before = (folder / "journal.jsonl").read_bytes()
    assert _said("plan", str(grid))[0] == 0
    torch.save(_weights(2), "w.pth")
    for command in (
        ("plan",),
        ("run", "--report-dir", "report"),
        ("run", "--report-dir", "report", "--seeds", "0,1"),
    ):
        code, said = _said(*command, str(grid))
        assert code == 2
        assert (
            "error: weights must be what the study's finished trials were trained from, they "
            "are not: 1 finished trial (" in said
        )
    assert (folder / "journal.jsonl").read_bytes() == before
    save_file(
        {
            name: tensor
            for name, tensor in _weights(1).items()
            if not name.startswith("classifier.")
        },
        "w.pth",
    )
    code, said = _said("plan", str(grid))
    assert code == 0, said


@pytest.mark.slow
def test_every_request_says_what_its_trial_starts_from(desk: Path, write_grid: WriteGrid) -> None:
    """So that a worker meets weights that were replaced while the study runs.

    `training` tests what it says then.
    """
    resolved = _resolved(write_grid("asked", ("weights: none", "weights: w.pth")))
    torch.save(_weights(1), "w.pth")
    prepared = prepare(
        resolved,
        find_folders(),
        report_dir=desk / "report",
        threads=1,
        cache_gb=0,
        on_progress=lambda *_: None,
    )
    expected = identify_weights(resolved.record.arms[0].recipe, image_size=32)
    assert {prepared.request(trial, 1, desk).weights for trial in resolved.trials} == {expected}


def test_a_link_leads_no_grid_file_out_of_the_working_folder(
    desk: Path, write_grid: WriteGrid, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    torch.save(_weights(1), outside / "w.pth")
    Path("models").symlink_to(outside)
    code, said = _said(
        "plan", str(write_grid("linked", ("weights: none", "weights: models/w.pth")))
    )
    assert code == 2
    assert said.splitlines()[-1] == (
        "error: weights must stay below the working folder, 'models/w.pth' leads out of it "
        "through a link or '..'; "
        "copy the file there, or run from a folder that holds both"
    )
