"""Commands on what studies keep to share it: `ablate cache ...`."""

from __future__ import annotations

from typing import Annotated

import typer

from ablate.exits import FAILED, user_errors

cache_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="What is kept for studies to share: decoded images, activations of frozen prefixes.",
)


@cache_app.command("list")
def cache_list() -> None:
    """Show the kept activations, the most recently used first."""
    with user_errors():
        from ablate.console.progress import frame_table, make_console
        from ablate.workflow.after.caches import cache_table
        from ablate.workflow.folders import places

        table = cache_table(places())
        console = make_console()
        if not table.empty:
            console.print(frame_table(table, title="Kept activations"))
        console.print(f"{len(table)} views, {table['MB'].sum():.1f} MB")


@cache_app.command("clear")
def cache_clear() -> None:
    """Drop the kept activations; studies compute them again when they need them."""
    with user_errors():
        from ablate.console.progress import make_console
        from ablate.workflow.after.caches import clear_cache
        from ablate.workflow.folders import places

        n_views, size_mb = clear_cache(places())
        make_console().print(f"dropped {n_views} views, {size_mb:.1f} MB")


@cache_app.command("verify")
def cache_verify(
    remove: Annotated[
        bool, typer.Option("--remove", help="drop what is damaged; studies make it again")
    ] = False,
) -> None:
    """Compare all kept images and activations with their digests; name what is damaged, and exit with 1 if anything is. Safe to repeat."""
    with user_errors():
        from ablate.workflow.after.caches import verify_kept
        from ablate.workflow.folders import places

        if verify_kept(places(), remove=remove, say=typer.echo):
            raise typer.Exit(FAILED)
