"""Whether tensors can be a trunk's: dense, in memory, of the kind that is due, and finite."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor

from ablate.model.weights.read_file import shown

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_COUNTER = "num_batches_tracked"
"""BatchNorm's count of batches: nothing is computed with it unless its momentum is None, and files
leave it out or keep it as any kind of number."""


def shapes_of(tensors: Iterable[Tensor]) -> list[torch.Size]:
    """The shapes of tensors in order: all that files without names of ours can be compared by."""
    return [tensor.shape for tensor in tensors]


def odd_forms(tensors: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield a fault for each tensor that does not lie in memory as plain numbers.

    That is: sparse, quantised, nested, complex, on the meta device.
    """
    for name, tensor in tensors.items():
        form = _form_of(tensor)
        if form:
            yield f"{shown(name)} is {form}"


def odd_values(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield a fault for each tensor that cannot stand for the one of its name in `wanted`.

    It holds another kind of number than is due, or values that are not finite in the type that is
    due: half and double precision are floats as any, but float16's largest is 65,504, and float64
    may hold what float32 cannot.
    """
    for name, tensor in tensors.items():
        # of the counter any kind of number is right
        due_dtype = tensor.dtype
        if not name.endswith(_COUNTER):
            due_dtype = wanted[name].dtype
        if due_dtype.is_floating_point and tensor.dtype in _FLOATS:
            yield from _not_finite(name, tensor.to(due_dtype))
        elif due_dtype.is_floating_point or tensor.dtype != due_dtype:
            yield f"{shown(name)} holds {_word(tensor.dtype)} instead of {_word(due_dtype)}"


def digest_of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Return the sha256 of tensors by name, 64 hex digits.

    Names, shapes, types and bytes count, the order does not.
    """
    sha = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        header = f"{name}:{tuple(tensor.shape)}:{tensor.dtype};"
        # a file may name a tensor by half a surrogate pair
        sha.update(header.encode("utf-8", "surrogatepass"))
        values = tensor.detach().cpu().contiguous()
        # as bytes: numpy has no bfloat16
        sha.update(values.flatten().view(torch.uint8).numpy().data)
    return sha.hexdigest()


def _not_finite(name: str, tensor: Tensor) -> Iterator[str]:
    finite = torch.isfinite(tensor)
    if not bool(finite.all()):
        n_odd = tensor.numel() - int(finite.sum())
        yield f"{shown(name)} holds {n_odd:,} of {tensor.numel():,} values that are NaN or infinite"
    elif name.endswith("running_var") and bool((tensor < 0).any()):
        # its root would be NaN in the first forward pass
        yield f"{shown(name)} is a variance and holds values below 0"


def _form_of(tensor: Tensor) -> str:
    """How a tensor differs from plain numbers in memory, or an empty string."""
    if tensor.is_quantized:
        return "quantised"
    if tensor.is_nested:
        return "nested"
    if tensor.layout != torch.strided:
        return "sparse"
    if tensor.device.type != "cpu":
        return f"on the device {tensor.device.type} and has no values"
    if tensor.is_complex():
        return "complex"
    return ""


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
