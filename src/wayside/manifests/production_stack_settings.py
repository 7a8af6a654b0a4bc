"""What an InferenceGateway's own router is told: our configuration, made of resolved chains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from wayside.manifests.production_stack_chain import Chain
from wayside.manifests.production_stack_servers import Backend, Server
from wayside.manifests.production_stack_services import (
    STRATEGIES,
    InferenceGatewaySpec,
    NlpFilters,
)
from wayside.manifests.production_stack_specs import InferenceCacheSpec, SpeculativeDecodingSpec
from wayside.vocab.roles import ROLE_LABEL

PORT = 8001
"""Where an InferenceGateway is reached, as production-stack's router is."""
GUARDS = "nlp-filters"
"""The recipe that `nlpFilters` become: it judges requests that name their model, as all do."""
_DOCUMENT = dict[str, Any]
_NOBODY = {"discover": {"kubernetes": {"service": "0-not-there-yet"}}}
"""What serves a model whose route leads nowhere: a name that no Service can have, since they begin
with a letter."""
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_PREFIXES = 3.0
"""What a cached prompt weighs against the load: it is followed, or its server is far busier."""


class Routed(NamedTuple):
    """A model as clients name it, and the chain of each InferenceService that answers for it:
    none, where what it is routed to is not there. Such a model is answered 503, not 404."""

    model: str
    chains: tuple[Chain, ...]


def document(spec: InferenceGatewaySpec, routes: Sequence[Routed], gpus: str = "") -> _DOCUMENT:
    """The configuration. ``gpus`` is the URL of an exporter that tells how busy GPUs are; empty
    where there is none."""
    found: _DOCUMENT = {
        "listen": {"address": "0.0.0.0", "port": PORT},
        "management": {"enabled": False},
        "production_stack": {"enabled": True, "engines": False},
        "auto_names": [],
        "models": {},
    }
    if gpus and spec.scheduling_policy == "gpu-load-aware":
        found["fleet"] = {"gpu_metrics": {"url": gpus}}
    for route in routes:
        found["models"][route.model] = _model(spec, route) if route.chains else _NOBODY
    stores = {
        c.store.name: {"redis": dict(c.store.settings)}
        for r in routes
        for c in r.chains
        if c.store
    }
    if stores:
        found["stores"] = stores
    guards = _guards(routes)
    if guards["decisions"]:
        found["recipes"] = {GUARDS: guards}
        found["guard_recipe"] = GUARDS
    return found


# --- one model ---------------------------------------------------------------------------------


def _model(spec: InferenceGatewaySpec, route: Routed) -> _DOCUMENT:
    first = route.chains[0]
    found: _DOCUMENT = {}
    if first.spec.model_name != route.model:
        found["upstream_name"] = first.spec.model_name
    found |= _servers(spec, route.chains)
    found["picking"] = picking(spec, first)
    if first.servers:
        found["disaggregation"] = _disaggregation(first)
    if first.speculation is not None:
        found["speculative"] = _speculative(first.speculation)
    return found


def _servers(spec: InferenceGatewaySpec, chains: Sequence[Chain]) -> _DOCUMENT:
    """`discover` where the router itself follows one Service's endpoints; else `endpoints`."""
    first = chains[0]
    if first.servers:
        # Addresses are told by a ConfigMap here, which takes its time, so servers are asked.
        return {"endpoints": [_endpoint(s) for s in first.servers], "health_check": {}}
    behind = [c.backend for c in chains if c.backend is not None]
    if len(behind) == 1 and behind[0].service and spec.service_discovery == "k8s":
        one = behind[0]
        follow: _DOCUMENT = {"service": one.service, "namespace": one.namespace}
        if one.port is not None:
            follow["port"] = one.port.name or one.port.number
        return {"discover": {"kubernetes": follow}}
    return {"endpoints": [e for one in behind for e in _weighed(one, len(behind) > 1)]}


def _endpoint(server: Server) -> _DOCUMENT:
    found: _DOCUMENT = {"url": server.url}
    if server.pod:
        found["name"] = server.pod
    if server.role:
        found["labels"] = {ROLE_LABEL: server.role}
    return found


def _weighed(one: Backend, several: bool) -> list[_DOCUMENT]:
    """Its addresses; together they have the backend's weight."""
    share = one.weight / len(one.urls)
    return [{"url": url, **({"weight": share} if several else {})} for url in one.urls]


def _disaggregation(of: Chain) -> _DOCUMENT:
    found: _DOCUMENT = {}
    if of.disaggregation is not None and of.disaggregation.engine == "sglang":
        found["how"] = "header"
    if of.cache is not None:
        found["cached_share"] = of.cache.kv_cache_transfer_policy.threshold_hit_rate
    return found


def _speculative(of: SpeculativeDecodingSpec) -> _DOCUMENT:
    found: _DOCUMENT = {"method": of.speculation_type, "tokens": of.num_speculative_tokens}
    if of.speculation_type == "draft":
        found["draft"] = of.draft_model
    return found


# --- which server ------------------------------------------------------------------------------


def picking(spec: InferenceGatewaySpec, of: Chain) -> _DOCUMENT:
    """Which of a model's servers takes a request.

    First filters: servers whose KV cache is too full are left out, a conversation stays with its
    server. Then, with a scheduling policy, an InferenceCache or disaggregation, a score: where the
    prompt is cached (PrefixHash) and how busy servers are. Else the strategy alone: a hash ring,
    or turns.
    """
    strategy = STRATEGIES[spec.route_strategy] if spec.route_strategy else ""
    filters: list[Any] = []
    if of.cache is not None:
        most = of.cache.kv_cache_transfer_policy.eviction_threshold
        filters.append({"utilization": {"waiting": None, "kv": most}})
    if spec.session_affinity or strategy == "session":
        filters.append({"session_filter": {"ttl_s": _remembered_s(of.cache)}})
    found: _DOCUMENT = {"filters": filters} if filters else {}
    scorers = _scorers(spec, of, strategy == "prefix")
    if scorers:
        return {**found, "scorers": scorers, "picker": "max_score"}
    alone = {"prefix": "prefix_hash", "turns": "round_robin"}
    return {**found, "picker": alone.get(strategy, "least_requests")}


def _scorers(spec: InferenceGatewaySpec, of: Chain, prefix: bool) -> list[Any]:
    load: list[Any] = []
    if spec.scheduling_policy == "gpu-load-aware":
        load = ["gpu_load"]
    elif spec.scheduling_policy == "load-aware":
        load = ["queue", "kv_utilization", "active_requests"]
    if not prefix:
        # How much of a prompt is cached decides who reads it, though not where it goes.
        known = [{"prefix_cache": {"block_tokens": 32}, "weight": 0.0}] if of.servers else []
        return [*known, *(load or ["active_requests"])] if known else load
    if not load and of.cache is None and not of.servers:
        return []
    rule: _DOCUMENT = {"block_tokens": 32}
    if of.cache is not None:
        rule["least_share"] = of.cache.kv_cache_transfer_policy.threshold_hit_rate
    weight = _PREFIXES * max(1, len(load))
    return [{"prefix_cache": rule, "weight": weight}, *(load or ["active_requests"])]


def _remembered_s(cache: InferenceCacheSpec | None) -> int:
    """How long a conversation is remembered: as long as its cache is kept, or an hour."""
    ttl = cache.cache_ttl if cache is not None else "1h"
    return max(1, int(ttl[:-1]) * _SECONDS[ttl[-1]])


# --- filters of prompts ------------------------------------------------------------------------


def _guards(routes: Sequence[Routed]) -> _DOCUMENT:
    """A recipe with a decision for each route that has `nlpFilters`."""
    models: _DOCUMENT = {}
    patterns: _DOCUMENT = {}
    decisions: list[_DOCUMENT] = []
    for i, route in enumerate(routes):
        if not route.chains:
            continue
        filters = route.chains[0].spec.nlp_filters
        plugins = _plugins(filters, route.chains[0]) if filters else {}
        guard = filters.prompt_guard if filters else None
        if not plugins and guard is None:
            continue
        name = f"route-{i}"
        models[name] = {"models": [route.model]}
        asked = f"requested_model:{name}"
        if guard is not None:
            patterns[name] = {
                "keywords": list(guard.blocked_patterns),
                "method": "regex",
                "scope": "conversation",
            }
            decisions.append({
                "name": f"{name}-guard",
                "priority": 1,
                "when": {"all": [asked, f"keyword:{name}"]},
                "plugins": {"fast_response": {"message": _REFUSED, "as": "error"}},
            })  # fmt: skip
        if plugins:
            decisions.append({"name": name, "when": asked, "plugins": plugins})
    signals = {"requested_model": models} | ({"keyword": patterns} if patterns else {})
    return {"signals": signals, "decisions": decisions}


_REFUSED = "The prompt was refused by this service's prompt guard."


def _plugins(filters: NlpFilters, of: Chain) -> _DOCUMENT:
    found: _DOCUMENT = {}
    if filters.max_tokens is not None:
        found["request_params"] = {"max_tokens_limit": filters.max_tokens}
    cache = filters.semantic_cache
    if cache is None or (cache.store_ref is not None and of.store is None):
        return found  # a store that is not there is told of, and waited for
    rule: _DOCUMENT = {
        "mode": "exact_then_semantic",
        "threshold": cache.threshold,
        "ttl_s": cache.ttl_seconds,
        "anonymous": "shared",
    }
    if of.store is not None:
        rule["store"] = of.store.name
    return {**found, "response_cache": rule}
