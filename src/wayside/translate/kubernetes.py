"""Kubernetes resources of vSR: SemanticRouter, IntelligentPool and IntelligentRoute.

They are applied to a cluster, and the operator acts on them; ``serve`` does not load them. What
they say about models, signals and decisions is translated, and the first note says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wayside.translate.notes import Note, Translation
from wayside.translate.reading import Ledger, Reader
from wayside.translate.routing import Routing, read_decisions
from wayside.translate.semantic_router import RouterDraft, read_router
from wayside.translate.servers import family_of, read_loras
from wayside.translate.signals import Signals, read_signals
from wayside.translate.vsr_v03 import Draft, read_document, settle_default_model
from wayside.translate.vsr_v03 import recognises as is_canonical

NAME = "kubernetes"
_KINDS = ("SemanticRouter", "IntelligentPool", "IntelligentRoute")


def recognises(document: Mapping[Any, Any]) -> bool:
    """Whether ``document`` is one of vSR's resources."""
    return document.get("kind") in _KINDS and str(document.get("apiVersion", "")).startswith(
        "vllm.ai/"
    )


def translate(document: Mapping[Any, Any]) -> Translation:
    """One resource by itself."""
    return translate_together([document])


def translate_together(documents: Sequence[Mapping[Any, Any]]) -> Translation:
    """A pool, its routes, and the base configuration they extend, in any order."""
    notes: list[Note] = []
    out = RouterDraft()
    routes = []
    for document in sorted(documents, key=_order):
        ledger = Ledger()
        kind = document.get("kind")
        if kind is None:
            read_document(ledger.reader(document), out)
        else:
            spec = _spec(ledger.reader(document), str(kind))
            if kind == "IntelligentPool":
                _pool(spec, out)
            elif kind == "IntelligentRoute":
                routes.append(spec)
                _route(spec, out, whole=bool(out.models))
            else:
                read_router(spec, out)
        notes += ledger.close()
    given = any(document.get("kind") in _KINDS for document in documents)
    if given and out.top.pop("registry", None):
        said = "the resources are given here, and not taken from a cluster"
        notes.append(Note("global.router.config_source", said, "ignored"))
    return Translation(out.settings(), tuple(notes), NAME)


def belong_together(documents: Sequence[Mapping[Any, Any]]) -> bool:
    """Whether these are pools and routes, with at most one base configuration."""
    resources = [d for d in documents if recognises(d) and d["kind"] != "SemanticRouter"]
    bases = [d for d in documents if is_canonical(d)]
    return bool(resources) and len(bases) <= 1 and len(resources) + len(bases) == len(documents)


def _order(document: Mapping[Any, Any]) -> int:
    kind = document.get("kind")
    return 0 if kind is None else 1 if kind == "IntelligentPool" else 2


def _spec(resource: Reader, kind: str) -> Reader:
    resource.raw("apiVersion")
    resource.raw("kind")
    resource.set_aside("metadata", "the cluster's, not the router's", "ignored")
    resource.set_aside("status", "the operator's own remarks", "ignored")
    resource.note(
        f"{kind} is a Kubernetes resource: applied to a cluster and acted on by the operator, "
        "not loaded by serve",
        "mapped",
        key="kind",
    )
    spec = resource.raw("spec")
    return resource.ledger.reader(spec if isinstance(spec, Mapping) else {}, "spec", camel=True)


def _pool(spec: Reader, out: Draft) -> None:
    for model in spec.each("models"):
        name = model.text("name")
        if not name or len(name) > 256 or name in out.taken():
            model.leave_out("a model needs a name of its own", "refused")
            continue
        made: dict[str, Any] = {}
        if family := family_of(model, "reasoning_family", out.families, whole=False):
            made["reasoning_family"] = family
        if price := _price(model.inner("pricing")):
            made["price"] = price
        loras = read_loras(model, out.taken() | {name})
        if loras:
            made["loras"] = loras
        model.note("a pool does not say where its models are; add endpoints", "unsupported")
        out.models[name] = made
    if default := spec.text("default_model"):
        out.default_model = default
    settle_default_model(spec, out)


def _price(pricing: Reader) -> dict[str, Any] | None:
    """Prices per token, as prices per million."""
    out: dict[str, Any] = {}
    if currency := pricing.text("currency"):
        out["currency"] = currency
    for key, ours in (
        ("input_token_price", "prompt_per_1m"),
        ("cached_input_token_price", "cached_input_per_1m"),
        ("cache_write_token_price", "cache_write_per_1m"),
        ("output_token_price", "completion_per_1m"),
    ):
        if (value := pricing.number(key, low=0)) is not None:
            out[ours] = round(value * 1_000_000, 9)
    return out or None


def _route(spec: Reader, out: Draft, *, whole: bool) -> None:
    signals = Signals(out.domain_threshold)
    read_signals(spec.inner("signals"), signals)
    decisions = read_decisions(spec, Routing(signals, out.loras(), whole, keeping=out.keeping))
    known = out.routing.setdefault("signals", {})
    for kind, rules in signals.known.items():
        known.setdefault(kind, {}).update(rules)
    if not known:
        del out.routing["signals"]
    if decisions:
        out.routing["decisions"] = [*out.routing.get("decisions", ()), *decisions]


def translate_router(spec: Mapping[Any, Any], out: RouterDraft) -> Translation:
    """The spec of a SemanticRouter for its operator, which knows where its models are
    (``out.placed``). What has to be mounted, and the tools, are in ``out`` afterwards."""
    ledger = Ledger()
    read_router(ledger.reader(spec, "spec", camel=True), out)
    return Translation(out.settings(), ledger.close(), NAME)
