"""The built-in classifiers that are trained from the corpora: labels, rows and recipe of each.

One table, so that ``wayside train fact_check`` in a checkout makes the shipped model again and
``wayside eval fact_check`` knows what it measures. Files are named relative to ``corpora/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wayside.engines import rows
from wayside.engines.rows import Example
from wayside.engines.train import Recipe
from wayside.vocab.errors import ConfigError

SMALL: Final[Recipe] = Recipe(epochs=20, dropout=0.4, at_least=1)
"""For some thousand short rows, where a word seen once is all there is."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file a family learns from."""

    file: str
    labels: Mapping[str, str] | None = None
    """Its labels and what they are called in this family; others are left out. None: the same."""
    times: int = 1
    """How often each row counts."""
    others: int = 1
    """How many times oftener a row counts that is not English: there are fewer of those."""
    every: int = 1
    """Only one row in so many is taken, so that one source does not drown the others."""


@dataclass(frozen=True, slots=True)
class Family:
    """What one built-in classifier answers, and what it learns that from."""

    summary: str
    labels: tuple[str, ...]
    sources: tuple[Source, ...] = ()
    held_out: str = ""
    """Rows that are never learnt from."""
    clean: str = ""
    """Rows written before the last training rows, from which nothing was learnt: no single
    mistake on them was looked at. Write new ones before you look."""
    recipe: Recipe = SMALL
    script: str = ""
    """The script of a checkout that trains it, when it takes more than rows."""
    limits: tuple[str, ...] = ()
    """What whoever relies on it should know; the model card lists them."""


MAX_BYTES: Final = 1_000_000
"""Each of these models takes at most so much room in the wheel; larger ones are pruned."""

_EVERYDAY: Final = "domain/handwritten.jsonl"
_IN_TWENTY_LANGUAGES: Final = "domain/everyday.jsonl"
_DOMAINS: Final = (
    "biology", "business", "chemistry", "computer science", "economics", "engineering", "health",
    "history", "law", "math", "other", "philosophy", "physics", "psychology",
)  # fmt: skip
SAFETY: Final = (
    "child_safety", "elections", "hate", "non_violent_crime", "privacy", "safe", "self_harm",
    "sexual_content", "specialised_advice", "violent_crime", "weapons",
)  # fmt: skip
"""Ten hazards in the manner of MLCommons' AILuminate taxonomy, and none of them. `elections`
includes defamation: false claims about people and votes."""
_WORDS: Final = (
    "It knows words and their neighbours, not meaning: what is said in words it has never seen is "
    "guessed, with a low probability. Set thresholds accordingly."
)
_AUTHORS: Final = (
    "One group of authors wrote the rows it learnt from and those it was measured on; other "
    "people's prompts will score lower. Measure your own with `wayside eval`."
)


def _everyday(label: str, *without: str, every: int = 1, file: str = _EVERYDAY) -> Source:
    """The everyday prompts of the domain corpus, all under one label."""
    names = {name: label for name in _DOMAINS if name not in without}
    return Source(file, names, every=every)


FAMILIES: Final[Mapping[str, Family]] = {
    "domain": Family(
        "what a prompt is about, in the 14 fields of MMLU-Pro",
        _DOMAINS,
        (
            Source("domain/handwritten.jsonl"),
            Source("domain/everyday.jsonl"),
            Source("domain/templated.jsonl"),
        ),
        "domain/heldout.jsonl",
        recipe=Recipe(),
        script="scripts/train_domain.py",
    ),
    "jailbreak": Family(
        "whether a prompt attacks the model's instructions",
        ("benign", "harmful", "jailbreak"),
        script="scripts/train_jailbreak.py",
    ),
    "fact_check": Family(
        "whether an answer would rest on checkable facts about the world",
        ("needs_fact_check", "no_fact_check_needed"),
        (Source("fact_check/train.jsonl", times=3), Source("fact_check/silver.jsonl")),
        "fact_check/heldout.jsonl",
        "fact_check/heldout3.jsonl",
        recipe=Recipe(epochs=20, dropout=0.4, at_least=2),
        limits=(_WORDS, _AUTHORS),
    ),
    "feedback": Family(
        "what a user's turn says about the answer before it",
        ("need_clarification", "none", "satisfied", "want_different", "wrong_answer"),
        (
            Source("feedback/train.jsonl"),
            _everyday("none", every=4),
            _everyday("none", every=12, file=_IN_TWENTY_LANGUAGES),
        ),
        "feedback/heldout.jsonl",
        "feedback/heldout3.jsonl",
        limits=(
            "It reads only the user's turn, not the answer it is about: \"it's 51\" is a "
            "correction or a fact, and only the turn before would tell.",
            _WORDS,
            _AUTHORS,
        ),
    ),
    "complexity": Family(
        "how much reasoning a right answer takes",
        ("easy", "hard", "medium"),
        (Source("complexity/train.jsonl", others=2),),
        "complexity/heldout.jsonl",
        "complexity/heldout3.jsonl",
        limits=(
            "Where `easy` ends and `medium` begins is a matter of taste; the datasheet says what "
            "the corpus means by them.",
            _WORDS,
            _AUTHORS,
        ),
    ),
    "modality": Family(
        "whether text, an image or both are asked for",
        ("both", "image", "text"),
        (Source("modality/train.jsonl", times=2), _everyday("text")),
        "modality/heldout.jsonl",
        "modality/heldout3.jsonl",
        limits=(_WORDS, _AUTHORS),
    ),
    "safety": Family(
        "what hazard a prompt touches, if any",
        SAFETY,
        (
            Source("safety/train.jsonl", times=2, others=2),
            _everyday("safe", "health", "psychology", every=2),
        ),
        "safety/heldout.jsonl",
        "safety/heldout3.jsonl",
        limits=(
            "It is a coarse first look for routing and review, not a safeguard: it misses hazards "
            "in words it does not know. Put a guard model behind the `safety` engine where "
            "something depends on it.",
            "It judges the hazard, not whether an attack technique is used: that is `jailbreak`.",
            _WORDS,
            _AUTHORS,
        ),
    ),
}
"""By the name that settings and commands use."""


def corpora(near: Path | None = None) -> Path:
    """The ``corpora`` folder: the one given, or of the checkout around here or around the code.

    Raises :class:`ConfigError` where there is none: the wheel holds models, not corpora.
    """
    if near is not None:
        return near
    for start in (Path.cwd(), Path(__file__).resolve()):
        for folder in (start, *start.parents):
            if (folder / "corpora" / "grammar.py").is_file():
                return folder / "corpora"
    raise ConfigError.one(
        "no corpora here", where=str(Path.cwd()), fix="give rows of your own, or --corpora FOLDER"
    )


def examples(family: Family, folder: Path) -> list[Example]:
    """All rows a family learns from, in a fixed order, as often as they count."""
    found: list[Example] = []
    for source in family.sources:
        path = folder / source.file
        if source.labels is None:
            some = rows.read(path, family.labels, source.file)
        else:
            some = rows.relabelled(rows.read(path, None, source.file), source.labels)
        some = some[:: source.every] * source.times
        found += some + [one for one in some if one.lang not in ("", "en")] * (source.others - 1)
    return found


def held_out(family: Family, folder: Path) -> list[Example]:
    """The rows a family is measured on; none where it has no such file."""
    return _read(family.held_out, family, folder)


def clean(family: Family, folder: Path) -> list[Example]:
    """The rows that say most about a family's model; none where it has no such file."""
    return _read(family.clean, family, folder)


def _read(file: str, family: Family, folder: Path) -> list[Example]:
    return rows.read(folder / file, family.labels, file) if file else []
