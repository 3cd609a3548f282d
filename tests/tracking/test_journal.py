from __future__ import annotations

import errno
import json
import os
import re
import resource
import shutil
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.toy_execution import end_of
from support.toy_study import end_in, failed_events, toy_events, toy_study

from ablate.checksum import sealed
from ablate.errors import StoreError
from ablate.study.trial_facts import TrialFacts
from ablate.tracking.events import (
    EpochEnded,
    Event,
    Failure,
    TrialEnded,
    TrialOutcome,
    TrialStarted,
    TrialState,
)
from ablate.tracking.journal import DAMAGED, Journal, attempts

START = TrialStarted("a", 1, slot="cpu:0", at=1.0)

words = st.text(max_size=12)
numbers = st.floats(allow_nan=False)
times = st.floats(0, 2e11)
started = st.builds(TrialStarted, trial_id=words, attempt=st.integers(1, 9), slot=words, at=times)
epochs = st.builds(
    EpochEnded,
    trial_id=words,
    attempt=st.integers(1, 9),
    epoch=st.integers(0, 9),
    n_epochs=st.integers(1, 9),
    metrics=st.dictionaries(words, numbers),
    at=times,
)
outcomes = st.builds(
    TrialOutcome,
    best_epoch=st.integers(0, 9),
    metrics=st.dictionaries(words, numbers),
    facts=st.builds(TrialFacts, device=words, threads=st.integers(1, 99), units=st.none()),
    files=st.lists(words).map(tuple),
)
failures = st.builds(Failure, kind=words, message=words, traceback=words)
ended = st.builds(
    TrialEnded,
    trial_id=words,
    attempt=st.integers(1, 9),
    state=st.sampled_from(TrialState),
    at=times,
    outcome=st.none() | outcomes,
    failure=st.none() | failures,
)
events = st.one_of(started, epochs, ended)


@settings(deadline=None)
@given(written=st.lists(events, max_size=5))
def test_what_was_appended_is_read_by_anybody(written, tmp_path_factory):
    path = tmp_path_factory.mktemp("journal") / "deep" / "journal.jsonl"
    journal = Journal(path)
    for event in written:
        journal.append(event)
    assert journal.read() == Journal(path).read() == written


@pytest.mark.slow
@settings(deadline=None)
@given(written=st.lists(events, min_size=1, max_size=3), later=events, data=st.data())
def test_a_journal_cut_anywhere_keeps_every_whole_line_and_goes_on(
    written, later, data, tmp_path_factory
):
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    for event in written:
        Journal(path).append(event)
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    kept = written[: whole[:cut].count(b"\n")]
    assert Journal(path).read() == kept
    Journal(path).append(later)
    assert Journal(path).read() == [*kept, later]


def test_reading_leaves_a_torn_line_to_its_writer(tmp_path: Path):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"event": "trial_st')
    assert Journal(path).read() == []
    assert path.read_bytes() == b'{"event": "trial_st'


@pytest.mark.parametrize(
    "values",
    [
        {"event": "trial_teleported", "trial_id": "a", "attempt": 1, "n": 1, "v": 2},
        {
            "event": "trial_started",
            "trial_id": "a",
            "attempt": 1,
            "slot": "",
            "at": 1.0,
            "n": 1,
            "v": 3,
        },
        {
            "event": "trial_started",
            "trial_id": "a",
            "attempt": 1,
            "slot": "",
            "at": 1.0,
            "mood": "good",
            "n": 1,
            "v": 2,
        },
        {"event": "trial_started", "trial_id": "a", "attempt": 1, "v": {"major": 3}},
        {"header": "quite another form"},
    ],
)
def test_a_journal_of_a_later_version_is_refused_in_one_line_and_left_as_it_is(
    values, tmp_path: Path
):
    path = tmp_path / "journal.jsonl"
    Journal(path).append(START)
    with path.open("a") as file:
        file.write(sealed(json.dumps(values, separators=(",", ":"))) + "\n")
    before = path.read_bytes()
    found = "version 3" if values.get("v") == 3 else "content that this ablate does not know"
    message = (
        f"line 2 of the journal {path} must have schema version 2 or older, it has {found}: "
        "a newer ablate wrote it; update ablate to open this study."
    )
    for act in (Journal(path).read, Journal(path).mend, partial(Journal(path).append, START)):
        with pytest.raises(StoreError, match=f"^{re.escape(message)}$"):
            act()
    assert [file.name for file in tmp_path.iterdir()] == ["journal.jsonl"]
    assert path.read_bytes() == before


def test_a_damaged_journal_is_mended_by_the_first_append_and_kept_aside(tmp_path: Path, caplog):
    path, (complete, _) = written(tmp_path)
    lines = path.read_bytes().split(b"\n")
    lines[1] = lines[1].replace(b"0.5", b"0.9")
    path.write_bytes(b"\n".join(lines))
    before = path.read_bytes()
    later = TrialStarted("third", 1, slot="cpu:0", at=9.0)
    Journal(path).append(later)
    (aside,) = tmp_path.glob("journal.damaged-*.jsonl")
    assert aside.read_bytes() == before
    sentence = (
        f"the journal {path} is damaged: line 2 cannot be read and is left out; "
        f"attempt {complete[0].trial_id}-1 counts as not completed; "
        f"the damaged file is kept as {aside.name}"
    )
    assert caplog.messages == [sentence]
    assert Journal(path).reading().is_whole
    kept = attempts(Journal(path).read())
    first = kept[(complete[0].trial_id, 1)]
    assert first.events[:-1] == [complete[0], *complete[2:-1]]
    end = end_of(first)
    assert (end.state, end.failure) == (
        TrialState.KILLED,
        Failure(DAMAGED, sentence, traceback=""),
    )
    assert Journal(path).read()[-1] == later
    assert Journal(path).mend() == ""


def test_mending_again_in_the_same_second_keeps_both_damaged_files(tmp_path: Path):
    path, _ = written(tmp_path)
    for _ in range(3):
        with path.open("ab") as file:
            file.write(b"dust\n")
        assert Journal(path).mend().startswith(f"the journal {path} is damaged: line ")
    assert len(list(tmp_path.glob("journal.damaged-*.jsonl"))) == 3


def test_mending_is_whole_or_not_at_all(tmp_path: Path, monkeypatch):
    path, _ = written(tmp_path)
    with path.open("ab") as file:
        file.write(b"dust\n")
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_disk)
        lost = f"the journal {path} is damaged: line 9 cannot be read and is left out"
        message = (
            rf"^{lost}; it cannot be mended: .*No space left.*; free space, "
            r"the same command goes on\.$"
        )
        with pytest.raises(StoreError, match=message):
            Journal(path).mend()
    assert path.read_bytes() == before
    assert Journal(path).mend() != ""


def test_whoever_follows_passes_over_damage(tmp_path: Path):
    path, (complete, failed) = written(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[:30] + b"?" + content[31:] + b"[" * 100_000 + b"\n")
    followed = list(Journal(path).follow(0))
    assert [event for event, _ in followed] == [*complete[1:], *failed]
    assert followed[-1][1] == len(content)


def test_an_append_that_fails_half_way_leaves_no_half_line(tmp_path: Path):
    """The kernel writes what still fits, then refuses: as a full disk does."""
    path, _ = written(tmp_path)
    before, journal = path.read_bytes(), Journal(path)
    long = TrialStarted("x" * 3000, 1, slot="cpu:0", at=9.0)
    with (
        file_size_limit(len(before) + 1000),
        pytest.raises(
            StoreError,
            match=rf"^the study's journal must be writable, {path} is not: .*; free space or pass",
        ),
    ):
        journal.append(long)
    assert path.read_bytes() == before
    journal.append(long)
    assert Journal(path).read()[-1] == long


def test_a_half_line_that_could_not_be_taken_away_is_taken_away_by_the_next_append(
    tmp_path: Path, monkeypatch
):
    path, _ = written(tmp_path)
    before, journal = Journal(path).read(), Journal(path)
    long = TrialStarted("x" * 3000, 1, slot="cpu:0", at=9.0)
    with monkeypatch.context() as patch:
        patch.setattr(os, "truncate", full_disk)
        with file_size_limit(path.stat().st_size + 1000), pytest.raises(StoreError):
            journal.append(long)
    assert not path.read_bytes().endswith(b"\n")
    assert Journal(path).read() == before
    journal.append(long)
    assert Journal(path).reading().is_whole
    assert Journal(path).read() == [*before, long]


def test_an_end_that_is_not_on_disk_was_not_appended(tmp_path: Path, monkeypatch):
    path, (complete, _) = written(tmp_path)
    before, journal = path.read_bytes(), Journal(path)
    journal.append(TrialStarted("x", 1, slot="cpu:0", at=9.0))
    end = TrialEnded("x", 1, TrialState.COMPLETE, at=10.0, outcome=end_in(complete).outcome)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_disk)
        with pytest.raises(StoreError):
            journal.append(end)
    assert end not in Journal(path).read()
    journal.append(end)
    assert Journal(path).read()[-1] == end
    assert path.read_bytes().startswith(before)


def test_a_folder_in_the_journals_place_is_named(tmp_path: Path):
    (tmp_path / "journal.jsonl").mkdir()
    message = (
        rf"^the study's journal must be a file that can be read, {tmp_path}/journal.jsonl is not: "
        r".*; move it away, or give it back\.$"
    )
    for act in (
        Journal(tmp_path / "journal.jsonl").read,
        partial(Journal(tmp_path / "journal.jsonl").append, START),
    ):
        with pytest.raises(StoreError, match=message):
            act()


def written(folder: Path) -> tuple[Path, tuple[list[Event], list[Event]]]:
    """A journal of a completed attempt (lines 1 to 5) and a failed one (6 to 8)."""
    path = folder / "journal.jsonl"
    _, (one, two, *_) = toy_study()
    events = toy_events(one, folder=folder / "files"), failed_events(two)
    for event in (*events[0], *events[1]):
        Journal(path).append(event)
    shutil.rmtree(folder / "files")
    return path, events


def full_disk(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@contextmanager
def file_size_limit(n_bytes: int):
    """No file of this process may grow beyond; Python ignores the signal that comes with it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_journal_that_cannot_be_written_says_where(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / "file" / "journal.jsonl"
    with pytest.raises(
        StoreError, match=re.escape(f"the study's journal must be writable, {path} is not: ")
    ):
        Journal(path).append(TrialStarted("a", 1, slot="cpu:0", at=1.0))


def test_attempts_fold_events_and_the_first_end_counts(tmp_path: Path):
    _, (one, two, *_) = toy_study()
    complete, failed = toy_events(one, folder=tmp_path, attempt=2), failed_events(two)
    running = TrialStarted(two.trial_id, 2, slot="cpu:1", at=9.0)
    late = TrialEnded(one.trial_id, 2, TrialState.KILLED, at=99.0)
    stray = EpochEnded("nobody", 1, epoch=0, n_epochs=1, metrics={}, at=0.0)
    found = attempts([complete[0], failed[0], stray, *complete[1:], *failed[1:], running, late])
    assert list(found) == [(one.trial_id, 2), (two.trial_id, 1), (two.trial_id, 2)]
    assert found[(one.trial_id, 2)].events == complete
    assert found[(one.trial_id, 2)].is_complete
    assert [attempt.is_running for attempt in found.values()] == [False, False, True]
