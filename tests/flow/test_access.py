"""A hold is taken before anything is done for a caller, and lost on no way out (A2-31)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.flow.driving import chat, post
from wayside.dialects.openai_chat import ChatBody
from wayside.flow.access import admitted, over
from wayside.flow.allowance import COMPLETION, PICTURE, Allowance, allowance, capped
from wayside.flow.protocols import BODIES
from wayside.vocab.access import Caller, Hold, Leave, Left, Over, Release, Reserve
from wayside.vocab.ask import Failure, Now, ask
from wayside.vocab.errors import Abandoned, RequestError
from wayside.vocab.outcome import Call, Forward, Outcome, Record, Reply, Request, Target

ALICE = Caller(user="alice", tier="free")
HELD = Hold("h1", 50, "alice")
REPLY = Reply(status=200, body=b"{}", record=Record(path="fast_response"))
FORWARD = Forward(
    target=Target(name="m", upstream_name="m"),
    path="/v1/chat/completions",
    body=b"{}",
    changed=False,
    set_headers=(),
    record=Record(model="m"),
)


def play(going: Any, said: Any = HELD, body: Any = None) -> tuple[Any, list[Any]]:
    """What comes of a request, and what was asked for it. ``Now`` is not answered: whoever waits
    is gone."""
    request = post(body or chat("m", max_tokens=5))
    flow = admitted(ALICE, request, ChatBody(request.body), going)
    questions: list[Any] = []
    try:
        batch = next(flow)
        while True:
            questions += batch
            if isinstance(batch[0], Now):
                batch = flow.throw(Abandoned("the client is gone"))
            elif isinstance(batch[0], Reserve):
                batch = flow.send((said,))
            else:
                batch = flow.send((None,))
    except StopIteration as stop:
        return stop.value, questions
    except Exception as error:
        return error, questions


@pytest.mark.parametrize("outcome", [FORWARD, REPLY])
def test_the_hold_goes_with_the_record(outcome: Outcome) -> None:
    found, asked = play(lambda request, body: outcome)
    assert (found.record.caller, found.record.hold) == (ALICE, HELD)
    assert [type(a) for a in asked] == [Reserve]
    (wanted,) = asked
    assert (wanted.caller, wanted.model, wanted.answer, wanted.choices) == (ALICE, "m", 5, 1)
    assert 0 < wanted.estimate <= wanted.prompt


def _refused(request: Request, body: Any) -> Outcome:
    raise RequestError("no such model", status=404, code="model_not_found")


def _deep(request: Request, body: Any) -> Outcome:
    raise RecursionError


def _bug(request: Request, body: Any) -> Any:
    yield from ask(Release(Hold("other")))
    raise KeyError("a bug")


def _left(request: Request, body: Any) -> Any:
    yield from ask(Now())
    return FORWARD


@pytest.mark.parametrize(
    ("going", "error"),
    [(_refused, RequestError), (_deep, RecursionError), (_bug, KeyError)],
)
def test_what_asks_no_model_gives_back(going: Any, error: type[Exception]) -> None:
    found, asked = play(going)
    assert isinstance(found, error)
    assert asked[-1] == Release(HELD)


def test_whoever_leaves_is_charged_what_was_asked_for_them() -> None:
    """No shell knows yet whose the request is: the flow tells it itself."""
    calls = (Call(model="m", prompt_tokens=9),)

    def going(request: Request, body: Any) -> Any:
        try:
            yield from _left(request, body)
        except Abandoned as gone:
            gone.calls = calls
            raise

    found, asked = play(going)
    assert isinstance(found, Abandoned)
    assert isinstance(asked[-1], Leave)
    record = asked[-1].record
    assert (record.caller, record.hold, record.calls) == (ALICE, HELD, calls)
    assert (record.requested, record.path) == ("m", "looper")
    assert play(_left)[1][-1].record.calls == ()


def test_a_refusal_is_somebodys() -> None:
    found, _ = play(_refused)
    assert found.record.caller == ALICE and found.record.hold is None
    assert (found.record.requested, found.record.reason) == ("m", "model_not_found")


def test_calls_that_were_made_are_charged_though_it_failed() -> None:
    def going(request: Request, body: Any) -> Outcome:
        error = RequestError("no answer", status=502)
        error.record = Record(path="error", calls=(Call(model="m", prompt_tokens=9),))
        raise error

    found, asked = play(going)
    assert found.record.hold == HELD and not any(isinstance(a, Release) for a in asked)


def test_where_nobody_can_say_it_is_503_and_nothing_is_asked() -> None:
    found, asked = play(_bug, Failure("redis: connection refused"))
    assert (found.status, found.code, len(asked)) == (503, "limits_unavailable", 1)
    assert "redis" not in str(found) and found.record.caller == ALICE


def test_what_is_over_is_429_in_openais_words() -> None:
    """Bug 3: a stream is refused as anything else is, before it begins."""
    said = Over(limit="100 tokens in 1m of tier free", size=100, wanted=60, retry_after_s=31.2)
    found, asked = play(_bug, said, chat("m", stream=True))
    assert (found.status, found.kind, len(asked)) == (429, "rate_limit_error", 1)
    assert dict(found.headers) == {
        "retry-after": "32",
        "x-ratelimit-limit-tokens": "100",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "32s",
    }
    assert "100 tokens in 1m of tier free" in str(found) and found.record.stream


def test_what_would_fit_if_it_were_smaller_is_told() -> None:
    limit = "100 tokens in 1m of tier free"
    assert "smaller max_tokens" in str(over(Over(limit=limit, size=100, wanted=60, remaining=40)))
    assert "may take 900" in str(over(Over(limit=limit, size=100, wanted=900, remaining=100)))
    budget = over(Over(limit="5 USD in 30d", kind="budget", size=5 * 10**9))
    assert budget.kind == "insufficient_quota" and [n for n, _ in budget.headers] == [
        "retry-after"
    ]


def test_what_remains_is_told_with_the_answer() -> None:
    """Bug 2."""
    hold = Hold("h", 5, "alice", left=(Left("tokens", 100, 61, 59.2), Left("requests", 5, 4, 9)))
    found, _ = play(lambda request, body: FORWARD, hold)
    assert dict(found.report) == {
        "x-ratelimit-limit-tokens": "100",
        "x-ratelimit-remaining-tokens": "61",
        "x-ratelimit-reset-tokens": "60s",
        "x-ratelimit-limit-requests": "5",
        "x-ratelimit-remaining-requests": "4",
        "x-ratelimit-reset-requests": "9s",
    }


def test_a_cap_is_said_to_the_model() -> None:
    seen = []

    def going(request: Request, body: Any) -> Outcome:
        seen.append(json.loads(request.body))
        assert json.loads(body.edit().encode()) == seen[0]
        return FORWARD

    play(going, Hold("h", 5, cap=77), chat("m", n=2))
    assert seen[0]["max_completion_tokens"] == 77 and seen[0]["n"] == 2


SAID = "/v1/chat/completions"


def of(path: str, **body: Any) -> Allowance:
    raw = json.dumps(body).encode()
    return allowance(path, raw)


@pytest.mark.parametrize(
    ("path", "body", "answer", "choices", "usual"),
    [
        (SAID, {}, None, 1, None),
        (SAID, {"max_tokens": 7}, 7, 1, None),
        (SAID, {"max_completion_tokens": 8, "n": 3}, 24, 3, None),
        (SAID, {"max_tokens": 9, "max_completion_tokens": 2}, 9, 1, None),
        (SAID, {"max_tokens": -1, "n": 0}, None, 1, None),
        (SAID, {"max_tokens": "many", "n": True}, None, 1, None),
        (SAID, {"max_tokens": 10**12}, 20_000_000, 1, None),
        # As lenient servers read them.
        (SAID, {"max_tokens": "100000", "n": "3"}, 300_000, 3, None),
        (SAID, {"max_tokens": 99_999.5, "n": 2.0}, 200_000, 2, None),
        (SAID, {"max_tokens": 1e9, "n": 10**6}, 20_000_000, 10**6, None),
        (SAID, {"max_tokens": None, "max_completion_tokens": 4}, 4, 1, None),
        # One of them is no end to some servers, and it is not known which is heeded.
        (SAID, {"max_tokens": 5, "max_completion_tokens": -1}, None, 1, None),
        (SAID, {"max_tokens": [5], "max_completion_tokens": 6}, None, 1, None),
        (SAID, {"max_tokens": "nan"}, None, 1, None),
        (SAID, {"max_tokens": "inf", "n": float(10**300)}, 20_000_000, 20_000_000, None),
        ("/v1/completions", {"prompt": ["x"] * 9, "n": 10**9}, None, 20_000_000, COMPLETION),
        ("/v1/completions", {"prompt": "x"}, None, 1, COMPLETION),
        ("/v1/completions", {"prompt": ["x", "y"], "max_tokens": 4, "n": 2}, 16, 4, COMPLETION),
        ("/v1/completions", {"prompt": [1, 2, 3], "max_tokens": 4}, 4, 1, COMPLETION),
        ("/v1/completions", {"prompt": [[1], [2]], "best_of": 5}, None, 10, COMPLETION),
        ("/v1/embeddings", {"input": "x", "max_tokens": 4}, 0, 1, None),
        ("/v1/responses", {"input": "x", "max_output_tokens": 6}, 6, 1, None),
        ("/v1/messages", {"max_tokens": 11}, 11, 1, None),
    ],
)
def test_what_bounds_an_answer(
    path: str, body: Any, answer: int | None, choices: int, usual: int | None
) -> None:
    """Bugs 6 and 9: every API is sized, and by tokens."""
    assert of(path, **body)[2:] == (answer, choices, usual)
    assert path in BODIES


def test_a_prompt_is_taken_for_its_words_and_never_for_less_than_its_bytes_allow() -> None:
    text = "The quick brown fox jumps over the lazy dog. " * 40
    found = of(SAID, messages=[{"role": "user", "content": text}])
    assert 400 <= found.estimate <= 480 and found.prompt > len(text)


def test_a_picture_is_not_taken_for_text() -> None:
    data = "data:image/png;base64," + "iVBORw0KGgo" * 10_000
    picture = {"type": "image_url", "image_url": {"url": data}}
    found = of(SAID, messages=[{"role": "user", "content": [picture]}])
    assert PICTURE < found.estimate < PICTURE + 100
    source = {"type": "base64", "media_type": "image/png", "data": "A" * 50_000}
    found = of("/v1/messages", messages=[{"content": [{"type": "image", "source": source}]}])
    assert PICTURE < found.estimate < PICTURE + 100
    linked = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
    assert of(SAID, messages=[{"content": [linked, linked]}]).estimate > 2 * PICTURE
    source = {"type": "url", "url": "https://example.com/cat.png"}
    found = of("/v1/messages", messages=[{"content": [{"type": "image", "source": source}]}])
    assert found.prompt > found.estimate > PICTURE
    file = {"type": "input_file", "file_id": "file-1"}
    assert of("/v1/responses", input=[{"content": [file]}]).estimate > PICTURE


@pytest.mark.parametrize(
    "odd",
    [b'"x": "\\ud83d"', b'"x": 1e999', b'"best_of": "\\ud83d"', b'"messages": [{"a": "\\udead"}]',
     b'"x": ' + b"[" * 200 + b"]" * 200, b'"x": ' + b"9" * 5000],
)  # fmt: skip
def test_what_cannot_be_decoded_hides_no_bound(odd: bytes) -> None:
    """Else half a character anywhere takes a request for a thousand tokens that may write
    millions; servers in Python read it without a word."""
    found = allowance(SAID, b'{"max_tokens": 100000, "n": 9, %b}' % odd)
    assert (found.answer, found.choices) == (900_000, 9) and found.estimate > 1


@pytest.mark.parametrize(
    "twice",
    [b'"max_tokens": 9, "max_tokens": 1', b'"n": 9, "x": {"n": 1}, "n": 1',
     b'"max_tokens": 9, "max\\u005ftokens": 1', b'"\\u006e": 9, "n": 1'],
)  # fmt: skip
def test_a_bound_is_said_once(twice: bytes) -> None:
    """One server takes the first, and another the last."""
    with pytest.raises(RequestError, match="twice"):
        allowance(SAID, b'{"x": "y", %b}' % twice)


def test_a_cap_overrides_whatever_bounds_nothing() -> None:
    raw = b'{"max_tokens": -1, "max_output_tokens": "x", "n": 2}'
    said = json.loads(capped(SAID, raw, 9))
    assert said == {"max_tokens": 9, "max_output_tokens": 9, "max_completion_tokens": 9, "n": 2}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (SAID, "max_completion_tokens"),
        ("/v1/completions", "max_tokens"),
        ("/v1/responses", "max_output_tokens"),
    ],
)
def test_the_cap_has_the_name_that_the_api_has_for_it(path: str, name: str) -> None:
    assert json.loads(capped(path, b'{"model": "m", "n": 2}', 9)) == {
        "model": "m",
        "n": 2,
        name: 9,
    }
