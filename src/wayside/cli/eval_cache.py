"""``wayside eval cache``: would answers be shared between questions that only look alike?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import click
from rich.table import Table

from wayside.cli.console import console, escape
from wayside.cli.files import config_option
from wayside.cli.progress import counted
from wayside.engines import Engine, families
from wayside.settings import Task
from wayside.vocab import near_miss
from wayside.vocab.errors import ConfigError

_FILE = click.Path(dir_okay=False, path_type=Path)
FILES: Final = ("pairs.jsonl", "heldout.jsonl", "heldout2.jsonl")
"""Of corpora/near_miss: what the guard was written with, and what it was not."""
STEPS: Final = (0.7, 0.8, 0.85, 0.9, 0.95, 0.99)
DEFAULT: Final = 0.9
BAR: Final = 0.99
"""Precision on near misses, as the design wants it for semantic hits."""

Open = Callable[
    [str, Task, Path | None, str | None],
    AbstractContextManager[tuple[Engine, Callable[[Any], Any]]],
]
"""Opens an engine by name; :func:`wayside.cli.evaluate` has it."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two questions; ``same``: one answer serves both. ``why``: what the guard says against it."""

    a: str
    b: str
    same: bool
    kind: str = ""
    lang: str = ""
    cosine: float = 0.0
    why: str = ""

    def hits(self, threshold: float, *, guard: bool = True) -> bool:
        """Whether the second question is answered with the answer to the first."""
        return self.cosine >= threshold and not (guard and self.why)


@dataclass(frozen=True, slots=True)
class Figures:
    """``wrong`` of the ``near`` pairs that must not share an answer do, ``hit`` of the ``same``
    that may. ``precision`` is ``None`` where nothing is shared."""

    near: int
    wrong: int
    same: int
    hit: int

    @property
    def precision(self) -> float | None:
        shared = self.hit + self.wrong
        return self.hit / shared if shared else None

    @property
    def recall(self) -> float | None:
        return self.hit / self.same if self.same else None

    def plain(self) -> dict[str, Any]:
        return {**asdict(self), "precision": self.precision, "recall": self.recall}


def figures(pairs: Iterable[Pair], threshold: float, *, guard: bool = True) -> Figures:
    """What sharing answers from ``threshold`` on does to ``pairs``."""
    near = wrong = same = hit = 0
    for pair in pairs:
        shared = pair.hits(threshold, guard=guard)
        if pair.same:
            same, hit = same + 1, hit + shared
        else:
            near, wrong = near + 1, wrong + shared
    return Figures(near, wrong, same, hit)


def made(open_engine: Open) -> click.Command:
    """The command, with what opens engines."""

    @click.command(
        "cache",
        short_help="Would the response cache give wrong answers?",
        epilog="""\b
Examples:
  wayside eval cache                      (a checkout's near misses and paraphrases)
  wayside eval cache mine.jsonl --threshold 0.9 --json
  wayside eval cache --engine minilm --config wayside.yaml

A row is {"a": ..., "b": ..., "same": true or false}, one a line; "kind" and "lang" are reported
separately. Ends with status 1 when precision is below .99.""",
    )
    @click.argument("files", nargs=-1, type=_FILE)
    @click.option("--threshold", type=click.FloatRange(-1, 1), default=DEFAULT, show_default=True)
    @click.option("--engine", help="An embedder of the configuration, by name.")
    @click.option("--json", "as_json", is_flag=True, help="Plain data, for scripts.")
    @config_option
    @click.pass_context
    def command(
        ctx: click.Context,
        files: tuple[Path, ...],
        threshold: float,
        engine: str | None,
        as_json: bool,
        path: Path | None,
    ) -> None:
        """Measure semantic hits of the response cache on FILES of pairs of questions.

        Prints precision on near misses first: of the pairs that would share an answer, those that
        may; then the share of true pairs that do. With and without the guard, at several
        thresholds, by kind and by language, and what the guard costs.
        """
        files = files or tuple(families.corpora() / "near_miss" / name for name in FILES)
        name = engine or "embedding"
        with open_engine(name, "embed", path if engine else None, engine) as (found, settled):

            def embed(texts: tuple[str, ...]) -> Any:
                return settled(found.embed(texts))

            by_file = {file: measured(read(file), embed) for file in files}
            costs = cost([pair for pairs in by_file.values() for pair in pairs], embed)
        everything = {
            "threshold": threshold,
            "engine": name,
            "files": {str(file): plain(pairs, threshold) for file, pairs in by_file.items()},
            "all": plain([p for pairs in by_file.values() for p in pairs], threshold),
            "microseconds": costs,
        }
        if as_json:
            click.echo(json.dumps(everything, indent=2, ensure_ascii=False))
        else:
            show(everything)
        total = everything["all"]["guarded"]["precision"]  # type: ignore[index]
        ctx.exit(1 if total is not None and total < BAR else 0)

    return command


def read(file: Path) -> list[Pair]:
    """The pairs of a file of JSON lines."""
    pairs = []
    try:
        lines = file.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError.one(f"cannot be read: {error}", where=str(file)) from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where, fix = f"{file}:{number}", 'write {"a": ..., "b": ..., "same": true}'
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ConfigError.one(f"not JSON: {error}", where=where, fix=fix) from None
        if not isinstance(row, dict) or not all(isinstance(row.get(k), str) for k in ("a", "b")):
            raise ConfigError.one("not a pair of texts", where=where, fix=fix)
        if not isinstance(row.get("same"), bool):
            raise ConfigError.one("same is neither true nor false", where=where, fix=fix)
        kind, lang = str(row.get("kind", "")), str(row.get("lang", ""))
        pairs.append(Pair(row["a"], row["b"], row["same"], kind, lang))
    if not pairs:
        raise ConfigError.one("no pairs", where=str(file), fix='write {"a": ..., "b": ...} lines')
    return pairs


def measured(pairs: Sequence[Pair], embed: Callable[[tuple[str, ...]], Any]) -> list[Pair]:
    """The pairs with the cosines of their forms, and with what the guard says."""
    done = []
    with counted("comparing", len(pairs)) as step:
        for pair in pairs:
            one, other = embed((near_miss.form(pair.a), near_miss.form(pair.b)))
            cosine = float(sum(x * y for x, y in zip(one, other, strict=True)))
            done.append(replace(pair, cosine=cosine, why=near_miss.differs(pair.a, pair.b)))
            step()
    return done


def plain(pairs: Sequence[Pair], threshold: float) -> dict[str, Any]:
    """All figures of some pairs."""

    def by(name: str) -> dict[str, Any]:
        keys = dict.fromkeys(sorted(getattr(pair, name) for pair in pairs))
        parts = {key: [p for p in pairs if getattr(p, name) == key] for key in keys}
        return {
            key: figures(part, threshold).plain()
            | {"wrong_without_guard": figures(part, threshold, guard=False).wrong}
            for key, part in parts.items()
        }

    return {
        "pairs": len(pairs),
        "guarded": figures(pairs, threshold).plain(),
        "unguarded": figures(pairs, threshold, guard=False).plain(),
        "thresholds": {
            f"{step:g}": {
                "guarded": figures(pairs, step).plain(),
                "unguarded": figures(pairs, step, guard=False).plain(),
            }
            for step in STEPS
        },
        "kinds": by("kind"),
        "languages": by("lang"),
        "wrong": [
            {"a": p.a, "b": p.b, "kind": p.kind, "lang": p.lang, "cosine": round(p.cosine, 4)}
            for p in pairs
            if not p.same and p.hits(threshold)
        ],
    }


def cost(pairs: Sequence[Pair], embed: Callable[[tuple[str, ...]], Any]) -> dict[str, float]:
    """Microseconds for a pair: the guard reading both questions, the guard where it has read
    both before, and embedding one question; the least of three rounds."""
    some = pairs[:500]

    def round_of(task: Callable[[Pair], Any], before: Callable[[], Any]) -> float:
        taken = []
        for _ in range(3):
            before()
            began = perf_counter()
            for pair in some:
                task(pair)
            taken.append((perf_counter() - began) / len(some) * 1e6)
        return round(min(taken), 1)

    def guard(pair: Pair) -> str:
        return near_miss.differs(pair.a, pair.b)

    return {
        "guard": round_of(guard, near_miss.forget),
        "guard_read_before": round_of(guard, lambda: [guard(pair) for pair in some]),
        "embedding": round_of(lambda pair: embed((pair.a,)), lambda: None),
    }


def show(told: dict[str, Any]) -> None:
    """The same for people, precision on near misses first."""
    out = console()
    for file, found in [*told["files"].items(), ("all together", told["all"])]:
        if file == "all together" and len(told["files"]) == 1:
            break
        guarded, alone = found["guarded"], found["unguarded"]
        out.print(f"[bold]{escape(Path(file).name)}[/], {found['pairs']} pairs")
        out.print(
            f"  precision on near misses {_share(guarded['precision'])} "
            f"({guarded['wrong']} of {guarded['near']} would get a wrong answer), "
            f"{_share(alone['precision'])} ({alone['wrong']}) without the guard"
        )
        out.print(
            f"  recall {_share(guarded['recall'])} ({guarded['hit']} of {guarded['same']} "
            f"that mean the same), {_share(alone['recall'])} without the guard\n"
        )
    found = told["all"]
    steps = _table("cosine at least", "precision", "recall", "precision, no guard", "recall")
    for step, both in found["thresholds"].items():
        here = [both[part][name] for part in ("guarded", "unguarded")
                for name in ("precision", "recall")]  # fmt: skip
        steps.add_row(step, *map(_share, here))
    out.print(steps)
    for title, part in (("kind", "kinds"), ("language", "languages")):
        heads = ("near misses", "wrong", "without guard", "same", "hit")
        table = _table(title, *heads)
        for key, f in found[part].items():
            row = (f["near"], f["wrong"], f["wrong_without_guard"], f["same"], f["hit"])
            table.add_row(escape(key) or "-", *(str(n) if n else "" for n in row))
        out.print(f"\n[dim]at {told['threshold']:g}[/]")
        out.print(table)
    for wrong in found["wrong"][:20]:
        out.print(f"[red]✗[/] {escape(wrong['a'])} || {escape(wrong['b'])}")
    us = told["microseconds"]
    out.print(
        f"\nthe guard: {us['guard']} µs a pair, {us['guard_read_before']} µs where both were read "
        f"before; {escape(told['engine'])}: {us['embedding']} µs a question"
    )


def _table(*heads: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for i, head in enumerate(heads):
        table.add_column(head, justify="right" if i else "left")
    return table


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
