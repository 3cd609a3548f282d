"""How much faster evaluation gets when BatchNorm is folded into the convolutions of frozen units, and how far the logits move; prints a Markdown table.

EfficientNet-Lite0 with its bundled weights at 224, the last unit free, channels_last, 64 textile images of val. Whole and folded in turn, the best of some
rounds each: `python scripts/bench_folding.py` takes about a minute, alone on the machine.
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
    """Return a copy of the network with every BatchNorm folded that is frozen and directly behind a frozen convolution, and how many those are."""
    module = copy.deepcopy(network.module).eval()
    frozen = set(network.boundary.frozen_names)
    convs: dict[int, str] = {}
    kept: list[Tensor] = []  # so that no id is used twice
    pairs: list[tuple[str, str]] = []

    def after(name: str, output: Tensor) -> None:
        convs[id(output)] = name
        kept.append(output)

    handles = []
    for name, child in module.named_modules():
        if isinstance(child, nn.Conv2d) and f"{name}.weight" in frozen:
            handles.append(
                child.register_forward_hook(lambda _m, _i, output, name=name: after(name, output))
            )
        if isinstance(child, nn.BatchNorm2d) and f"{name}.weight" in frozen:
            handles.append(
                child.register_forward_pre_hook(
                    lambda _m, inputs, name=name: pairs.append((convs.get(id(inputs[0]), ""), name))
                )
            )
    with torch.no_grad():
        module(images)
    for handle in handles:
        handle.remove()
    found = [(conv, norm) for conv, norm in pairs if conv]
    for conv, norm in found:
        old = module.get_submodule(norm)
        module.set_submodule(conv, fuse_conv_bn_eval(module.get_submodule(conv), old))
        module.set_submodule(
            norm,
            nn.Sequential(*(getattr(old, part) for part in ("drop", "act") if hasattr(old, part))),
        )
    return module, len(found)


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
    spec = DataSpec(
        source="textile",
        split_seed=0,
        fractions=Fractions(train=0.5, val=0.2, test=0.3),
        sizes=Sizes(train=8, val=options.images, test=8),
    )
    with tempfile.TemporaryDirectory() as scratch:
        _, data = load_data(spec, data_dir=Path(scratch), allow_fallback=False)
        side, interpolation = network.preprocessing.store_side, network.preprocessing.interpolation
        store = open_store(
            build_store(data, home=Path(scratch), side=side, interpolation=interpolation).path
        )
        images = network.preprocessing.normalised(
            clean(store.split("val").images, range(options.images), image_size=224)
        )
    images = images.contiguous(memory_format=torch.channels_last)
    network.module.eval().to(memory_format=torch.channels_last)
    torch.set_num_threads(1)
    fused, n_folded = folded(network, images[:2])
    fused = fused.to(memory_format=torch.channels_last)
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in network.module.modules())
    print(f"{n_folded} of {norms} BatchNorms folded, {options.images} images\n")  # noqa: T201
    print(  # noqa: T201
        "| precision | batch | threads | whole, s | folded, s | saved | logits move by, relative |\n|---|--:|--:|--:|--:|--:|--:|"
    )
    for is_bf16 in (False, True):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
            whole, other = network.module(images).float(), fused(images).float()
        moved = float((whole - other).abs().max() / whole.abs().max())
        for batch in (16, 32):
            batches = list(images.split(batch))
            for threads in (1, 2):
                torch.set_num_threads(threads)
                best = {"whole": float("inf"), "folded": float("inf")}
                for _ in range(ROUNDS):
                    for name, module in (("whole", network.module), ("folded", fused)):
                        best[name] = min(best[name], seconds(module, batches, is_bf16=is_bf16))
                saved = 1 - best["folded"] / best["whole"]
                line = f"| {'bf16' if is_bf16 else 'fp32'} | {batch} | {threads} | {best['whole']:.3f} | {best['folded']:.3f} | {saved:.0%} | {moved:.1e} |"
                print(line)  # noqa: T201
                sys.stdout.flush()


if __name__ == "__main__":
    main()
