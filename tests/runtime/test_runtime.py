"""The runtime: drives flows, answers their asks, swaps policies."""

import asyncio
import json
from collections.abc import Awaitable
from typing import Any

import pytest

from tests.flow.driving import A4, chat, policy, post
from wayside.runtime import Answerer, Runtime
from wayside.runtime.pending import Pending
from wayside.vocab.ask import Ask, Classify, Flow, Language, ask
from wayside.vocab.errors import Abandoned, AskFailed, RequestError
from wayside.vocab.outcome import Forward, Outcome, Record, Reply, Request
from wayside.vocab.verdict import SignalRef

SEED = policy(A4)
MATH = (("math", 0.9), ("other", 0.1))
AUTO = post(chat("auto", "2+2 is"))


def runtime(classify: Answerer | None = None, at: str = A4) -> Runtime:
    answerers: dict[type[Ask[Any]], Answerer] = {}
    if classify is not None:
        answerers[Classify] = classify
    return Runtime(policy(at), answerers)


async def settled(found: Outcome | Awaitable[Outcome]) -> Outcome:
    return found if isinstance(found, Forward | Reply) else await found


async def later(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


async def failing(error: Exception) -> Any:
    await asyncio.sleep(0)
    raise error


def model_of(found: Outcome) -> str:
    assert isinstance(found, Forward), found
    return found.target.name


def test_a_named_model_is_answered_at_once_and_asks_nobody() -> None:
    def never(question: Any) -> Any:
        raise AssertionError(question)

    request = post(chat("llama3-8b"))
    found = runtime(never).handle(request)
    assert isinstance(found, Forward)
    assert found.body is request.body  # A4-34


def test_answers_at_hand_need_no_event_loop() -> None:
    found = runtime(lambda q: MATH).handle(AUTO)
    assert isinstance(found, Forward)
    assert found.target.name == "gpt-4o-mini"


async def test_answers_that_take_time_are_waited_for() -> None:
    found = runtime(lambda q: later(MATH)).handle(AUTO)
    assert not isinstance(found, Forward | Reply)
    assert model_of(await found) == "gpt-4o-mini"


async def test_a_future_is_as_good_as_a_coroutine() -> None:
    def classify(question: Any) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, MATH)
        return future

    assert model_of(await settled(runtime(classify).handle(AUTO))) == "gpt-4o-mini"


BOTH = """
models: {a: {endpoints: [h]}, b: {endpoints: [h]}}
routing:
  default_model: a
  signals: {domain: {math: {labels: [math]}}, language: {de: {languages: [de]}}}
  decisions: [{name: d, when: {all: ["domain:math", "language:de"]}, models: [b]}]
"""


@pytest.mark.parametrize("slow", [(True, True), (True, False), (False, True), (False, False)])
async def test_answers_at_hand_and_answers_to_come_mix(slow: tuple[bool, bool]) -> None:
    def say(value: Any, wait: bool) -> Answerer:
        return lambda q: later(value) if wait else value

    both = Runtime(
        policy(BOTH), {Classify: say(MATH, slow[0]), Language: say((("de", 0.9),), slow[1])}
    )
    assert model_of(await settled(both.handle(AUTO))) == "b"


ERRORS = [
    OSError("gone"),
    ConnectionResetError("reset"),
    TimeoutError("too slow"),
    TimeoutError(),
    AskFailed("no engine"),
]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("wait", [True, False])
async def test_an_answerer_that_fails_is_an_unknown_signal(error: Exception, wait: bool) -> None:
    def classify(question: Any) -> Any:
        if wait:
            return failing(error)
        raise error

    found = await settled(runtime(classify).handle(AUTO))
    assert isinstance(found, Forward)
    assert found.target.name == "llama3-8b"
    verdict = found.record.verdicts[SignalRef("domain", "math")]
    assert verdict.unknown
    assert verdict.because == (str(error) or "TimeoutError")


def test_a_question_nobody_answers_is_an_unknown_signal() -> None:
    found = runtime().handle(AUTO)
    assert isinstance(found, Forward)
    verdict = found.record.verdicts[SignalRef("domain", "math")]
    assert verdict.because == "nothing here answers Classify"


@pytest.mark.parametrize("wait", [True, False])
async def test_a_request_that_cannot_be_decided_is_a_reply_not_an_error(wait: bool) -> None:
    def classify(question: Any) -> Any:
        if wait:
            return failing(OSError("gone"))
        raise OSError("gone")

    closed = A4.replace('when: "domain:math"', 'on_unknown: fail_request, when: "domain:math"')
    found = await settled(runtime(classify, closed).handle(AUTO))
    assert isinstance(found, Reply)
    assert found.status == 503
    assert json.loads(found.body)["error"]["code"] == "signal_unavailable"
    assert ("x-vsr-response-path", "error") in found.report


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (post(b""), 400),
        (post(b"\xff"), 400),
        (post(b'{"model":"auto","messages":' + b"[" * 100_000), 400),
        (post({"model": "auto"}), 400),
        (post(chat("nope")), 404),
        (post(chat("auto"), method="GET"), 405),
        (post(b"", path="/nope"), 404),
        (post(b"", path="/v1/models", method="GET"), 200),
    ],
)
def test_what_the_client_did_wrong_is_a_reply(request_: Request, status: int) -> None:
    found = runtime().handle(request_)
    assert isinstance(found, Reply)
    assert found.status == status
    assert ("x-vsr-schema-version", "2") in found.report


def test_local_paths_come_before_the_policy() -> None:
    found = runtime()
    ready = Reply(status=200, body=b"ok", record=Record(path="health"))
    found.local["/v1/models"] = lambda: ready
    assert found.handle(post(b"", path="/v1/models", method="GET")) is ready


def test_the_dice_are_rolled_by_the_runtime() -> None:
    weighted = policy("""
    models: {a: {endpoints: [h]}, b: {endpoints: [h]}}
    routing: {decisions: [{name: d, select: weighted, models: [a, b]}]}
    """)
    rolls = iter([0.1, 0.9, 0.1])
    found = Runtime(weighted, dice=lambda: next(rolls))
    models = [model_of(found.handle(AUTO)) for _ in range(3)]  # type: ignore[arg-type]
    assert models == ["a", "b", "a"]


# Hot swap


async def test_a_request_keeps_the_policy_it_began_with() -> None:
    arrived, answer = asyncio.Event(), asyncio.Event()

    async def classify() -> Any:
        arrived.set()
        await answer.wait()
        return MATH

    found = runtime(lambda q: classify())
    waiting = asyncio.ensure_future(settled(found.handle(AUTO)))
    await arrived.wait()
    found.policy = policy(A4.replace("models: [gpt-4o-mini]", "models: [llama3-8b]"))
    answer.set()
    assert model_of(await waiting) == "gpt-4o-mini"
    assert model_of(await settled(found.handle(AUTO))) == "llama3-8b"


async def test_a_client_that_leaves_cancels_what_it_waited_for() -> None:
    arrived = asyncio.Event()
    ended: list[str] = []

    async def classify() -> Any:
        arrived.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    waiting = asyncio.ensure_future(settled(runtime(lambda q: classify()).handle(AUTO)))
    await arrived.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended == ["cancelled"]


# Explaining


async def test_explaining_decides_without_sending() -> None:
    prompt, choice = await runtime(lambda q: later(MATH)).explain(AUTO)
    assert prompt.question == "2+2 is"
    assert choice.match is not None
    assert choice.match.decision.name == "math"
    assert choice.option.candidate.model == "gpt-4o-mini"


async def test_explaining_may_read_what_no_decision_does() -> None:
    text = "routing: {default_model: a, signals: {keyword: {k: {keywords: [x]}}}}"
    found = Runtime(policy("models: {a: {endpoints: [h]}}\n" + text))
    _, choice = await found.explain(post(chat("auto", "x")))
    assert choice.verdicts == {}
    _, choice = await found.explain(post(chat("auto", "x")), every_signal=True)
    assert choice.verdicts[SignalRef("keyword", "k")].matched


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (post(chat("llama3-8b")), 400),
        (post(chat("nope")), 400),
        (post(chat("auto"), path="/v1/models"), 404),
        (post({"model": "auto"}, path="/v1/embeddings"), 400),
        (post(b"{"), 400),
    ],
)
async def test_what_cannot_be_explained_is_refused(request_: Request, status: int) -> None:
    with pytest.raises(RequestError) as caught:
        await runtime(lambda q: MATH).explain(request_)
    assert caught.value.status == status


async def test_a_cancelled_answer_is_no_answer_and_hangs_nobody() -> None:
    """An engine that is closed while it is asked cancels its work, not the request."""

    async def cancelled() -> Any:
        raise asyncio.CancelledError

    found = runtime(lambda _: cancelled()).handle(AUTO)
    outcome = await asyncio.wait_for(settled(found), 5)
    assert isinstance(outcome, Forward | Reply)


async def test_a_cancelled_request_is_cancelled() -> None:
    found = runtime(lambda _: asyncio.sleep(60)).handle(AUTO)
    assert not isinstance(found, Forward | Reply)
    task = asyncio.ensure_future(found)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class Told:
    """A flow that asks, and keeps how it ended."""

    def __init__(self) -> None:
        self.ended = ""

    def flow(self) -> Flow[None]:
        try:
            yield from ask(Language("x"))
        except Abandoned:
            self.ended = "abandoned"
            raise
        self.ended = "answered"


async def test_a_flow_that_nobody_began_to_wait_for_is_told() -> None:
    told = Told()
    pending = Runtime(policy(A4), {Language: lambda question: later(())}).drive(told.flow())
    assert isinstance(pending, Pending)
    pending.close()
    assert told.ended == "abandoned"
    pending.close()  # and once is enough


async def test_a_task_that_is_cancelled_before_its_first_step_tells_its_flow() -> None:
    told = Told()
    pending = Runtime(policy(A4), {Language: lambda question: later(())}).drive(told.flow())
    assert isinstance(pending, Pending)

    async def wait() -> None:
        await pending

    task = asyncio.ensure_future(wait())
    task.add_done_callback(lambda _: pending.close())
    task.cancel()
    await asyncio.wait({task})
    await asyncio.sleep(0)
    assert told.ended == "abandoned"


async def test_what_is_waited_for_to_its_end_is_not_told_that_it_was_left() -> None:
    told = Told()
    pending = Runtime(policy(A4), {Language: lambda question: later(())}).drive(told.flow())
    assert isinstance(pending, Pending)
    await pending
    pending.close()
    assert told.ended == "answered"
