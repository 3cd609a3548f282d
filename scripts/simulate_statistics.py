"""How well the statistics of the report keep their promises, where the truth is known.

On simulated studies; prints the tables of docs/statistics.md.

run: python scripts/simulate_statistics.py [studies]      about 6 minutes on one core for 1000
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.simulated import POWER_AXES, Scenario, simulate

SMALL = {"a": ("0", "1", "2"), "b": ("0", "1")}
MERGED = {"a": ("0", "1", "2"), "b": ("0", "1"), "c": ("0", "1")}
NOISE = {
    "36 cells, 3 seeds": Scenario(POWER_AXES, n_seeds=3),
    "36 cells, 2 seeds": Scenario(POWER_AXES, n_seeds=2),
    "6 cells, 3 seeds": Scenario(SMALL, n_seeds=3),
    "6 cells, 10 seeds": Scenario(SMALL, n_seeds=10),
    "12 cells, 4 of them merged by two, 3 seeds": Scenario(MERGED, n_seeds=3, merged=True),
    "the same, 10 % of the trials failed": Scenario(MERGED, n_seeds=3, merged=True, failed=0.1),
    "36 cells, 3 seeds, noise with heavy tails (t, 3 df)": Scenario(POWER_AXES, n_seeds=3, tails=3),
    "36 cells, 3 seeds, a quarter of the arms 5 times as noisy": Scenario(
        POWER_AXES, n_seeds=3, uneven=5.0
    ),
    "36 cells, 3 seeds, effects differ between seeds (SD 0.5 of the noise)": Scenario(
        POWER_AXES, n_seeds=3, level_by_seed=0.5
    ),
    "36 cells, 3 seeds, effects differ between seeds (SD 1.0 of the noise)": Scenario(
        POWER_AXES, n_seeds=3, level_by_seed=1.0
    ),
}
"""Studies without any effect."""
PLANTED = {}
for size in (0.5, 1.0, 2.0, 3.0):
    name = f"36 cells, 3 seeds, one level {size} seed SDs better"
    PLANTED[name] = Scenario(POWER_AXES, n_seeds=3, effect=size)
PREDICTED = {
    "6 cells, 3 seeds, 300 images of 5 classes": Scenario(SMALL, n_seeds=3, n_images=300),
    "6 cells, 3 seeds, 300 images, one level better": Scenario(
        SMALL, n_seeds=3, n_images=300, effect=1.0
    ),
    "12 cells, 4 of them merged by two, 2 seeds, 200 images": Scenario(
        MERGED, n_seeds=2, n_images=200, merged=True
    ),
}


def main() -> None:
    n_studies = 1000
    if len(sys.argv) > 1:
        n_studies = int(sys.argv[1])
    print_table(
        f"studies without any effect ({n_studies} each)",
        NOISE,
        n_studies,
        ["any claimed", "covered"],
    )
    print_table(
        f"one planted effect ({n_studies} each)",
        PLANTED,
        n_studies,
        ["found", "false beside it", "covered"],
    )
    # Half as many: a study of predictions takes longer to simulate.
    print_table(
        f"scores from simulated predictions ({n_studies // 2} each)",
        PREDICTED,
        n_studies // 2,
        ["any claimed", "covered", "covered (AUROC)"],
    )


def print_table(
    title: str, scenarios: dict[str, Scenario], n_studies: int, columns: list[str]
) -> None:
    """Simulate every scenario and print one table of shares."""
    alignment = ["---"] + ["--:"] * len(columns)
    lines = [
        f"\n{title}\n",
        f"| {' | '.join(['study', *columns])} |",
        f"| {' | '.join(alignment)} |",
    ]
    for name, scenario in scenarios.items():
        shares = simulate(scenario, n_studies=n_studies, seed=0)
        cells = [name] + [percent(shares[column]) for column in columns]
        lines.append(f"| {' | '.join(cells)} |")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def percent(share: float) -> str:
    """`4.9 %`, or `-` where a scenario has no such share."""
    if not np.isfinite(share):
        return "-"
    return f"{100 * share:.1f} %"


if __name__ == "__main__":
    main()
