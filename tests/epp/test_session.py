"""What is said to Envoy, message by message: the protocol, and the traps found in the wild."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.epp.headers import CONTROLS, STEERING, SUBSET
from wayside.extproc import wire
from wayside.translate.endpoint_picker_config import read

from . import proto
from .rig import HEAD, HERMETIC, Bench, destination, host_port, streamed

BODY = b'{"model":"m","prompt":"hello"}'
DUPLEX = (proto.DUPLEX, proto.DUPLEX)


def asked(**more: str) -> dict[str, str]:
    found = {":method": "POST", ":path": "/v1/completions", ":authority": "x", "a": "b"}
    return found | {name.replace("_", "-"): value for name, value in more.items()}


def common(reply: Any) -> Any:
    return reply.request_headers.response


# --- the seven traps of spec 3.2 ---------------------------------------------------------------


def test_trap_3028_every_body_reply_is_a_streamed_response_in_full_duplex() -> None:
    bench = Bench()
    talk, replies = bench.ask(BODY)
    assert streamed(replies) == BODY
    replies = talk.say(
        proto.response_headers({":status": "200"}),
        proto.response_body(b"abc", last=False),
        proto.response_body(b"", last=True),
    )
    for reply in replies[1:]:
        assert reply.response_body.response.body.HasField("streamed")
    lone = bench.session()  # bodies whose headers were never shown: given back, not just waved on
    (reply,) = lone.say(proto.request_body(b"xyz"))
    assert reply.request_body.response.body.streamed.body == b"xyz"


def test_trap_3028_a_head_request_gets_no_empty_common_response() -> None:
    talk = Bench().session()
    pairs = asked() | {":method": "HEAD"}
    replies = talk.say(proto.request_headers(pairs, last=True))
    assert destination(replies) == host_port(0)
    (reply,) = talk.say(proto.response_headers({":status": "200", "a": "b"}, last=True))
    assert reply.response_headers.response.headers.set


def test_trap_3033_the_header_reply_goes_before_any_body_reply() -> None:
    talk = Bench().session()
    assert talk.say(proto.request_headers(asked())) == []
    assert talk.say(proto.request_body(BODY[:5], last=False)) == []
    assert talk.say(proto.request_body(BODY[5:12], last=False)) == []
    first, *rest = talk.say(proto.request_body(BODY[12:]))
    assert first.HasField("request_headers") and streamed(rest) == BODY


def test_trap_2993_no_system_header_is_said_again() -> None:
    hop = {"transfer-encoding": "chunked", "connection": "x", "keep-alive": "5", "upgrade": "h2c",
           "te": "trailers", "trailer": "z", "proxy-connection": "y"}  # fmt: skip
    bench = Bench()
    talk = bench.session()
    pairs = asked(**hop) | {"content-length": "9", SUBSET: "1.2.3.4"}
    first, *_ = talk.say(proto.request_headers(pairs), proto.request_body(BODY))
    said = {name.lower() for name in proto.set_headers(common(first).headers)}
    assert said == {"x-gateway-destination-endpoint", "content-length", "a", "x-request-id"}
    answer = {":status": "200", "content-type": "text/event-stream", "content-length": "4"}
    answer |= hop | {"x-gateway-destination-endpoint-served": "1.2.3.4", "set-cookie": "a=1"}
    (reply,) = talk.say(proto.response_headers(answer))
    assert proto.set_headers(reply.response_headers.response.headers) == {
        "x-went-into-resp-headers": "true", "content-type": "text/event-stream",
    }  # fmt: skip
    assert list(reply.response_headers.response.headers.remove) == [
        "x-gateway-destination-endpoint-served"
    ]


def test_trap_2095_behind_a_filter_that_buffers_the_end_of_stream_is_not_lost() -> None:
    """Our router before us is BUFFERED; its body comes in one piece, or with trailers after it,
    and either way the end is said exactly once."""
    talk = Bench().session()
    replies = talk.say(
        proto.request_headers(asked(), modes=DUPLEX), proto.request_body(BODY, last=True)
    )
    assert streamed(replies) == BODY
    talk = Bench().session()
    replies = talk.say(
        proto.request_headers(asked(), modes=DUPLEX),
        proto.request_body(BODY, last=False),
        proto.trailers("request_trailers"),
    )
    pieces = [r.request_body.response.body.streamed for r in replies if r.HasField("request_body")]
    assert [p.end_of_stream for p in pieces] == [False] and pieces[0].body == BODY
    assert replies[-1].HasField("request_trailers")


def test_trap_39514_what_is_held_is_bounded_as_duplex_has_no_back_pressure() -> None:
    bench = Bench(max_body_bytes=1000)
    talk = bench.session()
    talk.say(proto.request_headers(asked()))
    assert talk.say(proto.request_body(b"x" * 900, last=False)) == []
    assert bench.door.held == 900
    (reply,) = talk.say(proto.request_body(b"x" * 101, last=False))
    assert reply.immediate.status.code == 429 and talk.session.done
    assert bench.door.held == 0
    bench = Bench(max_held_bytes=1500)
    talks = [bench.session() for _ in range(2)]
    said = [t.say(proto.request_headers(asked())) for t in talks]
    said = [t.say(proto.request_body(b"x" * 1000, last=False)) for t in talks]
    assert said[0] == [] and said[1][0].immediate.status.code == 503
    for talk in talks:
        talk.session.close()
    assert bench.door.held == 0


def test_trap_16905_answers_are_skipped_where_nothing_needs_them() -> None:
    bench = Bench(skips=True)
    talk, replies = bench.ask(BODY)
    assert streamed(replies) == BODY
    assert talk.session.done, "the stream is to be ended in order"
    talk, _ = bench.ask(BODY, x_llm_d_model_name_rewrite="other")
    assert not talk.session.done, "its model's name has to be put back"


def test_trap_2039_a_request_that_cannot_be_placed_is_answered_and_never_waved_on() -> None:
    """With failure_mode_allow, Envoy would send a request on without a destination."""
    bench = Bench([])
    _, (reply,) = bench.ask(BODY)
    assert reply.immediate.status.code == 503
    bench = Bench()
    bench.picker.director.choose = _bug  # type: ignore[method-assign,assignment]
    talk, (reply,) = bench.ask(BODY)
    assert reply.immediate.status.code == 500 and talk.session.done
    assert bench.logged[0][0] == "request failed"


def _bug(asked: object) -> None:
    raise RuntimeError("a bug")


# --- requests ----------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 200_000), max_size=6), st.booleans())
def test_a_body_in_pieces_is_one_body_and_leaves_in_small_chunks(
    cuts: list[int], trailers: bool
) -> None:
    body = json.dumps({"model": "m", "prompt": "x" * 199_970}).encode()
    edges = [0, *sorted(min(c, len(body)) for c in cuts), len(body)]
    talk = Bench().session()
    said = talk.say(proto.request_headers(asked()))
    for i, (a, b) in enumerate(itertools.pairwise(edges)):
        assert said == []
        last = i == len(edges) - 2 and not trailers
        said = talk.say(proto.request_body(body[a:b], last=last))
    if trailers:
        assert said == []
        said = talk.say(proto.trailers("request_trailers"))
        assert said.pop().HasField("request_trailers")
    pieces = [r.request_body.response.body.streamed for r in said[1:]]
    assert b"".join(p.body for p in pieces) == body and len(pieces) == 4
    assert all(len(p.body) <= wire.CHUNK for p in pieces)
    assert [p.end_of_stream for p in pieces] == [False] * 3 + [not trailers]
    assert talk.session.door.held == 0


def test_a_buffered_request_is_changed_in_its_body_reply() -> None:
    bench = Bench()
    talk = bench.session()
    modes = (proto.BUFFERED, proto.NONE)
    (first,) = talk.say(proto.request_headers(asked(), modes=modes))
    assert not common(first).headers.set and not common(first).HasField("body")
    (reply,) = talk.say(proto.request_body(BODY))
    assert destination([reply]) == host_port(0)
    assert reply.request_body.response.clear_route_cache
    assert not reply.request_body.response.HasField("body"), "nothing changed in it"
    talk = bench.session()
    pairs = asked(x_llm_d_model_name_rewrite="other")
    _, reply = talk.say(proto.request_headers(pairs, modes=modes), proto.request_body(BODY))
    body = reply.request_body.response.body.body
    assert json.loads(body)["model"] == "other"
    said = proto.set_headers(reply.request_body.response.headers)
    assert said["Content-Length"] == str(len(body))
    (reply,) = talk.say(proto.response_headers({":status": "200"}))
    assert reply.mode.m4 == proto.STREAMED, "the name has to be put back, so bodies are needed"


def test_a_mode_that_shows_no_whole_body_in_time_is_overridden() -> None:
    talk = Bench().session()
    (reply,) = talk.say(proto.request_headers(asked(), modes=(proto.STREAMED, proto.NONE)))
    assert reply.mode.m3 == proto.BUFFERED
    (reply,) = talk.say(proto.request_body(b"x", last=False))
    assert b"request_body_mode" in reply.immediate.body, "where Envoy does not allow that"


def test_control_headers_are_used_and_no_server_sees_them() -> None:
    bench = Bench()
    named = {name: "1.2.3.4:80" for name in (*CONTROLS, *STEERING)}
    named["x-llm-d-video-fps"] = "1"
    first, *_ = bench.session().say(
        proto.request_headers(asked() | named), proto.request_body(BODY)
    )
    assert set(common(first).headers.remove) == set(named)
    assert not set(named) & set(proto.set_headers(common(first).headers))


def test_a_forged_destination_is_overwritten() -> None:
    pairs = asked(x_gateway_destination_endpoint="10.9.9.9:1")
    replies = Bench().session().say(proto.request_headers(pairs), proto.request_body(BODY))
    assert destination(replies) == host_port(0)


def test_a_request_id_is_made_where_there_is_none() -> None:
    bench = Bench()
    made = []
    for _ in range(2):
        first, *_ = bench.session().say(proto.request_headers(asked()), proto.request_body(BODY))
        made.append(proto.set_headers(common(first).headers)["x-request-id"])
    assert made[0] != made[1] and len(made[0]) == 36


@pytest.mark.parametrize(
    "names", [("x-llm-d-inference-objective",), ("x-gateway-inference-objective",)]
)
def test_either_name_of_a_control_header_is_understood(names: tuple[str]) -> None:
    bench = Bench([(100, 1.0)])
    bench.session()
    pairs = asked() | {names[0]: "sheddable"}
    (reply,) = bench.session().say(proto.request_headers(pairs), proto.request_body(BODY))
    assert reply.immediate.status.code == 429
    assert reply.immediate.body.endswith(b"system saturated, sheddable request dropped")
    assert proto.set_headers(reply.immediate.headers) == {
        "x-llm-d-request-dropped-reason": "rejected-saturated"
    }


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "unexpected end of JSON input"),
        (b"[1]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        (b'{"model":"m"', "unexpected end of JSON input"),
        (b'{"model":"m",}', "invalid character '}' looking for beginning of object key string"),
    ],
)
def test_bodies_that_are_no_object(body: bytes, why: str) -> None:
    _, (reply,) = Bench().ask(body)
    text = f"inference error: BadRequest - error unmarshaling request bodyMap: {why}"
    assert reply.immediate.body.decode() == text


@pytest.mark.parametrize("model", ["", "null", "3", '""', "[]"])
def test_a_body_without_a_model_is_400(model: str) -> None:
    body = b'{"prompt":"x"}' if not model else b'{"model":%b}' % model.encode()
    _, (reply,) = Bench().ask(body)
    assert reply.immediate.body == (
        b"inference error: BadRequest - model not found in request body"
    )


def test_messages_out_of_order_end_the_stream_and_not_the_server() -> None:
    talk = Bench().session()
    talk.say(proto.request_headers(asked()))
    with pytest.raises(wire.WireError):
        talk.say(proto.request_headers(asked()))


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_wire_error(data: bytes) -> None:
    session = Bench().door.session()
    for message in (data, b"\x12" + bytes((min(len(data), 127),)) + data):
        try:
            session.receive(message)
        except wire.WireError:
            break


# --- the subset, in all its forms --------------------------------------------------------------

PODS = [(0, 0.1), (0, 0.1), (0, 0.1)]
TWO = "192.168.1.2:8000"
FORMS: dict[str, tuple[Any, str]] = {
    "a list": ([TWO], TWO),
    "a text": (TWO, TWO),
    "a text with commas": (f"10.0.0.1:1, {TWO} ,10.0.0.2:1", TWO),
    "a mixed list": (["10.0.0.1:1", f" {TWO},10.0.0.2:1 "], TWO),
    "a list in a list": ([[TWO]], TWO),
    "an address without a port": (["192.168.1.2"], TWO),
    "an empty list": ([], ""),
    "an empty text": ("", ""),
    "blanks": (" , ", ""),
    "nobody of the pool": (["192.168.1.99:8000"], ""),
    "another port": (["192.168.1.2:8001"], ""),
    "a number": (7, ""),
}


@pytest.mark.parametrize("form", FORMS)
def test_subset_hints(form: str) -> None:
    value, expected = FORMS[form]
    metadata = {"envoy.lb.subset_hint": {SUBSET: value, "other": 1}, "envoy.lb": {"x": "y"}}
    replies = (
        Bench(PODS)
        .session()
        .say(proto.request_headers(asked(), metadata=metadata), proto.request_body(BODY))
    )
    if expected:
        assert destination(replies) == expected
    else:
        assert replies[0].immediate.status.code == 503


@pytest.mark.parametrize("namespace", ["envoy.lb.subset_hint", "elsewhere"])
def test_without_the_key_or_in_another_namespace_there_is_no_hint(namespace: str) -> None:
    key = "other" if namespace == "envoy.lb.subset_hint" else SUBSET
    metadata = {namespace: {key: ["10.0.0.1"]}}
    replies = (
        Bench(PODS)
        .session()
        .say(proto.request_headers(asked(), metadata=metadata), proto.request_body(BODY))
    )
    assert destination(replies)


def test_a_subset_holds_for_requests_without_a_body_too() -> None:
    metadata = {"envoy.lb.subset_hint": {SUBSET: [TWO]}}
    replies = (
        Bench(PODS).session().say(proto.request_headers(asked(), last=True, metadata=metadata))
    )
    assert destination(replies) == TWO


def test_the_subset_filter_can_be_switched_off() -> None:
    metadata = {"envoy.lb.subset_hint": {SUBSET: ["10.0.0.1"]}}
    replies = (
        Bench(PODS, subsets=False)
        .session()
        .say(proto.request_headers(asked(), metadata=metadata), proto.request_body(BODY))
    )
    assert destination(replies)


def test_a_fallback_list_names_the_best_first() -> None:
    config = HEAD + (
        "plugins:\n- type: queue-scorer\n- type: max-score-picker\n"
        "  parameters: {maxNumOfEndpoints: 3}\n"
    )
    _, replies = Bench([(5, 0.1), (0, 0.1), (9, 0.1)], config).ask(BODY)
    assert destination(replies) == "192.168.1.2:8000,192.168.1.1:8000,192.168.1.3:8000"


def test_scores_are_told_of_every_candidate() -> None:
    config = HEAD + "plugins:\n- type: queue-scorer\n"
    _, replies = Bench([(5, 0.1), (0, 0.1), (10, 0.1)], config, scores=True).ask(BODY)
    told = proto.metadata(replies[0])["envoy.lb"]
    assert told["x-gateway-destination-endpoint-scores"] == {
        "192.168.1.1:8000": 0.5, "192.168.1.2:8000": 1.0, "192.168.1.3:8000": 0.0,
    }  # fmt: skip


# --- answers -----------------------------------------------------------------------------------


def rewritten(bench: Bench, **modes: tuple[int, int]) -> Any:
    talk = bench.session()
    pairs = asked(x_llm_d_model_name_rewrite="theirs")
    talk.say(proto.request_headers(pairs, **modes), proto.request_body(BODY))
    return talk


def test_the_clients_name_is_put_back_in_a_whole_answer() -> None:
    talk = rewritten(Bench())
    answer = b'{"model" : "theirs", "text": "\\"model\\":\\"theirs\\"", "id":1}'
    head, body = talk.say(
        proto.response_headers({":status": "200", "content-length": "9"}),
        proto.response_body(answer),
    )
    assert "content-length" in head.response_headers.response.headers.remove
    got = streamed([body], "response_body")
    assert json.loads(got) == {"model": "m", "text": '"model":"theirs"', "id": 1}


def test_an_answer_that_is_no_json_is_left_alone() -> None:
    talk = rewritten(Bench())
    text = b'oops "model":"theirs"'
    _, body = talk.say(proto.response_headers({":status": "502"}), proto.response_body(text))
    assert streamed([body], "response_body") == text


@given(st.lists(st.integers(0, 400), max_size=8))
def test_the_clients_name_is_put_back_in_a_stream_wherever_it_is_cut(cuts: list[int]) -> None:
    event = (
        b'data: {"id":"1","model": "theirs","choices":[{"delta":{"content":"hi \\"model"}}]}\n\n'
    )
    whole = event * 4 + b"data: [DONE]\n\n"
    edges = [0, *sorted(min(c, len(whole)) for c in cuts), len(whole)]
    talk = rewritten(Bench())
    talk.say(proto.response_headers({":status": "200", "content-type": "text/event-stream"}))
    said = []
    for i, (a, b) in enumerate(itertools.pairwise(edges)):
        said += talk.say(proto.response_body(whole[a:b], last=i == len(edges) - 2))
    assert len(said) == len(edges) - 1, "a stream is never held back"
    assert streamed(said, "response_body") == whole.replace(b'"theirs"', b'"m"')


def test_in_a_buffered_answer_the_length_is_said_anew() -> None:
    talk = rewritten(Bench(), modes=(proto.DUPLEX, proto.BUFFERED))
    _, reply = talk.say(
        proto.response_headers({":status": "200"}), proto.response_body(b'{"model":"theirs"}')
    )
    response = reply.response_body.response
    assert response.body.body == b'{"model":"m"}'
    assert proto.set_headers(response.headers) == {"content-length": "13"}


def test_in_a_streamed_answer_only_pieces_that_change_are_replaced() -> None:
    talk = rewritten(Bench(), modes=(proto.DUPLEX, proto.STREAMED))
    _, one, two = talk.say(
        proto.response_headers({":status": "200", "content-type": "text/event-stream"}),
        proto.response_body(b'data: {"model":"theirs"}\n\n', last=False),
        proto.response_body(b"data: [DONE]\n\n"),
    )
    assert one.response_body.response.body.body == b'data: {"model":"m"}\n\n'
    assert not two.response_body.response.HasField("body")


def test_trailers_release_what_is_held() -> None:
    talk, _ = Bench().ask(BODY)
    _, body, last = talk.say(
        proto.response_headers({":status": "200"}),
        proto.response_body(b"{}", last=False),
        proto.trailers("response_trailers"),
    )
    piece = body.response_body.response.body.streamed
    assert piece.body == b"{}" and not piece.end_of_stream
    assert last.HasField("response_trailers")


def test_an_answer_larger_than_the_limit_goes_on_as_it_comes() -> None:
    bench = Bench(max_body_bytes=100)
    talk, _ = bench.ask(BODY)
    talk.say(proto.response_headers({":status": "200"}))
    assert talk.say(proto.response_body(b"x" * 90, last=False)) == []
    said = talk.say(proto.response_body(b"y" * 20, last=False), proto.response_body(b"z"))
    assert streamed(said, "response_body") == b"x" * 90 + b"y" * 20 + b"z"


def test_where_answers_are_not_needed_bodies_are_asked_to_stay_away() -> None:
    config = HEAD + "plugins:\n- type: active-request-scorer\n"
    bench = Bench(config=config, skips=True)
    talk, _ = bench.ask(BODY)
    assert not talk.session.done, "the end of each has to be known"
    (reply,) = talk.say(proto.response_headers({":status": "200"}))
    assert reply.HasField("mode") and reply.mode.m4 == proto.NONE
    (endpoint,) = bench.store.roster.endpoints
    assert endpoint.in_flight == 1
    talk.session.close()
    assert endpoint.in_flight == 0


@pytest.mark.parametrize("skips", [False, True])
def test_an_answer_begins_with_the_first_of_its_body(skips: bool) -> None:
    """Servers send a stream's headers before they have a token, so those tell nothing."""
    bench = Bench(config=HEAD + "plugins:\n- type: latency-scorer\n", skips=skips)
    told: list[float] = []
    profile = bench.picker.profiles["default"]
    profile.answers.append(lambda need, endpoint, seconds: told.append(seconds))
    talk, _ = bench.ask(BODY)
    (reply,) = talk.say(proto.response_headers({":status": "200"}))
    assert not reply.HasField("mode"), "somebody has to see it"
    bench.time += 2.0
    talk.say(proto.response_body(b"data: {}\n\n", last=False))
    bench.time += 1.0
    talk.say(proto.response_body(b"data: {}\n\n"))
    talk.session.close()
    assert told == [2.0]


def test_counting_tokens_is_answered_by_nobody_of_interest() -> None:
    talk = Bench().session()
    pairs = asked() | {":path": "/v1/messages/count_tokens?beta=true"}
    talk.say(proto.request_headers(pairs), proto.request_body(BODY))
    assert talk.session.done


@pytest.mark.parametrize("how", ["reset before the answer", "reset within it", "whole"])
def test_the_end_of_a_request_is_told_exactly_once(how: str) -> None:
    """An aborted client runs the same hooks (server_abort_test.go)."""
    bench = Bench()
    (endpoint,) = bench.store.roster.endpoints
    ends = []
    profile = bench.picker.profiles["default"]
    profile.ends.append(lambda need, endpoint: ends.append(endpoint))
    talk, _ = bench.ask(BODY)
    assert endpoint.in_flight == 1
    if how != "reset before the answer":
        talk.say(proto.response_headers({":status": "200"}))
        talk.say(proto.response_body(b"{}", last=how == "whole"))
    talk.session.close("the stream was reset")
    talk.session.close()
    assert (endpoint.in_flight, len(ends)) == (0, 1)
    assert 'llm_d_epp_request_running{model_name="m"} 0.0' in bench.text()


@pytest.mark.parametrize("hook", ["answers", "ends"])
def test_a_bug_of_a_strategy_costs_one_request_and_no_place(hook: str) -> None:
    bench = Bench()
    (endpoint,) = bench.store.roster.endpoints

    def bug(*args: object) -> None:
        raise RuntimeError("a bug")

    getattr(bench.picker.profiles["default"], hook).append(bug)
    talk, _ = bench.ask(BODY)
    talk.say(proto.response_headers({":status": "200"}), proto.response_body(b"{}"))
    talk.session.close()
    assert endpoint.in_flight == 0
    assert bench.logged and {event for event, _ in bench.logged} == {"request failed"}
    assert "a bug" in bench.logged[0][1]["traceback"]


def test_choices_and_refusals_are_logged_where_that_is_wanted() -> None:
    bench = Bench(verbose=True)
    bench.ask(BODY, x_request_id="one")
    bench.ask(b"no", x_request_id="two")
    (picked, first), (refused, second) = bench.logged
    assert (picked, first["endpoint"], first["request_id"]) == ("picked", host_port(0), "one")
    assert (refused, second["request_id"]) == ("refused", "two")
    assert "hello" not in str(bench.logged), "prompts are not"


def test_usage_of_an_answer_is_counted() -> None:
    bench = Bench()
    talk, _ = bench.ask(BODY)
    usage = b'{"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}'
    talk.say(proto.response_headers({":status": "200"}), proto.response_body(usage))
    talk.session.close()
    labels = '{fairness_id="default-flow",model_name="m",priority="0",target_model_name="m"}'
    text = "\n".join(_line(line) for line in bench.text().splitlines())
    assert f"llm_d_epp_request_input_tokens_sum{labels} 7.0" in text
    assert f"llm_d_epp_request_output_tokens_sum{labels} 3.0" in text


def _line(line: str) -> str:
    name, brace, rest = line.partition("{")
    labels, _, value = rest.rpartition("}")
    return f"{name}{{{','.join(sorted(labels.split(',')))}}}{value}" if brace else line


def test_a_session_token_comes_with_the_answer_and_leads_back() -> None:
    config = HEAD + "plugins:\n- type: session-affinity-scorer\n"
    for seed in range(6):
        bench = Bench([(0, 0.1), (0, 0.1)], config, seed=seed)
        talk, replies = bench.ask(BODY)
        first = destination(replies)
        (reply,) = talk.say(proto.response_headers({":status": "200"}))
        token = proto.set_headers(reply.response_headers.response.headers)["x-session-token"]
        _, replies = bench.ask(BODY, x_session_token=token)
        assert destination(replies) == first


SESSION_ID = """
plugins:
- type: session-affinity-scorer
  parameters: {strategy: session_id, sources: [{header: x-session-id}, {attribute: session-id}]}
"""


def test_a_session_id_stays_where_it_is_and_its_header_beats_an_agents() -> None:
    bench = Bench([(0, 0.1)] * 4, HEAD + SESSION_ID)
    homes = {}
    for name in ("one", "two", "three", "four"):
        places = {destination(bench.ask(BODY, x_session_id=name)[1]) for _ in range(10)}
        assert len(places) == 1
        homes[name] = places.pop()
    agents = {destination(bench.ask(BODY, x_claude_code_session_id="a")[1]) for _ in range(10)}
    assert len(agents) == 1
    _, replies = bench.ask(BODY, x_session_id="one", x_claude_code_session_id="a")
    assert destination(replies) == homes["one"]


# --- the conformance suite's headers -----------------------------------------------------------


def test_the_test_header_steers_only_where_that_is_allowed() -> None:
    named = "192.168.1.3:8000"
    metadata = {"envoy.lb.subset_hint": {SUBSET: ["192.168.1.1"]}}
    pairs = asked(test_epp_endpoint_selection=f" {named} ,10.0.0.1")
    bench = Bench(PODS, conformance=True)
    talk = bench.session()
    replies = talk.say(proto.request_headers(pairs, metadata=metadata), proto.request_body(BODY))
    assert destination(replies) == named, "it goes before metadata"
    said = proto.set_headers(common(replies[0]).headers)
    assert said["x-echo-set-header"] == f"x-conformance-test-served-endpoint:{named}"
    replies = (
        Bench(PODS)
        .session()
        .say(proto.request_headers(pairs, metadata=metadata), proto.request_body(BODY))
    )
    assert destination(replies) == "192.168.1.1:8000"
    assert "x-echo-set-header" not in proto.set_headers(common(replies[0]).headers)


SERVED = "x-gateway-destination-endpoint-served"


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"envoy.lb": {SERVED: "1.2.3.4:80"}}, "1.2.3.4:80"),
        ({"envoy.lb": {"x": 1}}, "fail: missing destination endpoint served metadata"),
        (None, "fail: missing envoy lb metadata"),
    ],
)
def test_where_a_request_was_really_served_is_read_of_metadata(metadata: Any, told: str) -> None:
    talk, _ = Bench(PODS, conformance=True).ask(BODY)
    (reply,) = talk.say(proto.response_headers({":status": "200"}, metadata=metadata))
    said = proto.set_headers(reply.response_headers.response.headers)
    assert said["x-conformance-test-served-endpoint"] == told
    assert said["x-went-into-resp-headers"] == "true"


def test_the_seeds_configuration_is_read_as_it_stands() -> None:
    assert list(read(HERMETIC).profiles) == ["default"]
