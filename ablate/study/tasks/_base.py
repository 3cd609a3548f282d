"""What a task is to everyone who neither trains nor scores.

Its metrics and their names, its place on the hub, and what it refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class HubMetric:
    """A metric by the name that the Hugging Face hub knows it by."""

    type: str
    args: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """One score; its keys in MLflow are `<split>/<name>`."""

    name: str
    prose: str
    """As a sentence names it, e.g. "log loss"."""
    is_lower_better: bool = False
    is_shown: bool = True
    """Whether the report's tables of arms show it; all metrics stand in trials.csv."""
    is_class_mean: bool = False
    """Whether it is a mean over the classes that a split has images of."""
    n_classes: int | None = None
    """The only number of classes that the metric exists for; None for every number."""
    highest: float = 1.0
    """The largest value that it can have; infinite for an error without a bound."""
    hub: HubMetric | None = None
    """None where a model card's metadata leaves it out."""


@dataclass(frozen=True)
class FieldRule:
    """The values that a task allows a field of the recipe, and why it allows no other."""

    allowed: tuple[Any, ...]
    why: str
    refused: tuple[Any, ...] | None = None
    """Where given, every value but these is allowed, and `allowed` is their description."""

    def allows(self, value: Any) -> bool:
        """Whether the field may have this value."""
        if self.refused is not None:
            return value not in self.refused
        return value in self.allowed

    @property
    def wanted(self) -> str:
        """The allowed values in words: "bce", "none or balanced"."""
        words = []
        for value in self.allowed:
            # As a grid file writes it: YAML has null, Python has None.
            words.append("null" if value is None else str(value))
        return " or ".join(words)


@dataclass(frozen=True)
class TaskSpec:
    """One task. Its files on the floors above are listed in `ablate.study.tasks`."""

    name: str
    """The word in a grid file."""
    metrics: tuple[Metric, ...]
    """In the order of the tables."""
    primary: str
    """The metric that effects, verdicts and the noise floor are about."""
    secondary: str
    """The metric that is claimed only where the primary one is."""
    targets: str
    """What an image is labelled with: a key of `ablate.targets.TARGETS`."""
    hub_task: str
    """The hub's pipeline tag."""
    has_confusion: bool = False
    """Whether an image is taken for another class, so that such pairs can be counted."""
    hub_tags: tuple[str, ...] = ()
    """Further tags of its model cards."""
    field_rules: Mapping[str, FieldRule] = field(default_factory=dict)
    """Field of the recipe -> the values that the task allows; absent fields take every value."""
    base_defaults: Mapping[str, Any] = field(default_factory=dict)
    """Field of `base` -> its value where a grid file is silent, if not the recipe's default."""
    why_no_class_groups: str | None = None
    """Why `data.classes` must be null; None where it may be set."""
    why_no_target_precision: str | None = None
    """Why `target_precision` must be null; None where it may be set."""

    def metrics_of(self, n_classes: int) -> tuple[str, ...]:
        """Names of the metrics that exist for so many classes, in the order of the tables."""
        names = []
        for metric in self.metrics:
            if metric.n_classes in (None, n_classes):
                names.append(metric.name)
        return tuple(names)

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Names of all metrics, for whatever number of classes."""
        return tuple(metric.name for metric in self.metrics)

    def metric(self, name: str) -> Metric:
        """The metric of that name, without its split. Raises KeyError."""
        for metric in self.metrics:
            if metric.name == name:
                return metric
        # Not SpecError: names that a user wrote were checked before they came here.
        raise KeyError(f"task {self.name} must have the metric, got {name!r}")

    def prose(self, name: str) -> str:
        """A metric's name in a sentence; a name that the task does not know stays as it is."""
        for metric in self.metrics:
            if metric.name == name:
                return metric.prose
        return name

    @property
    def class_means(self) -> list[str]:
        """Prose of the primary and the secondary metric, where they are means over classes."""
        # The report then says that classes absent from a split are left out of them.
        judged_by = (self.metric(self.primary), self.metric(self.secondary))
        return [metric.prose for metric in judged_by if metric.is_class_mean]

    @property
    def primary_prose(self) -> str:
        """The primary metric's name in a sentence."""
        return self.prose(self.primary)

    @property
    def secondary_prose(self) -> str:
        """The secondary metric's name in a sentence."""
        return self.prose(self.secondary)
