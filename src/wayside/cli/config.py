"""``wayside config``: check, convert, schema, explain, example."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import yaml

from wayside.catalog import catalog
from wayside.cli.files import config_option, load, native
from wayside.runtime import compile_policy
from wayside.settings import RouterSettings
from wayside.settings.problems import suggest
from wayside.settings.schema import full_schema
from wayside.translate import Note, grouped

_LOST = ("unsupported", "refused", "unknown")
_COLOURS = dict.fromkeys(_LOST, "yellow") | {"defaulted": "cyan", "mapped": "cyan"}


@click.group("config")
def command() -> None:
    """Read, check and translate configurations."""


@command.command()
@click.option("--strict-ip", is_flag=True, help="Refuse endpoints that are not bare IP addresses.")
@click.option("--strict", is_flag=True, help="Exit 1 when anything was lost in translation.")
@config_option
def check(path: Path | None, strict_ip: bool, strict: bool) -> None:
    """Say whether a configuration can be used, and what to change if not.

    Exits 0 when it can, 2 when not. Every problem is listed with its path and a fix; keys of
    foreign formats that do nothing here are listed by name.
    """
    loaded = load(path)
    settings = loaded.settings
    if strict_ip:
        settings = settings.model_copy(update={"strict_ip": True})
    lost = notes(loaded.notes)
    policy = compile_policy(settings)
    counts = [
        f"{len(settings.models)} models",
        f"{sum(len(r.every_signal) for r in policy.recipes.values())} signal kinds",
        f"{sum(len(r.decider.decisions) for r in policy.recipes.values())} decisions",
    ]
    click.secho("ok ", fg="green", bold=True, nl=False)
    click.echo(f"{loaded.path} ({loaded.format}): {', '.join(counts)}")
    if lost and strict:
        raise click.exceptions.Exit(1)


def notes(found: Iterable[Note]) -> int:
    """Print an importer's notes on standard error; how many say that something was lost.

    Notes that differ only in a list index are printed once, with their number.
    """
    held = tuple(found)
    for line in grouped(held):
        severity, _, rest = line.partition(": ")
        click.secho(severity, fg=_COLOURS.get(severity), nl=False, err=True)
        click.echo(f": {rest}", err=True)
    return sum(note.severity in _LOST for note in held)


@command.command()
@click.argument("path", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="JSON instead of YAML.")
def convert(path: Path, as_json: bool) -> None:
    """Print a foreign configuration in our format; notes go to standard error.

    \b
    Example:
      wayside config convert vsr-config.yaml > wayside.yaml
    """
    document, format_, found = native(path.read_bytes(), str(path))
    notes(found)
    if format_ == "wayside":
        click.echo("this is our own format already", err=True)
    if as_json:
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        click.echo(
            yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=99), nl=False
        )


@command.command()
def schema() -> None:
    """Print the JSON Schema of our format, every signal, selector and plugin included."""
    click.echo(json.dumps(full_schema(RouterSettings, catalog), indent=2))


@command.command()
@click.argument("key", required=False)
def explain(key: str | None) -> None:
    """Say what a key means, such as ``limits`` or ``models.*.endpoints``.

    \b
    Examples:
      wayside config explain limits.max_body_bytes
      wayside config explain routing.signals.keyword
    """
    node: dict[str, Any] = full_schema(RouterSettings, catalog)
    root = node
    for part in key.split(".") if key else ():
        node = _resolve(node, root)
        inner = node.get("properties", {})
        if part in inner:
            node = inner[part]
        elif isinstance(node.get("additionalProperties"), dict):
            node = node["additionalProperties"]
        else:
            raise click.ClickException(f"no key {part!r}; {suggest(part, inner, 'keys here')}")
        while "items" in _resolve(node, root):
            node = _resolve(node, root)["items"]
    shown = _resolve(node, root)
    click.secho(key or "configuration", bold=True)
    for text in (node.get("description"), shown.get("description")):
        if text:
            click.echo(f"  {text}")
            break
    if "default" in node:
        click.echo(f"  default: {json.dumps(node['default'])}")
    if "enum" in shown:
        click.echo(f"  one of: {', '.join(map(str, shown['enum']))}")
    elif "type" in shown:
        click.echo(f"  type: {shown['type']}")
    for name, prop in shown.get("properties", {}).items():
        text = prop.get("description") or _resolve(prop, root).get("description") or ""
        click.echo(f"  {name:22} {text.splitlines()[0] if text else ''}")


def _resolve(node: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node or "anyOf" in node:
        if "anyOf" in node:
            choices = [c for c in node["anyOf"] if c.get("type") != "null"]
            node = choices[0]
        else:
            node = root["$defs"][node["$ref"].rpartition("/")[2]]
    return node


@command.command()
def example() -> None:
    """Print a small configuration to start from."""
    click.echo(EXAMPLE, nl=False)


EXAMPLE = """\
# Two local models and one in the cloud. `wayside config check` says whether it is right.
models:
  small:
    endpoints: [http://127.0.0.1:9001]
  coder:
    endpoints: [http://127.0.0.1:9002]
  gpt-4o-mini:
    endpoints: [https://api.openai.com/v1]
    credential: {env: OPENAI_API_KEY}
    price: {prompt_per_1m: 0.15, completion_per_1m: 0.60}

routing:
  default_model: small
  signals:
    domain:
      code: {labels: [computer science], threshold: 0.4}
      numbers: {labels: [math, physics], threshold: 0.4}
    keyword:
      urgent: {keywords: [urgent, asap, immediately]}
    context:
      long: {min_tokens: 8000}
  decisions:
    - name: programming
      priority: 20
      when: {all: [domain:code, {not: context:long}]}
      models: [coder]
    - name: hard
      priority: 10
      when: {any: [domain:numbers, context:long, keyword:urgent]}
      models: [gpt-4o-mini]
"""
