"""The head, which every trial draws anew: its classes are the data set's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import nn

from ablate.model.backbone import classifier_names, head_names_of
from ablate.streams import stream


def draw_head(module: nn.Module, seed: int) -> None:
    """Draw every classifier anew from its own stream.

    So it does not depend on how many numbers the trunk's initialisation takes.
    """
    for name, classifier in drawn_classifiers(module):
        with seeded_head(seed, name):
            classifier.reset_parameters()


def drawn_classifiers(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """The classifiers of a timm model that torch can draw anew, by name; most models have one."""
    for name in classifier_names(module):
        classifier = module.get_submodule(name)
        if hasattr(classifier, "reset_parameters"):
            yield name, classifier


def is_drawn_whole(module: nn.Module) -> bool:
    """Whether a drawn head has nothing left of the one before it.

    A head with parameters that torch cannot reset would keep those of the trial that loaded it.
    """
    drawn: set[str] = set()
    for name, classifier in drawn_classifiers(module):
        # `reset_parameters` draws a module's own parameters, not its children's.
        for leaf, _ in classifier.named_parameters(recurse=False):
            drawn.add(f"{name}.{leaf}")
    return drawn.issuperset(head_names_of(module))


def seeded_head(seed: int, name: str) -> AbstractContextManager[None]:
    """torch's global generator as it draws the classifier `name` of a trial's head."""
    return seeded(stream(seed, "init", "head", name))


@contextmanager
def seeded(key: int) -> Iterator[None]:
    """torch's global generator seeded with `key` inside, and as it was afterwards."""
    # devices=[]: forking the generators of all GPUs would start CUDA
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key)
        yield
