"""A DINOv2 ViT in an ONNX graph, as transformers' `Dinov2Model` exports it, by timm's names.

Compared with the graph in onnxruntime: features at 224 pixels are equal to 2e-5 (of up to 8.7) with
the same table of positions, which timm resizes with antialiasing and the graph without.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ablate.errors import WeightsError

Arrays = Mapping[str, NDArray[np.float32]]
_BLOCK = "backbone.encoder.layer"
_VECTORS = {
    "norm1.weight": "norm1.weight",
    "norm1.bias": "norm1.bias",
    "attn.proj.bias": "attention.output.dense.bias",
    "ls1.gamma": "layer_scale1.lambda1",
    "norm2.weight": "norm2.weight",
    "norm2.bias": "norm2.bias",
    "mlp.fc1.bias": "mlp.fc1.bias",
    "mlp.fc2.bias": "mlp.fc2.bias",
    "ls2.gamma": "layer_scale2.lambda1",
}
"""timm's name in a block -> the graph's."""
_MATRICES = {
    "attn.proj.weight": "attention/output/dense",
    "mlp.fc1.weight": "mlp/fc1",
    "mlp.fc2.weight": "mlp/fc2",
}
"""timm's name in a block -> the layer of the graph that multiplies by it."""
_QKV = ("query", "key", "value")
"""In the order in which timm has them in one tensor."""


def read_dinov2(path: Path, _module: nn.Module) -> dict[str, Tensor]:
    """Return the trunk's tensors by timm's names. Nothing of the graph is run.

    Raises WeightsError where the package `onnx` is missing.
    """
    graph = _graph_of(path)
    arrays, factors = _arrays_of(graph)
    # the table of positions was folded into two constants without names of their own
    first, rest = _positions(graph, arrays)
    tensors = {
        "cls_token": arrays["backbone.embeddings.cls_token"],
        "pos_embed": np.concatenate([first, rest], axis=1),
        "patch_embed.proj.weight": arrays["backbone.embeddings.patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": arrays["backbone.embeddings.patch_embeddings.projection.bias"],
        "norm.weight": arrays["backbone.layernorm.weight"],
        "norm.bias": arrays["backbone.layernorm.bias"],
    }
    n_blocks = sum(name.endswith("norm1.weight") for name in arrays)
    for i in range(n_blocks):
        for name, array in _block(i, arrays, factors).items():
            tensors[f"blocks.{i}.{name}"] = array
    return {name: torch.from_numpy(array.copy()) for name, array in tensors.items()}


def _graph_of(path: Path) -> Any:
    try:
        onnx = import_module("onnx")
    except ImportError:
        raise WeightsError(
            f"{path.name} must be read with the package onnx, which is not installed; "
            "make install EXTRAS=more-weights, or pip install onnx"
        ) from None
    return onnx.load(path).graph


def _arrays_of(graph: Any) -> tuple[Arrays, Arrays]:
    """The graph's constants by name, and those that a layer multiplies by, by the layer's name."""
    to_array = import_module("onnx.numpy_helper").to_array
    arrays = {}
    for constant in graph.initializer:
        arrays[constant.name] = to_array(constant)
    factors = {}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in arrays:
            factors[node.name] = arrays[node.input[1]]
    return arrays, factors


def _positions(graph: Any, arrays: Arrays) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The positions of the class token, (1, 1, D), and of the patches, (1, N, D)."""
    found = {}
    for node in graph.node:
        if node.name in ("/backbone/embeddings/Concat_6", "/backbone/embeddings/Reshape_1"):
            found[node.op_type] = arrays[node.input[0]]
    return found["Concat"], found["Reshape"]


def _block(i: int, arrays: Arrays, factors: Arrays) -> dict[str, NDArray[np.float32]]:
    """One block's tensors by their names in timm's block."""
    tensors = {}
    for name, theirs in _VECTORS.items():
        tensors[name] = arrays[f"{_BLOCK}.{i}.{theirs}"]
    # the graph multiplies from the right, torch's Linear from the left
    layer = f"/backbone/encoder/layer.{i}"
    for name, theirs in _MATRICES.items():
        tensors[name] = factors[f"{layer}/{theirs}/MatMul"].T
    weights = []
    biases = []
    for part in _QKV:
        weights.append(factors[f"{layer}/attention/attention/{part}/MatMul"].T)
        biases.append(arrays[f"{_BLOCK}.{i}.attention.attention.{part}.bias"])
    tensors["attn.qkv.weight"] = np.concatenate(weights)
    tensors["attn.qkv.bias"] = np.concatenate(biases)
    return tensors
