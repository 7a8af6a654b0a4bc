"""The nineteen hermetic cases of llm-d's picker (spec, appendix A), over gRPC and TLS."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from wayside.epp.serve import Epp

from . import proto
from .rig import HERMETIC, PASSTHROUGH, Pod, destination, exchange, host_port, serving, streamed

pytest.importorskip("grpc")

SQL = "sql-lora-1fdg2"
SUBSET = "x-gateway-destination-endpoint-subset"


def body(model: str = "my-model") -> bytes:
    asked = {"max_tokens": 100, "model": model, "prompt": "test", "temperature": 0}
    return json.dumps(asked, separators=(",", ":")).encode()


def head(objective: str = "", rewrite: str = "") -> dict[str, str]:
    found = {"hi": "mom", "x-request-id": "test-request-id"}
    if objective:
        found["x-llm-d-inference-objective"] = objective
    if rewrite:
        found["x-llm-d-model-name-rewrite"] = rewrite
    return found


async def ask(epp: Epp, *pieces: bytes, subset: Any = None, **named: str) -> list[Any]:
    metadata = {"envoy.lb.subset_hint": {SUBSET: subset}} if subset is not None else None
    said = [proto.request_headers(head(**named), metadata=metadata)]
    said += [proto.request_body(p, last=i == len(pieces) - 1) for i, p in enumerate(pieces)]
    return await exchange(epp, said, replies=2)


def check(replies: list[Any], where: int, model: str) -> None:
    """The pair of replies that Envoy is to get, header reply first."""
    first, second = replies
    assert destination(replies) == host_port(where)
    assert proto.metadata(first) == {
        "envoy.lb": {"x-gateway-destination-endpoint": host_port(where)}
    }
    common = first.request_headers.response
    assert common.clear_route_cache
    sent = streamed([second])
    assert proto.set_headers(common.headers) == {
        "x-gateway-destination-endpoint": host_port(where),
        "Content-Length": str(len(sent)),
        "hi": "mom",
        "x-request-id": "test-request-id",
    }
    assert sent == body(model)
    assert not second.request_body.response.clear_route_cache


def metrics(epp: Epp) -> str:
    return epp.registry.text().decode()


async def test_select_lower_queue_and_kv_cache() -> None:
    async with serving([(3, 0.2), (0, 0.1), (10, 0.2)]) as epp:
        replies = await ask(epp, body(), objective="my-model", rewrite="my-model-12345")
        check(replies, 1, "my-model-12345")
        text = metrics(epp)
    assert (
        'inference_objective_request_total{model_name="my-model",priority="2",'
        'target_model_name="my-model-12345"} 1.0'
    ) in text.replace(
        'model_name="my-model",target_model_name="my-model-12345",priority="2"',
        'model_name="my-model",priority="2",target_model_name="my-model-12345"',
    )
    assert 'inference_pool_ready_pods{name=""} 3.0' in text


PICKS: dict[str, tuple[list[Pod], str, int]] = {
    "select active lora, low queue": (
        [(0, 0.2, "foo", "bar"), (0, 0.1, "foo", SQL), (10, 0.2, "foo", "bar")], SQL, 1,
    ),
    "select lora despite higher kv cache usage": (
        [(10, 0.2, "foo", "bar"), (10, 0.4, "foo", SQL), (10, 0.3, "foo")], SQL, 1,
    ),
    "do not shed requests by default": (
        [(6, 0.2, "foo", "bar", SQL), (0, 0.85, "foo"), (10, 0.9, "foo")], SQL, 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PICKS)
async def test_picks(case: str) -> None:
    pods, target, where = PICKS[case]
    async with serving(pods) as epp:
        replies = await ask(epp, body("sql-lora"), objective="sql-lora", rewrite=target)
        check(replies, where, target)


async def test_passthrough_parser_sends_raw_bytes() -> None:
    async with serving([(3, 0.2), (0, 0.1), (10, 0.2)], PASSTHROUGH) as epp:
        replies = await ask(epp, b"passthrough-parser")
        text = metrics(epp)
    assert destination(replies) == host_port(1)
    assert streamed(replies) == b"passthrough-parser"
    assert (
        'llm_d_epp_request_total{fairness_id="default-flow",model_name="",priority="0",'
        'target_model_name=""} 1.0' in _sorted(text)
    )


def _sorted(text: str) -> str:
    """The exposition with each line's labels in alphabetical order."""
    lines = []
    for line in text.splitlines():
        name, brace, rest = line.partition("{")
        if brace:
            labels, _, value = rest.rpartition("}")
            line = f"{name}{{{','.join(sorted(labels.split(',')))}}}{value}"
        lines.append(line)
    return "\n".join(lines)


async def test_invalid_json_is_400_in_gos_words() -> None:
    async with serving([(0, 0.2)]) as epp:
        (reply,) = await ask(epp, b"no healthy upstream")
    assert reply.immediate.status.code == 400
    assert reply.immediate.body == (
        b"inference error: BadRequest - error unmarshaling request bodyMap: "
        b"invalid character 'o' in literal null (expecting 'u')"
    )


async def test_split_body_in_two_chunks() -> None:
    target = "sql-lora-1fdg3"
    pods: list[Pod] = [(4, 0.2, "foo", "bar", target), (4, 0.85, "foo", target)]
    whole = body("sql-lora-sheddable")
    async with serving(pods) as epp:
        replies = await ask(
            epp, whole[:20], whole[20:], objective="sql-lora-sheddable", rewrite=target
        )
        check(replies, 0, target)


async def test_no_backend_pods_available() -> None:
    async with serving([]) as epp:
        (reply,) = await exchange(epp, [proto.request_headers(head(), last=True)], replies=2)
    assert reply.immediate.status.code == 500
    assert reply.immediate.body == (b"inference error: Internal - no pods available in datastore")


async def test_request_missing_model_field() -> None:
    async with serving([(0, 0.2)]) as epp:
        (reply,) = await ask(epp, b'{"hello":"world"}')
    assert reply.immediate.status.code == 400
    assert reply.immediate.body == (
        b"inference error: BadRequest - model not found in request body"
    )


SUBSETS: dict[str, tuple[list[Pod], list[str], int]] = {
    "subsetting: select best from subset": (
        [(0, 0.2, "foo"), (0, 0.1, "foo", SQL), (10, 0.2, "foo")],
        ["192.168.1.1:8000", "192.168.1.2:8000", "192.168.1.3:8000"],
        1,
    ),
    "subsetting: partial match": (
        [(0, 0.2, "foo"), (0, 0.1, "foo", SQL), (10, 0.2, "foo")], ["192.168.1.3:8000"], 2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SUBSETS)
async def test_subsets(case: str) -> None:
    pods, subset, where = SUBSETS[case]
    async with serving(pods) as epp:
        replies = await ask(
            epp, body("sql-lora"), subset=subset, objective="sql-lora", rewrite=SQL
        )
        check(replies, where, SQL)


async def test_subsetting_no_pods_match() -> None:
    async with serving([(0, 0.2), (0, 0.1)]) as epp:
        (reply,) = await ask(epp, body(), subset=["192.168.1.99:8000"])
    assert reply.immediate.status.code == 503
    assert reply.immediate.body == (
        b"inference error: ServiceUnavailable - "
        b"failed to find endpoint candidates for serving the request"
    )
    assert proto.set_headers(reply.immediate.headers) == {
        "x-llm-d-request-dropped-reason": "rejected-no-endpoints"
    }


async def test_passthrough_model_not_in_objectives() -> None:
    async with serving([(6, 0.2, "foo", "bar")]) as epp:
        replies = await ask(epp, body("direct-model"), objective="direct-model")
        check(replies, 0, "direct-model")
        text = _sorted(metrics(epp))
    assert (
        'inference_objective_request_total{model_name="direct-model",priority="2",'
        'target_model_name="direct-model"} 1.0'
    ) in text


async def test_rewrite_request_model() -> None:
    async with serving([(0, 0.1)]) as epp:
        replies = await ask(epp, body("model-to-be-rewritten"))
        check(replies, 0, "rewritten-model")
        text = _sorted(metrics(epp))
    assert (
        'inference_objective_request_total{model_name="model-to-be-rewritten",priority="0",'
        'target_model_name="rewritten-model"} 1.0'
    ) in text
    assert (
        'llm_d_epp_model_rewrite_decisions_total{model_name="model-to-be-rewritten",'
        'model_rewrite_name="rewrite",target_model="rewritten-model"} 1.0'
    ) in text


async def test_simple_get_request_goes_to_any_pod() -> None:
    """The reference's own case expects no reply in time; the protocol wants a destination."""
    async with serving([(0, 0.1)]) as epp:
        pairs = {"content-type": "text/event-stream", ":method": "GET"}
        replies = await exchange(epp, [proto.request_headers(pairs, last=True)], replies=1)
    assert destination(replies) == host_port(0)
    assert "Content-Length" not in proto.set_headers(replies[0].request_headers.response.headers)


JSON = {"content-type": "application/json", ":status": "200"}


async def answers(kind: str, *pieces: bytes, replies: int) -> tuple[list[Any], str]:
    async with serving([(0, 0.1)]) as epp:
        said = [proto.response_headers({"content-type": kind, ":status": "200"})]
        said += [proto.response_body(p, last=i == len(pieces) - 1) for i, p in enumerate(pieces)]
        heard = await exchange(epp, said, replies=replies)
        async with asyncio.timeout(5):
            while epp.server.connections and any(c.http.streams for c in epp.server.connections):
                await asyncio.sleep(0.01)
        text = _sorted(metrics(epp))
    common = heard[0].response_headers.response
    assert proto.set_headers(common.headers) == {
        "x-went-into-resp-headers": "true", "content-type": kind,
    }  # fmt: skip
    assert not common.clear_route_cache
    return heard[1:], text


async def test_response_json_in_two_chunks_is_joined() -> None:
    whole = b'{"max_tokens":100,"model":"sql-lora-1fdg2","prompt":"test","temperature":0}'
    replies, _ = await answers("application/json", whole[:30], whole[30:], replies=2)
    assert len(replies) == 1
    assert streamed(replies, "response_body") == whole


async def test_response_invalid_json_passes_unchanged() -> None:
    replies, _ = await answers("application/json", b"no healthy upstream", replies=2)
    assert streamed(replies, "response_body") == b"no healthy upstream"


async def test_response_json_with_an_empty_last_chunk() -> None:
    whole = b'{"max_tokens":100,"model":"sql-lora-1fdg2","prompt":"test","temperature":0}'
    replies, _ = await answers("application/json", whole, b"", replies=2)
    assert streamed(replies, "response_body") == whole


async def test_response_sse_each_chunk_is_echoed_and_usage_counted() -> None:
    usage = (
        b'data: {"id":"x","usage":{"prompt_tokens":7,"total_tokens":17,"completion_tokens":10}}'
        b"\n\ndata: [DONE]\n\n"
    )
    replies, text = await answers("text/event-stream", b'data: {"x":1}\n\n', usage, b"", replies=4)
    pieces = [r.response_body.response.body.streamed for r in replies]
    assert [p.body for p in pieces] == [b'data: {"x":1}\n\n', usage, b""]
    assert [p.end_of_stream for p in pieces] == [False, False, True]
    assert 'inference_objective_input_tokens_sum{model_name="",target_model_name=""} 7.0' in text


def test_the_default_configuration_is_the_references() -> None:
    assert HERMETIC.count("pluginRef") == 5
