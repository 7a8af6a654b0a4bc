"""production-stack's ``static_config.json`` and ``dynamic_config.json``.

What its StaticRoute and InferenceGateway write into a ConfigMap, and what ``vllm_router
--dynamic-config-json`` reads: lists aligned by position, as comma-separated text or as lists, or
the YAML form with models as keys. Several backends of one model become its endpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wayside.settings.address import parse_address
from wayside.translate.notes import Translation
from wayside.translate.reading import Ledger, Reader

NAME = "production_stack"
_OWN = ("static_backends", "static_models", "service_discovery", "k8s_label_selector")
_ALL = (
    "round_robin",
    "roundrobin",
    "session",
    "session_affinity",
    "prefixaware",
    "prefix_hash",
    "prefixhash",
    "kvaware",
    "least_loaded",
    "disaggregated_prefill",
    "disaggregated_prefill_orchestrated",
)


def recognises(document: Mapping[Any, Any]) -> bool:
    """Whether ``document`` is of this format."""
    return any(key in document for key in _OWN) and "kind" not in document


def translate(document: Mapping[Any, Any]) -> Translation:
    """The whole of ``document``. See :mod:`wayside.translate` for what the notes promise."""
    ledger = Ledger()
    root = ledger.reader(document)
    models = (
        _mapped(root) if isinstance(document.get("static_models"), Mapping) else _aligned(root)
    )
    _aliases(root, models)
    _discovery(root)
    _logic(root)
    for key in (
        "static_backend_health_checks",
        "static_backend_health_check_interval",
        "static_backend_health_check_timeout_seconds",
        "health_check",
    ):
        root.set_aside(key, "replicas are judged by their answers; probes are not configured here")
    for key in ("prefill_model_labels", "decode_model_labels", "static_model_labels"):
        root.set_aside(key, "prefill and decode are not told apart yet")
    root.set_aside("static_model_types", "a replica is asked whatever the client asks", "ignored")
    root.set_aside("callbacks", "foreign code is not loaded")
    root.set_aside("cache_configs", "caches are the operator's")
    for key in ("external_providers_config", "max_instance_failover_reroute_attempts"):
        root.set_aside(key, "not supported yet")
    settings = {"models": models} if models else {}
    return Translation(settings, ledger.close(), NAME)


def _items(root: Reader, key: str) -> list[str]:
    """``a,b`` or ``[a, b]``; positions count, so empty items stay."""
    texts = root.texts(key)
    if len(texts) == 1 and "," in texts[0]:
        texts = texts[0].split(",")
    return [t.strip() for t in texts] if any(t.strip() for t in texts) else []


def _aligned(root: Reader) -> dict[str, Any]:
    backends, names = _items(root, "static_backends"), _items(root, "static_models")
    if len(backends) != len(names):
        root.note(
            f"{len(backends)} static_backends but {len(names)} static_models; those without a "
            "partner are left out",
            "refused",
            key="static_backends" if len(backends) > len(names) else "static_models",
        )
    models: dict[str, Any] = {}
    for index, (backend, name) in enumerate(zip(backends, names, strict=False)):
        _add(models, name, backend, root, f"{root.at('static_backends')}[{index}]")
    for index, name in enumerate(names):
        if name and name not in models:
            path = f"{root.at('static_models')}[{index}]"
            root.ledger.add(path, "has no backend that can be used; left out", "refused")
    return models


def _mapped(root: Reader) -> dict[str, Any]:
    """``static_models: {name: {static_backends: [...], static_model_type: chat}}``."""
    models: dict[str, Any] = {}
    for name, model in root.named("static_models"):
        for index, backend in enumerate(_items(model, "static_backends")):
            _add(models, name, backend, model, f"{model.at('static_backends')}[{index}]")
        model.set_aside(
            "static_model_type", "a replica is asked whatever the client asks", "ignored"
        )
        model.set_aside("static_model_label", "prefill and decode are not told apart yet")
        for alias in _items(model, "static_aliases"):
            if name in models:
                models[name].setdefault("aliases", []).append(alias)
    root.set_aside("static_backends", "each model lists its own", "ignored")
    return models


def _add(models: dict[str, Any], name: str, backend: str, reader: Reader, path: str) -> None:
    if not name or len(name) > 256:
        reader.ledger.add(path, "has no model; left out", "refused")
        return
    try:
        url = str(parse_address(backend))
    except ValueError as error:
        reader.ledger.add(path, f"{error}; left out", "refused")
        return
    endpoints = models.setdefault(name, {"endpoints": []})["endpoints"]
    if url in endpoints:
        reader.ledger.add(path, "the same backend twice", "ignored")
    else:
        endpoints.append(url)


def _aliases(root: Reader, models: dict[str, Any]) -> None:
    """``alias:model`` pairs, or a mapping of them."""
    pairs: list[tuple[str, str, str]] = []
    if isinstance(root.raw("static_aliases"), Mapping):
        inner = root.inner("static_aliases")
        pairs += ((inner.at(alias), alias, inner.text(alias) or "") for alias in inner)
    else:
        for index, item in enumerate(_items(root, "static_aliases")):
            alias, _, name = (part.strip() for part in item.partition(":"))
            pairs.append((f"{root.at('static_aliases')}[{index}]", alias, name))
    for path, alias, name in pairs:
        if name not in models or not alias or len(alias) > 256:
            root.ledger.add(path, "an alias is written alias:model, of a model here", "refused")
        elif alias in models:
            root.ledger.add(path, "a model has this name", "refused")
        else:
            models[name].setdefault("aliases", []).append(alias)


def _discovery(root: Reader) -> None:
    how = root.text("service_discovery")
    if how not in (None, "static"):
        root.note(
            f"service discovery {how!r} is not supported yet; list the backends, or name a "
            "Service by DNS",
            "unsupported",
            key="service_discovery",
        )
    for key in ("k8s_port", "k8s_namespace", "k8s_label_selector", "k8s_service_discovery_type"):
        root.set_aside(key, "Pods are not discovered yet; name a Service by DNS")


def _logic(root: Reader) -> None:
    logic = (root.text("routing_logic") or "roundrobin").lower().replace("-", "_")
    if logic not in _ALL:
        root.note(f"no routing logic {logic!r}", "refused", key="routing_logic")
    elif logic not in ("roundrobin", "round_robin"):
        root.note(
            f"{logic} is not supported yet; replicas share requests by weight and load",
            "unsupported",
            key="routing_logic",
        )
    root.set_aside("session_key", "requests of a session are not kept together yet")
