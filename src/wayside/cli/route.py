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
from wayside.maas.tiers import Tiers, allowed
from wayside.runtime import Runtime, compile_policy
from wayside.runtime.experience import Experience
from wayside.runtime.explain import explanation
from wayside.runtime.keys import KeyRing
from wayside.runtime.limits import written
from wayside.settings import RouterSettings
from wayside.settings.problems import suggest
from wayside.vocab.access import Caller
from wayside.vocab.errors import RequestError
from wayside.vocab.outcome import Request

_READINGS = 5  # the first loads a model and fills caches
_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


@click.command(
    "route",
    epilog="""\b
Examples:
  wayside route "what is the integral of x squared?"
  wayside route --json "hello" | jq .model
  wayside route --body request.json         (a whole chat completion request)
  echo "long text" | wayside route -
  wayside route --explain "hello"           (costs, every rule, what would change the choice)
  wayside route --all-signals "hello"       (also rules that no decision refers to)
  wayside route --as alice "hello"          (as a user of maas, with the models of their tier)
  wayside route --as bob --tier premium "hello\"""",
)
@click.argument("prompt", required=False)
@click.option("--body", type=_FILE, help="A chat completion request's JSON.")
@click.option("--model", default=None, help="The name asked for.  [default: the first auto name]")
@click.option("--system", default="", help="A system prompt in front.")
@click.option("--all-signals", is_flag=True, help="Also rules that no decision refers to.")
@click.option("--explain", is_flag=True, help="Costs, every rule, what would change the choice.")
@click.option("--as", "user", help="Whose request it is, with maas: only their models answer.")
@click.option("--tier", help="Of whom --as names.  [default: as maas.users and their groups say]")
@click.option("--json", "as_json", is_flag=True, help="Plain data, for scripts.")
@config_option
def command(
    path: Path | None,
    prompt: str | None,
    body: Path | None,
    model: str | None,
    system: str,
    all_signals: bool,
    explain: bool,
    user: str | None,
    tier: str | None,
    as_json: bool,
) -> None:
    """Show where a prompt would go, and why. Nothing is sent to any model.

    --explain adds what each kind of signal cost (the least of five readings where they are
    quick), every rule with why it holds or not, and the least that had to differ for another
    decision. --json always tells it all.
    """
    if (prompt is None) == (body is None):
        raise click.UsageError('Give a prompt ("..." or - for standard input), or --body FILE.')
    if body is not None and (model or system):
        raise click.UsageError("--model and --system go with a prompt; --body has its own.")
    settings = load(path).settings
    caller = None if user is None else _caller(settings, user, tier)
    if tier is not None and user is None:
        raise click.UsageError("--tier goes with --as USER.")
    keys = KeyRing(os.environ)
    engines = Engines(settings.engines, keys.resolve)
    policy = compile_policy(settings, needs_endpoints=False)
    runtime = Runtime(policy, {**engines.answerers(), **Experience().answerers()})
    if body is not None:
        raw = sys.stdin.buffer.read() if str(body) == "-" else body.read_bytes()
    else:
        text = sys.stdin.buffer.read() if prompt == "-" else os.fsencode(prompt or "")
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": text.decode("utf-8", "replace")})
        raw = encode({"model": model or settings.auto_names[0], "messages": messages})
    request = Request("POST", openai_chat.PATH, {}, raw, caller=caller)
    try:
        _refuse_concrete(runtime, raw)
        whole = explain or as_json
        examined = runtime.examine(
            request, every_signal=all_signals, repeats=_READINGS if whole else 1
        )
        told = explanation(*asyncio.run(examined), changes=whole, caller=caller)
    except RequestError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        show(told, console(), whole=explain)


def _caller(settings: RouterSettings, user: str, tier: str | None) -> Caller:
    """``user`` as the gate would know them. What only a cluster can say, it is not asked."""
    if settings.maas is None:
        raise click.ClickException("--as USER is for routers with maas, which this one is not.")
    known = next((u for u in settings.maas.users if u.name == user), None)
    groups = (*(known.groups if known else ()), "system:authenticated")
    names = [t.name for t in settings.maas.tiers]
    if tier is not None and tier not in names:
        raise click.ClickException(f"no tier {tier!r}; {suggest(tier, names, 'tiers')}")
    found = Tiers(settings.maas).lookup(groups)
    level = tier or (found.name if found else "")
    models = allowed(settings.models, level)
    instance = settings.maas.instance
    return Caller(user=user, groups=groups, tier=level, tenant=instance, models=models)


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


def show(told: dict[str, Any], out: Console, *, whole: bool = False) -> None:
    """The explanation for people; ``whole`` with costs, every rule and what would change it."""
    out.print(f"[bold green]{escape(told['model'] or 'no model')}[/]  {escape(told['why'])}")
    out.print(f"[dim]about {told['tokens']} tokens, recipe {escape(told['recipe'])}[/]\n")
    if told["signals"]:
        out.print(_signals(told, whole))
        out.print()
    if whole and told["costs"]:
        out.print(_costs(told))
        out.print("[dim]one kind's rules are read together; asks are shared between kinds[/]\n")
    if told["decisions"]:
        out.print(_decisions(told))
        out.print("[dim]→ chosen  ✓ holds  ~ nearly  · no[/]\n")
    for d in told["decisions"]:
        if whole or d["chosen"] or d["nearly"]:
            label = "chosen" if d["chosen"] else "nearly" if d["nearly"] else "no"
            tree = Tree(f"[bold]{escape(d['decision'])}[/] [dim]({label})[/]")
            _grow(tree, d["rule"])
            out.print(tree)
    if whole and told["would_change"]:
        out.print("\n[bold]What would have changed the choice[/]")
        for change in told["would_change"]:
            to = change["decision"]
            name = "no decision, so the default model" if to is None else to
            needs = "; ".join(change["needs"])
            out.print(f"  {escape(name)}, but [dim]{escape(needs)}[/]")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name)
    return table


def _signals(told: dict[str, Any], whole: bool) -> Table:
    more = ("needs",) if whole else ()
    table = _table("Signals", "", "signal", "confidence", "value", *more, "because")
    for s in told["signals"]:
        mark = "[yellow]?[/]" if s["unknown"] else "[green]✓[/]" if s["matched"] else "[dim]·[/]"
        value = "" if s["value"] is None else f"{s['value']:g}"
        needs = (written(s["limits"]),) if whole else ()
        cells = (f"{s['confidence']:.2f}", value, *needs, escape(s["because"]))
        table.add_row(mark, escape(s["signal"]), *cells)
    return table


def _costs(told: dict[str, Any]) -> Table:
    table = _table("Costs in microseconds", "kind", "rules", "all", "reading", "asks", "asked")
    for c in sorted(told["costs"], key=lambda c: -c["total_us"]):
        asked = ", ".join(f"{a['ask']} {a['us']:.0f}" for a in c["asks"])
        times = (f"{c[part]:.0f}" for part in ("total_us", "read_us", "asks_us"))
        table.add_row(escape(c["kind"]), str(c["rules"]), *times, escape(asked))
    return table


def _decisions(told: dict[str, Any]) -> Table:
    table = _table("Decisions", "", "decision", "priority", "confidence", "models")
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
    return table


def _grow(tree: Tree, node: dict[str, Any]) -> None:
    holds = node["holds"]
    mark = "[yellow]?[/]" if holds is None else "[green]✓[/]" if holds else "[red]✗[/]"
    because = f" [dim]{escape(node['because'])}[/]" if node.get("because") else ""
    branch = tree.add(f"{mark} {escape(node['rule'])}{because}")
    for child in node.get("of", ()):
        _grow(branch, child)
