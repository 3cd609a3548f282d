"""The classifier that a backbone's weights were pretrained with.

Transfer replaces it; Learning without Forgetting and Co-Tuning go on listening to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ablate.errors import WeightsError
from ablate.model.backbone import classifier_names, create_backbone, pretrained_cfg_of
from ablate.model.weights.bundled import bundle_of, bundled_tensors
from ablate.model.weights.hub import check_hub
from ablate.model.weights.load import existing_file
from ablate.model.weights.place_file import encoder_tensors
from ablate.model.weights.tensor_values import digest_of_tensors
from ablate.model.weights.torchvision_weights import torchvision_tensors


@dataclass(frozen=True, eq=False)
class SourceClassifier:
    """A linear layer over the trunk's features, by its K source classes."""

    weight: Tensor
    """(K, D) float32 on the CPU."""
    bias: Tensor
    """(K,) float32 on the CPU."""

    @property
    def digest(self) -> str:
        """sha256 of both, 64 hex digits."""
        return digest_of_tensors({"weight": self.weight, "bias": self.bias})

    def linear(self) -> nn.Linear:
        """A layer with copies of both that can learn."""
        n_classes, n_features = self.weight.shape
        # on no device first: drawing weights that are replaced would use up random numbers
        layer = nn.Linear(n_features, n_classes, device="meta").to_empty(device="cpu")
        layer.load_state_dict({"weight": self.weight, "bias": self.bias})
        return layer


def load_source_classifier(backbone: str, weights: str) -> SourceClassifier:
    """Return the classifier that `weights` carry for a backbone.

    Raises WeightsError where they carry none: random weights, a trunk alone, what self-supervision
    leaves in its place, or a classifier that is not one linear layer.
    """
    if weights == "none":
        raise _no_classifier(backbone, weights, "random weights have none")
    if weights == "more":
        raise _no_classifier(backbone, weights, "of these packages the trunk alone is taken")
    # without weights and without memory: what its classifier is called, and how wide it is
    with torch.device("meta"):
        # timm says 0 of a trunk alone (DINOv2): with 1 there is a layer for the error to name.
        n_classes = int(pretrained_cfg_of(backbone).num_classes) or 1
        module = create_backbone(backbone, n_classes=n_classes, image_size="auto")
    names = classifier_names(module)
    layer = module.get_submodule(names[0])
    if len(names) != 1 or not isinstance(layer, nn.Linear):
        raise _no_classifier(backbone, weights, "its classifier is not one linear layer")
    tensors = _head_tensors(module, names[0], backbone, weights)
    weight = tensors.get("weight")
    if weight is None or weight.ndim != 2 or weight.shape[1] != layer.in_features:
        raise _no_classifier(
            backbone, weights, f"they hold no {names[0]}.weight of {layer.in_features} features"
        )
    # A layer without a bias computes the same as one with zeros.
    bias = tensors.get("bias", torch.zeros(len(weight)))
    classifier = SourceClassifier(weight.detach().float().cpu(), bias.detach().float().cpu())
    if not (classifier.weight.isfinite().all() and classifier.bias.isfinite().all()):
        raise _no_classifier(backbone, weights, "its numbers are not finite")
    return classifier


def _head_tensors(
    module: nn.Module, name: str, backbone: str, weights: str
) -> Mapping[str, Tensor]:
    """`weight` and `bias` of the layer `name`, as far as the weights hold them."""
    bundle = bundle_of(backbone)
    named: Mapping[str, Tensor]
    if weights == "auto" and bundle is not None:
        tensors, _ = bundled_tensors(bundle)
        # other names than timm's, same order, and the head is last
        named = dict(zip(module.state_dict(), tensors, strict=True))
    elif weights in ("auto", "hub"):
        named = _hub_tensors(backbone)
    elif weights == "torchvision":
        named = torchvision_tensors(
            module, backbone, check_reach=lambda url: check_hub(backbone, None, url)
        )
    else:
        named = encoder_tensors(module, existing_file(weights))
    found = {}
    for leaf in ("weight", "bias"):
        if f"{name}.{leaf}" in named:
            found[leaf] = named[f"{name}.{leaf}"]
    return found


def _hub_tensors(backbone: str) -> Mapping[str, Tensor]:
    cfg = pretrained_cfg_of(backbone)
    check_hub(backbone, cfg.hf_hub_id, cfg.url)
    # timm drops a classifier of another number of classes
    module = create_backbone(
        backbone, n_classes=int(cfg.num_classes), image_size="auto", pretrained=True
    )
    return module.state_dict()


def _no_classifier(backbone: str, weights: str, why: str) -> WeightsError:
    return WeightsError(
        "lwf and co_tuning need weights with the classifier that they were pretrained with, "
        f"those of {backbone} (weights: {weights}) cannot give it: {why}; take delta, bss or l2_sp"
    )
