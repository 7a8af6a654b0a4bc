"""What a request brings: text, images, audio. What it asks for is the signal ``modality``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from wayside.catalog import catalog
from wayside.settings import Settings
from wayside.signals import Reading
from wayside.vocab.prompt import Message, Prompt
from wayside.vocab.verdict import Verdict

Modality = Literal["text", "image", "audio"]


class InputModalityRule(Settings):
    """Example: ``{modalities: [image, audio], match: any}``"""

    modalities: Annotated[tuple[Modality, ...], Field(min_length=1)]
    """What is looked for."""
    match: Literal["any", "all", "only", "none"] = "any"
    """At least one of them is there; every one; some, and nothing else; not one."""
    scope: Literal["conversation", "question"] = "conversation"
    """All that the user sent in this request, or the user's last message."""


@catalog.register("signal", "input_modality", settings=InputModalityRule, stability="beta")
class InputModalitySignal:
    """Matches on whether the user sends text, images or audio."""

    def __init__(self, rules: Mapping[str, InputModalityRule]) -> None:
        self._rules = rules

    def read(self, prompt: Prompt) -> Reading:
        turns = [m for m in prompt.messages if m.role == "user"]
        # A prompt without messages (legacy completions, embeddings) is one question.
        turns = turns or [Message("user", prompt.question)]
        counts = {"conversation": _count(turns), "question": _count(turns[-1:])}
        return {name: _judge(rule, counts[rule.scope]) for name, rule in self._rules.items()}


def _count(turns: list[Message]) -> dict[str, int]:
    return {
        "text": sum(bool(m.text.strip()) for m in turns),
        "image": sum(m.images for m in turns),
        "audio": sum(m.audio for m in turns),
    }


def _judge(rule: InputModalityRule, counts: Mapping[str, int]) -> Verdict:
    there = {modality for modality, number in counts.items() if number}
    wanted = set(rule.modalities)
    matched = {
        "any": bool(there & wanted),
        "all": wanted <= there,
        "only": bool(there) and there <= wanted,
        "none": not there & wanted,
    }[rule.match]
    because = ", ".join(f"{n} {m}" for m, n in counts.items() if n) or "nothing"
    number = sum(counts[modality] for modality in wanted)
    return Verdict(matched, 1.0 if matched else 0.0, because, number)
