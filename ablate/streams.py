"""Named, counter-based random streams: the same draw in every arm and after every restart.

A stream is a seed, a name and counters, hashed to a 63-bit key. There is no state to carry, so the
augmented view of image 17 in epoch 3 can be drawn by any process at any time, and two arms that
differ in one axis share all their other randomness (common random numbers).
"""

from __future__ import annotations

import hashlib
from typing import Literal

# A closed list: a name with a typing error would be a stream of its own, and never be noticed.
StreamName = Literal[
    "init",
    "order",
    "augment",
    "split",
    "mix",
    "render",
    "adapter",
    "bootstrap",
    "permute",
    "search",
    "shots",
]


def stream(seed: int, name: StreamName, *counters: int | str) -> int:
    """The key of a stream, an int in [0, 2**63), for a fresh generator of numpy or torch.

    `counters` name the place inside the stream, for example (epoch, image_index). Equal arguments
    give equal keys on every machine.
    """
    # A separator that no name holds, so that ("a", 12) and ("a1", 2) cannot meet in one text.
    text = "\x1f".join([str(int(seed)), name, *map(str, counters)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    # 63 bits: torch takes a signed 64-bit seed.
    return int.from_bytes(digest, "big") >> 1
