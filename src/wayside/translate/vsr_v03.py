"""vSR's canonical v0.3 documents, and the nested documents of its v0.1 command line.

Recognised by ``version: v0.3``, or by ``providers``, ``routing`` or ``global``. The single
``plugin``, ``plugins`` and ``algorithm`` files of its examples are not documents;
:func:`translate_fragment` reads those.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wayside.settings.address import parse_address
from wayside.translate.keeping import Keeping, read_replay, read_responses, read_stores
from wayside.translate.learned import Models
from wayside.translate.model_catalog import read_model_catalog
from wayside.translate.notes import Translation
from wayside.translate.projections import read_projections
from wayside.translate.reading import Ledger, Reader
from wayside.translate.routing import Routing, read_decisions
from wayside.translate.servers import (
    EFFORTS,
    family_of,
    read_api_format,
    read_backend,
    read_credential,
    read_families,
    read_loras,
    read_price,
    read_reliability,
    read_upstream_name,
    shared_servers,
)
from wayside.translate.signals import Signals, read_signals
from wayside.translate.tracing import read_tracing

NAME = "vsr_v03"
_AUTO = ("vllm-sr/auto", "auto", "MoM")
"""The names that vSR gives itself (spec: vSR 1.2)."""


def recognises(document: Mapping[Any, Any]) -> bool:
    """Whether ``document`` is of this format. Flat documents have ``vllm_endpoints``."""
    if any(
        key in document for key in ("vllm_endpoints", "model_config", "kind", "models", "registry")
    ):
        return False
    return str(document.get("version", "")) == "v0.3" or any(
        isinstance(document.get(key), Mapping) for key in ("providers", "routing", "global")
    )


def translate(document: Mapping[Any, Any]) -> Translation:
    """The whole of ``document``. See :mod:`wayside.translate` for what the notes promise."""
    ledger = Ledger()
    out = Draft()
    read_document(ledger.reader(document), out)
    return Translation(out.settings(), ledger.close(), NAME)


def translate_fragment(hint: str, document: Mapping[Any, Any]) -> Translation:
    """A file that holds one piece of a document: ``algorithm``, ``plugin`` or ``plugins``.

    It becomes the decision that it would be part of, named ``hint``.
    """
    if recognises(document):
        return translate(document)
    ledger = Ledger()
    root = ledger.reader({"decisions": [_as_decision(hint, document)]})
    routing = Routing(Signals(), whole=False)
    decisions = read_decisions(root, routing)
    out = Draft(routing={"decisions": decisions} if decisions else {}, keeping=routing.keeping)
    trust_identity(root, out)
    notes = tuple(_unwrapped(document, note) for note in ledger.close())
    settings = out.settings() if decisions else {}
    return Translation(settings, notes, NAME)


def _as_decision(hint: str, document: Mapping[Any, Any]) -> dict[Any, Any]:
    hint = hint.rpartition("/")[2].partition(".")[0]
    decision = {k: v for k, v in document.items() if k != "plugin"}
    if "plugin" in document:
        decision["plugins"] = [document["plugin"]]
    return {**decision, "name": hint or "fragment"}


def _unwrapped(document: Mapping[Any, Any], note: Any) -> Any:
    path = note.path.removeprefix("decisions[0]").removeprefix(".")
    if "plugin" in document:
        path = path.replace("plugins[0]", "plugin", 1)
    return type(note)(path, note.what, note.severity)


@dataclass(slots=True)
class Draft:
    """Our settings while they are put together."""

    top: dict[str, Any] = field(default_factory=dict)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    families: dict[str, dict[str, str]] = field(default_factory=dict)
    routing: dict[str, Any] = field(default_factory=dict)
    recipes: dict[str, dict[str, Any]] = field(default_factory=dict)
    entrypoints: list[dict[str, Any]] = field(default_factory=list)
    default_model: str | None = None
    domain_threshold: float | None = None
    foreign: Models = field(default_factory=Models)
    keeping: Keeping = field(default_factory=Keeping)
    pii_policies: dict[str, list[str]] = field(default_factory=dict)
    """Models that may see only these types of personal data."""

    def loras(self) -> dict[str, frozenset[str]]:
        """Model -> its adapters."""
        return {
            name: frozenset(lora["name"] for lora in model.get("loras", ()))
            for name, model in self.models.items()
        }

    def taken(self) -> set[str]:
        """Names of models and adapters: clients ask for either, so no two may be the same."""
        return set(self.models).union(*self.loras().values())

    def settings(self) -> dict[str, Any]:
        """As ``RouterSettings`` reads it; what has nothing to say is absent."""
        routing = {**self.routing}
        if self.default_model:
            routing = {"default_model": self.default_model, **routing}
        parts = {
            **self.top,
            "models": self.models,
            "engines": {**self.foreign.engines, **self.keeping.engines},
            "stores": self.keeping.stores,
            "reasoning_families": self.families,
            "routing": routing,
            "recipes": self.recipes,
            "entrypoints": self.entrypoints,
        }
        return {key: value for key, value in parts.items() if value or value is False}


def read_document(root: Reader, out: Draft) -> None:
    """Everything in ``root`` into ``out``."""
    root.set_aside("version", "the keys tell", "ignored")
    whole = "providers" in root
    read_listeners(root, out)
    providers = root.inner("providers")
    _read_defaults(providers, out)
    routing = root.inner("routing")
    _read_models(providers, routing, out, whole=whole)
    settle_default_model(providers, out)
    global_ = root.inner("global")
    read_global(global_, out, whole=whole)
    top = _read_routing(routing, out, whole=whole and bool(out.models), extra=root)
    out.routing = {**out.routing, **top}
    _read_recipes(root, out, whole=whole and bool(out.models))
    read_entrypoints(root, out)
    trust_identity(root, out)
    root.set_aside("evaluation", "benchmark records do not choose the model yet")
    root.set_aside("catalog", "catalogs of models are not supported yet")


def read_listeners(root: Reader, out: Draft) -> None:
    """The first listener; a router has one here."""
    for index, listener in enumerate(root.each("listeners")):
        if index:
            listener.leave_out("one listener is supported; the first is taken")
            continue
        listener.remark("name")
        listen: dict[str, Any] = {}
        if address := listener.text("address"):
            listen["address"] = address
        if (port := listener.whole("port", high=65535)) is not None:
            listen["port"] = port
        listener.set_aside(
            "timeout", "time limits belong to a model here: models.<name>.timeouts", "unsupported"
        )
        if "api_keys" in listener:
            listener.set_aside("api_keys", "clients' keys are not checked yet")
            if (address := listen.pop("address", "")) and not _is_loopback(address):
                why = "stays on loopback, as api_keys are not supported"
                listener.note(why, "refused", key="address")
        if listen:
            out.top["listen"] = listen


def _read_defaults(providers: Reader, out: Draft) -> None:
    """``providers.defaults``; the v0.1 command line has the same keys in ``providers``."""
    for owner in (providers.inner("defaults"), providers):
        out.families.update(read_families(owner))
        for key in ("default_reasoning_effort", "reasoning_effort"):
            if effort := owner.choice(key, EFFORTS):
                out.top["default_effort"] = effort
        for key in ("default_model", "model"):
            if model := owner.text(key):
                out.default_model = model
    providers.set_aside("external_models", "helper models are not supported yet")


def settle_default_model(owner: Reader, out: Draft) -> None:
    """The default model must exist; an adapter stands for its model."""
    name = out.default_model
    if name is None or not out.models or name in out.models:
        return
    owner_of = next((m for m, loras in out.loras().items() if name in loras), None)
    if owner_of is None:
        owner.note(f"default model {name!r}: nothing defines it; left out", "refused")
    else:
        owner.note(f"default model {name!r} is an adapter; {owner_of!r} answers", "unsupported")
    out.default_model = owner_of


def _read_models(providers: Reader, routing: Reader, out: Draft, *, whole: bool) -> None:
    for model in providers.each("models"):
        name = model.text("name")
        if not name or len(name) > 256:
            model.leave_out("a model needs a name", "refused")
        elif name in out.taken():
            model.leave_out(f"a second model or adapter named {name!r}", "refused")
        else:
            out.models[name] = _model(model, name, out, whole=whole)
    for card in routing.each("modelCards"):
        read_model_card(card, out, whole=whole)


def _model(model: Reader, name: str, out: Draft, *, whole: bool) -> dict[str, Any]:
    made: dict[str, Any] = {}
    servers = [
        server
        for key in ("backend_refs", "endpoints")
        for ref in model.each(key)
        if (server := read_backend(ref)) is not None
    ]
    made.update(shared_servers(servers, model))
    if credential := read_credential(model, ""):  # the v0.1 command line's, for all endpoints
        made["credential"] = credential
    if upstream := read_upstream_name(model, name):
        made["upstream_name"] = upstream
    if description := model.text("description"):
        made["description"] = description
    family = family_of(model, "reasoning_family", out.families, whole=whole)
    if family := family or _own_reasoning(model, name, out):
        made["reasoning_family"] = family
    if "reasoning_family" in model:
        model.set_aside("reasoning", "reasoning_family is taken instead", "ignored")
    if price := read_price(model):
        made["price"] = price
    if loras := read_loras(model, out.taken() | {name}):
        made["loras"] = loras
    made.update(read_api_format(model))
    if size := _billions(model.text("param_size") or ""):
        made["parameters_b"] = size
    made.update(read_reliability(model))
    return made


def _own_reasoning(model: Reader, name: str, out: Draft) -> str | None:
    """The per-model ``reasoning`` block of later documents, as a family of its own."""
    reasoning = model.inner("reasoning")
    if not reasoning:
        return None
    for key in ("activation_parameter", "effort_flags", "levels", "default", "modes"):
        reasoning.set_aside(key, "not supported yet")
    if "type" not in reasoning:
        return family_of(reasoning, "family", out.families, whole=False)
    family = reasoning.text("family") or name
    kind, parameter = reasoning.text("type"), reasoning.text("parameter")
    if kind in ("chat_template_kwargs", "reasoning_effort", "top_level_reasoning_effort") and (
        parameter
    ):
        out.families.setdefault(family, {"type": kind, "parameter": parameter})
        return family
    reasoning.leave_out("this way to reason is not supported yet")
    return None


def read_model_card(card: Reader, out: Draft, *, whole: bool) -> None:
    """What ``routing.modelCards`` says about a model."""
    name = card.text("name")
    if not name or len(name) > 256:
        card.leave_out("a model card needs a name", "refused")
        return
    if name not in out.models:
        if whole or name in out.taken():
            card.leave_out(f"no provider serves model {name!r}", "refused")
            return
        out.models[name] = {}
    made = out.models[name]
    if description := card.text("description"):
        made["description"] = description
    if window := card.whole("context_window_size", low=1):
        made["context_window"] = window
    own = made.pop("loras", [])
    if loras := [*own, *read_loras(card, out.taken() | {lora["name"] for lora in own})]:
        made["loras"] = loras
    read_card(card, made)


def read_card(card: Reader, made: dict[str, Any]) -> None:
    """What selection algorithms read of a model."""
    if size := _billions(card.text("param_size") or ""):
        made["parameters_b"] = size
    if able := card.texts("capabilities"):
        made["capabilities"] = able
    if (quality := card.number("quality_score", low=0, high=1)) is not None:
        made["quality"] = quality
    for key in ("modality", "tags"):
        card.set_aside(key, "does not choose the model", "ignored")


_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([bBmM])")


def _billions(text: str) -> float | None:
    """``8B`` or ``350m`` in billions."""
    found = _SIZE.fullmatch(text.strip())
    if found is None or not float(found[1]):
        return None
    return float(found[1]) / (1000 if found[2] in "mM" else 1)


def _read_routing(
    routing: Reader, out: Draft, *, whole: bool, extra: Reader | None = None
) -> dict[str, Any]:
    """Strategy, signals and decisions of ``routing``, and of ``extra`` where v0.1 has them."""
    made: dict[str, Any] = {}
    if strategy := routing.choice("strategy", ("priority", "confidence")):
        made["strategy"] = strategy
    signals = Signals(out.domain_threshold, out.foreign)
    owners = [routing] if extra is None else [routing, extra]
    for owner in owners:
        read_signals(owner.inner("signals"), signals)
    projections: dict[str, Any] = {}
    for owner in owners:
        for key, items in read_projections(owner, signals).items():
            projections.setdefault(key, []).extend(items)
    decisions: list[dict[str, Any]] = []
    for owner in owners:
        decisions += read_decisions(
            owner, Routing(signals, out.loras(), whole, keeping=out.keeping)
        )
    signals.known.pop("projection", None)
    signals.close()
    if signals.known:
        made["signals"] = signals.known
    if projections:
        made["projections"] = projections
    if decisions:
        made["decisions"] = decisions
    return made


def _read_recipes(root: Reader, out: Draft, *, whole: bool) -> None:
    for recipe in root.each("recipes"):
        name = recipe.text("name")
        recipe.remark("description")
        if not name or len(name) > 256 or name == "default" or name in out.recipes:
            recipe.leave_out("a recipe needs a name of its own, other than default", "refused")
            continue
        made = _read_routing(recipe.inner("routing"), out, whole=whole)
        if out.default_model:
            made = {"default_model": out.default_model, **made}
        out.recipes[name] = made


def read_entrypoints(root: Reader, out: Draft) -> None:
    """Names that route by a recipe; those of ``default`` join the automatic ones."""
    taken = out.taken()
    automatic = set(out.top.get("auto_names", _AUTO))
    for entry in root.each("entrypoints"):
        recipe = entry.text("recipe") or "default"
        names = []
        for index, name in enumerate(entry.texts("model_names")):
            clash = name in taken or (recipe != "default" and name in automatic)
            if not name or len(name) > 256 or clash:
                path = f"{entry.at('model_names')}[{index}]"
                entry.ledger.add(path, "empty, too long, or already routed otherwise", "refused")
            else:
                names.append(name)
                taken.add(name)
        if recipe == "default":
            auto = out.top.get("auto_names", list(_AUTO))
            out.top["auto_names"] = [*auto, *(n for n in names if n not in auto)]
        elif recipe not in out.recipes:
            entry.leave_out(f"nothing defines recipe {recipe!r}", "refused")
        elif names:
            out.entrypoints.append({"names": names, "recipe": recipe})
        else:
            entry.leave_out("an entrypoint needs model_names", "refused")


def read_global(global_: Reader, out: Draft, *, whole: bool) -> None:
    """``global``: what the router calls itself, the management listener, and what is not here."""
    _read_router(global_.inner("router"), out, whole=whole)
    services = global_.inner("services")
    _read_management(services.inner("management_api"), out)
    for key, what in {
        "api": "limits of the classification API",
        "ratelimit": "rate limits: nothing is limited",
        "startup_status": "a stored start-up status",
    }.items():
        services.set_aside(key, f"not supported yet: {what}")
    read_observability(services.inner("observability"), out)
    read_authz(services.inner("authz"), out)
    read_stores(global_.inner("stores"), out.keeping)
    read_replay(services.inner("router_replay"), out.keeping)
    if responses := read_responses(services.inner("response_api"), out.keeping):
        out.top["responses"] = responses
    integrations = global_.inner("integrations")
    for key in ("tools", "looper", "mcp"):
        integrations.set_aside(key, "not supported yet")
    _read_catalog(global_.inner("model_catalog"), out)


def read_observability(observability: Reader, out: Draft) -> None:
    """What can be seen of the router: its traces; metrics are always there."""
    observability.set_aside("metrics", "they are always there, at /metrics", "ignored")
    if tracing := read_tracing(observability.inner("tracing")):
        out.top["tracing"] = tracing


def read_authz(authz: Reader, out: Draft) -> None:
    """Which headers say who is asking; credentials by user are not here yet."""
    identity = authz.inner("identity")
    found = {}
    for theirs, ours in (
        ("user_id_header", "user"),
        ("user_groups_header", "groups"),
        ("team_id_header", "team"),
        ("tenant_id_header", "tenant"),
    ):
        if name := identity.text(theirs):
            found[f"{ours}_header"] = name.lower()
    if found:
        out.top["identity"] = found
    authz.set_aside("providers", "not supported yet: credentials by user")
    authz.set_aside("fail_open", "a rule that nobody can evaluate is on_unknown's", "ignored")


def trust_identity(root: Reader, out: Draft) -> None:
    """Role bindings were believed there; so they are here, and the operator is told."""
    rules = [out.routing, *out.recipes.values()]
    remembers = any(
        "memory" in decision.get("plugins", {})
        for routing in rules
        for decision in routing.get("decisions", ())
    )
    if remembers or any("authz" in routing.get("signals", {}) for routing in rules):
        out.top["identity"] = {**out.top.get("identity", {}), "trusted": True}
        root.note(
            "role bindings and memories believe the identity headers of every request, as in "
            "vSR: a proxy in front must set or remove them (identity.trusted)",
            "mapped",
        )


def _read_router(router: Reader, out: Draft, *, whole: bool) -> None:
    read_names(router, out, whole=whole)
    if strategy := router.choice("strategy", ("priority", "confidence")):
        out.routing.setdefault("strategy", strategy)
    if router.text("config_source") == "kubernetes":
        out.top["registry"] = {"routes": True}
    router.set_aside("clear_route_cache", "the generated Envoy needs no switch for it", "ignored")
    for key in ("streamed_body", "skip_processing", "model_selection", "learning"):
        router.set_aside(key, "not supported yet")


def read_names(owner: Reader, out: Draft, *, whole: bool) -> None:
    """Names that ask the router to choose, and whether ``/v1/models`` lists the models."""
    one, several = owner.text("auto_model_name"), owner.texts("auto_model_names")
    taken = out.taken()
    names = [n for n in dict.fromkeys((*several, one or "")) if n and len(n) <= 256]
    for name in [n for n in names if n in taken]:
        owner.note(f"{name!r} names a model; it asks for that model, not for a choice", "refused")
        names.remove(name)
    defaults = [n for n in _AUTO if n not in names and n not in taken]
    if names and not several:
        names += defaults
    if names:
        out.top["auto_names"] = names
    elif whole:
        out.top["auto_names"] = defaults
    listed = owner.flag("include_config_models_in_list")
    if listed is not None:
        out.top["list_models"] = listed
    elif whole:
        out.top["list_models"] = False
        owner.note("absent, and false in vSR", "defaulted", key="include_config_models_in_list")


def _read_management(management: Reader, out: Draft) -> None:
    """The management listener. It stays on loopback if its protection cannot be kept."""
    made: dict[str, Any] = {}
    auth = management.inner("auth")
    protected = (auth.text("mode") or "disabled") != "disabled"
    if protected:
        auth.leave_out("tokens are not checked yet; the listener stays on loopback")
    else:
        auth.set_aside("tokens", "auth is off", "ignored")
        auth.set_aside("roles", "auth is off", "ignored")
    address = management.text("bind_address")
    if address and protected and not _is_loopback(address):
        management.note(
            "stays on loopback, as auth is not supported", "refused", key="bind_address"
        )
    elif address:
        made["address"] = address
    if (port := management.whole("port", high=65535)) is not None:
        made["port"] = port
    management.set_aside("remote_exposure", "bind_address alone decides", "ignored")
    if made:
        out.top["management"] = made


def _is_loopback(address: str) -> bool:
    try:
        host = parse_address(address).host
    except ValueError:
        return False
    return host in ("localhost", "::1") or host.startswith("127.")


def _read_catalog(catalog: Reader, out: Draft) -> None:
    """Models that read prompts, and the domain classifier's threshold."""
    domain = catalog.inner("modules").inner("classifier").inner("domain")
    read_domain_threshold(domain, out)
    read_model_catalog(catalog, out.foreign)


def read_domain_threshold(domain: Reader, out: Draft) -> None:
    """``threshold`` of the domain classifier, kept although the classifiers differ."""
    out.domain_threshold = domain.number("threshold", low=0, high=1)
    if out.domain_threshold is not None:
        domain.note(
            "kept, but it was chosen for another classifier's softmax: ours is calibrated, and "
            "its default is the better start",
            "mapped",
            key="threshold",
        )
    for key in (
        "model_id",
        "model_ref",
        "use_cpu",
        "use_modernbert",
        "use_mmbert_32k",
        "category_mapping_path",
        "fallback_category",
        "enabled",
    ):
        domain.set_aside(key, "the built-in classifier is used", "ignored")
