"""The fast way through a journal beside the slow one: it says the same, or leaves it to that."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.toy_study import failed_events, toy_events, toy_study

from ablate.tracking.events import EpochEnded, Event, TrialEnded, TrialStarted
from ablate.tracking.journal import Journal
from ablate.tracking.journal_lines import Reading, encode, read_lines
from ablate.tracking.journal_skim import skim_lines

V1 = Path(__file__).parents[1] / "scheduling" / "study_v1" / "journal.jsonl"
V2 = Path(__file__).parents[1] / "scheduling" / "study_v2" / "journal.jsonl"


def _skimmed(content: bytes) -> Reading | None:
    return skim_lines(io.BytesIO(content))


def _slim(reading: Reading) -> Reading:
    """What the fast way leaves of the slow way's answer."""
    events: list[Event] = []
    for event in reading.events:
        if isinstance(event, EpochEnded):
            event = dataclasses.replace(event, metrics={})
        elif isinstance(event, TrialEnded):
            event = dataclasses.replace(event, outcome=None)
        events.append(event)
    return dataclasses.replace(reading, events=events)


@pytest.fixture(scope="module")
def content(tmp_path_factory) -> bytes:
    """Complete, failed and running attempts; a metric that is no finite number."""
    _, (one, two, three, *_) = toy_study()
    complete = toy_events(one, folder=tmp_path_factory.mktemp("files"), n_epochs=2)
    odd = EpochEnded(three.trial_id, 1, 0, 3, {"train/loss": float("nan"), "lr": -1e-7}, at=1e9)
    running: list[Event] = [TrialStarted(three.trial_id, 1, slot="cpu:1", at=1_700_000_009.0), odd]
    lines = []
    for events in (complete, failed_events(two), running):
        lines += [encode(event, place=place) for place, event in enumerate(events)]
    return b"".join(lines)


def test_a_whole_journal_reads_alike_but_for_scores_and_facts(content: bytes) -> None:
    skimmed = _skimmed(content)
    assert skimmed == _slim(read_lines(content))
    assert _skimmed(V2.read_bytes()) == _slim(read_lines(V2.read_bytes()))
    assert _skimmed(b"") == read_lines(b"")


def test_every_way_of_tearing_the_end_reads_alike(content: bytes) -> None:
    for length in range(0, len(content), 7):
        torn = content[:length]
        assert _skimmed(torn) in (None, _slim(read_lines(torn)))
    assert _skimmed(content[:-1]) == _slim(read_lines(content[:-1]))


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_damage_is_left_to_the_slow_way(content: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(content) - 1))
    piece = data.draw(st.binary(max_size=3))
    damaged = content[:place] + piece + content[place + data.draw(st.integers(0, 3)) :]
    slow = read_lines(damaged)
    skimmed = _skimmed(damaged)
    if skimmed is None:
        return
    assert skimmed == _slim(slow)
    assert slow.is_whole


@settings(deadline=None)
@given(data=st.data())
def test_lines_that_are_lost_or_moved_are_left_to_the_slow_way(
    content: bytes, data: st.DataObject
) -> None:
    lines = content.splitlines(keepends=True)
    places = st.lists(st.sampled_from(range(len(lines))), max_size=len(lines) + 2)
    changed = b"".join(lines[place] for place in data.draw(places))
    assert _skimmed(changed) in (None, _slim(read_lines(changed)))


def test_a_journal_of_version_1_is_left_to_the_slow_way(tmp_path: Path) -> None:
    assert _skimmed(V1.read_bytes()) is None
    path = tmp_path / "journal.jsonl"
    path.write_bytes(V1.read_bytes())
    assert Journal(path).skim() == Journal(path).reading()


def test_no_file_is_an_empty_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    assert Journal(path).skim() == Journal(path).reading()
