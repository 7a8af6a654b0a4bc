"""``wayside eval``: how good are the built-in models, on your own labelled text?"""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec

from wayside.cli.probe import command as recipe
from wayside.engines.evaluate import evaluate, to_dict, to_text
from wayside.engines.static import StaticClassifier


class _Row(msgspec.Struct):
    text: str
    label: str


@click.group("eval")
def command() -> None:
    """Measure the models that signals rely on."""


command.add_command(recipe)

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@command.command(short_help="Evaluate the domain model on labelled prompts.")
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option("--model", type=_FILE, help="Another model file.")
@click.option("--json", "as_json", is_flag=True, help="Plain data, for scripts.")
def domain(files: tuple[Path, ...], model: Path | None, as_json: bool) -> None:
    """Evaluate the domain model on JSON lines of {"text": ..., "label": ...}.

    Prints accuracy, per-class figures, calibration error, the confusion matrix and the cost per
    prompt.

    \b
    Example:
      echo '{"text": "what is 7 times 8?", "label": "math"}' > mine.jsonl
      wayside eval domain mine.jsonl
    """
    try:
        classifier = StaticClassifier.load(model) if model else StaticClassifier.built_in()
    except ValueError as error:
        raise click.ClickException(f"--model: {error}") from None
    rows = [row for file in files for row in read_rows(file, classifier.labels)]
    if not rows:
        raise click.ClickException("no rows in the given files")
    found = evaluate(classifier, rows)
    click.echo(json.dumps(to_dict(found), indent=2) if as_json else to_text(found))


def read_rows(file: Path, labels: tuple[str, ...]) -> list[tuple[str, str]]:
    """Text and label of every line; a bad line stops with its number."""
    decoder = msgspec.json.Decoder(_Row)
    rows = []
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = decoder.decode(line)
            except msgspec.DecodeError as error:
                raise click.ClickException(f"{file}:{number}: {error}") from None
            if row.label not in labels:
                known = ", ".join(labels)
                raise click.ClickException(
                    f"{file}:{number}: label {row.label!r} is not one of: {known}"
                )
            rows.append((row.text, row.label))
    return rows
