"""An InferenceService with everything it refers to, directly and through its InferenceCache.

What cannot be used is left out and said: a gateway goes on with the rest, and is looked at again
when what was missing appears.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from wayside.manifests.fields import Part
from wayside.manifests.production_stack import (
    INFERENCE_CACHES,
    INFERENCE_GATEWAYS,
    INFERENCE_SERVICES,
    PREFILL_DECODINGS,
    SPECULATIVE_DECODINGS,
    Cluster,
    Object,
    Ref,
    place,
    read,
)
from wayside.manifests.production_stack_servers import (
    Backend,
    Server,
    Store,
    Trouble,
    backend,
    parts,
    servers,
    store,
)
from wayside.manifests.production_stack_services import InferenceServiceSpec
from wayside.manifests.production_stack_specs import (
    InferenceCacheSpec,
    PrefillDecodingSpec,
    SpeculativeDecodingSpec,
)
from wayside.vocab.objects import section, sections, text
from wayside.vocab.resource import Resource

P = TypeVar("P", bound=Part)
Found = TypeVar("Found", Backend, Store)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """An InferenceService, resolved. ``None`` is what it does not name, or cannot have."""

    name: str
    spec: InferenceServiceSpec
    backend: Backend | None = None
    store: Store | None = None
    cache: InferenceCacheSpec | None = None
    disaggregation: PrefillDecodingSpec | None = None
    speculation: SpeculativeDecodingSpec | None = None
    servers: tuple[Server, ...] = ()
    """Those that take part in a disaggregation; none, where there is no disaggregation."""
    left_out: int = 0
    """Servers that are not where the topology hint wants them."""
    troubles: tuple[Trouble, ...] = ()


def chain(found: Object, spec: InferenceServiceSpec, cluster: Cluster) -> Chain:
    """Everything behind one InferenceService. The others may call its model by ``modelName``, or
    by the name that a route to it has."""
    namespace, name = place(found)
    troubles: list[Trouble] = []
    names = {spec.model_name, *_routed(namespace, name, cluster)}
    behind = _or_trouble(backend(spec.backend_ref, namespace, cluster), troubles)
    its = _Others(namespace, names, cluster, troubles)
    cache = its.one("spec.inferenceCacheRef", spec.inference_cache_ref, INFERENCE_CACHES,
                    InferenceCacheSpec, "InferenceCache")  # fmt: skip
    if cache is not None and not its.fits("InferenceCache", spec.inference_cache_ref, cache):
        cache = None
    pdd_ref = its.agreed("prefillDecodingRef", spec.prefill_decoding_ref, "pddRef",
                         cache.pdd_ref if cache else None)  # fmt: skip
    sd_ref = its.agreed("speculativeDecodingRef", spec.speculative_decoding_ref, "sdRef",
                        cache.sd_ref if cache else None)  # fmt: skip
    pdd = its.one("pddRef", pdd_ref, PREFILL_DECODINGS, PrefillDecodingSpec,
                  "PrefillDecodingDisaggregation")  # fmt: skip
    if pdd is not None and not its.fits("PrefillDecodingDisaggregation", pdd_ref, pdd):
        pdd = None
    sd = its.one("sdRef", sd_ref, SPECULATIVE_DECODINGS, SpeculativeDecodingSpec,
                 "SpeculativeDecoding")  # fmt: skip
    if sd is not None and sd.target_model and sd.target_model not in its.models:
        its.mismatch("SpeculativeDecoding", sd_ref, "targetModel", sd.target_model)
        sd = None
    if sd is not None and sd.draft_model in its.models:
        said = f"SpeculativeDecoding {namespace}/{sd_ref.name if sd_ref else ''}"
        why = f"{said}: {sd.draft_model!r} cannot draft for itself; set its draftModel"
        troubles.append(Trouble("ModelMismatch", why))
        sd = None
    kept: Store | None = None
    filters = spec.nlp_filters
    if filters and filters.semantic_cache and filters.semantic_cache.store_ref:
        ref = filters.semantic_cache.store_ref
        kept = _or_trouble(store(ref, name, namespace, cluster), troubles)
    taking: tuple[Server, ...] = ()
    left = 0
    if pdd is not None and behind is not None:
        taking, left, trouble = _split(behind, pdd, cluster)
        if trouble is not None:
            troubles.append(trouble)
    return Chain(
        name=name,
        spec=spec,
        backend=behind,
        store=kept,
        cache=cache,
        disaggregation=pdd,
        speculation=sd,
        servers=taking,
        left_out=left,
        troubles=tuple(troubles),
    )


def routes(gateway: Object) -> Iterator[tuple[str, str]]:
    """The routes of an InferenceGateway as far as they can be read: model and InferenceService."""
    spec = section(gateway, "spec")
    for route in sections(spec.get("routes")):
        yield text(route.get("model")), named(route.get("inferenceServiceRef"))
    for route in sections(spec.get("modelRoutes")):
        yield text(route.get("modelName")), named(route.get("serviceRef"))


def _routed(namespace: str, name: str, cluster: Cluster) -> Iterator[str]:
    """The names by which gateways route to a service."""
    for gateway in cluster.all(INFERENCE_GATEWAYS, namespace):
        yield from (model for model, service in routes(gateway) if service == name and model)


def named(ref: object) -> str:
    """The name that a reference has, in either form."""
    return text(section(ref).get("name")) if isinstance(ref, dict) else text(ref)


def _split(
    behind: Backend, pdd: PrefillDecodingSpec, cluster: Cluster
) -> tuple[tuple[Server, ...], int, Trouble | None]:
    """Who takes part, and how many do not; nobody, and why, where one part is missing."""
    if not behind.service:
        why = "the backend is no Service whose pods could play different parts"
        return (), 0, Trouble("NoPools", f"PrefillDecodingDisaggregation: {why}; name a Service")
    every = servers(behind, pdd.topology_hint.node_selector, cluster)
    fits = [s for s in every if s.fits]
    read_prompts, write_answers = parts(fits)
    if read_prompts and write_answers:
        return tuple(fits), len(every) - len(fits), None
    hint = ", ".join(f"{k}={v}" for k, v in sorted(pdd.topology_hint.node_selector.items()))
    there = f" with {hint}" if hint else ""
    missing = "prefill" if not read_prompts else "decode"
    said = (
        f"of {len(every)} ready pods behind Service {behind.namespace}/{behind.service}, "
        f"{len(fits)} fit{there} and none is labelled llm-d.ai/role: {missing}; label the pods "
        "(or their nodes); until then every server reads its own prompts"
    )
    return (), 0, Trouble("NoPrefillPods" if missing == "prefill" else "NoDecodePods", said)


class _Others:
    """Objects that are referred to, each read once."""

    def __init__(
        self, namespace: str, models: Iterable[str], cluster: Cluster, troubles: list[Trouble]
    ) -> None:
        self.models = frozenset(models)
        self._namespace, self._cluster, self._troubles = namespace, cluster, troubles

    def one(
        self, path: str, ref: Ref | None, resource: Resource, spec: type[P], kind: str
    ) -> P | None:
        if ref is None:
            return None
        where = f"{path}: {kind} {self._namespace}/{ref.name}"
        found = self._cluster.get(resource, ref.name, self._namespace)
        if found is None:
            self._troubles.append(Trouble("RefNotFound", f"{where} is not there; create it"))
            return None
        value, problem = read(spec, found)
        if value is None:
            self._troubles.append(Trouble("RefInvalid", f"{where} is not accepted: {problem}"))
        return value

    def fits(
        self, kind: str, ref: Ref | None, spec: InferenceCacheSpec | PrefillDecodingSpec
    ) -> bool:
        if spec.model_name in self.models:
            return True
        self.mismatch(kind, ref, "modelName", spec.model_name)
        return False

    def mismatch(self, kind: str, ref: Ref | None, field: str, said: str) -> None:
        names = " or ".join(repr(name) for name in sorted(self.models))
        where = f"{kind} {self._namespace}/{ref.name if ref else ''}"
        self._troubles.append(
            Trouble(
                "ModelMismatch",
                f"{where} is for {said!r}, not for {names}; set its {field}, or name another one",
            )
        )

    def agreed(self, name: str, own: Ref | None, other: str, its: Ref | None) -> Ref | None:
        """The service's own reference, or its cache's."""
        if own is not None and its is not None and own.name != its.name:
            self._troubles.append(
                Trouble(
                    "RefConflict",
                    f"spec.{name} names {own.name} and the cache's {other} {its.name}; "
                    f"{own.name} is used, write one of them",
                )
            )
        return own if own is not None else its


def _or_trouble(found: Found | Trouble, troubles: list[Trouble]) -> Found | None:
    if isinstance(found, Trouble):
        troubles.append(found)
        return None
    return found


def service(name: str, namespace: str, cluster: Cluster) -> Chain | Trouble:
    """The InferenceService of that name, resolved."""
    where = f"InferenceService {namespace}/{name}"
    found = cluster.get(INFERENCE_SERVICES, name, namespace)
    if found is None:
        return Trouble("RefNotFound", f"{where} is not there; create it")
    spec, problem = read(InferenceServiceSpec, found)
    if spec is None:
        return Trouble("RefInvalid", f"{where} is not accepted: {problem}")
    return chain(found, spec, cluster)


def users(resource: Resource, names: str, kind: str, found: Object, cluster: Cluster) -> list[str]:
    """Who in its namespace refers to ``found`` from field ``names``: ``InferenceCache a``."""
    namespace, name = place(found)
    said = []
    for other in cluster.all(resource, namespace):
        if named(section(other, "spec").get(names)) == name:
            said.append(f"{kind} {place(other)[1]}")
    return said
