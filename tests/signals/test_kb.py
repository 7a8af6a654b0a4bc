from __future__ import annotations

from typing import Any

import pytest

from wayside.signals.kb import KbRule, KbSignal
from wayside.vocab.ask import Ask, Failure, Similar
from wayside.vocab.errors import AskFailed
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

from .answer import reading_of

ASKED = Prompt(model="auto", question="Review our payroll service")
COSINES = {"fix this": 0.7, "our plan": 0.6, "who was": 0.4, "define": 0.2}
BASE = {
    "labels": {"code": ["fix this"], "memo": ["our plan"], "trivia": ["who was", "define"]},
    "groups": {"private": ["code", "memo"], "public": ["trivia"]},
    "threshold": 0.5,
    "label_thresholds": {"code": 0.75},
}


def answer(question: Ask[Any]) -> Any:
    assert isinstance(question, Similar)
    return tuple(COSINES[text] for text in question.bank.texts)


def read(reply: Any = answer, **rules: Any) -> dict[str, Verdict]:
    made = {name: KbRule.model_validate({"base": BASE, **rule}) for name, rule in rules.items()}
    return reading_of(KbSignal(made).read(ASKED), reply)


def label(named: str, /, **more: Any) -> dict[str, Any]:
    return {"target": {"kind": "label", "value": named}, **more}


def group(named: str, /, **more: Any) -> dict[str, Any]:
    return {"target": {"kind": "group", "value": named}, **more}


def test_the_best_label_of_the_base_must_be_the_target_and_reach_its_threshold() -> None:
    reading = read(code=label("code"), memo=label("memo"), private=group("private"))
    assert not reading["code"].matched, "best, but below its own threshold of 0.75"
    assert not reading["memo"].matched, "over its threshold, but not the best"
    assert not reading["private"].matched
    low = {**BASE, "label_thresholds": {}}
    reading = read(code=label("code", base=low), private=group("private", base=low))
    assert reading["code"] == Verdict(True, 0.7, "code 0.70, best code 0.70", 0.7)
    assert reading["private"] == Verdict(True, 0.7, "private 0.70, best code 0.70", 0.7)


def test_by_threshold_any_label_of_the_target_will_do() -> None:
    reading = read(
        memo=label("memo", match="threshold"),
        private=group("private", match="threshold"),
        code=label("code", match="threshold"),
        public=group("public", match="threshold"),
    )
    assert [name for name, v in reading.items() if v.matched] == ["memo", "private"]
    assert reading["memo"].confidence == 0.6


def test_what_a_projection_sees_can_be_chosen() -> None:
    trivia = 0.75 * 0.4 + 0.25 * 0.3
    reading = read(
        score=label("trivia"),
        best=label("trivia", value="best_score"),
        reached=label("trivia", value="best_matched_score"),
        margin=group("private", value="group_margin", against="public"),
    )
    assert [reading[n].value for n in ("score", "best", "reached")] == pytest.approx(
        [trivia, 0.7, 0.6]
    )
    assert reading["margin"].value == pytest.approx(0.7 - trivia)


def test_bases_are_embedded_once_and_a_failed_engine_is_unknown() -> None:
    rule = KbRule.model_validate({"base": BASE, **label("code")})
    signal = KbSignal({"a": rule, "b": rule})
    (asked,) = next(signal.read(ASKED))
    assert asked.bank.texts == ("fix this", "our plan", "who was", "define")
    assert reading_of(signal.read(Prompt(model="auto", question=" ")), answer) == {}
    with pytest.raises(AskFailed):
        read(lambda _: Failure("slow"), code=label("code"))
    reading = read(
        lambda q: Failure("slow") if q.bank.engine == "mine" else answer(q),
        code=label("code"),
        mine=label("code", engine="mine"),
    )
    assert reading["mine"].unknown and not reading["code"].unknown


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        (label("cod"), "no label 'cod'; did you mean 'code'"),
        (group("secret"), "no group 'secret'; use one of: private, public"),
        (group("private", value="group_margin"), "go together"),
        (group("private", against="public"), "go together"),
        (group("private", value="group_margin", against="pubic"), "did you mean 'public'"),
        (label("code", base={**BASE, "groups": {"g": ["memos"]}}), "did you mean 'memo'"),
        (label("code", base={**BASE, "label_thresholds": {"x": 0.5}}), "label_thresholds names"),
    ],
)
def test_names_that_are_not_there_are_refused(rule: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        KbRule.model_validate({"base": BASE, **rule})
