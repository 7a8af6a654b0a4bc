"""vSR's flat documents of v0.1 and v0.2, and blocks taken out of them.

Recognised by ``vllm_endpoints``, ``model_config``, ``categories``, ``decisions``, ``signals`` or
another of their top-level keys, as long as none of v0.3's is there. A block of endpoints alone is
enough: each then becomes a model under its own name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wayside.translate.keeping import read_cache, read_replay, read_responses
from wayside.translate.notes import Translation
from wayside.translate.plugins import BLOCKED
from wayside.translate.reading import Ledger, Reader
from wayside.translate.routing import Routing, jailbreak_decision, read_decisions
from wayside.translate.servers import (
    EFFORTS,
    Server,
    family_of,
    read_api_format,
    read_credential,
    read_families,
    read_flat_endpoint,
    read_loras,
    read_price,
    read_upstream_name,
    shared_servers,
)
from wayside.translate.signals import Signals, read_categories, read_signals
from wayside.translate.vsr_v03 import (
    Draft,
    read_authz,
    read_card,
    read_domain_threshold,
    read_entrypoints,
    read_listeners,
    read_names,
    read_observability,
    settle_default_model,
    trust_identity,
)

NAME = "vsr_flat"

_OWN = (
    "vllm_endpoints",
    "model_config",
    "categories",
    "decisions",
    "signals",
    "keyword_rules",
    "embedding_rules",
    "bert_model",
    "semantic_cache",
    "prompt_guard",
    "classifier",
    "provider_profiles",
)
_FOREIGN = (
    "providers",
    "routing",
    "global",
    "kind",
    "models",
    "static_models",
    "schema_version",  # a recipe's probes and metadata
)

_ASIDE = {
    "tools": "write the plugin tool_selection where tools are to be added",
    "provider_profiles": "not supported yet",
    "looper": "not supported yet",
    "memory": "not supported yet",
    "vector_store": "not supported yet",
    "ratelimit": "not supported yet: nothing is limited",
    "streamed_body_mode": "not supported yet",
    "external_models": "not supported yet",
    "mom_registry": "not supported yet",
    "model_selection": "each decision names its algorithm here",
    "prompt_compression": "not supported yet",
    "api": "not supported yet: limits of the classification API",
}


_BUILT_IN = (
    "bert_model",
    "embedding_models",
    "modality_detector",
    "hallucination_mitigation",
    "feedback_detector",
)
"""Models of vSR's own, whose work the built-in engines do."""


def recognises(document: Mapping[Any, Any]) -> bool:
    """Whether ``document`` is of this format."""
    return any(k in document for k in _OWN) and not any(k in document for k in _FOREIGN)


def translate(document: Mapping[Any, Any]) -> Translation:
    """The whole of ``document``. See :mod:`wayside.translate` for what the notes promise."""
    ledger = Ledger()
    out = Draft()
    read_flat(ledger.reader(document), out)
    return Translation(out.settings(), ledger.close(), NAME)


def read_flat(root: Reader, out: Draft) -> None:
    """Everything in ``root`` into ``out``."""
    given = bool(out.models)  # by the resource that this document is part of
    whole = given or ("model_config" in root and "vllm_endpoints" in root)
    read_listeners(root, out)
    out.families.update(read_families(root))
    if effort := root.choice("default_reasoning_effort", EFFORTS):
        out.top["default_effort"] = effort
    _read_models(root, out, whole=whole)
    out.default_model = root.text("default_model")
    settle_default_model(root, out)
    read_names(root, out, whole=whole)
    _read_classifier(root.inner("classifier"), out)
    _read_routing(root, out, whole=bool(out.models) and (given or "model_config" in root))
    read_entrypoints(root, out)
    read_authz(root.inner("authz"), out)
    trust_identity(root, out)
    read_observability(root.inner("observability"), out)
    root.set_aside("clear_route_cache", "the generated Envoy needs no switch for it", "ignored")
    root.set_aside("version", "the keys tell", "ignored")
    for key, why in _ASIDE.items():
        root.set_aside(key, why)
    for key in _BUILT_IN:
        root.set_aside(key, "the built-in engine answers", "ignored")


def _read_models(root: Reader, out: Draft, *, whole: bool) -> None:
    servers: dict[str, Server] = {}
    served: dict[str, list[str]] = {}
    for index, ref in enumerate(root.each("vllm_endpoints")):
        models = [*ref.texts("models"), *ref.texts("model")]
        server = read_flat_endpoint(ref)
        if server is None:
            continue
        name = server.name or f"endpoint-{index}"
        if name in servers:
            ref.leave_out(f"a second endpoint named {name!r}", "refused")
            continue
        servers[name] = server
        server.name = name
        for model in models:
            served.setdefault(model, []).append(name)
    used: set[str] = set()
    for name, config in root.named("model_config"):
        if not name or len(name) > 256 or name in out.taken():
            config.leave_out("a model needs a name of its own", "refused")
            continue
        chosen = _chosen(config, name, servers, served)
        used.update(s.name for s in chosen)
        out.models[name] = _model(config, name, chosen, out, whole=whole)
    for name in served:
        if name not in out.taken() and 0 < len(name) <= 256:
            _without_config(name, [servers[s] for s in served[name]], root, out)
            used.update(served[name])
    _unclaimed(root, {n: s for n, s in servers.items() if n not in used}, out)


def _chosen(
    model: Reader, name: str, servers: dict[str, Server], served: dict[str, list[str]]
) -> list[Server]:
    """``preferred_endpoints``, or the endpoints that list the model."""
    chosen = []
    preferred = model.texts("preferred_endpoints")
    for index, wanted in enumerate(preferred):
        if wanted in servers:
            chosen.append(servers[wanted])
        else:
            path = f"{model.at('preferred_endpoints')}[{index}]"
            model.ledger.add(path, f"nothing defines endpoint {wanted!r}", "refused")
    return chosen if preferred else [servers[n] for n in served.get(name, ())]


def _model(
    model: Reader, name: str, servers: list[Server], out: Draft, *, whole: bool
) -> dict[str, Any]:
    made = shared_servers(servers, model)
    if credential := read_credential(model, ""):
        made["credential"] = credential
    if upstream := read_upstream_name(model, name):
        made["upstream_name"] = upstream
    if family := family_of(model, "reasoning_family", out.families, whole=whole):
        made["reasoning_family"] = family
    if description := model.text("description"):
        made["description"] = description
    if window := model.whole("context_window_size", low=1):
        made["context_window"] = window
    if price := read_price(model):
        made["price"] = price
    if loras := read_loras(model, out.taken() | {name}):
        made["loras"] = loras
    _pii_policy(model, name, out)
    made.update(read_api_format(model))
    read_card(model, made)
    return made


def _pii_policy(model: Reader, name: str, out: Draft) -> None:
    """What personal data a model may see; put on the decisions that choose it."""
    policy = model.inner("pii_policy")
    allowed = policy.texts("pii_types_allowed")
    if policy.flag("allow_by_default") is False:
        out.pii_policies[name] = allowed
    elif allowed:
        policy.note("allow_by_default allows them anyway", "ignored", key="pii_types_allowed")


def _apply_pii_policies(decisions: list[dict[str, Any]], root: Reader, out: Draft) -> None:
    """A decision blocks what its strictest model may not see."""
    for decision in decisions:
        models = [m if isinstance(m, str) else m["model"] for m in decision.get("models", ())]
        strict = [out.pii_policies[m] for m in models if m in out.pii_policies]
        if not strict or "pii" in decision.get("plugins", {}):
            continue
        allowed = sorted(set(strict[0]).intersection(*strict[1:]))
        rule = {"action": "block", **({"allowed": allowed} if allowed else {})}
        decision["plugins"] = {"pii": rule, **decision.get("plugins", {})}
    if out.default_model in out.pii_policies:
        root.note(
            "has a pii_policy, which applies to decisions only; a decision without a rule, last, "
            "would cover the rest",
            "mapped",
            key="default_model",
        )


def _prompt_guard(
    root: Reader, decisions: list[dict[str, Any]], signals: Signals, out: Draft
) -> None:
    """v0.1's guard looks at every request, those that name a model as well."""
    guard = root.inner("prompt_guard")
    enabled = guard.flag("enabled")
    for key in list(guard):
        if key != "enabled":
            guard.set_aside(key, "the built-in detector has its own", "ignored")
    if not guard or enabled is False:
        return
    signals.add("jailbreak", "prompt_guard", {})
    made = {
        "name": "prompt_guard",
        "priority": max((d.get("priority", 0) for d in decisions), default=0) + 1,
        "when": "jailbreak:prompt_guard",
        "plugins": {"fast_response": {"message": BLOCKED}},
    }
    if any(d.get("tier") for d in decisions):
        made["tier"] = 1
    decisions.insert(0, made)
    out.recipes["guards"] = {
        "signals": {"jailbreak": {"prompt_guard": {}}},
        "decisions": [{k: v for k, v in made.items() if k not in ("priority", "tier")}],
    }
    out.top["guard_recipe"] = "guards"


def _without_config(name: str, servers: list[Server], root: Reader, out: Draft) -> None:
    """A model that only its endpoints name."""
    made = shared_servers(servers, root)
    if made:
        out.models[name] = made


def _unclaimed(root: Reader, servers: dict[str, Server], out: Draft) -> None:
    """Endpoints no model uses: left out, or models by themselves if there is no model at all."""
    alone = not out.models
    for name, server in servers.items():
        if server.reader is None:
            continue
        if alone and len(name) <= 256:
            server.reader.note(
                f"no model is named; it serves a model called {name!r}. Rename it, or set "
                "upstream_name, to what the server calls its model",
                "defaulted",
            )
            out.models[name] = shared_servers([server], root)
        else:
            server.reader.note("no model uses this endpoint", "ignored")


def _read_classifier(classifier: Reader, out: Draft) -> None:
    read_domain_threshold(classifier.inner("category_model"), out)
    classifier.set_aside("pii_model", "the built-in recogniser answers", "ignored")
    for key in ("mcp_category_model", "preference_model"):
        classifier.set_aside(key, "not supported yet")


def _read_routing(root: Reader, out: Draft, *, whole: bool) -> None:
    signals = Signals(out.domain_threshold, out.foreign)
    read_signals(root, signals)
    inner = root.inner("signals")
    read_signals(inner, signals)
    scored = "decisions" not in root
    read_categories(root, signals)
    if strategy := root.choice("strategy", ("priority", "confidence")):
        out.routing["strategy"] = strategy
    caching = _cache(root, out)
    read_replay(root.inner("router_replay"), out.keeping)
    if responses := read_responses(root.inner("response_api"), out.keeping):
        out.top["responses"] = responses
    routing = Routing(signals, out.loras(), whole, keeping=out.keeping)
    decisions = read_decisions(root, routing)
    for category in root.each("categories"):
        made = _category(category, routing, scored=scored)
        cached = _cached(category, out.keeping.cache, caching)
        if made is not None:
            if cached:
                made.setdefault("plugins", {})["response_cache"] = cached
            if category.flag("jailbreak_enabled") and "prompt_guard" not in root:
                decisions.append(jailbreak_decision(made, signals))
            decisions.append(made)
    _apply_pii_policies(decisions, root, out)
    _prompt_guard(root, decisions, signals, out)
    signals.close()
    if signals.known:
        out.routing["signals"] = signals.known
    if decisions:
        out.routing["decisions"] = decisions


_CATEGORY_ASIDE = {
    "jailbreak_threshold": "is for vSR's detector; the built-in one has its own",
    "pii_enabled": "models say what personal data they may see: pii_policy",
    "pii_threshold": "is for vSR's detector; the built-in one has its own",
}


def _category(category: Reader, routing: Routing, *, scored: bool) -> dict[str, Any] | None:
    """The decision that v0.1's ``categories[].model_scores`` stood for: the best score answers."""
    name = category.text("name") or ""
    scores = category.each("model_scores")
    for key, why in _CATEGORY_ASIDE.items():
        category.set_aside(key, why)
    reasoning = category.flag("use_reasoning")
    effort = category.choice("reasoning_effort", EFFORTS)
    category.remark("reasoning_description")
    if not scored or not scores:
        for score in scores:
            score.leave_out("decisions choose the models")
        category.set_aside("system_prompt", "a decision's plugin gives the prompt")
        return None
    candidates = []
    for score in scores:
        model, number = score.text("model") or "", score.number("score")
        entry: dict[str, Any] = {"model": model}
        own = score.flag("use_reasoning")
        if (think := reasoning if own is None else own) is not None:
            entry["reasoning"] = think
        if how := score.choice("reasoning_effort", EFFORTS) or effort:
            entry["effort"] = how
        score.remark("reasoning_description")
        if not model or len(model) > 256 or (routing.whole and model not in routing.models):
            score.leave_out(f"nothing defines model {model!r}; left out", "refused")
        else:
            candidates.append((number or 0, entry if len(entry) > 1 else model))
    if name not in routing.signals.known.get("domain", {}) or not candidates:
        category.note("the decision it stood for is left out", "unsupported", key="model_scores")
        return None
    candidates.sort(key=lambda pair: -pair[0])
    made: dict[str, Any] = {"name": name}
    if description := category.text("description"):
        made["description"] = description
    made["when"] = f"domain:{name}"
    made["models"] = [entry for _, entry in candidates]
    if "system_prompt" in category and (prompt := _prompt(category)):
        made["plugins"] = {"system_prompt": prompt}
    return made


def _cache(root: Reader, out: Draft) -> bool:
    """``semantic_cache``: whether answers are cached where a category does not say otherwise."""
    for key in ("semantic_cache", "response_cache"):
        if key in root:
            cache = root.inner(key)
            read_cache(cache, out.keeping)
            return cache.flag("enabled") is not False
    return False


def _cached(category: Reader, defaults: dict[str, Any], caching: bool) -> dict[str, Any] | None:
    """The cache of a category. In vSR all its answers were shared by everybody."""
    wanted = category.flag("semantic_cache_enabled")
    threshold = category.number("semantic_cache_similarity_threshold", low=0, high=1)
    if not (caching if wanted is None else wanted):
        return None
    category.note(
        "answers are shared by the requests of one user or key, not by everybody (scope)", "mapped"
    )
    return {**defaults, "mode": "semantic", **({"threshold": threshold} if threshold else {})}


def _prompt(category: Reader) -> dict[str, Any] | None:
    prompt = category.text("system_prompt")
    mode = category.choice("system_prompt_mode", ("replace", "insert"))
    if category.flag("system_prompt_enabled") is False or not prompt:
        category.note("switched off, so nothing is lost", "ignored", key="system_prompt")
        return None
    return {"prompt": prompt, **({"mode": mode} if mode == "insert" else {})}
