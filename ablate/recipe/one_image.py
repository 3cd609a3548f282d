"""Training on one image at a time, which a BatchNorm that trains may not be able to.

Which recipes ask for it, and what to say of it.
"""

from __future__ import annotations

from ablate.recipe.recipe import Recipe


def asks_for_one_image(recipe: Recipe) -> bool:
    """Whether a recipe puts one image into the network at a time."""
    # A fitted classifier passes images through a trunk in eval mode, which takes any batch.
    return recipe.classifier == "linear" and 1 in (recipe.batch_size, recipe.micro_batch)


def one_image_mistake(recipe: Recipe) -> str:
    """What must hold where a network cannot train on one image at a time, and the ways out."""
    # The field that is too small: with a larger batch it is the micro-batch.
    field = "batch_size"
    if recipe.micro_batch == 1 and recipe.batch_size > 1:
        field = "micro_batch"
    return (
        f"{field} must leave at least 2 images in the network at a time, got 1: "
        "BatchNorm that trains at the end of "
        f"{recipe.backbone} sees one value of each channel there, which has no variance; "
        f"take a larger {field}, batch_norm: frozen, or a larger data.image_size"
    )
