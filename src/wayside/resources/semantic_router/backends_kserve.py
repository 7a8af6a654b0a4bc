"""KServe's InferenceServices and LLMInferenceServices as places to send prompts.

Their status says where they are; what it says is believed where it names a Service of the cluster
that is there. Otherwise the Service that KServe makes is looked up by its name, and its port by
what the port says of itself: which it is differs between KServe's modes, its releases, and
OpenShift AI, which adds https where it wants a token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from wayside.resources import Object, World
from wayside.resources.semantic_router.backends_services import (
    Place,
    Unresolved,
    at_best_port,
    best_port,
    headless,
    is_https,
    local_name,
    look,
    number_of,
    place,
    serving_cert,
    sure,
    usable,
)
from wayside.settings.address import Address
from wayside.vocab.objects import section, sections, text, texts
from wayside.vocab.resource import KSERVE_LLMS, KSERVE_SERVICES, SERVICES, Resource

KSERVE_LLMS_NEXT = Resource("serving.kserve.io", "v1alpha2", "llminferenceservices")
_OPENAI_PATH = "/openai/v1"
"""Where KServe's own server for Hugging Face models has its OpenAI API."""
_OWN_SERVER = "kserve-huggingfaceserver"


def resolve(name: str, namespace: str, world: World) -> Place:
    """The place of the InferenceService, or LLMInferenceService, of that name in ``namespace``.

    Raises :class:`Unresolved`: KServe is not installed, it has no such object, or that object has
    no Service yet.
    """
    if not name:
        raise Unresolved("Invalid", "inferenceServiceName is required for backend type kserve")
    found = world.get(KSERVE_SERVICES, name, namespace)
    if found is not None:
        place = _inference_service(found, name, namespace, world)
        place = replace(place, wants_token=_wants_token(found))
        return _with_condition(found, place, "InferenceService")
    for resource in (KSERVE_LLMS_NEXT, KSERVE_LLMS):
        found = world.get(resource, name, namespace)
        if found is not None:
            return _with_condition(
                found, _llm(found, name, namespace, world), "LLMInferenceService"
            )
    asked = (KSERVE_SERVICES, KSERVE_LLMS_NEXT, KSERVE_LLMS)
    if all(world.state(resource) == "absent" for resource in asked):
        raise Unresolved(
            "ApiMissing",
            "KServe is not installed: the cluster has no inferenceservices.serving.kserve.io",
        )
    for resource in asked:
        sure(world, resource, f"{namespace}/{name}")
    raise Unresolved(
        "InferenceServiceNotFound",
        f"there is no InferenceService or LLMInferenceService {name} in namespace {namespace}, "
        "the only one that is looked at",
    )


def _inference_service(found: Object, name: str, namespace: str, world: World) -> Place:
    path = _path(found)
    address = usable(section(found, "status", "address").get("url"))
    if address is not None:
        inside = local_name(address.host, world)
        service = look(world, SERVICES, *inside) if inside and inside[1] == namespace else None
        if service is not None:
            url = _addressed(address, service, world) + path
            return Place(url, ready=True, service_ca=serving_cert(service))
    service = look(world, SERVICES, f"{name}-predictor", namespace)
    if service is None:
        raise Unresolved(
            "ServiceNotFound",
            f"InferenceService {name} has no Service {name}-predictor yet, and its status.address "
            "names none",
        )
    return at_best_port(service, world, path)


def _addressed(address: Address, service: Object, world: World) -> str:
    """The address, with the pods' port where the Service is headless and none was written: KServe
    writes no port there, and then the scheme's own leads nowhere."""
    if headless(service) and address.port in (80, 443):
        for entry in sections(section(service, "spec").get("ports")):
            if entry.get("port") == address.port or is_https(entry) == (address.scheme == "https"):
                number = number_of(service, entry, world) or address.port
                return str(replace(address, port=number, base_path=""))
    return str(replace(address, base_path=""))


def _path(found: Object) -> str:
    """Beneath which the API is, where that is not ``/v1``."""
    model = section(found, "spec", "predictor", "model")
    if text(section(model, "modelFormat").get("name")) != "huggingface":
        return ""
    runtime = text(model.get("runtime"))
    if runtime and not runtime.startswith(_OWN_SERVER):
        return ""
    for variable in sections(model.get("env")):
        if variable.get("name") == "KSERVE_OPENAI_ROUTE_PREFIX":
            prefix = text(variable.get("value")).strip("/")
            path = f"/{prefix}/v1" if prefix else ""
            return path if usable(f"http://host{path}") else ""
    return _OPENAI_PATH


def _llm(found: Object, name: str, namespace: str, world: World) -> Place:
    for address in _addresses(found):
        inside = local_name(address.host, world)
        if inside is None:
            continue
        if inside[1] != namespace or look(world, SERVICES, *inside) is not None:
            # a gateway's Service is in a namespace of its own, and the path says whose model
            path = f"{address.base_path}/v1" if address.base_path else ""
            return Place(str(replace(address, base_path=path)), ready=True)
    service = look(world, SERVICES, f"{name}-kserve-workload-svc", namespace)
    if service is None:
        raise Unresolved(
            "ServiceNotFound",
            f"LLMInferenceService {name} has no Service {name}-kserve-workload-svc yet, and its "
            "status names no address in the cluster",
        )
    entry = best_port(service)
    if entry is None:
        raise Unresolved("PortNotFound", f"Service {name}-kserve-workload-svc has no port")
    if not (text(entry.get("name")) or text(entry.get("appProtocol"))):
        entry = {**entry, "appProtocol": "https"}  # what KServe serves unless told otherwise
    return place(service, entry, world)


def _addresses(found: Object) -> Iterator[Address]:
    status = section(found, "status")
    listed = [entry.get("url") for entry in sections(status.get("addresses"))]
    for url in (*listed, section(status, "address").get("url"), status.get("url")):
        if (address := usable(url)) is not None:
            yield address


def _with_condition(found: Object, place: Place, kind: str) -> Place:
    """``place``, ready as far as the object says so of itself."""
    ready = _condition(found, "Ready")
    if ready.get("status") == "True":
        return place
    name = text(section(found, "metadata").get("name"))
    why = text(ready.get("message")) or text(ready.get("reason")) or "it does not say why"
    return replace(
        place, ready=False, reason="NotReady", message=f"{kind} {name} is not ready: {why[:300]}"
    )


def _condition(found: Object, kind: str) -> Mapping[str, Any]:
    listed = sections(section(found, "status").get("conditions"))
    return next((entry for entry in listed if entry.get("type") == kind), {})


def _wants_token(found: Object) -> bool:
    """Whether OpenShift AI guards the InferenceService with a token."""
    said = texts(section(found, "metadata").get("annotations"))
    return said.get("security.opendatahub.io/enable-auth") == "true"
