"""``wayside route``: one prompt in, the whole explanation out."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.tree import Tree

from wayside.cli.console import console, escape
from wayside.cli.files import config_option, load
from wayside.dialects import encode, openai_chat
from wayside.engines import Engines
from wayside.runtime import Runtime, compile_policy
from wayside.runtime.explain import explanation
from wayside.runtime.keys import KeyRing
from wayside.settings.problems import suggest
from wayside.vocab.errors import RequestError
from wayside.vocab.outcome import Request

_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


@click.command(
    "route",
    epilog="""\b
Examples:
  wayside route "what is the integral of x squared?"
  wayside route --json "hello" | jq .model
  wayside route --body request.json         (a whole chat completion request)
  echo "long text" | wayside route -
  wayside route --all-signals "hello"       (also rules that no decision refers to)""",
)
@click.argument("prompt", required=False)
@click.option("--body", type=_FILE, help="A chat completion request's JSON.")
@click.option("--model", default=None, help="The name asked for.  [default: the first auto name]")
@click.option("--system", default="", help="A system prompt in front.")
@click.option("--all-signals", is_flag=True, help="Also rules that no decision refers to.")
@click.option("--json", "as_json", is_flag=True, help="Plain data, for scripts.")
@config_option
def command(
    path: Path | None,
    prompt: str | None,
    body: Path | None,
    model: str | None,
    system: str,
    all_signals: bool,
    as_json: bool,
) -> None:
    """Show where a prompt would go, and why. Nothing is sent to any model."""
    if (prompt is None) == (body is None):
        raise click.UsageError('Give a prompt ("..." or - for standard input), or --body FILE.')
    if body is not None and (model or system):
        raise click.UsageError("--model and --system go with a prompt; --body has its own.")
    settings = load(path).settings
    keys = KeyRing(os.environ)
    engines = Engines(settings.engines, keys.resolve)
    runtime = Runtime(compile_policy(settings, needs_endpoints=False), engines.answerers())
    if body is not None:
        raw = sys.stdin.buffer.read() if str(body) == "-" else body.read_bytes()
    else:
        text = sys.stdin.buffer.read() if prompt == "-" else os.fsencode(prompt or "")
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": text.decode("utf-8", "replace")})
        raw = encode({"model": model or settings.auto_names[0], "messages": messages})
    request = Request("POST", openai_chat.PATH, {}, raw)
    try:
        _refuse_concrete(runtime, raw)
        told = explanation(*asyncio.run(runtime.explain(request, every_signal=all_signals)))
    except RequestError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        show(told, console())


def _refuse_concrete(runtime: Runtime, raw: bytes) -> None:
    asked, policy = openai_chat.ChatBody(raw).model, runtime.policy
    if asked in policy.concrete:
        target = policy.concrete[asked].target.name
        raise click.ClickException(
            f"{asked!r} names the model {target}: it goes straight there, nothing is decided; "
            f"to see a decision ask for {' or '.join(policy.virtual)}"
        )
    if asked not in policy.virtual:
        fix = suggest(asked, [*policy.virtual, *policy.concrete], "names")
        raise click.ClickException(f"no model {asked!r}; {fix}")


def show(told: dict[str, Any], out: Console) -> None:
    """The explanation for people."""
    out.print(f"[bold green]{escape(told['model'])}[/]  {escape(told['why'])}")
    out.print(f"[dim]about {told['tokens']} tokens, recipe {escape(told['recipe'])}[/]\n")
    if told["signals"]:
        table = Table(title="Signals", title_justify="left", box=None, padding=(0, 2, 0, 0))
        for name in ("", "signal", "confidence", "value", "because"):
            table.add_column(name)
        for s in told["signals"]:
            mark = (
                "[yellow]?[/]" if s["unknown"] else "[green]✓[/]" if s["matched"] else "[dim]·[/]"
            )
            value = "" if s["value"] is None else f"{s['value']:g}"
            table.add_row(
                mark, escape(s["signal"]), f"{s['confidence']:.2f}", value, escape(s["because"])
            )
        out.print(table)
        out.print()
    table = Table(title="Decisions", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in ("", "decision", "priority", "confidence", "models"):
        table.add_column(name)
    for d in sorted(told["decisions"], key=lambda d: (not d["chosen"], not d["holds"])):
        mark = (
            "[bold green]→[/]"
            if d["chosen"]
            else "[green]✓[/]"
            if d["holds"]
            else "[yellow]~[/]"
            if d["nearly"]
            else "[dim]·[/]"
        )
        confidence = "" if d["confidence"] is None else f"{d['confidence']:.2f}"
        models = escape(", ".join(d["models"]))
        table.add_row(mark, escape(d["decision"]), str(d["priority"]), confidence, models)
    if told["decisions"]:
        out.print(table)
        out.print("[dim]→ chosen  ✓ holds  ~ nearly  · no[/]\n")
    for d in told["decisions"]:
        if d["chosen"] or d["nearly"]:
            label = "chosen" if d["chosen"] else "nearly"
            tree = Tree(f"[bold]{escape(d['decision'])}[/] [dim]({label})[/]")
            _grow(tree, d["rule"])
            out.print(tree)


def _grow(tree: Tree, node: dict[str, Any]) -> None:
    holds = node["holds"]
    mark = "[yellow]?[/]" if holds is None else "[green]✓[/]" if holds else "[red]✗[/]"
    because = f" [dim]{escape(node['because'])}[/]" if node.get("because") else ""
    branch = tree.add(f"{mark} {escape(node['rule'])}{because}")
    for child in node.get("of", ()):
        _grow(branch, child)
