"""Where the program begins.

From its first line on an interrupt is answered in a sentence: what the commands need takes a moment
to import.
"""

from __future__ import annotations

from ablate.leaving import leave_at_once


def main() -> None:
    """Entry point of the `ablate` command."""
    # Before any further import: from here on Control-C is one sentence.
    leave_at_once()
    # May start the program again, so nothing else is imported before it.
    from ablate.terminal import ensure_utf8

    ensure_utf8()
    from ablate.cli.main import main as run_command

    run_command()


if __name__ == "__main__":
    main()
