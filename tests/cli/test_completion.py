"""``wayside completion``: keys pressed in a real shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Wayside
from wayside.cli import cli

HERE = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def completed(script: str, *words: str) -> list[str]:
    """What bash offers for the last word."""
    program = (
        f"{script}\n"
        f"COMP_WORDS=({' '.join(map(repr, words))}); COMP_CWORD={len(words) - 1}\n"
        "complete -p wayside > /dev/null && _wayside_completion wayside\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    found = subprocess.run(
        ["bash", "-c", program], env={**os.environ, **HERE}, capture_output=True, text=True
    )
    assert found.stderr == ""
    return found.stdout.split()


def test_bash_completes_commands_options_and_values(wayside: Wayside) -> None:
    script = wayside("completion", "bash").out
    assert completed(script, "wayside", "lo") == ["logs"]
    assert completed(script, "wayside", "logs", "--st") == ["--status"]
    assert completed(script, "wayside", "completion", "z") == ["zsh"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_given_a_script_that_they_can_read(wayside: Wayside, shell: str) -> None:
    script = wayside("completion", shell).out
    assert "_WAYSIDE_COMPLETE" in script and "%(" not in script
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True)
        assert (checked.returncode, checked.stderr) == (0, "")


def test_a_key_pressed_imports_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.import_module", None)
    import click

    found = cli.shell_complete(click.Context(cli), "to")
    assert [(item.value, item.help) for item in found] == [("top", "Watch a running router.")]


def test_a_shell_that_is_not_known_is_refused(wayside: Wayside) -> None:
    said = wayside("completion", "tcsh")
    assert said.status == 2 and "'bash', 'zsh', 'fish'" in said.err
