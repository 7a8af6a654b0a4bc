"""``wayside eval selection``: what a way of choosing models is worth, on measured outcomes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click

from wayside.cli.files import config_option
from wayside.cli.train_selection import eyes
from wayside.engines import families, selection_file, selection_rows, selection_train
from wayside.engines.selection_curve import Scored, as_text, curve
from wayside.engines.selection_rows import Question
from wayside.engines.selection_run import Model
from wayside.engines.static import StaticClassifier
from wayside.selection.strong_weak import OWN, StrongWeakRule, strength
from wayside.settings.problems import suggest
from wayside.vocab.ask import Labels
from wayside.vocab.errors import AskFailed, ConfigError

_FILE = click.Path(dir_okay=False, path_type=Path)
HELD_OUT: Final = "strength/heldout.jsonl"
Score = Callable[[Sequence[Question]], list[float]]


@click.command(
    "selection",
    short_help="What choosing between models is worth, on measured outcomes.",
    epilog="""\b
Examples:
  wayside eval selection                                        (a checkout's judged prompts)
  wayside eval selection rows.jsonl --strong large --weak small
  wayside eval selection rows.jsonl --model models/model-selection/mlp.selector
  wayside eval selection mmlu_*.csv --strong gpt-4-1106-preview --weak mixtral

Rows are those of `wayside train selection`, or a .csv table with a column a model.""",
)
@click.argument("files", nargs=-1, type=_FILE)
@click.option("--strong", help="The model that costs more, as the rows call it.")
@click.option("--weak", help="The other one.")
@click.option("--engine", help=f"The classifier that scores prompts.  [default: {OWN}]")
@click.option(
    "--model", type=_FILE, help="A file of `wayside train`: a selector, or a classifier."
)
@click.option(
    "--without", type=_FILE, multiple=True, help="Questions to leave out, one JSON a line."
)
@click.option("--seed", type=click.IntRange(0), default=0, help="Of the resampling.")
@click.option("--json", "as_json", is_flag=True, help="Plain data, for scripts.")
@config_option
def command(
    files: tuple[Path, ...],
    strong: str | None,
    weak: str | None,
    engine: str | None,
    model: Path | None,
    without: tuple[Path, ...],
    seed: int,
    as_json: bool,
    path: Path | None,
) -> None:
    """Print what a selector or a strong/weak score is worth on FILES of measured outcomes.

    With --strong and --weak: quality at each share of questions that go to the strong model, the
    gap recovered (APGR), and the least share that recovers half of it (CPT(50%)) and four fifths
    (CPT(80%)), as RouteLLM defines them; beside them what dice, the length of the prompt and an
    oracle reach. With a trained selector and neither: its choices against every single model.
    Measure on questions that it was not trained with.
    """
    if engine is not None and model is not None:
        raise click.UsageError("Give --engine or --model, not both.")
    if (strong is None) != (weak is None):
        raise click.UsageError("--strong and --weak go together.")
    if files:
        questions = _left(selection_rows.read(files), without)
    elif strong is not None:
        raise click.UsageError("--strong and --weak are for files of rows.")
    else:
        questions, strong, weak = judged(families.corpora() / HELD_OUT), "strong", "weak"
    learnt = _learnt(model)
    if strong is None or weak is None:
        if learnt is None:
            known = ", ".join(selection_rows.models(questions)[:12])
            raise click.UsageError(f"Give --strong and --weak: two of {known}.")
        _choices(learnt, questions, path, as_json)
        return
    pair = _pair(questions, strong, weak)
    if model is not None and learnt is None:
        classifier = _classifier(model)
        score = _by_labels(lambda text: classifier.classify(text), model.name)
        _curves({model.name: score(pair), **_plain(pair)}, pair, strong, weak, seed, as_json)
        return
    embedder = learnt.learnt.embedder if learnt is not None else "embedding"
    with eyes(embedder, engine or OWN if learnt is None else "domain", path) as seen:
        if learnt is not None and model is not None:
            scores = {model.name: _by_selector(learnt, seen, strong, weak)(pair)}
        else:
            name = engine or OWN
            scores = {name: _by_labels(seen.classify, name)(pair)}
    _curves({**scores, **_plain(pair)}, pair, strong, weak, seed, as_json)


def judged(file: Path) -> list[Question]:
    """Prompts that people judged, as outcomes: the strong model always does, the weak one where
    the label says so."""
    try:
        lines = file.read_text("utf-8").splitlines()
    except OSError as error:
        raise ConfigError.one(
            f"cannot be read: {error.strerror}", where=str(file), fix="give a file of rows"
        ) from error
    found = [json.loads(line) for line in lines if line.strip()]
    return [
        Question(row["text"], "", {"strong": 1.0, "weak": float(row["label"] == "weak")})
        for row in found
    ]


def _left(questions: list[Question], without: Iterable[Path]) -> list[Question]:
    out: set[str] = set()
    for file in without:
        for line in file.read_text("utf-8").splitlines():
            row = json.loads(line)
            out |= {row[n] for n in ("query", "prompt", "eval_prompt") if n in row}
    return [q for q in questions if q.text not in out]


def _learnt(file: Path | None) -> Model | None:
    """The selector in a file; none if it holds something else."""
    if file is None:
        return None
    try:
        with file.open("rb") as held:
            if held.read(len(selection_file.FAMILY)) != selection_file.FAMILY:
                return None
        return Model(selection_file.read(file))
    except (OSError, ValueError) as error:
        raise ConfigError.one(
            str(error), where="--model", fix="give a file `wayside train` wrote"
        ) from error


def _classifier(file: Path) -> StaticClassifier:
    try:
        return StaticClassifier.load(file)
    except (OSError, ValueError) as error:
        raise ConfigError.one(
            str(error), where="--model", fix="give a file `wayside train` wrote"
        ) from error


def _pair(questions: Sequence[Question], strong: str, weak: str) -> list[Question]:
    """The questions that both models were tried with."""
    known = selection_rows.models(questions)
    for option, name in (("--strong", strong), ("--weak", weak)):
        if name not in known:
            raise ConfigError.one(
                f"no row of model {name!r}", where=option, fix=suggest(name, known, "models")
            )
    return [q for q in questions if strong in q.quality and weak in q.quality]


def _by_labels(classify: Callable[[str], Labels], name: str) -> Score:
    counted = StrongWeakRule(engine=name).counted()

    def score(questions: Sequence[Question]) -> list[float]:
        try:
            return [strength(classify(q.text), counted) for q in questions]
        except AskFailed as error:
            raise ConfigError.one(
                str(error), where=name, fix="train one with the labels strong and weak"
            ) from error

    return score


def _by_selector(model: Model, seen: selection_train.Eyes, strong: str, weak: str) -> Score:
    """How much more the selector gives the strong model than the weak one."""
    for option, name in (("--strong", strong), ("--weak", weak)):
        if name not in model.learnt.models:
            fix = suggest(name, model.learnt.models, "it has seen")
            raise ConfigError.one(f"the selector has never seen {name!r}", where=option, fix=fix)
    columns = tuple(model.learnt.models.index(name) for name in (strong, weak))

    def score(questions: Sequence[Question]) -> list[float]:
        found = []
        for vector, category in _seen(questions, seen):
            one, other = selection_train.scored(model, vector, category, columns)
            found.append((one or 0.0) - (other or 0.0))
        return found

    return score


def _seen(questions: Sequence[Question], seen: selection_train.Eyes) -> list[tuple[Any, str]]:
    vectors = selection_train.embedded([q.text for q in questions], seen.embed)
    ranked = [seen.classify(q.text) for q in questions]
    return [(v, r[0][0] if r else "") for v, r in zip(vectors, ranked, strict=True)]


def _plain(questions: Sequence[Question]) -> dict[str, list[float]]:
    """What needs no model: the longer the prompt, the stronger the model."""
    return {"length of the prompt": [float(len(q.text)) for q in questions]}


def _curves(
    scores: dict[str, list[float]],
    questions: Sequence[Question],
    strong: str,
    weak: str,
    seed: int,
    as_json: bool,
) -> None:
    found = {}
    for name, values in scores.items():
        rows = [
            Scored(value, q.quality[weak], q.quality[strong])
            for value, q in zip(values, questions, strict=True)
        ]
        try:
            found[name] = curve(rows, seed)
        except ValueError as error:
            raise ConfigError.one(
                str(error), where="--strong", fix="turn the two round, or measure more"
            ) from error
    if as_json:
        click.echo(json.dumps({name: asdict(one) for name, one in found.items()}, indent=2))
    else:
        click.echo("\n\n".join(as_text(name, one) for name, one in found.items()))


def _choices(
    model: Model, questions: Sequence[Question], path: Path | None, as_json: bool
) -> None:
    unknown = set(model.learnt.models) - set(selection_rows.models(questions))
    if unknown:
        raise ConfigError.one(
            f"no row of {', '.join(sorted(unknown))}",
            where="FILES",
            fix="measure every model of the selector",
        )
    with eyes(model.learnt.embedder, "domain", path) as seen:
        apart = [(q, v, c) for q, (v, c) in zip(questions, _seen(questions, seen), strict=True)]
    found = selection_train.report(model.learnt, apart, [])
    if as_json:
        click.echo(json.dumps(selection_train.as_dict(found), indent=2))
    else:
        click.echo(selection_train.as_text(found))
