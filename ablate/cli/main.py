"""All commands together, and how the program begins and ends. Needs next to nothing to import."""

from __future__ import annotations

import atexit
import gc
import sys
from typing import Annotated

import typer

from ablate._version import __version__
from ablate.cli.advise import advise
from ablate.cli.cache import cache_app
from ablate.cli.compare import compare
from ablate.cli.group import CommandGroup
from ablate.cli.init import init
from ablate.cli.lr_find import lr_find
from ablate.cli.plan import plan
from ablate.cli.report import report
from ablate.cli.run import run
from ablate.cli.status import status
from ablate.cli.sync import sync
from ablate.cli.table import table
from ablate.cli.ui import ui
from ablate.cli.verify import verify
from ablate.cli.views import views
from ablate.exits import show_without_passwords
from ablate.leaving import finish_undisturbed, leave_at_once
from ablate.terminal import be_patient

app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help texts hold brackets, which rich's markup would eat
)


def _show_version(*, is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"ablate {__version__}")
        raise typer.Exit


@app.callback()
def options_of_the_program(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=lambda is_asked: _show_version(is_asked=is_asked),
            is_eager=True,  # before a missing command is remarked upon
            help="print the version",
        ),
    ] = False,
) -> None:
    """Which way of transferring a pretrained model works on your images?"""


# The order is that of `--help`: from what a study begins with to what is asked of it later.
app.command()(init)
app.command()(run)
app.command()(plan)
app.command()(advise)
app.command("lr-find")(lr_find)
app.command()(views)
app.command()(report)
app.command()(status)
app.command()(sync)
app.command()(verify)
app.command()(compare)
app.command()(table)
app.command()(ui)
app.add_typer(cache_app, name="cache")


def main() -> None:
    """Run the command of this process's arguments.

    Whatever it may interrupt is put away by then, so an interrupt after it ends the process
    at once.
    """
    leave_at_once()
    # Handlers run in reverse order: registered first, this one is called last.
    atexit.register(finish_undisturbed)
    be_patient()
    # `report` stops collections itself, as the report of a run does.
    if sys.argv[1:2] in (["verify"], ["table"]):
        # Their memory goes with the process; looking for cycles among the runs of a large study
        # takes a sixth of the time.
        gc.disable()
    else:
        # Imports and plans make a million objects that stay. Python's own bound, 700 new ones, has
        # them looked through so often that it takes a fifth of the start.
        gc.set_threshold(50_000, 20, 50)
    # The traceback of a bug is made to be passed on, so it must not carry a password.
    sys.excepthook = show_without_passwords
    try:
        app()
    finally:
        leave_at_once()
