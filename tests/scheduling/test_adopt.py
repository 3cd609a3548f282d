"""What MLflow holds of a study is not trained again by a home that does not know it: another home,
or one whose journal was lost.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest
from support.toy_conductor import ALL_TOLD, conduct, counts, journal, mlflow_runs, order_in
from support.toy_execution import RUN
from support.toy_search import search
from support.toy_study import new_store_uri, toy_study

from ablate.errors import StoreError
from ablate.scheduling.adopt import adopt
from ablate.scheduling.executors.inline import InlineExecutor
from ablate.scheduling.lease import lease
from ablate.scheduling.limits import Limits
from ablate.scheduling.study_folder import JOURNAL, StudyFolder
from ablate.tracking.events import TrialEnded
from ablate.tracking.journal import attempts
from ablate.tracking.mlflow_store import MlflowStore


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return new_store_uri(tmp_path / "store")


def adopted(folder: Path, uri: str, study) -> int:
    record, trials = study
    return adopt(
        folder, MlflowStore(uri, "toy"), record, trial_ids=[trial.trial_id for trial in trials]
    )


def outcomes(folder: Path) -> dict:
    ended = {
        event.trial_id: event for event in journal(folder).read() if isinstance(event, TrialEnded)
    }
    return {
        trial_id: (event.attempt, event.state, event.outcome) for trial_id, event in ended.items()
    }


@pytest.mark.slow
def test_another_home_trains_nothing_that_is_complete(tmp_path, uri):
    study = toy_study()
    order_in(tmp_path / "first", study[1][0], "raise until 2")
    for _ in range(2):
        conduct(tmp_path / "first", store=MlflowStore(uri, "toy"), study=study)
    before = mlflow_runs(uri)
    assert adopted(tmp_path / "second", uri, study) == 6
    assert adopted(tmp_path / "second", uri, study) == 0
    summary, heard = conduct(tmp_path / "second", store=MlflowStore(uri, "toy"), study=study)
    assert (counts(summary), heard, summary.unpublished) == ((0, 6, 0), [], ALL_TOLD)
    assert mlflow_runs(uri) == before
    assert outcomes(tmp_path / "second") == outcomes(tmp_path / "first")
    for kept in (tmp_path / "first" / "trials").glob("*/predictions.parquet"):
        assert (
            tmp_path / "second" / "trials" / kept.parent.name / kept.name
        ).read_bytes() == kept.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("kept", [0, 3, 6])
def test_a_journal_that_lost_its_last_lines_gets_them_back(kept, tmp_path, uri):
    """Also one that ends in the middle of an attempt: the same attempt is taken over, whole."""
    study = toy_study()
    conduct(tmp_path / "study", store=MlflowStore(uri, "toy"), study=study)
    before, told = mlflow_runs(uri), outcomes(tmp_path / "study")
    path = tmp_path / "study" / JOURNAL
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:kept]))
    n_ended = sum(
        attempt.is_complete for attempt in attempts(journal(tmp_path / "study").read()).values()
    )
    assert adopted(tmp_path / "study", uri, study) == 6 - n_ended
    summary, heard = conduct(tmp_path / "study", store=MlflowStore(uri, "toy"), study=study)
    assert (counts(summary), heard, summary.unpublished) == ((0, 6, 0), [], ALL_TOLD)
    assert mlflow_runs(uri) == before
    assert outcomes(tmp_path / "study") == told


@pytest.mark.slow
def test_an_adoption_that_was_killed_is_made_again(tmp_path, uri):
    study = toy_study()
    conduct(tmp_path / "first", store=MlflowStore(uri, "toy"), study=study)
    adopted(tmp_path / "second", uri, study)
    path = tmp_path / "second" / JOURNAL
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    # ends it as KILLED
    conduct(
        tmp_path / "second",
        store=MlflowStore(uri, "toy"),
        study=study,
        limits=Limits(max_trials=1, only_failed=True),
    )
    assert adopted(tmp_path / "second", uri, study) == 6
    assert counts(conduct(tmp_path / "second", store=MlflowStore(uri, "toy"), study=study)[0]) == (
        0,
        6,
        0,
    )
    assert outcomes(tmp_path / "second") == outcomes(tmp_path / "first")


@pytest.mark.slow
def test_what_failed_here_is_taken_from_where_it_is_complete(tmp_path, uri):
    study = toy_study()
    order_in(tmp_path / "second", study[1][0], "raise")
    assert counts(conduct(tmp_path / "second", study=study)[0]) == (5, 0, 1)
    conduct(tmp_path / "first", store=MlflowStore(uri, "toy"), study=study)
    assert adopted(tmp_path / "second", uri, study) == 1
    (tmp_path / "second" / "trials" / f"{study[1][0].trial_id}.do").unlink()
    assert counts(conduct(tmp_path / "second", store=MlflowStore(uri, "toy"), study=study)[0]) == (
        0,
        6,
        0,
    )


@pytest.mark.slow
def test_trials_whose_files_are_gone_are_trained_again_and_said_so(tmp_path, uri, caplog):
    study = toy_study()
    conduct(tmp_path / "first", store=MlflowStore(uri, "toy"), study=study)
    found = sorted((tmp_path / "store").rglob("predictions.parquet"))
    found[0].unlink()
    found[1].write_bytes(b"PAR1 damaged")
    assert adopted(tmp_path / "second", uri, study) == 4
    assert (
        len(
            re.findall(
                r"trial \w+ has ended in MLflow and is trained again all the same: ", caplog.text
            )
        )
        == 2
    )
    assert not list((tmp_path / "second" / "trials").glob("*.part"))
    assert counts(conduct(tmp_path / "second", store=MlflowStore(uri, "toy"), study=study)[0]) == (
        2,
        4,
        0,
    )


@pytest.mark.slow
def test_only_trials_of_the_study_are_taken(tmp_path, uri):
    """The grid was edited, or another study has the same trials."""
    record, trials = toy_study()
    conduct(tmp_path / "first", store=MlflowStore(uri, "toy"), study=(record, trials))
    assert adopted(tmp_path / "second", uri, (record, trials[:2])) == 2
    assert (
        adopted(
            tmp_path / "third", uri, (record.model_copy(update={"study_id": "another"}), trials)
        )
        == 0
    )


@pytest.mark.slow
def test_a_search_is_taken_over_with_what_it_proposed(tmp_path, uri):
    searched = partial(
        search, store=MlflowStore(uri, "toy"), n_trials=5, executor=InlineExecutor(RUN)
    )
    first, heard = searched(tmp_path / "first")
    before = mlflow_runs(uri)
    assert len(before) == 5
    record = StudyFolder(tmp_path / "first").read_plan().record.model_copy(update={"arms": ()})
    assert adopt(tmp_path / "second", MlflowStore(uri, "toy"), record, trial_ids=None) == 5
    again, heard = searched(tmp_path / "second")
    assert (counts(again.summary), heard, again.summary.unpublished) == ((0, 5, 0), [], ALL_TOLD)
    assert again.best == first.best
    assert mlflow_runs(uri) == before


def test_the_study_of_another_process_is_left_alone(tmp_path, uri):
    with (
        lease(tmp_path / "study"),
        pytest.raises(StoreError, match=r"^a study must have one conductor, "),
    ):
        adopted(tmp_path / "study", uri, toy_study())
