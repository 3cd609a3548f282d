"""What a rule sees: the facts, what other rules have settled before it, and numbers of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ablate.advice.cost import Work, seconds_a_trial
from ablate.advice.facts import ImageSetFacts, MachineFacts

USUAL_MINUTES = 30.0
"""For the first study, where nobody says how long it may take."""
USUAL_SEEDS = 5
N_COSTLY_ARMS = 3
"""Arms of a first study that cost what the recommended one does; probes are nearly free."""
UNEVEN = 1.5
"""Classes are uneven where the largest has this many times the images of the smallest."""


@dataclass(frozen=True, slots=True)
class Case:
    """Images and a computer, and the fields that are settled so far."""

    facts: ImageSetFacts
    machine: MachineFacts
    settled: Mapping[str, object]
    """Field -> value, of the rules before, and of what is given."""

    @property
    def images_a_class(self) -> float:
        """Images of train for each class, on average."""
        return self.facts.n_train / max(1, len(self.facts.classes))

    @property
    def imbalance(self) -> float:
        """Images of the largest class of train / of the smallest; 1 where nobody counted."""
        counts = self.facts.train_counts
        if not counts:
            return 1.0
        # A class that train lacks counts as one image, so that the ratio stays finite.
        return max(counts.values()) / max(1, min(counts.values()))

    @property
    def is_uneven(self) -> bool:
        """Whether the sizes of the classes differ."""
        return self.imbalance >= UNEVEN

    @property
    def short_side(self) -> float:
        """Shorter side in pixels of the image in the middle; 256 where nobody looked."""
        if self.facts.median_size is None:
            return 256.0
        return min(self.facts.median_size)

    @property
    def usual_aspect(self) -> float:
        """Longer / shorter side of the image in the middle; 1 where nobody looked."""
        if self.facts.aspect_quantiles is None:
            return 1.0
        return self.facts.aspect_quantiles[1]

    @property
    def aspect_spread(self) -> float:
        """How much the shapes of images differ: quantile 0.95 / quantile 0.05 of the aspect."""
        if self.facts.aspect_quantiles is None:
            return 1.0
        low, _, high = self.facts.aspect_quantiles
        return high / low

    @property
    def seconds(self) -> float:
        """Seconds that the first study may take."""
        return 60 * (self.machine.minutes or USUAL_MINUTES)

    def number(self, field: str, default: float) -> float:
        """A settled number; `default` where the field is not settled, or is a word."""
        value = self.settled.get(field, default)
        if isinstance(value, int | float):
            return float(value)
        return default

    def word(self, field: str) -> str:
        """A settled value as text; empty where the field is not settled."""
        return str(self.settled.get(field, ""))

    @property
    def depth(self) -> object:
        """The settled freeze depth: `all`, 0, -1, ..."""
        return self.settled.get("base.freeze_depth", "all")

    def trial_s(self, depth: object, *, epochs: int, image_size: int | None = None) -> float:
        """About how many seconds one trial takes on this computer."""
        side = image_size or int(self.number("data.image_size", 224))
        work = Work(
            backbone=self.word("base.backbone"),
            n_train=self.facts.n_train,
            n_val=self.facts.n_val,
            image_size=side,
            depth=depth,
            epochs=epochs,
            # As the rules for `augment` have it, which come later than those that ask for costs.
            is_augmented=depth != "all" and not self.facts.seeks_small_signs,
        )
        return seconds_a_trial(work, self.machine)

    def can_afford(self, depth: object, *, epochs: int, image_size: int | None = None) -> bool:
        """Whether the usual seeds of a first study fit the time that there is."""
        trial_s = self.trial_s(depth, epochs=epochs, image_size=image_size)
        return N_COSTLY_ARMS * USUAL_SEEDS * trial_s <= self.seconds
