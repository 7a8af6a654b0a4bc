"""What a reading cost: each kind's own work, and the answers it waited for."""

from __future__ import annotations

from typing import Any

from tests.flow.driving import chat, policy, post
from wayside.runtime import Runtime
from wayside.runtime.costs import KindCost, Meter, called, least, timed
from wayside.vocab.ask import Bank, Classify, Embed, Flow, Language, Mark, Similar, ask, gather
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

RULES = """
models: {big: {endpoints: [h]}}
routing:
  default_model: big
  signals:
    domain: {math: {labels: [math]}}
    keyword: {urgent: {keywords: [urgent]}}
    language: {german: {languages: [de]}}
  decisions:
    - {name: sums, when: {all: ["domain:math", "keyword:urgent", "language:german"]}}
"""


class Clock:
    """Moves on by one microsecond each time it is read."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        self.now += 1_000
        return self.now


class Asks:
    """A signal that asks twice."""

    def __init__(self, rules: Any) -> None: ...

    def read(self, prompt: Prompt) -> Flow[dict[str, Verdict]]:
        yield from ask(Classify("x", "first"))
        yield from ask(Language("x"))
        return {"r": Verdict(True)}


def test_a_kind_that_asks_is_measured_between_its_questions() -> None:
    meter = Meter(Clock())
    ((signal, _),) = timed({"k": (Asks({}), ("r",))}, meter).values()
    flow = signal.read(Prompt(model="m"))
    gathered = gather([flow])  # type: ignore[list-item]
    (first,) = next(gathered)
    meter.answered[first] = 5_000
    (second,) = gathered.send(((("a", 1.0),),))
    meter.answered[second] = 7_000
    try:
        gathered.send(((("en", 1.0),),))
    except StopIteration as stop:
        assert stop.value == [{"r": Verdict(True)}]
    assert meter.costs() == {
        "k": KindCost(4.0, 12.0, (("classify first", 5.0), ("language", 7.0)))
    }


def test_the_cheapest_reading_counts() -> None:
    cheap, dear = KindCost(1.0, 2.0, ()), KindCost(9.0, 0.5, ())
    assert least([{"k": dear}, {"k": cheap, "l": dear}]) == {"k": cheap, "l": dear}


def test_questions_are_named_and_never_quoted() -> None:
    bank = Bank(("secret",), "mini")
    questions = [
        Classify("secret", "domain"),
        Mark("secret", "pii"),
        Embed(("secret",), "mini"),
        Similar("secret", bank),
        Language("secret"),
    ]
    assert [called(q) for q in questions] == [
        "classify domain",
        "mark pii",
        "embed mini",
        "similar mini",
        "language",
    ]


async def test_the_runtime_measures_only_when_asked() -> None:
    asked: list[Any] = []

    def classify(question: Classify) -> Any:
        asked.append(question)
        return (("math", 0.9), ("other", 0.1))

    async def language(question: Language) -> Any:
        return (("de", 0.9),)

    runtime = Runtime(policy(RULES), {Classify: classify, Language: language})
    prompt, choice, costs = await runtime.examine(post(chat("auto", "urgent")), repeats=3)
    assert len(asked) == 3, "three readings"
    assert set(costs) == {"domain", "keyword", "language"}
    assert all(cost.total_us > 0 for cost in costs.values())
    assert costs["keyword"].asked == () and costs["domain"].asked[0][0] == "classify domain"
    plain_prompt, plain = await runtime.explain(post(chat("auto", "urgent")))
    assert plain_prompt == prompt and plain.verdicts == choice.verdicts
    assert choice.match is not None and choice.recipe is runtime.policy.virtual["auto"]


async def test_slow_readings_are_not_repeated(monkeypatch: Any) -> None:
    calls = []

    def classify(question: Classify) -> Any:
        calls.append(question)
        return (("math", 0.9), ("other", 0.1))

    monkeypatch.setattr("wayside.runtime.SLOW_NS", 0)
    runtime = Runtime(policy(RULES), {Classify: classify})
    await runtime.examine(post(chat("auto", "urgent")), repeats=5)
    assert len(calls) == 1


async def test_an_answer_that_does_not_come_costs_what_it_took() -> None:
    runtime = Runtime(policy(RULES))
    _, choice, costs = await runtime.examine(post(chat("auto", "urgent")))
    assert costs["domain"].asks_us > 0
    assert any(v.unknown for v in choice.verdicts.values())
