from __future__ import annotations

from collections.abc import Mapping

import pytest

from wayside.signals.domain import LABELS, DomainRule, DomainSignal
from wayside.vocab.ask import Classify, Failure, Labels
from wayside.vocab.errors import AskFailed, ConfigError
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

from .answer import reading_of

SUM = Prompt(model="auto", question="What is 2 + 2?")


def read(ranked: Labels, prompt: Prompt = SUM, **rules: DomainRule) -> dict[str, Verdict]:
    return reading_of(DomainSignal(rules).read(prompt), lambda ask: ranked)


def test_the_best_category_matches_when_it_is_probable_enough() -> None:
    reading = read(
        (("math", 0.8), ("physics", 0.15), ("other", 0.05)),
        sums=DomainRule(labels=("math",)),
        science=DomainRule(labels=("physics", "chemistry", "biology")),
        strict=DomainRule(labels=("math",), threshold=0.9),
    )
    assert reading["sums"] == Verdict(True, 0.8, "math 0.80", 0.8)
    assert reading["science"] == Verdict(False, 0.0, "math 0.80", 0.15)
    assert reading["strict"] == Verdict(False, 0.0, "math 0.80", 0.8)


def test_an_unsure_classifier_means_other() -> None:
    ranked = (("law", 0.4), ("other", 0.35), ("history", 0.25))
    reading = read(
        ranked, rest=DomainRule(labels=("other",)), law=DomainRule(labels=("law", "history"))
    )
    assert reading["rest"] == Verdict(True, 0.6, "unsure: law 0.40", 0.35)
    assert not reading["law"].matched


def test_other_itself_matches_like_any_category() -> None:
    reading = read((("other", 0.7), ("law", 0.3)), rest=DomainRule(labels=("other",)))
    assert reading["rest"] == Verdict(True, 0.7, "other 0.70", 0.7)


def test_all_rules_ask_once_and_an_empty_question_asks_nothing() -> None:
    rules = {label: DomainRule(labels=(label,)) for label in LABELS}
    flow = DomainSignal(rules).read(SUM)
    assert next(flow) == (Classify("What is 2 + 2?", "domain"),)
    assert read((("math", 1.0),), Prompt(model="auto", question=" \n"), **rules) == {}
    assert read((), SUM, **rules) == {}


def test_a_classifier_that_fails_is_told_to_the_flow() -> None:
    flow = DomainSignal({"sums": DomainRule(labels=("math",))}).read(SUM)
    next(flow)
    with pytest.raises(AskFailed, match="too slow"):
        flow.send((Failure("too slow"),))


@pytest.mark.parametrize(
    ("label", "fix"),
    [
        ("maths", "did you mean 'math'"),
        ("computer_science", "did you mean 'computer science'"),
        ("Law", "did you mean 'law'"),
        ("cooking", "use one of: biology, business"),
    ],
)
def test_an_unknown_category_says_what_to_write(label: str, fix: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DomainSignal({"mine": DomainRule(labels=("law", label))})
    assert str(caught.value).startswith(f"mine.labels[1]: no domain {label!r}")
    assert fix in str(caught.value)


def test_rules_may_ask_classifiers_of_their_own() -> None:
    signal = DomainSignal(
        {
            "ours": DomainRule(labels=("math",)),
            "theirs": DomainRule(labels=("sums",), engine="mine"),
            "lost": DomainRule(labels=("x",), engine="gone"),
        }
    )
    flow = signal.read(Prompt(model="auto", question="What is 2 + 2?"))
    assert not isinstance(flow, Mapping)
    asked = next(flow)
    assert [q.head for q in asked if isinstance(q, Classify)] == ["domain", "mine", "gone"]
    with pytest.raises(StopIteration) as stop:
        flow.send(((("math", 0.9),), (("sums", 0.8),), Failure("down")))
    found = stop.value.value
    assert found["ours"].matched and found["theirs"].confidence == 0.8
    assert found["lost"].unknown and "down" in found["lost"].because
