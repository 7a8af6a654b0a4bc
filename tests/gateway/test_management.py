"""The management API over a real listener: every endpoint, its shape, and what it refuses."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import re
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import jsonschema  # type: ignore[import-untyped]
import pytest
from prometheus_client.parser import text_string_to_metric_families

from wayside.cli.app import App
from wayside.cli.files import read
from wayside.engines import Engines
from wayside.engines.static import StaticClassifier
from wayside.gateway.api import MAX_BODY_BYTES
from wayside.gateway.listener import serve_management
from wayside.gateway.management import Management
from wayside.runtime import Runtime
from wayside.runtime.reload import ConfigState
from wayside.settings import ManagementSettings
from wayside.telemetry import Log, Telemetry
from wayside.vocab.ask import Classify, Language
from wayside.vocab.errors import AskFailed, ConfigError

CONFIG = """
models:
  small: {endpoints: [http://127.0.0.1:1]}
  coder: {endpoints: [http://127.0.0.1:2], loras: [sql]}
routing:
  default_model: small
  signals:
    domain:
      code: {labels: [computer science], threshold: 0.4}
    keyword:
      urgent: {keywords: [urgent, asap]}
      spare: {keywords: [spare]}
    context:
      long: {min_tokens: 2000}
  decisions:
    - {name: programming, priority: 20, when: domain:code, models: [{model: coder, lora: sql}],
       plugins: {system_prompt: {prompt: Be brief.}}}
    - {name: hurry, priority: 10, when: {any: [keyword:urgent, context:long]}, models: [small]}
recipes:
  bare: {default_model: coder}
entrypoints:
  - {names: [plain], recipe: bare}
"""
INTENT = "/api/v1/classify/intent"
BATCH = "/api/v1/classify/batch"
EVAL = "/api/v1/eval"
CODE = "Why does my Python loop never end?"
PROBABILITIES = {"return_probabilities": True}
NESTED = b'{"messages": [' + b'{"a":' * 2000 + b"1" + b"}" * 2000 + b"]}"


MAX_BATCH = ManagementSettings().max_batch_size


class Api:
    """A listener, and a client of it."""

    def __init__(self, app: App, url: str, session: aiohttp.ClientSession) -> None:
        self.app, self.url, self.session = app, url, session

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.session.get(self.url + path) as answer:
            return answer.status, await answer.json()

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.session.post(self.url + path, data=data) as answer:
            assert answer.content_type == "application/json"
            return answer.status, await answer.json()


def router(text: str = CONFIG) -> App:
    app = App(read(text.encode(), "wayside.yaml", env={}), env={}, log=Log(io.StringIO()))
    app.serving = True
    return app


@contextlib.asynccontextmanager
async def listening(management: Management, app: App | None = None) -> AsyncIterator[Api]:
    server = await serve_management(management.app(), "127.0.0.1", 0)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        async with aiohttp.ClientSession() as session:
            yield Api(app or router(), f"http://127.0.0.1:{port}", session)
    finally:
        await server.stop()


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    app = router()
    async with listening(app.management, app) as found:
        yield found


# health and settings


async def test_the_process_is_alive(api: Api) -> None:
    assert await api.get("/health") == (
        200,
        {"status": "healthy", "service": "classification-api"},
    )


@pytest.mark.parametrize("path", ["/ready", "/startup-status"])
async def test_ready_says_what_is_in_force(api: Api, path: str) -> None:
    status, body = await api.get(path)
    assert status == 200
    assert body["status"] == "ready" and body["ready"] is True and body["phase"] == "serving"
    keys = {"service", "message", "downloading_model", "pending_models", "ready_models"}
    assert keys | {"total_models", "config"} <= set(body)
    assert body["config"]["path"] == "wayside.yaml"
    assert body["config"]["generation"] == 1 and body["config"]["error"] is None


async def test_ready_is_503_while_starting_and_while_draining(api: Api) -> None:
    api.app.serving = False
    status, body = await api.get("/ready")
    assert (status, body["status"], body["phase"]) == (503, "starting", "starting")
    api.app.serving = api.app.draining = True
    status, body = await api.get("/ready")
    assert (status, body["ready"], body["phase"]) == (503, False, "draining")
    assert "go elsewhere" in body["message"]


async def test_a_refused_configuration_is_told_and_the_old_one_serves(api: Api) -> None:
    api.app.refuse(ConfigError.one("no model 'smal'", where="routing.default_model"))
    status, body = await api.get("/ready")
    assert status == 200 and "last good" in body["message"]
    assert body["config"]["error"] == "routing.default_model: no model 'smal'"
    assert body["config"]["refused"] == 1


async def test_metrics_are_prometheus_text(api: Api) -> None:
    async with api.session.get(api.url + "/metrics") as answer:
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        text = await answer.text()
    names = {family.name for family in text_string_to_metric_families(text)}
    assert {"wayside_requests", "wayside_config_generation", "llm_model_requests"} <= names


async def test_the_models_are_those_of_the_data_plane(api: Api) -> None:
    status, body = await api.get("/v1/models")
    assert status == 200
    assert [m["id"] for m in body["data"]] == ["auto", "MoM", "plain", "small", "coder", "sql"]


async def test_inventories(api: Api) -> None:
    _, models = await api.get("/info/models")
    domain = next(m for m in models["models"] if m["name"] == "domain")
    assert domain["built_in"] and domain["type"] == "classify"
    await api.post(INTENT, {"text": "hi"})
    _, models = await api.get("/info/models")
    domain = next(m for m in models["models"] if m["name"] == "domain")
    assert domain["loaded"] and len(domain["categories"]) == 14
    assert models["summary"]["total_models"] == len(models["models"]) > 5
    _, info = await api.get("/info/classifier")
    default = info["recipes"]["default"]
    assert default["signals"]["keyword"] == ["urgent", "spare"]
    assert default["decisions"] == ["programming", "hurry"]
    _, kinds = await api.get("/catalog")
    by_name = {kind["name"]: kind for kind in kinds["kinds"]}
    assert by_name["keyword"]["schema"]["properties"]["keywords"]["type"] == "array"


# OpenAPI

OPERATION = {
    "type": "object",
    "required": ["operationId", "summary", "responses"],
    "properties": {
        "operationId": {"type": "string", "pattern": "^[a-z0-9_]+$"},
        "requestBody": {
            "required": ["content"],
            "properties": {
                "required": {"type": "boolean"},
                "content": {"additionalProperties": {"required": ["schema"]}},
            },
        },
        "parameters": {"items": {"required": ["name", "in", "schema"]}},
        "responses": {
            "minProperties": 1,
            "patternProperties": {"^[1-5][0-9]{2}$": {"required": ["description"]}},
            "additionalProperties": False,
        },
    },
}
OPENAPI = {
    "type": "object",
    "required": ["openapi", "info", "paths"],
    "properties": {
        "openapi": {"pattern": r"^3\.1\.\d+$"},
        "info": {"required": ["title", "version"]},
        "paths": {
            "patternProperties": {"^/": {"additionalProperties": OPERATION}},
            "additionalProperties": False,
        },
        "components": {"properties": {"schemas": {"type": "object"}}},
    },
    "additionalProperties": False,
}


async def test_the_api_describes_itself(api: Api) -> None:
    status, document = await api.get("/openapi.json")
    assert status == 200
    jsonschema.validate(document, OPENAPI)
    operations = [op for item in document["paths"].values() for op in item.values()]
    ids = [op["operationId"] for op in operations]
    assert len(set(ids)) == len(ids)
    schemas = document["components"]["schemas"]
    for name in re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)):
        jsonschema.Draft202012Validator.check_schema(schemas[name])


async def test_every_route_is_described_and_listed(api: Api) -> None:
    _, document = await api.get("/openapi.json")
    _, index = await api.get("/api/v1")
    described = {(m.upper(), p) for p, item in document["paths"].items() for m in item}
    listed = {(e["method"], e["path"]) for e in index["endpoints"]}
    served = {
        (method, getattr(route, "path", ""))
        for route in api.app.management.app().routes
        for method in getattr(route, "methods", ())
        if method != "HEAD"
    }
    assert described == listed == served
    assert all(e["description"] for e in index["endpoints"])


async def test_what_is_described_is_what_is_accepted(api: Api) -> None:
    _, document = await api.get("/openapi.json")
    request = document["paths"][INTENT]["post"]["requestBody"]["content"]["application/json"]
    schema = {**request["schema"], "components": document["components"]}
    for body, good in (({"text": "hi"}, True), ({"txt": "hi"}, False), ({"text": 5}, False)):
        assert jsonschema.Draft202012Validator(schema).is_valid(body) == good
        status, _ = await api.post(INTENT, body)
        assert (status == 200) == good


# classification


async def test_an_intent_has_the_shape_that_vsr_gives_it(api: Api) -> None:
    status, body = await api.post(INTENT, {"text": CODE})
    assert status == 200
    assert body["classification"]["category"] == "computer science"
    assert 0.4 < body["classification"]["confidence"] <= 1
    assert body["classification"]["processing_time_ms"] >= 0
    assert body["recommended_model"] == "sql", "the adapter's name wins over its model's"
    assert body["routing_decision"] == "programming"
    assert body["matched_signals"] == {"domains": ["code"]}
    assert body["decision_result"]["decision_name"] == "programming"
    assert body["decision_result"]["matched_rules"] == ["domain:code"]
    assert body["signal_errors"] == {}
    assert not {"probabilities", "explanation", "trace"} & set(body)


async def test_probabilities_are_those_of_every_label(api: Api) -> None:
    options = {"return_probabilities": True}
    _, one = await api.post(INTENT, {"text": CODE, "options": options})
    _, many = await api.post(BATCH, {"texts": [CODE], "options": options})
    for found in (one["probabilities"], many["results"][0]["probabilities"]):
        assert set(found) == set(StaticClassifier.built_in().labels)
        assert sum(found.values()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("threshold", "routing"),
    [(0.0, "high_confidence_specialized"), (1.0, "low_confidence_general")],
)
async def test_without_decisions_the_confidence_names_the_routing(
    api: Api, threshold: float, routing: str
) -> None:
    body = {"text": CODE, "model": "plain", "options": {"confidence_threshold": threshold}}
    _, answer = await api.post(INTENT, body)
    assert answer["routing_decision"] == routing and answer["recommended_model"] == "coder"
    _, answer = await api.post(EVAL, body)
    assert answer["routing_decision"] == routing and answer["selected_model"] == "coder"


async def test_an_explanation_and_a_trace_on_request(api: Api) -> None:
    options = {"include_explanation": True, "trace": True}
    _, body = await api.post(INTENT, {"text": "urgent!", "options": options})
    assert "keyword:urgent" in body["explanation"]
    _, told = await api.post(EVAL, {"text": "urgent!", "options": {**options, **PROBABILITIES}})
    assert told["explanation"] == body["explanation"] and len(told["probabilities"]) == 14
    assert {s["signal"] for s in body["trace"]["signals"]} == {
        "context:long",
        "domain:code",
        "keyword:urgent",
    }


async def test_signals_that_no_decision_reads_are_read_on_request(api: Api) -> None:
    text = "a spare wheel"
    _, few = await api.post(INTENT, {"text": text})
    _, all_ = await api.post(INTENT, {"text": text, "options": {"evaluate_all_signals": True}})
    assert few["matched_signals"] == {}
    assert all_["matched_signals"] == {"keywords": ["spare"]}


async def test_messages_tools_and_metadata_are_a_whole_request(api: Api) -> None:
    body = {
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "this is urgent"}]},
        ],
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "metadata": {"tenant": "a"},
    }
    status, answer = await api.post(INTENT, body)
    assert status == 200 and answer["routing_decision"] == "hurry"


async def test_a_batch_is_counted(api: Api) -> None:
    texts = [CODE, "How do I sort a list in Rust?", "hello"]
    status, body = await api.post(BATCH, {"texts": texts})
    assert status == 200 and body["total_count"] == 3
    categories = [r["category"] for r in body["results"]]
    assert categories[:2] == ["computer science"] * 2
    assert body["statistics"]["category_distribution"]["computer science"] == 2
    mean = sum(r["confidence"] for r in body["results"]) / 3
    assert body["statistics"]["avg_confidence"] == pytest.approx(mean, abs=1e-3)
    low = sum(r["confidence"] < 0.7 for r in body["results"])
    assert body["statistics"]["low_confidence_count"] == low


@pytest.mark.parametrize("path", [EVAL, "/api/v1/routing/preview"])
async def test_eval_is_the_whole_decision(api: Api, path: str) -> None:
    status, body = await api.post(path, {"text": "urgent: " + CODE})
    assert status == 200
    assert body["original_text"].startswith("urgent") and body["requested_model"] == "auto"
    result = body["decision_result"]
    assert result["decision_name"] == "programming" and result["plugins"] == ["system_prompt"]
    assert result["used_signals"] == ["context:long", "domain:code", "keyword:urgent"]
    assert result["matched_signals"] == {"domains": ["code"], "keywords": ["urgent"]}
    assert result["unmatched_signals"] == ["context:long"]
    assert body["recommended_models"] == ["coder"] and body["selected_model"] == "coder"
    assert body["selection_status"] == "selected" and body["selection_method"] == "static"
    assert body["signal_values"]["context:long"] > 0
    assert set(body["signal_confidences"]) == {"domain:code", "keyword:urgent"}
    assert "eval_trace" not in body and body["metrics"]["total_ms"] > 0


async def test_eval_of_what_no_decision_takes_is_a_fallback(api: Api) -> None:
    _, body = await api.post(EVAL, {"text": "tell me about your day"})
    assert body["selection_status"] == "fallback" and body["routing_decision"] == "default"
    assert body["selected_model"] == "small"


async def test_eval_traces_every_rule_on_request(api: Api) -> None:
    _, by_query = await api.post(EVAL + "?trace=true", {"text": "urgent"})
    _, by_option = await api.post(EVAL, {"text": "urgent", "options": {"trace": True}})
    assert set(by_query["eval_trace"]) == set(by_option["eval_trace"])
    assert by_query["eval_trace"]["decisions"] == by_option["eval_trace"]["decisions"]
    hurry = next(d for d in by_query["eval_trace"]["decisions"] if d["decision"] == "hurry")
    assert hurry["chosen"] and [leaf["holds"] for leaf in hurry["rule"]["of"]] == [True, False]
    trace = by_query["eval_trace"]
    assert {s["signal"]: s["threshold"] for s in trace["signals"]} == {
        "context:long": 2000.0,
        "domain:code": 0.4,
        "keyword:urgent": None,
    }
    assert all(s["cost_us"] > 0 for s in trace["signals"])
    assert {c["kind"] for c in trace["costs"]} == {"context", "domain", "keyword"}
    needs = {c["decision"]: c["needs"] for c in trace["would_change"]}
    assert needs[None] == ["keyword:urgent matched (urgent)"]
    ((needed,),) = (n for d, n in needs.items() if d == "programming")
    assert re.fullmatch(r"domain:code at 0\.\d+ needed 0\.40", needed)
    assert {f"{kind}_ms" for kind in ("context", "domain", "keyword")} < set(by_query["metrics"])


# what fails


def broken(question: Classify) -> Any:
    raise AskFailed("the classifier sleeps")


async def test_a_signal_that_cannot_be_read_is_told() -> None:
    app, language = router(), Engines().language
    runtime = Runtime(app.runtime.policy, {Classify: broken, Language: language})
    telemetry = Telemetry(Log(io.StringIO()))
    management = Management(runtime, telemetry, ConfigState(), app.ready)
    async with listening(management) as api:
        status, body = await api.post(EVAL, {"text": "urgent"})
        assert status == 200 and body["routing_decision"] == "hurry"
        assert body["signal_errors"] == {"domain:code": "the classifier sleeps"}
        status, body = await api.post(INTENT, {"text": "urgent"})
        assert status == 503 and body["error"]["code"] == "CLASSIFICATION_ERROR"


async def test_a_bug_is_an_answer_and_a_line_in_the_log() -> None:
    def bug(question: Classify) -> Any:
        raise ZeroDivisionError("with a prompt in its text")

    app, told = router(), list[str]()
    runtime = Runtime(app.runtime.policy, {Classify: bug})
    runtime.fault = told.append
    management = Management(runtime, Telemetry(Log(io.StringIO())), ConfigState(), app.ready)
    async with listening(management) as api:
        status, body = await api.post(INTENT, {"text": "hi"})
    assert status == 503 and body["error"]["code"] == "CLASSIFICATION_ERROR"
    assert "ZeroDivisionError at " in told[0] and "prompt" not in told[0]


# what is refused


@pytest.mark.parametrize(
    ("path", "body", "code", "says"),
    [
        (INTENT, {}, "INVALID_INPUT", "text"),
        (INTENT, {"text": ""}, "INVALID_INPUT", "text"),
        (INTENT, {"txt": "x"}, "INVALID_INPUT", "txt: unknown key; did you mean 'text'?"),
        (
            INTENT,
            {"text": "x", "options": {"return_probabilites": True}},
            "INVALID_INPUT",
            "options.return_probabilites: unknown key; did you mean 'return_probabilities'?",
        ),
        (INTENT, {"text": "x", "options": {"confidence_threshold": 2}}, "INVALID_INPUT", "less"),
        (INTENT, {"text": "x", "model": "small"}, "INVALID_ROUTING_MODEL", "straight through"),
        (INTENT, {"text": "x", "model": "sql"}, "INVALID_ROUTING_MODEL", "straight through"),
        (INTENT, {"text": "x", "model": "plane"}, "INVALID_ROUTING_MODEL", "mean 'plain'?"),
        (INTENT, {"messages": [{"role": 5}]}, "INVALID_INPUT", "messages"),
        (INTENT, b"", "INVALID_INPUT", "JSON"),
        (INTENT, b"{", "INVALID_INPUT", "JSON"),
        (INTENT, b"[]", "INVALID_INPUT", "expected"),
        (INTENT, b'{"text": "\xff"}', "INVALID_INPUT", ""),
        (INTENT, b'{"text": "\\ud800"}', "INVALID_INPUT", ""),
        (INTENT, NESTED, "INVALID_INPUT", ""),
        (EVAL, {"texts": ["x"]}, "INVALID_INPUT", "did you mean 'text'?"),
        (BATCH, {"texts": []}, "INVALID_INPUT", "texts"),
        (BATCH, {"texts": ["x"] * (MAX_BATCH + 1)}, "INVALID_INPUT", "at most 100"),
        (BATCH, {"texts": ["x"], "task_type": "poem"}, "INVALID_TASK_TYPE", "intent"),
        (BATCH, {"texts": ["x", " "]}, "INVALID_INPUT", "texts[1]: is empty"),
        ("/api/v1/classify/combined", {"text": "x", "pii": {}}, "INVALID_INPUT", "pii"),
    ],
)
async def test_a_wrong_request_is_refused_with_its_key(
    api: Api, path: str, body: Any, code: str, says: str
) -> None:
    status, answer = await api.post(path, body)
    assert status == 400
    assert set(answer) == {"error"} and set(answer["error"]) == {"code", "message", "timestamp"}
    assert answer["error"]["code"] == code
    assert says in answer["error"]["message"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", answer["error"]["timestamp"])


async def test_unknown_paths_and_methods_are_json_too(api: Api) -> None:
    status, body = await api.get("/api/v2")
    assert status == 404 and body["error"]["code"] == "NOT_FOUND"
    assert "GET /api/v1" in body["error"]["message"]
    async with api.session.get(api.url + INTENT) as answer:
        assert answer.status == 405 and answer.headers["allow"] == "POST"
        assert (await answer.json())["error"]["code"] == "METHOD_NOT_ALLOWED"
    status, body = await api.post("/health", {})
    assert status == 405


async def test_a_huge_body_is_refused_before_it_is_read(api: Api) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(2 * MAX_BODY_BYTES >> 16):
            yield b" " * (1 << 16)

    with contextlib.suppress(aiohttp.ClientConnectionError):
        async with api.session.post(api.url + INTENT, data=endless()) as answer:
            assert answer.status == 413
            assert (await answer.json())["error"]["code"] == "REQUEST_BODY_TOO_LARGE"
    assert (await api.get("/health"))[0] == 200


async def test_a_port_that_is_taken_is_an_error_not_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError):
        await serve_management(router().management.app(), "127.0.0.1", taken.getsockname()[1])


# beside the data plane


async def longest_pause(work: Callable[[], Any]) -> float:
    """The longest time, in seconds, for which ``work`` kept everybody else waiting."""
    longest, stop = 0.0, False

    async def beat() -> None:
        nonlocal longest
        while not stop:
            began = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - began)

    beating = asyncio.create_task(beat())
    await asyncio.sleep(0)
    try:
        await work()
    finally:
        stop = True
        await beating
    return longest


async def test_a_large_batch_gives_way_between_its_texts(api: Api) -> None:
    texts = [f"{CODE} {i} " * 200 for i in range(MAX_BATCH)]
    _, whole = await api.post(BATCH, {"texts": texts})
    pauses = [await longest_pause(lambda: api.post(BATCH, {"texts": texts})) for _ in range(3)]
    assert min(pauses) < max(0.6 * whole["processing_time_ms"] / 1000, 0.05)
