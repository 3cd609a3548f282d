"""A JSON object that carries a checksum of itself as its last key, so that no damage is read."""

from __future__ import annotations

import zlib

_MARK = b',"crc":"'
_LENGTH = len(_MARK) + 8 + len(b'"}')


def sealed(text: str) -> str:
    """Add `"crc"`, the CRC-32 of all before it, to the text of a JSON object with at least one key."""
    body = text.rstrip().removesuffix("}").encode()
    return (body + _seal(body)).decode()


def unsealed(text: bytes) -> bytes | None:
    """Inverse of `sealed`. None where there is no checksum, or it is not the one of this text."""
    body, seal = text[:-_LENGTH], text[-_LENGTH:]
    return body + b"}" if seal == _seal(body) else None


def is_sealed(text: bytes) -> bool:
    """Whether the text has a checksum, right or wrong."""
    return text[-_LENGTH:].startswith(_MARK)


def _seal(body: bytes) -> bytes:
    return _MARK + f'{zlib.crc32(body):08x}"}}'.encode()
