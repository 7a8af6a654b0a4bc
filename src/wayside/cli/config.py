"""``wayside config``: check, convert, schema, explain, example."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml

from wayside.catalog import catalog
from wayside.cli.files import CONFIG, Loaded, config_option, load, native, read_bytes
from wayside.decisions import leaves
from wayside.deploy.parts.split_config import PLACEHOLDERS
from wayside.flow import Policy
from wayside.runtime import compile_policy
from wayside.settings import RouterSettings
from wayside.settings.schema import about, at, choices, full_schema, properties, type_text
from wayside.translate import Note, grouped
from wayside.vocab.errors import ConfigError, Problem

_LOST = ("unsupported", "refused", "unknown")
_COLOURS = dict.fromkeys(_LOST, "yellow") | {"defaulted": "cyan", "mapped": "cyan"}


@click.group("config")
def command() -> None:
    """Read, check and translate configurations."""


@command.command(short_help="Can it be used, and if not, what to change?")
@click.argument("file", required=False, type=CONFIG)
@click.option("--strict-ip", is_flag=True, help="Refuse endpoints that are not bare IP addresses.")
@click.option("--strict", is_flag=True, help="Exit 1 when anything was lost in translation.")
@click.option("--json", "as_json", is_flag=True, help="Plain data, for scripts.")
@config_option
def check(
    path: Path | None, file: Path | None, strict_ip: bool, strict: bool, as_json: bool
) -> None:
    """Say whether a configuration can be used, and what to change if not.

    Exits 0 when it can, 2 when not. Every problem is listed with its path and a fix; keys of
    foreign formats that do nothing here are listed by name; hints name what looks forgotten.

    \b
    Examples:
      wayside config check
      wayside config check vsr-config.yaml --strict
      wayside config check --json | jq '.problems[].where'
      kubectl get configmap router -o yaml | wayside config check -
    """
    if not as_json:
        verdict = _checked(file or path, strict_ip=strict_ip)
        _tell(verdict)
    else:
        try:
            verdict = _checked(file or path, strict_ip=strict_ip)
        except ConfigError as error:
            problems = [vars_of(problem) for problem in error.problems]
            click.echo(json.dumps({"ok": False, "problems": problems}, indent=2))
            raise click.exceptions.Exit(2) from None
        click.echo(json.dumps(verdict.plain(), indent=2, ensure_ascii=False))
    if verdict.lost and strict and not verdict.waits:
        raise click.exceptions.Exit(1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A configuration that can be used. ``waits`` is what the cluster has yet to say; without it
    ``counts`` says how much there is of what."""

    loaded: Loaded
    counts: Mapping[str, int]
    hints: tuple[str, ...] = ()
    waits: tuple[Problem, ...] = ()

    @property
    def lost(self) -> int:
        """Notes which say that something does nothing here."""
        return sum(note.severity in _LOST for note in self.loaded.notes)

    def plain(self) -> dict[str, Any]:
        return {
            "ok": True,
            "path": self.loaded.path,
            "format": self.loaded.format,
            **self.counts,
            "notes": [vars_of(note) for note in self.loaded.notes],
            "hints": list(self.hints),
            "waits": [vars_of(problem) for problem in self.waits],
        }


def vars_of(held: Note | Problem) -> dict[str, Any]:
    """A note or a problem as plain data."""
    names = ("path", "what", "severity") if isinstance(held, Note) else ("where", "what", "fix")
    return {name: getattr(held, name) for name in names}


def _checked(file: Path | None, *, strict_ip: bool) -> Verdict:
    """Raises :class:`ConfigError`."""
    loaded = load(file)
    settings = loaded.settings
    if strict_ip:
        settings = settings.model_copy(update={"strict_ip": True})
    wanted = _for_maas(settings)
    try:
        policy = compile_policy(settings)
    except ConfigError as error:
        if settings.registry is None or not all(map(_may_be_found, error.problems)):
            notes(loaded.notes)
            raise
        return Verdict(loaded, {}, waits=tuple(error.problems))
    recipes = policy.recipes.values()
    counts = {
        "models": len(settings.models),
        "signals": sum(len(n) for r in recipes for _, n in r.every_signal.values()),
        "decisions": sum(len(r.decider.decisions) for r in recipes),
    }
    found = (*hints(settings, os.environ), *wanted, *untrained(policy))
    return Verdict(loaded, counts, found)


def _tell(verdict: Verdict) -> None:
    loaded = verdict.loaded
    notes(loaded.notes)
    for problem in verdict.waits:
        click.echo(f"waits for the cluster: {problem.where}: {problem.what}", err=True)
    if verdict.waits:
        click.echo(f"{loaded.path} ({loaded.format}): can be used once the cluster has those")
        return
    for hint in verdict.hints:
        click.secho("hint", fg="cyan", nl=False, err=True)
        click.echo(f" {hint}", err=True)
    counts = [_count(number, what[:-1]) for what, number in verdict.counts.items()]
    click.secho("ok ", fg="green", bold=True, nl=False)
    click.echo(f"{loaded.path} ({loaded.format}): {', '.join(counts)}")


def _for_maas(settings: RouterSettings) -> list[str]:
    """Hints; raises :class:`ConfigError`."""
    if settings.maas is None:
        return []
    from wayside.maas import examine  # half a second that others need not wait

    return examine(settings, os.environ)


def _may_be_found(problem: Problem) -> bool:
    """Whether a model that the cluster has may put it right."""
    return problem.what.startswith("no model ")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def hints(settings: RouterSettings, env: Mapping[str, str]) -> Iterator[str]:
    """What can be used as it is, but looks forgotten."""
    routings = {"routing": settings.routing}
    routings |= {f"recipes.{name}": routing for name, routing in settings.recipes.items()}
    for where, routing in routings.items():
        used = {leaf.signal for d in routing.decisions for leaf in leaves(d.when)}
        for kind, rules in routing.signals.items():
            for name in rules:
                if f"{kind}:{name}" not in used:
                    yield f"{where}.signals.{kind}.{name}: no decision refers to it"
        if not (routing.default_model or settings.routing.default_model):
            yield f"{where}.default_model: not set; a prompt that no decision takes is refused"
    entered = {entry.recipe for entry in settings.entrypoints} | {settings.guard_recipe}
    for name in settings.recipes:
        if name not in entered:
            yield f"recipes.{name}: no entrypoint leads to it"
    yield from placeholders(settings)
    if settings.registry is not None:
        yield "registry: what the cluster holds is not here; only what the file says was checked"
    for name, model in settings.models.items():
        key = model.credential
        if key and key.env and not env.get(key.env):
            yield f"models.{name}.credential: {key.env} is not set here; `serve` will want it"
        if key and key.file and not Path(key.file).exists():
            yield f"models.{name}.credential: {key.file} is not there; `serve` will want it"
        if model.provider and not key and not model.accept_user_keys:
            yield f"models.{name}.credential: not set; {model.provider} is asked without a key"


def placeholders(settings: RouterSettings) -> Iterator[str]:
    """Endpoints that were forgotten when a template's addresses were replaced. Some cluster may
    give them to a Service all the same, so they are not refused."""
    for name, model in settings.models.items():
        for i, endpoint in enumerate(model.endpoints):
            if endpoint.address.host in PLACEHOLDERS.values():
                yield (
                    f"models.{name}.endpoints[{i}]: {endpoint.address.host} is a placeholder of "
                    f"config-split.yaml; unless a Service has this very address, requests for "
                    f"{name} go nowhere: write the Service's clusterIP, or better its DNS name"
                )


def untrained(policy: Policy) -> Iterator[str]:
    """Files of trained selectors that are not there yet; nothing is read, so this is quick."""
    for where, taught in policy.taught:
        if not Path(taught.file).exists():
            make = f"wayside train selection --algorithm {taught.algorithm} ROWS.jsonl"
            make += f" -o {taught.file}"
            yield f"{where}.file: {taught.file} is not there; `serve` will want it: {make}"


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


@command.command(short_help="Print a foreign configuration in our format.")
@click.argument("files", nargs=-1, type=CONFIG)
@click.option("--json", "as_json", is_flag=True, help="JSON instead of YAML.")
@config_option
def convert(path: Path | None, files: tuple[Path, ...], as_json: bool) -> None:
    """Print a foreign configuration in our format; notes go to standard error.

    Known are the files of vLLM Semantic Router, production-stack, LiteLLM and llm-d, each by what
    stands in it. Several FILES are read as the documents of one: manifests, or values of charts.
    Variables (${NAME}) stay as they are written, so no value of yours is copied out.

    \b
    Examples:
      wayside config convert vsr-config.yaml > wayside.yaml
      wayside config convert pool-values.yaml modelservice-values.yaml > wayside.yaml
      kubectl get inferencepool,httproute -o yaml | wayside config convert -
    """
    texts = [read_bytes(file) for file in files] or [read_bytes(path)]
    name = ", ".join(name for _, name in texts)
    text = b"\n---\n".join(text for text, _ in texts) if len(texts) > 1 else texts[0][0]
    document, format_, found = native(text, name)
    notes(found)
    if format_ == "wayside":
        click.echo("this is our own format already", err=True)
    if as_json:
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        click.echo(
            yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=99), nl=False
        )


@command.command(short_help="Print the JSON Schema of our format.")
def schema() -> None:
    """Print the JSON Schema of our format, every signal, selector and plugin included.

    \b
    Example, for completion and checks in an editor:
      wayside config schema > wayside.schema.json
      sed -i '1i # yaml-language-server: $schema=wayside.schema.json' wayside.yaml
    """
    click.echo(json.dumps(full_schema(RouterSettings, catalog), indent=2))


@command.command(short_help="Say what a key means.")
@click.argument("key", default="")
@click.option("--json", "as_json", is_flag=True, help="Its JSON Schema, for scripts.")
def explain(key: str, as_json: bool) -> None:
    """Say what a key means: its type, its default, and the keys below it.

    KEY is a path as error messages write it; without one, the whole is explained.

    \b
    Examples:
      wayside config explain limits.max_body_bytes
      wayside config explain "models.*.endpoints"
      wayside config explain routing.signals.keyword
    """
    root = full_schema(RouterSettings, catalog)
    try:
        node = at(key, root)
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps(node, indent=2, ensure_ascii=False))
        return
    title = key or "the configuration"
    click.secho(title, bold=True, nl=False)
    click.echo(f"  ({_shape(node, root)})" if key else "")
    for line in _plain(about(node, root)).splitlines():
        click.echo(f"  {line}" if line else "")
    inner = properties(node, root)
    for values in () if inner else choices(node, root):
        below = values.get("additionalProperties")
        if isinstance(below, dict):
            inner = {f"*.{name}": prop for name, prop in properties(below, root).items()}
    if inner:
        click.echo()
        width = max(map(len, inner))
        for name, prop in inner.items():
            first = _plain(about(prop, root)).partition("\n\n")[0].replace("\n", " ")
            click.echo(f"  {name:{width}}  {first or _shape(prop, root)}")


def _shape(node: dict[str, Any], root: dict[str, Any]) -> str:
    text = type_text(node, root).replace("`", "")
    default = node.get("default")
    return (
        text
        if default in (None, "", [], {}) or isinstance(default, dict)
        else (f"{text}; default {json.dumps(default, ensure_ascii=False)}")
    )


def _plain(text: str) -> str:
    return text.replace("``", "")


@command.command(short_help="Print a small configuration to start from.")
def example() -> None:
    """Print a small configuration to start from.

    \b
    Example:
      wayside config example > wayside.yaml && wayside config check
    """
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
