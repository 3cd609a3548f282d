"""An advice in words: what to set, why, and who says so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from ablate.advice.facts import ImageSetFacts, MachineFacts
from ablate.advice.recommendation import Recommendation
from ablate.errors import escaped

if TYPE_CHECKING:
    from ablate.workflow.advice.advised import Advised

_SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("The model", ("task", "base.backbone", "base.weights")),
    ("What it sees of an image", ("data.",)),
    (
        "What is frozen when, and how fast the rest learns",
        (
            "base.freeze_depth",
            "base.strategy",
            "base.head_lr",
            "base.lr_ratio",
            "base.batch_norm",
            "base.classifier",
            "base.lora_rank",
        ),
    ),
    ("How it is trained", ("base.",)),
    ("What is compared, and what chooses", ("",)),
)
"""Heading -> beginnings of the fields below it; a field stands under the first that fits."""


def show_advice(console: Console, advised: Advised) -> None:
    """Print facts, and the plan under its headings."""
    for line in fact_lines(advised.facts, advised.machine):
        console.print(line)
    left = list(advised.advice.recommendations)
    for heading, beginnings in _SECTIONS:
        shown = []
        rest = []
        for recommendation in left:
            if recommendation.field.startswith(beginnings):
                shown.append(recommendation)
            else:
                rest.append(recommendation)
        left = rest
        if shown:
            console.print(Text(f"\n{heading}", style="bold"))
        for recommendation in shown:
            _show(console, recommendation)


def fact_lines(facts: ImageSetFacts, machine: MachineFacts) -> list[str]:
    """What the plan rests on, in words."""
    n_classes = len(facts.classes)
    lines = [
        f"images: {facts.n_train:,} train, {facts.n_val:,} val, {facts.n_test:,} test, "
        f"{n_classes} classes, about {facts.n_train / n_classes:.3g} per class in train"
    ]
    seen = _seen_words(facts)
    if seen:
        lines.append(f"looks: {'; '.join(seen)}")
    if facts.probe_score is not None:
        lines.append(
            f"features: nearest class means on frozen features of EfficientNet-Lite0 are right "
            f"for {facts.probe_score:.0%}, a mean over the classes (chance {1 / n_classes:.0%})"
        )
    lines.append(f"computer: {_machine_words(machine)}")
    return lines


def _seen_words(facts: ImageSetFacts) -> list[str]:
    words = []
    if facts.median_size is not None:
        words.append(f"{facts.median_size[0]} x {facts.median_size[1]} pixels in the middle")
    if facts.is_grey:
        words.append("grey")
    if facts.n_groups is not None:
        words.append(f"{facts.n_groups} groups")
    if facts.seeks_small_signs:
        words.append("names of classes speak of defects or the like, so signs may be small")
    if not facts.may_flip:
        words.append("names of classes speak of digits, letters or directions: no mirroring")
    return words


def _machine_words(machine: MachineFacts) -> str:
    words = [f"{machine.cores} CPU cores"]
    if machine.has_bf16:
        words.append("bf16 in hardware")
    gpu = "no GPU"
    if machine.gpu_gb is not None:
        gpu = f"a GPU of {machine.gpu_gb:g} GB"
    words.append(gpu)
    weights = "weights that are installed"
    if machine.weights == "network":
        weights = "weights of a hub"
    words.append(weights)
    return ", ".join(words)


def _show(console: Console, recommendation: Recommendation) -> None:
    title = f"{recommendation.field}: {value_text(recommendation.value)}"
    # Names of classes may stand in values, and a folder may be called anything.
    console.print(Padding(Text(escaped(title)), (0, 0, 0, 2), expand=False))
    console.print(Padding(Text(why_text(recommendation), style="dim"), (0, 0, 0, 6), expand=False))


def why_text(recommendation: Recommendation) -> str:
    """Reason, source and what comes next, in one line."""
    text = f"{recommendation.why} [{recommendation.source}]"
    if recommendation.alternatives:
        others = map(value_text, recommendation.alternatives)
        text += f"; else {', '.join(others)}"
    return text


def value_text(value: object) -> str:
    """A value as a grid file would have it on one line."""
    if isinstance(value, str):
        return value
    return json.dumps(value)
