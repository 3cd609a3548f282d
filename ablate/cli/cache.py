"""`ablate cache ...`: what is stored for studies to share."""

from __future__ import annotations

from typing import Annotated

import typer

from ablate.cli.options import Json
from ablate.cli.output import console_for, print_document
from ablate.exits import FAILED, user_errors

cache_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="What is stored for studies to share: decoded images, activations of frozen prefixes.",
)


@cache_app.command("list")
def cache_list(as_json: Json = False) -> None:
    """Show the stored activations, the most recently used first."""
    with user_errors(is_json=as_json):
        from ablate.console.tables import frame_table
        from ablate.workflow.after.caches import cache_table
        from ablate.workflow.folders import find_folders

        # A frame in both forms: rows for the document, text for the screen.
        table = cache_table(find_folders())
        console = console_for(is_json=as_json)
        if not table.empty:
            console.print(frame_table(table, title="Stored activations"))
        console.print(f"{len(table)} views, {table['MB'].sum():.1f} MB")
        if as_json:
            print_document(table)


@cache_app.command("clear")
def cache_clear(as_json: Json = False) -> None:
    """Remove the stored activations; studies compute them again when they need them."""
    with user_errors(is_json=as_json):
        from ablate.workflow.after.caches import clear_cache
        from ablate.workflow.folders import find_folders

        n_views, size_mb = clear_cache(find_folders())
        console_for(is_json=as_json).print(f"removed {n_views} views, {size_mb:.1f} MB")
        if as_json:
            print_document({"n_views": n_views, "size_mb": size_mb})


@cache_app.command("verify")
def cache_verify(
    remove: Annotated[
        bool, typer.Option("--remove", help="remove what is damaged; studies make it again")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare all stored images and activations with their digests. Safe to repeat.

    Names what is damaged, and exits with 1 if anything is.
    """
    with user_errors(is_json=as_json):
        from ablate.workflow.after.caches import verify_kept
        from ablate.workflow.folders import find_folders

        console = console_for(is_json=as_json)
        check = verify_kept(find_folders(), remove=remove)
        for folder, why in check.damaged.items():
            console.print(f"damaged: {folder}: {why}")
        if not check.damaged:
            result = "all are intact"
        elif remove:
            result = f"{len(check.damaged)} damaged; removed; studies make them again"
        else:
            result = (
                f"{len(check.damaged)} damaged; `ablate cache verify --remove` removes them, "
                "and studies make them again"
            )
        console.print(f"{check.n_stores} image stores and {check.n_views} views: {result}")
        if as_json:
            print_document(check)
    if check.damaged:
        raise typer.Exit(FAILED)
