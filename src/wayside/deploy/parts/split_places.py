"""Where the split layout's models are: by DNS name, or by the address of their Service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from wayside.deploy import Scene
from wayside.deploy.intent import Intent, ServiceIntent
from wayside.deploy.parts import meta
from wayside.deploy.parts.split_config import Place
from wayside.vocab.errors import ConfigError, Problem
from wayside.vocab.objects import section, text
from wayside.vocab.resource import SERVICES

Discovery = Literal["dns", "cluster-ip"]
DOMAIN: Final = "svc.cluster.local"


def services(intent: Intent) -> dict[str, ServiceIntent]:
    """The Service of every model that has one: of all but clouds'."""
    return {
        name: meta.service_of(intent, name)
        for name, model in intent.models.items()
        if model.cloud is None
    }


def problems(intent: Intent) -> Iterator[Problem]:
    """A Service name that two models have with the same port is one place for both."""
    seen: dict[tuple[str, str], str] = {}
    for name, service in services(intent).items():
        key = service.name, service.namespace or intent.namespace
        if intent.models[name].run is not None and key in seen:
            what = f"{seen[key]} has a Service {service.name} already"
            yield Problem(what, f"models.{name}.service.name", "give it another name")
        seen.setdefault(key, name)


def places(
    intent: Intent, scene: Scene, discovery: Discovery, notes: list[str]
) -> dict[str, Place]:
    """Each model's place. What is done otherwise than asked for is said in ``notes``. Raises
    :class:`ConfigError` for Services that have no address."""
    found: dict[str, Place] = {}
    wrong: list[Problem] = []
    for name, service in services(intent).items():
        where = service.namespace or intent.namespace
        address = f"{service.name}.{where}.{DOMAIN}"
        if discovery == "cluster-ip":
            try:
                ip = _cluster_ip(scene, service.name, where)
            except ConfigError as error:
                wrong += error.problems
                continue
            if ip == "None":
                notes.append(
                    f"Service {where}/{service.name} is headless: it has no clusterIP, and is "
                    f"found by its name, {address}"
                )
            else:
                address = ip
        found[name] = Place(address, service.port)
    if wrong:
        raise ConfigError(wrong)
    return found


def _cluster_ip(scene: Scene, name: str, where: str) -> str:
    """The address that this cluster gave the Service, or ``None``, the word, for a headless
    one."""
    if not scene.live:
        said = scene.told(f"cluster-ip.{name}")
        if not said:
            raise ConfigError.one(
                f"only the cluster knows the clusterIP of Service {name}",
                where=f"--set cluster-ip.{name}",
                fix=f"write what `oc get svc {name} -n {where} -o "
                "jsonpath='{.spec.clusterIP}'` says, or discovery: dns",
            )
        return said
    found = scene.get(SERVICES, name, where)
    if found is None:
        raise ConfigError.one(
            "is not there",
            where=f"Service {where}/{name}",
            fix="write models.*.run to have it made, or make it",
        )
    ip = text(section(found, "spec").get("clusterIP"))
    if not ip:
        kind = text(section(found, "spec").get("type"))
        why = f"it is of type {kind}" if kind == "ExternalName" else "the cluster gave it none"
        raise ConfigError.one(
            f"has no clusterIP: {why}",
            where=f"Service {where}/{name}",
            fix="make it a Service of type ClusterIP, or write discovery: dns",
        )
    return ip


def url(place: Place) -> str:
    """Of its servers; an IPv6 address in brackets."""
    host = f"[{place.address}]" if ":" in place.address else place.address
    return f"http://{host}:{place.port}"
