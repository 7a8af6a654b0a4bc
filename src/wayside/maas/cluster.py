"""People, tokens and rights as a Kubernetes cluster has them: TokenReview, TokenRequest of a
ServiceAccount per user and tier, and SubjectAccessReview per model."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from wayside.kube.client import Client
from wayside.kube.errors import AlreadyExists, KubeError, NotFound
from wayside.maas import names
from wayside.maas.callers import Owner
from wayside.maas.claims import moment
from wayside.maas.jose import BadToken, claims, head
from wayside.maas.keys import Keys, Person
from wayside.maas.tiers import allowed
from wayside.maas.tokens import Minted
from wayside.settings.maas import MaasKubernetesSettings
from wayside.settings.model import RouterSettings
from wayside.vocab.resource import NAMESPACES, SERVICE_ACCOUNTS, Resource

TOKEN_REVIEWS: Final = Resource("authentication.k8s.io", "v1", "tokenreviews", namespaced=False)
ACCESS_REVIEWS: Final = Resource(
    "authorization.k8s.io", "v1", "subjectaccessreviews", namespaced=False
)
SOURCE: Final = "kubernetes"
API_SERVER: Final = "https://kubernetes.default.svc"
GROUP, PLURAL, VERB = "serving.kserve.io", "llminferenceservices", "post"
AT_ONCE: Final = 8
"""Reviews of one caller that are under way."""
REFUSED_S: Final = 5.0
MOST: Final = 10_000
_LABELS: Final = "maas.opendatahub.io"

GetClient = Callable[[], Client]


class Reviewed:
    """The cluster's own word for who shows a token. :class:`~wayside.maas.people.People`."""

    def __init__(
        self,
        client: GetClient,
        settings: MaasKubernetesSettings,
        instance: str,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._instance, self._steady = client, instance, steady
        self._audiences = settings.audiences
        self._refused: OrderedDict[bytes, float] = OrderedDict()

    async def find(self, token: str) -> Person | None:
        """Somebody with a token of the cluster's; not one that was minted for us."""
        digest = hashlib.sha256(token.encode()).digest()
        now = self._steady()
        if self._refused.get(digest, 0.0) > now:
            return None
        found = await review(self._client(), token, self._audiences)
        if found is None:
            self._refused[digest] = now + REFUSED_S
            self._refused.move_to_end(digest)
            while len(self._refused) > MOST:
                self._refused.popitem(last=False)
            return None
        user, groups = found
        account = names.parts(user)
        if account and names.tier_of(self._instance, account[0]) is not None:
            return None  # one of ours, whatever else it may be for
        return Person(user, groups, SOURCE)


async def review(
    client: Client, token: str, audiences: Sequence[str]
) -> tuple[str, tuple[str, ...]] | None:
    """The name and groups of whoever has ``token``, if that is for one of ``audiences``. Raises
    :class:`KubeError`."""
    body = {
        "apiVersion": TOKEN_REVIEWS.api_version,
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": list(audiences)},
    }
    status = (await client.create(TOKEN_REVIEWS, body)).get("status") or {}
    if status.get("authenticated") is not True or status.get("error"):
        return None
    # A server that says nothing of audiences speaks of its own.
    meant = status.get("audiences") or [API_SERVER]
    if set(meant).isdisjoint(audiences):
        return None
    user = status.get("user") or {}
    name, groups = user.get("username"), user.get("groups") or []
    if not isinstance(name, str) or not name:
        return None
    return name, tuple(group for group in groups if isinstance(group, str))


class ClusterTokens:
    """Mints in the cluster. :class:`~wayside.maas.callers.Minter`."""

    def __init__(
        self, client: GetClient, keys: Keys, instance: str, tiers: Callable[[], Iterable[str]]
    ) -> None:
        """``tiers`` are the names of those in force."""
        self._client, self._keys, self._instance, self._tiers = client, keys, instance, tiers
        self._audience = names.audience(instance)

    def ours(self, token: str) -> bool:
        """By what it says of itself, so that no nonsense is sent to the API server."""
        try:
            head(token)
            said = claims(token)
        except BadToken:
            return False
        account = names.parts(str(said.get("sub", "")))
        return account is not None and names.tier_of(self._instance, account[0]) is not None

    async def owner(self, token: str) -> Owner | None:
        found = await review(self._client(), token, (self._audience,))
        account = names.parts(found[0]) if found else None
        if found is None or account is None:
            return None
        space, name = account
        if names.tier_of(self._instance, space) is None:
            return None
        said = claims(token)
        ends = moment(said, "exp")
        if ends is None:
            return None
        held = await self._keys.account(space, name)
        # One that somebody else minted there is for an account whose user is not known here.
        person = held.person if held else Person(found[0], found[1], SOURCE)
        uid = held.uid if held else ""
        return Owner(person, space, name, str(said.get("jti", "")), ends, uid=uid)

    async def mint(self, person: Person, space: str, seconds: int) -> Minted:
        """Makes the namespace and the ServiceAccount where they are not there. Raises
        :class:`~wayside.maas.keys.Taken`, :class:`KubeError`."""
        name = names.account(person.user)
        await self._keys.uid(space, name, person)
        await self._account(space, name)
        asked = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [self._audience], "expirationSeconds": seconds},
        }
        found = await self._client().create(SERVICE_ACCOUNTS, asked, space, name=name, sub="token")
        status = found.get("status") or {}
        token = status.get("token")
        if not isinstance(token, str) or not token:
            raise KubeError("the cluster made no token")
        try:
            said = claims(token)
            issued, ends = moment(said, "iat"), moment(said, "exp")
        except (BadToken, IndexError):
            raise KubeError("the cluster made a token that is none") from None
        if issued is None:
            raise KubeError("the cluster made a token that does not say since when")
        ends = ends or _time(status.get("expirationTimestamp"))
        return Minted(token, int(issued), int(ends), str(said.get("jti") or secrets.token_hex(16)))

    async def revoke(self, person: Person) -> None:
        """Delete the ServiceAccounts of ``person``, and make them anew: all tokens of the old
        ones are void. Raises :class:`KubeError`."""
        name = names.account(person.user)
        for tier in self._tiers():
            space = names.namespace(self._instance, tier)
            held = await self._keys.account(space, name)
            if held is not None and held.person.user != person.user:
                continue
            try:
                await self._client().delete(SERVICE_ACCOUNTS, name, space)
            except NotFound:
                continue
            await self._account(space, name)

    async def _account(self, space: str, name: str) -> None:
        client, tier = self._client(), names.tier_of(self._instance, space)
        labels = {f"{_LABELS}/instance": self._instance, f"{_LABELS}/tier": str(tier)}
        issuer = {
            "app.kubernetes.io/component": "token-issuer",
            "app.kubernetes.io/part-of": "maas-api",
        }
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": name, "namespace": space, "labels": labels | issuer},
        }
        try:
            await client.create(SERVICE_ACCOUNTS, account, space)
            return
        except AlreadyExists:
            return
        except NotFound:
            pass  # the namespace is not there
        body = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": space, "labels": {**labels, f"{_LABELS}/tier-namespace": "true"}},
        }
        for resource, made, where in (
            (NAMESPACES, body, None),
            (SERVICE_ACCOUNTS, account, space),
        ):
            with contextlib.suppress(AlreadyExists):
                await client.create(resource, made, where)


class ClusterRights:
    """Who may ask which model, as the cluster's RBAC says it: the right ``post`` on the model's
    LLMInferenceService. Where a model names ``tiers``, they have to hold as well.
    :class:`~wayside.maas.callers.Rights`."""

    def __init__(
        self,
        client: GetClient,
        settings: RouterSettings,
        rule: MaasKubernetesSettings,
        cache_s: float,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._models, self._rule = client, settings.models, rule
        self._cache_s, self._steady = cache_s, steady
        self._known: OrderedDict[tuple[str, str], tuple[float, bool]] = OrderedDict()

    async def models(self, owner: Owner, tier: str) -> tuple[frozenset[str], float]:
        """Also for how many seconds more that holds. Raises :class:`KubeError`: what is not known
        of one model is known of none."""
        if not self._rule.review_models:
            return allowed(self._models, tier), self._cache_s
        asked = [
            name
            for name, model in self._models.items()
            if model.tiers is None or not model.tiers or tier in model.tiers
        ]
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(model: str) -> tuple[str, float, bool]:
            async with gate:
                return model, *await self._may(owner, model)

        found = await asyncio.gather(*[one(model) for model in asked])
        now = self._steady()
        left = min((at for _, at, _ in found), default=now) + self._cache_s - now
        return frozenset(model for model, _, yes in found if yes), left

    async def _may(self, owner: Owner, model: str) -> tuple[float, bool]:
        """Since when it is known, and what."""
        subject = names.subject(owner.space, owner.name)
        key, now = (subject, model), self._steady()
        known = self._known.get(key)
        if known is not None and now - known[0] < self._cache_s:
            return known
        space, name = self._service(model)
        body = {
            "apiVersion": ACCESS_REVIEWS.api_version,
            "kind": "SubjectAccessReview",
            "spec": {
                "user": subject,
                "groups": list(names.groups(owner.space)),
                "resourceAttributes": {
                    "group": GROUP,
                    "resource": PLURAL,
                    "namespace": space,
                    "name": name,
                    "verb": VERB,
                },
            },
        }
        status = (await self._client().create(ACCESS_REVIEWS, body)).get("status") or {}
        yes = status.get("allowed") is True and not status.get("denied")
        self._known[key] = now, yes
        self._known.move_to_end(key)
        while len(self._known) > MOST:
            self._known.popitem(last=False)
        return now, yes

    def _service(self, model: str) -> tuple[str, str]:
        said = self._rule.models.get(model, model.lower())
        space, slash, name = said.partition("/")
        if slash:
            return space, name
        return self._rule.models_namespace or self._client().access.namespace, said


def _time(text: Any) -> float:
    """Of RFC 3339, in seconds since 1970."""
    try:
        return datetime.datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        raise KubeError("the cluster made a token that does not say until when") from None
