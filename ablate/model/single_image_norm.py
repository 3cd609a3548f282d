"""Training on one image at a time: BatchNorm that trains has no variance over a single value."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

# torch has no exception of its own for this; a test holds the words of the installed version
_TORCHS_WORDS = "Expected more than 1 value per channel when training"


def takes_one_image(module: nn.Module, *, image_size: int) -> bool:
    """Whether a training step on one image can be taken.

    `module` is on the meta device, in training mode with everything held that is held.
    """
    # the usual case, without a pass: nothing in the network trains statistics
    if not any(isinstance(child, _BatchNorm) and child.training for child in module.modules()):
        return True
    try:
        with torch.no_grad(), torch.device("meta"):
            # shapes are checked on the meta device as they are elsewhere
            module(torch.empty(1, 3, image_size, image_size))
    except ValueError as error:
        return not is_about_one_image(error)
    return True


def is_about_one_image(error: ValueError) -> bool:
    """Whether torch refused a batch because it has a single value of a channel."""
    return _TORCHS_WORDS in str(error)
