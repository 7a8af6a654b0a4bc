"""The ``spec`` of a SemanticRouter: what it says about models, and every key of its ``config``.

Most of ``config`` is vSR's flat and canonical formats under one roof, and is read by what reads
those. What stands for the whole router there (the guard, the cache, the list of tools) is put on
decisions here, so that it does something: see :mod:`wayside.translate.semantic_router_whole`.

Numbers that CRDs write as text (``"0.8"``) are read as numbers where a number belongs and nowhere
else: a password ``0123`` and a model called ``1`` stay what they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wayside.settings.address import parse_address
from wayside.translate.model_catalog import read_embeddings
from wayside.translate.projections import read_projections
from wayside.translate.reading import Reader
from wayside.translate.routing import Routing, read_decisions
from wayside.translate.semantic_router_cache import read_cache
from wayside.translate.semantic_router_whole import guard, on_everything, read_tools
from wayside.translate.servers import EFFORTS, family_of, read_families, read_loras
from wayside.translate.signals import Signals, read_signals
from wayside.translate.tracing import read_tracing
from wayside.translate.vsr_v03 import (
    Draft,
    read_domain_threshold,
    read_model_card,
    read_names,
    settle_default_model,
    trust_identity,
)

Rule = dict[str, Any]
_BUILT_IN = "the built-in engine answers; engines: can put a model of yours in its place"


@dataclass(slots=True)
class RouterDraft(Draft):
    """Settings of one SemanticRouter while they are put together."""

    placed: Mapping[str, Rule] | None = None
    """Where each model is, as the operator found it: part of ``models.<name>``. ``None`` where
    nobody looked: then only Services by name are somewhere."""
    tools_file: str = ""
    """Where the router will find the list of tools; empty: it is written into the settings."""
    secrets: list[tuple[str, str, str, bool]] = field(default_factory=list)
    """What has to be mounted: Secret, key, the field that asks, whether it may be absent."""
    tools: list[Rule] = field(default_factory=list)
    """``toolsDb`` as the plugin ``tool_selection`` reads it."""


def read_router(spec: Reader, out: RouterDraft) -> None:
    """Everything in ``spec`` into ``out``; what is the operator's own is set aside."""
    raw = spec.raw("config")
    config = spec.ledger.reader(raw if isinstance(raw, Mapping) else {}, spec.at("config"))
    out.families.update(read_families(config))
    if effort := config.choice("default_reasoning_effort", EFFORTS):
        out.top["default_effort"] = effort
    for endpoint in spec.each("vllm_endpoints"):
        _endpoint(endpoint, out)
    out.default_model = spec.text("default_model") or None
    settle_default_model(spec, out)
    out.tools = read_tools(spec)
    if out.tools and "tools" not in config:
        spec.note("is used where config.tools is", "unsupported", key="tools_db")
    read_config(config, out)
    read_names(config, out, whole=False)
    taken = out.taken()
    out.top["auto_names"] = [n for n in ("auto", "MoM", "vllm-sr/auto") if n not in taken]
    spec.set_aside_all("the operator's, not the router's", "ignored")


def read_config(config: Reader, out: RouterDraft) -> None:
    """``spec.config``, once the models are known."""
    routing = config.inner("routing")
    for card in routing.each("modelCards"):
        read_model_card(card, out, whole=True)
    read_embeddings(config.inner("embedding_models"), out.foreign)
    _classifier(config.inner("classifier"), out)
    _endpoint_is_used(config.inner("embedding_models"))
    caching = read_cache(config, out.keeping, out.secrets)
    signals = Signals(out.domain_threshold, out.foreign)
    for owner in (routing.inner("signals"), config.inner("signals"), config):
        read_signals(owner, signals)
    projections: Rule = {}
    for owner in (routing, config):
        for key, items in read_projections(owner, signals).items():
            projections.setdefault(key, []).extend(items)
    place = _once(config, routing, "strategy")
    if place is not None and (said := place.choice("strategy", ("priority", "confidence"))):
        out.routing["strategy"] = said
    decisions: list[Rule] = []
    if (place := _once(config, routing, "decisions")) is not None:
        decisions = read_decisions(
            place, Routing(signals, out.loras(), whole=True, keeping=out.keeping)
        )
    for decision in (d for o in (config, routing) for d in o.each("decisions")):
        decision.set_aside(
            "preferred_endpoints", "a model's endpoints share its requests by weight"
        )
    signals.known.pop("projection", None)
    guard(config, decisions, signals, out)
    on_everything(config, decisions, out, caching=caching)
    signals.close()
    for key, made in (
        ("signals", signals.known), ("projections", projections), ("decisions", decisions)
    ):  # fmt: skip
        if made:
            out.routing[key] = made
    _api(config.inner("api").inner("batch_classification"), out)
    if tracing := read_tracing(config.inner("observability").inner("tracing")):
        out.top["tracing"] = tracing
    trust_identity(config, out)


def _once(config: Reader, routing: Reader, key: str) -> Reader | None:
    """Which of the two places where ``key`` may stand has it; both is a contradiction."""
    config.raw(key)
    routing.raw(key)  # both know the word now, should somebody have misspelt it
    if key in config and key in routing:
        routing.note(f"config.{key} says it, too; write it in one place", "refused", key=key)
    return routing if key in routing else config if key in config else None


# --- models --------------------------------------------------------------------------------------


def _endpoint(endpoint: Reader, out: RouterDraft) -> None:
    """One entry of ``vllmEndpoints``. Those of one model are one model: the first family that is
    named counts, and each adapter once."""
    model, name = endpoint.text("model"), endpoint.text("name")
    weight = endpoint.number("weight", low=0, high=1_000_000)
    family = family_of(endpoint, "reasoning_family", out.families, whole=True)
    if not model or len(model) > 256:
        endpoint.leave_out("an endpoint needs a model", "refused")
        return
    if model not in out.models and model in out.taken():
        endpoint.leave_out(f"{model!r} already names an adapter", "refused")
        return
    made = out.models.setdefault(model, dict((out.placed or {}).get(model, {})))
    if family:
        made.setdefault("reasoning_family", family)
    _adapters(endpoint, model, made, out)
    if out.placed is not None:
        endpoint.raw("backend")  # the operator's business, which has looked
        return
    if (url := _service_url(endpoint.inner("backend"), endpoint)) is not None:
        entry: Rule = {"url": url, **({"name": name} if name else {})}
        if weight not in (None, 0, 1):
            entry["weight"] = weight
        made.setdefault("endpoints", []).append(entry)


def _adapters(endpoint: Reader, model: str, made: Rule, out: RouterDraft) -> None:
    own = [lora["name"] for lora in made.get("loras", ())]
    if loras := read_loras(endpoint, (out.taken() | {model}).difference(own), own):
        made["loras"] = [*made.get("loras", ()), *loras]


def _service_url(backend: Reader, endpoint: Reader) -> str | None:
    """Where a Service is, for whoever reads this outside the cluster."""
    kind = backend.text("type")
    if kind != "service":
        why = f"backends of type {kind} are found by the operator, not by serve"
        endpoint.leave_out(f"{why}; the model is taken without this endpoint")
        return None
    service = backend.inner("service")
    host = ".".join(p for p in (service.text("name"), service.text("namespace")) if p)
    suffix = ".svc.cluster.local" if "namespace" in service else ""
    port = service.whole("port", low=1, high=65535) or 8000
    scheme = backend.choice("scheme", ("http", "https")) or "http"
    for key in ("api_key_secret_ref", "ca_secret_ref", "ca_config_map_ref", "server_name"):
        backend.set_aside(key, "is what the operator mounts; write credential and tls")
    try:
        return str(parse_address(f"{scheme}://{host}{suffix}:{port}"))
    except ValueError as error:
        endpoint.leave_out(f"{error}; the model is taken without this endpoint", "refused")
        return None


# --- the rest ------------------------------------------------------------------------------------


def _classifier(classifier: Reader, out: RouterDraft) -> None:
    read_domain_threshold(classifier.inner("category_model"), out)
    pii = classifier.inner("pii_model")
    if "threshold" in pii:
        pii.note("is for vSR's detector; the built-in one has its own", "mapped", key="threshold")
    for key in list(pii):
        if key != "threshold":
            pii.set_aside(key, _BUILT_IN, "ignored")
        pii.raw(key)


def _endpoint_is_used(embedding: Reader) -> None:
    """A server of embeddings that nobody would ask is a mistake, not a remark."""
    backend = embedding.inner("embedding_config").text("backend")
    if "endpoint" in embedding and backend not in ("remote", "openai_compatible"):
        what = "is asked where embedding_config.backend is openai_compatible; write that, too"
        embedding.note(what, "refused", key="endpoint")


def _api(batch: Reader, out: RouterDraft) -> None:
    if most := batch.whole("max_batch_size"):
        out.top["management"] = {"max_batch_size": most}
    for key in ("concurrency_threshold", "max_concurrency"):
        batch.set_aside(
            key, "texts of a batch are read side by side as engines have room", "ignored"
        )
    batch.set_aside("metrics", "every batch is measured, always", "ignored")
