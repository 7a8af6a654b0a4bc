"""``wayside completion``: what bash, zsh and fish need to complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_WAYSIDE_COMPLETE"


@click.command(
    "completion",
    short_help="Print a shell's completion script.",
    epilog="""\b
Examples:
  wayside completion bash > ~/.local/share/bash-completion/completions/wayside
  wayside completion zsh > "${fpath[1]}/_wayside"
  wayside completion fish > ~/.config/fish/completions/wayside.fish
  source <(wayside completion bash)        # in this shell only""",
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands, options and their values in SHELL."""
    found = get_completion_class(shell)
    assert found is not None
    root = ctx.find_root().command
    click.echo(found(root, {}, "wayside", VARIABLE).source_template % _NAMES)


_NAMES = {
    "complete_func": "_wayside_completion",
    "complete_var": VARIABLE,
    "prog_name": "wayside",
}
"""What click fills into its templates; asking it would start the shell to see its version."""
