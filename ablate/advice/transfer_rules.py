"""Rules on the network: which one, what of it is frozen when, and how fast each part learns."""

from __future__ import annotations

from ablate.advice.case import Case
from ablate.advice.rule import MIN_EPOCHS, Rule
from ablate.advice.sources import (
    ADAPTERS,
    CONVENTION,
    FLOWERS,
    FLOWERS102,
    HU,
    KORNBLITH,
    KUMAR,
    LI,
    LICENCES,
    LIU,
    PROBE_MINI,
    TEXTILE,
)

_BUNDLED = "tf_efficientnet_lite0"
_LARGER = "convnext_tiny.fb_in22k_ft_in1k"
_CLEAR = 0.97
"""Of the probe's score: what is left to gain is less than seeds differ by."""
_FAR = 0.6
"""Of the probe's score: under it the features do not tell the classes apart."""


def _has_hardly_any(case: Case) -> bool:
    return case.images_a_class < 5 or case.facts.n_train < 50


def _is_clear(case: Case) -> bool:
    score = case.facts.probe_score
    return score is not None and score >= _CLEAR


def _is_far(case: Case) -> bool:
    score = case.facts.probe_score
    return score is not None and score < _FAR


def _is_probe(case: Case) -> bool:
    return case.depth == "all"


def _frees_all(case: Case) -> bool:
    return case.depth == 0


def _frees_one(case: Case) -> bool:
    return case.depth == -1


def _has_batch_norm(case: Case) -> bool:
    backbone = case.word("base.backbone")
    return not backbone.startswith(("convnext", "vit", "swin"))


BACKBONE_RULES: tuple[Rule, ...] = (
    Rule(
        field="base.backbone",
        where="a GPU of 6 GB or more, and a hub of weights is within reach",
        holds=lambda case: case.machine.weights == "network" and (case.machine.gpu_gb or 0) >= 6,
        value=_LARGER,
        why="better ImageNet models transfer better, and this one saw 14 million images",
        source=f"{KORNBLITH}; {LIU}",
        shows=("device",),
        alternatives=("vit_small_patch14_dinov2.lvd142m", "resnet50.a1_in1k", _BUNDLED),
    ),
    Rule(
        field="base.backbone",
        value=_BUNDLED,
        why="its weights come with the installation, and a CPU trains it",
        source=LICENCES,
        shows=("device",),
        alternatives=("tf_efficientnet_lite1", "tf_efficientnet_lite2"),
    ),
    Rule(
        field="base.weights",
        value="auto",
        why="weights that are installed, else the hub's",
        source=LICENCES,
    ),
)
FREEZE_RULES: tuple[Rule, ...] = (
    Rule(
        field="base.freeze_depth",
        where="under 5 train images per class, or under 50",
        holds=_has_hardly_any,
        value="all",
        why="so few images fit a head; more freedom distorts features that were good",
        source=KUMAR,
        shows=("train", "a class"),
        alternatives=(-1,),
    ),
    Rule(
        field="base.freeze_depth",
        where="nearest class means on frozen features are right for 97 %",
        holds=_is_clear,
        value="all",
        why="frozen features tell the classes apart already",
        source=KORNBLITH,
        shows=("probe",),
        alternatives=(-1, 0),
    ),
    Rule(
        field="base.freeze_depth",
        where="signs are small, and under 1,000 train images",
        holds=lambda case: case.facts.seeks_small_signs and case.facts.n_train < 1_000,
        value=-1,
        why="everything at once was 6 points worse than a probe there, the last unit 2 better",
        source=f"{TEXTILE}, from which the rule was made",
        shows=("train",),
        alternatives=("all", -3),
    ),
    Rule(
        field="base.freeze_depth",
        where="under 300 train images",
        holds=lambda case: case.facts.n_train < 300,
        value=-1,
        why="few images: the last unit adapts, and what is general stays",
        source=KUMAR,
        shows=("train",),
        alternatives=("all", 0),
    ),
    Rule(
        field="base.freeze_depth",
        where="three arms with five seeds of everything fit the time",
        holds=lambda case: case.can_afford(0, epochs=MIN_EPOCHS),
        value=0,
        why="fine-tuning of everything is best on most sets, and there is time for it",
        source=f"{KORNBLITH}; {FLOWERS}",
        shows=("train", "full cost", "budget"),
        alternatives=(-3, -1),
    ),
    Rule(
        field="base.freeze_depth",
        value=-3,
        why="the last three units reach what everything reaches, in a third of the time",
        source=FLOWERS102,
        shows=("train", "full cost", "budget"),
        alternatives=(-1, 0),
    ),
)
RATE_RULES: tuple[Rule, ...] = (
    Rule(
        field="base.strategy",
        where="everything learns, for 9 epochs or more",
        holds=lambda case: _frees_all(case) and case.number("base.epochs", 0) >= 9,
        value="lp_ft",
        why="a third of the epochs fits the head, so that the trunk's first gradients have a sense",
        source=KUMAR,
        alternatives=("single",),
    ),
    Rule(
        field="base.strategy",
        value="single",
        why="one phase: little is free, or there are too few epochs to divide",
        source=f"{FLOWERS}: unfreezing step by step in 6 epochs was 5.5 points worse",
        alternatives=("lp_ft",),
    ),
    Rule(
        field="base.head_lr",
        where="the backbone has no BatchNorm (ConvNeXt, ViT, Swin)",
        holds=lambda case: not _has_batch_norm(case),
        value=1.0e-3,
        why="AdamW's usual rate for networks with LayerNorm",
        source=LIU,
        alternatives=(3.0e-3, 3.0e-4),
    ),
    Rule(
        field="base.head_lr",
        where="three units are free",
        holds=lambda case: case.depth == -3,
        value=3.0e-3,
        why="many free weights behind one head: a third of a probe's rate",
        source=FLOWERS102,
        alternatives=(1.0e-2, 1.0e-3),
    ),
    Rule(
        field="base.head_lr",
        value=1.0e-2,
        why="a fresh linear head learns fast in few steps",
        source=f"{FLOWERS}; {TEXTILE}",
        alternatives=(3.0e-3, 3.0e-2),
    ),
    Rule(
        field="base.lr_ratio",
        where="three units are free, or features are far from the classes (score under 0.6) and "
        "there are 1,000 train images",
        holds=lambda case: case.depth == -3 or (_is_far(case) and case.facts.n_train >= 1_000),
        value=0.3,
        why="the farther the images are from ImageNet, the larger the rate that suits the trunk",
        source=f"{LI}; {FLOWERS102}",
        shows=("probe",),
        alternatives=(0.1, 1.0),
    ),
    Rule(
        field="base.lr_ratio",
        value=0.1,
        why="pretrained weights learn at a tenth of the head's rate; at the same rate everything "
        "was 5 points worse",
        source=f"{LI}; {TEXTILE}",
        alternatives=(0.3, 0.03),
    ),
    Rule(
        field="base.batch_norm",
        where="the backbone has BatchNorm, and some of it is free",
        holds=lambda case: _has_batch_norm(case) and not _is_probe(case),
        value="frozen",
        why="statistics of few small batches are worse than those of ImageNet",
        source=CONVENTION,
        alternatives=("train",),
    ),
    Rule(
        field="base.batch_norm",
        value="train",
        why="there is no free BatchNorm",
        source=CONVENTION,
    ),
    Rule(
        field="base.classifier",
        where="only the head learns, and images have one label",
        holds=lambda case: _is_probe(case) and not case.facts.has_several_labels,
        value="logistic",
        why="logistic regression on features needs no learning rate and no epochs",
        source=f"{KORNBLITH}; {PROBE_MINI}",
        alternatives=("linear",),
    ),
    Rule(
        field="base.classifier",
        value="linear",
        why="the head learns together with what is free",
        source=CONVENTION,
    ),
    Rule(
        field="base.lora_rank",
        where="a ViT, of which all is frozen",
        holds=lambda case: _is_probe(case) and case.word("base.backbone").startswith("vit"),
        value=8,
        why="adapters in attention reach full fine-tuning with 1 % of the weights",
        source=HU,
        alternatives=(16, 4, 0),
    ),
    Rule(
        field="base.lora_rank",
        value=0,
        why="on this CNN, low ranks gain at most 1.4 points over a probe, free units more",
        source=f"{ADAPTERS}; {FLOWERS}",
        alternatives=(8, 16),
    ),
)
