"""A Swin Transformer of two small stages: timm's own smallest has 28 million parameters. Importing this module makes it known to timm."""

from __future__ import annotations

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.swin_transformer import SwinTransformer
from torch import nn

from ablate.study.request import TrialRequest
from ablate.tracking.events import TrialOutcome
from ablate.training.loop.fit import EmitEpoch
from ablate.training.trial_run import run_trial

default_cfgs = generate_default_cfgs(
    {
        "tiny_swin.untrained": {
            "url": "",
            "num_classes": 1000,
            "input_size": (3, 64, 64),
            "fixed_input_size": True,
            "crop_pct": 0.9,
            "interpolation": "bicubic",
            "mean": (0.5, 0.5, 0.5),
            "std": (0.5, 0.5, 0.5),
            "first_conv": "patch_embed.proj",
            "classifier": "head.fc",
        }
    }
)


@register_model
def tiny_swin(pretrained: bool = False, **given: Any) -> nn.Module:
    """Windows of 4x4 patches, shifted in every second block, on 16x16 and then 8x8 patches."""
    form = {
        "patch_size": 4,
        "window_size": 4,
        "embed_dim": 24,
        "depths": (2, 2),
        "num_heads": (2, 4),
    }
    return build_model_with_cfg(
        SwinTransformer,
        "tiny_swin",
        pretrained,
        feature_cfg={"out_indices": (0, 1)},
        **form,
        **given,
    )


def run_tiny_trial(request: TrialRequest, emit: EmitEpoch) -> TrialOutcome:
    """`run_trial` in a process that knows the tiny Swin."""
    return run_trial(request, emit)
