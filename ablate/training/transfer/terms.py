"""The terms beside the loss that a recipe asks for, at work.

Each looks at the pass that the loss makes anyway; DELTA alone makes a second one, of the network as
it was at the start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ablate.model.backbone import classifier_names
from ablate.model.delta import movable
from ablate.model.network import Network
from ablate.model.unit_outputs import channel_axis, moving_outputs
from ablate.recipe.recipe import Recipe
from ablate.recipe.transfer import penalties_of
from ablate.training.loop.ema import copies, in_place
from ablate.training.transfer.bss import spectral_tail
from ablate.training.transfer.co_tuning import co_tuning_loss, source_targets
from ablate.training.transfer.feature_maps import behaviour_change
from ablate.training.transfer.lwf import forgetting, softened
from ablate.training.transfer.source_outputs import SourceOutputs
from ablate.training.transfer.watching import Seen, watched

Forward = Callable[[Tensor], Any]


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a batch, as its pass showed it."""

    labels: Tensor
    """(B,), or shares (B, C)."""
    recorded: Tensor | None
    """Probabilities (B, K) that LwF keeps."""
    share: float
    """Of the batch's images, in (0, 1]."""
    now: Seen
    start: Seen | None
    """The same part through the network as it was at the start."""


@dataclass(frozen=True, eq=False)
class TransferTerms:
    """The terms of a trial: one object for all of its phases."""

    recipe: Recipe
    weights: Mapping[str, float]
    """Name -> weight, in the order of `recipe.transfer.PENALTIES`."""
    source_layer: nn.Linear | None
    """The pretrained classifier, which learns beside the trunk and is no part of the network."""
    recorded: Tensor | None
    """Probabilities (N, K) of the train split that LwF keeps, on the CPU."""
    relationship: Tensor | None
    """Co-Tuning's (C, K), on the device."""
    live: Mapping[str, Tensor]
    """All that training moves, by name; empty without DELTA."""
    start: Mapping[str, Tensor]
    """Copies of `live` from before training."""
    _noted: dict[str, list[Tensor]] = field(default_factory=dict)
    """Name -> weighted terms of the parts of an epoch, detached."""

    def param_groups(self, recipe: Recipe) -> list[dict[str, Any]]:
        """The optimizer's groups of the source classifier: pretrained, so at the trunk's rate."""
        if self.source_layer is None:
            return []
        lr = recipe.head_lr * recipe.lr_ratio
        weight, bias = self.source_layer.weight, self.source_layer.bias
        decayed = {"params": [weight], "weight_decay": recipe.weight_decay, "name": "source/decay"}
        flat = {"params": [bias], "weight_decay": 0.0, "name": "source/no_decay"}
        return [{**decayed, "lr": lr}, {**flat, "lr": lr}]

    @contextmanager
    def watching(self, network: Network, forward: Forward, inputs: Tensor) -> Iterator[Watched]:
        """Watch the pass of `inputs` (B, ...) that the block makes."""
        head = network.module.get_submodule(classifier_names(network.module)[0])
        units: dict[str, nn.Module] = {}
        start = None
        if "delta" in self.weights:
            units = moving_outputs(network)
            # before the pass that learns: its graph must not see weights come and go
            start = self._at_start(network, forward, inputs, units=units, head=head)
        with watched(head, units) as now:
            yield Watched(now, start)

    def total(self, network: Network, part: Part) -> Tensor:
        """The sum of all terms, weighted: a part's share of those of its batch, a scalar."""
        terms = []
        for name, weight in self.weights.items():
            term = weight * self._term(name, network, part)
            self._noted.setdefault(name, []).append(term.detach())
            terms.append(term)
        return torch.stack(terms).sum()

    def pop_means(self, n_steps: int) -> dict[str, float]:
        """`train/<name>` -> the mean over the steps since it was asked last."""
        means = {}
        for name, noted in self._noted.items():
            means[f"train/{name}"] = float(torch.stack(noted).sum()) / n_steps
        self._noted.clear()
        return means

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint must hold."""
        if self.source_layer is None:
            return {}
        return copies(self.source_layer.state_dict())

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Inverse of `state`."""
        if self.source_layer is not None:
            # in place: the optimizer holds the same parameters
            self.source_layer.load_state_dict(dict(state))

    def _term(self, name: str, network: Network, part: Part) -> Tensor:
        if name == "bss":
            # Singular values are of the images in the network together; parts add up.
            return spectral_tail(part.now.features, k=self.recipe.bss_k)
        if name == "lwf":
            term = self._forgetting(part)
        elif name == "co_tuning":
            term = self._co_tuning(part)
        else:
            term = self._behaviour(network, part)
        # means over images: weighed by how many of the batch these are
        return term * part.share

    def _forgetting(self, part: Part) -> Tensor:
        assert part.recorded is not None
        return forgetting(
            self._source_logits(part), part.recorded, temperature=self.recipe.lwf_temperature
        )

    def _co_tuning(self, part: Part) -> Tensor:
        assert self.relationship is not None
        targets = source_targets(part.labels, self.relationship)
        return co_tuning_loss(self._source_logits(part), targets)

    def _behaviour(self, network: Network, part: Part) -> Tensor:
        assert part.start is not None
        axes = {}
        for unit, output in part.now.outputs.items():
            axes[unit] = channel_axis(network.module, output)
        return behaviour_change(part.now.outputs, part.start.outputs, channel_axes=axes)

    def _source_logits(self, part: Part) -> Tensor:
        assert self.source_layer is not None
        # in float32, as losses are
        logits: Tensor = self.source_layer(part.now.features.float())
        return logits

    @torch.no_grad()
    def _at_start(
        self,
        network: Network,
        forward: Forward,
        inputs: Tensor,
        *,
        units: Mapping[str, nn.Module],
        head: nn.Module,
    ) -> Seen:
        """The pass of the network as it was, in evaluation mode: nothing is drawn or counted."""
        network.eval()
        try:
            # in the same module, so that wherever it is split the pass begins with the same inputs
            with in_place(self.live, self.start), watched(head, units) as seen:
                forward(inputs)
        finally:
            network.train()
        return seen


@dataclass(frozen=True, eq=False)
class Watched:
    """What two passes of the same inputs show."""

    now: Seen
    start: Seen | None


def transfer_terms(
    network: Network, recipe: Recipe, source: SourceOutputs | None
) -> TransferTerms | None:
    """Return the terms that a recipe asks for, or None; the start is the network as it is now."""
    weights = penalties_of(recipe)
    if not weights:
        return None
    device = next(network.module.parameters()).device
    source_layer = None
    recorded = None
    relationship = None
    if source is not None:
        source_layer = source.classifier.linear().to(device)
        if "lwf" in weights:
            recorded = softened(source.train, temperature=recipe.lwf_temperature)
        if source.relationship is not None:
            relationship = source.relationship.to(device)
    live: Mapping[str, Tensor] = {}
    if "delta" in weights:
        live = movable(network)
    return TransferTerms(
        recipe=recipe,
        weights=weights,
        source_layer=source_layer,
        recorded=recorded,
        relationship=relationship,
        live=live,
        start=copies(live),
    )
