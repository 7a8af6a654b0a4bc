"""Pods, as far as whoever sends requests to them cares, and the endpoints they make."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from wayside.kube.client import Object
from wayside.vocab.inference import PoolSpec
from wayside.vocab.objects import port, section, sections, text, texts, whole

ACTIVE_PORTS = "inference.networking.k8s.io/active-ports"
"""Annotation of a pod: the target ports that take requests (``8000,8002``); absent means all."""


class Pod(msgspec.Struct, frozen=True, kw_only=True):
    """One pod. ``annotations`` are only those asked for, ``restarts`` of all its containers: with
    ``uid`` they tell whether it may have come back empty."""

    name: str
    namespace: str
    uid: str = ""
    ip: str = ""
    """Empty until it has one."""
    node: str = ""
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    ready: bool = False
    """Its Ready condition is True, it is not being deleted, and it has an address."""
    restarts: int = 0

    def at(self, port: int | str) -> str:
        """``ip:port``; IPv6 in brackets."""
        return f"[{self.ip}]:{port}" if ":" in self.ip else f"{self.ip}:{port}"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One port of one pod that takes requests."""

    name: str
    """``<pod>-rank-<i>``, ``i`` the port's position in the pool: also where it has one port, as
    in llm-d's picker, whose dashboards read it."""
    namespace: str
    pod: Pod
    port: int
    rank: int

    @property
    def host_port(self) -> str:
        """``ip:port``; IPv6 in brackets."""
        return self.pod.at(self.port)


def read_pod(found: Object, annotations: Iterable[str] = (ACTIVE_PORTS,)) -> Pod:
    """A pod of the API's object; ``annotations`` names those to keep."""
    meta, status = section(found, "metadata"), section(found, "status")
    noted = texts(meta.get("annotations"))
    ip = text(status.get("podIP"))
    return Pod(
        name=text(meta.get("name")),
        namespace=text(meta.get("namespace")),
        uid=text(meta.get("uid")),
        ip=ip,
        node=text(section(found, "spec").get("nodeName")),
        labels=texts(meta.get("labels")),
        annotations={name: noted[name] for name in annotations if name in noted},
        ready=bool(ip) and not meta.get("deletionTimestamp") and _is_ready(status),
        restarts=sum(
            whole(c.get("restartCount"), 0, 1 << 31) or 0
            for c in sections(status.get("containerStatuses"))
        ),
    )


def keeping(annotations: Iterable[str]) -> Callable[[Object], Pod]:
    """:func:`read_pod` for a reflector, with other annotations than the usual."""
    names = tuple(annotations)
    return lambda found: read_pod(found, names)


def places(pod: Pod, pool: PoolSpec) -> tuple[Place, ...]:
    """The endpoints that ``pod`` makes in ``pool``; none unless it is ready and selected."""
    if not pod.ready or not pool.selects(pod.labels):
        return ()
    active = active_ports(pod)
    return tuple(
        Place(
            name=f"{pod.name}-rank-{rank}",
            namespace=pod.namespace,
            pod=pod,
            port=number,
            rank=rank,
        )
        for rank, number in enumerate(pool.ports)
        if active is None or number in active
    )


def active_ports(pod: Pod) -> frozenset[int] | None:
    """The ports its annotation names; ``None`` without one. What is no port number in it is
    passed over, so an annotation that names none leaves no port at all."""
    named = pod.annotations.get(ACTIVE_PORTS)
    if named is None:
        return None
    parts = (part.strip() for part in named.split(","))
    numbers = (int(p) for p in parts if p.isascii() and p.isdigit() and len(p) <= 5)
    return frozenset(n for n in numbers if port(n) is not None)


def _is_ready(status: Mapping[str, object]) -> bool:
    for condition in sections(status.get("conditions")):
        if condition.get("type") == "Ready":
            return condition.get("status") == "True"
    return False
