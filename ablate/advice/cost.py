"""About what a trial costs, from known speeds: for choices that come before any measurement.

`ablate plan --probe` measures; this only has to tell seconds from minutes, and minutes from hours.
"""

from __future__ import annotations

from dataclasses import dataclass

from ablate.advice.facts import MachineFacts

# docs/performance.md, "Against a plain loop": EfficientNet-Lite0 at 224, bf16, a slot of one core.
_STEPS_A_CORE = 20.0
"""Images a second that a core trains the whole network on."""
_PASSES_A_CORE = 50.0
"""Images a second that a core sends through the frozen network."""
_WITHOUT_BF16 = 0.5
# Not measured here: the order of magnitude of a GPU of 8 to 16 GB.
_STEPS_A_GPU = 600.0
_PASSES_A_GPU = 2_000.0
_SIDE = 224
_STARTS_S = 2.0
"""A trial that trains nearly nothing."""
_USUAL = "tf_efficientnet_lite0"

_SHARES: dict[object, float] = {"all": 0.0, -1: 0.05, -2: 0.15, -3: 0.25}
"""Freeze depth -> share of a whole training step, with the frozen part kept; 1 for the others."""


@dataclass(frozen=True, slots=True)
class Weight:
    """What a network costs beside EfficientNet-Lite0."""

    times: float
    """Multiply-adds / those of EfficientNet-Lite0, 0.4 thousand million at 224."""
    mb_an_image: float
    """Memory of one image of 224 pixels while the whole network trains in 16 bits, in MB."""


WEIGHTS: dict[str, Weight] = {
    _USUAL: Weight(1.0, 70.0),
    "convnext_tiny.fb_in22k_ft_in1k": Weight(11.0, 110.0),
    "resnet50.a1_in1k": Weight(10.0, 90.0),
    "vit_small_patch14_dinov2.lvd142m": Weight(15.0, 90.0),
}
"""Memory is a rule of thumb, not measured here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one trial computes."""

    backbone: str
    n_train: int
    n_val: int
    image_size: int
    depth: object
    epochs: int
    is_augmented: bool = False
    """Whether a frozen prefix sees other views of train in every epoch."""


def weight_of(backbone: str) -> Weight:
    """What a backbone costs; one that the table does not know counts as the usual one."""
    return WEIGHTS.get(backbone, WEIGHTS[_USUAL])


def seconds_a_trial(work: Work, machine: MachineFacts) -> float:
    """Seconds of one trial where all of the computer works on it."""
    steps, passes = _speeds(machine)
    # The work of a convolution grows with the pixels.
    times = weight_of(work.backbone).times * (work.image_size / _SIDE) ** 2
    share = _SHARES.get(work.depth, 1.0)
    trained = work.n_train * work.epochs * share
    # A frozen prefix is passed once for each view; what trains also scores val in each epoch.
    n_views = 1
    if work.is_augmented:
        n_views = work.epochs
    passed = work.n_train * n_views * (1 - share) + work.n_val * (1 + work.epochs * share)
    return _STARTS_S + times * (trained / steps + passed / passes)


def memory_gb(work: Work, *, batch_size: int) -> float:
    """GB of memory that a batch takes while it trains, weights and optimizer left out."""
    side = (work.image_size / _SIDE) ** 2
    # A frozen part keeps nothing for the way back, but holds the maps of a layer at a time.
    share = max(0.1, _SHARES.get(work.depth, 1.0))
    return batch_size * weight_of(work.backbone).mb_an_image * side * share / 1_000


def _speeds(machine: MachineFacts) -> tuple[float, float]:
    """Images of 224 pixels a second: trained, and passed through."""
    if machine.gpu_gb is not None:
        return _STEPS_A_GPU, _PASSES_A_GPU
    factor = float(machine.cores)
    if not machine.has_bf16:
        factor *= _WITHOUT_BF16
    return factor * _STEPS_A_CORE, factor * _PASSES_A_CORE


def roughly(seconds: float) -> str:
    """`40 s` or `12 min`: known speeds tell no more than that."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"
