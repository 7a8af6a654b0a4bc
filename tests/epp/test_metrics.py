"""What dashboards read: names, labels and numbers of today's picker and of its forerunners."""

from __future__ import annotations

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families

from wayside.epp.timing import EVERY

from . import proto
from .rig import HEAD, HERMETIC, Bench

LONG = "All work and no play makes Jack a dull boy. " * 100
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(bench: Bench) -> Samples:
    return {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(bench.text())
        for s in family.samples
    }


def value(bench: Bench, metric: str, /, **labels: str) -> float:
    return samples(bench)[metric, tuple(sorted(labels.items()))]


def test_parts_of_a_profile_are_timed_once_in_a_while() -> None:
    bench = Bench([(0, 0.1), (1, 0.2)])
    for _ in range(3 * EVERY):
        talk, _ = bench.ask()
        talk.session.close()
    queue = {"plugin_type": "queue-scorer", "plugin_name": "queue-scorer"}
    for prefix in ("llm_d_epp_", "inference_extension_"):
        name = f"{prefix}plugin_duration_seconds_count"
        once = value(bench, name, extension_point="Scorer", **queue)
        assert once == 1, "what depends on the pool alone is worked out once for each state of it"
        default = {"plugin_type": "max-score-picker", "plugin_name": "max-score-picker"}
        assert value(bench, name, extension_point="Picker", **default) == 3
        prefixes = {"plugin_type": "prefix-cache-scorer", "plugin_name": "prefix-cache-scorer"}
        assert value(bench, name, extension_point="Scorer", **prefixes) == 3
        assert value(bench, name, extension_point="PreRequest", **prefixes) == 3


def test_the_twin_that_is_timed_has_one_memory_with_the_others() -> None:
    """Prompts follow each other to one server, whichever of the two chose for them."""
    bench = Bench([(0, 0.1)] * 4, HERMETIC)
    body = json.dumps({"model": "m", "prompt": LONG}).encode()
    first = None
    for _ in range(2 * EVERY):
        talk, replies = bench.ask(body)
        where = proto.set_headers(replies[0].request_headers.response.headers)
        first = first or where["x-gateway-destination-endpoint"]
        assert where["x-gateway-destination-endpoint"] == first
        talk.session.close()
    assert {e.in_flight for e in bench.store.roster.endpoints} == {0}


def test_names_that_a_configuration_gives_are_told() -> None:
    config = HEAD + "plugins: [{type: queue-scorer, name: mine}, {type: random-picker, name: r}]"
    bench = Bench(config=config)
    for _ in range(EVERY):
        bench.ask()[0].session.close()
    name = "llm_d_epp_plugin_duration_seconds_count"
    scorer = {"plugin_type": "queue-scorer", "plugin_name": "mine"}
    assert value(bench, name, extension_point="Scorer", **scorer) == 1
    picker = {"plugin_type": "random-picker", "plugin_name": "r"}
    assert value(bench, name, extension_point="Picker", **picker) == 1


def test_what_is_remembered_of_prompts() -> None:
    bench = Bench([(0, 0.1)])
    body = json.dumps({"model": "m", "prompt": LONG}).encode()
    for _ in range(2):
        bench.ask(body)[0].session.close()
    labels = {"plugin_type": "prefix-cache-scorer", "plugin_name": "prefix-cache-scorer"}
    blocks = -(-(len(LONG) + 2) // 256)
    assert value(bench, "llm_d_epp_prefix_indexer_size", **labels) == blocks
    assert value(bench, "inference_extension_prefix_indexer_size") == blocks
    for prefix, named in (("llm_d_epp_", labels), ("inference_extension_", {})):
        ratio, size = f"{prefix}prefix_indexer_hit_ratio", f"{prefix}prefix_indexer_hit_bytes"
        assert value(bench, f"{ratio}_count", **named) == 2
        assert value(bench, f"{ratio}_sum", **named) == 1.0, (
            "nothing of the first, all of the next"
        )
        assert value(bench, f"{ratio}_bucket", le="0.0", **named) == 1
        assert value(bench, f"{size}_sum", **named) == len(LONG) + 2


STREAM = b'{"model":"m","prompt":"x","stream":true}'
WHO = {"model_name": "m", "target_model_name": "m", "fairness_id": "default-flow", "priority": "0"}
SHORT = {"model_name": "m", "target_model_name": "m"}


def test_times_of_a_streamed_answer() -> None:
    bench = Bench()
    talk, _ = bench.ask(STREAM)
    bench.time += 0.5
    talk.say(proto.response_headers({":status": "200", "content-type": "text/event-stream"}))
    bench.time += 1.5  # servers begin to answer before they have a token
    for i in range(5):
        talk.say(proto.response_body(b'data: {"i":%d}\n\n' % i, last=False))
        bench.time += 0.25
    usage = b'data: {"usage":{"prompt_tokens":3,"completion_tokens":6}}\n\ndata: [DONE]\n\n'
    talk.say(proto.response_body(usage, last=True))
    talk.session.close()
    streaming = {**WHO, "streaming": "true"}
    assert value(bench, "llm_d_epp_request_ttft_seconds_sum", **streaming) == 2.0
    assert value(bench, "inference_objective_request_ttft_seconds_sum", **SHORT) == 2.0
    assert value(bench, "llm_d_epp_request_streaming_itl_seconds_count", **WHO) == 5
    assert value(bench, "llm_d_epp_request_streaming_itl_seconds_sum", **WHO) == 1.25
    assert value(bench, "llm_d_epp_request_streaming_tpot_seconds_sum", **WHO) == 0.25
    assert value(bench, "inference_objective_request_tpot_seconds_sum", **SHORT) == 0.25
    assert value(bench, "llm_d_epp_request_duration_seconds_sum", **WHO) == 3.25


def test_a_whole_answer_has_no_times_between_its_tokens() -> None:
    bench = Bench()
    talk, _ = bench.ask()
    talk.say(proto.response_headers({":status": "200", "content-type": "application/json"}))
    bench.time += 2.0
    talk.say(
        proto.response_body(b'{"usage":{"prompt_tokens":3,', last=False),
        proto.response_body(b'"completion_tokens":6}}', last=True),
    )
    talk.session.close()
    found = samples(bench)
    assert not [name for name, _ in found if "tpot_seconds_sum" in name and "ntpot" not in name]
    assert not [name for name, _ in found if "itl_seconds_sum" in name]
    streaming = {**WHO, "streaming": "false"}
    assert value(bench, "llm_d_epp_request_ttft_seconds_sum", **streaming) == 2.0


def test_an_answer_whose_body_is_not_shown_begins_with_its_headers() -> None:
    for last, modes in ((True, (proto.DUPLEX, proto.DUPLEX)), (False, (proto.DUPLEX, proto.NONE))):
        bench = Bench()
        talk = bench.session()
        pairs = {":method": "POST", ":path": "/v1/completions"}
        talk.say(proto.request_headers(pairs, modes=modes), proto.request_body(STREAM))
        bench.time += 0.5
        talk.say(proto.response_headers({":status": "200"}, last=last))
        streaming = {**WHO, "streaming": "false"}
        assert value(bench, "llm_d_epp_request_ttft_seconds_sum", **streaming) == 0.5


def test_our_own_time_is_told() -> None:
    bench = Bench()
    talk = bench.session()
    talk.say(proto.request_headers({":path": "/"}))
    bench.time += 0.125
    talk.say(proto.request_body(b'{"model":"m","prompt":"x"}'))
    assert value(bench, "llm_d_epp_request_processing_duration_seconds_sum") == 0.125


def test_an_empty_line_is_told_as_nothing_waiting() -> None:
    bench = Bench(config=HEAD + "featureGates: [flowControl]")
    labels = {"fairness_id": "default-flow", "priority": "0", "inference_pool": bench.store.pool}
    for prefix in ("llm_d_epp_", "inference_extension_"):
        assert value(bench, f"{prefix}flow_control_queue_size", **labels) == 0
        assert value(bench, f"{prefix}flow_control_queue_bytes", **labels) == 0


async def test_bytes_in_line_are_told_by_flow() -> None:
    import asyncio

    config = """
featureGates: [flowControl]
plugins: [{type: concurrency-detector, parameters: {maxConcurrency: 1}}, {type: queue-scorer}]
flowControl: {saturationDetector: {pluginRef: concurrency-detector}}
"""
    bench = Bench(config=HEAD + config)
    body = b'{"model":"m","prompt":"x"}'
    bench.ask(body)
    tasks = []
    for name, count in (("a", 2), ("b", 1)):
        for _ in range(count):
            talk, _ = bench.ask(body, x_llm_d_inference_fairness_id=name)
            tasks.append(asyncio.create_task(talk.waited()))
    await asyncio.sleep(0)
    for name, count in (("a", 2), ("b", 1)):
        labels = {"fairness_id": name, "priority": "0", "inference_pool": bench.store.pool}
        assert value(bench, "llm_d_epp_flow_control_queue_size", **labels) == count
        assert value(bench, "llm_d_epp_flow_control_queue_bytes", **labels) == count * len(body)
    bench.picker.close()
    await asyncio.gather(*tasks)
    waited = {"fairness_id": "a", "priority": "0", "outcome": "RejectedShutdown"}
    for prefix in ("llm_d_epp_", "inference_extension_"):
        name = f"{prefix}flow_control_request_queue_duration_seconds_count"
        assert value(bench, name, **waited) == 2


@pytest.mark.parametrize("name", ["model_server_endpoint", "model_server_pod"])
def test_queues_of_each_endpoint_have_its_name(name: str) -> None:
    bench = Bench([(3, 0.1)])
    metric = {"model_server_endpoint": "llm_d_epp_per_endpoint_queue_size",
              "model_server_pod": "inference_pool_per_pod_queue_size"}[name]  # fmt: skip
    assert value(bench, metric, name=bench.store.pool, **{name: "default/pod-0"}) == 3
