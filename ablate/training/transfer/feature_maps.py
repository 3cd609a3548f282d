"""DELTA without its attention: feature maps must stay what they were.

Li, Xiong, Wang, Rao, Liu, Chen and Huan, "DELTA: Deep Learning Transfer using Feature Map with
Attention for Convolutional Networks", ICLR 2019. There each channel is weighted by how much worse
the source model gets without it, a forward pass for each channel; here all channels weigh alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def behaviour_change(
    now: Mapping[str, Tensor], start: Mapping[str, Tensor], *, channel_axes: Mapping[str, int]
) -> Tensor:
    """Half the squared distance of feature maps (B, ...) by unit, mean over the images.

    The sum over units and channels, and the mean over the places of a map, so that a unit weighs
    alike at every image size.
    """
    distances = []
    for unit, output in now.items():
        n_channels = output.shape[channel_axes[unit]]
        squares = (output.float() - start[unit].float()).square()
        # the mean over images, channels and places, times the channels
        distances.append(squares.mean() * n_channels)
    return 0.5 * _total(distances)


def _total(distances: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(distances)).sum()
