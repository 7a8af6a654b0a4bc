"""The command line. Composes everything, decides nothing."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from wayside import __version__
from wayside.vocab.errors import ConfigError

_COMMANDS = {
    "demo": ("wayside.cli.demo", "See it work, with simulated models."),
    "serve": ("wayside.cli.serve", "Route requests, over HTTP or behind Envoy."),
    "console": ("wayside.cli.console_door", "Log in to the console."),
    "vllm-router": ("wayside.cli.vllm_router", "Serve in the place of vllm_router."),
    "extproc": ("wayside.cli.extproc", "Serve ext_proc to an Envoy you already have."),
    "epp": ("wayside.cli.epp", "Pick endpoints for a gateway, in llm-d's place."),
    "deploy": ("wayside.cli.deploy", "Deploy it, from one file to every target."),
    "operator": ("wayside.cli.operator", "Run SemanticRouters on Kubernetes."),
    "router-controller": ("wayside.cli.router_controller", "Run production-stack's resources."),
    "top": ("wayside.cli.top", "Watch a running router."),
    "logs": ("wayside.cli.logs", "Read, follow and filter a router's log."),
    "route": ("wayside.cli.route", "Show where a prompt would go, and why."),
    "sim": ("wayside.sim.command", "Run simulated model servers."),
    "train": ("wayside.cli.train", "Train a classifier from labelled rows."),
    "eval": ("wayside.cli.evaluate", "Measure the built-in models on labelled text."),
    "calibrate": ("wayside.cli.calibrate", "Find the threshold for a share of strong calls."),
    "models": ("wayside.cli.models", "List, pull and verify models that read prompts."),
    "maas": ("wayside.cli.maas", "Tokens and keys of models as a service."),
    "usage": ("wayside.cli.usage", "Who asked which models, and what it took."),
    "cache": ("wayside.cli.cache", "Look after a router's response cache."),
    "index": ("wayside.cli.index", "Give a router texts for retrieval."),
    "config": ("wayside.cli.config", "Check, translate and explain configurations."),
    "envoy": ("wayside.cli.envoy", "Print the Envoy configuration."),
    "doctor": ("wayside.cli.doctor", "Check every model server."),
    "catalog": ("wayside.cli.catalog", "List signals, algorithms and plugins."),
    "completion": ("wayside.cli.completion", "Print a shell's completion script."),
    "manpage": ("wayside.cli.manpage", "Print the manual page."),
}
"""Module and summary, in the order a newcomer would use them. Imported only when called."""

READING = "wayside.cli.reading"
"""Where the name of the file being read stands in click's context, so that errors can say it."""

_HELP = """One door in front of many language models.

Wayside reads each prompt, decides by meaning which model should answer it, and sends it there. It
speaks OpenAI's API, on its own or behind Envoy.

\b
  wayside demo                          see it work, with simulated models
  wayside serve --config wayside.yaml   route for real, over HTTP
  wayside serve --envoy ...             the same, with Envoy in front
  wayside route "why is the sky blue?"  what would happen to a prompt, and why
  wayside config check                  is my configuration right?
"""


class Lazy(click.Group):
    """Commands by name, imported on use. Settings that cannot be used end with status 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command = importlib.import_module(_COMMANDS[name][0]).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names and summaries alone: a key pressed imports no command."""
        found = [
            CompletionItem(name, help=summary)
            for name, (_, summary) in _COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from wayside.settings.problems import suggest  # pydantic: 0.1 s that --help can do without

        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"No such command {args[0]!r}; {suggest(args[0], _COMMANDS, 'commands')}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            _show(error, ctx.meta.get(READING))
            ctx.exit(2)


def _show(error: ConfigError, file: str | None) -> None:
    """Every problem on a line of its own; below them the file, when it is known."""
    for problem in error.problems:
        click.secho("error ", fg="red", bold=True, err=True, nl=False)
        click.echo(str(problem), err=True)
    if file is not None and not any(p.where == file for p in error.problems):
        count = len(error.problems)
        what = "1 problem" if count == 1 else f"{count} problems"
        click.secho(f"{what} in {file}", dim=True, err=True)


@click.group(cls=Lazy, help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="wayside")
def cli() -> None:
    pass


def main() -> None:
    """Entry point. Exit status: 0 fine, 1 it did not work, 2 the input is wrong, 130 ctrl-c."""
    color = False if os.environ.get("NO_COLOR") else None
    program: click.Command = cli
    if os.path.basename(sys.argv[0]) == "curl":  # noqa: PTH119 - in the image (Containerfile)
        from wayside.cli.small_curl import command as program
    try:
        status = program.main(standalone_mode=False, color=color)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except OSError as error:
        if error.errno != errno.EPIPE:
            raise
        _reader_is_gone()
    sys.exit(status if isinstance(status, int) else 0)


def _reader_is_gone() -> NoReturn:
    """Nobody reads on (``wayside catalog | head -1``): end as `cat` would, without a word."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(141)
