"""What no text of the project may say."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "Makefile")),
    *(
        path
        for folder in ("ablate", "docs", "experiments", "scripts")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in (".py", ".md", ".yaml", ".json")
    ),
]
FROM_AN_INDEX = re.compile(
    r"(pip|pipx|uv|uvx|conda|poetry)\b[^\n`]*?\b(install|add|run)\b[^\n`]*?(?<![\w./-])['\"]?ablate\b(?![./])|\bablate\[|uvx\s+ablate"
)
"""The name is another program's on the package index: this one is installed from its clone."""


def test_the_texts_are_found() -> None:
    assert len(TEXTS) > 200


def test_nobody_is_told_to_install_a_strangers_package() -> None:
    for bad in (
        "pip install ablate",
        "pip install 'ablate[ray]'",
        "uv pip install -U ablate",
        "needs ablate[ray]",
        "pipx run ablate plan",
        "uv add ablate",
    ):
        assert FROM_AN_INDEX.search(bad), bad
    for good in (
        "pip install -e '.[ray]'",
        "make install EXTRAS=ray",
        "pip install 'ray>=2.50,<3'",
        "installing ablate and what it needs",
        "pip install git+https://x/ablate.git",
    ):
        assert not FROM_AN_INDEX.search(good), good
    said = [
        f"{path.relative_to(ROOT)}: {found[0]}"
        for path in TEXTS
        for found in FROM_AN_INDEX.finditer(path.read_text())
    ]
    assert said == []
