"""Coverage of intervals where each seed has a split of its own: the table of docs/statistics.md.

run: python scripts/simulate_folds.py [studies]   10 minutes of one core for 400
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.fold_studies import Setting, coverage

WAYS = (
    ("5 folds", 5, 5),
    ("5 folds, twice", 10, 5),
    ("5 folds, four times", 20, 5),
    ("10 folds", 10, 10),
    ("per seed", 5, None),
    ("per seed", 20, None),
)


def main() -> None:
    n_studies = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    write("| splits | seeds | images | these intervals | SE / SD | paired t over the seeds |")
    write("| --- | --: | --- | --: | --: | --: |")
    for has_groups in (False, True):
        for n_images in (120, 360):
            for words, n_seeds, n_folds in WAYS:
                setting = Setting(n_seeds, n_folds, n_images, has_groups)
                found = coverage(setting, n_studies=n_studies)
                kind = f"{n_images}, in groups" if has_groups else f"{n_images}"
                ratio = found["se"] / found["sd"]
                write(
                    f"| {words} | {n_seeds} | {kind} | {100 * found['ours']:.1f} % | {ratio:.2f} "
                    f"| {100 * found['naive']:.1f} % |"
                )


def write(line: str) -> None:
    """Print a line; ruff forbids `print`."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
