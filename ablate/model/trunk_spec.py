"""What decides a trial's trunk: worked out of its recipe once, and passed whole."""

from __future__ import annotations

from dataclasses import dataclass

from ablate.model.backbone import Pooling, run_order
from ablate.model.backbone_facts import ImageSize
from ablate.model.drop_path import drop_path_of
from ablate.recipe.recipe import Recipe


@dataclass(frozen=True)
class TrunkSpec:
    """All that a trunk depends on but the file of its weights. Equal ones load equal trunks."""

    backbone: str
    weights: str
    pooling: Pooling
    drop_path: float
    """Of the network that is built: 0 where no unit is free, see `drop_path_of`."""
    n_classes: int
    """timm builds a classifier with the trunk; it is drawn anew by whoever trains it."""
    image_size: ImageSize

    def run_order(self, side: int) -> tuple[str, ...]:
        """See `backbone.run_order`; `side` is what `image_size` comes to, in pixels."""
        return run_order(self.backbone, side, self.pooling, self.drop_path)


def trunk_spec(recipe: Recipe, *, n_classes: int, image_size: ImageSize) -> TrunkSpec:
    """The trunk that a recipe asks for."""
    return TrunkSpec(
        backbone=recipe.backbone,
        weights=recipe.weights,
        pooling=recipe.pooling,
        drop_path=drop_path_of(recipe),
        n_classes=n_classes,
        image_size=image_size,
    )
