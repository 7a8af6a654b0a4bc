"""Makes up answers: the same prompt to the same replica always gets the same words.

An answer says who gives it and what was asked, then goes on in seeded filler until it has the
length asked for. A forced tool call gets arguments that fit the tool's schema.
"""

import hashlib
import json
import random
from dataclasses import dataclass

from .ask import Ask, Prompt
from .schema import sample_schema
from .settings import SimModel
from .tokens import count_tokens, cut_tokens

_QUOTED = 80
"""Most characters of the question an answer repeats."""

_VOCABULARY = (
    "a and apart bright broad calm careful clear close common course day deep distant early "
    "easy even fair far few field find first follow found free full garden gentle give good "
    "great harbour high hill hold house keep kind large late leaf less light line little long "
    "many map morning near new north often old one open out over path place plain quiet rain "
    "reach read rest river road round sea season see short side simple slow small soft some "
    "south spring stone still street summer sure tall the then through time town tree turn "
    "under use valley wait walk warm water way west while wide wind winter with wood word year"
)
_WORDS = tuple(_VOCABULARY.split())


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer. `text` is the arguments when `tool` names a called function."""

    text: str
    finish: str
    """`stop`, `length` or `tool_calls`."""
    stopped_by: str | None = None
    """The stop text that ended it."""
    tool: str | None = None
    prefix: str = ""
    """The echoed prompt; it is sent first, and not counted as answer."""

    @property
    def tokens(self) -> int:
        return count_tokens(self.text)


def answer(ask: Ask, model: SimModel, replica: int) -> tuple[Choice, ...]:
    """`ask.n` choices for each prompt, in order."""
    return tuple(
        _choose(ask, prompt, index, model, replica)
        for prompt in ask.prompts
        for index in range(ask.n)
    )


def _choose(ask: Ask, prompt: Prompt, index: int, model: SimModel, replica: int) -> Choice:
    prefix = prompt.text if ask.echo else ""
    if ask.tool is not None:
        arguments = sample_schema(ask.schema, _quote(prompt.question))
        return _limit(json.dumps(arguments), ask, tool=ask.tool, finish="tool_calls")
    dice = random.Random(_seed(ask, prompt, index))
    if model.answer is not None:
        text = model.answer
    elif ask.json_object:
        text = _structured(ask, prompt, model, replica)
    else:
        least = max(ask.least, (ask.limit or 0) if ask.ignore_eos else 0)
        text = _prose(prompt, model, replica, dice, least)
    return _limit(text, ask, prefix=prefix)


def _prose(prompt: Prompt, model: SimModel, replica: int, dice: random.Random, least: int) -> str:
    text = f"This is {model.name}, replica {replica}."
    if prompt.question:
        text += f' You asked: "{_quote(prompt.question)}".'
    target = max(model.answer_tokens, least)
    missing = target - count_tokens(text)
    if missing > 0:
        # A word and its space have at least two characters, so two words fill a token.
        filler = " ".join(dice.choices(_WORDS, k=missing * 2)).capitalize()
        text = cut_tokens(f"{text} {filler}", target)
        if target > least:
            text = text[:-1].rstrip() + "."
    return text


def _structured(ask: Ask, prompt: Prompt, model: SimModel, replica: int) -> str:
    if ask.schema is not None:
        return json.dumps(sample_schema(ask.schema, _quote(prompt.question)))
    return json.dumps(
        {"model": model.name, "replica": replica, "asked": _quote(prompt.question)},
        ensure_ascii=False,
    )


def _limit(
    text: str, ask: Ask, *, tool: str | None = None, finish: str = "stop", prefix: str = ""
) -> Choice:
    found = [(at, stop) for stop in ask.stop if (at := text.find(stop)) >= 0] if not tool else []
    stopped_by = None
    if found:
        at, stopped_by = min(found)
        text = text[:at]
    if ask.limit is not None:
        short = cut_tokens(text, ask.limit)
        if len(short) < len(text) or (ask.ignore_eos and count_tokens(text) == ask.limit):
            return Choice(short, "length", tool=tool, prefix=prefix)
    return Choice(text, finish, stopped_by, tool, prefix)


def _seed(ask: Ask, prompt: Prompt, index: int) -> bytes:
    key = f"{ask.seed}\0{index}\0{prompt.text}".encode("utf-8", "replace")
    return hashlib.blake2b(key, digest_size=8).digest()


def _quote(question: str) -> str:
    words = " ".join(question[: _QUOTED * 4].split())
    return words if len(words) <= _QUOTED else words[: _QUOTED - 1] + "…"
