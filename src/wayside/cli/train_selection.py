"""``wayside train selection``: a selector from measurements, and what it would have been worth."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import click

from wayside.cli.files import config_option, load
from wayside.engines import BUILT_IN, Engines, selection_file, selection_rows, selection_train
from wayside.engines.selection_fit import MAX_POINTS, MAX_VECTORS, Choices
from wayside.engines.selection_train import Eyes
from wayside.runtime.keys import KeyRing
from wayside.settings import Task
from wayside.settings.problems import suggest
from wayside.settings.taught import FOLDER
from wayside.vocab.errors import AskFailed, ConfigError
from wayside.vocab.taught import Algorithm

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(
    "selection",
    short_help="Train a selector from measurements.",
    epilog="""\b
Examples:
  wayside train selection --algorithm knn rows.jsonl
  wayside train selection --algorithm mlp rows.jsonl -o mine.selector --seed 7 --json

A row is {"query": "...", "model": "...", "performance": 0..1, "response_time": seconds};
"category" may be added. One row a line. Use the file with `select: {knn: {file: ...}}`.""",
)
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option("--algorithm", "-a", required=True, type=click.Choice(sorted(get_args(Algorithm))))
@click.option(
    "--out", "-o", type=_FILE, help=f"The selector's file.  [default: {FOLDER}/ALGORITHM.selector]"
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, help="Same rows, same seed, same bytes."
)
@click.option(
    "--held-out",
    type=click.FloatRange(0.05, 0.5),
    default=0.2,
    show_default=True,
    help="The share of questions to measure with; the file learns from all of them in the end.",
)
@click.option(
    "--k", type=click.IntRange(1, 1000), default=5, help="knn: neighbours to measure with."
)
@click.option("--clusters", type=click.IntRange(1, 1000), default=8, help="kmeans: groups.")
@click.option(
    "--efficiency-weight",
    type=click.FloatRange(0, 1),
    default=0.1,
    help="kmeans: what speed counts in the measurement.",
)
@click.option(
    "--c", type=click.FloatRange(0.001, 1000), default=1.0, help="svm: cost of an error."
)
@click.option("--gamma", type=click.FloatRange(0.0001, 1000), help="svm: width of the kernel.")
@click.option("--hidden", type=click.IntRange(1, 1024), default=64, help="mlp: hidden units.")
@click.option("--epochs", type=click.IntRange(1, 1000), default=60, help="mlp: passes.")
@click.option("--embedder", default="embedding", show_default=True, help="An engine, by name.")
@click.option("--classifier", default="domain", show_default=True, help="An engine, by name.")
@click.option("--json", "as_json", is_flag=True, help="Plain data, for scripts.")
@config_option
def command(
    files: tuple[Path, ...],
    algorithm: Algorithm,
    out: Path | None,
    seed: int,
    held_out: float,
    k: int,
    clusters: int,
    efficiency_weight: float,
    c: float,
    gamma: float | None,
    hidden: int,
    epochs: int,
    embedder: str,
    classifier: str,
    as_json: bool,
    path: Path | None,
) -> None:
    """Train a selector from FILES of measurements, and say what it would have been worth.

    The report compares it, on questions it never saw, with every single model and with an oracle.
    Read it before using the file: a selector that is not clearly better than the best single
    model is not worth its cost.
    """
    questions = selection_rows.read(files)
    say = (lambda line: None) if as_json else click.echo
    most = {"knn": MAX_POINTS, "svm": MAX_VECTORS}.get(algorithm)
    if most is not None and len(questions) > most:
        click.echo(f"{algorithm} keeps {most:,} of {len(questions):,} questions", err=True)
        questions = questions[:most]
    how = Choices(seed=seed, clusters=clusters, c=c, gamma=gamma, hidden=hidden, epochs=epochs)
    with eyes(embedder, classifier, path) as seen:
        learnt, report = selection_train.learn(
            questions,
            algorithm,
            seen,
            how,
            held_out=held_out,
            k=k,
            efficiency=efficiency_weight,
            say=say,
        )
    out = out or Path(FOLDER) / f"{algorithm}.selector"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        selection_file.write(out, learnt)
    except OSError as error:
        raise ConfigError.one(
            f"cannot be written: {error.strerror}", where=str(out), fix="check the path"
        ) from error
    size = out.stat().st_size
    if as_json:
        told = {"file": str(out), "bytes": size, **selection_train.as_dict(report)}
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    click.echo(f"\n{selection_train.as_text(report)}\n")
    click.echo(f"{out}: {size:,} bytes, {len(questions):,} questions, {len(learnt.models)} models")


@contextmanager
def eyes(embedder: str, classifier: str, config: Path | None) -> Iterator[Eyes]:
    """The engines that see questions; the configuration is read only for its own ones."""
    own = all(name in BUILT_IN for name in (embedder, classifier)) and config is None
    engines = Engines({} if own else load(config).settings.engines, KeyRing(os.environ).resolve)
    with asyncio.Runner() as runner:

        def settled(answer: Any) -> Any:
            return runner.run(_awaited(answer)) if inspect.isawaitable(answer) else answer

        try:
            sight = engine(engines, embedder, "embed", "--embedder")
            topics = engine(engines, classifier, "classify", "--classifier")
            yield Eyes(
                embedder,
                lambda texts: settled(sight.embed(texts)),
                lambda text: settled(topics.classify(text)),
                tuple(sorted(topics.labels)),
            )
        except (OSError, AskFailed) as error:
            raise click.ClickException(f"an engine did not answer: {error}") from error
        finally:
            engines.close()


def engine(engines: Engines, name: str, task: Task, where: str) -> Any:
    """The engine ``name``, which can do ``task``. Raises :class:`ConfigError`."""
    known = {one.name: one.tasks for one in engines.inventory()}
    able = [other for other, tasks in known.items() if task in tasks]
    if name not in able:
        what = f"engine {name!r} does not {task}" if name in known else f"no engine {name!r}"
        raise ConfigError.one(what, where=where, fix=suggest(name, able, "engines"))
    try:
        return engines.engine(name)
    except (OSError, ValueError, ImportError, AskFailed) as error:
        raise ConfigError.one(f"cannot be loaded: {error}", where=where) from error


async def _awaited(answer: Any) -> Any:
    return await answer
