"""For packages that extend ablate: what an extension must keep, as tests to inherit.

    from ablate.testing import SourceContract

    class TestMySource(SourceContract):
        source = "my_source"

        def write(self, data_dir):
            ...  # a small set of images below data_dir
            return {"path": "my_set"}

pytest finds the tests. Ablate's own sources pass the same ones. See docs/sources.md.
"""

from __future__ import annotations

from ablate.testing.source_contract import SourceContract

__all__ = ["SourceContract"]
