"""The cascade: who is asked when, whose answer counts, and what happens when one cannot answer."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable
from typing import Any

import pytest
from pydantic import ValidationError

from tests.runtime.test_compile import MODEL, compiled, problems
from wayside.engines import Engine, Engines
from wayside.engines.base import Tools
from wayside.engines.cascade import Cascade, CascadeSettings
from wayside.vocab.ask import Classify, Labels
from wayside.vocab.errors import AskFailed

CATS: Labels = (("cat", 0.9), ("dog", 0.1))
PERHAPS: Labels = (("dog", 0.6), ("cat", 0.4))


class Fixed(Engine):
    """Always gives the same answer, at once or later, and counts how often."""

    tasks = frozenset(["classify"])

    def __init__(self, answer: Labels | Exception, *, later: bool = False) -> None:
        self.answer, self.later, self.count = answer, later, 0
        self.labels = ("cat", "dog")

    def classify(self, text: str) -> Labels | Awaitable[Labels]:
        self.count += 1
        return self._soon() if self.later else self._now()

    def _now(self) -> Labels:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def _soon(self) -> Labels:
        await asyncio.sleep(0)
        return self._now()


def cascade(first: Engine, second: Engine, **settings: Any) -> Cascade:
    engines = {"quick": first, "strong": second}
    rule = CascadeSettings.model_validate({"first": "quick", "second": "strong", **settings})
    return Cascade(rule, Tools("both", engine=engines.__getitem__))


async def answer(engine: Engine) -> Labels:
    found = engine.classify("meow")
    return await found if inspect.isawaitable(found) else found


async def test_a_sure_first_answer_comes_at_once_and_alone() -> None:
    strong = Fixed(PERHAPS)
    found = cascade(Fixed(CATS), strong, below=0.9).classify("meow")
    assert found == CATS
    assert strong.count == 0


@pytest.mark.parametrize("later", [False, True])
async def test_an_unsure_first_answer_gives_way_to_the_second(later: bool) -> None:
    quick, strong = Fixed(PERHAPS, later=later), Fixed(CATS, later=later)
    assert await answer(cascade(quick, strong, below=0.7)) == CATS
    assert (quick.count, strong.count) == (1, 1)


async def test_a_sure_first_answer_that_takes_time_is_not_asked_about_again() -> None:
    strong = Fixed(PERHAPS)
    assert await answer(cascade(Fixed(CATS, later=True), strong)) == CATS
    assert strong.count == 0


async def test_both_answers_can_count() -> None:
    found = await answer(cascade(Fixed(PERHAPS), Fixed(CATS), below=0.7, share=0.5))
    assert dict(found) == {"cat": pytest.approx(0.65), "dog": pytest.approx(0.35)}
    assert [label for label, _ in found] == ["cat", "dog"]


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("failure", [TimeoutError(), OSError("gone"), AskFailed("full")])
async def test_the_first_answer_stands_when_the_second_fails(
    failure: Exception, later: bool
) -> None:
    assert await answer(cascade(Fixed(PERHAPS), Fixed(failure, later=later), below=1)) == PERHAPS


async def test_a_failed_first_is_a_failure() -> None:
    with pytest.raises(TimeoutError):
        await answer(cascade(Fixed(TimeoutError()), Fixed(CATS)))


def test_engines_of_other_labels_are_refused() -> None:
    odd = Fixed(CATS)
    odd.labels = ("cat", "hound")
    with pytest.raises(AskFailed, match="dog, hound"):
        cascade(Fixed(CATS), odd)


def test_one_engine_is_no_cascade() -> None:
    with pytest.raises(ValidationError, match="same engine"):
        CascadeSettings(first="domain", second="domain")


def test_taking_a_built_in_place_it_may_name_the_built_in_one() -> None:
    assert compiled(f"{MODEL}engines: {{domain: {{cascade: {{first: domain, second: safety}}}}}}")


async def test_the_built_in_one_answers_within_a_cascade_that_has_its_name() -> None:
    alone = Engines().classify(Classify("integrate x^2", "domain"))
    engines = Engines({"domain": {"cascade": {"first": "domain", "second": "copy"}}})
    engines._made["copy"] = engines._other("domain", "domain")
    assert await _settled(engines.classify(Classify("integrate x^2", "domain"))) == alone


def test_a_cascade_of_an_engine_that_is_not_there_cannot_be_made() -> None:
    engines = Engines({"both": {"cascade": {"first": "domain", "second": "nope"}}})
    with pytest.raises(AskFailed, match="no engine 'nope'"):
        engines.engine("both")


async def _settled(found: Any) -> Any:
    return await found if inspect.isawaitable(found) else found


def test_a_reload_makes_a_cascade_anew_and_keeps_what_it_asks() -> None:
    specs = {"domain": {"cascade": {"first": "domain", "second": "copy"}}}
    old = Engines(specs)
    old._made["copy"] = old._other("domain", "domain")
    first = old.engine("domain")
    new = Engines(specs, reuse=old)
    new._made["copy"] = new._other("domain", "domain")
    assert new.engine("domain") is not first
    assert new._other("domain", "domain") is old._other("domain", "domain")


@pytest.mark.parametrize(
    ("engines", "problem"),
    [
        (
            "a: {cascade: {first: domain, second: nope}}",
            "engines.a.cascade.second: no engine 'nope'",
        ),
        (
            "a: {cascade: {first: embedding, second: domain}}",
            "engines.a.cascade.first: engine 'embedding' does not classify",
        ),
        (
            "a: {cascade: {first: domain, second: a}}",
            "engines.a.cascade: asks itself in the end: a -> a",
        ),
        (
            "{a: {cascade: {first: domain, second: b}}, b: {cascade: {first: a, second: domain}}}",
            "engines.a.cascade: asks itself in the end: a -> b -> a",
        ),
        (
            "{domain: {cascade: {first: domain, second: b}}, "
            "b: {cascade: {first: domain, second: safety}}}",
            "engines.b.cascade: asks itself in the end: b -> domain -> b",
        ),
    ],
)
def test_engines_that_are_not_there_or_ask_in_circles_are_told(engines: str, problem: str) -> None:
    text = engines if engines.startswith("{") else f"{{{engines}}}"
    (found,) = problems(f"{MODEL}engines: {text}")
    assert found.startswith(problem)


def test_engines_that_ask_the_same_engine_are_no_circle() -> None:
    text = (
        "{a: {cascade: {first: domain, second: safety}}, "
        "b: {cascade: {first: a, second: safety}}, c: {cascade: {first: a, second: b}}}"
    )
    assert compiled(f"{MODEL}engines: {text}")
