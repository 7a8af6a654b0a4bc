"""``wayside eval``: how good are the models that signals rely on, on your own labelled text?"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from wayside.cli import bars, eval_cache, eval_selection, probe
from wayside.cli.files import config_option, load
from wayside.cli.progress import clock, counted
from wayside.engines import BUILT_IN, Engine, Engines, families, page, rows, spans
from wayside.engines.families import FAMILIES
from wayside.engines.language import LanguageDetector
from wayside.engines.report import Report, answers, as_dict, as_text, report
from wayside.engines.rows import Example
from wayside.engines.static import StaticClassifier
from wayside.runtime.keys import KeyRing
from wayside.settings import Task
from wayside.settings.problems import suggest
from wayside.vocab.ask import Labels, Spans
from wayside.vocab.errors import AskFailed, ConfigError

Classify = Callable[[str], Labels]
_FILE = click.Path(dir_okay=False, path_type=Path)
LANGUAGE: Final = "language"
HELD_OUT: Final = "language/heldout.jsonl"

POSITIVE: Final = {"fact_check": "needs_fact_check", "jailbreak": "jailbreak"}
"""What the two-class families detect."""


class Group(click.Group):
    """Says which evaluation may have been meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            ctx.fail(f"nothing called {args[0]!r} to evaluate; {suggest(args[0], known)}")
        return super().resolve_command(ctx, args)


@click.group("eval", cls=Group)
def command() -> None:
    """Measure the models that signals rely on."""


def _options(function: Callable[..., None]) -> Callable[..., None]:
    """What every evaluation of a classifier takes."""
    for option in reversed(
        (
            click.argument("files", nargs=-1, type=_FILE),
            click.option("--model", type=_FILE, help="Another model file of ours."),
            click.option("--engine", help="An engine of the configuration, by name."),
            config_option,
            click.option(
                "--format",
                "format_",
                type=click.Choice(["text", "json", "html"]),
                default="text",
                show_default=True,
            ),
            click.option("--json", "as_json", is_flag=True, help="The same as --format json."),
            click.option("--out", type=_FILE, help="Write there instead of standard output."),
        )
    ):
        function = option(function)
    return function


def _add(family: str, summary: str) -> None:
    """``wayside eval FAMILY``."""

    @command.command(
        family,
        short_help=f"Evaluate the {family} model on labelled text.",
        help=f"""Evaluate the {family} model ({summary}) on FILES of labelled rows.

A row is {{"text": ..., "label": ...}}, one a line; "lang", "kind" and "source" are reported
separately. Without files, a checkout's own held-out rows are measured. Prints accuracy, per label
precision, recall and F1, the confusion matrix, how far the confidence can be believed, what a
threshold leaves, and the cost per prompt; the HTML page draws them.

\b
Examples:
  wayside eval {family} mine.jsonl
  wayside eval {family} mine.jsonl --format html --out report.html""",
    )
    @_options
    def evaluate(
        files: tuple[Path, ...],
        model: Path | None,
        engine: str | None,
        path: Path | None,
        format_: str,
        as_json: bool,
        out: Path | None,
    ) -> None:
        with _classifier(family, model, engine, path) as (classify, labels):
            examples = list(_examples(family, files, labels))
            with counted(f"evaluating {family}", len(examples)) as step:
                found = answers(classify, examples, clock(step))
        if not found:
            raise click.ClickException("no rows in the given files")
        title = f"{family}, by {engine}" if engine else family
        _tell(report(title, found, POSITIVE.get(family)), "json" if as_json else format_, out)


for _name, _family in FAMILIES.items():
    _add(_name, _family.summary)
_add(LANGUAGE, "which language a text is written in")
command.add_command(bars.command)
command.add_command(probe.command)
command.add_command(eval_selection.command)


@command.command(short_help="Evaluate the recogniser of personal data on labelled spans.")
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option("--threshold", type=click.FloatRange(0, 1), default=0.5, show_default=True)
@click.option("--engine", help="An engine of the configuration, by name.")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Plain data, for scripts.")
def pii(
    files: tuple[Path, ...], threshold: float, engine: str | None, path: Path | None, as_json: bool
) -> None:
    """Evaluate the recogniser of personal data on FILES of labelled spans.

    A row is {"text": ..., "spans": [[start, end, type], ...]}, one a line. Prints recall and
    precision by type; a piece counts as found when one of its type overlaps it.

    \b
    Example:
      wayside eval pii mine.jsonl
    """
    rows_ = [row for file in files for row in spans.read(file)]
    with (
        _engine(engine or "pii", "mark", path if engine else None, engine) as (found, settled),
        counted("evaluating pii", len(rows_)) as step,
    ):

        def mark(text: str) -> Spans:
            marked: Spans = settled(found.mark(text, ""))
            step()
            return tuple(span for span in marked if span.score >= threshold)

        figures = spans.measure(mark, rows_)
    patterns = [f for f in figures if f.label in spans.PATTERNS]
    figures = (*figures, spans.together(patterns, "types with a form"), spans.together(figures))
    if as_json:
        click.echo(json.dumps(spans.as_dict(figures), indent=2))
    else:
        click.echo(f"{len(rows_)} texts\n\n{spans.as_text(figures)}")


@contextmanager
def _classifier(
    family: str, model: Path | None, engine: str | None, config: Path | None
) -> Iterator[tuple[Classify, tuple[str, ...]]]:
    """What is measured, and the labels it can give (none: not known)."""
    if model is not None and engine is not None:
        raise click.UsageError("Give --model or --engine, not both.")
    if family == LANGUAGE and engine is None:
        if model is not None:
            raise click.UsageError("--model holds classifiers of ours; languages have their own.")
        yield LanguageDetector().detect, ()
        return
    if model is not None:
        try:
            static = StaticClassifier.load(model)
        except (ValueError, OSError) as error:
            raise ConfigError.one(
                str(error), where="--model", fix="give a file `wayside train` wrote"
            ) from error
        yield static.classify, static.labels
        return
    with _engine(engine or family, "classify", config, engine) as (found, settled):
        yield lambda text: settled(found.classify(text)), found.labels


@contextmanager
def _engine(
    name: str, task: Task, config: Path | None, configured: str | None
) -> Iterator[tuple[Engine, Callable[[Any], Any]]]:
    """An engine that can do ``task``, and what waits for its answers where they take long."""
    settings = load(config).settings.engines if configured is not None else {}
    known = [n for n in (*settings, *BUILT_IN) if n in settings or BUILT_IN[n].task == task]
    if name not in known:
        raise ConfigError.one(
            f"no engine {name!r}", where="--engine", fix=suggest(name, known, "engines")
        )
    engines = Engines(settings, KeyRing(os.environ).resolve)
    with asyncio.Runner() as runner:
        try:
            found = engines.engine(name)
        except (OSError, ValueError, ImportError, AskFailed) as error:
            raise ConfigError.one(f"cannot be loaded: {error}", where=name) from error
        if task not in found.tasks:
            able = ", ".join(sorted(found.tasks))
            raise ConfigError.one(f"cannot {task}; it can: {able}", where=f"--engine {name}")

        def settled(answer: Any) -> Any:
            return runner.run(_awaited(answer)) if inspect.isawaitable(answer) else answer

        try:
            yield found, settled
        finally:
            engines.close()


async def _awaited(answer: Any) -> Any:
    return await answer


command.add_command(eval_cache.made(_engine))


def _examples(family: str, files: Sequence[Path], labels: tuple[str, ...]) -> list[Example]:
    if files:
        return [one for file in files for one in rows.read(file, labels or None)]
    folder = families.corpora()
    if family == LANGUAGE:
        return rows.read(folder / HELD_OUT, None, HELD_OUT)
    found = families.held_out(FAMILIES[family], folder)
    if not found:
        raise ConfigError.one(
            f"the corpora hold no rows to measure {family} with",
            where="FILES",
            fix='give a file of {"text": ..., "label": ...} lines',
        )
    return found


def _tell(found: Report, format_: str, out: Path | None) -> None:
    if format_ == "json":
        text = json.dumps(as_dict(found), indent=2, ensure_ascii=False)
    else:
        text = page.as_html(found) if format_ == "html" else as_text(found)
    if out is None:
        click.echo(text.encode("utf-8", "replace").decode())
        return
    try:
        out.write_text(text.rstrip("\n") + "\n", "utf-8", "replace")
    except OSError as error:
        raise ConfigError.one(
            f"cannot be written: {error.strerror}", where=str(out), fix="check the path"
        ) from error
    click.echo(f"{found.rows} rows, accuracy {found.accuracy:.3f}: {out}")
