from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.flow.driving import chat, forwarded, policy, post
from wayside.flow.sticky import MIN_ANSWERS, Settled, Sticky, session
from wayside.runtime.shelf import Conversations
from wayside.selection import Candidate, Picked
from wayside.settings import StickySettings
from wayside.vocab.ask import Ask, Failure
from wayside.vocab.observed import Observe, Seen
from wayside.vocab.prompt import Message, Prompt
from wayside.vocab.stores import Get, Put

A, B, C = Candidate("a"), Candidate("b"), Candidate("c")
AMONG = (A, B, C)


class World:
    """Remembers conversations, and answers how models are doing."""

    def __init__(self, observed: Mapping[str, Seen] | None = None) -> None:
        self.conversations = Conversations().answerers()
        self.documents: dict[str, bytes] = {}
        self.observed = observed or {}

    def __call__(self, question: Ask[Any]) -> Any:
        match question:
            case Observe(models=models):
                return tuple([self.observed.get(model, Seen()) for model in models])
            case Get(key=key):
                return self.documents.get(key)
            case Put(key=key, value=value):
                self.documents[key] = value
                return None
        return self.conversations[type(question)](question)


class Talk:
    """One conversation that grows turn by turn."""

    def __init__(
        self, rule: object = None, world: Callable[[Ask[Any]], Any] | None = None, **fields: Any
    ) -> None:
        self.sticky = Sticky(("default", "chat"), StickySettings.model_validate(rule or {}))
        self.world = World() if world is None else world
        self.fields = {"headers": {"x-session-id": "s"}, **fields}
        self.messages: list[Message] = []

    def prompt(self) -> Prompt:
        return Prompt(model="auto", messages=tuple(self.messages), **self.fields)

    def turn(self, picked: Picked, among: tuple[Candidate, ...] = AMONG) -> Settled | None:
        self.messages.append(Message("user", "go on"))
        return self.ask(picked, among)

    def ask(self, picked: Picked, among: tuple[Candidate, ...] = AMONG) -> Settled | None:
        flow = self.sticky.settle(self.prompt(), among, picked)
        settled: Settled | None
        try:
            asks = next(flow)
            while True:
                asks = flow.send(tuple([self.world(question) for question in asks]))
        except StopIteration as stop:
            settled = stop.value
        if settled is not None:
            self.world(settled.memory)
        return settled

    def names(self, *picked: Picked) -> str:
        """The models of so many turns."""
        found = [self.turn(p) for p in picked]
        return "".join([s.picked.candidate.name for s in found if s is not None])


def scored(candidate: Candidate, *scores: float | None) -> Picked:
    return Picked(candidate, "", scores)


def test_without_scores_a_conversation_stays_for_good() -> None:
    talk = Talk()
    assert talk.names(Picked(B), Picked(A), Picked(C)) == "bbb"


@pytest.mark.parametrize(("gain", "model"), [(0.049, "a"), (0.05, "b"), (0.5, "b")])
def test_it_moves_for_a_gain_of_the_margin(gain: float, model: str) -> None:
    talk = Talk()
    talk.turn(scored(A, 0.5, 0.4, 0.1))
    settled = talk.turn(scored(B, 0.4, 0.4 + gain, 0.1))
    assert settled is not None
    assert settled.picked.candidate.name == model
    assert settled.phase == ("switch" if model == "b" else "stay")


def test_with_no_margin_it_still_stays_where_nothing_is_gained() -> None:
    talk = Talk({"switch_margin": 0})
    talk.turn(scored(A, 0.5, 0.5, 0.5))
    assert talk.names(scored(B, 0.5, 0.5, 0.5)) == "a"


def test_only_the_candidate_that_was_picked_can_draw_it_away() -> None:
    talk = Talk()  # c was picked to be tried, whatever b scores
    talk.turn(scored(A, 0.5, 0.9, 0.1))
    assert talk.names(scored(C, 0.5, 0.9, 0.1)) == "a"


def test_it_stays_so_many_turns_at_least() -> None:
    talk = Talk({"min_turns_before_switch": 3})
    better = scored(B, 0.1, 0.9, 0.1)
    assert talk.names(scored(A, 0.5, 0.1, 0.1), better, better, better, better) == "aaabb"


def test_turns_are_counted_anew_after_a_switch() -> None:
    talk = Talk({"min_turns_before_switch": 2})
    to_b, to_a = scored(B, 0.1, 0.9, 0.1), scored(A, 0.9, 0.1, 0.1)
    assert talk.names(to_a, to_a, to_b, to_a, to_a) == "aabba"


def test_in_a_tool_loop_it_never_moves() -> None:
    talk = Talk()
    talk.turn(scored(A, 0.5, 0.1, 0.1))
    talk.messages += [Message("assistant", tool_calls=1), Message("tool", "4")]
    settled = talk.ask(scored(B, None, 1.0, 0.1))
    assert settled is not None
    assert settled.picked.candidate == A and settled.phase == "tool_loop"
    assert settled.picked.why == "stays on a, which called a tool"
    loose = Talk({"hold_in_tool_loop": False})
    loose.turn(scored(A, 0.5, 0.1, 0.1))
    loose.messages += [Message("assistant", tool_calls=1), Message("tool", "4")]
    moved = loose.ask(scored(B, 0.1, 1.0, 0.1))
    assert moved is not None and moved.picked.candidate == B


def test_a_tool_result_is_no_turn_of_its_own() -> None:
    talk = Talk({"min_turns_before_switch": 2})
    talk.turn(scored(A, 0.5, 0.1, 0.1))
    for _ in range(3):
        talk.messages += [Message("assistant", tool_calls=1), Message("tool", "4")]
        talk.ask(scored(B, 0.1, 0.9, 0.1))
    assert talk.names(scored(B, 0.1, 0.9, 0.1)) == "a"
    assert talk.names(scored(B, 0.1, 0.9, 0.1)) == "b"


def test_a_candidate_that_is_gone_is_left() -> None:
    talk = Talk()
    talk.turn(Picked(A))
    settled = talk.turn(Picked(C), among=(B, C))
    assert settled is not None
    assert settled.picked.candidate == C and settled.phase == "left"
    assert "no candidate any more" in settled.picked.why


def test_a_candidate_over_a_limit_is_left_at_once() -> None:
    talk = Talk({"min_turns_before_switch": 9})
    talk.turn(scored(A, 0.9, 0.1, 0.1))
    settled = talk.turn(scored(B, None, 0.2, 0.1))
    assert settled is not None
    assert settled.picked.candidate == B and settled.phase == "left"


FAILING = Seen(samples=MIN_ANSWERS, error_rate=0.5)


@pytest.mark.parametrize(
    ("seen", "left"),
    [
        (FAILING, True),
        (Seen(samples=MIN_ANSWERS, error_rate=0.49), False),
        (Seen(samples=MIN_ANSWERS - 1, error_rate=1.0), False),
    ],
)
def test_a_model_that_fails_is_left_even_in_a_tool_loop(seen: Seen, left: bool) -> None:
    world = World({"a": seen})
    talk = Talk(world=world)
    talk.turn(Picked(A))
    talk.messages += [Message("assistant", tool_calls=1), Message("tool", "4")]
    settled = talk.ask(Picked(A))
    assert settled is not None
    assert (settled.picked.candidate != A) is left
    assert (settled.phase == "left") is left


def test_the_best_of_the_others_takes_over_from_one_that_fails() -> None:
    talk = Talk(world=World({"a": FAILING}))
    talk.turn(scored(A, 0.9, 0.1, 0.5))
    settled = talk.turn(scored(A, 0.9, 0.1, 0.5))
    assert settled is not None and settled.picked.candidate == C
    alone = Talk(world=World({"a": FAILING}))
    alone.turn(scored(A, 0.9, None, None))
    kept = alone.turn(scored(A, 0.9, None, None))
    assert kept is not None and kept.picked.candidate == A, "there is no other"


def test_candidates_of_one_model_are_told_apart() -> None:
    fast, deep = Candidate("a"), Candidate("a", reasoning=True)
    talk = Talk()
    talk.turn(Picked(deep), among=(fast, deep))
    settled = talk.turn(Picked(fast), among=(fast, deep))
    assert settled is not None and settled.picked.candidate == deep


def test_a_changed_weight_is_still_the_same_candidate() -> None:
    talk = Talk()
    talk.turn(Picked(A))
    heavier = Candidate("a", weight=5.0)
    settled = talk.turn(Picked(B), among=(heavier, B))
    assert settled is not None and settled.picked.candidate == heavier


# which conversation


def said(*roles: str, first: str = "hello") -> tuple[Message, ...]:
    words = {"user": first, "system": "It is ten o'clock."}
    return tuple([Message(role, words.get(role, "...")) for role in roles])


ANSWERED = said("system", "user", "assistant", "user")


@pytest.mark.parametrize(
    ("prompt", "by"),
    [
        (
            Prompt(
                model="auto",
                messages=ANSWERED,
                metadata={"user_id": "u"},
                headers={"x-session-id": "1", "x-claude-code-session-id": "2"},
            ),
            ("header", "x-session-id:1"),
        ),
        (
            Prompt(
                model="auto",
                messages=ANSWERED,
                metadata={"user_id": "u"},
                headers={"x-conversation-id": "3", "x-claude-code-session-id": "2"},
            ),
            ("header", "x-claude-code-session-id:2"),
        ),
        (
            Prompt(model="auto", messages=ANSWERED, headers={"x-conversation-id": "3"}),
            ("header", "x-conversation-id:3"),
        ),
        (
            Prompt(model="auto", messages=ANSWERED, metadata={"user_id": "ant-md-1"}),
            ("metadata", "ant-md-1"),
        ),
        (Prompt(model="auto", messages=ANSWERED), ("history", "hello")),
    ],
)
def test_a_conversation_is_known_by_the_first_of_these(
    prompt: Prompt, by: tuple[str, str]
) -> None:
    found = session(prompt)
    assert found is not None and (found.by, found.name) == by and not found.begins


def test_without_words_the_shape_tells_and_without_shape_nothing() -> None:
    picture = Prompt(model="auto", messages=(Message("user", "", images=2),))
    found = session(picture)
    assert found is not None and found.by == "structure" and found.begins
    assert session(Prompt(model="auto")) is None
    with_tools = session(Prompt(model="auto", tools=("search",)))
    assert with_tools is not None and with_tools.by == "structure"


def test_the_same_opening_words_begin_a_new_conversation_each_time() -> None:
    talk = Talk(headers={})
    assert talk.names(Picked(A)) == "a"
    talk.messages = []
    assert talk.names(Picked(B)) == "b"
    talk.messages.append(Message("assistant", "..."))
    assert talk.names(Picked(C)) == "b", "it goes on, whatever the system prompt says by now"


def test_a_named_conversation_is_found_though_a_request_holds_no_history() -> None:
    talk = Talk()
    talk.turn(Picked(A))
    talk.messages = []
    assert talk.names(Picked(B)) == "a"


@pytest.mark.parametrize(
    "other",
    [
        {"headers": {"x-session-id": "s", "authorization": "Bearer sk-other"}},
        {"headers": {"x-session-id": "s", "x-api-key": "sk-ours"}},
        {"headers": {"x-session-id": "s"}, "user": "anna"},
        {"headers": {"x-session-id": "s"}, "tenant": "t", "user": "bert"},
        {"headers": {"x-session-id": "other", "authorization": "Bearer sk-ours"}},
    ],
)
def test_nobody_steers_the_conversation_of_another_caller(other: dict[str, Any]) -> None:
    world = World()
    ours = {"x-session-id": "s", "authorization": "Bearer sk-ours"}
    mine = Talk(world=world, headers=ours)
    mine.turn(Picked(A))
    theirs = Talk(world=world, **other)
    assert theirs.names(Picked(B)) == "b"
    assert mine.names(Picked(C)) == "a"


def test_each_decision_has_its_own() -> None:
    world = World()
    one, two = Talk(world=world), Talk(world=world)
    two.sticky = Sticky(("default", "sums"), StickySettings())
    one.turn(Picked(A))
    assert two.names(Picked(B)) == "b"
    assert one.names(Picked(C)) == "a"


def test_what_is_remembered_holds_neither_key_nor_words() -> None:
    talk = Talk(headers={"authorization": "Bearer sk-secret"})
    settled = talk.turn(Picked(A))
    assert settled is not None
    assert "secret" not in repr(settled.memory) and "go on" not in repr(settled.memory)


def test_a_store_is_asked_where_one_is_named() -> None:
    world = World()
    talk = Talk({"store": "shared", "idle_timeout_s": 60}, world)
    settled = talk.turn(Picked(A))
    assert settled is not None
    assert settled.memory == Put(
        "shared", "wayside.conversations", *next(iter(world.documents.items())), 60
    )
    assert talk.names(Picked(B)) == "a"


def test_a_store_that_does_not_answer_leaves_the_choice_alone() -> None:
    talk = Talk({"store": "shared"}, lambda _: Failure("gone"))
    assert talk.turn(Picked(B)) is None


def test_what_another_version_kept_is_as_nothing() -> None:
    world = World()
    talk = Talk({"store": "shared"}, world)
    talk.turn(Picked(A))
    world.documents = dict.fromkeys(world.documents, b"{}")
    assert talk.names(Picked(B)) == "b"


# in the journey

CONFIG = """
models:
  small: {endpoints: ["http://small:8000"]}
  big: {endpoints: ["http://big:8000"]}
routing:
  decisions:
    - {name: chat, models: [small, big], select: weighted%s}
"""


def turns(count: int) -> dict[str, Any]:
    body = chat("auto", "hello")
    for _ in range(count):
        body["messages"] += [
            {"role": "assistant", "content": "."},
            {"role": "user", "content": "and?"},
        ]
    return body


def models(config: str, world: World, headers: Mapping[str, str] | None = None) -> list[str]:
    """Where a conversation of four turns goes when the dice say small, big, big, small."""
    rolls = enumerate((0.1, 0.9, 0.9, 0.1))
    return [
        forwarded(policy(config), post(turns(i), headers), world, dice).target.name
        for i, dice in rolls
    ]


def test_a_weighted_decision_keeps_a_conversation_and_spreads_new_ones() -> None:
    world = World()
    assert models(CONFIG % "", world) == ["small"] * 4
    spread = [
        forwarded(policy(CONFIG % ""), post(turns(0)), world, dice).target.name
        for dice in (0.1, 0.9, 0.2, 0.8)
    ]
    assert spread == ["small", "big", "small", "big"]


def test_where_it_is_turned_off_every_turn_rolls_anew() -> None:
    off = CONFIG % ", sticky: {enabled: false}"
    assert models(off, World()) == ["small", "big", "big", "small"]
    recipe_off = CONFIG % "" + "  sticky: {enabled: false}\n"
    assert models(recipe_off, World()) == ["small", "big", "big", "small"]


def test_a_decision_with_one_candidate_or_a_steady_algorithm_asks_nothing() -> None:
    static = CONFIG.replace("select: weighted", "select: static") % ""
    assert models(static, World()) == ["small"] * 4
    assert policy(static).recipes["default"].sticky == {}
    assert forwarded(policy(static), post(turns(2))).record.session == ""


def test_the_record_and_the_debug_headers_tell_it() -> None:
    world = World()
    asked = {"x-session-id": "s", "x-vsr-debug": "true"}
    said = [forwarded(policy(CONFIG % ""), post(turns(i), asked), world, 0.1) for i in range(2)]
    assert [f.record.session for f in said] == ["new", "stay"]
    assert ("x-vsr-session-phase", "stay") in said[1].report
    assert said[1].record.why == "stays on small"


def test_a_store_that_is_not_configured_is_an_error() -> None:
    with pytest.raises(Exception, match=r"decisions\[0\].sticky.store: no store 'nowhere'"):
        policy(CONFIG % ", sticky: {store: nowhere}")
    with pytest.raises(Exception, match=r"routing.sticky.store: no store 'nowhere'"):
        policy(CONFIG % "" + "  sticky: {store: nowhere}\n")
