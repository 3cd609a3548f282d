"""A JSON object that carries a checksum of itself as its last key, so that no damage is read."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

_MARK = b',"crc":"'
# The mark, eight hex digits, and the end of the object.
_LENGTH = len(_MARK) + 8 + len(b'"}')


def digest_of_file(path: Path) -> str:
    """Return the sha256 of a file's bytes, 64 hex digits. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sealed(text: str) -> str:
    """Add `"crc"`, the CRC-32 of all before it, to a JSON object with at least one key."""
    # The object is left open: the checksum becomes its last key.
    body = text.rstrip().removesuffix("}").encode()
    return (body + _seal(body)).decode()


def unsealed(text: bytes) -> bytes | None:
    """Inverse of `sealed`. None where there is no checksum, or it is not the one of this text."""
    body = text[:-_LENGTH]
    if text[-_LENGTH:] != _seal(body):
        return None
    return body + b"}"


def is_sealed(text: bytes) -> bool:
    """Whether the text has a checksum, right or wrong."""
    return text[-_LENGTH:].startswith(_MARK)


def sealed_json(values: Mapping[str, Any]) -> str:
    """Return an object with at least one field as JSON with a checksum."""
    return sealed(json.dumps(values))


def unsealed_json(text: bytes, *, fields: Collection[str]) -> dict[str, Any]:
    """Read what `sealed_json` wrote.

    Raises ValueError where it is damaged, no object, or has other fields than `fields`.

    A text without a checksum is one of an earlier version; whoever reads it must check its values.
    """
    content = unsealed(text) if is_sealed(text) else text
    if content is None:
        raise ValueError("its checksum does not match")
    try:
        values = json.loads(content)
    except RecursionError:  # what json raises for a thousand brackets; a file is no reason to crash
        raise ValueError("it is nested too deeply") from None
    if not isinstance(values, dict):
        raise ValueError("it holds no object")
    foreign = sorted(set(values) - set(fields))
    if foreign:
        raise ValueError(f"it has unknown fields: {', '.join(foreign)}")
    return values


def _seal(body: bytes) -> bytes:
    return _MARK + f'{zlib.crc32(body):08x}"}}'.encode()
