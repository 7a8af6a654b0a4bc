"""The command line as a whole: help that teaches, mistakes that are explained, a light start."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.cli.conftest import Wayside
from wayside.cli import cli


def every_command() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []

    def walk(group: click.Group, names: tuple[str, ...]) -> None:
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            found.append((*names, name))
            if isinstance(command, click.Group):
                walk(command, (*names, name))

    walk(cli, ())
    return found


COMMANDS = every_command()
GROUPS = {names for names in COMMANDS if any(c[:-1] == names for c in COMMANDS)}


def test_the_help_begins_with_what_to_do_first(wayside: Wayside) -> None:
    said = wayside("--help")
    assert said.status == 0
    assert "wayside demo " in said.out and "wayside config check" in said.out
    for name in ("demo", "serve", "route", "sim", "config", "doctor", "catalog"):
        assert f"  {name} " in said.out


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_explains_itself(
    wayside: Wayside, names: tuple[str, ...], option: str
) -> None:
    command: click.Command = cli
    for name in names:  # click keeps the help option that a test without `wayside` first asked for
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
        command._help_option = None
    said = wayside(*names, option)
    assert said.status == 0 and said.err == ""
    assert "``" not in said.out, "marks for documentation do not belong on a terminal"
    if names != ("envoy",):
        assert "..." not in said.out.partition("Commands:")[2], "a summary was cut short"
    if names not in GROUPS and names != ("demo",):
        assert "wayside " + " ".join(names) in said.out.partition("Usage:")[2].partition("\n")[2]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("rout", "x"), "did you mean 'route'?"),
        (("xyzzy",), "commands: "),
        (("config", "chek"), "'check'"),
        (("route", "--bdy", "x"), "'--body'"),
        (("--versoin",), "'--version'"),
    ],
)
def test_a_slip_is_answered_with_the_nearest_word(
    wayside: Wayside, arguments: tuple[str, ...], says: str
) -> None:
    said = wayside(*arguments)
    assert said.status == 2 and said.out == ""
    assert says in said.err


def test_python_dash_m_is_the_same(process: Wayside) -> None:
    said = process("--version")
    assert said.status == 0 and said.out.startswith("wayside, version ")


def test_the_start_is_light(here: Path) -> None:
    heavy = "uvloop numpy starlette pydantic rich yaml uvicorn msgspec prometheus_client asyncio"
    code = (
        "import sys, wayside.cli; "
        f"sys.exit(', '.join(set({heavy.split()!r}) & set(sys.modules)) or 0)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "")


def test_help_costs_less_than_a_blink(here: Path) -> None:
    def cost() -> float:
        before = os.times()
        subprocess.run([sys.executable, "-m", "wayside", "--help"], capture_output=True)
        after = os.times()
        children = (after.children_user, after.children_system)
        return sum(children) - before.children_user - before.children_system

    assert min(cost() for _ in range(3)) < 0.3


@pytest.mark.parametrize("command", ["serve", "route hi", "config check", "doctor", "extproc"])
def test_without_a_file_it_says_where_it_looked(wayside: Wayside, command: str) -> None:
    said = wayside(*command.split())
    assert said.status == 2 and said.out == ""
    for word in (str(Path.cwd()), "$WAYSIDE_CONFIG", "wayside.yaml", "config.yaml", "--config"):
        assert word in said.err
    assert "wayside config example" in said.err


def test_the_variable_names_a_file(wayside: Wayside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYSIDE_CONFIG", "elsewhere.yaml")
    said = wayside("config", "check")
    assert said.status == 2
    assert said.err == "error elsewhere.yaml: cannot be read: No such file or directory; " + (
        "check the path\n"
    )


def test_the_exit_status_reaches_the_shell(process: Wayside, example: Path) -> None:
    assert process("config", "check").status == 0
    assert process("config", "check", "no-such-file.yaml").status == 2
    assert process("catalog", "keywrd").status == 1
    assert process("doctor", "--upstream", "small", "--timeout", "1").status == 1


@pytest.mark.parametrize(
    "command", ["config schema", "catalog --json", "catalog", "config explain"]
)
def test_a_reader_that_leaves_is_not_told_about_it(
    here: Path, example: Path, command: str
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as out:
        found = subprocess.run(
            [sys.executable, "-m", "wayside", *command.split()],
            stdout=out,
            stderr=subprocess.PIPE,
            cwd=here,
        )
    assert found.stderr == b"" and found.returncode in (1, 141)


def on_a_terminal(*arguments: str, **env: str) -> str:
    """What the command prints when both outputs are a terminal."""
    master, slave = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "wayside", *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm", **env},
    )
    os.close(slave)
    said = b""
    try:
        while chunk := os.read(master, 4096):
            said += chunk
    except OSError:  # Linux says so when the last writer is gone
        pass
    finally:
        os.close(master)
        child.wait(timeout=30)
    return said.decode()


def test_colour_is_for_terminals(example: Path, process: Wayside) -> None:
    assert "\x1b[32m" in on_a_terminal("config", "check")
    said = process("config", "check")
    assert "\x1b" not in said.out + said.err


def test_no_color_is_respected(example: Path) -> None:
    assert "\x1b[3" not in on_a_terminal("config", "check", NO_COLOR="1")
    assert "\x1b[3" not in on_a_terminal("catalog", NO_COLOR="1")
