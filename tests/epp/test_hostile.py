"""Bodies, headers and orders of messages that nobody means well with, or that nobody meant."""

from __future__ import annotations

import json
import random
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.endpoints import Profile
from wayside.epp.handlers import Single
from wayside.epp.headers import SUBSET
from wayside.epp.metrics import LONGEST
from wayside.epp.store import Seat
from wayside.extproc import wire

from . import proto
from .rig import HEAD, HERMETIC, Bench, destination, host_port, streamed

BODY = b'{"model":"m","prompt":"hello"}'


def refusal(replies: list[Any]) -> str:
    (reply,) = replies
    assert reply.HasField("immediate")
    return f"{reply.immediate.status.code} {reply.immediate.body.decode()}"


# --- in whatever order, and however it ends ----------------------------------------------------

MODES = [proto.DUPLEX, proto.BUFFERED, proto.STREAMED, proto.NONE, proto.PARTIAL]
STEPS: dict[str, Any] = {
    "headers": lambda modes: proto.request_headers({":path": "/v1/completions"}, modes=modes),
    "bodiless": lambda modes: proto.request_headers({":path": "/"}, last=True, modes=modes),
    "chunk": lambda modes: proto.request_body(BODY[:9], last=False),
    "rest": lambda modes: proto.request_body(BODY[9:]),
    "whole": lambda modes: proto.request_body(BODY),
    "empty end": lambda modes: proto.request_body(b""),
    "renamed": lambda modes: proto.request_body(BODY.replace(b'"m"', b'"model-to-be-rewritten"')),
    "no json": lambda modes: proto.request_body(b"oops"),
    "no model": lambda modes: proto.request_body(b"{}"),
    "trailers": lambda modes: proto.trailers("request_trailers"),
    "answer": lambda modes: proto.response_headers({":status": "200"}),
    "stream": lambda modes: proto.response_headers({"content-type": "text/event-stream"}),
    "no answer": lambda modes: proto.response_headers({":status": "204"}, last=True),
    "piece": lambda modes: proto.response_body(b'data: {"model":"m', last=False),
    "last": lambda modes: proto.response_body(b'"}\n\n', last=True),
    "end": lambda modes: proto.trailers("response_trailers"),
}


class Counted(Single):
    """Counts what is told of each attempt."""

    def __init__(self, profile: Profile) -> None:
        super().__init__(profile)
        self.chosen, self.ended = 0, 0
        profile.choices.append(lambda need, endpoint: self._add("chosen"))
        profile.ends.append(lambda need, endpoint: self._add("ended"))

    def _add(self, what: str) -> None:
        setattr(self, what, getattr(self, what) + 1)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(sorted(STEPS)), max_size=10), min_size=1, max_size=4),
    st.tuples(st.sampled_from(MODES), st.sampled_from(MODES)),
    st.booleans(),
    st.booleans(),
)
def test_in_any_order_each_attempt_ends_once_and_nothing_stays(
    talks: list[list[str]], modes: tuple[int, int], skips: bool, empty: bool
) -> None:
    bench = Bench([] if empty else [(0, 0.1), (0, 0.1)], skips=skips)
    counted = [Counted(each) for each in bench.picker.profiles.values()]
    for steps in talks:
        talk = bench.session()
        for step in steps:
            try:
                talk.say(STEPS[step](modes))
            except wire.WireError:
                break
        talk.session.close()
        talk.session.close()
    assert {e.in_flight for e in bench.store.roster.endpoints} <= {0}
    assert bench.door.held == 0
    assert set(bench.metrics.running.values()) <= {0.0}
    for each in counted:
        assert each.chosen == each.ended
    assert not [event for event, _ in bench.logged if event == "request failed"]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 30))
def test_a_body_however_it_is_cut_is_one_body(seed: int, count: int) -> None:
    dice = random.Random(seed)
    body = json.dumps({"model": "m", "prompt": "x" * dice.randrange(200)}).encode()
    edges = sorted(dice.randrange(len(body) + 1) for _ in range(count))
    talk = Bench().session()
    said = talk.say(proto.request_headers({":path": "/"}))
    for a, b in zip([0, *edges], [*edges, len(body)], strict=True):
        said += talk.say(proto.request_body(body[a:b], last=b == len(body) and a == edges[-1]))
    assert streamed(said) == body


# --- size and number ---------------------------------------------------------------------------


def test_a_body_of_32_mib_goes_whole_and_is_held_once() -> None:
    bench = Bench()
    body = b'{"model":"m","prompt":"' + b"x" * (32 << 20) + b'"}'
    talk = bench.session()
    talk.say(proto.request_headers({":path": "/"}))
    chunks = [body[i : i + 65536] for i in range(0, len(body), 65536)]
    for chunk in chunks[:-1]:
        assert talk.say(proto.request_body(chunk, last=False)) == []
    assert bench.door.held == len(body) - len(chunks[-1])
    assert streamed(talk.say(proto.request_body(chunks[-1]))) == body
    assert bench.door.held == 0


def test_a_hundred_thousand_tiny_chunks_take_little_more_than_their_bytes() -> None:
    bench = Bench()
    talk = bench.session()
    talk.say(proto.request_headers({":path": "/"}))
    piece = proto.request_body(b"xx", last=False)
    tracemalloc.start()
    try:
        for _ in range(100_000):
            talk.session.receive(piece)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert bench.door.held == 200_000 and held < 400_000
    talk.session.close()
    assert bench.door.held == 0


def test_answers_that_are_held_are_bounded_too() -> None:
    """Whole answers wait until they have ended; when too much waits, they go on as they come."""
    bench = Bench(max_held_bytes=1000)
    talks = [bench.ask(BODY)[0] for _ in range(3)]
    for talk in talks:
        talk.say(proto.response_headers({":status": "200", "content-type": "application/json"}))
    assert talks[0].say(proto.response_body(b"a" * 600, last=False)) == []
    (goes,) = talks[1].say(proto.response_body(b"b" * 600, last=False))
    assert goes.response_body.response.body.streamed.body == b"b" * 600
    assert bench.door.held == 600
    assert talks[2].say(proto.response_body(b"c" * 300, last=False)) == []
    assert streamed(talks[0].say(proto.response_body(b"z")), "response_body") == b"a" * 600 + b"z"
    (rest,) = talks[1].say(proto.response_body(b"y"))
    assert rest.response_body.response.body.streamed.body == b"y"
    talks[2].session.close()
    assert bench.door.held == 0


def test_names_of_any_length_cost_no_memory() -> None:
    bench = Bench()
    long = "m" * 1_000_000
    tracemalloc.start()
    try:
        for i in range(30):
            body = json.dumps({"model": f"{long}{i}", "prompt": "x"}).encode()
            bench.ask(body, x_llm_d_inference_fairness_id=long)[0].session.close()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 8_000_000, "of 60 MB that were said"
    assert {labels[0] for labels in bench.metrics.requests.values} == {"other"}
    assert all(
        len(value) <= LONGEST for labels in bench.metrics.requests.values for value in labels
    )


async def test_fairness_ids_are_forgotten_when_they_leave_the_line() -> None:
    config = "featureGates: [flowControl]\nplugins: [{type: concurrency-detector, name: c,"
    config += " parameters: {maxConcurrency: 1}}]"
    config += "\nflowControl: {saturationDetector: {pluginRef: c}}"
    bench = Bench(config=HEAD + config)
    flow = bench.picker.flow
    assert flow is not None
    bench.ask(BODY)  # takes the only place
    tracemalloc.start()
    try:
        for i in range(60_000):
            coming = flow.admit(
                priority=0, fairness=f"user-{i}", size=10, candidates=bench.store.roster
            )
            turn = coming.__await__()  # type: ignore[union-attr]
            next(turn)
            turn.close()
            if i == 10_000:
                first, _ = tracemalloc.get_traced_memory()
        last, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert last - first < 500_000
    assert flow.lanes.count == flow.lanes.bytes == 0
    assert len(bench.metrics.waited.values) <= 1002


# --- what is in a body -------------------------------------------------------------------------


def test_half_an_emoji_is_no_reason_to_refuse() -> None:
    """JavaScript that cuts a text in an emoji sends one; Go reads it as U+FFFD, and so do we."""
    for where in ("prompt", "other"):
        body = b'{"model":"m","prompt":"x","%s":"cut \\ud83d"}' % where.encode()
        _, replies = Bench().ask(body)
        assert streamed(replies) == body, "what is not edited goes as it came"
        edited = body.replace(b'"m"', b'"model-to-be-rewritten"', 1)
        sent = json.loads(streamed(Bench().ask(edited)[1]))
        assert sent["model"] == "rewritten-model" and sent[where] == "cut \ufffd"
    _, replies = Bench().ask(b'{"model":"m\\ud83d","prompt":"x"}')
    assert destination(replies) == host_port(0)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"model":"a\xff","prompt":"x"}', "model in request body is not UTF-8 text"),
        (b'{"model":7}', "model not found in request body"),
        (b'{"model":["m"]}', "model not found in request body"),
        (b'{"model":""}', "model not found in request body"),
        (b'{"model":"m","max_tokens":1e999}', "a number is out of range"),
        (b'{"model":"m","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "exceeded max depth"),
        (b'{"model":"m"} {"model":"n"}', "invalid character '{' after top-level value"),
        (b"\xef\xbb\xbf" + BODY, "invalid character '\u00ef' looking for beginning of value"),
    ],
)
def test_bodies_that_cannot_be_read_are_400_and_say_why(body: bytes, said: str) -> None:
    bench = Bench()
    told = refusal(bench.ask(body)[1])
    assert told.startswith("400 inference error: BadRequest - ") and said in told
    assert not bench.logged


def test_of_a_key_that_comes_twice_the_last_counts_as_in_go() -> None:
    bench = Bench()
    _, replies = bench.ask(b'{"model":"model-to-be-rewritten","prompt":"x","model":"b"}')
    assert b"rewritten-model" not in streamed(replies)
    assert {labels[0] for labels in bench.metrics.requests.values} == {"b"}
    _, replies = bench.ask(b'{"model":"b","model":"model-to-be-rewritten"}')
    assert streamed(replies) == b'{"model":"rewritten-model"}', "and no server sees another"
    _, replies = bench.ask(b'{"mod\\u0065l":"model-to-be-rewritten","model":"b"}')
    assert {labels[0] for labels in bench.metrics.requests.values} == {
        "b",
        "model-to-be-rewritten",
    }


# --- what is in headers ------------------------------------------------------------------------


def test_a_subset_is_the_data_planes_to_hint_at_and_no_clients() -> None:
    bench = Bench([(0, 0.0), (9, 0.9)])
    headers = {":path": "/", SUBSET: host_port(1)}
    talk = bench.session()
    replies = talk.say(proto.request_headers(headers), proto.request_body(BODY))
    assert destination(replies) == host_port(0), "a header of that name is nothing"
    assert SUBSET in replies[0].request_headers.response.headers.remove
    talk = bench.session()
    hint = {"envoy.lb.subset_hint": {SUBSET: [host_port(0)]}}
    replies = talk.say(proto.request_headers(headers, metadata=hint), proto.request_body(BODY))
    assert destination(replies) == host_port(0)


def test_a_request_id_writes_no_lines_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    from wayside.telemetry.log import Log

    for console in (False, True):
        log = Log(console=console, level="debug")
        bench = Bench(verbose=True, log=log)
        talk = bench.session()
        pairs = {":path": "/", "x-request-id": 'a\n{"event":"forged"}\r\nb\x1b[2J'}
        talk.say(proto.request_headers(pairs), proto.request_body(BODY))
        log.flush()
        said = capsys.readouterr().err
        assert "picked" in said and said.count("\n") == 1 and "\x1b[2J" not in said


def test_names_of_models_write_no_metrics_of_their_own() -> None:
    bench = Bench()
    bench.ask(b'{"model":"m\\"} 1\\nforged 1\\n\\\\","prompt":"x"}')[0].session.close()
    assert not [line for line in bench.text().splitlines() if line.startswith("forged")]


@given(st.text(max_size=30), st.text(max_size=30))
@settings(max_examples=50, deadline=None)
def test_metrics_can_be_read_whatever_clients_call_things(model: str, fairness: str) -> None:
    bench = Bench()
    body = json.dumps({"model": model or "m", "prompt": "x"}).encode()
    talk = bench.session()
    pairs = {":path": "/", "x-llm-d-inference-fairness-id": fairness.encode().decode("latin-1")}
    talk.say(proto.request_headers(pairs), proto.request_body(body))
    talk.session.close()
    assert "llm_d_epp_request_total" in bench.text()


# --- a pool that changes -----------------------------------------------------------------------


def test_all_pods_unready_is_503_and_none_in_a_request_without_a_body_500() -> None:
    bench = Bench([])
    told = bench.ask(BODY)[1]
    assert refusal(told).startswith("503 inference error: ServiceUnavailable - failed to find")
    dropped = proto.set_headers(told[0].immediate.headers)
    assert dropped == {"x-llm-d-request-dropped-reason": "rejected-no-endpoints"}
    talk = bench.session()
    replies = talk.say(proto.request_headers({":path": "/"}, last=True))
    assert refusal(replies) == "500 inference error: Internal - no pods available in datastore"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_endpoints_that_come_and_go_leave_no_counts_behind(seed: int) -> None:
    dice = random.Random(seed)
    bench = Bench([(0, 0.1)] * 6, HERMETIC)
    seats = [Seat(f"default/pod-{i}", host_port(i)) for i in range(6)]
    known, under_way = set(bench.store.roster.endpoints), []
    for _ in range(80):
        bench.store.seat(dice.sample(seats, dice.randrange(7)))
        known |= set(bench.store.roster.endpoints)
        talk, replies = bench.ask(BODY)
        if replies[0].HasField("immediate"):
            assert not bench.store.roster.endpoints
        else:
            assert destination(replies) in {e.host_port for e in bench.store.roster.endpoints}
            under_way.append(talk)
        dice.shuffle(under_way)
        while len(under_way) > 5:
            under_way.pop().session.close()
    for talk in under_way:
        talk.session.close()
    assert {e.in_flight for e in known} == {0}
