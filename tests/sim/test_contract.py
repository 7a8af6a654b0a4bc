"""What manifests and guides ask of a simulated server, all on one (A2-26).

The names are llm-d-inference-sim's, as its documentation has them, so that our simulator can take
its place: paths, headers that say which pod answered, vLLM's metrics, failures on demand.
"""

import json

import pytest

from wayside.sim import SimModel, SimServer, serve_sim

from .conftest import chat

SERVER = SimServer(
    (SimModel("Model-A", loras=("sql",), max_loras=2, max_model_len=1024),),
    pod="model-a-0",
    namespace="vllm-semantic-router-system",
)
LORA = {"lora_name": "law", "lora_path": "/adapters/law"}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/chat/completions", chat(model="Model-A")),
        ("POST", "/v1/chat/completions", chat(model="Model-A", stream=True)),
        ("POST", "/v1/completions", {"model": "Model-A", "prompt": "Hello"}),
        ("POST", "/v1/completions", {"model": "Model-A", "prompt": "Hello", "stream": True}),
        ("GET", "/v1/models", None),
        ("GET", "/health", None),
        ("GET", "/ready", None),
        ("GET", "/metrics", None),
        ("POST", "/v1/load_lora_adapter", LORA),
        ("POST", "/v1/unload_lora_adapter", {"lora_name": "sql"}),
    ],
)
async def test_a2_26_every_path_is_served_and_says_which_pod_it_is(http, method, path, body):
    async with serve_sim([SERVER]) as [sim]:
        async with http.request(method, f"{sim.url}{path}", json=body) as response:
            text = await response.text()
            assert response.status == 200, text
            assert response.headers["x-inference-pod"] == "model-a-0"
            assert response.headers["x-inference-namespace"] == "vllm-semantic-router-system"
        if body and body.get("stream"):
            assert text.rstrip().endswith("data: [DONE]")
        elif path.endswith("completions"):
            answer = json.loads(text)
            assert answer["model"] == "Model-A" and answer["usage"]["total_tokens"] > 0


async def test_a2_26_vllms_metrics_and_limits(http):
    async with serve_sim([SERVER]) as [sim]:
        async with http.get(f"{sim.url}/metrics") as response:
            page = await response.text()
        for name in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"):
            assert f"vllm:{name}{{" in page
        assert "vllm:lora_requests_info{" in page
        long = chat("word " * 2000, model="Model-A")
        async with http.post(f"{sim.url}/v1/chat/completions", json=long) as response:
            assert response.status == 400 and "1024" in await response.text()
        async with http.post(f"{sim.url}/v1/chat/completions", json=chat(model="B")) as response:
            assert response.status == 404
