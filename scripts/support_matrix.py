"""Which strategy works on which architecture.

Each is built, trained two steps, saved as a delta, loaded into a fresh network and asked to predict
the same.

    PYTHONPATH=. python scripts/support_matrix.py     writes docs/support.md, 2 minutes on one core

What is refused is refused by the program itself, before anything starts, in its own sentences.
tests/model/test_support.py runs rows of the same table.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ablate.errors import SpecError
from ablate.model.delta import delta, load_delta
from ablate.model.network import Network, build_network
from ablate.model.param_groups import param_groups
from ablate.recipe.recipe import Recipe

DOC = Path(__file__).parents[1] / "docs/support.md"
N_CLASSES = 5
BACKBONES = {  # backbone -> side of its images in pixels, small: what is shown is that it works
    "test_resnet": 32,
    "resnet18": 32,
    "resnet26d": 32,
    "regnetx_002": 32,
    "test_byobnet": 32,
    "densenet121": 32,
    "test_nfnet": 32,
    "test_efficientnet": 32,
    "tf_efficientnet_lite0": 32,
    "efficientnet_b0": 32,
    "mobilenetv2_050": 32,
    "mobilenetv3_small_050": 32,
    "mobilenetv4_conv_small": 32,
    "test_convnext": 32,
    "convnext_atto": 32,
    "convnextv2_atto": 32,
    "test_vit": 32,
    "vit_tiny_patch16_224": 32,
    "deit_tiny_patch16_224": 32,
    "deit_tiny_distilled_patch16_224": 32,
    "eva02_tiny_patch14_224": 28,
    "swin_tiny_patch4_window7_224": 32,
    "levit_128s": 224,
}
STRATEGIES: dict[str, dict[str, Any]] = {
    "probe": {},
    "last unit": {"freeze_depth": -1},
    "full": {"freeze_depth": 0},
    "drop_path": {"freeze_depth": 0, "drop_path": 0.2, "dropout": 0.2},
    "lora": {"lora_rank": 2},
    "dora": {"adapter": "dora", "lora_rank": 2},
    "ia3": {"adapter": "ia3"},
    "ssf": {"adapter": "ssf"},
    "bottleneck": {"adapter": "bottleneck", "bottleneck_width": 4},
    "adaptformer": {"adapter": "adaptformer", "bottleneck_width": 4},
    "vpt": {"adapter": "vpt", "prompt_tokens": 2},
    "bitfit": {"adapter": "bitfit"},
    "norm_tuning": {"adapter": "norm_tuning"},
}


@dataclass(frozen=True)
class Cell:
    """What came of one strategy on one backbone."""

    backbone: str
    strategy: str
    refusal: str
    """Why the program refuses it; empty where it works."""
    skipped: tuple[tuple[str, int], ...]
    """Why layers inside went without an adapter, and how many."""


def try_cell(backbone: str, strategy: str, *, side: int) -> Cell:
    """Build, train two steps, save, load, predict.

    Raises AssertionError where a network that builds does not come back, or nothing learned.
    """
    recipe = Recipe(
        backbone=backbone, weights="none", head_lr=0.01, lr_ratio=1.0, **STRATEGIES[strategy]
    )
    try:
        network = _build(recipe, side)
    except SpecError as error:
        return Cell(backbone, strategy, str(error), ())
    images = torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(0))
    start = _predict(network, images)
    frozen = {}
    for name, parameter in network.module.named_parameters():
        if not parameter.requires_grad:
            frozen[name] = parameter.detach().clone()
    _train(network, recipe, images)
    parameters = dict(network.module.named_parameters())
    for name, tensor in frozen.items():
        is_unmoved = torch.equal(parameters[name], tensor)
        assert is_unmoved, f"{backbone} {strategy}: a frozen tensor moved"
    trained = _predict(network, images)
    assert not torch.equal(trained, start), f"{backbone} {strategy}: nothing learned"
    fresh = _build(recipe, side)
    load_delta(fresh, delta(network))
    assert torch.equal(_predict(fresh, images), trained), (
        f"{backbone} {strategy}: the delta does not bring the network back"
    )
    reasons = Counter(network.skipped_targets.values())
    return Cell(backbone, strategy, "", tuple(reasons.items()))


def document(cells: Iterable[Cell]) -> str:
    """The whole of docs/support.md."""
    cells = list(cells)
    backbones = list(dict.fromkeys(cell.backbone for cell in cells))
    strategies = list(dict.fromkeys(cell.strategy for cell in cells))
    marks = {(cell.backbone, cell.strategy): _mark(cell) for cell in cells}
    rows = []
    for backbone in backbones:
        row = [marks[backbone, strategy] for strategy in strategies]
        rows.append(f"| `{backbone}` | {' | '.join(row)} |")
    partly = []
    refused = []
    for cell in cells:
        if cell.skipped:
            skipped = [f"{count} layers without: {reason}" for reason, count in cell.skipped]
            partly.append(f"- `{cell.backbone}`, {cell.strategy}: {'; '.join(skipped)}")
        if cell.refusal:
            refused.append(f"- `{cell.backbone}`, {cell.strategy}: {cell.refusal}")
    counts = Counter(marks.values())
    return "\n".join(
        [
            "# What works on what",
            "Written by `scripts/support_matrix.py`; do not edit. Each cell was built with random "
            "weights, trained two steps, saved as a delta,",
            "loaded into a fresh network, and predicted bit for bit the same; "
            "its frozen tensors were bit-equal after training.",
            "",
            f"{len(backbones)} architectures x {len(strategies)} strategies: {counts['yes']} work, "
            f"{counts['part']} work with some layers left without an",
            f"adapter (part), {counts['-']} are refused before anything starts (-).",
            "",
            f"| backbone | {' | '.join(strategies)} |",
            f"|---{'|:-:' * len(strategies)}|",
            *rows,
            "",
            "## Layers left without an adapter",
            *partly,
            "",
            "## Refused, and why",
            *refused,
            "",
        ]
    )


def _mark(cell: Cell) -> str:
    if cell.refusal:
        return "-"
    if cell.skipped:
        return "part"
    return "yes"


def _build(recipe: Recipe, side: int) -> Network:
    return build_network(recipe, n_classes=N_CLASSES, image_size=side, seed=0)


def _predict(network: Network, images: Tensor) -> Tensor:
    network.module.eval()
    with torch.no_grad():
        logits: Tensor = network.module(images)
    return logits


def _train(network: Network, recipe: Recipe, images: Tensor) -> None:
    optimizer = torch.optim.AdamW(param_groups(network, recipe))
    for _ in range(2):
        network.train()
        optimizer.zero_grad()
        F.cross_entropy(network.module(images), torch.arange(len(images)) % N_CLASSES).backward()
        optimizer.step()


def main() -> None:
    """Run the whole table and write the document."""
    torch.set_num_threads(1)
    cells = []
    for backbone, side in BACKBONES.items():
        sys.stderr.write(f"{backbone}\n")
        cells += [try_cell(backbone, strategy, side=side) for strategy in STRATEGIES]
    DOC.write_text(document(cells))


if __name__ == "__main__":
    main()
