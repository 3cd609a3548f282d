"""Where the program begins.

From its first line on an interrupt is answered in a sentence: what the commands need takes a moment
to import.
"""

from __future__ import annotations

import atexit

from ablate.leaving import leave_at_once, leave_with


def main() -> None:
    """Entry point of the `ablate` command."""
    # Before any further import: from here on Control-C is one sentence.
    leave_at_once()
    # Of a bug: whatever is not said otherwise.
    code = [1]
    # Handlers run in reverse order: all that libraries put away at their end is put away by then.
    atexit.register(leave_with, code)
    # May start the program again, so nothing else is imported before it.
    from ablate.terminal import ensure_utf8

    ensure_utf8()
    from ablate.cli.main import main as run_command

    try:
        run_command()
    except SystemExit as end:
        code[:] = [end.code if isinstance(end.code, int) else int(end.code is not None)]
        raise
    code[:] = [0]


if __name__ == "__main__":
    main()
