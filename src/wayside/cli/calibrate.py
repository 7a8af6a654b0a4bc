"""``wayside calibrate``: the threshold that sends a given share of prompts to the strong model."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import yaml
from pydantic import ValidationError

from wayside.cli.files import FILE, config_option, load
from wayside.cli.progress import counted as bar
from wayside.cli.train_selection import eyes
from wayside.engines import families
from wayside.engines.selection_calibrate import SHARES, Cut, cut
from wayside.selection.strong_weak import OWN, StrongWeakRule, strength
from wayside.settings import DecisionSettings, RouterSettings
from wayside.settings.problems import problems_from, suggest
from wayside.vocab.errors import AskFailed, ConfigError

FEW: Final = 100
"""Prompts below which nothing is calibrated."""
MOST: Final = 1_000_000
EVERYDAY: Final = "domain/heldout.jsonl"
KIND: Final = "strong_weak"


class Place(NamedTuple):
    """Where the threshold will stand."""

    decision: str
    models: tuple[str, ...]
    rule: StrongWeakRule


@click.command(
    "calibrate",
    short_help="Find the threshold for a share of calls to the strong model.",
    epilog="""\b
Examples:
  wayside calibrate --strong-share 0.3 --prompts prompts.txt
  wayside calibrate --strong-share 0.5 --prompts requests.jsonl --config wayside.yaml
  jq -r .prompt traffic.json | wayside calibrate --strong-share 0.2 --prompts -

A prompt a line, as text or as JSON with "text", "query", "prompt" or "messages".""",
)
@click.option(
    "--strong-share",
    "share",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    required=True,
    help="The share of prompts that the strong model is to get: 0.3 for three in ten.",
)
@click.option("--prompts", type=FILE, help="What your users ask; - for standard input.")
@click.option("--decision", help="The decision to calibrate, by name, with --config.")
@click.option("--engine", help=f"The classifier that scores prompts.  [default: {OWN}]")
@click.option("--json", "as_json", is_flag=True, help="Plain data, for scripts.")
@config_option
def command(
    share: float,
    prompts: Path | None,
    decision: str | None,
    engine: str | None,
    as_json: bool,
    path: Path | None,
) -> None:
    """Print the threshold at which a share of your prompts goes to the strong model.

    With it come the thresholds of other shares, how far the figures can be believed, and the YAML
    to paste. Give prompts that your users really asked, some thousand of them: the share will hold
    for prompts of the same kind and for no others. The router's log holds no prompts, on purpose.
    """
    place = _place(path, decision, engine)
    texts = list(_texts(prompts))
    if len(texts) < FEW:
        raise ConfigError.one(
            f"only {len(texts)} prompts", where="--prompts", fix=f"give {FEW}, better thousands"
        )
    counted = place.rule.counted()
    scores = []
    with eyes("embedding", place.rule.engine, path) as seen, bar("reading", len(texts)) as step:
        try:
            for text in texts:
                scores.append(strength(seen.classify(text), counted))
                step()
        except AskFailed as error:
            raise ConfigError.one(
                str(error), where="--engine", fix="set weights: what each of its labels counts"
            ) from error
    found = cut(scores, share)
    others = [cut(scores, one) for one in SHARES]
    if as_json:
        told = {
            "prompts": len(texts),
            "engine": place.rule.engine,
            **asdict(found),
            "table": [asdict(one) for one in others],
        }
        click.echo(json.dumps(told, indent=2))
        return
    _show(found, others, texts, prompts, place)


def _place(path: Path | None, decision: str | None, engine: str | None) -> Place:
    """The decision to be calibrated, or a made-up one."""
    if path is None:
        if decision is not None:
            raise click.UsageError("--decision needs --config.")
        return Place("everything", ("STRONG", "WEAK"), StrongWeakRule(engine=engine or OWN))
    able = {d.name: d for d in _decisions(load(path).settings) if d.selector[0] == KIND}
    if decision is None and len(able) != 1:
        if able:
            raise ConfigError.one(
                f"{len(able)} decisions choose by {KIND}",
                where="--decision",
                fix=f"name one of {', '.join(able)}",
            )
        return Place("everything", ("STRONG", "WEAK"), StrongWeakRule(engine=engine or OWN))
    name = decision or next(iter(able))
    if name not in able:
        fix = suggest(name, able, f"decisions that choose by {KIND}")
        raise ConfigError.one(f"no such decision {name!r}", where="--decision", fix=fix)
    try:
        rule = StrongWeakRule.model_validate(able[name].selector[1])
    except ValidationError as error:
        raise ConfigError(problems_from(error, StrongWeakRule, f"{name}.select.{KIND}")) from None
    if engine is not None:
        rule = rule.model_copy(update={"engine": engine})
    return Place(name, tuple(c.model for c in able[name].models), rule)


def _decisions(settings: RouterSettings) -> Iterator[DecisionSettings]:
    for routing in (settings.routing, *settings.recipes.values()):
        yield from routing.decisions


def _texts(file: Path | None) -> Iterator[str]:
    """The prompts, one a line; without a file, the everyday ones of a checkout."""
    own = file is None
    path = families.corpora() / EVERYDAY if file is None else file
    where = "standard input" if str(path) == "-" else str(path)
    try:
        raw = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        lines = raw.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError.one(
            f"cannot be read: {error}", where=where, fix="give a file of UTF-8 text"
        ) from error
    if own:
        click.echo(
            "no --prompts: these are the everyday prompts of the project's own corpus, "
            "not your traffic",
            err=True,
        )
    for n, line in enumerate(lines[:MOST], 1):
        if line.strip():
            text = _text(line, f"{where}:{n}")
            if text.strip():
                yield text


def _text(line: str, where: str) -> str:
    """A line's prompt: itself, or what its JSON says the user last asked."""
    if not line.lstrip().startswith("{"):
        return line
    try:
        row = json.loads(line)
    except ValueError:
        return line  # a prompt that begins with a brace
    for name in ("text", "query", "prompt"):
        if isinstance(row.get(name), str):
            return str(row[name])
    messages = row.get("messages")
    if isinstance(messages, list):
        asked = [m for m in messages if isinstance(m, dict) and m.get("role") == "user"]
        return _content(asked[-1].get("content")) if asked else ""
    raise ConfigError.one(
        f"no text among {', '.join(list(row)[:6]) or 'no fields'}",
        where=where,
        fix='give "text", "query", "prompt" or "messages"',
    )


def _content(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(p["text"]) for p in parts if isinstance(p, dict) and "text" in p)


def _show(
    found: Cut, others: Sequence[Cut], texts: Sequence[str], prompts: Path | None, place: Place
) -> None:
    low, high = found.share
    click.echo(
        f"{len(texts):,} prompts, scored by {place.rule.engine!r}: threshold {found.threshold:g} "
        f"sends {found.gives:.1%} to the strong model\n"
    )
    click.echo("to strong  threshold  gives   on others like these (95 %)")
    for one in others:
        click.echo(
            f"{one.wanted:9.0%}  {one.threshold:9.4f}  {one.gives:5.1%}   "
            f"{one.share[0]:.1%} to {one.share[1]:.1%}"
        )
    click.echo(
        f"\nOf other prompts of the same kind, {low:.1%} to {high:.1%} would go to the strong "
        f"model (95 %); the threshold that gives exactly {found.wanted:.0%} lies between "
        f"{found.true[0]:.4f} and {found.true[1]:.4f}. Other traffic has another share: look at "
        "the models' requests in the metrics after a day, and calibrate again when what people "
        "ask changes."
    )
    if abs(found.gives - found.wanted) > 0.02:
        click.echo(
            f"\nMany prompts have the same score: {found.wanted:.0%} cannot be met more closely."
        )
    rule: dict[str, Any] = {"threshold": found.threshold}
    if place.rule.engine != OWN:
        rule["engine"] = place.rule.engine
    if place.rule.weights is not None:
        rule["weights"] = dict(place.rule.weights)
    made = {"name": place.decision, "models": list(place.models), "select": {KIND: rule}}
    click.echo(
        "\n" + yaml.safe_dump({"routing": {"decisions": [made]}}, sort_keys=False), nl=False
    )
