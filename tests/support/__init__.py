"""What several test files share: toy trials and studies, small networks, mutated inputs.

Tests import its modules as `support.NAME`; processes that tests start find it by `ON_PATH`.
"""

from __future__ import annotations

import os
from pathlib import Path

TESTS = Path(__file__).parents[1]
ON_PATH = os.pathsep.join((str(TESTS), str(TESTS.parent)))
"""`PYTHONPATH` of a process that imports this package and the checkout's own `ablate`."""
