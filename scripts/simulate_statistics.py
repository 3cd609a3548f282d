"""How often a report says a false thing, where the truth is known: tables of docs/statistics.md.

Studies are simulated in the designs of all example grids, and judged by the functions of the
package (`tests/support/promises.py`). Every finished setting is written to RESULTS, and is not
simulated again.

run: python scripts/simulate_statistics.py RESULTS.jsonl [studies]   3 minutes of one core for 60
"""

from __future__ import annotations

import itertools
import json
import math
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from scipy.special import stdtrit
from scipy.stats import beta

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.promises import Design, Scenario, count, example_designs, power_design

SCENARIOS = {
    "no effect": Scenario(),
    "level x seed, SD 0.5": Scenario(level_by_seed=0.5),
    "level x seed, SD 1": Scenario(level_by_seed=1.0),
    "one level five times as noisy": Scenario(noisy_level=5.0),
    "heavy tails (t, 3 df)": Scenario(tails=3),
    "10 % of the trials failed": Scenario(failed=0.1),
    "test images, SD 0.7": Scenario(images=0.7),
    "test images, one level five times as noisy": Scenario(images=0.7, noisy_level=5.0),
}
POWER = {
    "2 SD": Scenario(effect=2.0),
    "3 SD": Scenario(effect=3.0),
    "3 SD, level x seed 0.5": Scenario(effect=3.0, level_by_seed=0.5),
}
EVENTS = ("wrong", "missed", "without best", "explored")
Row = tuple[str, str, Counter[str]]
"""Design, setting, and what was counted."""


def main() -> None:
    results = Path(sys.argv[1])
    n_studies = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    done = {(design, setting) for design, setting, _ in read(results)}
    for design, setting, scenario, n_wanted in settings(n_studies):
        if (design.name, setting) in done:
            continue
        # Draws of its own for each line: shared ones would make all settings lucky together.
        seed = zlib.crc32(f"{design.name}: {setting}".encode())
        counts = count(design, scenario, n_studies=n_wanted, seed=seed)
        line = json.dumps([design.name, setting, counts])
        with results.open("a") as file:
            file.write(line + "\n")
        sys.stderr.write(line + "\n")
    print_tables(list(read(results)))
    print_misses_beside_images()


def settings(n_studies: int) -> Iterator[tuple[Design, str, Scenario, int]]:
    """Yield power first, then every scenario in all designs, with the number of studies."""
    # Those that ask come first: few comparisons and many seeds have the least to spare.
    designs = sorted(example_designs(), key=lambda design: not design.record.questions)
    (flowers,) = (design for design in designs if design.name == "flowers, as it asks")
    for design in (power_design(), flowers):
        for name, scenario in POWER.items():
            yield design, f"power: {name}", scenario, 4 * n_studies
    for name, scenario in SCENARIOS.items():
        for design in designs:
            yield design, name, scenario, n_studies


def read(results: Path) -> Iterator[Row]:
    """Yield the finished settings."""
    if not results.exists():
        return
    for line in results.read_text().splitlines():
        design, setting, counts = json.loads(line)
        yield design, setting, Counter(counts)


def print_tables(rows: list[Row]) -> None:
    """Print the tables of docs/statistics.md."""
    null = [row for row in rows if not row[1].startswith("power")]
    power = [row for row in rows if row[1].startswith("power")]
    print_shares("setting, all designs together", sums(null, key=lambda row: row[1]))
    print_shares("design, all settings together", sums(null, key=lambda row: row[0]))
    write("\n| design | planted effect | found | any wrong verdict |")
    write("| --- | --- | --: | --: |")
    for design, setting, counts in power:
        cells = [design, setting.removeprefix("power: ")]
        cells += [share(counts, "found"), share(counts, "wrong")]
        write(f"| {' | '.join(cells)} |")
    write("\nThe settings with the most wrong verdicts:\n")
    for design, setting, counts in sorted(null, key=lambda row: -rate(row[2]))[:6]:
        write(f"- {design}, {setting}: {share(counts, 'wrong')} of {counts['studies']}")


def write(line: str) -> None:
    """Write a line of a table."""
    sys.stdout.write(line + "\n")


def print_misses_beside_images(n_draws: int = 1_000_000) -> None:
    """Print how often intervals miss whose error is a known part (images) and an estimated one."""
    rng = np.random.default_rng(0)
    write("\n| df by seeds | images' variance / seeds' | promised misses | square | ratio |")
    write("| --: | --: | --: | --: | --: |")
    for df, images, promised in itertools.product((4, 6), (0.25, 1.0), (0.05, 0.0025, 0.0005)):
        seeds = rng.chisquare(df, n_draws) / df
        variance = seeds + images
        misses = np.abs(rng.normal(size=n_draws)) * math.sqrt(1 + images)
        cells = [str(df), str(images), f"{100 * promised:g} %"]
        for power in (2, 1):
            quantile = -stdtrit(df * (variance / seeds) ** power, promised / 2)
            is_missed = misses > quantile * np.sqrt(variance)
            cells.append(f"{is_missed.mean() / promised:.1f}")
        write(f"| {' | '.join(cells)} |")


def rate(counts: Counter[str]) -> float:
    """Share of studies with any wrong verdict."""
    return counts["wrong"] / counts["studies"]


def sums(rows: Iterable[Row], *, key: Callable[[Row], str]) -> dict[str, Counter[str]]:
    """Add up what was counted, by design or by setting."""
    totals: dict[str, Counter[str]] = {}
    for row in rows:
        totals.setdefault(key(row), Counter()).update(row[2])
    return totals


def print_shares(title: str, totals: dict[str, Counter[str]]) -> None:
    """Print a table of shares of studies, with the 95 % interval of the first."""
    head = ["any wrong verdict", "all intervals true", "best arm left out", "exploratory wrong"]
    write(f"\n| {' | '.join([title, 'studies', *head])} |")
    write("| --- |" + " --: |" * (len(head) + 1))
    for name, counts in totals.items():
        cells = [name, f"{counts['studies']:,}"]
        for event in EVENTS:
            cells.append(share(counts, event))
        cells[3] = percent(1 - counts["missed"] / counts["studies"])
        low, high = interval(counts["wrong"], counts["studies"])
        cells[2] += f" ({100 * low:.1f} to {100 * high:.1f})"
        write(f"| {' | '.join(cells)} |")


def interval(n_events: int, n_studies: int) -> tuple[float, float]:
    """Clopper and Pearson's 95 % interval of a share."""
    low = beta.ppf(0.025, n_events, n_studies - n_events + 1) if n_events else 0.0
    return float(low), float(beta.ppf(0.975, n_events + 1, n_studies - n_events))


def share(counts: Counter[str], event: str) -> str:
    """`4.9 %` of the studies."""
    return percent(counts[event] / counts["studies"])


def percent(value: float) -> str:
    """`4.9 %`."""
    return f"{100 * value:.1f} %"


if __name__ == "__main__":
    main()
