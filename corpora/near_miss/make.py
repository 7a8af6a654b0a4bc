"""Writes `pairs.jsonl`, `heldout.jsonl` and `heldout2.jsonl` from the texts beside this file.

A line is two texts, ` || ` between them; a section's header says whether they may share an
answer (`same` or `other`), the language, what kind of pair it is, and how often a line with slots
is filled:

    ## other ; en ; number ; x8
    boil {n} eggs || boil {n'} eggs       {n'} is always another filler than {n}

`python corpora/near_miss/make.py --check` writes nothing and fails when a file is stale.
"""

import json
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
SEED = 20260
_SLOT = re.compile(r"\{(\w+)('?)\}")
FILES = {
    "pairs.txt": "pairs.jsonl",
    "heldout.txt": "heldout.jsonl",
    "heldout2.txt": "heldout2.jsonl",
}


def main(arguments: list[str]) -> int:
    held_out = {
        line for name in ("heldout.txt", "heldout2.txt") for line in made(name).splitlines()
    }
    stale = False
    for source, target in FILES.items():
        lines = made(source).splitlines(keepends=True)
        if source == "pairs.txt":
            lines = [line for line in lines if line.strip() not in held_out]
        text = "".join(lines)
        path = HERE / target
        if "--check" in arguments:
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                sys.stderr.write(f"{path} is stale: run python corpora/near_miss/make.py\n")
                stale = True
        else:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"near_miss/{target}: {len(lines)} pairs\n")
    return stale


def made(name: str) -> str:
    """The lines of JSON a text file stands for; every pair once, in a fixed order."""
    dice, seen, lines = random.Random(SEED), set(), []
    for a, b, same, lang, kind in pairs(HERE / name, dice):
        if (a, b) not in seen and a != b:
            seen.add((a, b))
            row = {"a": a, "b": b, "same": same, "kind": kind, "lang": lang}
            lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    return "".join(sorted(lines))


def pairs(path: Path, dice: random.Random) -> Iterator[tuple[str, str, bool, str, str]]:
    """Both texts, whether they share an answer, language and kind; `ValueError` names the line."""
    slots: dict[tuple[str, str], list[str]] = {}
    section: tuple[bool, str, str, int] | None = None
    for number, raw in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("//"):
            continue
        if line.startswith("## "):
            same, lang, kind, *times = (part.strip() for part in line[3:].split(";"))
            count = int(times[0].removeprefix("x")) if times else 1
            section = (same == "same", lang, kind, count)
        elif line.startswith("@"):
            head, _, fillers = line[1:].partition("=")
            name, lang = head.split()
            slots[name, lang] = [one.strip() for one in fillers.split("|")]
        elif section is None or line.count(" || ") != 1:
            raise ValueError(f"{path}:{number}: a pair is two texts with ' || ' between them")
        else:
            yield from filled(line, section, slots, dice)


def filled(
    line: str,
    section: tuple[bool, str, str, int],
    slots: dict[tuple[str, str], list[str]],
    dice: random.Random,
) -> Iterator[tuple[str, str, bool, str, str]]:
    same, lang, kind, times = section
    names = sorted({name for name, _ in _SLOT.findall(line)})
    for _ in range(times if names else 1):
        values = {}
        for name in names:
            choices = slots.get((name, lang)) or slots.get((name, "*")) or []
            if len(choices) < 2:
                raise ValueError(f"slot {name!r} needs two fillers for {lang}: {line}")
            values[name, ""], values[name, "'"] = dice.sample(choices, 2)
        text = _SLOT.sub(lambda found, values=values: values[found[1], found[2]], line)
        a, b = text.split(" || ")
        yield a, b, same, lang, kind


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
