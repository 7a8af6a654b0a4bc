"""One cluster, as a deployment works on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wayside.deploy import DEPLOYMENT, MANAGER, Object
from wayside.kube.access import Access
from wayside.kube.client import Client
from wayside.kube.errors import NotFound
from wayside.vocab.objects import section, text, texts
from wayside.vocab.resource import SECRETS, Resource


class Cluster:
    """An API server, and what kinds it keeps. Secrets are asked for by their metadata alone: no
    value of one ever comes here."""

    def __init__(self, access: Access) -> None:
        """Belongs to the event loop that is running."""
        self._client = Client(access)
        self._metadata = Client(access, partial=True)
        self._kinds: dict[str, dict[str, Resource]] = {}

    @property
    def server(self) -> str:
        return str(self._client.access.server)

    def close(self) -> None:
        self._client.close()
        self._metadata.close()

    async def resource(self, api_version: str, kind: str) -> Resource | None:
        """Where a kind is kept; ``None`` if the cluster does not have it. Kinds that come while we
        work (CRDs that we apply) are found."""
        known = self._kinds.get(api_version, {})
        if kind not in known:
            known = self._kinds[api_version] = await self._client.kinds(api_version)
        return known.get(kind)

    async def kind(self, api_version: str, plural: str) -> str:
        """The kind that is kept there; empty if the cluster does not have it."""
        if api_version not in self._kinds:
            self._kinds[api_version] = await self._client.kinds(api_version)
        known = self._kinds[api_version].items()
        return next((kind for kind, resource in known if resource.plural == plural), "")

    async def has(self, resource: Resource) -> bool:
        """Whether the cluster serves this kind."""
        known = self._kinds.get(resource.api_version)
        if not known or resource.plural not in {each.plural for each in known.values()}:
            known = self._kinds[resource.api_version] = await self._client.kinds(
                resource.api_version
            )
        return resource.plural in {each.plural for each in known.values()}

    async def get(self, resource: Resource, name: str, namespace: str = "") -> Object | None:
        """One object; of a Secret its metadata."""
        if (resource.group, resource.plural) == ("", SECRETS.plural):
            found, _ = await self._metadata.list(
                resource, namespace, fields=f"metadata.name={name}"
            )
            return found[0] if found else None
        try:
            return await self._client.get(resource, name, namespace or None)
        except NotFound:
            return None

    async def all(
        self, resource: Resource, namespace: str | None = None, *, metadata: bool = False
    ) -> list[Object]:
        """All objects; of Secrets, or with ``metadata``, no more than that. None where the kind
        is not there."""
        secret = (resource.group, resource.plural) == ("", SECRETS.plural)
        client = self._metadata if metadata or secret else self._client
        try:
            return (await client.list(resource, namespace))[0]
        except NotFound:
            return []

    async def named(self, resource: Resource, name: str) -> list[Object]:
        """The metadata of the objects of one name in all namespaces."""
        return (await self._metadata.list(resource, fields=f"metadata.name={name}"))[0]

    async def namespaced(self) -> list[Resource]:
        """Every kind that lives in namespaces, each once."""
        versions = ["v1", *await self._client.groups()]
        found: dict[tuple[str, str], Resource] = {}
        for version in versions:
            for resource in (await self._client.kinds(version)).values():
                if resource.namespaced:
                    found.setdefault((resource.group, resource.plural), resource)
        return list(found.values())

    async def apply(
        self, resource: Resource, body: Object, *, force: bool = False, dry_run: bool = False
    ) -> Object:
        """Server-side apply, as ours."""
        namespace = text(section(body, "metadata").get("namespace")) or None
        return await self._client.apply(
            resource, body, namespace, manager=MANAGER, force=force, dry_run=dry_run
        )

    async def replace(self, resource: Resource, body: Object, namespace: str) -> Object:
        return await self._client.replace(resource, body, namespace)

    async def create(self, resource: Resource, body: Object, namespace: str) -> Object:
        return await self._client.create(resource, body, namespace)

    async def delete(self, resource: Resource, name: str, namespace: str, uid: str) -> None:
        """With what it owns, in the background."""
        await self._client.delete(
            resource, name, namespace or None, uid=uid, propagation="Background"
        )


def whose(found: Mapping[str, Any]) -> str:
    """The deployment that an object belongs to; empty for somebody else's."""
    return texts(section(found, "metadata", "labels")).get(DEPLOYMENT, "")


def called(found: Mapping[str, Any]) -> str:
    """An object, for people: ``Deployment semantic-router``, or ``Gateway istio/inference``."""
    metadata = section(found, "metadata")
    name, namespace = text(metadata.get("name")), text(metadata.get("namespace"))
    return f"{text(found.get('kind'))} {namespace + '/' if namespace else ''}{name}"
