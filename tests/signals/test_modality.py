from __future__ import annotations

from typing import Any

import pytest

from wayside.signals.modality import ModalityRule, ModalitySignal
from wayside.vocab.ask import Classify, Failure, Labels
from wayside.vocab.errors import AskFailed
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

from .answer import reading_of

OUTPUTS = ("text", "image", "both")


def read(text: str, reply: Any, /, **rules: ModalityRule) -> dict[str, Verdict]:
    flow = ModalitySignal(rules).read(Prompt(model="auto", question=text))
    return reading_of(flow, lambda _: reply)


def matched(text: str, reply: Any, method: str, **settings: Any) -> list[str]:
    rules = {
        o: ModalityRule.model_validate({"output": o, "method": method, **settings})
        for o in OUTPUTS
    }
    return [name for name, v in read(text, reply, **rules).items() if v.matched]


def ranked(label: str, probability: float) -> Labels:
    others = [o for o in OUTPUTS if o != label]
    return ((label, probability), *((o, (1 - probability) / 2) for o in others))


def test_the_classifier_counts_where_it_is_sure() -> None:
    assert matched("a fox", ranked("image", 0.8), "classifier") == ["image"]
    assert matched("a fox", ranked("image", 0.6), "classifier") == []
    assert matched("a fox", ranked("image", 0.6), "classifier", threshold=0.5) == ["image"]
    verdict = read("a fox", ranked("image", 0.6), it=ModalityRule(output="image"))["it"]
    assert verdict == Verdict(False, 0.0, "unsure: image 0.60", 0.6)


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("Draw a fox in the snow", "image"),
        ("Generate an image of a fox", "image"),
        ("Write a story about a fox with illustrations", "both"),
        ("Explain photosynthesis AND DRAW the cycle", "both"),
        ("请画一只猫", "image"),
        ("What conclusions can we draw?", "text"),
        ("How do I withdraw an offer?", "text"),
    ],
)
def test_words_tell_without_a_classifier(text: str, output: str) -> None:
    flow = ModalitySignal({"it": ModalityRule(output="text", method="keyword")}).read(
        Prompt(model="auto", question=text)
    )
    with pytest.raises(StopIteration):
        next(flow)
    assert matched(text, None, "keyword") == [output]


def test_words_of_ones_own_take_the_place_of_the_usual_ones() -> None:
    own = {"image_words": ["pinta"], "both_words": ["y pinta"]}
    assert matched("Pinta un zorro", None, "keyword", **own) == ["image"]
    assert matched("Explica y pinta", None, "keyword", **own) == ["both"]
    assert matched("Draw a fox", None, "keyword", **own) == ["text"]


@pytest.mark.parametrize(
    ("label", "probability", "text", "output"),
    [
        ("text", 0.8, "Draw a fox", "text"),  # it is sure: words do not count
        ("image", 0.5, "Draw a fox", "image"),  # not sure, but they agree
        ("both", 0.6, "Draw a fox", "image"),  # not sure, and they do not
        ("image", 0.4, "What is a fox?", "text"),
    ],
)
def test_hybrid_asks_the_words_where_the_classifier_is_not_sure(
    label: str, probability: float, text: str, output: str
) -> None:
    assert matched(text, ranked(label, probability), "hybrid") == [output]


def test_an_engine_is_asked_once_and_its_failure_is_unknown() -> None:
    signal = ModalitySignal({o: ModalityRule(output=o) for o in ("text", "image")})
    assert next(signal.read(Prompt(model="auto", question="a fox"))) == (
        Classify("a fox", "modality"),
    )
    with pytest.raises(AskFailed):
        read("a fox", Failure("slow"), it=ModalityRule(output="image"))
    assert matched("draw a fox", Failure("slow"), "keyword") == ["image"]
    assert read(" ", ranked("image", 1.0), it=ModalityRule(output="image")) == {}
    assert read("a fox", (), it=ModalityRule(output="image")) == {}
