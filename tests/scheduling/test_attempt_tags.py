"""A run says which commit trained it, in whatever store and however late it is published."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from mlflow import MlflowClient
from support.toy_conductor import conduct
from support.toy_study import new_store_uri, toy_study

from ablate.errors import StoreError
from ablate.scheduling.adopt import adopt
from ablate.scheduling.attempt_tags import FILE, note_tags, read_tags
from ablate.scheduling.catch_up import sync_study
from ablate.scheduling.limits import Limits
from ablate.scheduling.study_folder import STUDY
from ablate.tracking.mlflow_store import MlflowStore

OLD = {"commit": "old"}


@pytest.fixture
def store(tmp_path: Path) -> MlflowStore:
    return MlflowStore(new_store_uri(tmp_path / "store"), "toy")


@pytest.fixture
def other(tmp_path: Path) -> MlflowStore:
    return MlflowStore(new_store_uri(tmp_path / "other"), "toy")


def commits(store: MlflowStore) -> Counter[str]:
    """Commit -> number of child runs that say it."""
    client = MlflowClient(tracking_uri=store.tracking_uri)
    experiment = client.get_experiment_by_name("toy")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    trials = [run for run in runs if run.data.tags["ablate.kind"] == "trial"]
    return Counter(run.data.tags.get("commit", "none") for run in trials)


def test_what_is_noted_is_read_and_an_attempt_keeps_what_made_it(tmp_path):
    assert read_tags(tmp_path) == {}
    note_tags(tmp_path, {"a-1": OLD, "b-1": OLD})
    note_tags(tmp_path, {"a-1": {"commit": "new"}, "c-1": {}})
    assert read_tags(tmp_path) == {"a-1": OLD, "b-1": OLD, "c-1": {}}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"made_by":3}',
        b'{"made_by":[{}]}',
        b'{"made_by":[3]}',
        b"[" * 9999,
    ],
    ids=map(str, range(8)),
)
def test_a_damaged_file_is_said_and_costs_what_it_held_alone(content, tmp_path, caplog):
    (tmp_path / FILE).write_bytes(content)
    assert read_tags(tmp_path) == {}
    (said,) = caplog.messages
    assert said.startswith(f"{tmp_path}/provenance.json cannot be read (")
    assert said.endswith("); trials of earlier calls are taken for those of the last one")
    note_tags(tmp_path, {"a-1": OLD})
    assert read_tags(tmp_path) == {"a-1": OLD}


def test_a_changed_byte_is_noticed(tmp_path, caplog):
    note_tags(tmp_path, {"a-1": OLD})
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes().replace(b"old", b"odd"))
    assert read_tags(tmp_path) == {}
    assert "its checksum does not match" in caplog.text


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"^the study's folder must be writable, .*/file is not: "):
        note_tags(tmp_path / "file", {"a-1": OLD})


@pytest.mark.slow
def test_another_store_is_told_which_commit_trained_each_trial(tmp_path, store, other):
    folder = tmp_path / "study"
    conduct(folder, commit="old", limits=Limits(max_trials=2))
    # The call that publishes elsewhere is itself of another commit, and trains the rest.
    conduct(folder, commit="new", store=store, limits=Limits(max_trials=1))
    assert commits(store) == {"old": 2, "new": 1}
    conduct(folder, commit="newest")
    sync_study(folder, other)
    assert commits(other) == {"old": 2, "new": 1, "newest": 3}
    # The study's own run is of whoever opened it last.
    parent = other.read_study("toy").parent_run_id
    client = MlflowClient(tracking_uri=other.tracking_uri)
    assert client.get_run(parent).data.tags["commit"] == "newest"


@pytest.mark.slow
def test_a_study_that_one_version_ran_again_and_again_keeps_no_file(tmp_path, store):
    folder = tmp_path / "study"
    conduct(folder, limits=Limits(max_trials=2))
    conduct(folder)
    assert not (folder / FILE).exists()
    sync_study(folder, store)
    assert commits(store) == {"c0ffee": 6}


@pytest.mark.slow
def test_the_commits_are_known_where_the_plan_is_damaged(tmp_path, store):
    folder = tmp_path / "study"
    conduct(folder, commit="old", limits=Limits(max_trials=2))
    (folder / STUDY).write_bytes(b"{")
    conduct(folder, commit="new")
    sync_study(folder, store)
    assert commits(store) == {"old": 2, "new": 4}


@pytest.mark.slow
def test_trials_that_another_home_trained_keep_its_commit_in_a_third_store(tmp_path, store, other):
    record, trials = toy_study()
    conduct(tmp_path / "first", commit="old", store=store, study=(record, trials))
    trial_ids = [trial.trial_id for trial in trials]
    adopt(tmp_path / "second", store, record, trial_ids=trial_ids)
    conduct(tmp_path / "second", commit="new", study=(record, trials))
    sync_study(tmp_path / "second", other)
    assert commits(other) == {"old": 6}
