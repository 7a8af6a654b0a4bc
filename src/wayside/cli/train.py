"""``wayside train``: a small classifier from labelled rows, with its model card."""

from __future__ import annotations

import json
import re
import runpy
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from wayside.cli import train_selection
from wayside.cli.console import console
from wayside.engines import card, families, modelfile, rows
from wayside.engines.built_in import WEIGHTS
from wayside.engines.families import FAMILIES, Family
from wayside.engines.learn import FOLDS, learn
from wayside.engines.meaning import Words
from wayside.engines.report import Report, answers, report
from wayside.engines.rows import Example
from wayside.engines.static import StaticClassifier
from wayside.engines.train import Recipe
from wayside.settings.problems import suggest
from wayside.vocab.errors import ConfigError

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, exists=True, path_type=Path)
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]*")
OWN: Final = "own"
SELECTION: Final = "selection"


class _Families(click.Group):
    """Takes FAMILY and FILES as a plain command does; ``selection`` has options of its own."""

    allow_interspersed_args = True

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [SELECTION]

    def get_command(self, ctx: click.Context, name: str) -> click.Command:
        if name == SELECTION:
            return train_selection.command
        return click.Command(name, params=[p for p in self.params if p.name != "family"])

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        if args[:1] == [SELECTION]:
            name = f"{info_name} {SELECTION}"
            return train_selection.command.make_context(name, args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return click.Command.parse_args(self, ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        return click.Command.invoke(self, ctx)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return click.Command.collect_usage_pieces(self, ctx)


@click.command(
    "train",
    cls=_Families,
    no_args_is_help=False,
    short_help="Train a classifier from labelled rows.",
    epilog="""\b
Examples:
  wayside train fact_check mine.jsonl --out fact_check.model
  wayside train own tickets.jsonl --name tickets     (labels of your own)
  wayside train fact_check                           (a checkout: the shipped model again)
  wayside train selection --help                     (which model answers best what)

A row is {"text": "buy a saw", "label": "tool"}, one a line; "lang", "kind", "source" and "group"
(rows made from one sentence) may be added.""",
)
@click.argument("family")
@click.argument("files", nargs=-1, type=_FILE)
@click.option("--out", type=_FILE, help="The model's file.  [default: NAME.model]")
@click.option("--name", help="With `own`: what your set of labels is called.")
@click.option("--seed", type=click.IntRange(0), help="Same rows, same seed, same bytes.")
@click.option("--epochs", type=click.IntRange(1, 1000), help="How often every row is shown.")
@click.option("--held-out", type=_FILE, help="Rows to measure with, never learnt from.")
@click.option("--card", "card_file", type=_FILE, help="The model card.  [default: OUT with .md]")
@click.option("--corpora", type=_FOLDER, help="Where the built-in families' rows are.")
@click.option(
    "--max-bytes",
    type=click.IntRange(200_000),
    default=families.MAX_BYTES,
    show_default=True,
    help="Prune the model to this size.",
)
@click.option("--json", "as_json", is_flag=True, help="The figures as plain data, for scripts.")
def command(
    family: str,
    files: tuple[Path, ...],
    out: Path | None,
    name: str | None,
    seed: int | None,
    epochs: int | None,
    held_out: Path | None,
    card_file: Path | None,
    corpora: Path | None,
    max_bytes: int,
    as_json: bool,
) -> None:
    """Train FAMILY (fact_check, feedback, ... or `own`) from FILES of labelled rows.

    Without files, a built-in family learns from the corpora of a checkout, and its shipped model
    and card are written again. The rows are split to fit the calibration to rows not seen; the
    card tells the figures for labels, languages and sources, what it costs, and its limits.
    """
    known = _family(family, name, files)
    title = name or family
    clean: list[Example] = []
    if not files and known.script:
        if as_json:
            raise click.UsageError(f"{family} is trained by {known.script}, which has no --json")
        _run_script(known, out, seed)
        return
    if files:
        examples = [one for file in files for one in rows.read(file, known.labels or None)]
        unseen = rows.read(held_out) if held_out else []
    else:
        folder = families.corpora(corpora)
        examples = families.examples(known, folder)
        unseen = rows.read(held_out) if held_out else families.held_out(known, folder)
        clean = [] if held_out else families.clean(known, folder)
        out = out or WEIGHTS / f"{family}.model"
        if out.parent == WEIGHTS:
            card_file = card_file or folder.parent / "docs/reference/models" / f"{family}.md"
    out = out or Path(f"{title}.model")
    recipe = known.recipe
    recipe = recipe if seed is None else replace(recipe, seed=seed)
    recipe = recipe if epochs is None else replace(recipe, epochs=epochs)
    _train(
        title,
        known,
        examples,
        {"clean": clean, "held out": unseen},
        recipe,
        out,
        card_file or out.with_suffix(".md"),
        max_bytes,
        as_json=as_json,
    )


def _family(family: str, name: str | None, files: Sequence[Path]) -> Family:
    """The family meant; :class:`ConfigError` for none, or for a name where none is needed."""
    if family == OWN:
        if name is None or not _NAME.fullmatch(name):
            raise ConfigError.one(
                f"no name: {name!r}" if name else "no name for labels of your own",
                where="--name",
                fix="give --name tickets, say: small letters, digits, - and _",
            )
        if not files:
            raise ConfigError.one("no rows", where="FILES", fix="give a file of labelled rows")
        return Family(f"which label of `{name}` fits a text", ())
    if name is not None:
        raise ConfigError.one(
            f"{family} has its name already", where="--name", fix=f"leave it out, or train {OWN}"
        )
    if family not in FAMILIES:
        raise ConfigError.one(
            f"no family {family!r}",
            where="FAMILY",
            fix=suggest(family, [*FAMILIES, OWN, SELECTION], "families"),
        )
    return FAMILIES[family]


def _train(
    title: str,
    family: Family,
    examples: Sequence[Example],
    unseen: Mapping[str, Sequence[Example]],
    recipe: Recipe,
    out: Path,
    card_file: Path,
    max_bytes: int,
    *,
    as_json: bool = False,
) -> None:
    facts = {"family": title, "rows": len(examples), "seed": recipe.seed, "epochs": recipe.epochs}
    with _said((FOLDS + 1) * recipe.epochs, aside=as_json) as say:
        learnt = learn(examples, recipe, facts, max_bytes, say, Words.built_in())
    _writable(out)
    modelfile.write(out, learnt.model)
    classifier = StaticClassifier.load(out)
    found = [one for kind, some in unseen.items() for one in _measured(kind, classifier, some)]
    told = card.Training(
        name=title,
        title=f"The {title} model" if not family.labels else f"The built-in {title} model",
        summary=family.summary,
        command=f"wayside train {title}" if family.labels else f"wayside train own --name {title}",
        examples=examples,
        recipe=recipe,
        learnt=learnt,
        bytes=out.stat().st_size,
        limits=family.limits,
        costs=card.costs(classifier.classify, examples),
    )
    _writable(card_file)
    card_file.write_text(card.as_markdown(told, found), "utf-8")
    if as_json:
        sets = {n: {"rows": r.rows, "accuracy": r.accuracy, "ece": r.ece} for n, r in found}
        figures = {"bytes": told.bytes, "labels": list(learnt.model.labels), "rows": len(examples)}
        measured = {"accuracy": learnt.accuracy, "ece": learnt.ece, "sets": sets}
        files = {"model": str(out), "card": str(card_file)}
        click.echo(json.dumps({**files, **figures, **measured}, indent=2))
        return
    click.echo(
        f"{out}: {told.bytes:,} bytes, {len(learnt.model.labels)} labels, "
        f"{len(examples):,} rows; cross-validated accuracy {learnt.accuracy:.3f}, "
        f"calibration error {learnt.ece:.3f}"
    )
    for name, one in found:
        click.echo(f"{name}: {one.rows} rows, accuracy {one.accuracy:.3f}, ece {one.ece:.3f}")
    click.echo(f"card: {card_file}")


def _measured(
    kind: str, classifier: StaticClassifier, unseen: Sequence[Example]
) -> list[tuple[str, Report]]:
    """Reports on a set of rows kept apart: all of them, the English ones, the others."""
    found = answers(classifier.classify, unseen)
    english = [a for a in found if a.example.lang == "en"]
    others = [a for a in found if a.example.lang not in ("", "en")]
    sets = [(kind, found)]
    if english and others:
        sets += [(f"{kind}, English", english), (f"{kind}, other languages", others)]
    return [(name, report(name, some)) for name, some in sets if some]


@contextmanager
def _said(epochs: int, *, aside: bool = False) -> Iterator[Callable[[str], None]]:
    """A progress bar on a terminal; plain lines elsewhere, ``aside`` on standard error."""
    if aside or not sys.stdout.isatty():
        yield lambda line: click.echo(line, err=aside)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(), transient=True) as progress:
        task = progress.add_task("reading", total=epochs)

        def say(line: str) -> None:
            if line.startswith("epoch"):
                progress.advance(task)
            else:
                progress.update(task, description=line)

        yield say


def _run_script(family: Family, out: Path | None, seed: int | None) -> None:
    """A family that learns from more than rows is trained by its script in the checkout."""
    script = families.corpora().parent / family.script
    if not script.is_file():
        raise ConfigError.one(
            f"{family.script} is not in this checkout",
            where=str(script.parent),
            fix="give a file of labelled rows",
        )
    words = [str(script)]
    words += ["--out", str(out)] if out else []
    words += ["--seed", str(seed)] if seed is not None else []
    before, sys.argv = sys.argv, words
    try:
        runpy.run_path(str(script), run_name="__main__")
    finally:
        sys.argv = before


def _writable(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            pass
    except OSError as error:
        raise ConfigError.one(
            f"cannot be written: {error.strerror}", where=str(path), fix="check the path"
        ) from error
