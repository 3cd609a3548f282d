"""All commands as one group, which tells programs of mistakes in the command line itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

# What typer raises for a command line that it cannot read. It exports subclasses alone, and where
# the class itself lies differs by version: in click, or in the copy of it that typer carries.
_UsageError: Any = typer.BadParameter.__mro__[1]
# Key in `ctx.meta`, click's place for what extensions keep.
_WORDS = "ablate.words"


class CommandGroup(TyperGroup):
    """The group of all commands.

    An unknown option, a missing argument or an unknown command ends before any command begins. With
    `--json` standard output gets the same document as for other mistakes (see `user_errors`);
    typer's own lines stay on standard error.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words before the command."""
        # A copy, because the parser takes from `args` what it has read.
        words = list(args)
        ctx.meta[_WORDS] = words
        with _as_document(words):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Read the words of the command, and run it."""
        with _as_document(ctx.meta[_WORDS]):
            return super().invoke(ctx)


@contextmanager
def _as_document(words: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except _UsageError as error:
        # Looked for by hand: the parser has failed, so nobody knows the options yet.
        if "--json" in words:
            document = {
                "error": "UsageError",  # of all its kinds: typer's classes change their names
                "message": error.format_message(),
                "exit_code": error.exit_code,
            }
            typer.echo(json.dumps(document, ensure_ascii=False))
        raise
