"""Whether a process can be forked: whether its children find it as it is.

A fork copies one thread, the one that forks. A lock that another thread holds stays locked in the
child for ever, and OpenMP waits there for threads that are gone. CUDA does not work in the child of
a process that has begun to use it. So the process must have one thread and no device open: it is
asked, not assumed, since a new version of any library may start a thread when it is imported.
"""

from __future__ import annotations

import os
from pathlib import Path

_DEVICES = ("/dev/nvidia", "/dev/kfd", "/dev/dri/", "/dev/dxg")
"""What an open GPU is called: of NVIDIA, of AMD, and inside Windows."""
SETTINGS = {
    # Asking whether there is a GPU must not begin to use it.
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    # The allocator that comes with pyarrow, and that nothing here uses, starts a thread.
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
"""Variables that a process must have before it imports libraries and then forks."""


def why_not_fork() -> str:
    """What is wrong with forking this process; empty where it is sound.

    Ends threads that know of forks: a first child is made for that, which does nothing.
    """
    devices = open_devices()
    if devices:
        return f"it holds {', '.join(devices)} open"
    # OpenBLAS ends its threads before each fork, and starts them when they are needed again: so
    # they are counted after one.
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    names = thread_names()
    if len(names) > 1:
        return f"it has {len(names)} threads: {', '.join(names)}"
    return ""


def open_devices() -> list[str]:
    """GPUs that this process holds open."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:  # the folder's own, which is closed by now
            continue
        if target.startswith(_DEVICES):
            found.add(target)
    return sorted(found)


def thread_names() -> list[str]:
    """Of every thread that the system runs for this process, Python's or not."""
    names = []
    for task in Path("/proc/self/task").iterdir():
        names.append((task / "comm").read_text().strip())
    return sorted(names)
