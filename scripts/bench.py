"""`make bench`: the same trials through a plain loop and through ablate, in turn, in one call; prints Markdown tables.

Textile (300 train, 150 val and 150 test images at 224), EfficientNet-Lite0, 3 epochs. Both sides start cold: ablate gets a fresh home for every grid and pays
for its image store, caches, journal, MLflow store and report; the plain loop pays for decoding in every epoch. Seconds are wall time on whatever the machine
is doing besides, so read ratios, not seconds.

One part: `python scripts/bench.py --grids ten --out ten`; `--tables ten.json ...` puts parts together; `--framework` measures what trains nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
import yaml

from ablate.grid.expand import expand, study_trials
from ablate.grid.parse import load_grid
from ablate.study.trial import Trial
from ablate.tracking.events import TrialEnded, TrialStarted
from ablate.tracking.journal import Journal

ROOT = Path(__file__).parents[1]
DATA = {
    "source": "textile",
    "image_size": 224,
    "split_seed": 0,
    "fractions": {"train": 0.5, "val": 0.2, "test": 0.3},
    "sizes": {"train": 300, "val": 150, "test": 150},
}
BASE = {
    "backbone": "tf_efficientnet_lite0",
    "epochs": 3,
    "batch_size": 16,
    "head_lr": 3e-3,
    "adapter_units": 2,
}
GRIDS: dict[str, dict[str, Any]] = {
    "ten": {
        "axes": {
            "freeze_depth": ["all", -1, 0],
            "lr_ratio": [0.1, 1.0],
            "augment": ["none", "light"],
        },
        "seeds": [0],
    },
    "lora": {"axes": {"lora_rank": [4, 8]}, "seeds": [0]},
    "frozen": {
        "axes": {
            "freeze_depth": ["all", -1],
            "head_lr": [1e-3, 3e-3],
            "augment": ["none", "light", "medium"],
        },
        "seeds": [0, 1, 2],
    },
    "probes5": {"axes": {"head_lr": [1e-3 * (1 + n) for n in range(5)]}, "seeds": [0]},
    "probes20": {"axes": {"head_lr": [1e-3 * (1 + n) for n in range(20)]}, "seeds": [0]},
    "probes80": {"axes": {"head_lr": [1e-3 * (1 + n) for n in range(20)]}, "seeds": [0, 1, 2, 3]},
}
TITLES = {
    "ten": "10 trials: head, last unit, full x lr_ratio x augment",
    "lora": "2 LoRA trials",
    "frozen": "36 trials: head, last unit x LR x augment x 3 seeds",
}


def write_grid(name: str, folder: Path) -> Path:
    """Write a grid file."""
    wanted = GRIDS[name]
    baseline = {axis: levels[0] for axis, levels in wanted["axes"].items()}
    grid = {
        "task": "classification",
        "data": DATA,
        "base": BASE,
        **wanted,
        "baseline": baseline,
        "select_by": "val/macro_f1",
    }
    path = folder / f"bench_{name}.yaml"
    path.write_text("# How fast?\n" + yaml.safe_dump(grid, sort_keys=False))
    return path


def trials_of(path: Path) -> dict[str, tuple[str, Trial]]:
    """trial_id (without the data's fingerprint) -> kind and trial."""
    grid = load_grid(path)
    expansion = expand(grid, data=grid.data, fingerprint="")
    return {
        trial.trial_id: (kind_of(trial), trial)
        for trial in study_trials(grid, expansion, data=grid.data, fingerprint="", seeds=grid.seeds)
    }


def kind_of(trial: Trial) -> str:
    """What kind of arm a trial is."""
    if trial.recipe.lora_rank:
        return "LoRA"
    return {"all": "head only", "-1": "last unit", "0": "full"}[str(trial.recipe.freeze_depth)]


def run_plain(path: Path, *, is_share: bool) -> dict[str, Any]:
    """Run a grid's trials, or one of each kind and augmentation, through the plain loop in one process; of a share the wall time is scaled up."""
    every = [trial for _, trial in trials_of(path).values()]
    first = {(kind_of(trial), trial.recipe.augment): trial for trial in reversed(every)}
    trials = list(first.values()) if is_share else every
    asked = [
        {
            "name": kind_of(trial),
            "recipe": trial.recipe.model_dump(mode="json"),
            "seed": trial.seed,
            "data": DATA,
            "data_dir": str(path.parent),
        }
        for trial in trials
    ]
    started = time.perf_counter()
    command = [sys.executable, str(ROOT / "scripts" / "bench_plain.py")]
    done = subprocess.run(  # noqa: S603
        command, input="\n".join(map(json.dumps, asked)), check=True, capture_output=True, text=True
    )
    wall = time.perf_counter() - started
    return {
        "wall": wall * len(every) / len(trials),
        "n_run": len(trials),
        "trials": [json.loads(line) for line in done.stdout.splitlines()],
    }


def run_ablate(path: Path, home: Path) -> dict[str, Any]:
    """Run a grid through ablate with a fresh home; trials in the order of their ends."""
    environment = {**os.environ, "ABLATE_HOME": str(home), "MLFLOW_TRACKING_URI": ""}
    started = time.perf_counter()
    command = [
        sys.executable,
        "-m",
        "ablate",
        "run",
        str(path),
        "--report-dir",
        str(home / "report"),
    ]
    subprocess.run(command, check=True, capture_output=True, env=environment, cwd=ROOT)  # noqa: S603  our own command
    wall = time.perf_counter() - started
    (journal,) = home.glob("studies/*/journal.jsonl")
    starts: dict[str, float] = {}
    slots: set[str] = set()
    trials = []
    for event in Journal(journal).read():
        if isinstance(event, TrialStarted):
            starts[event.trial_id] = event.at
            slots.add(event.slot)
        elif isinstance(event, TrialEnded) and event.outcome is not None:
            described = json.loads(
                (
                    journal.parent / "trials" / f"{event.trial_id}-{event.attempt}" / "trial.json"
                ).read_text()
            )
            metrics = event.outcome.metrics
            trials.append(
                {
                    "name": kind_of(Trial.model_validate(described["trial"])),
                    "seconds": event.at - starts[event.trial_id],
                    "in_trial": metrics["time/total_s"],
                    "compute": metrics["time/train_s"],
                    "prefix": metrics["time/prefix_s"],
                    "is_built": metrics["time/prefix_s"] > 1.0,
                    "macro_f1": metrics["test/macro_f1"],
                }
            )
    return {"wall": wall, "trials": trials, "slots": len(slots)}


def framework() -> dict[str, float]:
    """Seconds of what trains nothing: the plan of 10,000 trials, parsed and expanded, and the report of 500 stored runs with their predictions."""
    sys.path[:0] = [str(ROOT / "tests" / "reporting"), str(ROOT / "tests")]
    found = {}
    with tempfile.TemporaryDirectory(prefix="ablate-bench-") as scratch:
        GRIDS["plan"] = {
            "axes": {
                "head_lr": [1e-6 * (n + 1) for n in range(100)],
                "weight_decay": [1e-6 * (n + 1) for n in range(20)],
            },
            "seeds": [0, 1, 2, 3, 4],
        }
        path = write_grid("plan", Path(scratch))
        environment = {**os.environ, "ABLATE_HOME": scratch, "COLUMNS": "200"}
        for what, command in (
            ("ablate plan, 10,000 trials, the first time in a home", ["plan", str(path)]),
            ("ablate plan, 10,000 trials, planned before", ["plan", str(path)]),
            ("ablate --help", ["--help"]),
        ):
            started = time.perf_counter()
            subprocess.run(  # noqa: S603
                [sys.executable, "-m", "ablate", *command],
                check=True,
                capture_output=True,
                env=environment,
                cwd=ROOT,
            )
            found[what] = time.perf_counter() - started
        started = time.perf_counter()
        grid = load_grid(path)
        expansion = expand(grid, data=grid.data, fingerprint="f")
        n_trials = len(
            study_trials(grid, expansion, data=grid.data, fingerprint="f", seeds=grid.seeds)
        )
        found[f"reading and expanding that grid to {n_trials:,} trials, warm"] = (
            time.perf_counter() - started
        )
        found["report of 500 runs that are in memory"] = _seconds_of_a_report(Path(scratch))
    return found


def _seconds_of_a_report(folder: Path) -> float:
    """100 arms with 5 seeds, each with its predictions on 150 val and 150 test images; without reading them from MLflow."""
    from conftest import make_study

    from ablate.reporting.pages.write import write_report

    axes = {
        "head_lr": tuple(1e-3 * (n + 1) for n in range(25)),
        "augment": ("none", "light", "medium", "strong"),
    }
    published = make_study(axes=axes, seeds=range(5), n_classes=3, n_images=150)
    started = time.perf_counter()
    write_report(published.study, predictions=published.predictions, out=folder / "report")
    return time.perf_counter() - started


def report(plain: dict[str, Any], own: dict[str, Any]) -> str:
    """The tables."""
    lines = [
        "### Kinds of arms",
        "",
        "| arm | plain loop, s a trial | ablate, s a trial in its slot | slots | machine's s a trial | ratio | macro F1 plain | macro F1 ablate |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    slots = max(own[name]["slots"] for name in own)
    by_kind: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(
        lambda: {"plain": [], "own": []}
    )
    for side, runs in (("plain", plain), ("own", own)):
        for name in ("ten", "lora", "frozen"):
            for trial in runs[name]["trials"] if name in runs else []:
                by_kind[trial["name"]][side].append(trial)
    for kind, sides in by_kind.items():
        warm = [trial["seconds"] for trial in sides["own"] if not trial["is_built"]]
        seconds = [
            statistics.median(trial["seconds"] for trial in sides["plain"]),
            statistics.median(warm or [trial["seconds"] for trial in sides["own"]]),
        ]
        scores = [
            statistics.mean(trial["macro_f1"] for trial in sides[side]) for side in ("plain", "own")
        ]
        shares = f"{seconds[1]:.2f} | {slots} | {seconds[1] / slots:.2f} | {seconds[0] * slots / seconds[1]:.1f}"
        lines.append(
            f"| {kind} | {seconds[0]:.1f} | {shares} | {scores[0]:.3f} | {scores[1]:.3f} |"
        )
    lines += [
        "",
        "Medians; of ablate's trials those that found their prefix's activations, which is all but the first of each view. Slots work side by side.",
    ]
    lines += [
        "",
        "### Whole grids, from the command to its end",
        "",
        "| grid | plain loop, s | ablate, s | ratio |",
        "|---|--:|--:|--:|",
    ]
    for name, title in TITLES.items():
        if name in plain:
            n_run, n_all = plain[name].get("n_run"), len(own[name]["trials"])
            title += (
                ""
                if n_run in (None, n_all)
                else f" (plain loop: {n_run} of {n_all} run, scaled up)"
            )
            lines.append(
                f"| {title} | {plain[name]['wall']:.0f} | {own[name]['wall']:.0f} | {plain[name]['wall'] / own[name]['wall']:.1f} |"
            )
    lines += [
        "",
        "### More linear probes",
        "",
        "| probes | ablate, s | s for each further probe |",
        "|--:|--:|--:|",
    ]
    earlier: tuple[int, float] | None = None
    for name in ("probes5", "probes20", "probes80"):
        if name in own:
            count, wall = len(own[name]["trials"]), own[name]["wall"]
            further = "" if earlier is None else f"{(wall - earlier[1]) / (count - earlier[0]):.2f}"
            lines.append(f"| {count} | {wall:.1f} | {further} |")
            earlier = (count, wall)
    lines += [
        "",
        "### Where slots spend their time",
        "",
        "| grid | training steps | prefixes | all else in trials | between trials and start-up |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, one in own.items():
        available = one["wall"] * one["slots"]
        steps, prefixes, inside = (
            sum(trial[key] for trial in one["trials"]) for key in ("compute", "prefix", "in_trial")
        )
        parts = (
            max(0.0, steps - prefixes) if name.startswith("probes") else steps,
            prefixes,
            inside - steps - prefixes,
            available - inside,
        )
        lines.append(
            f"| {name} | "
            + " | ".join(f"{max(0.0, part) / available:.0%}" for part in parts)
            + " |"
        )
    warm = [
        trial
        for name in own
        for trial in own[name]["trials"]
        if trial["name"] == "head only" and not trial["is_built"]
    ]
    if warm:
        beyond = statistics.median(trial["seconds"] - trial["compute"] for trial in warm)
        whole = statistics.median(trial["seconds"] for trial in warm)
        lines += [
            "",
            f"A warm head-only trial takes {whole:.2f} s in its slot (median), of which {beyond:.2f} s are not training steps.",
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grids", nargs="+", default=list(GRIDS), choices=list(GRIDS))
    parser.add_argument(
        "--plain-share",
        action="store_true",
        help="of the frozen grid, one trial of each kind and augmentation through the plain loop, scaled up",
    )
    parser.add_argument(
        "--framework",
        action="store_true",
        help="measure the plan of 10,000 trials and the report of 500 runs, and nothing else",
    )
    parser.add_argument(
        "--tables",
        nargs="+",
        type=Path,
        help="measure nothing: print the tables of the parts that --out wrote",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="also write the tables and the raw figures here, as NAME.md and NAME.json",
    )
    options = parser.parse_args()
    if options.framework:
        print("\n".join(f"{what}: {seconds:.2f} s" for what, seconds in framework().items()))  # noqa: T201
        return
    plain: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for part in options.tables or ():
        found = json.loads(part.read_text())
        plain |= found["plain"]
        own |= found["ablate"]
    if options.tables:
        print(report(plain, own))  # noqa: T201
        return
    with tempfile.TemporaryDirectory(prefix="ablate-bench-") as scratch:
        for name in options.grids:
            path = write_grid(name, Path(scratch))
            own[name] = run_ablate(path, Path(scratch) / f"home-{name}")
            print(f"{name}: ablate {own[name]['wall']:.1f} s", file=sys.stderr, flush=True)  # noqa: T201
            if not name.startswith("probes"):
                plain[name] = run_plain(path, is_share=options.plain_share and name == "frozen")
                print(f"{name}: plain {plain[name]['wall']:.1f} s", file=sys.stderr, flush=True)  # noqa: T201
    machine = f"{os.cpu_count()} cores, {_processor()}, torch {torch.__version__}, Python {platform.python_version()}"
    text = f"Machine: {machine}.\n\n{report(plain, own)}"
    print(text)  # noqa: T201
    if options.out:
        options.out.with_suffix(".md").write_text(text)
        options.out.with_suffix(".json").write_text(
            json.dumps({"plain": plain, "ablate": own}, indent=1)
        )


def _processor() -> str:
    names = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    flags = (
        "AVX512-BF16" if "avx512_bf16" in Path("/proc/cpuinfo").read_text() else "no AVX512-BF16"
    )
    return f"{names[0] if names else platform.machine()} ({flags})"


if __name__ == "__main__":
    main()
