"""The command line. Composes everything, decides nothing."""

from __future__ import annotations

import importlib
import sys

import click

from wayside import __version__
from wayside.vocab.errors import ConfigError

_COMMANDS = {
    "demo": ("wayside.cli.demo", "See it work, with simulated models."),
    "serve": ("wayside.cli.serve", "Route requests, over HTTP or behind Envoy."),
    "extproc": ("wayside.cli.extproc", "Serve ext_proc to an Envoy you already have."),
    "route": ("wayside.cli.route", "Show where a prompt would go, and why."),
    "sim": ("wayside.sim.command", "Run simulated model servers."),
    "eval": ("wayside.cli.evaluate", "Measure the built-in models on labelled text."),
    "config": ("wayside.cli.config", "Check, translate and explain configurations."),
    "envoy": ("wayside.cli.envoy", "Print the Envoy configuration."),
    "doctor": ("wayside.cli.doctor", "Check every model server."),
    "catalog": ("wayside.cli.catalog", "List signals, algorithms and plugins."),
}
"""Module and summary, in the order a newcomer would use them. Imported only when called."""

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
    """Commands by name, imported on use."""

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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from wayside.settings.problems import suggest

        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            error.message = (
                f"{error.message.rstrip('.')}; {suggest(args[0], _COMMANDS, 'commands')}"
            )
            raise


@click.group(cls=Lazy, help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="wayside")
def cli() -> None:
    pass


def main() -> None:
    """Entry point. Settings that cannot be used end with status 2 and every problem listed."""
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except ConfigError as error:
        for problem in error.problems:
            click.secho("error ", fg="red", bold=True, err=True, nl=False)
            click.echo(str(problem), err=True)
        sys.exit(2)
