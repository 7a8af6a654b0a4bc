"""What every plugged-in thing must keep, asked of whatever the catalog holds.

A new kind is covered by existing: this suite tells its author what is missing.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example as example_of
from hypothesis import given, settings
from hypothesis import strategies as st

import wayside.endpoints
import wayside.engines
import wayside.plugins
import wayside.selection
import wayside.signals
import wayside.stores
from wayside.catalog import Family, Kind, catalog, discover
from wayside.engines import Engine
from wayside.selection import Candidate, Picked, pick
from wayside.settings import PickingSettings, RouterSettings
from wayside.stores import Store, Tools
from wayside.vocab.ask import (
    Ask,
    Classify,
    Embed,
    Failure,
    Language,
    Mark,
    Now,
    Similar,
    Span,
    Unguessable,
)
from wayside.vocab.calls import Complete, Completed
from wayside.vocab.endpoint import Endpoint, Need, Roster, Vitals
from wayside.vocab.errors import AskFailed
from wayside.vocab.observed import ModelFacts, Observe, Seen, Standing, Standings
from wayside.vocab.prompt import Message, Prompt
from wayside.vocab.taught import Nearest, Outcome, Scored
from wayside.vocab.tokens import estimate_tokens
from wayside.vocab.verdict import Verdict

FOLDERS: dict[Family, str] = {
    "signal": "signals",
    "selector": "selection",
    "plugin": "plugins",
    "engine": "engines",
    "store": "stores",
    "filter": "endpoints",
    "scorer": "endpoints",
    "picker": "endpoints",
}
PACKAGES = (
    wayside.signals,
    wayside.selection,
    wayside.plugins,
    wayside.engines,
    wayside.stores,
    wayside.endpoints,
)
for package in PACKAGES:
    discover(package)
KINDS = [kind for family in FOLDERS for kind in catalog.family(family)]
SIGNALS = list(catalog.family("signal"))
SELECTORS = list(catalog.family("selector"))
ROOT = Path(__file__).parents[2]

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda k: f"{k.family}-{k.name}")
every_signal = pytest.mark.parametrize("kind", SIGNALS, ids=lambda k: k.name)
every_selector = pytest.mark.parametrize("kind", SELECTORS, ids=lambda k: k.name)


def example(settings_class: type) -> Any:
    """The ``Example: ``...`` `` of a settings class, a YAML flow mapping."""
    found = re.search(r"Example: ``(.+?)``", settings_class.__doc__ or "", re.DOTALL)
    assert found, f"{settings_class.__name__}: its docstring has no Example: ``{{...}}``"
    return yaml.safe_load(found[1])


def page(kind: Kind) -> Path:
    return ROOT / "docs" / "reference" / FOLDERS[kind.family] / f"{kind.name}.md"


def test_the_catalog_is_not_empty() -> None:
    assert SIGNALS and SELECTORS


@every_kind
def test_the_summary_is_one_short_sentence(kind: Kind) -> None:
    assert kind.summary.endswith(".") and len(kind.summary) < 100, kind.summary


@every_kind
def test_it_lives_in_the_file_of_its_name(kind: Kind) -> None:
    assert kind.module == f"wayside.{FOLDERS[kind.family]}.{kind.name}"


@every_kind
def test_it_has_a_test_file(kind: Kind) -> None:
    path = ROOT / "tests" / FOLDERS[kind.family] / f"test_{kind.name}.py"
    assert path.is_file(), f"write {path.relative_to(ROOT)}"


@every_kind
def test_it_has_a_page_that_names_every_setting(kind: Kind) -> None:
    path = page(kind)
    assert path.is_file(), f"write {path.relative_to(ROOT)}"
    text = path.read_text("utf-8")
    assert text.startswith(f"# {kind.name}\n")
    for name, field in kind.settings.model_fields.items():
        assert f"`{field.alias or name}`" in text, f"{path.name} does not mention {name}"


@every_kind
def test_the_examples_on_its_page_build(kind: Kind) -> None:
    text = page(kind).read_text("utf-8")
    documents = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.S)]
    examples = [found for d in documents for found in _settings_in(d, kind)]
    assert examples, f"{page(kind).name} shows no example of {kind.name}"
    for found in examples:
        build(kind, found)


def _settings_in(document: Any, kind: Kind) -> list[Any]:
    """The settings of ``kind`` that a configuration document holds."""
    RouterSettings.model_validate(document)
    if kind.family == "engine":
        found = [spec for spec in document["engines"].values() if kind.name in spec]
        return [spec[kind.name] for spec in found]
    if kind.family == "store":
        return [spec[kind.name] for spec in document["stores"].values() if kind.name in spec]
    if kind.family in ("filter", "scorer", "picker"):
        return [found for p in _pickings(document) for found in _used(p, kind)]
    routing = document["routing"]
    if kind.family == "signal":
        return list(routing["signals"].get(kind.name, {}).values())
    found = []
    for decision in routing["decisions"]:
        if kind.family == "plugin":
            found += [s for name, s in decision.get("plugins", {}).items() if name == kind.name]
        else:
            select = decision.get("select", "static")
            select = {select: {}} if isinstance(select, str) else select
            found += [s for name, s in select.items() if name == kind.name]
    return found


def _pickings(document: Any) -> list[PickingSettings]:
    settings = RouterSettings.model_validate(document)
    given = [settings.picking, *[model.picking for model in settings.models.values()]]
    return [picking for picking in given if picking is not None]


def _used(picking: PickingSettings, kind: Kind) -> list[Any]:
    if kind.family == "picker":
        picker = picking.picker
        return (
            [{}]
            if kind.name in (picker, picking.strategy)
            else ([picker[kind.name]] if isinstance(picker, dict) and kind.name in picker else [])
        )
    uses = picking.filters if kind.family == "filter" else picking.scorers
    strategy = [{}] if kind.family == "scorer" and picking.strategy == kind.name else []
    return strategy + [use.settings for use in uses if use.name == kind.name]


@every_kind
def test_its_example_builds(kind: Kind) -> None:
    assert build(kind, example(kind.settings)) is not None


def build(kind: Kind, raw: Any) -> Any:
    rule = kind.settings.model_validate(raw)
    if kind.family == "engine":  # built when a model is there to load: see each kind's own tests
        assert issubclass(kind.build, Engine) and kind.build.tasks_of(rule)  # type: ignore[arg-type]
        return rule
    if kind.family == "store":  # none connects before it is asked
        assert issubclass(kind.build, Store) and kind.build.capabilities_of(rule)  # type: ignore[arg-type]
        return kind.build(rule, Tools("it"))
    return kind.build({"it": rule} if kind.family == "signal" else rule)


@every_kind
def test_its_settings_are_a_closed_described_object(kind: Kind) -> None:
    schema = kind.settings.model_json_schema()
    assert schema["type"] == "object" and schema["additionalProperties"] is False
    source = "\n".join(
        inspect.getsource(c) for c in kind.settings.__mro__ if c.__module__.startswith("wayside.")
    )
    for name in kind.settings.model_fields:
        declared = re.search(rf"^    {name}:.*?\n(?=    \S)(.*)", source, re.M | re.S)
        described = declared is not None and declared[1].lstrip().startswith('"""')
        obvious = name in OBVIOUS
        assert described or obvious, f"{kind.settings.__name__}.{name} has no docstring"


OBVIOUS = {"prompt"}


TEXT = st.one_of(
    st.text(max_size=80),
    st.sampled_from(
        [
            "Solve x^2 = 2.",
            "Wie geht es dir?",
            "先烧水，再加盐？",
            "```py\n1\n```",
            "a\ud800b",
            "İß",
        ]
    ),
)
MESSAGES = st.lists(
    st.builds(
        Message,
        role=st.sampled_from(["system", "developer", "user", "assistant", "tool", "", "robot"]),
        text=TEXT,
        tool_calls=st.integers(0, 3),
        images=st.integers(0, 3),
        audio=st.integers(0, 1),
    ),
    max_size=6,
)
PLAIN = st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3)


@st.composite
def prompts(draw: st.DrawFn) -> Prompt:
    messages = tuple(draw(MESSAGES))
    asked = [m.text for m in messages if m.role == "user"]
    return Prompt(
        model=draw(st.sampled_from(["auto", "MoM", ""])),
        messages=messages,
        question=asked[-1] if asked else "",
        stream=draw(st.booleans()),
        tokens=estimate_tokens([m.text for m in messages]),
        tools=tuple(draw(st.lists(st.text(max_size=5), max_size=3))),
        metadata=draw(PLAIN),
        headers=draw(PLAIN),
    )


HEADS = {
    "domain": ("math", "law", "other"),
    "jailbreak": ("jailbreak", "harmful", "benign"),
    "jailbreak_response": ("jailbreak", "benign"),
    "fact_check": ("needs_fact_check", "no_fact_check_needed"),
    "feedback": ("wrong_answer", "need_clarification", "want_different", "satisfied", "none"),
    "complexity": ("hard", "medium", "easy"),
    "modality": ("image", "text", "both"),
    "safety": ("weapons", "safe"),
}
"""What the built-in classifiers can say, the likeliest first here."""


def answer(question: Ask[Any]) -> Any:
    match question:
        case Classify(head=head) if head in HEADS:
            first, *rest = HEADS[head]
            return ((first, 0.7), *((label, 0.3 / len(rest)) for label in rest))
        case Mark(text=text):
            return (Span(0, 1, "EMAIL_ADDRESS", 0.9),) if text else ()
        case Similar(bank=bank):
            return tuple(0.9 - i / 10 for i in range(len(bank.texts)))
        case Embed(texts=texts):
            return tuple((1.0, 0.0) for _ in texts)
        case Language():
            return (("de", 0.6), ("nl", 0.3))
        case Complete(model=model):
            said = b'{"choices": [{"index": 0, "message": {"content": "m0"}}]}'
            return Completed(model, 200, said)
        case Now():
            return 1_800_000_000.0
        case Unguessable():
            return "0123456789abcdef" * 2
        case Observe(models=models, percentiles=at):
            return tuple(
                Seen(samples=9, ttft_s=(0.1 * i,) * len(at), tpot_s=(0.01,) * len(at))
                for i in range(len(models))
            )
        case Standings(candidates=names):
            return tuple(Standing(rating=1500.0 + i, games=i) for i in range(len(names)))
        case Nearest(taught=taught, most=most):
            held = tuple(i / 10 for i in range(len(taught.models)))
            return (Outcome(0.9, held, held),) * most
        case Scored(taught=taught):
            return tuple(i / 10 for i in range(len(taught.models)))
    pytest.fail(f"answer {question!r} in {__file__}")


def read(signal: Any, prompt: Prompt, reply: Any = answer) -> dict[str, Verdict]:
    flow = signal.read(prompt)
    if not isinstance(flow, Generator):
        return dict(flow)
    try:
        asks = next(flow)
        while True:
            assert asks and all(isinstance(a, Ask) and hash(a) is not None for a in asks)
            asks = flow.send(tuple(reply(a) for a in asks))
    except StopIteration as stop:
        return dict(stop.value)


@every_signal
@settings(deadline=None)
@example_of(prompt=Prompt(model="auto", question="a\ud800b derivative \udfff"))
@given(prompt=prompts())
def test_a_signal_reads_any_prompt(kind: Kind, prompt: Prompt) -> None:
    rule = kind.settings.model_validate(example(kind.settings))
    rules = {"it": rule, "it-again": rule}
    reading = read(kind.build(rules), prompt)
    assert set(reading) <= set(rules), "a signal answers for its own rules only"
    for verdict in reading.values():
        assert isinstance(verdict, Verdict)
        assert 0.0 <= verdict.confidence <= 1.0
        assert verdict.matched or verdict.confidence == 0.0
        assert "\n" not in verdict.because and len(verdict.because) < 2_000
    assert reading.get("it") == reading.get("it-again"), "equal rules get equal verdicts"
    assert reading == read(kind.build(rules), prompt), "the same prompt gets the same verdicts"


@every_signal
def test_a_signal_without_rules_says_nothing(kind: Kind) -> None:
    assert read(kind.build({}), Prompt(model="auto", question="What is two and two?")) == {}


TALK = Prompt(
    model="auto",
    messages=(
        Message("user", "What is two and two?"),
        Message("tool", "4"),
        Message("assistant", "It is four."),
        Message("user", "What is two and two?"),
    ),
    question="What is two and two?",
)
"""Some signals have something to ask only in the middle of a conversation."""


@every_signal
def test_a_question_nobody_answers_is_a_failed_ask(kind: Kind) -> None:
    signal = kind.build({"it": kind.settings.model_validate(example(kind.settings))})
    prompt = TALK
    if isinstance(signal.read(prompt), Generator):
        with pytest.raises(AskFailed):
            read(signal, prompt, lambda _: Failure("nobody home"))
    else:
        read(signal, prompt, lambda _: pytest.fail("a plain signal asks nothing"))


@every_selector
@settings(deadline=None)
@given(
    weights=st.lists(st.floats(0, 1e6), min_size=1, max_size=6),
    dice=st.floats(0, 1, exclude_max=True),
)
def test_a_selector_chooses_one_of_the_candidates(
    kind: Kind, weights: list[float], dice: float
) -> None:
    weights = weights[: getattr(kind.build, "at_most", None)]
    candidates = tuple(Candidate(f"m{i}", weight=weight) for i, weight in enumerate(weights))
    selector = build(kind, example(kind.settings))
    if hasattr(selector, "meet"):
        selector.meet(tuple(ModelFacts(name=c.model, description=c.model) for c in candidates))

    def picked(reply: Any = answer) -> Picked:
        flow = pick(selector, Prompt(model="auto", question="Why?"), candidates, dice)
        try:
            asks = next(flow)
            while True:
                asks = flow.send(tuple(reply(a) for a in asks))
        except StopIteration as stop:
            found: Picked = stop.value
            return found

    chosen = picked()
    assert chosen.candidate in candidates
    assert len(chosen.scores) in (0, len(candidates))
    assert chosen == picked(), "the same dice and the same answers give the same choice"
    with contextlib.suppress(AskFailed):
        assert picked(lambda _: Failure("nobody home")).candidate in candidates


# Choosing among servers

LABELS = st.dictionaries(st.sampled_from(["llm-d.ai/role", "zone"]), st.sampled_from("ab"))
NUMBERS = st.floats(0, 1e6)
SHARES = st.floats(0, 1)


@st.composite
def endpoints(draw: st.DrawFn) -> list[Endpoint]:
    found = []
    for i in range(draw(st.integers(1, 5))):
        e = Endpoint(f"e{i}", f"10.0.0.{i}:8000", weight=draw(NUMBERS), labels=draw(LABELS))
        e.in_flight = draw(st.integers(0, 1000))
        if draw(st.booleans()):
            e.vitals = Vitals(
                at=0.0,
                waiting=draw(NUMBERS),
                running=draw(NUMBERS),
                kv=draw(SHARES),
                loras=frozenset(draw(st.sets(st.sampled_from(["m", "lora"])))),
                loras_waiting=frozenset(draw(st.sets(st.sampled_from(["m", "lora"])))),
                max_loras=draw(st.integers(0, 2)),
                gpu=draw(st.none() | SHARES),
            )
        found.append(e)
    return found


BODIES = st.one_of(
    st.binary(max_size=40),
    st.builds(lambda text: json.dumps({"model": "m", "prompt": text}).encode(), st.text()),
    st.builds(
        lambda text: json.dumps(
            {"model": 1, "messages": [{"role": "user", "content": text}], "max_tokens": "x"}
        ).encode(),
        st.text(max_size=400),
    ),
)
HEADERS = st.dictionaries(
    st.sampled_from(["x-session-id", "x-session-token", "cookie", "authorization"]),
    st.text(max_size=20),
)


@pytest.mark.parametrize(
    "kind",
    [k for f in ("filter", "scorer", "picker") for k in catalog.family(f)],  # type: ignore[arg-type]
    ids=lambda k: f"{k.family}-{k.name}",
)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_what_chooses_servers_takes_any_request(kind: Kind, data: st.DataObject) -> None:
    """Scores are numbers from 0 to 1, positions are those of servers; hooks do not raise, and a
    server that was forgotten does no harm."""
    part = build(kind, example(kind.settings))
    everybody = data.draw(endpoints())
    dice = data.draw(st.floats(0, 1, exclude_max=True))
    for turn in range(data.draw(st.integers(1, 4))):
        roster = Roster(tuple(everybody))
        need = Need(
            "m",
            body=data.draw(BODIES),
            headers=data.draw(HEADERS),
            now=float(turn),
            dice=lambda: dice,
            priority=data.draw(st.integers(-5, 5)),
        )
        size = len(everybody)
        if kind.family == "filter":
            kept = part.keep(need, roster)
            assert kept is None or list(kept) == sorted(set(kept) & set(range(size)))
        elif kind.family == "scorer":
            scores = part.score(need, roster)
            pairs = dict(scores.items() if isinstance(scores, dict) else enumerate(scores))
            assert isinstance(scores, dict) or len(scores) == size
            assert set(pairs) <= set(range(size))
            assert all(0.0 <= score <= 1.0 for score in pairs.values()), pairs
        else:
            totals = data.draw(st.lists(NUMBERS, min_size=size, max_size=size) | st.just([]))
            taken = part.pick(need, roster, totals)
            assert taken and len(set(taken)) == len(taken) and set(taken) <= set(range(size))
        endpoint = data.draw(st.sampled_from(everybody))
        for hook, args in (
            ("chosen", (need, endpoint)),
            ("answered", (need, endpoint, 0.1)),
            ("says", (need, endpoint)),
            ("ended", (need, endpoint)),
            ("forget", (endpoint,)),
        ):
            if data.draw(st.booleans()) or hook == "ended":
                getattr(part, hook, lambda *_: None)(*args)
        if len(everybody) > 1 and data.draw(st.booleans()):
            everybody.pop()
