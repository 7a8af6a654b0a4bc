"""Turns prompts written for people to read into labelled rows for a classifier to learn from.

A family is text files beside its datasheet: `rows.txt` becomes `train.jsonl`, `heldout.txt`
becomes `heldout.jsonl`, `heldout3.txt` likewise. All are sections of lines:

    ## label ; language ; kind ; x6   a section: what its lines are, how often each is filled
    who wrote {book}?                 a line with slots is filled up to six times
    what is the capital of Peru       a line without slots is one row, whatever the x says
    @book en = Emma | Dubliners       fillers of a slot for one language; * is for every other

A filler may hold slots itself. `{=label}` is filled with another line of that label in the same
language, which is how "translate this: who wrote Emma?" is made. `\\n` is a line break, `//`
begins a comment, and ` >> ` separates turns: user, assistant, user (the last turn is the row's
text, all of them are its `messages`). Rows made from one line have the same `group`, so that
training can judge itself on lines it has not seen. `#round 2` names the `source` of the lines
below it: held-out rows written after the training rows were final say how much the others flatter.

Everything follows from the files and one seed, so the same files always give the same bytes.
"""

import json
import random
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SEED = 20260
TOO_CLOSE = 0.75  # shared words over all words, against any held-out prompt
WORN = 0.45  # share of composed rows that look typed in a hurry
_SLOT = re.compile(r"\{(=?)(\w+)\}")
_DEEP = 6  # fillers within fillers


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled prompt; `turns` is the conversation it ends, or just the prompt."""

    turns: tuple[str, ...]
    label: str
    lang: str
    kind: str
    group: str
    round: str = ""

    @property
    def text(self) -> str:
        return self.turns[-1]

    def line(self) -> str:
        """The row as a line of JSON."""
        row: dict[str, object] = {"text": self.text, "label": self.label}
        row |= {"lang": self.lang, "kind": self.kind, "group": self.group}
        if self.round:
            row["source"] = self.round
        if len(self.turns) > 1:
            roles = ("user", "assistant")
            row["messages"] = [
                {"role": roles[i % 2], "content": turn} for i, turn in enumerate(self.turns)
            ]
        return json.dumps(row, ensure_ascii=False) + "\n"


@dataclass(slots=True)
class Grammar:
    """What a file says: its lines with their section, and the fillers of its slots."""

    lines: list[tuple[str, str, str, int, str]] = field(default_factory=list)
    rounds: list[str] = field(default_factory=list)  # of each line
    slots: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    by_label: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))

    def fill(self, line: str, lang: str, dice: random.Random) -> str:
        """The line with every slot filled."""
        for _ in range(_DEEP):
            if not _SLOT.search(line):
                break
            line = _SLOT.sub(lambda found: self._filler(found, lang, dice), line)
        return line

    def _filler(self, found: re.Match[str], lang: str, dice: random.Random) -> str:
        """One choice for a slot; `ValueError` for a slot nobody filled."""
        borrowed, name = found[1], found[2]
        if borrowed:
            choices = [one for one in self.by_label[name, lang] if "{=" not in one]
            choices = [one for one in choices if " >> " not in one]
        else:
            choices = self.slots.get((name, lang)) or self.slots.get((name, "*")) or []
        if not choices:
            raise ValueError(f"nothing fills {found[0]} for {lang}")
        return dice.choice(choices)


def parse(path: Path) -> Grammar:
    """Reads a file; `ValueError` names the line that cannot be read."""
    grammar, section, now = Grammar(), None, ""
    for number, raw in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("//"):
            continue
        if line.startswith("#round "):
            now = line[1:]
        elif line.startswith("## "):
            parts = [part.strip() for part in line[3:].split(";")]
            if len(parts) not in (3, 4):
                raise ValueError(f"{path}:{number}: a section is label ; language ; kind [; xN]")
            times = int(parts[3].removeprefix("x")) if len(parts) == 4 else 1
            section = (parts[0], parts[1], parts[2], times)
        elif line.startswith("@"):
            head, _, fillers = line[1:].partition("=")
            name, lang = head.split()
            found = [one.strip() for one in fillers.split("|") if one.strip()]
            grammar.slots.setdefault((name, lang), []).extend(found)
        elif section is None:
            raise ValueError(f"{path}:{number}: a line before any section")
        else:
            grammar.lines.append((*section, line))
            grammar.rounds.append(now)
            grammar.by_label[section[0], section[1]].append(line)
    return grammar


def rows(path: Path, dice: random.Random, *, wear: bool) -> Iterator[Row]:
    """The rows a file stands for, in its order; `wear` adds how hurried people type."""
    grammar = parse(path)
    for number, (label, lang, kind, times, line) in enumerate(grammar.lines, 1):
        for _ in range(times if "{" in line else 1):
            turns = [turn.strip() for turn in line.split(" >> ")]
            full = [grammar.fill(turn, lang, dice).replace("\\n", "\n") for turn in turns]
            if wear:
                full[-1] = worn(full[-1], dice)
            yield Row(tuple(full), label, lang, kind, str(number), grammar.rounds[number - 1])


def worn(text: str, dice: random.Random) -> str:
    """The text as it is really typed: in lower case, without its last mark, with a slip."""
    if "\n" in text or dice.random() > WORN:
        return text
    roll = dice.random()
    if roll < 0.45:
        text = text.lower()
    elif roll < 0.5:
        text = text.upper()
    if dice.random() < 0.5:
        text = text.rstrip("?.!¿。？") or text
    return mistyped(text, dice) if dice.random() < 0.25 else text


def mistyped(text: str, dice: random.Random) -> str:
    """The text with one slip of the fingers: a letter lost, doubled or swapped."""
    if len(text) < 8 or not text.isascii():
        return text
    at = dice.randrange(1, len(text) - 2)
    slip = dice.choice(("lost", "doubled", "swapped"))
    if slip == "lost":
        return text[:at] + text[at + 1 :]
    if slip == "doubled":
        return text[:at] + text[at] + text[at:]
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def bag(text: str) -> frozenset[str]:
    """The words of a text; single characters where a script does without spaces."""
    return frozenset(re.findall(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+", text.lower()))


def unlike(found: list[Row], held_out: list[Row]) -> Iterator[Row]:
    """The rows in order, less repeats and near copies of held-out prompts."""
    kept_apart = [bag(row.text) for row in held_out]
    seen = {row.text.lower() for row in held_out}
    for row in found:
        words, key = bag(row.text), row.text.lower()
        if len(row.turns) > 1:
            key = "\n".join(row.turns).lower()
        if key in seen or (words and any(_alike(words, other) for other in kept_apart)):
            continue
        seen.add(key)
        yield row


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    shared = len(one & other)
    return shared > 0 and shared / len(one | other) >= TOO_CLOSE


def make(folder: Path) -> dict[str, str]:
    """The files a family's folder should hold, by name, from its text files.

    Every `heldout*.txt` is held out. A family that is only measured has no `rows.txt`.
    """
    files: dict[str, str] = {}
    held_out: list[Row] = []
    for path in sorted(folder.glob("heldout*.txt")):
        some = list(rows(path, random.Random(SEED), wear=False))
        files[f"{path.stem}.jsonl"] = "".join(row.line() for row in some)
        held_out += some
    if (folder / "rows.txt").exists():
        found = list(rows(folder / "rows.txt", random.Random(SEED), wear=True))
        train = sorted(unlike(found, held_out), key=lambda row: (row.label, row.lang, row.turns))
        files["train.jsonl"] = "".join(row.line() for row in train)
    return files
