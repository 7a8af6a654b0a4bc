"""production-stack's ``static_config.json`` and ``dynamic_config.json``.

What its StaticRoute and InferenceGateway write into a ConfigMap, and what ``vllm_router`` reads
(``--dynamic-config-json``, ``--dynamic-config-yaml``, ``--config``): any of its arguments by name,
with ``_`` for ``-``. Lists are aligned by position, as comma-separated text or as lists; the YAML
form has models as keys. Several backends of one model become its endpoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from wayside.settings.address import parse_address
from wayside.settings.load import documents
from wayside.translate.notes import Translation
from wayside.translate.production_stack_external import providers
from wayside.translate.production_stack_picking import Backend, health_check, picking
from wayside.translate.production_stack_rest import rest
from wayside.translate.reading import Ledger, Reader
from wayside.vocab.errors import WaysideError

NAME = "production_stack"
_OWN = ("static_backends", "static_models", "service_discovery", "k8s_label_selector")
TYPES = (
    "chat",
    "completion",
    "embeddings",
    "messages",
    "rerank",
    "score",
    "transcription",
    "vision",
)
_K8S = (
    "k8s_port",
    "k8s_namespace",
    "k8s_label_selector",
    "k8s_service_discovery_type",
    "k8s_watcher_timeout_seconds",
)


_ROLES = (
    "with servers in Kubernetes, say who reads prompts in our own configuration: pods labelled "
    "llm-d.ai/role, and models.NAME.disaggregation"
)


def recognises(document: Mapping[Any, Any]) -> bool:
    """Whether ``document`` is of this format."""
    return any(key in document for key in _OWN) and "kind" not in document


def translate(document: Mapping[Any, Any]) -> Translation:
    """The whole of ``document``. See :mod:`wayside.translate` for what the notes promise."""
    ledger = Ledger()
    root = ledger.reader(document)
    backends = _backends(root)
    how = _discovery(root)
    external = how == "external-only"
    models = _models(root, backends)
    _aliases(root, models)
    settings: dict[str, Any] = {"production_stack": {"enabled": True}}
    settings |= picking(root, models, backends)
    health_check(root, models)
    retried = _failover(root, models)
    providers(root, models, wanted=external)
    if models:
        settings["models"] = models
    if how == "k8s":
        settings["registry"] = {**_registry(root), **retried}
        if "disaggregat" in str(root.text("routing_logic") or ""):
            root.note(_ROLES, "refused", key="routing_logic")
    else:
        for key in _K8S:
            root.set_aside(key, "nothing is discovered", "ignored")
    rest(root, settings)
    return Translation(settings, ledger.close(), NAME)


def shown(text: bytes) -> dict[str, Any]:
    """The document for ``/health``: what it says of itself, without what nobody here knows."""
    try:
        found = documents(text.decode("utf-8-sig"))
    except (WaysideError, UnicodeDecodeError):
        return {}
    if len(found) != 1 or not recognises(found[0]):
        return {}
    return {key: value for key, value in found[0].items() if key in _SHOWN}


_SHOWN = frozenset({
    "service_discovery", "routing_logic", "static_backends", "static_models", "static_aliases",
    "static_model_labels", "static_model_types", "static_backend_health_checks",
    "static_backend_health_check_interval", "static_backend_health_check_timeout_seconds",
    "prefill_model_labels", "decode_model_labels", "k8s_port", "k8s_namespace",
    "k8s_label_selector", "session_key",
})  # fmt: skip


def items(root: Reader, key: str) -> list[str]:
    """``a,b`` or ``[a, b]``; positions count, so empty items stay."""
    texts = root.texts(key)
    if len(texts) == 1 and "," in texts[0]:
        texts = texts[0].split(",")
    return [t.strip() for t in texts] if any(t.strip() for t in texts) else []


def _backends(root: Reader) -> list[Backend]:
    if isinstance(root.raw("static_models"), Mapping):
        return list(_mapped(root))
    return list(_aligned(root))


def _aligned(root: Reader) -> Iterable[Backend]:
    """Lists of which the same positions belong together."""
    backends, names = items(root, "static_backends"), items(root, "static_models")
    if len(backends) != len(names):
        root.note(
            f"{len(backends)} static_backends but {len(names)} static_models; each backend needs "
            "the model that it serves, at the same place",
            "refused",
            key="static_backends" if len(backends) > len(names) else "static_models",
        )
    count = min(len(backends), len(names))
    labels = _beside(root, "static_model_labels", len(backends))
    for index, kind in enumerate(_beside(root, "static_model_types", len(backends))):
        _check_type(root, kind, f"{root.at('static_model_types')}[{index}]")
    for index in range(count):
        path = f"{root.at('static_backends')}[{index}]"
        label = labels[index] if index < len(labels) else ""
        named = f"{root.at('static_models')}[{index}]"
        yield Backend(names[index], backends[index], label, path, named)


def _beside(root: Reader, key: str, count: int) -> list[str]:
    """A list that has as many items as there are backends."""
    found = items(root, key)
    if found and len(found) != count:
        root.note(f"{len(found)} of them for {count} static_backends", "refused", key=key)
        return []
    return found


def _check_type(root: Reader, kind: str, path: str) -> None:
    if kind not in TYPES:
        root.ledger.add(path, f"{kind!r} is not one of {', '.join(TYPES)}", "refused")
    else:
        why = "servers are asked how they are in the same way, whatever they serve"
        root.ledger.add(path, why, "ignored")


def _mapped(root: Reader) -> Iterable[Backend]:
    """``static_models: {name: {static_backends: [...], static_model_type: chat}}``."""
    for name, model in root.named("static_models"):
        label = model.text("static_model_label") or ""
        kind = model.text("static_model_type")
        if kind is not None:
            _check_type(model, kind, model.at("static_model_type"))
        for index, backend in enumerate(items(model, "static_backends")):
            path = f"{model.at('static_backends')}[{index}]"
            yield Backend(name, backend, label, path, model.path)
    root.set_aside("static_backends", "each model lists its own", "ignored")
    for key in ("static_model_labels", "static_model_types"):
        root.set_aside(key, f"write {key[:-1]} for each model", "refused")


def _models(root: Reader, backends: Sequence[Backend]) -> dict[str, Any]:
    models: dict[str, Any] = {}
    for backend in backends:
        _add(models, backend, root)
    for backend in backends:
        if backend.model and backend.model not in models:
            root.ledger.add(backend.named, "has no backend that can be used; left out", "refused")
    if isinstance(root.raw("static_models"), Mapping):
        for name, model in root.named("static_models"):
            for index, alias in enumerate(items(model, "static_aliases")):
                path = f"{model.at('static_aliases')}[{index}]"
                _alias(models, alias, name, root, path)
    return models


def _add(models: dict[str, Any], backend: Backend, root: Reader) -> None:
    name, path = backend.model, backend.path
    if not name or len(name) > 256:
        root.ledger.add(path, "has no model; left out", "refused")
        return
    try:
        url = str(parse_address(backend.url))
    except ValueError as error:
        root.ledger.add(path, f"{error}; left out", "refused")
        return
    backend.url = url
    endpoints = models.setdefault(name, {"endpoints": []})["endpoints"]
    if url in [endpoint["url"] for endpoint in endpoints]:
        root.ledger.add(path, "the same backend twice", "ignored")
    else:
        endpoints.append({"url": url})


def _aliases(root: Reader, models: dict[str, Any]) -> None:
    """``alias:model`` pairs, or a mapping of them."""
    if isinstance(root.raw("static_aliases"), Mapping):
        inner = root.inner("static_aliases")
        for alias in inner:
            _alias(models, alias, inner.text(alias) or "", root, inner.at(alias))
        return
    for index, item in enumerate(items(root, "static_aliases")):
        alias, _, name = (part.strip() for part in item.partition(":"))
        _alias(models, alias, name, root, f"{root.at('static_aliases')}[{index}]")


def _alias(models: dict[str, Any], alias: str, name: str, root: Reader, path: str) -> None:
    taken = {a: model for model, made in models.items() for a in made.get("aliases", ())}
    if name not in models or not alias or len(alias) > 256:
        root.ledger.add(path, "an alias is written alias:model, of a model here", "refused")
    elif alias in models or taken.get(alias, name) != name:
        root.ledger.add(path, "a model has this name", "refused")
    elif alias not in taken:
        models[name].setdefault("aliases", []).append(alias)


def _discovery(root: Reader) -> str:
    """Where models come from: ``static``, ``k8s``, or ``external-only`` (providers alone)."""
    how = (root.text("service_discovery") or "static").lower().replace("_", "-")
    if how not in ("static", "k8s", "external-only"):
        said = f"{how!r} is not one of static, k8s, external-only"
        root.note(said, "refused", key="service_discovery")
    return how


def _registry(root: Reader) -> dict[str, Any]:
    """Servers by label, which are asked what they serve."""
    kind = (root.text("k8s_service_discovery_type") or "pod-ip").lower().replace("_", "-")
    if kind not in ("pod-ip", "service-name"):
        said = f"{kind!r} is not one of pod-ip, service-name"
        root.note(said, "refused", key="k8s_service_discovery_type")
    servers: dict[str, Any] = {"selector": root.text("k8s_label_selector") or ""}
    if port := root.whole("k8s_port", low=1, high=65535):
        servers["port"] = port
    made: dict[str, Any] = {"services" if kind == "service-name" else "pods": servers}
    if namespace := root.text("k8s_namespace"):
        made["namespace"] = namespace
    root.set_aside("k8s_watcher_timeout_seconds", "watches end in their own time", "ignored")
    return {**made, "key_env": "VLLM_API_KEY"}


def _failover(root: Reader, models: dict[str, Any]) -> dict[str, Any]:
    """How often models here are tried; of those that are found, as `registry` has it."""
    key = "max_instance_failover_reroute_attempts"
    count = root.whole(key, low=0, high=9)
    if count is None:
        return {}
    for model in models.values():
        model["retries"] = {"attempts": count + 1}
    if count:
        said = "a server that answers 429, 502, 503 or 504 is no better than one that is gone"
        root.note(said, "mapped", key=key)
    return {"defaults": {"retries": {"attempts": count + 1}}}
