"""Batch spectral shrinkage: directions of features that hardly carry anything are given up.

Chen, Wang, Fu, Long and Wang, "Catastrophic Forgetting Meets Negative Transfer: Batch Spectral
Shrinkage for Safe Transfer Learning", NeurIPS 2019.
"""

from __future__ import annotations

import torch
from torch import Tensor


def spectral_tail(features: Tensor, *, k: int) -> Tensor:
    """Sum of the squares of the `k` smallest singular values of features (B, D).

    There are min(B, D) of them; of a last batch of `k` images or fewer, all.
    """
    # float32: there is no decomposition in half precision
    values: Tensor = torch.linalg.svdvals(features.float())  # (min(B, D),), falling
    return values[-k:].square().sum()
