"""llm-d: its InferencePools, the picker's configuration, the routes to them, and Helm values.

What the Gateway, the endpoint picker and the InferencePool did together, the router does by
itself: a pool becomes a model whose servers are the pool's pods, and the picker's profile its
``picking``. Read are manifests (InferencePool, EndpointPickerConfig by itself or in a ConfigMap,
HTTPRoute, InferenceModel, InferenceModelRewrite) and the values of the charts ``inferencepool``,
``llm-d-router`` and ``llm-d-modelservice``, together where they are given together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from wayside.settings.load import documents as parsed
from wayside.translate.llm_d_picking import Picked, picked
from wayside.translate.notes import Translation
from wayside.translate.picker_params import seconds
from wayside.translate.reading import Ledger, Reader
from wayside.vocab.errors import WaysideError

NAME = "llm_d"
_POOLS: Final = ("inference.networking.k8s.io/", "inference.networking.x-k8s.io/")
_EPP: Final = ("llm-d.ai/", "inference.networking.x-k8s.io/")
_KINDS: Final = {
    "InferencePool": _POOLS,
    "InferenceModel": _POOLS,
    "InferenceModelRewrite": (*_POOLS, "llm-d.ai/"),
    "EndpointPickerConfig": _EPP,
}
_GATEWAY: Final = "the gateway's, whose place the router takes"
_PODS: Final = "of the picker's own pod, whose place the router takes"
_SERVERS: Final = "the model's servers stay as they are"


class _Pool:
    """Pods that serve one model."""

    def __init__(self, name: str, path: Reader) -> None:
        self.name, self.reader = name, path
        self.selector: dict[str, str] = {}
        self.ports: list[int] = []
        self.namespace = ""
        self.object = False
        """Whether there is an InferencePool of this name."""
        self.models: dict[str, str] = {}
        """Names that clients ask for, each with the name that the servers know."""
        self.total_s: float | None = None


class _Draft:
    """What has been read so far."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.pools: dict[str, _Pool] = {}
        self.picked: Picked | None = None
        self.prefills = False
        self.model = ""
        """What the values of ``llm-d-modelservice`` call the model."""

    def pick(self, document: Mapping[Any, Any], reader: Reader, path: str) -> None:
        if self.picked is not None:
            said = "one picker's configuration is taken; convert each pool with its own"
            self.ledger.add(path, said, "refused")
            return
        self.picked = picked(document, reader, path)


def recognises(document: Mapping[Any, Any]) -> bool:
    """Whether ``document`` is of this format."""
    kind, version = document.get("kind"), str(document.get("apiVersion", ""))
    if isinstance(kind, str):
        return version.startswith(_KINDS[kind]) if kind in _KINDS else False
    return any(_section(document, key) for key in ("inferenceExtension", "modelArtifacts")) or (
        _section(document, "router") and bool({"epp", "modelServers"} & set(document["router"]))
    )


def _section(document: Mapping[Any, Any], key: str) -> bool:
    return isinstance(document.get(key), Mapping)


def translate(document: Mapping[Any, Any]) -> Translation:
    """One document by itself."""
    return translate_together([document])


def belong_together(documents: Sequence[Mapping[Any, Any]]) -> bool:
    """Whether there is something of llm-d's among manifests and values."""
    return any(map(recognises, documents)) and all(
        recognises(d) or isinstance(d.get("kind"), str) for d in documents
    )


def translate_together(documents: Sequence[Mapping[Any, Any]]) -> Translation:
    """Manifests and values that make one deployment, in any order."""
    ledger = Ledger()
    draft = _Draft(ledger)
    for document in sorted(documents, key=_order):
        reader = ledger.reader(document)
        kind = document.get("kind")
        if not isinstance(kind, str):
            _values(reader, draft)
            continue
        if kind == "EndpointPickerConfig":
            draft.pick(document, reader, "")
            continue
        reader.raw("apiVersion")
        reader.raw("kind")
        _READ.get(kind, _other)(reader, draft)
    return Translation(_settings(draft), ledger.close(), NAME)


def _order(document: Mapping[Any, Any]) -> int:
    """Pools before what refers to them."""
    kind = document.get("kind")
    return 0 if kind == "InferencePool" else 1 if not isinstance(kind, str) else 2


# manifests


def _pool(resource: Reader, draft: _Draft) -> None:
    meta, spec = resource.inner("metadata"), resource.inner("spec")
    name = meta.text("name") or "pool"
    pool = _Pool(name, spec)
    pool.object = True
    pool.namespace = meta.text("namespace") or ""
    meta.set_aside_all("the cluster's, not the router's", "ignored")
    resource.set_aside("status", "the cluster's own remarks", "ignored")
    selector = spec.inner("selector")
    labels = selector.inner("matchLabels") if "matchLabels" in selector else selector
    pool.selector = _labels(labels)
    pool.ports = _ports(spec)
    for key in ("endpointPickerRef", "extensionRef"):
        spec.set_aside(key, "no other picker is asked", "ignored")
    spec.set_aside("appProtocol", "servers are asked over HTTP/1.1", "ignored")
    _keep(pool, draft)


def _keep(pool: _Pool, draft: _Draft) -> None:
    if not pool.selector:
        pool.reader.note("it selects no pods; left out", "refused")
    elif pool.name in draft.pools:
        pool.reader.note(f"{pool.name!r} twice; left out", "refused")
    else:
        draft.pools[pool.name] = pool


def _labels(labels: Reader) -> dict[str, str]:
    found = {}
    for key in labels:
        value = labels.text(key)
        if value is None:
            continue
        if any(c in f"{key}{value}" for c in ",=! ()\n"):
            labels.note("not a label; left out", "refused", key=key)
        else:
            found[key] = value
    return found


def _ports(spec: Reader) -> list[int]:
    found = []
    for port in spec.each("targetPorts"):
        number = port.whole("number", low=1, high=65535)
        found += [number] if number is not None else []
    old = spec.whole("targetPortNumber", low=1, high=65535)
    return list(dict.fromkeys(found or ([old] if old else [])))


def _route(resource: Reader, draft: _Draft) -> None:
    resource.set_aside("metadata", _GATEWAY, "ignored")
    resource.set_aside("status", _GATEWAY, "ignored")
    spec = resource.inner("spec")
    for rule in spec.each("rules"):
        names = _names(rule)
        total = rule.inner("timeouts").text("request")
        rule.inner("timeouts").set_aside_all("the request's own timeout is taken", "ignored")
        rule.set_aside("filters", "requests are not rewritten by routes", "unsupported")
        rule.remark("name")
        for backend in rule.each("backendRefs"):
            pool = draft.pools.get(backend.text("name") or "")
            if backend.text("kind") != "InferencePool" or pool is None:
                said = "no InferencePool of these files; name what it leads to under models"
                backend.leave_out(said, "unsupported")
                continue
            for key in ("group", "namespace", "port", "weight"):
                backend.set_aside(key, "the pool says where its servers are", "ignored")
            for name in names:
                pool.models.setdefault(name, name)
            limit = seconds(total) if total is not None else None
            if limit:
                pool.total_s = limit
            elif limit is None and total is not None:
                rule.note(f"{total!r} is no duration; left out", "refused", key="timeouts")
    spec.set_aside_all(_GATEWAY, "ignored")


def _names(rule: Reader) -> list[str]:
    """Models that a header names; the path of a request says nothing about it."""
    found = []
    for match in rule.each("matches"):
        for header in match.each("headers"):
            name, value = header.text("name") or "", header.text("value") or ""
            kind = header.text("type") or "Exact"
            if "model" in name.lower() and kind == "Exact" and 0 < len(value) <= 256:
                found.append(value)
            else:
                header.leave_out("requests are routed by what they ask", "unsupported")
        match.set_aside_all("requests are routed by their model", "ignored")
    return found


def _inference_model(resource: Reader, draft: _Draft) -> None:
    resource.set_aside("metadata", "the cluster's, not the router's", "ignored")
    resource.set_aside("status", "the cluster's own remarks", "ignored")
    spec = resource.inner("spec")
    pool = _referred(spec, draft)
    name = spec.text("modelName") or ""
    spec.set_aside("criticality", "who goes first is said by urgency of decisions", "unsupported")
    targets = [target.text("name") or "" for target in spec.each("targetModels")]
    for target in spec.each("targetModels"):
        target.set_aside("weight", "it is the only one", "ignored")
    if pool is None or not 0 < len(name) <= 256:
        spec.leave_out("it names no model of a pool of these files", "refused")
    elif len(targets) > 1:
        spec.leave_out(_SHARED, "unsupported")
    else:
        pool.models[name] = targets[0] if targets and targets[0] else name


_SHARED: Final = (
    "shared out between several names; write a model for each, and a decision with "
    "select: weighted"
)


def _rewrite(resource: Reader, draft: _Draft) -> None:
    resource.set_aside("metadata", "the cluster's, not the router's", "ignored")
    resource.set_aside("status", "the cluster's own remarks", "ignored")
    spec = resource.inner("spec")
    pool = _referred(spec, draft)
    for rule in spec.each("rules"):
        targets = [target.text("modelRewrite") or "" for target in rule.each("targets")]
        for target in rule.each("targets"):
            target.set_aside("weight", "it is the only one", "ignored")
        names = []
        for match in rule.each("matches"):
            model = match.inner("model")
            names.append(model.text("value") or "")
            model.set_aside("type", "names are compared letter by letter", "ignored")
        if pool is None or not all(0 < len(name) <= 256 for name in names) or not names:
            rule.leave_out("it names no model of a pool of these files", "refused")
        elif len(targets) != 1 or not targets[0]:
            rule.leave_out(_SHARED, "unsupported")
        else:
            pool.models |= dict.fromkeys(names, targets[0])


def _referred(spec: Reader, draft: _Draft) -> _Pool | None:
    reference = spec.inner("poolRef")
    name = reference.text("name") or ""
    reference.set_aside_all("a pool is known by its name", "ignored")
    return draft.pools.get(name)


def _config_map(resource: Reader, draft: _Draft) -> None:
    resource.set_aside("metadata", "the cluster's, not the router's", "ignored")
    data = resource.inner("data")
    for key in data:
        _embedded(data, key, draft)


def _embedded(owner: Reader, key: str, draft: _Draft) -> None:
    """A picker's configuration, as text."""
    path = owner.at(key)
    try:
        found = parsed(owner.text(key) or "")
    except WaysideError:
        found = []
    if len(found) == 1 and found[0].get("kind") == "EndpointPickerConfig":
        draft.pick(found[0], draft.ledger.reader(found[0], path), path)
    else:
        owner.note("no EndpointPickerConfig; left out", "unsupported", key=key)


def _other(resource: Reader, draft: _Draft) -> None:
    kind = resource.text("kind")
    if kind == "InferenceObjective":
        said = "who goes first is said by urgency, of decisions and groups"
        resource.set_aside_all(f"{kind}: {said}", "unsupported")
    else:
        resource.set_aside_all(f"{kind}: not a router's", "ignored")


_READ: Final = {
    "InferencePool": _pool,
    "InferenceModel": _inference_model,
    "InferenceModelRewrite": _rewrite,
    "HTTPRoute": _route,
    "ConfigMap": _config_map,
}


# values of Helm charts


def _values(root: Reader, draft: _Draft) -> None:
    router = root.inner("router")
    epp = router.inner("epp") if "epp" in router else root.inner("inferenceExtension")
    if "pluginsConfig" in epp:
        inner = epp.raw("pluginsConfig")
        if isinstance(inner, Mapping):
            path = epp.at("pluginsConfig")
            head = {"apiVersion": "llm-d.ai/v1alpha1", "kind": "EndpointPickerConfig"}
            document = {**head, **inner}
            draft.pick(document, draft.ledger.reader(document, path), path)
    custom = epp.inner("pluginsCustomConfig")
    wanted = epp.text("pluginsConfigFile")
    for key in custom:
        if wanted is None or key == wanted:
            _embedded(custom, key, draft)
        else:
            custom.set_aside(key, "pluginsConfigFile names another", "ignored")
    if wanted is not None and wanted not in custom:
        said = "a configuration of the image's own; the usual picking is taken"
        if draft.picked is not None:
            said = "what the file holds is written beside it"
        epp.note(said, "ignored", key="pluginsConfigFile")
    epp.set_aside_all(_PODS, "ignored")
    pool = root.inner("inferencePool")
    servers = router.inner("modelServers") if "modelServers" in router else pool
    selector = servers.inner("modelServers") if servers is pool else servers
    labels = _labels(selector.inner("matchLabels"))
    if labels:
        made = _Pool("llm-d", selector)
        made.selector, made.ports = labels, _ports(servers)
        _keep(made, draft)
    for reader in (pool, selector, servers, router):
        reader.set_aside_all(_PODS, "ignored")
    if "modelArtifacts" in root:
        _model_service(root, draft)
    root.set_aside_all(_PODS, "ignored")


def _model_service(root: Reader, draft: _Draft) -> None:
    artifacts, routing = root.inner("modelArtifacts"), root.inner("routing")
    draft.model = artifacts.text("name") or ""
    labels = _labels(artifacts.inner("labels"))
    port = routing.whole("servicePort", low=1, high=65535)
    if labels and not draft.pools:
        made = _Pool(draft.model or "llm-d", artifacts)
        made.selector, made.ports = labels, [port] if port else []
        _keep(made, draft)
    else:
        routing.set_aside("servicePort", "the pool says the port", "ignored")
        artifacts.set_aside("labels", "the pool says which pods are its own", "ignored")
    prefill = root.inner("prefill")
    draft.prefills = bool(prefill.flag("create")) and prefill.number("replicas") != 0
    for reader in (prefill, root.inner("decode"), artifacts, routing):
        reader.set_aside_all(_SERVERS, "ignored")


# what comes out


def _settings(draft: _Draft) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if draft.picked is not None and draft.picked.picking:
        out["picking"] = draft.picked.picking
    models: dict[str, Any] = {}
    for pool in draft.pools.values():
        names = pool.models or _named(pool, draft)
        for name, upstream in names.items():
            if name in models:
                pool.reader.note(f"another pool serves {name!r}, too; left out", "refused")
                continue
            models[name] = _model(pool, name, upstream, draft)
    if models:
        out["models"] = models
    return out


def _named(pool: _Pool, draft: _Draft) -> dict[str, str]:
    if draft.model and len(draft.pools) == 1:
        return {draft.model: draft.model}
    said = (
        f"called {pool.name!r} here; give it the name that its servers know (GET /v1/models), or "
        "set upstream_name"
    )
    pool.reader.note(said, "defaulted")
    return {pool.name: pool.name}


def _model(pool: _Pool, name: str, upstream: str, draft: _Draft) -> dict[str, Any]:
    where: dict[str, Any] = {"namespace": pool.namespace} if pool.namespace else {}
    if pool.object and len(pool.ports) > 1:
        where["pool"] = pool.name
        said = "the InferencePool itself is followed, for it has several ports"
        pool.reader.note(said, "ignored", key="selector")
    else:
        where["pods"] = ",".join(f"{key}={value}" for key, value in sorted(pool.selector.items()))
        if pool.ports:
            where["port"] = pool.ports[0]
        if len(pool.ports) > 1:
            pool.reader.note("of several ports the first is asked", "unsupported")
    model: dict[str, Any] = {"discover": {"kubernetes": where}}
    if upstream != name:
        model["upstream_name"] = upstream
    if pool.total_s is not None:
        model["timeouts"] = {"total_s": pool.total_s}
    apart = draft.picked.disaggregation if draft.picked is not None else None
    if apart is None and draft.prefills and draft.picked is None:
        apart = {"how": "header"}
    if apart is not None:
        model["disaggregation"] = dict(apart)
    return model
