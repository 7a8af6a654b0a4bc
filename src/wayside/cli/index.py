"""``wayside index``: give a running router texts for the plugin ``rag``."""

from __future__ import annotations

import hashlib
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from wayside.cli.console import console
from wayside.cli.progress import counted

SUFFIXES = (".md", ".txt", ".rst")
MAX_FILE = 16 << 20
BATCH = 50
_PARAGRAPH = re.compile(r"\n\s*\n")


@click.command("index")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--collection", default="documents", show_default=True, help="As in the plugin.")
@click.option("--store", default="memory", show_default=True, help="A store that takes passages.")
@click.option("--engine", default="embedding", show_default=True, help="Embeds the passages.")
@click.option("--size", default=1200, show_default=True, help="Characters of a passage, about.")
@click.option(
    "--management",
    default="http://127.0.0.1:8080",
    show_default=True,
    help="The router's management listener.",
)
@click.option("--json", "as_json", is_flag=True, help="Plain data, for scripts.")
def command(
    paths: tuple[Path, ...],
    collection: str,
    store: str,
    engine: str,
    size: int,
    management: str,
    as_json: bool,
) -> None:
    """Cut texts into passages, and give them to a running router.

    Files that end in .md, .txt or .rst are read; of a folder, all in it. A file that changed is
    given again: passages have the file and their number for a key.

    \b
    Examples:
      wayside index handbook/ --collection handbook
      wayside index faq.md --store docs --collection faq
    """
    found = [file for path in paths for file in _files(path)]
    if not found:
        raise click.ClickException(f"nothing to read: no file ends in {', '.join(SUFFIXES)}")
    waiting: list[dict[str, Any]] = []
    sent = 0
    where = {"store": store, "collection": collection, "engine": engine}
    with counted("reading", len(found)) as step:
        for file in found:
            for number, text in enumerate(passages(_text(file), size)):
                key = hashlib.sha256(f"{file}#{number}".encode()).hexdigest()[:24]
                waiting.append({"key": key, "text": text, "metadata": {"source": str(file)}})
                if len(waiting) == BATCH:
                    sent += _send(management, {**where, "passages": waiting})
                    waiting = []
            step()
    if waiting:
        sent += _send(management, {**where, "passages": waiting})
    if as_json:
        click.echo(json.dumps({"passages": sent, "files": len(found), **where}))
        return
    said = f"{_count(sent, 'passage')} of {_count(len(found), 'file')}"
    console().print(f"{said} kept in collection {collection} of {store}", highlight=False)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    yield from sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES and p.is_file())


def _text(file: Path) -> str:
    if file.stat().st_size > MAX_FILE:
        raise click.ClickException(f"{file} is larger than {MAX_FILE >> 20} MiB")
    return file.read_text("utf-8", "replace")


def passages(text: str, size: int) -> Iterator[str]:
    """Paragraphs put together up to ``size`` characters; a longer one is cut."""
    held = ""
    for paragraph in _PARAGRAPH.split(text):
        paragraph = paragraph.strip()
        if held and len(held) + len(paragraph) + 2 > size:
            yield held
            held = ""
        while len(paragraph) > size:
            cut = paragraph.rfind(" ", size // 2, size)
            cut = size if cut < 0 else cut
            yield paragraph[:cut]
            paragraph = paragraph[cut:].lstrip()
        held = f"{held}\n\n{paragraph}".strip() if paragraph else held
    if held:
        yield held


def _send(management: str, body: dict[str, Any]) -> int:
    url = f"{management.rstrip('/')}/api/v1/passages"
    if not url.startswith(("http://", "https://")):
        raise click.ClickException(f"{management!r} is no address; write http://host:port")
    data = json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            told = json.loads(answer.read())
    except urllib.error.HTTPError as error:
        try:
            said = json.loads(error.read())["error"]["message"]
        except (ValueError, KeyError, TypeError):
            said = error.reason
        raise click.ClickException(f"the router refused: {said}") from None
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise click.ClickException(
            f"no router answers at {management} ({reason}); start one with wayside serve, "
            "or say where with --management"
        ) from None
    return int(told["indexed"])
