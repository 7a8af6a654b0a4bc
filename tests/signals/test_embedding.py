from __future__ import annotations

from typing import Any

import pytest

from wayside.signals.embedding import EmbeddingRule, EmbeddingSignal
from wayside.vocab.ask import Ask, Failure, Similar
from wayside.vocab.errors import AskFailed, ConfigError
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

from .answer import reading_of

ASKED = Prompt(model="auto", question="I forgot my password")
COSINES = {"reset": 0.8, "sign in": 0.6, "invoice": 0.2, "wifi password": 0.7}


def answer(question: Ask[Any]) -> Any:
    assert isinstance(question, Similar)
    return tuple(COSINES[text] for text in question.bank.texts)


def read(reply: Any = answer, prompt: Prompt = ASKED, **rules: Any) -> dict[str, Verdict]:
    made = {name: EmbeddingRule.model_validate(rule) for name, rule in rules.items()}
    return reading_of(EmbeddingSignal(made).read(prompt), reply)


@pytest.mark.parametrize(
    ("aggregate", "score"),
    [("prototype", 0.75 * 0.8 + 0.25 * 0.7), ("max", 0.8), ("any", 0.8), ("mean", 1.6 / 3)],
)
def test_the_cosines_make_one_score(aggregate: str, score: float) -> None:
    rule = {"examples": ["reset", "sign in", "invoice"], "aggregate": aggregate}
    verdict = read(it={**rule, "threshold": 0.5})["it"]
    assert verdict.value == pytest.approx(score) == verdict.confidence
    assert verdict.matched and verdict.because == f"{score:.2f} like 'reset'"
    assert not read(it={**rule, "threshold": score + 0.01})["it"].matched


def test_a_negative_that_is_nearer_forbids_the_match() -> None:
    rule = {"examples": ["sign in"], "negatives": ["wifi password"]}
    assert read(it=rule)["it"] == Verdict(
        False, 0.0, "0.60 like 'sign in', but 0.70 like 'wifi password'", 0.6
    )
    assert read(it={**rule, "negatives": ["invoice"]})["it"].matched
    assert read(it={**rule, "negatives": ["invoice"], "margin": 0.39})["it"].matched
    assert not read(it={**rule, "negatives": ["invoice"], "margin": 0.41})["it"].matched


def test_a_soft_match_counts_only_where_no_rule_matches() -> None:
    soft = {"examples": ["sign in"], "threshold": 0.9, "soft": 0.5}
    assert read(soft=soft)["soft"].matched
    reading = read(soft=soft, hard={"examples": ["reset"]})
    assert reading["hard"].matched and not reading["soft"].matched
    assert not read(soft={**soft, "soft": 0.61})["soft"].matched


def test_only_the_best_few_rules_match_when_that_is_asked() -> None:
    rules = {"first": ["reset"], "second": ["sign in"], "again": ["sign in"]}
    settings = {n: {"examples": e, "top_k": 1} for n, e in rules.items()}
    reading = read(**settings)
    assert [n for n, v in reading.items() if v.matched] == ["first"]
    settings = {n: {"examples": e, "top_k": 2} for n, e in rules.items()}
    assert all(v.matched for v in read(**settings).values()), "equals share a place"
    settings = {n: {"examples": e, "top_k": 0} for n, e in rules.items()}
    assert all(v.matched for v in read(**settings).values())


def test_all_rules_ask_once_an_engine_and_an_empty_question_asks_nothing() -> None:
    made = {
        "a": EmbeddingRule(examples=("reset", "invoice")),
        "b": EmbeddingRule(examples=("invoice",), negatives=("reset",)),
        "c": EmbeddingRule(examples=("reset",), engine="mine"),
    }
    signal = EmbeddingSignal(made)
    asks = next(signal.read(ASKED))
    assert [(a.text, a.bank.engine, a.bank.texts) for a in asks] == [
        (ASKED.question, "embedding", ("reset", "invoice")),
        (ASKED.question, "mine", ("reset",)),
    ]
    assert reading_of(signal.read(Prompt(model="auto", question=" \n")), answer) == {}


def test_an_engine_that_fails_makes_its_own_rules_unknown() -> None:
    def half(question: Any) -> Any:
        return Failure("too slow") if question.bank.engine == "mine" else answer(question)

    reading = read(half, a={"examples": ["reset"]}, b={"examples": ["reset"], "engine": "mine"})
    assert reading["a"].matched
    assert reading["b"] == Verdict(False, 0.0, "too slow", None, True)
    with pytest.raises(AskFailed, match="too slow"):
        read(half, b={"examples": ["reset"], "engine": "mine"})


def test_settings_that_cannot_mean_anything_are_refused() -> None:
    with pytest.raises(ValueError, match=r"soft 0\.9 is above threshold 0\.5"):
        EmbeddingRule(examples=("a",), soft=0.9)
    with pytest.raises(ValueError, match="at least 1"):
        EmbeddingRule(examples=("  ",))
    with pytest.raises(ConfigError, match=r"scan\.modality: no engine can compare images"):
        EmbeddingSignal({"scan": EmbeddingRule(examples=("a passport",), modality="image")})
