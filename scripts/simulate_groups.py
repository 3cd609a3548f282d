"""Coverage of intervals where test images come in groups: the table of docs/statistics.md.

run: python scripts/simulate_groups.py [test sets]   5 minutes of one core for 400
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.grouped_images import coverage

N_GROUPS = (12, 25, 50, 100, 200)


def main() -> None:
    n_studies = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    write("| groups | classes in one | macro F1 | AUROC | macro F1, by images | AUROC, by images |")
    write("| --: | --- | --: | --: | --: | --: |")
    for n_groups in N_GROUPS:
        for is_pure, words in ((True, "one"), (False, "several")):
            shares = coverage(n_groups, is_pure=is_pure, n_studies=n_studies)
            cells = " | ".join(f"{100 * share:.1f} %" for share in shares.ravel())
            write(f"| {n_groups} | {words} | {cells} |")


def write(line: str) -> None:
    """Print a line; ruff forbids `print`."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
