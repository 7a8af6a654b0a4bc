# ruff: noqa: E501 -- the frames read best unbroken
"""Writes `templated.jsonl`: everyday prompts composed from the hand-written lists beside this file.

Run it as `python corpora/domain/make.py`; the same seed always writes the same bytes. It never
reads anything but these lists and the files written by hand, which it must not repeat: a composed
prompt that says nearly the same as a held-out one is dropped.
"""

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import languages
import slots
import topics
import vocabulary

HERE = Path(__file__).parent
BY_HAND = ("handwritten.jsonl", "everyday.jsonl", "heldout.jsonl")
SEED = 20260
FRAMES_PER_TOPIC = 3
FRAMES_PER_FOREIGN_TOPIC = 2
PATTERNED_PER_DOMAIN = 230
ARITHMETIC = 420
TOO_CLOSE = 0.75  # shared words over all words, against any held-out prompt

Row = tuple[str, str, str]  # text, label, language


def main() -> None:
    dice = random.Random(SEED)
    rows = [*framed(dice), *patterned(dice), *arithmetic(dice), *foreign(dice), *named(dice)]
    rows += translated(random.Random(SEED))
    kept = list(without_repeats(rows))
    with (HERE / "templated.jsonl").open("w", encoding="utf-8") as out:
        for text, label, lang in sorted(kept, key=lambda row: (row[1], row[2], row[0])):
            row = {"text": text, "label": label, "lang": lang}
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def framed(dice: random.Random) -> Iterator[Row]:
    """Every English topic in a few of the generic frames."""
    for label, names in topics.TOPICS.items():
        for name in names:
            for frame in dice.sample(topics.GENERIC, FRAMES_PER_TOPIC):
                other = dice.choice([one for one in names if one != name])
                text = frame.replace("{t}", name).replace("{u}", other)
                yield worn(text, dice), label, "en"


def patterned(dice: random.Random) -> Iterator[Row]:
    """Sentence patterns of one domain, their slots filled; every pattern group equally often."""
    for label, groups in slots.PATTERNS.items():
        share = PATTERNED_PER_DOMAIN * (2 if label in ("other", "computer science") else 1)
        for patterns, *fillers in groups:
            for _ in range(share // len(groups)):
                text = dice.choice(patterns)
                for slot, choices in zip("abc", fillers, strict=True):
                    if choices:
                        text = text.replace("{" + slot + "}", dice.choice(choices))
                text = text.replace("<pipe>", "|")
                yield (text if "\n" in text else worn(text, dice)), label, "en"


def arithmetic(dice: random.Random) -> Iterator[Row]:
    """Sums, percentages, equations and small word problems, as they are typed."""
    names = ("Anna", "Ben", "Chen", "Dora", "Emil", "Fatima", "my son", "a farmer", "the shop")
    things = ("apples", "marbles", "tickets", "books", "coins", "stickers", "eggs", "pencils")
    langs = (
        ("de", "was ist {p} mal {q}"), ("de", "wie viel ist {p} plus {q}"),
        ("fr", "combien font {p} plus {q}"), ("es", "cuanto es {p} mas {q}"),
        ("pt", "quanto é {p} mais {q}"), ("it", "quanto fa {p} più {q}"),
        ("nl", "hoeveel is {p} plus {q}"), ("pl", "ile to jest {p} plus {q}"),
        ("ru", "сколько будет {p} плюс {q}"), ("tr", "{p} artı {q} kaç eder"),
        ("zh", "{p}加{q}等于多少"), ("ja", "{p}たす{q}は"), ("ar", "كم يساوي {p} زائد {q}"),
        ("hi", "{p} जमा {q} कितना होता है"),
    )  # fmt: skip
    frames = topics.words(
        "{p}+{q}|{p} + {q} =|{p}-{q}=|{p} * {q}|{p} x {q} is|{p}/{q}|what is {p} times {q}|"
        "{p} plus {q} is |whats {p} minus {q}|calculate {p} * {q}|{p} divided by {q}|{p}^2 + {q}|"
        "{r}% of {p}|what's {r} percent of {p}|solve {r}x + {q} = {p}|solve for x: {r}x - {q} = 0|"
        "x^2 - {r}x + {q} = 0|is {p} a prime number|sqrt({p})|square root of {p}|{p} mod {r}|"
        "round {p}.{q} to one decimal|{r}/{q} as a decimal|simplify {p}/{q}|({p} + {q}) / {r}|"
        "derivative of {r}x^{s}|integrate x^{s} from 0 to {r}|log({p})|{r}! =|sum of {p} and {q}|"
        "factor {p}|lcm of {p} and {q}|gcd({p}, {q})|average of {p}, {q} and {r}|"
        "{n} has {p} {o} and gives away {r}. How many {o} are left?|"
        "{n} buys {r} {o} for {q} dollars each. How much does it cost in total?|"
        "If {n} has {r} times as many {o} as {m} and together they have {p}, how many does each have?|"
        "area of a rectangle {p} by {q}|circle with radius {r}, area?|{p} = {q} + x, x = ?|"
        "next number: {r}, {s}, {q}|probability of rolling a {s} with {r} dice|{p} times {q} equals "
    )
    for n in range(ARITHMETIC):
        lang, frame = langs[n // 6 % len(langs)] if n % 6 == 0 else ("en", dice.choice(frames))
        fill = {"p": dice.randint(2, 400), "q": dice.randint(2, 99), "r": dice.randint(2, 30)}
        fill |= {"s": dice.randint(2, 6), "n": dice.choice(names), "m": dice.choice(names[:6])}
        yield frame.format(**fill, o=dice.choice(things)), "math", lang


def foreign(dice: random.Random) -> Iterator[Row]:
    """Every topic of every other language in a few of that language's frames."""
    for lang, domains in languages.TOPICS.items():
        frames = languages.FRAMES[lang]
        for label, names in domains.items():
            for name in names:
                # A greeting is not "explained": topics of `other` also stand alone
                chosen = dice.sample(frames, FRAMES_PER_FOREIGN_TOPIC)
                for frame in ["{t}", chosen[0]] if label == "other" else chosen:
                    yield frame.replace("{t}", name), label, lang


def named(dice: random.Random) -> Iterator[Row]:
    """Every telling word of a domain twice, in plain questions and in company of two others."""
    for label, line in vocabulary.WORDS.items():
        names = [word.replace("-", " ") for word in dict.fromkeys(line.split())]
        for name in names:
            one, two = dice.sample(names, 2)
            frame = dice.choice(vocabulary.FRAMES)
            yield worn(frame.replace("{t}", name).replace("{u}", one), dice), label, "en"
            yield dice.choice((f"{name} {one}", f"{name}, {one}, {two}", name)), label, "en"


def translated(dice: random.Random) -> Iterator[Row]:
    """Every word of `words.txt` in one frame of its language, and in company of another."""
    lang = label = ""
    frames: list[str] = []
    for line in (HERE / "words.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            lang = line[3:]
        elif line.startswith("-- "):
            label = line[3:]
        elif label == "frames":
            frames = line.split("|")
        else:
            names = list(dict.fromkeys(line.split("|")))
            for name in names:
                other = dice.choice([one for one in names if one != name])
                # A song is not "explained": words of `other` stand alone
                frame = "{t}" if label == "other" else dice.choice(frames)
                yield frame.replace("{t}", name).replace("{u}", other), label, lang
                pair = dice.choice(("{t} {u}", "{t}, {u}"))
                yield pair.replace("{t}", name).replace("{u}", other), label, lang


def worn(text: str, dice: random.Random) -> str:
    """The text as a hurried person types it: often in lower case, sometimes with a slip."""
    roll = dice.random()
    if roll < 0.30:
        text = text.lower()
    elif roll < 0.33:
        text = text.upper()
    elif roll < 0.60:
        text = text[0].upper() + text[1:]
    if dice.random() < 0.12:
        text = mistyped(text, dice)
    if dice.random() < 0.08:
        text = (
            dice.choice(("hi, ", "please ", "hey ", "ok so ", "Hello! ", "quick question: "))
            + text
        )
    return text


def mistyped(text: str, dice: random.Random) -> str:
    """The text with one slip of the fingers: a letter lost, doubled or swapped."""
    if len(text) < 6:
        return text
    at = dice.randrange(1, len(text) - 2)
    slip = dice.choice(("lost", "doubled", "swapped"))
    if slip == "lost":
        return text[:at] + text[at + 1 :]
    if slip == "doubled":
        return text[:at] + text[at] + text[at:]
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def without_repeats(rows: list[Row]) -> Iterator[Row]:
    """The rows in order, less exact repeats and near copies of held-out prompts."""
    held_out = [bag(text) for text in texts("heldout.jsonl")]
    seen = {text for name in BY_HAND for text in texts(name)}
    for row in rows:
        mine = bag(row[0])
        near = any(
            len(mine & other) / len(mine | other) >= TOO_CLOSE for other in held_out if mine
        )
        if row[0] not in seen and not near:
            seen.add(row[0])
            yield row


def bag(text: str) -> frozenset[str]:
    """The words of a text; its characters where words have no spaces between them."""
    text = text.lower()
    if re.search(r"[\u3040-\u30ff\u4e00-\u9fff]", text):
        return frozenset(re.sub(r"\W", "", text))
    return frozenset(re.findall(r"\w+", text))


def texts(name: str) -> list[str]:
    lines = (HERE / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


if __name__ == "__main__":
    main()
