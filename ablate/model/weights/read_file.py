"""A file of weights as tensors by name, or one sentence why it is none.

Nothing in a file is run, and no file makes this wait or take more than its size. What is read:
safetensors, and what `torch.save` writes (a zip archive, before 2020 a bare pickle). The content
decides, not the name.
"""

from __future__ import annotations

import argparse
import os
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
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
"""Bytes that the tensors may have together, in sizes of the file: tensors may share memory, but a
few bytes must not stand for terabytes."""
_SLACK = 1 << 20
"""Bytes that any file may take besides."""
_HEAD_BYTES = 512
"""Enough to tell kinds of file apart: a tar archive names itself at byte 257."""
_DAMAGED = "it is damaged or of another kind"
_NAME_LENGTH = 80


def read_tensors(path: Path) -> tuple[list[str], dict[str, Tensor]]:
    """Return the container keys that were opened, and the tensors by name, on the CPU.

    The tensors are as they stand in the file. Raises WeightsError where the file is not a regular
    one, is empty, damaged, compressed or of another kind, holds anything besides tensors, or names
    that are not text.
    """
    containers, state = _open_containers(_content_of(path), path)
    n_bytes = sum(map(_n_bytes, _plain(state)))
    most = _MOST_TIMES_THE_FILE * path.stat().st_size + _SLACK
    if n_bytes > most:
        raise _refusal(
            path,
            f"its tensors would take {n_bytes:,} bytes, more than {_MOST_TIMES_THE_FILE} times "
            "the file",
        )
    return containers, state


def shown(name: object) -> str:
    """Return a tensor's name for a message: on one line, escaped, and cut where it is long."""
    text = ascii(name)
    # escapes are for what a terminal would obey or hide; letters of any language are none of it
    if isinstance(name, str) and name.isprintable():
        text = str(name)
    if len(text) > _NAME_LENGTH:
        return f"{text[:_NAME_LENGTH]}..."
    return text


def _n_bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _plain(state: Mapping[str, Tensor]) -> list[Tensor]:
    """The tensors whose size says how many bytes they have: dense and in memory."""
    plain = []
    for tensor in state.values():
        is_dense = tensor.layout == torch.strided and not tensor.is_nested
        if is_dense and tensor.device.type == "cpu":
            plain.append(tensor)
    return plain


def _content_of(path: Path) -> object:
    head = _head_of(path)
    # a zip archive, which `torch.save` has written since 2020
    if head.startswith(b"PK"):
        _check_archive(path)
        return _load(path, _torch_load)
    # safetensors: eight bytes of length, then JSON
    if head[8:9] == b"{":
        return _load(path, safetensors.torch.load_file)
    # a pickle of protocol 2 or later
    if head.startswith(b"\x80"):
        return _load(path, _torch_load)
    raise _refusal(path, *_other_kind(head))


def _head_of(path: Path) -> bytes:
    """The first bytes.

    A pipe is recognised by its kind, before it is opened: to open one would wait for a writer.
    """
    try:
        status = path.stat()
        kind = irregular_kind(status.st_mode)
        if kind is not None:
            raise _refusal(path, f"it is {kind}", "name the file itself")
        if status.st_size == 0:
            raise _refusal(path, "it is empty", COPY_AGAIN)
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError as error:
        reason = error.strerror or error
        raise _refusal(
            path, f"it cannot be read ({reason})", "allow it, or name another file"
        ) from None


def _other_kind(head: bytes) -> tuple[str, str]:
    """What a file is that begins like no file of weights, and the way out."""
    start = head.lstrip()[:64].lower()
    if start.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS", "fetch the file itself with: git lfs pull"
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "it is a web page", "download the file itself"
    if head[257:262] == b"ustar":
        way_out = f"unpack it, or where an old torch wrote it load it there and {SAVE_AGAIN}"
        return "it is a tar archive", way_out
    if not head.strip(b"\0"):
        return "it begins with zeros", COPY_AGAIN
    # letters, spaces and line breaks alone
    if all(map(_is_of_text, head)):
        return "it is text", SAVE_AGAIN
    return _DAMAGED, f"{COPY_AGAIN}, or {SAVE_AGAIN}"


def _is_of_text(byte: int) -> bool:
    return byte >= 32 or byte in b"\t\r\n"


def _check_archive(path: Path) -> None:
    """Refuse an archive that is compressed or damaged.

    What `torch.save` writes is not compressed, so that no part is larger than the file; each part
    has a checksum, at which torch does not look.
    """
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            declared = sum(part.file_size for part in archive.infolist())
            # before any part is read: a few bytes can unpack to terabytes
            damaged = archive.testzip() if declared <= size else None
    except Exception as error:  # zipfile raises whatever its parts do
        raise _refusal(path, "it is damaged or ends early", COPY_AGAIN) from error
    if declared > size:
        raise _refusal(
            path,
            f"it is a compressed archive of {size:,} bytes that would become {declared:,}",
        )
    if damaged is not None:
        raise _refusal(
            path,
            f"it is damaged: the checksum of its part {shown(damaged)} does not match",
            f"{COPY_AGAIN}, or {SAVE_AGAIN}",
        )


def _load(path: Path, load: Callable[[Path], object]) -> object:
    try:
        with warnings.catch_warnings():
            # of deprecated types: what is not fit for a trunk is refused later
            warnings.simplefilter("ignore")
            return load(path)
    except Exception as error:  # a decoder that meets a damaged file raises anything
        raise _refusal(path, *_why_not(error)) from error


def _torch_load(path: Path) -> object:
    # DINO and MAE keep their options beside the tensors, as a plain record that may be read
    with torch.serialization.safe_globals([argparse.Namespace]):
        return torch.load(path, map_location="cpu", weights_only=True)


def _why_not(error: Exception) -> tuple[str, str]:
    """What a file turned out to be that did not load, and the way out."""
    text = str(error)
    if "TorchScript" in text:
        way_out = f"load it with torch.jit.load and {SAVE_AGAIN.replace('model', 'program')}"
        return "it is a program in TorchScript", way_out
    # the words of torch's restricted unpickler, which names the class that it refuses
    refused = re.search(r"GLOBAL ([\w.]+)", text) or re.search(
        r"Unsupported (?:class|global|type)\W+([\w.]+)", text
    )
    if refused is not None:
        name = shown(refused[1])
        return f"it holds {name} besides tensors, and nothing in a file is run", SAVE_AGAIN
    return _DAMAGED, f"{COPY_AGAIN}, or {SAVE_AGAIN}"


def _open_containers(content: object, path: Path) -> tuple[list[str], dict[str, Tensor]]:
    """The keys that were opened, and the tensors by name."""
    opened: list[str] = []
    # containers hold containers: {"state_dict": {"model": ...}}
    while isinstance(content, Mapping):
        mapping: Mapping[Any, Any] = content
        key = _first_container(mapping, opened)
        if key is None:
            break
        opened.append(key)
        content = mapping[key]
    if not isinstance(content, Mapping):
        raise _refusal(path, f"it holds {_kind_of(content)}")
    if not content:
        raise _refusal(path, "it holds no tensors")
    for name, value in content.items():
        if not isinstance(name, str):
            kind = _kind_of(name)
            raise _refusal(path, f"it names tensors by {kind} ({shown(name)}) instead of by text")
        if not isinstance(value, Tensor):
            raise _refusal(path, f"{shown(name)} is {_kind_of(value)}")
    return opened, dict(cast(Mapping[str, Tensor], content))


def _first_container(mapping: Mapping[Any, Any], opened: Sequence[str]) -> str | None:
    """The best key below which more stands; None where the tensors are reached."""
    for key in CONTAINERS:
        # each key is opened once: a container that holds itself ends there
        if key not in opened and isinstance(mapping.get(key), Mapping):
            return key
    return None


def _kind_of(value: object) -> str:
    """A value's type with its article."""
    if value is None:
        return "nothing"
    name = type(value).__name__
    article = "an" if name[:1].lower() in tuple("aeiou") else "a"
    return f"{article} {name}"


def _refusal(path: Path, reason: str, way_out: str = SAVE_AGAIN) -> WeightsError:
    name = shown(os.fspath(path.name))
    return WeightsError(
        f"weights {name} must be a safetensors file or a state dict of tensors alone, "
        f"{reason}; {way_out}"
    )
