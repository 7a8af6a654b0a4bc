"""``wayside cache``: look after the response cache of a running router."""

from __future__ import annotations

import getpass
import json
import re
import time
import urllib.error
import urllib.request
from typing import Any, NoReturn

import click
from rich.table import Table

from wayside.cli.console import console, escape

ROOT = "/api/v1/response-cache"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _options(function: Any) -> Any:
    """Where the router is, and how to print."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Plain data, for scripts."),
        click.option(
            "--management",
            default="http://127.0.0.1:8080",
            show_default=True,
            help="The router's management listener.",
        ),
    ):
        function = option(function)
    return function


_store = click.option("--store", default="", help="One store.  [default: all that are in use]")
_dry_run = click.option("--dry-run", is_flag=True, help="Only count.")


@click.group("cache")
def command() -> None:
    """Look after the response cache of a running router."""


@command.command(
    epilog="""\b
Example:
  wayside cache stats"""
)
@_options
def stats(management: str, as_json: bool) -> None:
    """How much the stores hold, their mode, and who let answers go."""
    found = {name: _ask(management, name) for name in ("stats", "health", "audit")}
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    out = console()
    rows = found["stats"]["stores"]
    if not rows:
        out.print("No decision has the plugin response_cache: nothing is kept.")
        return
    how = {row["store"]: row for row in found["health"]["stores"]}
    table = Table("store", "kind", "answers", "in this process", "state", box=None)
    for row in rows:
        state = how[row["store"]]
        count = "?" if row["answers"] is None else f"{row['answers']:,}"
        table.add_row(
            escape(row["store"]),
            escape(row["kind"]),
            count if row["counted_all"] or row["answers"] is None else f"{count} or more",
            "?" if row["bytes"] is None else _size(row["bytes"]),
            "ok" if state["healthy"] else f"degraded: {escape(state['why'])}",
        )
    out.print(table)
    for row in rows:
        out.print(f"{escape(row['store'])} is {escape(row['mode'])}.", highlight=False)
    for entry in found["audit"]["entries"][:5]:
        out.print(f"  {escape(_told(entry))}", highlight=False)


@command.command(
    epilog="""\b
Examples:
  wayside cache invalidate --decision maths --dry-run
  wayside cache invalidate --model old-model
  wayside cache invalidate --question "What is our refund policy?"
  wayside cache invalidate --older-than 12h"""
)
@_options
@_store
@click.option("--namespace", default="", help="The plugin's namespace.")
@click.option("--recipe", default="", help="A recipe's name.")
@click.option("--decision", default="", help="A decision's name.")
@click.option("--model", default="", help="The model that gave the answer.")
@click.option("--question", default="", help="The last question, word for word.")
@click.option("--older-than", default="", help="Kept longer ago: 90s, 30m, 12h, 7d.")
@_dry_run
def invalidate(
    management: str,
    as_json: bool,
    store: str,
    namespace: str,
    recipe: str,
    decision: str,
    model: str,
    question: str,
    older_than: str,
    dry_run: bool,
) -> None:
    """Let some answers go: all that is given must hold of them.

    A question is kept beside its answer only where the decision compares by meaning.
    """
    named = {
        "namespace": namespace,
        "recipe": recipe,
        "decision": decision,
        "model": model,
        "question": question,
    }
    selector: dict[str, Any] = {name: value for name, value in named.items() if value}
    if older_than:
        selector["older_than_s"] = _seconds(older_than)
    if not selector:
        raise click.UsageError("Say which answers, or let all go with: wayside cache flush")
    body = {"selector": selector, "store": store, "dry_run": dry_run}
    _show(_ask(management, "invalidate", body), as_json)


@command.command(
    epilog="""\b
Examples:
  wayside cache flush --dry-run
  wayside cache flush --yes --store shared"""
)
@_options
@_store
@_dry_run
@click.option("--yes", is_flag=True, help="Do not ask.")
def flush(management: str, as_json: bool, store: str, dry_run: bool, yes: bool) -> None:
    """Let every answer go, by the beginning of a new epoch.

    Answers that are under way are not kept either. Routers that share the store notice with
    their next question to it.
    """
    if not (dry_run or yes):
        what = f"of {store}" if store else "of every store that is in use"
        click.confirm(f"Let all answers {what} go?", abort=True, err=True)
    confirm = {} if dry_run else {"confirm": "flush"}
    _show(_ask(management, "flush", {"store": store, "dry_run": dry_run, **confirm}), as_json)


@command.command(
    "test",
    epilog="""\b
Examples:
  wayside cache test "What is the capital of France?" "What's the capital of France?"
  wayside cache test "Turn the light on" "Turn the light off"

Ends with status 1 when they do not share an answer.""",
)
@click.argument("first")
@click.argument("second")
@_options
@click.option("--ask-for", default="", help="A name that routes.  [default: the first one]")
@click.pass_context
def trial(
    ctx: click.Context, first: str, second: str, management: str, as_json: bool, ask_for: str
) -> None:
    """Would FIRST's answer be given to SECOND, and why?

    Both prompts go through the router's real decisions and plugins, over a cache of their own. No
    model is asked to answer, and nothing is kept.
    """
    body = {"first": {"text": first}, "second": {"text": second}, "model": ask_for}
    told = _ask(management, "test", body)
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        out = console()
        verdict = "They share an answer." if told["shared"] else "They do not share an answer."
        out.print(f"{verdict} {escape(told['why'])}", highlight=False)
        if told["similarity"] is not None:
            out.print(f"  cosine    {told['similarity']:.4f}", highlight=False)
        for name in ("first", "second"):
            went = told[name]
            where = f"{went['decision'] or 'the default route'}, {went['model'] or 'no model'}"
            cache = went["cache"] or "no response_cache"
            out.print(f"  {name:<9} {escape(where)}: {escape(cache)}", highlight=False)
    if not told["shared"]:
        ctx.exit(1)


def _show(told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    verb = "would go" if told["dry_run"] else "went" if told["answers"] != 1 else "is gone"
    for row in told["stores"]:
        count = f"{row['answers']:,} answer{'s' if row['answers'] != 1 else ''} {verb}"
        said = f"failed: {row['error']}" if row["error"] else count
        epoch = f" (epoch {row['epoch']})" if row["epoch"] else ""
        console().print(f"{escape(row['store'])}: {escape(said)}{epoch}", highlight=False)
    if not told["stores"]:
        console().print("No decision has the plugin response_cache: nothing is kept.")
    if any(row["error"] for row in told["stores"]):
        raise click.exceptions.Exit(1)


def _told(entry: dict[str, Any]) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry["at"]))
    what = " ".join(f"{k}={v}" for k, v in entry["selector"].items())
    dry = " (dry run)" if entry["dry_run"] else ""
    return f"{when}  {entry['action']}{dry} {what} {entry['answers']} answers, by {entry['by']}"


def _size(number: int) -> str:
    return f"{number / (1 << 20):.1f} MiB"


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)\s*([smhd])", text.strip())
    if found is None:
        raise click.UsageError(f"--older-than: {text!r} is no time; write 90s, 30m, 12h or 7d")
    return float(found[1]) * _UNITS[found[2]]


def _ask(management: str, name: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    url = f"{management.rstrip('/')}{ROOT}/{name}"
    if not url.startswith(("http://", "https://")):
        raise click.ClickException(f"{management!r} is no address; write http://host:port")
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json", "x-wayside-operator": _operator()}
    request = urllib.request.Request(url, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            told: dict[str, Any] = json.loads(answer.read())
            return told
    except urllib.error.HTTPError as error:
        _refused(error)
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise click.ClickException(
            f"no router answers at {management} ({reason}); start one with wayside serve, "
            "or say where with --management"
        ) from None
    except ValueError:
        raise click.ClickException(f"{management} is no router of ours: not JSON") from None


def _refused(error: urllib.error.HTTPError) -> NoReturn:
    try:
        said = json.loads(error.read())["error"]["message"]
    except (ValueError, KeyError, TypeError):
        said = error.reason
    raise click.ClickException(f"the router refused: {said}") from None


def _operator() -> str:
    """Who runs this, for the audit; nobody checks it."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        name = ""
    return "".join(c for c in name if c.isascii() and c.isprintable())[:64]
