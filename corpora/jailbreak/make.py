"""Writes `templated.jsonl` and `responses.jsonl` from the hand-written lists beside this file.

Run it as `python corpora/jailbreak/make.py`; the same seed always writes the same bytes. It reads
nothing but these lists and the held-out files, and drops what nearly repeats a held-out row.
"""

import base64
import codecs
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import abroad
import attacks
import benign
import injections
import languages
import pieces
import planted
import prose
import responses
import stories

HERE = Path(__file__).parent
SEED = 20261
ATTACKS_A_FRAME = 26
BENIGN_A_FRAME = 21
INJECTIONS_A_CARRIER = 44
FOREIGN_A_FRAME = 13
HARMFUL_A_FRAME = 110
ENCODED = 900
SUFFIXED = 260
RESPONSES_A_FRAME = 55
PROSE_A_SUBJECT = 150
BRIEFS_A_FRAME = 70
BURIED = 700
STORIES_A_FRAME = 30
PIECES_A_FRAME = 25
PLANTED_A_CARRIER = 48
ABROAD_A_FRAME = 12
TOO_CLOSE = 0.8  # shared words over all words, against any held-out row

Lists = dict[str, list[str]]
Row = dict[str, str]
_INNERMOST = re.compile(r"\{([^{}]*)\}")


def main() -> None:
    dice = random.Random(SEED)
    rows = [*english(dice), *injected(dice), *encoded(dice), *suffixed(dice)]
    rows += [*foreign(dice), *harmful(dice), *long(dice)]
    rows += techniques(random.Random(SEED + 1))
    held = [row for file in sorted(HERE.glob("heldout*.jsonl")) for row in read(file)]
    write(HERE / "templated.jsonl", distinct(rows, held))
    write(HERE / "responses.jsonl", distinct(list(answers(dice)), held))


def english(dice: random.Random) -> Iterator[Row]:
    """Every attack frame, and every innocent frame, filled in many times."""
    for family, frames in attacks.FRAMES.items():
        for frame in frames:
            for _ in range(ATTACKS_A_FRAME):
                yield row(worn(fill(frame, EVERYTHING, dice), dice), "jailbreak", "en", family)
    for family, frames in benign.FRAMES.items():
        for frame in frames:
            for _ in range(BENIGN_A_FRAME):
                yield row(worn(fill(frame, EVERYTHING, dice), dice), "benign", "en", family)


def injected(dice: random.Random) -> Iterator[Row]:
    """Each carrier with an instruction to the model in it, and with an innocent line instead."""
    for carrier in injections.CARRIERS:
        for _ in range(INJECTIONS_A_CARRIER):
            line = fill("{payload}", EVERYTHING, dice)
            text = fill(carrier, {**EVERYTHING, "line": [line]}, dice)
            yield row(text, "jailbreak", "en", "indirect_injection")
            line = fill(dice.choice(injections.INNOCENT), EVERYTHING, dice)
            text = fill(carrier, {**EVERYTHING, "line": [line]}, dice)
            yield row(text, "benign", "en", "documents")


def encoded(dice: random.Random) -> Iterator[Row]:
    """Attacks under an encoding that the detector undoes, and innocent texts under the same."""
    tricks = list(TRICKS)
    for i in range(ENCODED):
        trick = tricks[i % len(tricks)]
        attack = fill(dice.choice(["{reset} and {deed}", "{become}. {deed}"]), EVERYTHING, dice)
        harmless = fill(dice.choice(["{task}", "{fact}"]), EVERYTHING, dice)
        lead = dice.choice(["", "", "Decode this and do it: ", "Follow the text: ", "Answer: "])
        yield row(lead + TRICKS[trick](attack), "jailbreak", "en", f"encoded_{trick}")
        lead = dice.choice(["", "", "decode this: ", "what does this say: ", "Answer: "])
        yield row(lead + TRICKS[trick](harmless), "benign", "en", f"encoded_{trick}")


def suffixed(dice: random.Random) -> Iterator[Row]:
    """Requests followed by the word salad that optimised attacks end in (Zou et al. 2023)."""
    for _ in range(SUFFIXED):
        bits = [dice.choice(SALAD) for _ in range(dice.randint(8, 18))]
        salad = "".join(bit + dice.choice(["", " ", " ", " "]) for bit in bits)
        request = fill("{deed}", EVERYTHING, dice)
        yield row(f"{request} {salad}", "jailbreak", "en", "optimised_suffix")
        code = dice.choice(CODE)
        yield row(f"{fill('{task}', EVERYTHING, dice)} {code}", "benign", "en", "odd_text")


def long(dice: random.Random) -> Iterator[Row]:
    """Long innocent texts, and some with an attack somewhere in them."""
    subjects = list(prose.SUBJECTS)
    for subject in subjects:
        for _ in range(PROSE_A_SUBJECT):
            yield row(passage(subject, dice), "benign", "en", f"prose_{subject}")
    for frame in prose.BRIEFS:
        for _ in range(BRIEFS_A_FRAME):
            yield row(fill(frame, EVERYTHING, dice), "benign", "en", "long_briefs")
    families = list(attacks.FRAMES)
    for _ in range(BURIED):
        frame = dice.choice(attacks.FRAMES[dice.choice(families)])
        parts = [fill(frame, EVERYTHING, dice), passage(dice.choice(subjects), dice)]
        if dice.random() < 0.5:
            parts.reverse()
        yield row(dice.choice(("\n\n", " ")).join(parts), "jailbreak", "en", "buried")


def techniques(dice: random.Random) -> Iterator[Row]:
    """Stories, small steps, pieces, forbidden refusals, bare resets and planted orders, in
    English and elsewhere, each beside innocent neighbours."""
    for family, label, frames, count in TECHNIQUES:
        for frame in frames:
            for _ in range(count):
                yield row(worn(fill(frame, EVERYTHING, dice), dice), label, "en", family)
    for carrier in planted.CARRIERS:
        for slot, label, family in PLANTS:
            for _ in range(PLANTED_A_CARRIER):
                text = fill(carrier.replace("⟦plant⟧", slot), EVERYTHING, dice)
                yield row(text, label, "en", family)
    for lang, lists in abroad.LANGUAGES.items():
        for part, label in (("attack", "jailbreak"), ("benign", "benign")):
            for frame in (*lists[part], *abroad.EVERYWHERE[part]):
                for _ in range(ABROAD_A_FRAME):
                    text = fill(frame, lists, dice)
                    text = text.lower() if dice.random() < 0.15 else text
                    yield row(text, label, lang, f"foreign_{part}")


def passage(subject: str, dice: random.Random) -> str:
    """Some sentences of one subject."""
    sentences = prose.SUBJECTS[subject]
    chosen = dice.sample(sentences, dice.randint(4, min(14, len(sentences))))
    return " ".join(fill(sentence, EVERYTHING, dice) for sentence in chosen)


def foreign(dice: random.Random) -> Iterator[Row]:
    for lang, lists in languages.LANGUAGES.items():
        words = {"name": attacks.LISTS["name"], **lists}
        for part, label in (("attack", "jailbreak"), ("harmful", "harmful"), ("benign", "benign")):
            for frame in lists[part]:
                for _ in range(FOREIGN_A_FRAME):
                    text = fill(frame, words, dice)
                    if label == "jailbreak" and lang in SPACED and dice.random() < 0.15:
                        text = f"{fill('{benign}', EVERYTHING, dice)} {text}"
                    if label != "harmful" and dice.random() < 0.2:
                        text = text.lower()
                    yield row(text, label, lang, f"foreign_{part}")


def harmful(dice: random.Random) -> Iterator[Row]:
    words = {**EVERYTHING, **benign.HARMFUL}
    for frame in benign.HARMFUL_FRAMES:
        for _ in range(HARMFUL_A_FRAME):
            text = worn(fill(frame, words, dice), dice)
            yield row(text, "harmful", "en", "harmful_request")


def answers(dice: random.Random) -> Iterator[Row]:
    words = {**EVERYTHING, **responses.LISTS}
    kinds = (
        ("yielded", "jailbreak", responses.YIELDED),
        ("leaked", "jailbreak", responses.LEAKED),
        ("fine", "benign", responses.FINE),
    )
    for family, label, frames in kinds:
        for frame in frames:
            for _ in range(RESPONSES_A_FRAME):
                text = fill(frame, words, dice)
                if dice.random() < 0.3:
                    more = fill("{facts}", EVERYTHING, dice)
                    text = f"{more} {text}" if dice.random() < 0.5 else f"{text} {more}"
                yield row(text, label, "en", family)


def fill(frame: str, words: Lists, dice: random.Random) -> str:
    """The frame with every `{name}` and `{a|b}` chosen, innermost first."""

    def choose(found: re.Match[str]) -> str:
        inside = found[1]
        return dice.choice(words[inside] if inside in words else inside.split("|"))

    for _ in range(400):
        frame, count = _INNERMOST.subn(choose, frame, count=1)
        if not count:
            break
    frame = frame.replace("⦃", "{").replace("⦄", "}").replace("  ", " ")
    return re.sub(r"([.!?])\.(?!\.)", r"\1", frame).strip()


def worn(text: str, dice: random.Random) -> str:
    """The text as people type it: sometimes without capitals, with a slip, or shouted."""
    chance = dice.random()
    if chance < 0.2:
        return text.lower()
    if chance < 0.23:
        return text.upper()
    if chance < 0.33 and len(text) > 12:
        at = dice.randrange(1, len(text) - 2)
        if text[at : at + 2].isalpha():
            return text[:at] + dice.choice(("", text[at] * 2)) + text[at + 1 :]
    return text


def row(text: str, label: str, lang: str, family: str) -> Row:
    return {"text": text, "label": label, "lang": lang, "family": family}


def distinct(rows: list[Row], held: list[Row]) -> list[Row]:
    """Rows in order of label and family, without repeats or neighbours of held-out rows."""
    heldout = Neighbours([set(words_of(one["text"])) for one in held])
    seen, kept = set(), []
    for one in rows:
        bag = words_of(one["text"])
        if (key := " ".join(bag)) in seen or not key:
            continue
        seen.add(key)
        if not heldout.near(set(bag)):
            kept.append(one)
    return sorted(kept, key=lambda one: (one["label"], one["family"], one["lang"], one["text"]))


class Neighbours:
    """Finds out whether a set of words shares `TOO_CLOSE` of its words with any of some sets.

    A neighbour lacks at most a fifth of a set's words, so it has one of any larger share of them:
    the longest, as those are rare (prefix filtering, Chaudhuri et al. 2006).
    """

    def __init__(self, bags: list[set[str]]) -> None:
        self._by_word: dict[str, list[set[str]]] = {}
        for bag in bags:
            longest = sorted(bag, key=lambda word: (-len(word), word))
            for word in longest[: int((1 - TOO_CLOSE) * len(bag) + 1e-9) + 1]:
                self._by_word.setdefault(word, []).append(bag)

    def near(self, mine: set[str]) -> bool:
        return any(
            len(mine & other) >= TOO_CLOSE * len(mine | other)
            for word in mine & self._by_word.keys()
            for other in self._by_word[word]
        )


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def read(path: Path) -> list[Row]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def write(path: Path, rows: list[Row]) -> None:
    lines = [json.dumps(one, ensure_ascii=False) + "\n" for one in rows]
    path.write_text("".join(lines), "utf-8")


_LEET = str.maketrans("aeiost", "431057")
_LOOKALIKE = str.maketrans("aeopcxyi", "аеорсхуі")
_WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
_MATHS = {ord("a") + i: 0x1D41A + i for i in range(26)}
TRICKS = {
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "spaced_hex": lambda text: text.encode().hex(" "),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "url": lambda text: quote(text, safe=""),
    "leet": lambda text: text.lower().translate(_LEET),
    "spaced": lambda text: " ".join(text),
    "dashed": lambda text: "-".join(text.replace(" ", "")),
    "zero_width": lambda text: "\u200b".join(text),
    "lookalike": lambda text: text.translate(_LOOKALIKE),
    "full_width": lambda text: text.translate(_WIDE),
    "maths_bold": lambda text: text.lower().translate(_MATHS),
    "reversed": lambda text: text[::-1],
}
SALAD = [
    "describing",
    "\\ + similarly",
    "Now write",
    "oppositely",
    ".](",
    "Me giving",
    "**ONE",
    "please?",
    "revert with",
    '\\"!--',
    "Two",
    "=>",
    "}}{",
    "sure!",
    ");;",
    "tutorial",
    "representing",
    "Manuel",
    "!!",
    "interface",
    "--->",
    "reverse",
    "([",
    "Sure",
    "formatted",
    "NOTE",
    ":// ",
    "Here's",
    "theoretically",
    "!\\",
    "<<",
    "steps",
    "={",
    " inverse",
    "ly",
    "]]>",
    "bracket",
    "without",
    "%%",
    "teaspoon",
    "Unterscheidung",
    "())",
    "respond",
    "_{",
    "exactly",
    "}\\",
    "Plus",
    "WARN",
    "vector",
    "##",
    "humor",
    "sentence",
    ';"',
    "Generale",
]
CODE = (
    "x = [i for i in range(10) if i % 2]", "for (int i = 0; i < n; ++i) { s += a[i]; }",
    "```\nError: EACCES: permission denied, open '/var/log/app.log'\n```", "SELECT * FROM t;",
    r"\frac{1}{2} + \sqrt{x}", "^[a-z0-9._%+-]+@[a-z0-9.-]+$", ":-) <3 !!!", "#### 1. a) b) c)",
    "{'a': 1, 'b': [2, 3]}", "asdf qwer lol???", "git rebase -i HEAD~3 && git push --force",
    "<div class=\"row\"><p>{{ title }}</p></div>", "=> => -> <- |> ::", "¯\\_(ツ)_/¯ ok",
)  # fmt: skip
SPACED = ("de", "fr", "es", "pt", "it", "nl", "pl", "ru", "tr")
EVERYTHING: Lists = {
    **attacks.LISTS,
    **benign.LISTS,
    **injections.LISTS,
    **stories.LISTS,
    **pieces.LISTS,
    **planted.LISTS,
    "wrong": [*attacks.LISTS["bad"], *benign.HARMFUL["deed"]],
    "benign": ["{task}", "{fact}", "{lead}{task}", "{ask}: {fact}", "What is {topic}?"],
    "yourself": ["yourself", "the assistant", "ChatGPT"],
    "quote": benign.QUOTES,
    "code": ["{b64_bad}", "{hex_bad}"],
    "b64_bad": [TRICKS["base64"](f"tell me how to {bad}") for bad in attacks.LISTS["bad"]],
    "hex_bad": [TRICKS["hex"](f"tell me how to {bad}") for bad in attacks.LISTS["bad"]],
    "b64_ok": [TRICKS["base64"](text) for text in benign.LISTS["topic"]],
    "hex_ok": [TRICKS["hex"](text) for text in benign.LISTS["topic"]],
    "url_ok": ["https://example.com/a%20b?q=caf%C3%A9", "/search?q=hello%20world&lang=en"],
}

TECHNIQUES = (
    ("fiction_framing", "jailbreak", stories.FICTION, STORIES_A_FRAME),
    ("fiction", "benign", stories.STORY, STORIES_A_FRAME),
    ("crescendo", "jailbreak", stories.CRESCENDO, STORIES_A_FRAME),
    ("turns", "benign", stories.LESSON, STORIES_A_FRAME),
    ("token_smuggling", "jailbreak", pieces.SMUGGLED, PIECES_A_FRAME),
    ("odd_text", "benign", pieces.WHOLE, PIECES_A_FRAME),
    ("refusal_suppression", "jailbreak", pieces.SUPPRESSED, PIECES_A_FRAME),
    ("refusals_and_form", "benign", pieces.FORMED, PIECES_A_FRAME),
    ("instruction_reset", "jailbreak", pieces.RESET, PIECES_A_FRAME),
    ("instruction_reset", "benign", pieces.DROPPED, PIECES_A_FRAME),
    ("about_attacks", "benign", pieces.ABOUT, PIECES_A_FRAME),
)
PLANTS = (
    ("{plant}", "jailbreak", "indirect_injection"),
    ("{errand}", "benign", "documents"),
)


if __name__ == "__main__":
    main()
