"""An entry of the activation cache as files: what its meta.json must say of its rows. Needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.checksum import digest_of_file, sealed_json, unsealed_json

META, ROWS = "meta.json", "rows.bin"
ITEM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Types of rows, by name."""
_FIELDS = ("shape", "dtype", "sha256", "build_s", "door", "identity")


@dataclass(frozen=True, slots=True)
class KeptRows:
    """What a sound meta.json says."""

    shape: tuple[int, ...]
    dtype: str
    """A name in ITEM_BYTES."""
    sha256: str
    build_s: float
    """Seconds that computing the rows took."""
    door: str
    identity: dict[str, Any]
    """Everything that determines the rows but the door."""

    @property
    def n_bytes(self) -> int:
        """Size of the rows."""
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]


def read_meta(entry: Path) -> KeptRows:
    """Read what an entry holds. Raises ValueError where that is damaged or does not fit the size of its rows, OSError where it is missing."""
    try:
        values = unsealed_json((entry / META).read_bytes(), fields=_FIELDS)
        kept = KeptRows(**{**values, "shape": tuple(values["shape"])})
        is_sound = (
            all(type(n) is int and n >= 0 for n in kept.shape)
            and type(kept.build_s) in (int, float)
            and kept.build_s >= 0
        )
        n_bytes = kept.n_bytes
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"its {META} is damaged ({error!r})") from None
    if not is_sound or not isinstance(kept.identity, dict) or not isinstance(kept.door, str):
        raise ValueError(f"its {META} is damaged")
    there = (entry / ROWS).stat().st_size
    if there != n_bytes:
        raise ValueError(f"{ROWS} has {there} bytes instead of {n_bytes}")
    return kept


def write_meta(entry: Path, kept: KeptRows) -> None:
    """Inverse of `read_meta`. Raises OSError."""
    values = {
        "shape": kept.shape,
        "dtype": kept.dtype,
        "sha256": kept.sha256,
        "build_s": kept.build_s,
        "door": kept.door,
        "identity": kept.identity,
    }
    (entry / META).write_text(sealed_json(values))


def verify_rows(entry: Path, kept: KeptRows) -> None:
    """Compare all rows with the digest that was taken when they were computed. Raises ValueError, OSError."""
    if digest_of_file(entry / ROWS) != kept.sha256:
        raise ValueError("its digest does not match")
