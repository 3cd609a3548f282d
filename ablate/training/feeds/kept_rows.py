"""An entry of the activation cache as files: what its meta.json must say of its rows.

Needs no torch: `ablate cache` lists and verifies entries without it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.checksum import digest_of_file, sealed_json, unsealed_json

META = "meta.json"
ROWS = "rows.bin"
ITEM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "uint8": 1}
"""Types of rows, by torch's name."""
_FIELDS = ("shape", "dtype", "sha256", "build_s", "door", "identity")
"""Keys of meta.json; `door` is the split point, under the word of former versions."""


@dataclass(frozen=True, slots=True)
class KeptRows:
    """What a sound meta.json says."""

    shape: tuple[int, ...]
    dtype: str
    """A name in ITEM_BYTES."""
    sha256: str
    build_s: float
    """Seconds that computing the rows took."""
    split_point: str
    identity: dict[str, Any]
    """Everything that determines the rows but the split point."""

    @property
    def n_bytes(self) -> int:
        """Size of the rows."""
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]


def read_meta(entry: Path) -> KeptRows:
    """Read what an entry holds.

    Raises ValueError where that is damaged or does not fit the size of its rows, OSError where it
    is missing.
    """
    try:
        values = unsealed_json((entry / META).read_bytes(), fields=_FIELDS)
        kept = _checked(values)
        # inside the try: an unknown dtype is damage as well
        n_bytes = kept.n_bytes
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"its {META} is damaged ({error!r})") from None
    stored = (entry / ROWS).stat().st_size
    if stored != n_bytes:
        raise ValueError(f"{ROWS} has {stored} bytes instead of {n_bytes}")
    return kept


def _checked(values: Mapping[str, Any]) -> KeptRows:
    """The values with their types: JSON of a damaged file may hold anything. Raises ValueError."""
    # `type() is` and not isinstance: True and False are instances of int.
    shape = tuple(values["shape"])
    # A wrong type would only fail deep inside NumPy, or map the file in another form.
    is_shape = all(type(n) is int and n >= 0 for n in shape)
    is_time = type(values["build_s"]) in (int, float) and values["build_s"] >= 0
    is_named = isinstance(values["door"], str) and isinstance(values["identity"], dict)
    if not (is_shape and is_time and is_named):
        raise ValueError(f"its {META} is damaged")
    return KeptRows(
        shape=shape,
        dtype=values["dtype"],
        sha256=values["sha256"],
        build_s=values["build_s"],
        split_point=values["door"],
        identity=values["identity"],
    )


def write_meta(entry: Path, kept: KeptRows) -> None:
    """Inverse of `read_meta`. Raises OSError."""
    values = {
        "shape": kept.shape,
        "dtype": kept.dtype,
        "sha256": kept.sha256,
        "build_s": kept.build_s,
        # The word of former versions: entries of both are read by both.
        "door": kept.split_point,
        "identity": kept.identity,
    }
    (entry / META).write_text(sealed_json(values))


def verify_rows(entry: Path, kept: KeptRows) -> None:
    """Compare all rows with the digest that was taken when they were computed.

    Reads everything. Raises ValueError where they differ, OSError.
    """
    if digest_of_file(entry / ROWS) != kept.sha256:
        raise ValueError("its digest does not match")
