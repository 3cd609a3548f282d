"""Learning without Forgetting: the pretrained classifier must go on saying what it said.

Li and Hoiem, "Learning without Forgetting", ECCV 2016; TPAMI 2018.
"""

from __future__ import annotations

import torch
from torch import Tensor


def softened(logits: Tensor, *, temperature: float) -> Tensor:
    """Recorded logits (N, K) -> the probabilities (N, K) that are to be kept, float32.

    The paper's y' = y^(1/T) / sum y^(1/T).
    """
    return torch.softmax(logits.float() / temperature, dim=1)


def forgetting(logits: Tensor, kept: Tensor, *, temperature: float) -> Tensor:
    """Divergence KL(kept || softened logits), mean over the images; logits and kept are (B, K).

    The paper's cross-entropy less the entropy of `kept`, which no weight changes: 0 is nothing
    forgotten. As in the paper no factor T^2.
    """
    log_now = torch.log_softmax(logits.float() / temperature, dim=1)
    # xlogy: 0 * log 0 is 0
    each: Tensor = torch.special.xlogy(kept, kept) - kept * log_now
    return each.sum(dim=1).mean()
