"""Files that are no weights, or weights that nothing can be trained from.

One message each, never a traceback, a hang or silence.
"""

from __future__ import annotations

import os
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from support.mutated_weights import FORMATS, damage, outcome_of, tiny, write_weights
from torch import Tensor

from ablate.errors import WeightsError
from ablate.model.weights.place_file import place_file, trunk_tensors
from ablate.model.weights.read_file import read_tensors, shown
from ablate.model.weights.tensor_values import digest_of_tensors

MUST_BE = "must be a safetensors file or a state dict of tensors alone"
SAVE = "save it again with safetensors.torch.save_file(model.state_dict(), path)"
COPY = "copy or download it again"
STATE = tiny(seed=1).state_dict()


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.system, ("touch bomb-went-off",))


def _holding_itself() -> dict[str, Any]:
    state: dict[str, Any] = dict(STATE)
    state["model"] = state
    return state


def _in_a_ring() -> dict[str, Any]:
    state: dict[str, Any] = {}
    state["state_dict"] = {"model": state}
    return state


def _header(text: bytes, *, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text


def _compressed(folder: Path) -> bytes:
    torch.save({"conv.weight": torch.zeros(1_000_000)}, folder / "large")
    with (
        zipfile.ZipFile(folder / "small", "w", zipfile.ZIP_DEFLATED) as small,
        zipfile.ZipFile(folder / "large") as large,
    ):
        for part in large.infolist():
            small.writestr(part.filename, large.read(part))
    return (folder / "small").read_bytes()


def _flipped(folder: Path) -> bytes:
    """One bit of a tensor's values: torch alone would take it."""
    torch.save({"weight": torch.ones(1000)}, folder / "whole")
    content = bytearray((folder / "whole").read_bytes())
    content[content.index(struct.pack("<f", 1.0) * 10) + 400] ^= 1
    return bytes(content)


BYTES: dict[str, tuple[bytes | Callable[[Path], bytes], str]] = {
    "text": (b"not weights at all\n", f"it is text; {SAVE}"),
    "a pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "it is a pointer of Git LFS; fetch the file itself with: git lfs pull",
    ),
    "a page": (b"\n<!DOCTYPE html><html>", "it is a web page; download the file itself"),
    "nothing": (b"", f"it is empty; {COPY}"),
    "zeros": (bytes(100), f"it begins with zeros; {COPY}"),
    "noise": (b"\x01\x02\x03" * 9, f"it is damaged or of another kind; {COPY}, or {SAVE}"),
    "tar": (
        b"sys_info".ljust(257, b"\0") + b"ustar",
        f"it is a tar archive; unpack it, or where an old torch wrote it load it there and {SAVE}",
    ),
    "a header of 10^18 bytes": (
        _header(b"{}", length=10**18),
        f"it is damaged or of another kind; {COPY}, or {SAVE}",
    ),
    "a header that is no JSON": (
        _header(b'{"a":xxx'),
        f"it is damaged or of another kind; {COPY}, or {SAVE}",
    ),
    "a tensor beyond the file": (
        _header(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[1000000,1000004]}}'),
        f"it is damaged or of another kind; {COPY}, or {SAVE}",
    ),
    "no tensors": (_header(b"{}"), f"it holds no tensors; {SAVE}"),
    "compressed": (
        _compressed,
        f"it is a compressed archive of 9 bytes that would become 9; {SAVE}",
    ),
    "a flipped bit": (
        _flipped,
        f"it is damaged: the checksum of its part whole/data/0 does not match; {COPY}, or {SAVE}",
    ),
    "a plain pickle": (
        pickle.dumps({"weight": 1}),
        f"it is damaged or of another kind; {COPY}, or {SAVE}",
    ),
}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ""])
@pytest.mark.parametrize("kind", BYTES)
def test_a_file_that_is_no_weights(kind: str, suffix: str, tmp_path: Path) -> None:
    content, said = BYTES[kind]
    path = tmp_path / f"mine{suffix}"
    path.write_bytes(content if isinstance(content, bytes) else content(tmp_path))
    with pytest.raises(WeightsError) as caught:
        read_tensors(path)
    assert _sizes_alike(str(caught.value)) == _sizes_alike(
        f"weights mine{suffix} {MUST_BE}, {said}"
    )


def _sizes_alike(text: str) -> str:
    """How well a library compresses is its own affair."""
    before, middle, after = text.partition(" bytes that would become ")
    return before.rpartition(" ")[0] + middle + after.partition(";")[2] if middle else text


CONTENTS: dict[str, tuple[Callable[[], object], str]] = {
    "names that are numbers": (
        lambda: {0: torch.ones(1)},
        f"it names tensors by an int (0) instead of by text; {SAVE}",
    ),
    "names that are bytes": (
        lambda: {b"a": torch.ones(1)},
        f"it names tensors by a bytes (b'a') instead of by text; {SAVE}",
    ),
    "a number among tensors": (lambda: {**STATE, "epoch": 3}, f"epoch is an int; {SAVE}"),
    "a dict that holds itself": (_holding_itself, f"model is a dict; {SAVE}"),
    "a ring of dicts": (_in_a_ring, f"state_dict is a dict; {SAVE}"),
    "a list": (lambda: [STATE], f"it holds a list; {SAVE}"),
    "none": (lambda: None, f"it holds nothing; {SAVE}"),
    "an empty dict": (dict, f"it holds no tensors; {SAVE}"),
    "a few bytes that stand for terabytes": (
        lambda: {"weight": torch.ones(1).expand(10**12)},
        f"its tensors would take 4,000,000,000,000 bytes, more than 10 times the file; {SAVE}",
    ),
    "many that share a few bytes": (
        lambda: {f"weight{i}": torch.ones(1).expand(10**6) for i in range(100)},
        f"its tensors would take 400,000,000 bytes, more than 10 times the file; {SAVE}",
    ),
    "a program": (
        lambda: {"state_dict": _Bomb()},
        (
            f"it holds {os.system.__module__}.system besides tensors, "
            f"and nothing in a file is run; {SAVE}"
        ),
    ),
    "a whole module": (
        lambda: tiny(seed=1),
        (
            "it holds support.mutated_weights.Tiny besides tensors, and nothing in a file is run; "
            f"{SAVE}"
        ),
    ),
}


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("kind", CONTENTS)
def test_a_file_that_holds_something_else(
    kind: str, is_zip: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make, said = CONTENTS[kind]
    torch.save(make(), "mine.pth", _use_new_zipfile_serialization=is_zip)
    with pytest.raises(WeightsError) as caught:
        read_tensors(Path("mine.pth"))
    assert str(caught.value) == f"weights mine.pth {MUST_BE}, {said}"
    assert not Path("bomb-went-off").exists()


@pytest.mark.timeout(30)
def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pth")
    (tmp_path / "folder.pth").mkdir()
    kinds = {
        tmp_path / "pipe.pth": "a named pipe",
        tmp_path / "folder.pth": "a folder",
        Path("/dev/zero"): "a device",
    }
    for path, kind in kinds.items():
        with pytest.raises(WeightsError) as caught:
            read_tensors(path)
        assert (
            str(caught.value)
            == f"weights {path.name} {MUST_BE}, it is {kind}; name the file itself"
        )


def _with(name: str, tensor: Tensor) -> dict[str, Tensor]:
    return {**STATE, name: tensor}


_WEIGHT = STATE["conv.weight"]
UNFIT: dict[str, tuple[str, Callable[[], Tensor], str]] = {
    "sparse": ("conv.weight", lambda: _WEIGHT.flatten(1).to_sparse(), "is sparse"),
    "sparse rows": ("conv.weight", lambda: _WEIGHT.flatten(1).to_sparse_csr(), "is sparse"),
    "quantised": (
        "conv.weight",
        lambda: torch.quantize_per_tensor(_WEIGHT, 0.1, 0, torch.qint8),
        "is quantised",
    ),
    "nested": (
        "conv.weight",
        lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        "is nested",
    ),
    "meta": ("conv.weight", lambda: _WEIGHT.to("meta"), "is on the device meta and has no values"),
    "huge on meta": (
        "conv.weight",
        lambda: torch.empty(10**6, 10**6, 10**3, device="meta"),
        "is on the device meta and has no values",
    ),
    "complex": ("conv.weight", lambda: _WEIGHT.to(torch.complex64), "is complex"),
    "bytes": ("conv.weight", lambda: _WEIGHT.to(torch.int8), "holds int8 instead of float32"),
    "yes and no": ("conv.weight", lambda: _WEIGHT > 0, "holds bool instead of float32"),
    "eight bits": (
        "conv.weight",
        lambda: _WEIGHT.to(torch.float8_e4m3fn),
        "holds float8_e4m3fn instead of float32",
    ),
    "NaN": (
        "conv.weight",
        lambda: _WEIGHT * torch.nan,
        "holds 108 of 108 values that are NaN or infinite",
    ),
    "one infinity": (
        "conv.bias",
        lambda: torch.tensor([0.0, 1.0, 2.0, torch.inf]),
        "holds 1 of 4 values that are NaN or infinite",
    ),
    "too large for float32": (
        "conv.bias",
        lambda: torch.full((4,), 1e300, dtype=torch.float64),
        "holds 4 of 4 values that are NaN or infinite",
    ),
    "a negative variance": (
        "norm.running_var",
        lambda: -torch.ones(4),
        "is a variance and holds values below 0",
    ),
    "a count that is no number": (
        "norm.num_batches_tracked",
        lambda: torch.tensor(torch.nan),
        "holds 1 of 1 values that are NaN or infinite",
    ),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_tensors_that_nothing_can_be_trained_from(kind: str, tmp_path: Path) -> None:
    name, make, said = UNFIT[kind]
    torch.save(_with(name, make()), tmp_path / "mine.pth")
    assert outcome_of(tmp_path / "mine.pth") == (
        "weights mine.pth must hold the trunk's tensors as finite numbers in floating point, dense "
        "and in memory; "
        f"{name} {said}. Save the trained network's state dict again, in float32"
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("file", FORMATS)
def test_other_precisions_are_converted(file: str, dtype: torch.dtype, tmp_path: Path) -> None:
    write_weights(
        tmp_path / file,
        {
            name: tensor.to(dtype) if tensor.is_floating_point() else tensor
            for name, tensor in STATE.items()
        },
    )
    placed = outcome_of(tmp_path / file)
    assert isinstance(placed, dict)
    for name, tensor in placed.items():
        torch.testing.assert_close(tensor, STATE[name].to(dtype).to(tensor.dtype), rtol=0, atol=0)


def test_the_classifier_may_hold_anything(tmp_path: Path) -> None:
    torch.save(_with("fc.weight", torch.full((7, 7), torch.nan)), tmp_path / "mine.pth")
    assert isinstance(outcome_of(tmp_path / "mine.pth"), dict)


def test_names_are_told_so_that_they_can_be_printed(tmp_path: Path) -> None:
    torch.save(
        _with("\udcff\x1b[31m", torch.ones(1)) | _with("x" * 1000, torch.ones(1)),
        tmp_path / "mine.pth",
    )
    said = f"unexpected: '\\udcff\\x1b[31m', {'x' * 80}...."
    assert (
        outcome_of(tmp_path / "mine.pth")
        == f"weights mine.pth must fit the trunk of tiny; {said} Is it another backbone, or "
        "another image_size?"
    )
    assert shown("conv.weight") == "conv.weight"


def test_equal_tensors_have_equal_digests_however_they_are_packed(tmp_path: Path) -> None:
    packed = {
        "plain.safetensors": STATE,
        "zip.pth": {"state_dict": STATE, "epoch": 3},
        "legacy.pth": {f"module.{name}": tensor for name, tensor in STATE.items()},
        "headless.pth": {
            name: tensor for name, tensor in reversed(STATE.items()) if not name.startswith("fc.")
        },
    }
    contents = set()
    for file, state in packed.items():
        write_weights(tmp_path / file, state)
        contents.add(place_file(tiny(seed=2), tmp_path / file, backbone="tiny").content)
    assert contents == {digest_of_tensors(trunk_tensors(tiny(seed=1)))}
    save_file(_with("conv.bias", STATE["conv.bias"] + 1e-6), tmp_path / "other.safetensors")
    assert (
        place_file(tiny(seed=2), tmp_path / "other.safetensors", backbone="tiny").content
        not in contents
    )


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("file", FORMATS)
def test_damaged_files_are_refused_in_one_sentence_or_are_finite_weights(
    file: str, tmp_path: Path
) -> None:
    """Of an archive of torch every damage that changes a value is found.

    The other formats have no checksums.
    """
    write_weights(tmp_path / file, STATE)
    whole, rng = (tmp_path / file).read_bytes(), random.Random(20)
    refused = 0
    for _ in range(250):
        (tmp_path / file).write_bytes(damage(whole, rng))
        outcome = outcome_of(tmp_path / file)
        if isinstance(outcome, str):
            refused += 1
            assert outcome.startswith(f"weights {file} must ")
            assert outcome.isprintable()
            continue
        for name, tensor in outcome.items():
            assert torch.isfinite(tensor).all(), name
            assert file != "zip.pth" or torch.equal(tensor, STATE[name]), name
    assert refused > 120
