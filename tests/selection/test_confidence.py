from __future__ import annotations

import json
import math
from typing import Any

import pytest

from tests.selection.asking import Asked, completion
from wayside.selection import Candidate
from wayside.selection.confidence import ConfidenceRule, ConfidenceSelector, stated
from wayside.vocab.ask import Failure, Mark, Span
from wayside.vocab.errors import AskFailed, ConfigError
from wayside.vocab.observed import ModelFacts
from wayside.vocab.prompt import Prompt


def confidence(**rule: Any) -> ConfidenceSelector:
    return ConfidenceSelector(ConfidenceRule.model_validate(rule))


def token(text: str, p: float, second: float | None = None) -> dict[str, Any]:
    """A token of probability ``p`` whose rival had ``second``."""
    top = [{"token": text, "logprob": math.log(p)}]
    if second is not None:
        top.append({"token": "?", "logprob": math.log(second)})
    return {"token": text, "logprob": math.log(p), "bytes": None, "top_logprobs": top}


def answer(text: str, *tokens: dict[str, Any], **choice: Any) -> dict[str, Any]:
    return completion(text, logprobs={"content": list(tokens), "refusal": None}, **choice)


# By hand: (0.8 x 0.5)^(1/2) = 0.632456; mean margin ((0.8 - 0.1) + (0.5 - 0.4)) / 2 = 0.4.
TOKENS = (token("It", 0.8, 0.1), token(" is", 0.5, 0.4))
LOG = math.log(0.632456)


@pytest.mark.parametrize(
    ("method", "expected"),
    [("avg_logprob", LOG), ("margin", 0.4), ("hybrid", (0.632456 + 0.4) / 2)],
)
def test_confidence_by_tokens_against_numbers_worked_out_by_hand(
    method: str, expected: float
) -> None:
    found = Asked(
        confidence(confidence_method=method, threshold=-9 if method == "avg_logprob" else 0),
        lambda *_: answer("It is", *TOKENS),
    ).composed.extra["confidence"]
    assert found == pytest.approx(expected, abs=1e-4)


def test_hybrid_weighs_as_told() -> None:
    rule = {"confidence_method": "hybrid", "threshold": 0}
    weights = {"logprob": 1, "margin": 3}
    found = Asked(
        confidence(**rule, hybrid_weights=weights), lambda *_: answer("It is", *TOKENS)
    ).composed.extra["confidence"]
    assert found == pytest.approx((0.632456 + 3 * 0.4) / 4, abs=1e-4)


@pytest.mark.parametrize(
    ("method", "threshold", "models"),
    [
        ("avg_logprob", None, ["small"]),  # log 0.63 = -0.46 >= -1
        ("avg_logprob", -0.4, ["small", "large"]),
        ("margin", None, ["small", "large"]),  # 0.4 < 0.5
        ("margin", 0.4 - 1e-9, ["small"]),
        ("hybrid", None, ["small"]),  # 0.516 >= 0.5
        ("hybrid", 0.52, ["small", "large"]),
    ],
)
def test_an_answer_below_the_threshold_goes_to_the_next(
    method: str, threshold: float | None, models: list[str]
) -> None:
    asked = Asked(
        confidence(confidence_method=method, threshold=threshold),
        lambda model, *_: answer(f"{model} speaking", *TOKENS),
    )
    assert [batch[0] for batch in asked.models] == models
    assert asked.text == f"{models[-1]} speaking"
    assert asked.composed.model == models[-1]


def test_log_probabilities_are_asked_for_where_they_are_needed_and_taken_out_again() -> None:
    asked = Asked(confidence(threshold=-0.01), lambda *_: answer("It is", *TOKENS))
    (first,), (last,) = [[q[2] for q in batch] for batch in asked.batches]
    assert (first["logprobs"], first["top_logprobs"]) == (True, 2)
    assert "logprobs" not in last  # the last is not judged
    taken = Asked(confidence(), lambda *_: answer("It is", *TOKENS))
    assert taken.composed.completion["choices"][0]["logprobs"] is None


@pytest.mark.parametrize(("top", "sent", "kept"), [(None, 2, 0), (0, 2, 0), (1, 2, 1), (5, 5, 2)])
def test_log_probabilities_that_the_client_asked_for_stay_as_it_asked(
    top: int | None, sent: int, kept: int
) -> None:
    body = {"logprobs": True, **({} if top is None else {"top_logprobs": top})}
    asked = Asked(confidence(), lambda *_: answer("It is", *TOKENS), body=body)
    assert asked.batches[0][0][2]["top_logprobs"] == sent
    content = asked.composed.completion["choices"][0]["logprobs"]["content"]
    assert [t["token"] for t in content] == ["It", " is"]
    assert [len(t["top_logprobs"]) for t in content] == [kept, kept]


@pytest.mark.parametrize(
    "logprobs",
    [None, {"content": None}, {"content": []}, {"content": [{"logprob": "high"}, 3]}, "much"],
)
def test_an_answer_without_log_probabilities_is_not_sure(logprobs: Any) -> None:
    asked = Asked(confidence(), lambda *_: completion("It is", logprobs=logprobs))
    assert len(asked.batches) == 2


CALL = {
    "content": None,
    "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    ],
}


def test_only_the_arguments_of_tools_may_count() -> None:
    tokens = (
        token("<call f>", 0.01),
        token('{"a"', 0.9),
        token(": 1}", 0.9),
        token("</call>", 0.01),
    )
    said = lambda *_: answer("", *tokens, message=CALL)  # noqa: E731
    everything = Asked(confidence(), said)
    arguments = Asked(confidence(token_filter="tool_call_args"), said)
    assert (len(everything.batches), len(arguments.batches)) == (2, 1)
    assert arguments.composed.extra["confidence"] == pytest.approx(math.log(0.9), abs=1e-4)


def test_a_text_has_no_arguments_so_all_its_tokens_count() -> None:
    asked = Asked(confidence(token_filter="tool_call_args"), lambda *_: answer("It is", *TOKENS))
    assert asked.composed.extra["confidence"] == pytest.approx(LOG, abs=1e-4)


# self_verify


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"confidence": 0.8}', 0.8),
        ('Sure!\n```json\n{"confidence": 1}\n```', 1.0),
        ("0.75", 0.75),
        (" 1.0 ", 1.0),
        ('{"confidence": 80}', None),
        ('{"confidence": -1}', None),
        ('{"confidence": true}', None),
        ('{"confidence": "high"}', None),
        ("Between 0.2 and 0.9.", None),
        ("10", None),
        ("", None),
    ],
)
def test_what_a_verification_states(text: str, expected: float | None) -> None:
    assert stated(text) == expected


@pytest.mark.parametrize(
    ("verdict", "models"),
    [
        ('{"confidence": 0.7}', [["small"], ["small"]]),
        ('{"confidence": 0.69}', [["small"], ["small"], ["large"]]),
        ("It looks fine to me.", [["small"], ["small"], ["large"]]),
        (None, [["small"], ["small"], ["large"]]),
    ],
)
def test_a_model_may_verify_its_own_answer(verdict: Any, models: list[list[str]]) -> None:
    asked = Asked(
        confidence(confidence_method="self_verify"),
        lambda model, purpose, body: verdict if purpose == "verify" else f"{model} speaking",
    )
    assert asked.models == models
    _, (_, purpose, body) = [batch[0] for batch in asked.batches[:2]]
    assert purpose == "verify"
    assert body["max_completion_tokens"] == 256
    assert "Why?" in body["messages"][1]["content"]
    assert "small speaking" in body["messages"][1]["content"]


# automix_entailment


@pytest.mark.parametrize(
    ("spans", "calls"),
    [
        ((), 1),
        ((Span(0, 5, "unsupported", 0.5),), 1),  # 1 - 5 x 0.5 / 10 = 0.75
        ((Span(0, 4, "unsupported"),), 2),  # 0.6
        (Failure("down"), 2),
    ],
)
def test_what_the_conversation_does_not_support_counts_against_an_answer(
    spans: Any, calls: int
) -> None:
    seen: list[Mark] = []

    def marks(question: Mark) -> Any:
        seen.append(question)
        return spans

    asked = Asked(
        confidence(confidence_method="automix_entailment", verifier="nli"),
        lambda *_: "0123456789",
        body={
            "messages": [{"role": "system", "content": "Facts."}, {"role": "user", "content": "?"}]
        },
        marks=marks,
    )
    assert len(asked.batches) == calls
    assert seen[0] == Mark("0123456789", "nli", "Facts.\n\n?")


def test_entailment_needs_its_engine() -> None:
    with pytest.raises(ValueError, match="set verifier"):
        confidence(confidence_method="automix_entailment")


# order

A = ModelFacts(name="a-70b", prompt_per_1m=1.0, completion_per_1m=1.0, quality=0.9)
B = ModelFacts(name="b-8b", prompt_per_1m=2.0, completion_per_1m=8.0)  # price 5, quality 0.8
C = ModelFacts(name="c", parameters_b=30, prompt_per_1m=0.0, completion_per_1m=0.2, quality=0.3)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("declared", ["a-70b", "b-8b", "c"]),
        ("small_to_large", ["b-8b", "c", "a-70b"]),
        ("cost", ["c", "a-70b", "b-8b"]),
        # 0.9 - 0.3 x 1/10 = 0.87; 0.8 - 0.3 x 5/10 = 0.65; 0.3 - 0.003 = 0.297
        ("automix", ["a-70b", "b-8b", "c"]),
    ],
)
def test_who_is_asked_first(order: str, expected: list[str]) -> None:
    candidates = tuple(Candidate(fact.name) for fact in (A, B, C))
    selector = confidence(escalation_order=order)
    asked = Asked(selector, lambda *_: "unsure", candidates=candidates, facts=(A, B, C))
    assert [batch[0] for batch in asked.models] == expected
    assert selector.choose(Prompt(model="auto"), candidates, 0.0).model == expected[0]


def test_price_counts_as_the_trade_off_says() -> None:
    candidates = tuple(Candidate(fact.name) for fact in (A, B, C))
    # 0.9 - 1/10 = 0.8; 0.8 - 5/10 = 0.3; 0.3 - 0.01 = 0.29
    rule = confidence(escalation_order="automix", cost_quality_tradeoff=1.0)
    asked = Asked(rule, lambda *_: "unsure", candidates=candidates, facts=(A, B, C))
    assert [batch[0] for batch in asked.models] == ["a-70b", "b-8b", "c"]


def test_an_order_needs_what_it_goes_by() -> None:
    unsized = ModelFacts(name="mystery")
    with pytest.raises(ConfigError, match=r"models\.mystery\.parameters_b"):
        confidence().meet((A, unsized))
    with pytest.raises(ConfigError, match=r"models\.mystery\.price"):
        confidence(escalation_order="cost").meet((A, unsized))
    confidence().meet((unsized, ModelFacts(name="riddle")))  # nobody says: as they are listed


# errors and limits


def test_who_gives_no_answer_is_passed_over() -> None:
    asked = Asked(confidence(), lambda model, *_: 500 if model == "small" else "large speaking")
    assert asked.text == "large speaking"
    with pytest.raises(AskFailed, match="small"):
        Asked(confidence(on_error="fail"), lambda model, *_: 500)
    with pytest.raises(AskFailed):
        Asked(confidence(), lambda *_: None)


def test_the_surest_answer_stands_where_the_last_gives_none() -> None:
    sure = {"a": 0.3, "b": 0.6, "c": None}
    candidates = tuple(Candidate(name) for name in sure)

    def answers(model: str, *_: Any) -> Any:
        p = sure[model]
        return None if p is None else answer(f"{model} speaking", token("x", p))

    asked = Asked(confidence(threshold=0), answers, candidates=candidates)
    assert (asked.text, asked.composed.model) == ("b speaking", "b")
    assert asked.composed.extra["confidence"] == pytest.approx(math.log(0.6), abs=1e-4)


def test_the_most_calls_it_makes() -> None:
    assert confidence().calls(3) == 3
    assert confidence(confidence_method="self_verify").calls(3) == 5


@pytest.mark.parametrize(
    "rule",
    [
        {"threshold": 0.5},
        {"confidence_method": "margin", "threshold": -1},
        {"confidence_method": "self_verify", "threshold": 1.1},
        {"confidence_method": "self_verify", "token_filter": "tool_call_args"},
        {"hybrid_weights": {"logprob": 0, "margin": 0}},
        {"confidence_method": "vibes"},
    ],
    ids=json.dumps,
)
def test_settings_that_make_no_sense_are_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        confidence(**rule)
