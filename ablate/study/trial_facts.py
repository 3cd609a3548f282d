"""What a trial says of itself besides its scores, as values: one type, one writer, one reader.

Stored as JSON values in journals and in `trial.json`, as text in the tags of MLflow. Sentences are
made of them in `reporting.text.facts` alone. Older versions stored the sentences themselves:
`old_facts` reads those.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ablate.study.old_facts import from_sentences
from ablate.study.weights_identity import WeightsIdentity

# Strict: a tag or a journal that was edited by hand must not become another value silently.
_FROZEN = ConfigDict(frozen=True, extra="forbid", strict=True)


class PrefixCut(BaseModel):
    """Where the network was cut in one phase of training, or why it was not."""

    model_config = _FROZEN
    at: str | None = None
    """The module whose output was kept; None where the whole network ran."""
    row: str = ""
    """Shape and type of one image's activation there, e.g. `320x7x7 bfloat16`."""
    why_uncut: str = ""


class FoldedNorms(BaseModel):
    """Frozen BatchNorms that were folded into their convolutions for evaluation."""

    model_config = _FROZEN
    n: int = 0
    moved: float | None = None
    """Largest change of a logit, relative to the largest logit; None where nothing was folded."""


class Merge(BaseModel):
    """How the adapters went into the backbone's own weights, or why they did not."""

    model_config = _FROZEN
    difference: float | None = None
    """Largest difference of a logit between the trained and the merged network, in fp32."""
    n_images: int = 0
    """Images of val on which the two were compared."""
    why_not: str = ""


class MicroBatch(BaseModel):
    """How many images were in the network at a time."""

    model_config = _FROZEN
    size: int
    batch_size: int
    """Images per optimizer step: their gradients are summed."""
    reason: Literal["whole batches", "as asked", "memory"]
    n_seen_by_norms: int | None = None
    """Images of which BatchNorms that train took their statistics; None where none trains, or
    batches are whole."""


class TrainImages(BaseModel):
    """Which train images the trial learned from."""

    model_config = _FROZEN
    n_used: int
    n_all: int
    shots: int | None = None
    """Images per class, drawn by the seed; None where all are used."""
    n_short_classes: int = 0
    """Classes that have fewer, and are used whole."""


class PhaseFact(BaseModel):
    """One phase of training."""

    model_config = _FROZEN
    epochs: int
    patience: int | None = None
    """Epochs without a better score that end the phase early; None where it takes all."""
    freeze_depth: int
    n_units: int
    thawed: tuple[str, ...] = Field(default=(), strict=False)
    """Units that train from this phase on."""


class TrialFacts(BaseModel):
    """How a trial's numbers came about. None is what nobody knows: older versions say less."""

    # `extra` is ignored here alone: a later version may know more facts than this one.
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)
    device: str | None = None
    """`cpu`, or the GPU's name."""
    precision: str | None = None
    is_depthwise_fp32: bool | None = None
    """Whether gradients of depthwise convolutions were computed in fp32, in tiles."""
    memory_layout: str | None = None
    threads: int | None = None
    torch: str | None = None
    weights_source: str | None = None
    weights_digest: str | None = None
    weights_content: str | None = None
    """Digest of the tensors' values, where it is known: the same for other files of the same."""
    family: str | None = None
    """`CNN`, `ViT`, ..."""
    freeze_depth: int | None = None
    """Leading frozen units, once all is thawed that will be."""
    n_units: int | None = None
    # JSON has lists where the field has a tuple, hence `strict=False` for these fields.
    units: tuple[str, ...] | None = Field(default=None, strict=False)
    pooling: str | None = None
    adapter: str | None = None
    adapter_merge: Merge | None = None
    layers_without_adapter: tuple[str, ...] | None = Field(default=None, strict=False)
    adapters_larger_than_their_layer: dict[str, str] | None = None
    """Layer -> the sizes of both."""
    prefix: tuple[PrefixCut, ...] | None = Field(default=None, strict=False)
    """By phase of training."""
    views_computed: int | None = None
    """Views (one split in one epoch) whose activations this trial computed from images."""
    views_from_cache: int | None = None
    folded_norms: FoldedNorms | None = None
    cache_problems: tuple[str, ...] | None = Field(default=None, strict=False)
    phases: tuple[PhaseFact, ...] | None = Field(default=None, strict=False)
    """Empty for training in one phase."""
    micro_batch: MicroBatch | None = None
    train_images: TrainImages | None = None
    views: str | None = None
    """The augmentation policy's word."""
    class_weights: tuple[float, ...] | None = Field(default=None, strict=False)
    """In the order of the classes; empty where all weigh the same."""

    @property
    def weights(self) -> WeightsIdentity | None:
        """What the trial started from; None where it does not say."""
        if self.weights_digest is None:
            return None
        return WeightsIdentity(
            source=self.weights_source or "weights",
            digest=self.weights_digest,
            content=self.weights_content or "",
        )


def store_facts(facts: TrialFacts) -> dict[str, Any]:
    """Return JSON values by name, without what is not known: the inverse of `read_facts`."""
    return facts.model_dump(mode="json", exclude_none=True)


def read_facts(stored: Mapping[str, Any]) -> TrialFacts:
    """Return what was stored, by this version or an older one; unknown names are passed over.

    Raises ValueError for a value that a fact cannot have.
    """
    return TrialFacts.model_validate(from_sentences(stored, _IS_TEXT))


def facts_to_tags(facts: TrialFacts, *, longest: int) -> dict[str, str]:
    """Return name -> text of at most `longest` characters: words as they are, all else as JSON."""
    tags = {}
    for name, value in store_facts(facts).items():
        tags[name] = _tag_text(value, longest=longest)
    return tags


def facts_of_tags(tags: Mapping[str, str]) -> TrialFacts:
    """Inverse of `facts_to_tags`.

    Anybody can edit a tag: one that cannot be read counts as not known. What was longer than a tag
    may be comes back shorter.
    """
    values: dict[str, Any] = {}
    for name, text in tags.items():
        # A run carries tags of MLflow and of people besides.
        if name not in TrialFacts.model_fields and name not in _OLD_NAMES:
            continue
        # A text must not be parsed: the digest "1e5" would become a number.
        values[name] = text if name in _IS_TEXT else _parsed(text)
    values = from_sentences(values, _IS_TEXT)
    try:
        return TrialFacts.model_validate(values)
    except ValidationError as error:
        # One bad tag hides itself alone, and no other fact of the trial.
        for problem in error.errors():
            values.pop(str(problem["loc"][0]), None)
        return TrialFacts.model_validate(values)


_IS_TEXT = frozenset(
    name for name, field in TrialFacts.model_fields.items() if field.annotation == str | None
)
"""Facts that are one word or a name."""
_OLD_NAMES = frozenset({"depthwise_gradients", "prefix_views", "evaluation"})
"""Names of older versions that stand for other fields by now."""


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text  # a sentence of an older version


def _tag_text(value: Any, *, longest: int) -> str:
    if isinstance(value, str):
        return value[:longest]
    text = json.dumps(value)
    # Half a list is no JSON: whole entries go, from the end.
    while len(text) > longest and isinstance(value, list) and value:
        value = value[:-1]
        text = json.dumps(value)
    # Only a word or an object is still too long here: cut, it is read back as not known.
    return text[:longest]
