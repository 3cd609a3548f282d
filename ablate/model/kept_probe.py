"""The network of a worker's last linear probe, for its next one: only the head is drawn anew.

Probes that differ in rates, decay, seed, loss or images share all of the network but the head. To
copy the trunk, to freeze it and to lay it out takes longer than to train the head on activations
that are kept; here it is done once in a worker, however many probes follow.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable
from threading import Lock

import torch

from ablate.model.backbone_facts import ImageSize
from ablate.model.delta import movable
from ablate.model.drawn_head import drawn_classifiers, is_drawn_whole, seeded_head
from ablate.model.kept_backbone import MOST_BYTES, key_of, n_bytes
from ablate.model.network import Network
from ablate.model.trunk_spec import trunk_spec
from ablate.recipe.recipe import Recipe
from ablate.recipe.strategy import phases_of

_OF_TRAINING = frozenset(
    {
        "head_lr",
        "lr_ratio",
        "layer_decay",
        "optimizer",
        "momentum",
        "weight_decay",
        "l2_sp",
        "lwf",
        "lwf_temperature",
        "co_tuning",
        "delta",
        "bss",
        "bss_k",
        "clip_norm",
        "ema_decay",
        "schedule",
        "warmup",
        "step_every",
        "step_factor",
        "epochs",
        "batch_size",
        "micro_batch",
        "patience",
        "augment",
        "flip",
        "color_jitter",
        "erase",
        "shots",
        "sampler",
        "loss",
        "focal_gamma",
        "logit_adjustment",
        "label_smoothing",
        "class_weights",
        "effective_beta",
        "classifier",
        "classifier_l2",
        "neighbours",
    }
)
"""Fields of a recipe that no network depends on. All others must be equal."""
_lock = Lock()
_kept: dict[Hashable, Network] = {}
"""At most one, which nobody uses."""


def probe_key(
    recipe: Recipe, *, n_classes: int, image_size: ImageSize, compute: Hashable
) -> Hashable | None:
    """All that decides a probe's network but its head's draw; None where there is more than that.

    `compute` is how the network was laid out for the device.
    """
    trunk = key_of(trunk_spec(recipe, n_classes=n_classes, image_size=image_size))
    if trunk is None or recipe.freeze_depth != "all" or len(phases_of(recipe)) > 1:
        return None
    structure = recipe.model_dump_json(exclude=set(_OF_TRAINING))
    return trunk, structure, compute


def take_probe(key: Hashable | None, *, seed: int) -> Network | None:
    """The network that `keep_probe` was given under this key, equal to one that is built anew.

    It is the caller's own until it is kept again: a trial that breaks off leaves none behind. None
    where there is none.
    """
    with _lock:
        network = None if key is None else _kept.pop(key, None)
        # Of another key, it would only take memory beside the one that is built now.
        _kept.clear()
    if network is None:
        return None
    _draw_head(network, seed)
    network.train()
    return network


def keep_probe(key: Hashable | None, network: Network) -> None:
    """Keep a network, whole and with nothing but its head changed since it was built."""
    if key is None or n_bytes(network.module) > MOST_BYTES:
        return
    # Statistics that move, adapters and free units would go from one trial to the next.
    if set(movable(network)) != set(network.head_names) or not is_drawn_whole(network.module):
        return
    with _lock:
        _kept.clear()
        _kept[key] = network


def _draw_head(network: Network, seed: int) -> None:
    """Draw the head as `build_network` does: on the CPU, in torch's own order of elements."""
    for name, classifier in drawn_classifiers(network.module):
        twin = copy.deepcopy(classifier).to("cpu").to(memory_format=torch.contiguous_format)
        with seeded_head(seed, name):
            twin.reset_parameters()
        drawn = dict(twin.named_parameters(recurse=False))
        for leaf, parameter in classifier.named_parameters(recurse=False):
            parameter.grad = None
            with torch.no_grad():
                parameter.copy_(drawn[leaf])
