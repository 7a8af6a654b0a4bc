"""Kinds of objects, and where the API server keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind in one version. ``group`` is empty for the core API; ``plural`` is the last part of
    its path, and its name in Roles: ``inferencepools``."""

    group: str
    version: str
    plural: str
    namespaced: bool = True

    def __str__(self) -> str:
        return f"{self.plural}.{self.version}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """As objects say it: ``v1``, ``apps/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, sub: str = "") -> str:
        """Where objects of a namespace are, or of all (``None``); with ``name``, one of them, and
        with ``sub`` its subresource (``status``). Raises ``ValueError`` for names that are empty.
        """
        root = f"/apis/{self.group}" if self.group else "/api"
        parts = [root, self.version]
        if namespace is not None and self.namespaced:
            parts += ["namespaces", _part(namespace, "namespace")]
        elif name is not None and self.namespaced:
            raise ValueError(f"{self.plural} live in namespaces; say which one {name!r} is in")
        parts.append(self.plural)
        if name is not None:
            parts.append(_part(name, "name"))
        if sub:
            parts.append(sub)
        return "/".join(parts)


def _part(text: str, what: str) -> str:
    if not text or text in (".", ".."):
        raise ValueError(f"{text!r} is no {what}")
    return quote(text, safe="")


PODS = Resource("", "v1", "pods")
SERVICES = Resource("", "v1", "services")
CONFIG_MAPS = Resource("", "v1", "configmaps")
EVENTS = Resource("", "v1", "events")
NAMESPACES = Resource("", "v1", "namespaces", namespaced=False)
DEPLOYMENTS = Resource("apps", "v1", "deployments")
LEASES = Resource("coordination.k8s.io", "v1", "leases")
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices")
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", namespaced=False)
