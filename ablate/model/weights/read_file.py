"""A file of weights as tensors by name, or one sentence why it is none. Nothing in a file is run, and no file makes this wait or take more than its size.

What is read: safetensors, and what `torch.save` writes (a zip archive, before 2020 a bare pickle). The content decides, not the name.
"""

from __future__ import annotations

import argparse
import os
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import safetensors.torch
import torch
from torch import Tensor

from ablate.errors import WeightsError
from ablate.files import irregular_kind

CONTAINERS = (
    "state_dict_ema",
    "model_ema",
    "state_dict",
    "model",
    "teacher",
    "student",
    "model_state_dict",
    "net",
)
"""Keys below which files keep their tensors, the better one first: DINO evaluates its teacher."""
SAVE_AGAIN = "save it again with safetensors.torch.save_file(model.state_dict(), path)"
COPY_AGAIN = "copy or download it again"
_MOST_TIMES_THE_FILE = 10
"""Bytes that the tensors may have together, in sizes of the file: tensors may share memory, but a few bytes must not stand for terabytes."""
_SLACK = 1 << 20
_DAMAGED = "it is damaged or of another kind"
_NAME_LENGTH = 80


def read_tensors(path: Path) -> tuple[list[str], dict[str, Tensor]]:
    """Return the container keys that were opened, and the tensors by name, on the CPU, as they stand in the file.

    Raises WeightsError where the file is not a regular one, is empty, damaged, compressed or of another kind, holds anything besides tensors, or names that
    are not text.
    """
    containers, state = _unpacked(_content_of(path), path)
    plain = [
        tensor
        for tensor in state.values()
        if tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_nested
    ]
    n_bytes = sum(tensor.numel() * tensor.element_size() for tensor in plain)
    most = _MOST_TIMES_THE_FILE * path.stat().st_size + _SLACK
    if n_bytes > most:
        raise _refusal(
            path,
            f"its tensors would take {n_bytes:,} bytes, more than {_MOST_TIMES_THE_FILE} times the file",
        )
    return containers, state


def shown(name: object) -> str:
    """A tensor's name for a message: whatever cannot be printed escaped, and cut where it is long."""
    text = str(name) if isinstance(name, str) and name.isprintable() else ascii(name)
    return text if len(text) <= _NAME_LENGTH else f"{text[:_NAME_LENGTH]}..."


def _content_of(path: Path) -> object:
    head = _head_of(path)
    if head.startswith(b"PK"):
        _check_archive(path)
        return _loaded(path, _torch_load)
    if head[8:9] == b"{":
        return _loaded(path, safetensors.torch.load_file)
    if head.startswith(b"\x80"):
        return _loaded(path, _torch_load)
    raise _refusal(path, *_what_it_is(head))


def _head_of(path: Path) -> bytes:
    """The first bytes. A pipe is told by its kind, before it is opened: to open one would wait for a writer."""
    try:
        status = path.stat()
        kind = irregular_kind(status.st_mode)
        if kind is not None:
            raise _refusal(path, f"it is {kind}", "name the file itself")
        if status.st_size == 0:
            raise _refusal(path, "it is empty", COPY_AGAIN)
        with path.open("rb") as file:
            return file.read(512)
    except OSError as error:
        raise _refusal(
            path, f"it cannot be read ({error.strerror or error})", "allow it, or name another file"
        ) from None


def _what_it_is(head: bytes) -> tuple[str, str]:
    """What a file is that begins like no file of weights, and the way out."""
    start = head.lstrip()[:64].lower()
    if start.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS", "fetch the file itself with: git lfs pull"
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "it is a web page", "download the file itself"
    if head[257:262] == b"ustar":
        return (
            "it is a tar archive",
            f"unpack it, or where an old torch wrote it load it there and {SAVE_AGAIN}",
        )
    if not head.strip(b"\0"):
        return "it begins with zeros", COPY_AGAIN
    if all(byte >= 32 or byte in b"\t\r\n" for byte in head):
        return "it is text", SAVE_AGAIN
    return _DAMAGED, f"{COPY_AGAIN}, or {SAVE_AGAIN}"


def _check_archive(path: Path) -> None:
    """What `torch.save` writes is not compressed, so that no part is larger than the file; each part has a checksum, at which torch does not look."""
    try:
        with zipfile.ZipFile(path) as archive:
            declared, size = sum(part.file_size for part in archive.infolist()), path.stat().st_size
            if declared > size:
                raise _refusal(
                    path,
                    f"it is a compressed archive of {size:,} bytes that would become {declared:,}",
                )
            damaged = archive.testzip()
    except WeightsError:
        raise
    except Exception as error:  # zipfile raises whatever its parts do
        raise _refusal(path, "it is damaged or ends early", COPY_AGAIN) from error
    if damaged is not None:
        raise _refusal(
            path,
            f"it is damaged: the checksum of its part {shown(damaged)} does not match",
            f"{COPY_AGAIN}, or {SAVE_AGAIN}",
        )


def _loaded(path: Path, load: Any) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of deprecated types: what is not fit for a trunk is refused later
            return load(path)
    except Exception as error:  # a decoder that meets a damaged file raises anything
        raise _refusal(path, *_why_not(error)) from error


def _torch_load(path: Path) -> object:
    with torch.serialization.safe_globals(
        [argparse.Namespace]
    ):  # where DINO and MAE keep their options: a plain record
        return torch.load(path, map_location="cpu", weights_only=True)


def _why_not(error: Exception) -> tuple[str, str]:
    """What a file turned out to be that did not load, and the way out."""
    text = str(error)
    refused = re.search(r"GLOBAL ([\w.]+)", text) or re.search(
        r"Unsupported (?:class|global|type)\W+([\w.]+)", text
    )
    if "TorchScript" in text:
        return (
            "it is a program in TorchScript",
            "load it with torch.jit.load and " + SAVE_AGAIN.replace("model", "program"),
        )
    if refused is not None:
        return (
            f"it holds {shown(refused[1])} besides tensors, and nothing in a file is run",
            SAVE_AGAIN,
        )
    return _DAMAGED, f"{COPY_AGAIN}, or {SAVE_AGAIN}"


def _unpacked(content: object, path: Path) -> tuple[list[str], dict[str, Tensor]]:
    """The keys that were opened, and the tensors by name. Each container is opened once: one that holds itself ends there."""
    opened: list[str] = []
    while isinstance(content, Mapping):
        inside: Mapping[Any, Any] = content
        key = next(
            (
                key
                for key in CONTAINERS
                if key not in opened and isinstance(inside.get(key), Mapping)
            ),
            None,
        )
        if key is None:
            break
        opened.append(key)
        content = inside[key]
    if not isinstance(content, Mapping):
        raise _refusal(path, f"it holds {_kind_of(content)}")
    if not content:
        raise _refusal(path, "it holds no tensors")
    for name, value in content.items():
        if not isinstance(name, str):
            raise _refusal(
                path, f"it names tensors by {_kind_of(name)} ({shown(name)}) instead of by text"
            )
        if not isinstance(value, Tensor):
            raise _refusal(path, f"{shown(name)} is {_kind_of(value)}")
    return opened, dict(cast(Mapping[str, Tensor], content))


def _kind_of(value: object) -> str:
    name = type(value).__name__
    return (
        f"{'an' if name[:1].lower() in tuple('aeiou') else 'a'} {name}"
        if value is not None
        else "nothing"
    )


def _refusal(path: Path, came: str, way_out: str = SAVE_AGAIN) -> WeightsError:
    name = shown(os.fspath(path.name))
    return WeightsError(
        f"weights {name} must be a safetensors file or a state dict of tensors alone, {came}; {way_out}"
    )
