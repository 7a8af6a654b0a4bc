"""``wayside manpage``: the manual page, made from the commands themselves (man(7) macros)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from wayside import __version__

_ENVIRONMENT = (
    ("WAYSIDE_CONFIG", "The configuration file, where --config does not name one."),
    ("NO_COLOR", "Set to anything: no colours."),
    ("KUBECONFIG", "The cluster that commands which need one ask."),
)
_FILES = (
    ("./wayside.yaml", "The configuration, unless one is named."),
    ("./config.yaml", "The same, where there is no wayside.yaml."),
)
_STATUS = (
    ("0", "It worked."),
    ("1", "It did not work."),
    ("2", "What was given is wrong: an option, a file, a setting."),
    ("130", "It was interrupted."),
)


@click.command(
    "manpage",
    short_help="Print the manual page.",
    epilog="""\b
Examples:
  wayside manpage | man -l -
  wayside manpage serve | man -l -
  wayside manpage > /usr/local/share/man/man1/wayside.1""",
)
@click.argument("words", metavar="[COMMAND]...", nargs=-1)
@click.pass_context
def command(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Print the manual page in man(7)'s format: of everything, or of one COMMAND."""
    root = ctx.find_root()
    found, context = root.command, click.Context(root.command, info_name="wayside")
    for word in words:
        inner = found.get_command(context, word) if isinstance(found, click.Group) else None
        if inner is None:
            raise click.UsageError(f"no command {word!r}; `{context.command_path} --help`")
        found, context = inner, click.Context(inner, parent=context, info_name=word)
    click.echo("\n".join(page(found, context)))


def page(top: click.Command, context: click.Context) -> Iterator[str]:
    """The lines of the page of a command, with those below it."""
    name = context.command_path
    yield f'.TH "{escaped(name.replace(" ", "-").upper())}" 1 "" "wayside {__version__}"'
    yield ".SH NAME"
    about = "one door in front of many language models"
    short = about if name == "wayside" else top.get_short_help_str(200).rstrip(".")
    yield f"{escaped(name.replace(' ', '-'))} \\- {escaped(short)}"
    yield ".SH SYNOPSIS"
    yield from _usage(top, context)
    yield ".SH DESCRIPTION"
    yield from text(top.help or "")
    yield from _options(top, context)
    if isinstance(top, click.Group):
        yield ".SH COMMANDS"
        for inner, below in _below(top, context):
            yield f".SS {escaped(below.command_path)}"
            yield from _usage(inner, below)
            yield ".PP"
            yield from text(inner.help or inner.get_short_help_str(200))
            yield from _options(inner, below, heading=False)
            yield from text(inner.epilog or "")
    elif top.epilog:
        yield ".SH EXAMPLES"
        yield from text(re.sub(r"^(\x08\n)?Examples?:\n", "\b\n", top.epilog))
    for title, rows in (
        ("ENVIRONMENT", _ENVIRONMENT),
        ("FILES", _FILES),
        ("EXIT STATUS", _STATUS),
    ):
        yield f".SH {title}"
        for term, meaning in rows:
            yield from (".TP", f"\\fB{escaped(term)}\\fR", escaped(meaning))
    yield ".SH SEE ALSO"
    yield escaped(
        "Each command explains itself with --help; `wayside config explain` tells what a key of "
        "the configuration means, and `wayside catalog` lists every kind."
    )


def _below(
    group: click.Group, context: click.Context
) -> Iterator[tuple[click.Command, click.Context]]:
    """Every command under ``group``, groups before what is in them."""
    for name in group.list_commands(context):
        inner = group.get_command(context, name)
        if inner is None or inner.hidden:
            continue
        below = click.Context(inner, parent=context, info_name=name)
        yield inner, below
        if isinstance(inner, click.Group):
            yield from _below(inner, below)


def _usage(command: click.Command, context: click.Context) -> Iterator[str]:
    pieces = " ".join(command.collect_usage_pieces(context))
    yield f"\\fB{escaped(context.command_path)}\\fR {escaped(pieces)}"


def _options(
    command: click.Command, context: click.Context, *, heading: bool = True
) -> Iterator[str]:
    records = [
        record
        for parameter in command.get_params(context)
        if (record := parameter.get_help_record(context)) is not None
    ]
    if records and heading:
        yield ".SH OPTIONS"
    for names, meaning in records:
        yield from (".TP", f"\\fB{escaped(names)}\\fR", escaped(_flowing(meaning) or "See above."))


def text(source: str) -> Iterator[str]:
    """Click's help: paragraphs, those behind ``\\b`` line by line as they stand."""
    for paragraph in re.split(r"\n[ \t]*\n", source.replace("\f", "").strip("\n")):
        body = paragraph.strip("\n")
        if not body.strip():
            continue
        first, _, rest = body.partition("\n")
        yield ".PP"
        if first.strip() in ("\b", "\\b"):
            yield ".nf"
            yield from (escaped(line) for line in rest.splitlines())
            yield ".fi"
        else:
            yield escaped(_flowing(body))


def _flowing(source: str) -> str:
    return " ".join(source.split())


def escaped(source: str) -> str:
    """As roff prints it: no character of it is a request, an escape or a hyphen to break at."""
    line = source.replace("``", "`").replace("\\", "\\e").replace("-", "\\-")
    line = line.replace("`", "\\(ga")
    line = line.replace("'", "\\(aq").replace('"', "\\(dq").replace("^", "\\(ha")
    line = line.replace("~", "\\(ti")
    line = "".join(c if c.isascii() else f"\\[u{ord(c):04X}]" for c in line)
    return f"\\&{line}" if line.startswith(".") else line
