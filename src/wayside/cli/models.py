"""``wayside models``: what reads prompts here, bringing more of it, and checking it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any, cast

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from wayside.cli.console import console, escape
from wayside.cli.files import config_option, load
from wayside.engines import BUILT_IN, store
from wayside.engines.built_in import WEIGHTS
from wayside.engines.folder import find
from wayside.engines.hub import Hub, HubError, Weights
from wayside.engines.known import KNOWN, repository
from wayside.engines.onnx import int8_of
from wayside.settings import RouterSettings
from wayside.settings.problems import suggest

BUILT_IN_LICENSE = "Apache-2.0"
LOCAL_KINDS = ("onnx", "torch")


@click.group("models")
def command() -> None:
    """Models that read prompts: built in, pulled here, and how to get more.

    The built-in ones need nothing. Others come from the Hugging Face Hub or a mirror of it
    (HF_ENDPOINT, and HF_TOKEN for gated ones) into $WAYSIDE_MODELS, ~/.cache/wayside/models
    otherwise.
    """


@command.command("list", short_help="Show models: built in, here, known, configured.")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Plain data, for scripts.")
def list_(path: Path | None, as_json: bool) -> None:
    """Show what is built in, what is here, what is known, and what a configuration uses.

    \b
    Examples:
      wayside models list
      wayside models list --config wayside.yaml
    """
    used = list(configured(load(path).settings)) if path is not None else []
    found = {
        "built_in": [built_in(name) for name in BUILT_IN],
        "here": [here(name) for name in store.pulled()],
        "known": [
            {"name": name, "task": k.task, "parameters": k.parameters, "about": k.note}
            for name, k in KNOWN.items()
        ],
        "configured": [vars_of(use) for use in used],
    }
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for title, key in (
        ("Used by the configuration", "configured"),
        ("Built in", "built_in"),
        (f"On this machine, in {store.store()}", "here"),
        ("Known on the hub: wayside models pull NAME", "known"),
    ):
        rows = found[key]
        if not rows:
            continue
        table = Table(box=None, padding=(0, 2, 0, 0), title=title, title_justify="left")
        for column in rows[0]:
            table.add_column(column.replace("_", " "))
        for row in rows:
            table.add_row(*(escape(_text(name, value)) for name, value in row.items()))
        console().print(table)
        click.echo()


@command.command("pull")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@config_option
@click.option("--revision", default="main", show_default=True, help="A branch, tag or commit.")
@click.option(
    "--weights",
    type=click.Choice(["auto", "onnx", "torch"]),
    help="Which weights: a graph, safetensors, or a graph where there is one.  [default: auto; "
    "with --config what the engine's kind needs]",
)
@click.option("--file", help="This graph, such as onnx/model_quantized.onnx.")
@click.option("--int8", is_flag=True, help="Make 8-bit weights of a 32-bit graph (needs onnx).")
@click.option(
    "--max-gb",
    type=click.FloatRange(min=0, min_open=True),
    default=8.0,
    show_default=True,
    help="Refuse a model larger than this.",
)
@click.option("--json", "as_json", is_flag=True, help="Plain data, for scripts.")
def pull(
    names: tuple[str, ...],
    path: Path | None,
    revision: str,
    weights: Weights | None,
    file: str | None,
    int8: bool,
    max_gb: float,
    as_json: bool,
) -> None:
    """Bring models here: those named, or those that a configuration uses.

    Downloads are resumed where they stopped, checked against the hub's hashes, and written down
    in wayside.lock.json. Pickled weights are never taken.

    \b
    Examples:
      wayside models pull llm-semantic-router/mmbert32k-intent-classifier-merged
      wayside models pull sentence-transformers/all-MiniLM-L6-v2 --int8
      wayside models pull --config wayside.yaml
    """
    wanted = [Use("", "", repository_of(name), weights or "auto", int8) for name in names]
    if not names:
        uses = configured(load(path).settings)
        wanted = [use for use in uses if not Path(use.model).expanduser().is_dir()]
        for use in wanted:
            use.model = repository_of(use.model)
            use.weights, use.int8 = weights or use.weights, int8 or use.int8
        if not wanted and not as_json:
            click.echo("The configuration uses no model that has to be pulled.")
    brought = []
    for use in wanted:
        try:
            folder = fetch(use, revision, file, max_gb)
            if use.int8:
                made = int8_of(find(str(folder)).onnx(file or _exact(folder)))
                if made.is_relative_to(folder):
                    store.add_to_lock(folder, [made])
        except (HubError, OSError, ValueError, ImportError) as error:
            raise click.ClickException(str(error)) from error
        lock = store.lock_of(folder) or {}
        size = sum(item["size"] for item in lock["files"].values())
        if not as_json:
            click.echo(f"{use.model}: {_mb(size)} in {folder} (licence: {lock['license']})")
        row = {"model": use.model, "folder": str(folder), "bytes": size}
        brought.append({**row, "license": lock["license"]})
    if as_json:
        click.echo(json.dumps(brought, indent=2))


@command.command("verify", short_help="Compare models with what was installed or pulled.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--json", "as_json", is_flag=True, help="Plain data, for scripts.")
def verify(names: tuple[str, ...], as_json: bool) -> None:
    """Compare models with what was installed or pulled; exit 1 and say what differs.

    Without names: the built-in ones and all that were pulled.

    \b
    Examples:
      wayside models verify
      wayside models verify sentence-transformers/all-MiniLM-L6-v2
    """
    problems: list[str] = []
    checked = 0
    if not names:
        recorded, problems = verify_built_in()
        checked += recorded
        if not recorded and not as_json:
            click.echo("built in: not recorded (installed from a source tree), so not compared")
    for name in names or store.pulled():
        problems += store.verify(store.folder_of(repository_of(name)))
        checked += 1
    if as_json:
        click.echo(json.dumps({"compared": checked, "differences": problems}, indent=2))
        raise click.exceptions.Exit(1 if problems else 0)
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        raise click.ClickException(f"{len(problems)} differences")
    click.echo(f"{checked} compared, no difference")


@dataclass(slots=True)
class Use:
    """A model on disk that an engine of a configuration uses."""

    engine: str
    kind: str
    model: str
    weights: Weights = "auto"
    int8: bool = False


def configured(settings: RouterSettings) -> Iterator[Use]:
    """The engines of a configuration that run a model from this machine."""
    for name, spec in settings.engines.items():
        for kind, rule in spec.items():
            if kind in LOCAL_KINDS and isinstance(rule.get("model"), str):
                yield Use(name, kind, rule["model"], cast(Weights, kind), bool(rule.get("int8")))


def repository_of(name: str) -> str:
    """The hub's name for what was written; fails with the nearest one."""
    found = repository(name) or name
    if not store.is_repository(found):
        raise click.ClickException(
            f"{name!r} is no repository (owner/name); "
            + suggest(name, [*KNOWN, *(n.partition("/")[2] for n in KNOWN)], "known")
        )
    return found


def fetch(use: Use, revision: str, file: str | None, max_gb: float) -> Path:
    """Pull with a bar on a terminal's standard error."""
    said = TextColumn("{task.description}")
    columns = (said, BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def progress(name: str, have: int, size: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(escape(name), total=size)
            bars.update(tasks[name], completed=have)

        return Hub().pull(
            use.model,
            revision=revision,
            weights=use.weights,
            file=file,
            max_bytes=int(max_gb * 1e9),
            progress=progress,
        )


def built_in(name: str) -> dict[str, Any]:
    """A row about a model in the wheel; size 0 for those that are rules rather than weights."""
    sizes = [path.stat().st_size for path in WEIGHTS.glob(f"{name}.*")]
    known = BUILT_IN[name]
    return {
        "name": name,
        "task": known.task,
        "size": sum(sizes),
        "license": BUILT_IN_LICENSE,
        "about": known.summary,
    }


def here(name: str) -> dict[str, Any]:
    """A row about a pulled model."""
    lock = store.lock_of(store.folder_of(name)) or {"files": {}}
    return {
        "name": name,
        "task": KNOWN[name].task if name in KNOWN else "",
        "size": sum(item["size"] for item in lock["files"].values()),
        "license": lock.get("license", ""),
        "revision": str(lock.get("revision", ""))[:12],
    }


def vars_of(use: Use) -> dict[str, Any]:
    """A row about a model that a configuration uses."""
    try:
        where = str(find(use.model).path)
    except ValueError as error:
        where = str(error)
    return {"engine": use.engine, "kind": use.kind, "model": use.model, "where": where}


def verify_built_in() -> tuple[int, list[str]]:
    """How many weights the installed package recorded (wheels do), and which differ."""
    try:
        recorded = [f for f in files("wayside") or () if f.hash and "weights" in f.parts]
    except PackageNotFoundError:
        recorded = []
    problems = []
    for item in recorded:
        path = Path(str(item.locate()))
        if not path.is_file():
            problems.append(f"{path}: is missing")
        elif item.hash and item.hash.mode == "sha256" and _recorded(path) != item.hash.value:
            problems.append(f"{path}: its content has changed")
    return len(recorded), problems


def _recorded(path: Path) -> str:
    """A hash as wheels write it (PEP 376): base64, URL-safe, without padding."""
    return base64.urlsafe_b64encode(sha256(path.read_bytes()).digest()).rstrip(b"=").decode()


def _exact(folder: Path) -> str | None:
    """The 32-bit graph of a folder, if it has one beside a smaller one."""
    for name in ("model.onnx", "onnx/model.onnx"):
        if (folder / name).is_file():
            return name
    return None


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _text(column: str, value: Any) -> str:
    if column == "size":
        return _mb(value) if value else "-"
    return str(value)
