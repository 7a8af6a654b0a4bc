"""production-stack's other arguments: listener, log, statistics, batches, feature gates."""

from __future__ import annotations

from typing import Any

from wayside.translate.reading import Reader
from wayside.translate.tracing import GRPC, http_endpoint

GUARDS = "production-stack"
"""The recipe that its feature gates become."""
EMBEDDER = "all-MiniLM-L6-v2"
GATES = ("SemanticCache", "PIIDetection")
_LEVELS = {
    "critical": "error",
    "error": "error",
    "warning": "warning",
    "info": "info",
    "debug": "debug",
    "trace": "debug",
}
_REFUSED = {
    "callbacks": "code of others is not loaded; plugins change requests and answers "
    "(`wayside catalog`), and router_replay keeps them",
    "sentry_dsn": "errors are not sent to Sentry; they are in the log",
    "root_path": "paths are served as they come; have the proxy in front strip its prefix",
}
_OF_REFUSED = {
    "sentry_traces_sample_rate": "nothing is sent to Sentry",
    "sentry_profile_session_sample_rate": "nothing is sent to Sentry",
}


def rest(root: Reader, settings: dict[str, Any]) -> None:
    """Everything that is not about models and how their servers are picked."""
    _listen(root, settings)
    _log(root, settings)
    _stats(root, settings)
    _batches(root, settings)
    _gates(root, settings)
    _tracing(root, settings)
    for key, why in _REFUSED.items():
        if root.raw(key):  # empty text and false are how these are left out
            root.note(why, "refused", key=key)
    for key, why in _OF_REFUSED.items():
        root.set_aside(key, why, "ignored")
    rewriter = root.text("request_rewriter")
    if rewriter not in (None, "", "noop"):
        why = "plugins change requests: request_params, system_prompt, header_mutation"
        root.note(why, "refused", key="request_rewriter")
    root.set_aside("cache_configs", "caches are the operator's", "ignored")
    root.set_aside(
        "backend_health_check_timeout_seconds",
        "of Pods that are discovered; static_backend_health_check_timeout_seconds is for others",
        "ignored",
    )


def _listen(root: Reader, settings: dict[str, Any]) -> None:
    listen: dict[str, Any] = {}
    host, port = root.text("host"), root.whole("port", low=0, high=65535)
    if host:
        listen["address"] = host
    if port is not None:
        listen["port"] = port
    if listen:
        settings["listen"] = listen


def _log(root: Reader, settings: dict[str, Any]) -> None:
    log: dict[str, Any] = {}
    level = root.choice("log_level", tuple(_LEVELS))
    if level is not None:
        log["level"] = _LEVELS[level]
    shape = root.choice("log_format", ("text", "json"))
    if shape is not None:
        log["format"] = "json" if shape == "json" else "console"
    if log:
        settings["log"] = log


def _tracing(root: Reader, settings: dict[str, Any]) -> None:
    endpoint = root.text("otel_endpoint")
    if not endpoint:
        for key in ("otel_service_name", "otel_secure"):
            root.set_aside(key, "nothing is traced: otel_endpoint names no collector", "ignored")
        return
    name, secure = root.text("otel_service_name"), root.flag("otel_secure")
    found = http_endpoint(endpoint, insecure=not secure)
    settings["tracing"] = {
        "enabled": True,
        "endpoint": found,
        "service_name": name or "vllm-router",
    }
    if endpoint.endswith(GRPC):
        what = f"over OTLP/HTTP, to {found}: the collector has to take that, too"
        root.note(what, "mapped", key="otel_endpoint")


def _stats(root: Reader, settings: dict[str, Any]) -> None:
    stack = settings["production_stack"]
    window = root.number("request_stats_window", low=1, high=86_400)
    if window is not None:
        stack["stats_window_s"] = window
    interval = root.number("log_stats_interval", low=0.1, high=86_400)
    if root.flag("log_stats"):
        stack["log_stats_s"] = interval or 10
    else:
        root.set_aside("log_stats_interval", "log_stats is off", "ignored")
    every = root.number("engine_stats_interval", low=0.01, high=86_400)
    if every is not None:
        stack["engine_stats_s"] = every
        said = "strategies that go by servers' metrics read them oftener (fleet.scrape)"
        root.note(said, "mapped", key="engine_stats_interval")


def _batches(root: Reader, settings: dict[str, Any]) -> None:
    wanted = root.flag("enable_batch_api")
    folder = root.text("file_storage_path")
    storage = root.text("file_storage_class")
    processor = root.text("batch_processor")
    if storage not in (None, "", "local_file"):
        root.note("files are kept in a folder: local_file", "refused", key="file_storage_class")
    if processor not in (None, "", "local"):
        root.note("batches are worked on here: local", "refused", key="batch_processor")
    if wanted:
        settings["batches"] = {"enabled": True, "anonymous": "shared"}
        settings["batches"]["folder"] = folder or "/tmp/vllm_files"
        return
    for key in ("file_storage_path", "file_storage_class", "batch_processor"):
        root.set_aside(key, "enable_batch_api is off", "ignored")


def _gates(root: Reader, settings: dict[str, Any]) -> None:
    """Plugins of a recipe that judges requests which name their model, as they all do there."""
    on = _open_gates(root)
    plugins: dict[str, Any] = {}
    if "PIIDetection" in on:
        plugins["pii"] = {"action": "block"}
    threshold = root.number("semantic_cache_threshold", low=0, high=1)
    model = root.text("semantic_cache_model")
    folder = root.text("semantic_cache_dir")
    if "SemanticCache" in on:
        plugins["response_cache"] = {
            "mode": "exact_then_semantic",
            "threshold": 0.95 if threshold is None else threshold,
            "anonymous": "shared",
        }
        if model not in (None, "", EMBEDDER, f"sentence-transformers/{EMBEDDER}"):
            why = "the built-in embedder compares questions; another one goes under `engines`"
            root.note(why, "refused", key="semantic_cache_model")
        elif model:
            root.note("the built-in embedder compares questions", "mapped",
                      key="semantic_cache_model")  # fmt: skip
        if folder not in (None, "", "semantic_cache"):
            why = "answers are kept in memory; give response_cache a store to keep them longer"
            root.note(why, "refused", key="semantic_cache_dir")
    else:
        for key in ("semantic_cache_threshold", "semantic_cache_model", "semantic_cache_dir"):
            root.set_aside(key, "the gate SemanticCache is closed", "ignored")
    if plugins:
        decision = {"name": "all", "plugins": plugins}
        settings["recipes"] = {GUARDS: {"decisions": [decision]}}
        settings["guard_recipe"] = GUARDS


def _open_gates(root: Reader) -> set[str]:
    """``A=true,B=false``."""
    found: set[str] = set()
    for text in root.texts("feature_gates"):
        for item in filter(None, (part.strip() for part in text.split(","))):
            name, _, value = (part.strip() for part in item.partition("="))
            if name not in GATES or value.lower() not in ("true", "false"):
                said = f"{item!r} is not NAME=true or NAME=false, of {', '.join(GATES)}"
                root.note(said, "refused", key="feature_gates")
            elif value.lower() == "true":
                found.add(name)
    return found
