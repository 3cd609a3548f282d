"""The rules: what they recommend, and that every plan is a grid that can be run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.advice.advise import RULES, advise
from ablate.advice.facts import ImageSetFacts, MachineFacts
from ablate.advice.grid_document import grid_document
from ablate.advice.recommendation import Advice
from ablate.advice.rule import NUMBERS
from ablate.grid.expand import expand
from ablate.grid.parse import parse_grid
from ablate.recipe.recipe import Recipe
from ablate.study.trial import DataSpec

LAPTOP = MachineFacts(cores=2, has_bf16=True)
GPU = MachineFacts(cores=8, gpu_gb=8.0, weights="network", minutes=60.0)


def images(n_train: int = 400, n_classes: int = 4, **named: Any) -> ImageSetFacts:
    """A set of evenly filled classes."""
    classes = tuple(f"kind {number}" for number in range(n_classes))
    values = {
        "source": "folder",
        "path": "pictures",
        "n_train": n_train,
        "n_val": n_train // 3,
        "n_test": n_train // 3,
        "classes": classes,
        "train_counts": dict.fromkeys(classes, n_train // n_classes),
        "median_size": (640, 480),
        "aspect_quantiles": (1.33, 1.33, 1.33),
    }
    return ImageSetFacts(**{**values, **named})


def value(field: str, facts: ImageSetFacts, machine: MachineFacts = LAPTOP) -> object:
    return advise(facts, machine).value(field)


def counts(*numbers: int) -> dict[str, Any]:
    """Facts of classes with so many images of train."""
    by_class = {f"kind {index}": number for index, number in enumerate(numbers)}
    return {
        "n_train": sum(numbers),
        "n_classes": len(numbers),
        "train_counts": by_class,
    }


@pytest.mark.parametrize(
    ("facts", "field", "expected"),
    [
        (images(40, 10), "base.freeze_depth", "all"),
        (images(40, 10), "base.classifier", "logistic"),
        (images(200, 4), "base.freeze_depth", -1),
        (images(400, 4, probe_score=0.98), "base.freeze_depth", "all"),
        (images(400, 4, probe_score=0.6), "base.freeze_depth", 0),
        (images(400, 4), "base.augment", "strong"),
        (images(200, 4), "base.augment", "light"),
        (images(400, 4, may_flip=False), "base.augment", "light"),
        (images(400, 4, may_flip=False), "base.flip", "none"),
        (images(400, 4, seeks_small_signs=True), "base.freeze_depth", -1),
        (images(400, 4, seeks_small_signs=True), "base.augment", "none"),
        (images(400, 4, seeks_small_signs=True), "base.flip", "both"),
        (images(400, 4, seeks_small_signs=True), "data.image_size", 384),
        (
            images(400, 4, seeks_small_signs=True, aspect_quantiles=(1.0, 1.0, 1.0)),
            "data.view",
            "squash",
        ),
        (images(), "data.view", "squash"),
        (images(aspect_quantiles=(1.0, 1.4, 3.0)), "data.view", "pad"),
        (images(aspect_quantiles=(1.0, 1.0, 1.05)), "data.view", "crop"),
        (images(aspect_quantiles=None), "data.view", "crop"),
        (images(median_size=(32, 32)), "data.image_size", 128),
        (images(), "data.image_size", 224),
        (images(**counts(100, 90, 95)), "base.class_weights", "none"),
        (images(**counts(300, 100)), "base.class_weights", "balanced"),
        (images(**counts(3000, 100)), "base.class_weights", "effective"),
        (images(train_counts=None), "base.class_weights", "none"),
        (images(has_several_labels=True), "base.class_weights", "balanced"),
        (images(has_several_labels=True), "task", "multilabel"),
        (images(has_several_labels=True), "select_by", "val/macro_f1"),
        (images(400, 2), "select_by", "val/auroc_ovr_macro"),
        (images(**counts(300, 100, 100)), "select_by", "val/macro_f1"),
        (images(400, 4), "select_by", "val/accuracy"),
        (images(300_000, 4), "base.freeze_depth", -3),
        (images(300_000, 4), "data.image_size", 160),
        (images(300_000, 4), "seeds", [0, 1, 2]),
        (images(40, 10), "seeds", list(range(8))),
        (images(1020, 100), "axes.freeze_depth", ["all", -3, -1]),
        (images(400, 4), "axes.freeze_depth", ["all", 0]),
        (images(200, 4), "axes.freeze_depth", ["all", -1, -3]),
    ],
)
def test_a_fact_decides(facts: ImageSetFacts, field: str, expected: object) -> None:
    assert value(field, facts) == expected


def test_a_gpu_with_a_hub_takes_a_larger_network_at_a_rate_that_suits_it() -> None:
    assert value("base.backbone", images(), GPU) == "convnext_tiny.fb_in22k_ft_in1k"
    assert value("base.head_lr", images(), GPU) == 1e-3
    without_hub = MachineFacts(cores=8, gpu_gb=8.0)
    assert value("base.backbone", images(), without_hub) == "tf_efficientnet_lite0"


def test_a_small_gpu_gets_smaller_batches() -> None:
    large = MachineFacts(cores=8, gpu_gb=24.0, weights="network", minutes=600.0)
    small = MachineFacts(cores=8, gpu_gb=2.0, minutes=600.0)
    assert value("base.batch_size", images(4000), large) == 64
    assert value("base.batch_size", images(4000), small) == 16


def test_what_is_given_is_taken_over_and_looked_at() -> None:
    facts = images(400, 4)
    free = advise(facts, LAPTOP)
    bound = advise(facts, LAPTOP, given={"base.freeze_depth": -1, "base.epochs": 3})
    assert free.value("base.augment") == "strong"
    assert bound.value("base.augment") == "light"
    assert bound.value("base.epochs") == 3
    taken = [one for one in bound.recommendations if one.field == "base.epochs"]
    assert [one.source for one in taken] == ["the grid file"]


def test_a_reason_shows_the_numbers_that_decided() -> None:
    found = {one.field: one for one in advise(images(200, 4), LAPTOP).recommendations}
    assert found["base.freeze_depth"].why == (
        "few images: the last unit adapts, and what is general stays (here: 200 train images)"
    )
    assert found["base.freeze_depth"].source.startswith("Kumar et al. 2022")
    assert found["base.freeze_depth"].alternatives == ("all", 0)


def test_what_is_not_known_is_not_shown() -> None:
    found = {one.field: one for one in advise(images(median_size=None), LAPTOP).recommendations}
    assert "(here" not in found["data.image_size"].why


def test_the_last_rule_of_every_field_that_a_grid_needs_holds_always() -> None:
    last = {rule.field: rule for rule in RULES}
    optional = {
        "data.crop_share",
        "axes.strategy",
        "axes.classifier",
        "axes.class_weights",
        "axes.augment",
    }
    assert len(last) > 20
    for field, rule in last.items():
        assert (rule.where == "else") == (rule.holds.__name__ == "always"), (
            f"{field}: {rule.where!r} must say when it holds"
        )
        assert (rule.where == "else") == (field not in optional), field


def test_every_field_is_one_of_a_grid_and_every_rule_has_a_source() -> None:
    recipe = set(Recipe.model_fields)
    data = set(DataSpec.model_fields)
    for rule in RULES:
        section, _, name = rule.field.partition(".")
        known = {"base": recipe, "axes": recipe, "data": data}
        assert not name or name in known[section], rule.field
        assert rule.source
        assert set(rule.shows) <= set(NUMBERS)


def _axes(advice: Advice) -> Mapping[str, object]:
    return advice.below("axes")


facts_of_all_kinds = st.builds(
    images,
    n_train=st.integers(8, 20_000),
    n_classes=st.integers(2, 40),
    has_several_labels=st.booleans(),
    seeks_small_signs=st.booleans(),
    may_flip=st.booleans(),
    median_size=st.none() | st.tuples(st.integers(8, 4000), st.integers(8, 4000)),
    aspect_quantiles=st.sampled_from([None, (1.0, 1.0, 1.0), (1.0, 1.5, 4.0), (2.0, 2.0, 2.0)]),
    train_counts=st.sampled_from([None, {"a": 500, "b": 20, "c": 1}, {"a": 30, "b": 10}]),
    probe_score=st.none() | st.floats(0, 1),
)
machines = st.builds(
    MachineFacts,
    cores=st.integers(1, 64),
    has_bf16=st.booleans(),
    gpu_gb=st.none() | st.floats(1, 80),
    minutes=st.none() | st.floats(0.1, 1000),
    weights=st.sampled_from(["bundled", "network"]),
)


@settings(max_examples=60)
@given(facts=facts_of_all_kinds, machine=machines)
def test_every_plan_is_a_grid_that_expands(facts: ImageSetFacts, machine: MachineFacts) -> None:
    advice = advise(facts, machine)
    assert advice == advise(facts, machine)
    fields = [one.field for one in advice.recommendations]
    assert len(fields) == len(set(fields))
    data = {
        "source": "folder",
        "path": "pictures",
        "split_seed": 0,
        "fractions": {"train": 0.6, "val": 0.2, "test": 0.2},
    }
    text = yaml.safe_dump(grid_document(advice, data), sort_keys=False)
    grid = parse_grid(text, name="advised", shown_as="advised")
    expansion = expand(grid, data=grid.data, fingerprint="0" * 64)
    assert expansion.baseline_arm_id in {arm.arm_id for arm in expansion.arms}
    assert len(expansion.arms) >= 2
    # What is recommended is one of the arms.
    wanted = {name: advice.value(f"base.{name}") for name in _axes(advice)}
    cells = [dict(cell) for arm in expansion.arms for cell in arm.cells]
    assert wanted in cells
