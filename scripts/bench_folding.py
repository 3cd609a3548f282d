"""What folding BatchNorm into the convolutions of frozen units brings; prints a Markdown table.

How much faster evaluation gets, and how far the logits move. EfficientNet-Lite0 with its bundled
weights at 224, the last unit free, channels_last, 64 textile images of val. Whole and folded in
turn, the best of some rounds each: `python scripts/bench_folding.py` takes about a minute, alone on
the machine.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ablate.data.augment import clean
from ablate.data.build_store import build_store
from ablate.data.dataset import load_data
from ablate.data.store import open_store
from ablate.model.network import Network, build_network
from ablate.recipe.recipe import Recipe
from ablate.study.trial import DataSpec, Fractions, Sizes

ROUNDS = 3


def folded(network: Network, images: Tensor) -> tuple[nn.Module, int]:
    """Return a copy of the network with folded BatchNorms, and how many they are.

    Those are folded that are frozen and directly behind a frozen convolution.
    """
    module = copy.deepcopy(network.module).eval()
    frozen = set(network.boundary.frozen_names)
    pairs = _directly_behind(module, frozen, images)
    for conv, norm in pairs:
        old = module.get_submodule(norm)
        convolution = module.get_submodule(conv)
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(old, nn.BatchNorm2d)
        module.set_submodule(conv, fuse_conv_bn_eval(convolution, old))
        # timm's BatchNormAct2d holds the activation that follows: it must stay.
        rest = [getattr(old, part) for part in ("drop", "act") if hasattr(old, part)]
        module.set_submodule(norm, nn.Sequential(*rest))
    return module, len(pairs)


def _directly_behind(module: nn.Module, frozen: set[str], images: Tensor) -> list[tuple[str, str]]:
    """(convolution, BatchNorm) where the second reads the very tensor that the first returned."""
    convs: dict[int, str] = {}
    kept: list[Tensor] = []  # so that no id is used twice
    pairs: list[tuple[str, str]] = []

    def after_conv(name: str, output: Tensor) -> None:
        convs[id(output)] = name
        kept.append(output)

    def before_norm(name: str, inputs: tuple[Tensor, ...]) -> None:
        conv = convs.get(id(inputs[0]))
        if conv is not None:
            pairs.append((conv, name))

    handles = []
    for name, child in module.named_modules():
        if f"{name}.weight" not in frozen:
            continue
        if isinstance(child, nn.Conv2d):
            hook = child.register_forward_hook(
                lambda _module, _inputs, output, name=name: after_conv(name, output)
            )
            handles.append(hook)
        if isinstance(child, nn.BatchNorm2d):
            hook = child.register_forward_pre_hook(
                lambda _module, inputs, name=name: before_norm(name, inputs)
            )
            handles.append(hook)
    with torch.no_grad():
        module(images)
    for hook in handles:
        hook.remove()
    return pairs


def seconds(module: nn.Module, batches: list[Tensor], *, is_bf16: bool) -> float:
    """One pass over all batches."""
    started = time.perf_counter()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
        for batch in batches:
            module(batch)
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=64)
    options = parser.parse_args()
    network = build_network(Recipe(freeze_depth=-1), n_classes=3, image_size=224, seed=0)
    images = _images_of_val(network, options.images)
    network.module.eval().to(memory_format=torch.channels_last)
    torch.set_num_threads(1)
    fused, n_folded = folded(network, images[:2])
    fused = fused.to(memory_format=torch.channels_last)
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in network.module.modules())
    print(f"{n_folded} of {norms} BatchNorms folded, {options.images} images\n")  # noqa: T201
    header = "| precision | batch | threads | whole, s | folded, s | saved "
    print(header + "| logits move by, relative |\n|---|--:|--:|--:|--:|--:|--:|")  # noqa: T201
    for is_bf16 in (False, True):
        moved = _logits_move_by(network.module, fused, images, is_bf16=is_bf16)
        for batch in (16, 32):
            batches = list(images.split(batch))
            for threads in (1, 2):
                torch.set_num_threads(threads)
                whole, rest = _best_of_rounds(network.module, fused, batches, is_bf16=is_bf16)
                print(  # noqa: T201
                    f"| {'bf16' if is_bf16 else 'fp32'} | {batch} | {threads} "
                    f"| {whole:.3f} | {rest:.3f} | {1 - rest / whole:.0%} | {moved:.1e} |"
                )
                sys.stdout.flush()


def _images_of_val(network: Network, n_images: int) -> Tensor:
    """The first textile images of val as the network reads them, (N, 3, 224, 224)."""
    spec = DataSpec(
        source="textile",
        split_seed=0,
        fractions=Fractions(train=0.5, val=0.2, test=0.3),
        sizes=Sizes(train=8, val=n_images, test=8),
    )
    wanted = network.preprocessing
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        _, data = load_data(spec, data_dir=home, allow_fallback=False)
        built = build_store(
            data, home=home, side=wanted.store_side, interpolation=wanted.interpolation
        )
        store = open_store(built.path)
        raw = clean(store.split("val").images, range(n_images), image_size=224)
        images = wanted.normalised(raw)
    return images.contiguous(memory_format=torch.channels_last)


def _logits_move_by(whole: nn.Module, fused: nn.Module, images: Tensor, *, is_bf16: bool) -> float:
    """The largest difference of a logit over the largest logit."""
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
        before = whole(images).float()
        after = fused(images).float()
    return float((before - after).abs().max() / before.abs().max())


def _best_of_rounds(
    whole: nn.Module, fused: nn.Module, batches: list[Tensor], *, is_bf16: bool
) -> tuple[float, float]:
    """Seconds of both, measured in turn, so that a slow moment of the machine meets both."""
    best_whole = float("inf")
    best_fused = float("inf")
    for _ in range(ROUNDS):
        best_whole = min(best_whole, seconds(whole, batches, is_bf16=is_bf16))
        best_fused = min(best_fused, seconds(fused, batches, is_bf16=is_bf16))
    return best_whole, best_fused


if __name__ == "__main__":
    main()
