from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.checksum import digest_of_file, is_sealed, sealed, sealed_json, unsealed, unsealed_json

VALUES: dict[str, Any] = {
    "labels": [0, 12, 7],
    "names": ["fern", "mäuse"],
    "share": 0.1,
    "none": None,
    "deep": {"2": (1, 2), "10": {}},
}

objects = st.dictionaries(
    st.text(),
    st.recursive(st.none() | st.floats(allow_nan=False) | st.text(), st.lists, max_leaves=5),
    min_size=1,
)


@pytest.mark.slow
@settings(deadline=None)
@given(values=objects)
def test_a_sealed_object_is_an_object_with_one_more_key_and_gives_back_the_text(values):
    text = json.dumps(values, separators=(",", ":"))
    closed = sealed(text)
    assert json.loads(closed).keys() == values.keys() | {"crc"}
    assert unsealed(closed.encode()) == text.encode()
    assert is_sealed(closed.encode())
    assert unsealed(text.encode()) is None


def test_no_change_of_a_byte_keeps_the_seal():
    closed = sealed('{"score": 0.5}').encode()
    for place, byte in enumerate(closed):
        for other in set(range(256)) - {byte}:
            assert unsealed(closed[:place] + bytes([other]) + closed[place + 1 :]) is None
        assert unsealed(closed[:place]) is None
        assert unsealed(closed[:place] + closed[place + 1 :]) is None


def test_an_ordinary_object_has_no_seal():
    assert not is_sealed(b'{"score": 0.5}')
    assert not is_sealed(b"")
    assert is_sealed(b'{"score": 0.5,"crc":"00000000"}')


def test_what_was_sealed_comes_back() -> None:
    assert unsealed_json(sealed_json(VALUES).encode(), fields=VALUES) == json.loads(
        json.dumps(VALUES)
    )


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_turned_bit_is_believed(at: int, bit: int) -> None:
    whole = sealed_json(VALUES).encode()
    damaged = bytearray(whole)
    damaged[at % len(whole)] ^= 1 << bit
    with pytest.raises(ValueError):
        unsealed_json(bytes(damaged), fields=VALUES)


@given(start=st.integers(0, 10_000), junk=st.binary(max_size=8))
def test_no_damaged_file_is_believed(start: int, junk: bytes) -> None:
    whole = sealed_json(VALUES).encode()
    at = start % len(whole)
    damaged = whole[:at] + junk + whole[at + len(junk) + 1 :]
    with suppress(ValueError):  # but where the junk is what stood there
        assert unsealed_json(damaged, fields=VALUES) == unsealed_json(whole, fields=VALUES)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[1]", "it holds no object"),
        ("7", "it holds no object"),
        ('{"labels": [], "lables": 3}', "it has unknown fields: lables"),
        ("[" * 200_000, "it is nested too deeply"),
        ('{"labels": [],"crc":"00000000"}', "its checksum does not match"),
    ],
)
def test_what_is_wrong_with_a_sealed_file_is_named(text: str, why: str) -> None:
    with pytest.raises(ValueError) as error:
        unsealed_json(text.encode(), fields=VALUES)
    assert str(error.value) == why


def test_a_file_of_an_earlier_version_has_no_checksum() -> None:
    assert unsealed_json(b'{"labels": [1]}', fields=VALUES) == {"labels": [1]}


def test_the_digest_of_a_file_is_the_sha256_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "rows.bin"
    for content in (b"", b"leaf\r\n", bytes(range(256)) * 5000):
        path.write_bytes(content)
        assert digest_of_file(path) == hashlib.sha256(content).hexdigest()
