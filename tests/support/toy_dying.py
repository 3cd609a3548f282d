"""Studies that die in their first moments: imports once, then forks a process for each death.

As a program: takes a folder, prints one JSON line a death, `{"death": ..., "codes": [...], "complete": n}`.

A death is SIGKILL at the k-th time that the process opens, makes, renames, cuts or removes something in the study's folder, or SIGALRM, which nobody
handles, after some milliseconds. `codes` are those of the process that dies and of the one that goes on.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))

from ablate.errors import StoreError  # noqa: E402
from ablate.scheduling.conductor import run_study  # noqa: E402
from ablate.scheduling.executors.inline import InlineExecutor  # noqa: E402
from ablate.scheduling.session import Session  # noqa: E402
from ablate.scheduling.study_folder import StudyFolder, StudyPlan  # noqa: E402
from ablate.study.request import Compute, TrialRequest  # noqa: E402
from ablate.tracking.journal import attempts  # noqa: E402
from support.toy_study import toy_study  # noqa: E402

COMPUTE = Compute(device="cpu", precision="fp32", channels_last=False, threads=1)
TOUCHES = {
    "open",
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.truncate",
    "os.link",
    "sqlite3.connect",
}
OPERATIONS = (*range(1, 9), 10, 12, 15, 18, 22, 26, 32)
MILLISECONDS = (40, 120, 200, 320)
N_PAIRS = 2


def study(folder: Path) -> int:
    """Run it; 0, or 2 where it is refused."""
    record, trials = toy_study(seeds=(0,))

    def request(trial, attempt: int, attempt_folder: Path) -> TrialRequest:
        return TrialRequest(
            trial=trial,
            attempt=attempt,
            n_classes=3,
            store_path=folder,
            folder=attempt_folder,
            compute=COMPUTE,
        )

    try:
        run_study(
            StudyPlan(record, tuple(trials)),
            Session(folder, InlineExecutor("support.toy_trials:nothing"), request),
        )
    except StoreError as error:
        return 2 if "is owned by " in str(error) else 3
    return 0


def die_at(folder: Path, operation: int) -> None:
    """Arrange for this process to be killed when it touches the folder for the `operation`-th time."""
    left = operation

    def hear(event: str, arguments: tuple) -> None:
        nonlocal left
        if event in TOUCHES and arguments and str(folder) in os.fsdecode(str(arguments[0])):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hear)


def die_after(milliseconds: int) -> None:
    signal.setitimer(signal.ITIMER_REAL, milliseconds / 1000)


def fork(folder: Path, arrange: Callable[[], None] = lambda: None) -> int:
    """Id of a process that runs the study."""
    pid = os.fork()
    if pid:
        return pid
    try:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115  toys say what they run
        arrange()
        code = study(folder)
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 4
    os._exit(code)


def code_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def tell(death: str, folder: Path, codes: list[int]) -> None:
    codes.append(code_of(fork(folder)))
    kept = attempts(StudyFolder(folder).journal.read())
    complete = [trial_id for (trial_id, _), attempt in kept.items() if attempt.is_complete]
    line = {
        "death": death,
        "codes": codes,
        "complete": len(complete),
        "distinct": len(set(complete)),
    }
    sys.__stdout__.write(json.dumps(line) + "\n")
    sys.__stdout__.flush()


def main(root: Path) -> None:
    for operation in OPERATIONS:
        folder = root / f"operation-{operation}"
        tell(
            folder.name,
            folder,
            [
                code_of(
                    fork(
                        folder, lambda folder=folder, operation=operation: die_at(folder, operation)
                    )
                )
            ],
        )
    for milliseconds in MILLISECONDS:
        folder = root / f"after-{milliseconds}"
        tell(
            folder.name,
            folder,
            [code_of(fork(folder, lambda milliseconds=milliseconds: die_after(milliseconds)))],
        )
    for number in range(N_PAIRS):
        folder = root / f"pair-{number}"
        pids = [fork(folder), fork(folder)]
        tell(folder.name, folder, [code_of(pid) for pid in pids])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
