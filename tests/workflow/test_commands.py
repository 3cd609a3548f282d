"""The commands that messages print are those that work in the folder where they are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.workflow.commands import report_command, run_command, ui_command


def test_outside_a_checkout_the_program_itself_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command("flowers") == "ablate run flowers"
    assert run_command("a b", seeds="0,1") == "ablate run 'a b' --seeds 0,1"
    settings = ("base.epochs=3", "axes.augment=[none, light]")
    assert run_command("flowers", settings=settings) == (
        "ablate run flowers --set base.epochs=3 --set 'axes.augment=[none, light]'"
    )
    assert ui_command("flowers") == "ablate ui flowers"
    assert ui_command(port=5001) == "ablate ui --port 5001"


def test_in_a_checkout_its_make_targets_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("Makefile").write_text("ablation: install\n\tablate\nui: install\n\tablate\n")
    assert run_command("a b", seeds="0,1") == "make ablation GRID='a b' SEEDS=0,1"
    # make hands ARGS to a shell, which reads the inner quotes
    assert run_command("flowers", settings=("margin=2", "seeds=[4, 5]")) == (
        """make ablation GRID=flowers ARGS='--set margin=2 --set '"'"'seeds=[4, 5]'"'"''"""
    )
    assert ui_command("flowers") == "make ui GRID=flowers"
    assert ui_command(port=5001) == "make ui ARGS='--port 5001'"


def test_a_makefile_of_another_project_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("Makefile").write_text("all:\n\tcc main.c  # ablation: none\n")
    assert run_command("flowers") == "ablate run flowers"


def test_a_report_is_written_again_with_the_same_options() -> None:
    folder = Path("my reports")
    assert report_command("a", report_dir=folder) == "ablate report a --report-dir 'my reports'"
    assert report_command("a", report_dir=folder, has_images=False, is_published=False) == (
        "ablate sync a && ablate report a --report-dir 'my reports' --no-images"
    )
