"""Facts are values: what was stored comes back, in journals and tags, today's form and the old."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ablate.study.trial_facts import (
    FoldedNorms,
    Merge,
    MicroBatch,
    PhaseFact,
    PrefixCut,
    TrainImages,
    TrialFacts,
    facts_of_tags,
    facts_to_tags,
    read_facts,
    store_facts,
)
from ablate.study.weights_identity import WeightsIdentity

FACTS = TrialFacts(
    device="cpu",
    precision="bf16",
    is_depthwise_fp32=True,
    memory_layout="channels_last",
    threads=2,
    torch="2.14.1",
    weights_source="file mine.pth",
    weights_digest="ab" * 32,
    weights_content="cd" * 32,
    family="CNN",
    freeze_depth=3,
    n_units=6,
    units=("stem", "blocks.0"),
    pooling="avg",
    adapter="lora",
    adapter_merge=Merge(difference=1.2345e-6, n_images=8),
    layers_without_adapter=(),
    adapters_larger_than_their_layer={"head": "1,200 parameters around 900"},
    prefix=(PrefixCut(at="blocks.3", row="320x7x7 bfloat16"), PrefixCut(why_uncut="not asked for")),
    views_computed=12,
    views_from_cache=3,
    folded_norms=FoldedNorms(n=4, moved=2e-7),
    cache_problems=("activations are not kept: disk full",),
    phases=(PhaseFact(epochs=3, patience=2, freeze_depth=6, n_units=6, thawed=("stem",)),),
    micro_batch=MicroBatch(size=4, batch_size=8, reason="memory", n_seen_by_norms=4),
    train_images=TrainImages(n_used=9, n_all=19, shots=3, n_short_classes=1),
    views="light flip=none",
    class_weights=(0.75, 1.5),
)


def test_every_fact_has_a_value_here() -> None:
    assert set(store_facts(FACTS)) == set(TrialFacts.model_fields)


@pytest.mark.parametrize("facts", [FACTS, TrialFacts()], ids=["all", "none"])
def test_what_was_stored_comes_back(facts: TrialFacts) -> None:
    through_json = json.loads(json.dumps(store_facts(facts)))
    assert read_facts(through_json) == facts
    assert facts_of_tags(facts_to_tags(facts, longest=4000)) == facts


def test_numbers_are_numbers_in_a_journal_and_readable_as_tags() -> None:
    stored, tags = store_facts(FACTS), facts_to_tags(FACTS, longest=4000)
    assert (stored["freeze_depth"], stored["views_computed"]) == (3, 12)
    assert (tags["freeze_depth"], tags["class_weights"], tags["device"]) == (
        "3",
        "[0.75, 1.5]",
        "cpu",
    )


def test_other_tags_and_tags_that_somebody_edited_are_not_known() -> None:
    tags = facts_to_tags(FACTS, longest=4000)
    edited = {**tags, "threads": "many", "micro_batch": "[1", "mlflow.user": "me", "mine": "1"}
    assert facts_of_tags(edited) == FACTS.model_copy(update={"threads": None, "micro_batch": None})


def test_a_journal_does_not_take_a_value_that_a_fact_cannot_have() -> None:
    with pytest.raises(ValueError, match="threads"):
        read_facts({"threads": 1.5})


def test_a_list_that_is_longer_than_a_tag_loses_its_end_and_stays_a_list() -> None:
    units = tuple(f"blocks.{number}" for number in range(100))
    tags = facts_to_tags(TrialFacts(units=units, device="x" * 200), longest=100)
    assert max(map(len, tags.values())) <= 100
    shortened = facts_of_tags(tags).units or ()
    assert 0 < len(shortened) < len(units)
    assert shortened == units[: len(shortened)]


def test_weights_are_one_value() -> None:
    assert FACTS.weights == WeightsIdentity(
        source="file mine.pth", digest="ab" * 32, content="cd" * 32
    )
    assert TrialFacts(weights_source="auto").weights is None


OLD = json.loads((Path(__file__).parent / "facts_of_0_1.json").read_text())
"""What version 0.1 stored, sentence by sentence, and the values that the sentences stand for."""


@pytest.mark.parametrize("entry", OLD, ids=lambda entry: str(entry["stored"])[:60])
def test_sentences_of_version_0_1_are_read(entry: dict[str, Any]) -> None:
    expected = read_facts(entry["means"])
    assert read_facts(entry["stored"]) == expected
    assert facts_of_tags(entry["stored"]) == expected
