"""Tokens and rights without a cluster: signed here, and as the configuration has them."""

from __future__ import annotations

import math

from wayside.maas import names
from wayside.maas.callers import Owner
from wayside.maas.jose import BadToken
from wayside.maas.keys import Keys, Person
from wayside.maas.tiers import allowed
from wayside.maas.tokens import Issuer, Minted
from wayside.settings.model import RouterSettings


class LocalTokens:
    """A :class:`~wayside.maas.callers.Minter`."""

    def __init__(self, issuer: Issuer, keys: Keys) -> None:
        self._issuer, self._keys = issuer, keys

    def ours(self, token: str) -> bool:
        return self._issuer.ours(token)

    async def owner(self, token: str) -> Owner | None:
        try:
            said = self._issuer.verify(token)
        except BadToken:
            return None
        held = await self._keys.account(said.space, said.name)
        if held is None or held.uid != said.uid:
            return None  # revoked: its account is another one now
        return Owner(held.person, said.space, said.name, said.jti, said.ends, uid=said.uid)

    async def mint(self, person: Person, space: str, seconds: int) -> Minted:
        """Raises :class:`~wayside.maas.keys.Taken`, :class:`AskFailed`."""
        name = names.account(person.user)
        uid = await self._keys.uid(space, name, person)
        return self._issuer.mint(space, name, uid, seconds)

    async def revoke(self, person: Person) -> None:
        """Nothing beside what the store does: accounts are nowhere else."""


class LocalRights:
    """A :class:`~wayside.maas.callers.Rights`: ``models.NAME.tiers``."""

    def __init__(self, settings: RouterSettings) -> None:
        self._models = settings.models

    async def models(self, owner: Owner, tier: str) -> tuple[frozenset[str], float]:
        return allowed(self._models, tier), math.inf
