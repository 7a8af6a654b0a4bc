"""Who may read a picker's metrics: whom the cluster lets ``get /metrics``.

As kube-rbac-proxy does: a TokenReview says whose bearer token it is, a SubjectAccessReview
whether that user may. Answers are remembered for a little while, by the token's hash.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

from wayside.kube.client import Client
from wayside.kube.errors import KubeError
from wayside.vocab.resource import Resource

TOKEN_REVIEWS: Final = Resource("authentication.k8s.io", "v1", "tokenreviews", namespaced=False)
ACCESS_REVIEWS: Final = Resource(
    "authorization.k8s.io", "v1", "subjectaccessreviews", namespaced=False
)
KEPT_S: Final = 60.0
_MOST: Final = 256


class Reviews:
    """Asks the API server; it is not asked again about a token for a minute."""

    def __init__(self, client: Client, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._clock = client, clock
        self._known: OrderedDict[bytes, tuple[float, int]] = OrderedDict()

    async def allow(self, authorization: str) -> int:
        """200, or the status of the refusal; 503 where the API server cannot be asked."""
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            return 401
        key = hashlib.sha256(token.encode()).digest()
        now = self._clock()
        known = self._known.get(key)
        if known is not None and known[0] > now:
            return known[1]
        try:
            status = await self._review(token)
        except KubeError:
            return 503
        self._known[key] = (now + KEPT_S, status)
        self._known.move_to_end(key)
        if len(self._known) > _MOST:
            self._known.popitem(last=False)
        return status

    async def _review(self, token: str) -> int:
        asked = {
            "apiVersion": TOKEN_REVIEWS.api_version,
            "kind": "TokenReview",
            "spec": {"token": token},
        }
        said = _status(await self._client.create(TOKEN_REVIEWS, asked))
        user = said.get("user")
        if said.get("authenticated") is not True or not isinstance(user, Mapping):
            return 401
        access = {
            "apiVersion": ACCESS_REVIEWS.api_version,
            "kind": "SubjectAccessReview",
            "spec": {
                "user": user.get("username"),
                "uid": user.get("uid"),
                "groups": user.get("groups"),
                "nonResourceAttributes": {"path": "/metrics", "verb": "get"},
            },
        }
        said = _status(await self._client.create(ACCESS_REVIEWS, access))
        return 200 if said.get("allowed") is True else 403


def _status(found: Mapping[str, Any]) -> Mapping[str, Any]:
    status = found.get("status")
    return status if isinstance(status, Mapping) else {}
