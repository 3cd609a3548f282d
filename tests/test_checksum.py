from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.checksum import is_sealed, sealed, unsealed

objects = st.dictionaries(st.text(), st.recursive(st.none() | st.floats(allow_nan=False) | st.text(), st.lists, max_leaves=5), min_size=1)


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
