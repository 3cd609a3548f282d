"""Rules on training: images a step, epochs, augmentation, weights of classes."""

from __future__ import annotations

import math

from ablate.advice.case import Case
from ablate.advice.cost import Work, memory_gb
from ablate.advice.rule import MIN_EPOCHS, Rule
from ablate.advice.sources import (
    BOUQUETS,
    CONVENTION,
    CUI,
    FLOWERS,
    FLOWERS102,
    GEOMETRY,
    KOLESNIKOV,
    RECIPE,
    STEINER,
    TEXTILE,
)

_STEPS = 500
_STEPS_OF_HEAD = 300
_MOST_EPOCHS = 30
_VERY_UNEVEN = 20.0
_BATCHES = (64, 32, 16, 8, 4)
_SHARE_OF_GPU = 0.7
"""Of its memory; weights, optimizer and the driver take the rest."""


def _fits_gpu(case: Case, batch_size: int) -> bool:
    work = Work(
        backbone=case.word("base.backbone"),
        n_train=case.facts.n_train,
        n_val=case.facts.n_val,
        image_size=int(case.number("data.image_size", 224)),
        depth=case.depth,
        epochs=1,
    )
    return memory_gb(work, batch_size=batch_size) <= _SHARE_OF_GPU * (case.machine.gpu_gb or 0)


def _largest_that_fits(case: Case) -> int:
    for batch_size in _BATCHES:
        if _fits_gpu(case, batch_size):
            return batch_size
    # By this rule of thumb not even the smallest fits; `micro_batch` can divide it further.
    return _BATCHES[-1]


def _epochs(case: Case) -> int:
    """As many as the steps need, within 6 and 30 and within the time."""
    steps = _STEPS
    if case.depth in ("all", -1):
        steps = _STEPS_OF_HEAD
    steps_an_epoch = math.ceil(case.facts.n_train / case.number("base.batch_size", 32))
    wanted = math.ceil(steps / steps_an_epoch)
    epochs = min(_MOST_EPOCHS, max(MIN_EPOCHS, wanted))
    while epochs > MIN_EPOCHS and not case.can_afford(case.depth, epochs=epochs):
        epochs -= 1
    return epochs


TRAINING_RULES: tuple[Rule, ...] = (
    Rule(
        field="base.batch_size",
        where="a GPU, and 1,000 train images",
        holds=lambda case: case.machine.gpu_gb is not None and case.facts.n_train >= 1_000,
        value="the largest of 64, 32, 16, 8, 4 whose memory fits",
        finds=_largest_that_fits,
        why="larger batches keep a GPU busy; the learning rates here are for 16 to 64",
        source=CONVENTION,
        shows=("train", "device"),
        alternatives=(32,),
    ),
    Rule(
        field="base.batch_size",
        where="under 400 train images",
        holds=lambda case: case.facts.n_train < 400,
        value=16,
        why="few images: smaller batches make enough steps of an epoch",
        source=CONVENTION,
        shows=("train",),
        alternatives=(32, 8),
    ),
    Rule(
        field="base.batch_size",
        value=32,
        why="enough steps an epoch, and BatchNorm's usual size",
        source=CONVENTION,
        shows=("train",),
        alternatives=(16, 64),
    ),
    Rule(
        field="base.epochs",
        value="as many as 500 steps need (300 where the last unit or the head learns), 6 to 30, "
        "within the time",
        finds=_epochs,
        why="small sets want a number of steps, whatever their size; here fewer than BiT's at its "
        "batch of 512",
        source=KOLESNIKOV,
        shows=("train", "trial cost"),
        alternatives=(12, 6),
    ),
    Rule(
        field="base.augment",
        where="signs are small",
        holds=lambda case: case.facts.seeks_small_signs,
        value="none",
        why="a random crop may cut the sign away and keep the label",
        source=f"{GEOMETRY}; {TEXTILE}",
        alternatives=("light",),
    ),
    Rule(
        field="base.augment",
        where="only the head learns",
        holds=lambda case: case.depth == "all",
        value="none",
        why="features are computed once, and strong augmentation cost a probe 2 points",
        source=FLOWERS,
        alternatives=("light",),
    ),
    Rule(
        field="base.augment",
        where="the last unit learns, or a mirrored image is another class",
        holds=lambda case: case.depth == -1 or not case.facts.may_flip,
        value="light",
        why="crops of 60 % or more keep objects whole, and were worth 1.1 points to a last unit",
        source=RECIPE,
        alternatives=("none", "medium"),
    ),
    Rule(
        field="base.augment",
        where="everything learns",
        holds=lambda case: case.depth == 0,
        value="strong",
        why="the more weights learn from few images, the more augmentation pays",
        source=f"{STEINER}; {FLOWERS}",
        alternatives=("medium", "light"),
    ),
    Rule(
        field="base.augment",
        value="medium",
        why="between a free last unit and free everything",
        source=FLOWERS102,
        alternatives=("light", "strong"),
    ),
    Rule(
        field="base.flip",
        where="a mirrored image is another class",
        holds=lambda case: not case.facts.may_flip,
        value="none",
        why="digits, letters and signs change their meaning in a mirror",
        source=GEOMETRY,
    ),
    Rule(
        field="base.flip",
        where="only the head learns",
        holds=lambda case: case.depth == "all",
        value="auto",
        why="features are computed once, of images as they are",
        source=CONVENTION,
    ),
    Rule(
        field="base.flip",
        where="signs are small and may lie anywhere",
        holds=lambda case: case.facts.seeks_small_signs,
        value="both",
        why="a mirrored surface is a surface, and no pixel is lost",
        source=GEOMETRY,
        alternatives=("auto", "none"),
    ),
    Rule(
        field="base.flip",
        value="auto",
        why="mirrored left to right where images are augmented",
        source=CONVENTION,
        alternatives=("none",),
    ),
    Rule(
        field="base.class_weights",
        where="images have several labels",
        holds=lambda case: case.facts.has_several_labels,
        value="balanced",
        why="nearly all answers are no: weighing the yes was worth 4.7 points of macro F1",
        source=BOUQUETS,
        alternatives=("none",),
    ),
    Rule(
        field="base.class_weights",
        where="the largest class has more than 20 times the images of the smallest",
        holds=lambda case: case.imbalance > _VERY_UNEVEN,
        value="effective",
        why="inverse frequency would give a handful of images most of the loss",
        source=CUI,
        shows=("imbalance",),
        alternatives=("balanced", "none"),
    ),
    Rule(
        field="base.class_weights",
        where="the largest class has 1.5 times the images of the smallest",
        holds=lambda case: case.is_uneven,
        value="balanced",
        why="every class counts alike, as in macro F1",
        source=CUI,
        shows=("imbalance",),
        alternatives=("none", "effective"),
    ),
    Rule(
        field="base.class_weights",
        value="none",
        why="classes are of about one size",
        source=CONVENTION,
        shows=("imbalance",),
    ),
)
