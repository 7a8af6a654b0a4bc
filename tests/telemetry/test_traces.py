"""Traces as a collector gets them, through the HTTP gateway and through a real Envoy."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest
import pytest_asyncio
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.running import SHELLS, Running, chat, running
from tests.telemetry.collector import Collector, Got, collecting
from wayside.cli import tracing
from wayside.cli.files import read
from wayside.settings.tracing import TracingSettings
from wayside.sim import Sim, SimModel, SimServer, serve_sim
from wayside.telemetry.metrics import OPENMETRICS
from wayside.telemetry.tracing import Tracer
from wayside.vocab.errors import ConfigError

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
UNSAMPLED = f"00-{TRACE}-{SPAN}-00"
WORDS = "compute the tangerine integral"
KEY = "sk-proj-0123456789abcdefghij"
SERVER, CLIENT, INTERNAL = 2, 3, 1
ERROR = 2


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture(autouse=True, scope="module")
def _impatient() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("wayside.telemetry.tracing.EVERY_S", 0.03)
        yield


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _fresh(collector: Collector) -> None:
    """What the test before left behind is gone."""
    for tracer in TRACERS:
        tracer.spool._wake.set()
        while tracer.spool._waiting or tracer.spool.busy:
            await asyncio.sleep(0.01)
    collector.spans.clear()
    collector.raw.clear()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sims() -> AsyncIterator[list[Sim]]:
    servers = [SimServer((SimModel("m"),)), SimServer((SimModel("big"),))]
    async with serve_sim(servers) as found:
        yield found


def document(sims: list[Sim], collector: Collector, **tracing: Any) -> dict[str, Any]:
    return {
        "tracing": {
            "endpoint": collector.url,
            "headers": [{"env": "COLLECTOR_KEY", "header": "x-collector", "prefix": ""}],
            "service_name": "door",
            "attributes": {"deployment.environment.name": "test"},
            **tracing,
        },
        "models": {
            "m": {"endpoints": [sims[0].url]},
            "big": {"endpoints": [sims[1].url], "credential": {"env": "PROVIDER"}},
            "shaky": {"endpoints": ["http://127.0.0.1:9"], "fallbacks": ["m"]},
        },
        "routing": {
            "default_model": "m",
            "signals": {"keyword": {"maths": {"keywords": ["integral"]}}},
            "decisions": [{"name": "sums", "when": "keyword:maths", "models": ["big"]}],
        },
    }


ENV = {"COLLECTOR_KEY": "collect-me-if-you-can", "PROVIDER": KEY}


@contextlib.asynccontextmanager
async def traced(shell: str, given: Mapping[str, Any]) -> AsyncIterator[Running]:
    async with running(shell, given, ENV) as found:
        yield found
    await asyncio.to_thread(found.app.telemetry.close)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=SHELLS)
async def router(
    request: pytest.FixtureRequest, sims: list[Sim], collector: Collector
) -> AsyncIterator[Running]:
    async with traced(request.param, document(sims, collector)) as found:
        assert found.app.telemetry.tracer is not None
        TRACERS.append(found.app.telemetry.tracer)
        yield found
        TRACERS.clear()


TRACERS: list[Tracer] = []


def sent(sim: Sim) -> dict[str, str]:
    """The headers of the last request that a server got."""
    return {name.lower(): value for name, value in sim.requests[-1].headers}


def root(spans: list[Got]) -> Got:
    (found,) = [span for span in spans if span.kind == SERVER]
    return found


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_request_is_a_trace(
    router: Running, collector: Collector, sims: list[Sim]
) -> None:
    """The client's trace is gone on with, in its children and at the model's server; names and
    attributes are those of the conventions, and of vLLM Semantic Router."""
    given = {"traceparent": PARENT, "tracestate": "vendor=1", "authorization": f"Bearer {KEY}"}
    asked = chat(WORDS, temperature=0.5, max_tokens=7, seed=3, stop=["x"])
    answer = await router.ask(asked, given)
    assert answer.status == 200
    spans = await asyncio.to_thread(collector.wait, lambda found: len(found) >= 3)
    first = root(spans)
    assert {span.trace_id for span in spans} == {TRACE}
    assert (first.parent_id, first.name, first.state) == (SPAN, "chat auto", "vendor=1")
    attributes = first.attributes
    assert attributes["gen_ai.operation.name"] == "chat"
    assert attributes["gen_ai.provider.name"] == "vllm"
    assert attributes["gen_ai.request.model"] == "auto"
    assert attributes["gen_ai.response.model"] == "big"
    assert attributes["gen_ai.request.temperature"] == 0.5
    assert attributes["gen_ai.request.max_tokens"] == 7
    assert attributes["gen_ai.request.seed"] == 3
    assert attributes["gen_ai.request.stop_sequences"] == ["x"]
    assert attributes["gen_ai.usage.input_tokens"] == answer.json["usage"]["prompt_tokens"]
    assert attributes["gen_ai.usage.output_tokens"] == answer.json["usage"]["completion_tokens"]
    assert attributes["http.response.status_code"] == 200
    assert attributes["request.id"] == answer.headers["x-request-id"]
    assert "error.type" not in attributes
    assert first.resource["service.name"] == "door"
    assert first.resource["deployment.environment.name"] == "test"
    (routing,) = [span for span in spans if span.kind == INTERNAL]
    assert (routing.name, routing.parent_id) == ("semantic_router.routing.decision", first.span_id)
    assert routing.attributes["decision.name"] == "sums"
    assert routing.attributes["routing.selected_model"] == "big"
    events = dict(routing.events)
    assert events["semantic_router.signal.keyword"]["signal.matched"] is True
    assert events["semantic_router.backend.selection"]["routing.selected_model"] == "big"
    (attempt,) = [span for span in spans if span.kind == CLIENT]
    assert (attempt.name, attempt.parent_id) == ("chat big", first.span_id)
    assert attempt.attributes["wayside.attempt.outcome"] == "ok"
    assert first.started <= routing.started <= routing.ended <= attempt.ended <= first.ended
    headers = sent(sims[1])
    assert headers["traceparent"] == f"00-{TRACE}-{attempt.span_id}-01"
    assert headers["tracestate"] == "vendor=1"
    assert collector.headers[-1]["x-collector"] == ENV["COLLECTOR_KEY"]
    assert collector.paths[-1] == "/v1/traces"
    line = await router.line(answer)
    assert line["trace"] == TRACE


async def test_no_prompt_no_answer_and_no_secret_is_in_a_trace(
    router: Running, collector: Collector
) -> None:
    """Unless it is asked for; and what stands where it does not belong is taken out."""
    headers = {"authorization": f"Bearer {KEY}", "x-request-id": KEY, "traceparent": PARENT}
    asked = chat(WORDS, stop=[KEY]) | {"user": "somebody@example.com"}
    answer = await router.ask(asked, headers)
    said = answer.json["choices"][0]["message"]["content"]
    await asyncio.to_thread(collector.wait, lambda found: len(found) >= 3)
    for raw in collector.raw:
        for secret in (KEY, WORDS, "tangerine", said, "somebody@", *ENV.values()):
            at = raw.find(secret.encode())
            assert at < 0, raw[max(0, at - 60) : at + 60]


async def test_a_parent_that_is_not_traced_is_not_traced_here(
    router: Running, collector: Collector, sims: list[Sim]
) -> None:
    """Its trace is passed on as it is."""
    await router.ask(chat("hello", "m"), {"traceparent": UNSAMPLED, "tracestate": "a=b"})
    headers = sent(sims[0])
    assert headers["traceparent"] == UNSAMPLED
    assert headers["tracestate"] == "a=b"
    answer = await router.ask(chat("hello", "m"), {"traceparent": PARENT})
    spans = await asyncio.to_thread(collector.wait, lambda found: len(found) >= 2)
    assert {s.attributes.get("request.id") for s in spans} - {None} == {
        answer.headers["x-request-id"]
    }


@pytest.mark.parametrize("bad", [f"00-{'0' * 32}-{SPAN}-01", "nonsense", f"{PARENT}-extra"])
async def test_a_broken_parent_begins_a_new_trace(
    router: Running, collector: Collector, sims: list[Sim], bad: str
) -> None:
    await router.ask(chat("hello", "m"), {"traceparent": bad})
    spans = await asyncio.to_thread(collector.wait, lambda found: len(found) >= 2)
    first = root(spans)
    assert first.parent_id == ""
    assert first.trace_id not in bad
    assert sent(sims[0])["traceparent"].split("-")[1] == first.trace_id


async def test_what_is_refused_is_a_trace_too(router: Running, collector: Collector) -> None:
    answer = await router.ask(chat("hello", "nobody"))
    assert answer.status == 404
    (only,) = await asyncio.to_thread(collector.wait, lambda found: len(found) >= 1)
    assert only.attributes["http.response.status_code"] == 404
    assert only.attributes["error.type"] == "model_not_found"
    assert only.status != ERROR, "what a client did wrong is no error of the server"


async def test_streams_tell_their_usage(router: Running, collector: Collector) -> None:
    await router.ask(chat("hello there", "m", stream=True))
    first = root(await asyncio.to_thread(collector.wait, lambda found: len(found) >= 2))
    assert first.attributes["gen_ai.request.stream"] is True
    assert first.attributes["gen_ai.usage.output_tokens"] > 0
    assert first.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert first.attributes["gen_ai.response.time_to_first_chunk"] > 0


async def test_every_attempt_is_a_span(sims: list[Sim], collector: Collector) -> None:
    """A model whose server is not there, and the one that stands in for it."""
    async with traced("gateway", document(sims, collector)) as router:
        answer = await router.ask(chat("hello", "shaky"))
    assert answer.status == 200
    spans = collector.spans
    attempts = [span for span in spans if span.kind == CLIENT]
    assert [span.name for span in attempts] == ["chat shaky", "chat m"]
    assert attempts[0].attributes["error.type"] == "connect_failed"
    assert attempts[0].attributes["server.port"] == 9
    assert attempts[0].status == ERROR
    first = root(spans)
    assert first.attributes["wayside.fallback.from"] == "shaky"
    assert {span.parent_id for span in attempts} == {first.span_id}
    parent = sent(sims[0])["traceparent"]
    assert parent.split("-")[2] == attempts[1].span_id


@pytest.mark.parametrize("shell", SHELLS)
async def test_engines_that_are_asked_on_the_way_are_told(
    sims: list[Sim], collector: Collector, shell: str
) -> None:
    """A remote engine gets the request's trace, its own key, and nothing of another request's."""
    seen: list[str] = []

    async def judge(request: web.Request) -> web.Response:
        seen.append(request.headers.get("traceparent", ""))
        return web.json_response({"data": [{"index": 0, "label": "maths", "probs": [0.9, 0.1],
                                            "num_classes": 2}]})  # fmt: skip

    app = web.Application()
    app.router.add_post("/{path:.*}", judge)
    async with TestServer(app) as server:
        given = document(sims, collector)
        given["engines"] = {"far": {"http_classify": {
            "base_url": f"http://127.0.0.1:{server.port}", "format": "vllm", "model": "c",
            "labels": ["maths", "other"]}}}  # fmt: skip
        given["routing"]["signals"] = {
            "domain": {"maths": {"labels": ["maths"], "threshold": 0.5, "engine": "far"}}
        }
        given["routing"]["decisions"][0]["when"] = "domain:maths"
        async with traced(shell, given) as router:
            await router.ask(chat("one"), {"traceparent": PARENT})
            await router.ask(chat("two"), {"traceparent": UNSAMPLED})
            await router.ask(chat("three"))
            router.app.engines.close()
            await asyncio.sleep(0.05)  # so that its connections see it
    first = next(span for span in collector.spans if span.kind == SERVER)
    assert seen[0] == f"00-{TRACE}-{first.span_id}-01"
    assert seen[1].startswith(f"00-{TRACE}-") and seen[1].endswith("-00")
    assert TRACE not in seen[2] and seen[2].endswith("-01")


@pytest.mark.parametrize("shell", SHELLS)
async def test_content_is_told_where_it_is_asked_for(
    sims: list[Sim], collector: Collector, shell: str
) -> None:
    """Prompt and answer, also of a stream; a key in them is taken out."""
    async with traced(shell, document(sims, collector, content=True)) as router:
        whole = await router.ask(chat(f"{WORDS} with {KEY}", "m"))
        await router.ask(chat(WORDS, "m", stream=True))
    said = whole.json["choices"][0]["message"]["content"]
    found = [span.attributes for span in collector.spans if span.kind == SERVER]
    assert len(found) == 2
    for attributes in found:
        assert WORDS in attributes["gen_ai.input.messages"]
        assert KEY not in attributes["gen_ai.input.messages"]
        assert '"role":"assistant"' in attributes["gen_ai.output.messages"]
    assert said[:20] in found[0]["gen_ai.output.messages"]


async def test_a_share_of_the_requests(sims: list[Sim], collector: Collector) -> None:
    given = document(sims, collector, sample_ratio=0.0)
    async with traced("gateway", given) as router:
        await router.ask(chat("hello", "m"))
        untraced = sent(sims[0])["traceparent"]
        await router.ask(chat("hello", "m"), {"traceparent": PARENT})
    assert untraced.endswith("-00"), "so that nobody behind us traces it either"
    assert [span.trace_id for span in collector.spans if span.kind == SERVER] == [TRACE]
    collector.spans.clear()
    async with traced(
        "gateway", given | {"tracing": given["tracing"] | {"parent_based": False}}
    ) as router:
        await router.ask(chat("hello", "m"), {"traceparent": PARENT})
    assert not collector.spans


async def test_a_collector_that_hangs_or_refuses_costs_a_count(
    sims: list[Sim], collector: Collector
) -> None:
    """Requests are answered as ever; beyond the queue's bound traces are dropped, and counted."""
    collector.hangs.clear()
    given = document(sims, collector, max_queue=3, timeout_s=0.3)
    async with running("gateway", given, ENV) as router:
        for _ in range(3):
            await router.ask(chat("hello", "m"))
        spool = router.app.telemetry.tracer.spool
        async with asyncio.timeout(5):
            while spool._waiting:
                await asyncio.sleep(0.05)
        for _ in range(8):
            assert (await router.ask(chat("hello", "m"))).status == 200
        async with asyncio.timeout(10):
            while not spool.trouble:
                await asyncio.sleep(0.05)
    collector.hangs.set()
    page = router.app.telemetry.metrics.text().decode()
    assert 'wayside_traces_total{outcome="dropped"}' in page
    assert 'wayside_traces_total{outcome="failed"}' in page
    router.app.telemetry.flush()
    assert KEY not in page
    await asyncio.to_thread(router.app.telemetry.close)


async def test_a_bucket_shows_the_trace_that_fell_into_it(
    sims: list[Sim], collector: Collector
) -> None:
    """Exemplars: where OpenMetrics is asked for, and bounded by the buckets."""
    async with traced("gateway", document(sims, collector)) as router:
        for _ in range(5):
            await router.ask(chat("hello", "m"), {"traceparent": PARENT})
        accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
        page, kind = router.app.telemetry.metrics.page(accept)
        plain, _ = router.app.telemetry.metrics.page("text/plain")
    assert kind == OPENMETRICS
    assert page.endswith(b"# EOF\n")
    assert f'# {{trace_id="{TRACE}"}}'.encode() in page
    assert TRACE.encode() not in plain
    assert page.count(TRACE.encode()) < 40


@pytest.mark.parametrize("shell", SHELLS)
async def test_prompts_are_in_the_log_only_where_asked_for(
    sims: list[Sim], collector: Collector, shell: str
) -> None:
    """And then without keys, and not without end."""
    given = document(sims, collector) | {"tracing": {"enabled": False}}
    for prompts in (False, True):
        async with running(shell, given | {"log": {"prompts": prompts}}, ENV) as router:
            answer = await router.ask(chat(f"{WORDS} {'x' * 9000}", "m"))
            line = await router.line(answer)
        assert (WORDS in line.get("prompt", "")) == prompts
        assert len(line.get("prompt", "")) <= 4096
        assert "trace" not in line


async def test_the_environment_says_what_the_settings_do_not(
    sims: list[Sim], collector: Collector
) -> None:
    """OTEL_* switch tracing on, and say how; what the settings say goes first."""
    models = {"models": {"m": {"endpoints": [sims[0].url]}}}
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    assert tracing.wanted(TracingSettings(), env)
    assert not tracing.wanted(TracingSettings(), {**env, "OTEL_SDK_DISABLED": "true"})
    assert not tracing.wanted(TracingSettings(), {**env, "OTEL_TRACES_EXPORTER": "none"})
    assert not tracing.wanted(TracingSettings(enabled=False), env)
    assert not tracing.wanted(TracingSettings(), {})
    by_ratio = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}
    assert tracing.sampler(TracingSettings(), by_ratio) == (0.25, False)
    assert tracing.sampler(TracingSettings(sample_ratio=0.5), by_ratio) == (0.5, False)
    assert tracing.sampler(TracingSettings(), {}) == (1.0, True)
    assert tracing.headers_of("api-key=a%20b, x = y,broken") == {"api-key": "a b", "x": "y"}
    async with running("gateway", models, {**env, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}) as it:
        assert it.app.telemetry.tracer is None, "only told: it may be meant for others"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"endpoint": "collector:4317"}, "OTLP/HTTP"),
        ({"endpoint": "http://user:pass@collector:4318"}, "by reference"),
        ({"headers": [{"secret": "ns/name", "key": "k"}]}, "mount it"),
        ({"headers": ["sk-abcdefghijklmnop"]}, "never written here"),
        ({"sample_rate": 1}, "sample_ratio"),
        ({"sample_ratio": 2}, "1"),
    ],
)
async def test_what_cannot_be_is_refused_with_the_fix(given: dict[str, Any], said: str) -> None:
    text = yaml.safe_dump({"tracing": given, "models": {"m": {"endpoints": ["h:1"]}}}).encode()
    with pytest.raises(ConfigError) as refused:
        read(text, "test.yaml", env={})
    assert "tracing" in str(refused.value)
    assert said in str(refused.value)
    assert "sk-abcdefghij" not in str(refused.value)
