"""`make bench`: the same trials through a plain loop and through ablate; prints Markdown tables.

In turn, in one call. Textile (300 train, 150 val and 150 test images at 224), EfficientNet-Lite0,
3 epochs. Both sides start cold: ablate gets a fresh home for every grid and pays for its image
store, caches, journal, MLflow store and report; the plain loop pays for decoding in every epoch.
Seconds are wall time on whatever the machine is doing besides, so read ratios, not seconds.

One part: `python scripts/bench.py --grids ten --out ten`; `--tables ten.json ...` puts parts
together; `--framework` measures what trains nothing.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import yaml
from bench_tables import Runs, report

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


def write_grid(name: str, folder: Path) -> Path:
    """Write a grid file."""
    varied = GRIDS[name]
    baseline = {axis: levels[0] for axis, levels in varied["axes"].items()}
    grid = {
        "task": "classification",
        "data": DATA,
        "base": BASE,
        **varied,
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
    trials = study_trials(grid, expansion, data=grid.data, fingerprint="", seeds=grid.seeds)
    return {trial.trial_id: (kind_of(trial), trial) for trial in trials}


def kind_of(trial: Trial) -> str:
    """What kind of arm a trial is."""
    if trial.recipe.lora_rank:
        return "LoRA"
    return {"all": "head only", "-1": "last unit", "0": "full"}[str(trial.recipe.freeze_depth)]


def run_plain(path: Path, *, is_share: bool) -> dict[str, Any]:
    """Run a grid's trials through the plain loop in one process.

    Of a share, which is one trial of each kind and augmentation, the wall time is scaled up.
    """
    every = [trial for _, trial in trials_of(path).values()]
    trials = every
    if is_share:
        trials = _one_of_each_kind(every)
    requests = []
    for trial in trials:
        request = {
            "name": kind_of(trial),
            "recipe": trial.recipe.model_dump(mode="json"),
            "seed": trial.seed,
            "data": DATA,
            "data_dir": str(path.parent),
        }
        requests.append(json.dumps(request))
    started = time.perf_counter()
    command = [sys.executable, str(ROOT / "scripts" / "bench_plain.py")]
    done = subprocess.run(  # noqa: S603
        command, input="\n".join(requests), check=True, capture_output=True, text=True
    )
    wall = time.perf_counter() - started
    return {
        "wall": wall * len(every) / len(trials),
        "n_run": len(trials),
        "trials": [json.loads(line) for line in done.stdout.splitlines()],
    }


def _one_of_each_kind(trials: list[Trial]) -> list[Trial]:
    """The first trial of each kind and augmentation."""
    # Backwards, so that the first of each is what stays in the dictionary.
    first = {(kind_of(trial), trial.recipe.augment): trial for trial in reversed(trials)}
    return list(first.values())


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
    subprocess.run(command, check=True, capture_output=True, env=environment, cwd=ROOT)  # noqa: S603
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
            folder = journal.parent / "trials" / f"{event.trial_id}-{event.attempt}"
            described = json.loads((folder / "trial.json").read_text())
            metrics = event.outcome.metrics
            trials.append(
                {
                    "name": kind_of(Trial.model_validate(described["trial"])),
                    "seconds": event.at - starts[event.trial_id],
                    "in_trial": metrics["time/total_s"],
                    "compute": metrics["time/train_s"],
                    "prefix": metrics["time/prefix_s"],
                    # Activations that are read take milliseconds, those that are computed seconds.
                    "is_built": metrics["time/prefix_s"] > 1.0,
                    "macro_f1": metrics["test/macro_f1"],
                }
            )
    return {"wall": wall, "trials": trials, "slots": len(slots)}


def framework() -> dict[str, float]:
    """Seconds of what trains nothing.

    The plan of 10,000 trials, parsed and expanded, and the report of 500 stored runs with their
    predictions.
    """
    sys.path[:0] = [str(ROOT / "tests" / "reporting"), str(ROOT / "tests")]
    measured = {}
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
            measured[what] = time.perf_counter() - started
        started = time.perf_counter()
        grid = load_grid(path)
        expansion = expand(grid, data=grid.data, fingerprint="f")
        trials = study_trials(grid, expansion, data=grid.data, fingerprint="f", seeds=grid.seeds)
        seconds = time.perf_counter() - started
        measured[f"reading and expanding that grid to {len(trials):,} trials, warm"] = seconds
        measured["plan of that grid, from the call of the function, warm"] = _seconds_of_a_plan(
            path, home=Path(scratch)
        )
        measured["report of 500 runs that are in memory"] = _seconds_of_a_report(Path(scratch))
    return measured


def _seconds_of_a_plan(path: Path, *, home: Path) -> float:
    """All that `ablate plan` computes and prints, without starting Python and its imports."""
    from rich.console import Console

    from ablate.console.before_run import N_SHOWN, show_data, show_plan
    from ablate.console.prospects import show_prospects
    from ablate.workflow.folders import find_folders
    from ablate.workflow.plan.plan_grid import plan_grid
    from ablate.workflow.requests import request

    console = Console(file=io.StringIO(), width=200)
    folders = find_folders(home=home)
    started = time.perf_counter()
    made = plan_grid(request(str(path)).grid, folders, seeds=None, allow_fallback=True)
    show_data(console, made.resolved)
    show_plan(console, made, n_shown=N_SHOWN)
    show_prospects(console, made.prospects(None), n_shown=N_SHOWN)
    return time.perf_counter() - started


def _seconds_of_a_report(folder: Path) -> float:
    """100 arms with 5 seeds, each with its predictions on 150 val and 150 test images.

    Without reading them from MLflow.
    """
    from conftest import make_study  # type: ignore[attr-defined]

    from ablate.reporting.pages.write import write_report

    axes = {
        "head_lr": tuple(1e-3 * (n + 1) for n in range(25)),
        "augment": ("none", "light", "medium", "strong"),
    }
    published = make_study(axes=axes, seeds=range(5), n_classes=3, n_images=150)
    started = time.perf_counter()
    write_report(published.study, predictions=published.predictions, out=folder / "report")
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    options = _options()
    if options.scale is not None:
        from bench_scale import scale_table

        print(scale_table(options.scale))  # noqa: T201
        return
    if options.framework:
        print(_framework_text())  # noqa: T201
        return
    if options.tables:
        print(_report_of_parts(options.tables))  # noqa: T201
        return
    plain, measured = _measure(options.grids, is_plain_share=options.plain_share)
    machine = ", ".join(
        [
            f"{os.cpu_count()} cores",
            _processor(),
            f"torch {torch.__version__}",
            f"Python {platform.python_version()}",
        ]
    )
    text = f"Machine: {machine}.\n\n{report(plain, measured)}"
    if options.grids == list(GRIDS):
        text += f"\n\n{_framework_text()}"
    print(text)  # noqa: T201
    if options.out:
        options.out.with_suffix(".md").write_text(text)
        # Parts of earlier versions are read too, so the keys stay.
        figures = json.dumps({"plain": plain, "ablate": measured}, indent=1)
        options.out.with_suffix(".json").write_text(figures)


def _framework_text() -> str:
    """A Markdown table of what trains nothing; the bounds are 2 s a plan and 30 s a report."""
    lines = ["| what | s |", "| --- | --: |"]
    for what, seconds in framework().items():
        lines.append(f"| {what} | {seconds:.2f} |")
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grids", nargs="+", default=list(GRIDS), choices=list(GRIDS))
    parser.add_argument(
        "--plain-share",
        action="store_true",
        help="of the frozen grid, one trial of each kind and augmentation through the plain loop, "
        "scaled up",
    )
    parser.add_argument(
        "--framework",
        action="store_true",
        help="measure the plan of 10,000 trials and the report of 500 runs, and nothing else",
    )
    parser.add_argument(
        "--scale",
        nargs="*",
        metavar="PART",
        help="measure what large studies cost the framework: of take, conductor, status, plan, "
        "report, all by default; and nothing else",
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
    return parser.parse_args()


def _report_of_parts(parts: list[Path]) -> str:
    plain: Runs = {}
    measured: Runs = {}
    for part in parts:
        figures = json.loads(part.read_text())
        plain |= figures["plain"]
        measured |= figures["ablate"]
    return report(plain, measured)


def _measure(grids: list[str], *, is_plain_share: bool) -> tuple[Runs, Runs]:
    plain: Runs = {}
    measured: Runs = {}
    with tempfile.TemporaryDirectory(prefix="ablate-bench-") as scratch:
        for name in grids:
            path = write_grid(name, Path(scratch))
            measured[name] = run_ablate(path, Path(scratch) / f"home-{name}")
            _progress(f"{name}: ablate {measured[name]['wall']:.1f} s")
            # No plain loop of probes: their table compares ablate with itself.
            if not name.startswith("probes"):
                plain[name] = run_plain(path, is_share=is_plain_share and name == "frozen")
                _progress(f"{name}: plain {plain[name]['wall']:.1f} s")
    return plain, measured


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def _processor() -> str:
    # platform.processor() is empty on most Linux distributions.
    cpuinfo = Path("/proc/cpuinfo").read_text()
    flags = "no AVX512-BF16"
    if "avx512_bf16" in cpuinfo:
        flags = "AVX512-BF16"
    for line in cpuinfo.splitlines():
        if line.startswith("model name"):
            return f"{line.split(':', 1)[1].strip()} ({flags})"
    return f"{platform.machine()} ({flags})"


if __name__ == "__main__":
    main()
