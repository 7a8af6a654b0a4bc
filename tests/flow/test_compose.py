"""A decision that asks several models itself: limits, plugins, the answer, the record."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.flow.driving import chat, outcome, policy, post
from tests.selection.asking import completion, said
from wayside.flow import Policy, answer
from wayside.flow.ledger import Ledger, Limits
from wayside.plugins import Blocked, Draft, Witness
from wayside.runtime.compile import compile_policy
from wayside.selection import Candidate
from wayside.settings import RouterSettings
from wayside.settings.load import parse
from wayside.vocab.ask import Failure, Now, Unguessable
from wayside.vocab.calls import Complete, Completed
from wayside.vocab.errors import Abandoned, ConfigError, RequestError
from wayside.vocab.observed import Held, Hold, ModelFacts
from wayside.vocab.outcome import Forward, Reply
from wayside.vocab.prompt import Prompt

CONFIG = """
models:
  small: {endpoints: [h], price: {prompt_per_1m: 1, completion_per_1m: 2}}
  large: {endpoints: [h], upstream_name: vendor/large, loras: [tuned], reasoning_family: qwen,
          price: {prompt_per_1m: 10, completion_per_1m: 20}}
  other: {endpoints: [h], price: {prompt_per_1m: 1, completion_per_1m: 1}}
reasoning_families: {qwen: {type: chat_template_kwargs, parameter: enable_thinking}}
routing:
  decisions:
    - name: panel
      models: [small, {model: large, reasoning: false}]
      select: SELECT
      plugins: PLUGINS
"""


def compiled(
    select: str = "{fusion: {model: large}}", plugins: str = "{}", extra: str = ""
) -> Policy:
    return policy(CONFIG.replace("SELECT", select).replace("PLUGINS", plugins) + extra)


Answers = Callable[[Complete], Any]


class Desk:
    """Answers by hand and remembers."""

    def __init__(
        self, answers: Answers | None = None, now: Callable[[], float] | None = None
    ) -> None:
        self.questions: list[Complete] = []
        self.answers = answers or (lambda q: f"{q.purpose} by {q.model}")
        self.now = now or (lambda: 1000.0)

    def __call__(self, question: Any) -> Any:
        if isinstance(question, Now):
            return self.now()
        if isinstance(question, Unguessable):
            return "0" * 32
        if isinstance(question, Held | Hold):
            return None
        assert isinstance(question, Complete)
        self.questions.append(question)
        return said(question, self.answers(question))


def reply(policy_: Policy, desk: Desk, body: Any = None, **request: Any) -> Reply:
    found = outcome(policy_, post(body or chat("auto", "Why?"), **request), desk)
    assert isinstance(found, Reply), found
    return found


def refused(policy_: Policy, desk: Desk, body: Any = None) -> RequestError:
    with pytest.raises(RequestError) as error:
        reply(policy_, desk, body)
    return error.value


def headers(found: Reply) -> dict[str, str]:
    return dict(found.report)


# The answer


def test_the_answer_is_the_writers_with_the_usage_of_all() -> None:
    desk = Desk()
    found = reply(compiled(), desk)
    told = json.loads(found.body)
    assert found.status == 200
    assert told["choices"][0]["message"]["content"] == "synthesis by large"
    assert told["usage"] == {"prompt_tokens": 40, "completion_tokens": 20, "total_tokens": 60}
    assert "looper" not in told


def test_headers_say_who_was_asked_and_what_it_took() -> None:
    clock = iter([100.0, 100.25, 101.0, 101.5])
    desk = Desk(now=lambda: next(clock, 101.5))
    said_ = headers(reply(compiled(), desk))
    assert {k: v for k, v in said_.items() if "looper" in k} == {
        "x-vsr-looper-model": "large",
        "x-vsr-looper-models-used": "small,large",
        "x-vsr-looper-iterations": "4",
        "x-vsr-looper-algorithm": "fusion",
        "x-vsr-looper-latency-ms": "1500",
        "x-vsr-looper-prompt-tokens": "40",
        "x-vsr-looper-completion-tokens": "20",
        "x-vsr-looper-total-tokens": "60",
    }
    assert said_["x-vsr-response-path"] == "looper"
    assert said_["x-vsr-selected-model"] == "large"
    assert said_["x-vsr-selected-decision"] == "panel"
    assert said_["x-vsr-selected-algorithm"] == "fusion"


def test_the_record_has_every_call() -> None:
    def answers(question: Complete) -> Any:
        return 429 if question.model == "small" else "yes"

    record = reply(compiled(), Desk(answers)).record
    assert [(c.model, c.purpose, c.status, c.prompt_tokens) for c in record.calls] == [
        ("small", "panel", 429, 0),
        ("large", "panel", 200, 10),
        ("large", "synthesis", 200, 10),
    ]
    assert (record.model, record.path, record.reason) == ("large", "looper", "")


def test_a_client_that_streams_is_told_a_stream() -> None:
    found = reply(
        compiled("{fusion: {include_intermediate_responses: true}}"),
        Desk(),
        chat("auto", "Why?", stream=True, stream_options={"include_usage": True}),
    )
    assert found.content_type == "text/event-stream"
    blocks = found.body.decode().strip().split("\n\n")
    events = [json.loads(block.removeprefix("data: ")) for block in blocks[:-1]]
    assert blocks[-1] == "data: [DONE]"
    assert events[0]["choices"][0]["delta"]["content"] == "synthesis by small"
    assert events[-1]["usage"]["total_tokens"] == 60
    assert [("looper" in event) for event in events] == [True, *[False] * (len(events) - 1)]


def test_questions_go_to_models_as_the_decision_asks_them() -> None:
    desk = Desk()
    asked = post(
        chat("auto", "Why?"),
        headers={"x-request-id": "r1", "authorization": "Bearer mine", "host": "us", "x-t": "1"},
    )
    outcome(
        compiled(plugins="{header_mutation: {add: [{name: x-plan, value: gold}]}}"), asked, desk
    )
    small, large = desk.questions[:2]
    assert "chat_template_kwargs" not in json.loads(small.body)
    assert json.loads(large.body)["chat_template_kwargs"] == {"enable_thinking": False}
    assert dict(small.headers) == {
        "x-request-id": "r1",
        "authorization": "Bearer mine",  # taken out where it is sent, unless the model keeps it
        "x-t": "1",
        "x-plan": "gold",
    }
    assert small.lane is large.lane
    assert small.lane is not None
    assert small.lane.width == 8


def test_an_adapter_is_asked_by_its_name() -> None:
    text = CONFIG.replace("SELECT", "ratings").replace("PLUGINS", "{}")
    desk = Desk()
    found = reply(
        policy(text.replace("{model: large, reasoning: false}", "{model: large, lora: tuned}")),
        desk,
    )
    assert [(q.model, q.lora) for q in desk.questions] == [("small", ""), ("large", "tuned")]
    assert json.loads(found.body)["looper"]["models"] == ["small", "tuned"]


def test_a_named_model_goes_straight_through() -> None:
    found = outcome(compiled(), post(chat("large")), Desk())
    assert isinstance(found, Forward)


def test_a_text_completion_cannot_be_composed() -> None:
    found = outcome_or_error({"model": "auto", "prompt": "Once"}, "/v1/completions")
    assert (found.status, found.code) == (400, "unsupported_endpoint")


def outcome_or_error(body: Any, path: str) -> RequestError:
    with pytest.raises(RequestError) as error:
        outcome(compiled(), post(body, path=path), Desk())
    return error.value


@pytest.mark.parametrize("answers", ["yes", None])
def test_a_client_of_another_api_is_answered_in_it(answers: Any) -> None:
    body = {"model": "auto", "max_tokens": 50, "messages": [{"role": "user", "content": "Why?"}]}
    request = post(body, path="/v1/messages", headers={"anthropic-version": "2023-06-01"})
    desk = Desk(lambda q: answers)
    if answers is None:
        with pytest.raises(RequestError, match="no answer"):
            outcome(compiled(), request, desk)
        return
    found = outcome(compiled(), request, desk)
    assert isinstance(found, Reply)
    told = json.loads(found.body)
    assert (told["type"], told["content"][0]["text"]) == ("message", "yes")
    assert told["usage"]["input_tokens"] == 40
    assert json.loads(desk.questions[0].body)["messages"] == body["messages"]


def test_a_guard_that_stops_is_told_in_the_clients_api() -> None:
    body = {"model": "auto", "max_tokens": 50, "messages": [{"role": "user", "content": "Why?"}]}
    found = outcome(
        with_plugin(compiled(), watched(Seen())),
        post(body, path="/v1/messages"),
        Desk(lambda q: "a bomb"),
    )
    assert isinstance(found, Reply)
    assert found.status == 403
    assert json.loads(found.body)["type"] == "error"


def test_a_client_of_the_responses_api_gets_a_response() -> None:
    body = {"model": "auto", "input": "Why?", "store": False}
    found = outcome(compiled(), post(body, path="/v1/responses"), Desk())
    assert isinstance(found, Reply)
    told = json.loads(found.body)
    assert told["object"] == "response"
    assert told["output"][-1]["content"][0]["text"] == "synthesis by large"


def test_cached_tokens_are_told_and_cheaper() -> None:
    ledger = Ledger(
        Limits(),
        {"m": ModelFacts(name="m", prompt_per_1m=1e6, completion_per_1m=0, cached_per_1m=1e5)},
    )
    whole = {
        **completion("yes"),
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 4},
        },
    }
    spend(ledger, [2], answer=whole)
    assert ledger.usage() == {
        "prompt_tokens": 20,
        "completion_tokens": 10,
        "total_tokens": 30,
        "prompt_tokens_details": {"cached_tokens": 8},
    }
    assert ledger.cost == pytest.approx(2 * (6 * 1 + 4 * 0.1))


def test_other_settings_make_other_answers() -> None:
    """What keeps answers tells them apart by this."""

    def digest(select: str) -> str:
        return compiled(select).recipes["default"].policies["panel"]

    assert digest("fusion") == digest("{fusion: {}}")
    assert digest("fusion") != digest("{fusion: {temperature: 0.5}}")
    assert digest("static") == digest("weighted")  # the model they chose tells those apart


# Plugins


def test_plugins_have_run_before_anybody_is_asked() -> None:
    desk = Desk()
    reply(compiled(plugins='{system_prompt: {prompt: "Be kind."}}'), desk)
    assert "Be kind." in json.loads(desk.questions[0].body)["messages"][0]["content"]


def test_a_plugin_that_answers_spares_every_call() -> None:
    desk = Desk()
    found = reply(compiled(plugins="{fast_response: {message: No.}}"), desk)
    assert desk.questions == []
    assert headers(found)["x-vsr-response-path"] == "fast_response"


def with_plugin(found: Policy, before: Callable[[Draft], None]) -> Policy:
    """The policy with a plugin of the test's own in every option."""

    class Own:
        def before(self, prompt: Prompt, draft: Draft) -> None:
            before(draft)

    for recipe in found.recipes.values():
        for option in recipe.options.values():
            object.__setattr__(option, "plugins", (Own(),))
    return found


class Seen:
    def __init__(self) -> None:
        self.answers: list[Any] = []

    def ended(self, answer: Any) -> None:
        self.answers.append(answer)


class Filter:
    warnings = ("checked",)

    def feed(self, text: str, final: bool) -> str:
        if "bomb" in text:
            raise Blocked("No such thing.", reason="jailbreak", refuse=True)
        return text.replace("secret", "[...]")


def watched(witness: Witness) -> Callable[[Draft], None]:
    def before(draft: Draft) -> None:
        draft.filters.append(lambda channel: Filter())
        draft.witnesses.append(witness)

    return before


def drained(flow: Any) -> None:
    if flow is not None:
        for _ in flow:
            raise AssertionError("these witnesses ask nothing")


def test_filters_see_the_final_answer_and_what_is_told_beside_it() -> None:
    seen = Seen()
    found = reply(
        with_plugin(compiled("{fusion: {include_intermediate_responses: true}}"), watched(seen)),
        Desk(lambda q: f"the secret of {q.model}"),
    )
    assert b"secret" not in found.body
    assert found.body.count(b"[...] of ") == 3
    assert headers(found)["x-vsr-response-warnings"] == "checked"
    assert seen.answers == []
    drained(found.after)
    (told,) = seen.answers
    assert told.complete
    assert told.completion()["choices"][0]["message"]["content"] == "the [...] of small"


def test_an_answer_that_a_guard_stops_is_stopped() -> None:
    seen = Seen()
    found = reply(with_plugin(compiled(), watched(seen)), Desk(lambda q: "a bomb"))
    assert (found.status, found.record.reason) == (403, "jailbreak")
    assert headers(found)["x-vsr-response-path"] == "blocked"
    assert len(found.record.calls) == 4
    drained(found.after)
    assert not seen.answers[0].complete


def test_witnesses_hear_of_an_answer_that_could_not_be_made() -> None:
    seen = Seen()
    refused(with_plugin(compiled(), watched(seen)), Desk(lambda q: None))
    assert [answer.status for answer in seen.answers] == [0]


def test_witnesses_hear_of_a_client_that_left() -> None:
    seen = Seen()
    flow = answer(with_plugin(compiled(), watched(seen)), post(chat("auto", "Why?")), 0.0)
    assert not isinstance(flow, Forward | Reply)
    (question,) = next(flow)
    assert isinstance(question, Now)
    batch = flow.send((1.0,))
    assert len(batch) == 2
    with pytest.raises(Abandoned):
        flow.throw(Abandoned("gone"))
    assert [told.status for told in seen.answers] == [0]


# Nobody answers


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ((500, 503), 502),
        ((None, None), 502),
        ((400, 400), 400),
        ((422, 422), 422),
        ((400, 500), 502),
        ((429, 429), 429),
        ((401, 401), 502),  # our key is none of the client's business
        ((408, 408), 502),
        ((499, 499), 502),
    ],
)
def test_without_any_answer_it_is_an_error_and_never_200(
    answers: tuple[Any, Any], status: int
) -> None:
    by_model = dict(zip(("small", "large"), answers, strict=True))
    error = refused(compiled(), Desk(lambda q: by_model[q.model]))
    assert error.status == status
    assert error.code == "no_answer"
    assert error.record is not None
    assert [call.status for call in error.record.calls] == [a or 0 for a in answers]
    told = dict(error.headers)
    assert told["x-vsr-looper-iterations"] == "2"
    assert told["x-vsr-looper-models-used"] == ""


def test_silence_is_504_and_names_no_servers() -> None:
    late = Failure("10.0.0.7:8000 did not answer in time (90 s)")

    class Late(Desk):
        def __call__(self, question: Any) -> Any:
            return late if isinstance(question, Complete) else super().__call__(question)

    error = refused(compiled(), Late())
    assert error.status == 504
    assert "10.0.0.7" not in str(error)
    assert "small gave no answer" in str(error)
    assert error.record is not None
    assert error.record.calls[0].reason == late.reason  # the operator may know


def test_what_a_server_says_is_not_told() -> None:
    error = refused(compiled("{fusion: {on_error: fail}}"), Desk(lambda q: None))
    assert "nobody home" not in str(error)


# Limits


def test_a_schedule_that_needs_more_calls_than_allowed_is_refused() -> None:
    with pytest.raises(ConfigError) as error:
        compiled("{remom: {breadth_schedule: [9, 9]}}")
    (problem,) = error.value.problems
    assert problem.where == "routing.decisions[0].select.remom.max_calls"
    assert "19 times, and 16 are allowed" in problem.what
    with pytest.raises(ConfigError) as error:
        compiled("{remom: {breadth_schedule: [3]}}", extra="multi_call: {max_calls: 2}")
    assert error.value.problems[0].where == "multi_call.max_calls"


def limited(**limits: Any) -> Ledger:
    facts = {"m": ModelFacts(name="m", prompt_per_1m=1e6, completion_per_1m=2e6)}
    return Ledger(Limits(**limits), facts)


def spend(
    ledger: Ledger,
    batches: list[int],
    clock: Callable[[], float] = lambda: 0.0,
    answer: Any = "yes",
) -> list[list[bool]]:
    """Put batches of so many questions each; which were answered."""
    found: list[list[bool]] = []

    def flow() -> Any:
        for count in batches:
            asked = [ledger.question(Candidate("m"), b"{}", purpose="x") for _ in range(count)]
            answers = yield tuple(asked)
            found.append([isinstance(a, Completed) for a in answers])

    kept = ledger.kept(flow())
    answers: Any = None
    while True:
        try:
            batch = next(kept) if answers is None else kept.send(answers)
        except StopIteration:
            return found
        assert batch
        answers = tuple(clock() if isinstance(q, Now) else said(q, answer) for q in batch)


def test_no_more_calls_than_allowed_are_made() -> None:
    ledger = limited(max_calls=3)
    assert spend(ledger, [2, 2, 1]) == [[True, True], [True, False], [False]]
    assert (ledger.spent, ledger.calls_left) == ("max_calls", 0)
    assert [call.status for call in ledger.calls] == [200, 200, 200]  # what was asked


def test_nothing_is_asked_once_tokens_or_money_are_spent() -> None:
    # A call takes 15 tokens and costs 10 x 1 + 5 x 2 = 20.
    for limits, reason in (
        ({"max_total_tokens": 30}, "max_total_tokens"),
        ({"max_cost": 40}, "max_cost"),
    ):
        ledger = limited(**limits)
        assert spend(ledger, [1, 1, 1]) == [[True], [True], [False]]
        assert ledger.spent == reason
        assert (ledger.tokens, ledger.cost) == (30, 40.0)


def test_time_is_one_budget_for_all() -> None:
    clock = iter([0.0, 4.0, 9.0, 12.0])
    ledger = limited(timeout_s=10)
    found = spend(ledger, [1, 1, 1, 1], lambda: next(clock, 12.0))
    assert found == [[True], [True], [True], [False]]
    assert ledger.spent == "timeout"


def test_each_question_has_what_is_left_of_the_time() -> None:
    ledger = limited(timeout_s=10)
    ledger.began, ledger.now = 0.0, 7.0
    asked = ledger._admit(ledger.question(Candidate("m"), b"{}", purpose="x", timeout_s=60))
    assert isinstance(asked, Complete)
    assert asked.timeout_s == 3.0


def test_a_budget_that_runs_out_is_in_the_record_and_the_answer_stands() -> None:
    desk = Desk()
    found = reply(compiled("{fusion: {max_total_tokens: 30, include_analysis: true}}"), desk)
    assert found.status == 200
    assert json.loads(found.body)["choices"][0]["message"]["content"] == "panel by small"
    assert found.record.reason == "max_total_tokens"
    assert len(desk.questions) == 2


# What the compiler refuses


def problems(select: str, text: str = CONFIG, needs_endpoints: bool = True) -> list[str]:
    settings = RouterSettings.model_validate(
        parse(text.replace("SELECT", select).replace("PLUGINS", "{}"), {})
    )
    with pytest.raises(ConfigError) as error:
        compile_policy(settings, needs_endpoints=needs_endpoints)
    return [str(problem) for problem in error.value.problems]


def test_models_that_are_not_there_are_named() -> None:
    (problem,) = problems("{fusion: {model: larger, analysis_models: [small, large]}}")
    assert problem.startswith("routing.decisions[0].select.fusion.model: no model 'larger'")
    assert "large" in problem.partition(";")[2]


def test_where_endpoints_are_another_ones_business_models_cannot_be_asked() -> None:
    text = CONFIG.replace("small: {endpoints: [h], ", "small: {")
    (problem,) = problems("{fusion: {model: large}}", text, needs_endpoints=False)
    assert "fusion asks 'small' itself, which has no endpoints here" in problem
    assert "models.small.endpoints" in problem
    text = CONFIG.replace("other: {endpoints: [h], ", "other: {")
    (problem,) = problems("{prompt: {model: other}}", text, needs_endpoints=False)
    assert "select.prompt.model" in problem


def test_a_limit_of_cost_needs_prices_that_add_up() -> None:
    text = CONFIG.replace(", price: {prompt_per_1m: 1, completion_per_1m: 2}", "")
    (problem,) = problems("{ratings: {max_cost: 1}}", text)
    assert "set models.small.price" in problem
    text = CONFIG.replace("{prompt_per_1m: 1, completion_per_1m: 2}", "{currency: EUR}")
    (problem,) = problems("{ratings: {max_cost: 1}}", text)
    assert "EUR and USD" in problem


def test_a_decision_without_models_has_nobody_to_ask() -> None:
    text = CONFIG.replace("models: [small, {model: large, reasoning: false}]", "models: []")
    (problem,) = problems("fusion", text)
    assert problem.startswith("routing.decisions[0].models: fusion asks the decision's models")


def test_a_decision_without_models_asks_the_default_model() -> None:
    text = CONFIG.replace("models: [small, {model: large, reasoning: false}]", "models: []")
    text = text.replace("routing:", "routing:\n  default_model: other")
    select = "{fusion: {analysis_models: [small, large]}}"
    desk = Desk()
    found = reply(policy(text.replace("SELECT", select).replace("PLUGINS", "{}")), desk)
    assert [q.model for q in desk.questions] == ["small", "large", "other", "other"]
    assert headers(found)["x-vsr-looper-model"] == "other"


# A model that chooses


def test_a_model_that_chooses_is_in_the_record_of_the_request_it_chose_for() -> None:
    desk = Desk(lambda q: '{"model": "large"}')
    found = outcome(compiled("{prompt: {model: other}}"), post(chat("auto", "Why?")), desk)
    assert isinstance(found, Forward)
    assert found.target.name == "large"
    assert [(c.model, c.purpose, c.status) for c in found.record.calls] == [
        ("other", "choose", 200)
    ]


def test_a_choice_that_fails_is_the_first_model_and_told() -> None:
    found = outcome(compiled("{prompt: {model: other}}"), post(chat("auto")), Desk(lambda q: None))
    assert isinstance(found, Forward)
    assert found.target.name == "small"
    assert found.record.calls[0].status == 0
    with pytest.raises(RequestError) as error:
        outcome(
            compiled("{prompt: {model: other, on_error: fail}}"),
            post(chat("auto")),
            Desk(lambda q: None),
        )
    assert error.value.status == 503
