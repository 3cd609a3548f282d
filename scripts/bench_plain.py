"""What an engineer would write instead: one plain, well-tuned loop over the same trials.

timm model, DataLoader workers that decode and augment, channels_last, bf16 autocast, frozen parts
without gradients, every core in one process. No trial knows of another. `bench.py` runs it in a
process of its own: it reads trials as JSON lines from standard input and writes
{"name", "seconds", "macro_f1"} for each to standard output.
"""

from __future__ import annotations

import json
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import f1_score
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from ablate.data.dataset import DataSet, load_data
from ablate.model.network import Network, build_network
from ablate.model.param_groups import param_groups
from ablate.recipe.recipe import Recipe
from ablate.study.trial import DataSpec

EVAL_BATCH = 64
N_LOADERS = 2


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """A split, decoded and transformed on the fly."""

    def __init__(self, data_set: DataSet, split: str, transform: v2.Transform) -> None:
        self.split = data_set.splits[split]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.split.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.split.read(index)), int(self.split.labels[index])


@cache
def _data(spec_json: str, data_dir: str) -> DataSet:
    return load_data(
        DataSpec.model_validate_json(spec_json), data_dir=Path(data_dir), allow_fallback=True
    )[1]


def _transform(network: Network, *, is_augmented: bool) -> v2.Transform:
    wanted = network.preprocessing
    resized = [
        v2.Resize(wanted.store_side, interpolation=v2.InterpolationMode.BICUBIC),
        v2.CenterCrop(wanted.image_size),
    ]
    varied = [v2.RandomResizedCrop(wanted.image_size, scale=(0.6, 1.0)), v2.RandomHorizontalFlip()]
    return v2.Compose(
        [
            v2.ToImage(),
            *(varied if is_augmented else resized),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(wanted.mean), list(wanted.std)),
        ]
    )


def _loader(
    data_set: DataSet, split: str, transform: v2.Transform, *, batch_size: int, is_train: bool
) -> DataLoader[tuple[torch.Tensor, int]]:
    pictures = Pictures(data_set, split, transform)
    return DataLoader(
        pictures,
        batch_size=batch_size,
        shuffle=is_train,
        num_workers=N_LOADERS,
        persistent_workers=True,
    )


def train_alone(recipe: Recipe, data_set: DataSet, *, seed: int) -> float:
    """Train one trial and return its test macro F1 at the epoch that is best on val."""
    torch.manual_seed(seed)
    network = build_network(
        recipe, n_classes=len(data_set.facts.class_names), image_size=224, seed=seed
    )
    module = network.module.to(memory_format=torch.channels_last)
    clean = _transform(network, is_augmented=False)
    train = _loader(
        data_set,
        "train",
        _transform(network, is_augmented=recipe.augment != "none"),
        batch_size=recipe.batch_size,
        is_train=True,
    )
    val = _loader(data_set, "val", clean, batch_size=EVAL_BATCH, is_train=False)
    test = _loader(data_set, "test", clean, batch_size=EVAL_BATCH, is_train=False)
    optimizer = torch.optim.AdamW(param_groups(network, recipe), fused=True)
    n_steps = recipe.epochs * len(train)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        [group["lr"] for group in optimizer.param_groups],
        total_steps=n_steps,
        pct_start=0.1,
    )
    best_score = -1.0
    best_state: dict[str, torch.Tensor] = {}
    for _ in range(recipe.epochs):
        network.train()
        for images, labels in train:
            images = images.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                logits = module(images)
            loss = F.cross_entropy(logits.float(), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
        score = _macro_f1(module, val)
        if score > best_score:
            best_score = score
            # state_dict shares its tensors with the module: the next step would change them.
            best_state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    module.load_state_dict(best_state)
    return _macro_f1(module, test)


def _macro_f1(module: torch.nn.Module, loader: DataLoader[tuple[torch.Tensor, int]]) -> float:
    module.eval()
    predictions = []
    labels = []
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for images, batch_labels in loader:
            logits = module(images.contiguous(memory_format=torch.channels_last))
            predictions.append(logits.argmax(1).numpy())
            labels.append(batch_labels.numpy())
    truth = np.concatenate(labels)
    # Classes absent from the split are left out, as ablate's own macro F1 does.
    score = f1_score(
        truth,
        np.concatenate(predictions),
        average="macro",
        labels=np.unique(truth),
        zero_division=0,
    )
    return float(score)


def main() -> None:
    """Run every trial that comes in."""
    for line in sys.stdin:
        request = json.loads(line)
        # Loading is not timed: ablate's side of the comparison pays for its store, this one's
        # decoding happens in the loaders, in every epoch.
        data_set = _data(json.dumps(request["data"]), request["data_dir"])
        recipe = Recipe.model_validate(request["recipe"])
        started = time.perf_counter()
        macro_f1 = train_alone(recipe, data_set, seed=request["seed"])
        seconds = time.perf_counter() - started
        answer = {"name": request["name"], "seconds": seconds, "macro_f1": macro_f1}
        print(json.dumps(answer), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
