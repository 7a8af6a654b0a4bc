"""Models as a service: who asks, which models may answer them, how much they may take, and what
they took."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from wayside.kube.client import Client
from wayside.kube.kubeconfig import find_access
from wayside.kube.servers import Clusters
from wayside.maas import durations, limits, names, shown
from wayside.maas.callers import Callers, Owner, Rights
from wayside.maas.cluster import ClusterRights, ClusterTokens, Reviewed
from wayside.maas.gate import Gate
from wayside.maas.jose import available
from wayside.maas.keys import Keys, Person
from wayside.maas.keys_postgres import Postgres
from wayside.maas.keys_sqlite import Sqlite
from wayside.maas.local import LocalRights, LocalTokens
from wayside.maas.metering import Metering
from wayside.maas.oidc import Oidc, secure
from wayside.maas.people import MADE_HERE, SOURCE, People, Users, is_here, secret
from wayside.maas.remote import RemoteKeys
from wayside.maas.tiers import Tiers
from wayside.maas.tokens import Issuer, Minted
from wayside.settings.maas import MaasSettings, TierSettings
from wayside.settings.model import RouterSettings
from wayside.stores import Stores
from wayside.telemetry import Log, Telemetry
from wayside.vocab.access import Caller
from wayside.vocab.errors import AskFailed, ConfigError, Problem

FIXED: Final = ("instance", "folder", "database", "oidc", "kubernetes", "remote")
"""Of the settings: what is read at start only."""
SHORTEST_NS: Final = 10 * durations.MINUTE
"""Kubernetes mints none for less."""


class Maas:
    """All of it, for one router. ``settings`` have ``maas``."""

    def __init__(
        self,
        settings: RouterSettings,
        env: Mapping[str, str],
        log: Log,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises :class:`ConfigError`."""
        assert settings.maas is not None
        available()
        check(settings)
        self._env, self.log, self.clock = env, log, clock
        self.settings: MaasSettings = settings.maas
        self.router = settings
        self.instance = settings.maas.instance
        self.tiers = Tiers(settings.maas)
        self._users = Users(settings.maas, env)
        self._ready: tuple[MaasSettings, Tiers, Users] | None = None
        self._clusters = Clusters(environ=env)
        folder = Path(settings.maas.folder)
        self.keys = open_keys(settings.maas, env)
        self._people: list[People] = [
            Oidc(rule, f"maas.oidc[{i}]", clock=clock) for i, rule in enumerate(settings.maas.oidc)
        ]
        self._issuer: Issuer | None = None
        self._minter: LocalTokens | ClusterTokens
        cluster = settings.maas.kubernetes
        if cluster is None:
            self._issuer = Issuer(folder, self.instance, clock)
            self._minter = LocalTokens(self._issuer, self.keys)
        else:
            find_access(cluster.kubeconfig or None, environ=env)  # there is one
            self._people.append(Reviewed(self._client, cluster, self.instance))
            names_of = lambda: [tier.name for tier in self.tiers.all]  # noqa: E731
            self._minter = ClusterTokens(self._client, self.keys, self.instance, names_of)
        self._rights = self._rights_of(settings)
        self.callers = Callers(
            self.keys,
            self._minter,
            lambda: self.tiers,
            lambda: self._rights,
            lambda: self._users.persons,
            instance=self.instance,
            cache_s=lambda: self.settings.review_cache_s,
            clock=clock,
        )
        self.callers.fault = lambda why: log("key use not written", level="warning", why=why)
        self._remote = RemoteKeys(settings.maas.remote) if settings.maas.remote else None
        self.callers.remote = self._remote.find if self._remote else None
        self.callers.only_users = not self._people and self._remote is None
        self.gate = Gate(self.callers, self.visitor)

    # settings

    def prepare(self, settings: RouterSettings) -> None:
        """Find out whether :meth:`follow` can take ``settings``. Raises :class:`ConfigError`."""
        if settings.maas is not None:
            check(settings)
            maas = settings.maas.model_copy(update={"instance": self.instance})
            self._ready = settings.maas, Tiers(maas), Users(maas, self._env)

    def follow(self, settings: RouterSettings) -> tuple[str, ...]:
        """Put new settings in force, which :meth:`prepare` found good; the parts that
        wait for a restart."""
        if settings.maas is None:
            return ("maas",)
        old, new = self.settings, settings.maas
        waiting = [part for part in FIXED if getattr(old, part) != getattr(new, part)]
        self.settings = new.model_copy(update={part: getattr(old, part) for part in FIXED})
        self.router = settings.model_copy(update={"maas": self.settings})
        if self._ready is None or self._ready[0] is not new:
            self.prepare(settings)
        assert self._ready is not None
        _, self.tiers, self._users = self._ready
        self._ready = None
        self._rights = self._rights_of(self.router)
        self.metering.follow(self.router)
        self.callers.forget()
        return tuple(f"maas.{part}" for part in waiting)

    def refresh(self) -> None:
        """Take up files that changed: tiers, and tokens of users."""
        if self.tiers.refresh(lambda why: self.log("tiers refused", level="error", error=why)):
            self.log("tiers read again", tiers=",".join(tier.name for tier in self.tiers.all))
            self.callers.forget()
        for user in self._users.refresh():
            self.log("token of a user rotated", user=user)

    def _rights_of(self, settings: RouterSettings) -> Rights:
        rule = self.settings.kubernetes
        if rule is None:
            return LocalRights(settings)
        return ClusterRights(self._client, settings, rule, self.settings.review_cache_s)

    def _client(self) -> Client:
        """Of the cluster; made within the loop that uses it."""
        assert self.settings.kubernetes is not None
        return self._clusters.client(self.settings.kubernetes.kubeconfig)

    # people

    async def person(self, token: str) -> Person | None:
        """Who shows a token of their own. Somebody whom another source calls like a user of the
        settings, or like a program, is not believed. Raises :class:`AskFailed`."""
        found = await self._users.find(token)
        if found is not None:
            return found
        for people in self._people:
            found = await people.find(token)
            if found is not None:
                ours = found.user in self._users.persons or found.user.startswith(MADE_HERE)
                return None if ours else found
        return None

    async def asker(self, headers: Mapping[str, str]) -> tuple[Person, bool]:
        """Who asks on a path that the gate leaves open, and whether that was shown by a token of
        ours. Raises :class:`RequestError` (401, 403, 503)."""
        shown.refuse_identity(headers)
        token = shown.token(headers)
        try:
            found = await self.person(token)
            if found is not None:
                return found, False
            owner = await self.callers.owner(token)
        except (AskFailed, OSError, TimeoutError):
            raise shown.unknown() from None
        if owner is None:
            raise shown.invalid()
        return owner.person, True

    async def visitor(self, token: str) -> Caller | None:
        """Who looks at models with a token of their own."""
        person = await self.person(token)
        return None if person is None else await self.caller(person)

    async def caller(self, person: Person) -> Caller:
        """As which ``person`` would ask models; without a tier, for none."""
        tier = self.tier(person)
        name = tier.name if tier else ""
        owner = self.owner(person, name)
        models = (await self._rights.models(owner, name))[0] if tier else frozenset[str]()
        return Caller(
            user=person.user, groups=person.groups, tier=name, tenant=self.instance, models=models
        )

    def owner(self, person: Person, tier: str) -> Owner:
        space = names.namespace(self.instance, tier) if tier else ""
        return Owner(person, space, names.account(person.user), "", float("inf"))

    def tier(self, person: Person) -> TierSettings | None:
        return self.tiers.lookup(person.groups)

    def is_admin(self, person: Person) -> bool:
        return not set(self.settings.admin_groups).isdisjoint(person.groups)

    # tokens

    async def mint(self, person: Person, tier: TierSettings, ns: int) -> Minted:
        """Raises :class:`~wayside.maas.keys.Taken`, :class:`AskFailed`."""
        space = names.namespace(self.instance, tier.name)
        return await self._minter.mint(person, space, ns // durations.SECOND)

    async def revoke(self, person: Person) -> None:
        """All tokens and keys of ``person`` are void, from now on. Raises :class:`AskFailed`."""
        await self._minter.revoke(person)
        await self.keys.revoke_all(person.user, int(self.clock()))  # last: it ends the epoch

    def jwks(self) -> dict[str, Any]:
        """The public keys that our tokens are verified with; none where a cluster makes them."""
        return self._issuer.jwks() if self._issuer else {"keys": []}

    # what they take

    def meter(
        self, telemetry: Telemetry, stores: Callable[[], Stores], known: Callable[[str], bool]
    ) -> None:
        """Count what requests take from now on; before anything is answered. ``known`` says
        whether a model is called so. Raises :class:`AskFailed` for a store that cannot be made."""
        self.metering = Metering(self.router, telemetry, stores, self.log, known, clock=self.clock)
        telemetry.always += (self.metering,)
        telemetry.watchers += (self.metering,)

    def answerers(self) -> Mapping[type[Any], Callable[[Any], Any]]:
        """Who answers the core's asks about allowances."""
        return self.metering.answerers()

    async def close(self) -> None:
        await self.metering.close()
        self.keys.close()
        self._clusters.close()
        if self._remote is not None:
            self._remote.close()


def examine(settings: RouterSettings, env: Mapping[str, str]) -> list[str]:
    """What a configuration's ``maas`` will want at start that is not here; nothing is made or
    opened. Raises :class:`ConfigError` for what cannot be used anywhere."""
    maas = settings.maas
    if maas is None:
        return []
    available()
    check(settings)
    wanted = []
    if maas.tiers_file and not Path(maas.tiers_file).exists():
        wanted.append(f"maas.tiers_file: {maas.tiers_file} is not there; `serve` will want it")
        maas = maas.model_copy(update={"tiers_file": ""})
    Tiers(maas)
    here = []
    for i, user in enumerate(maas.users):
        if is_here(user.token, env):
            here.append(user)
        else:
            source = user.token.env or user.token.file
            wanted.append(f"maas.users[{i}].token: {source} is not here; `serve` will want it")
    Users(maas.model_copy(update={"users": tuple(here)}), env)
    if maas.database is not None and not is_here(maas.database, env):
        source = maas.database.env or maas.database.file
        wanted.append(f"maas.database: {source} is not here; `serve` will want it")
    return wanted


def open_keys(settings: MaasSettings, env: Mapping[str, str]) -> Keys:
    """Accounts and keys, wherever ``settings`` have them. Raises :class:`ConfigError`."""
    if settings.database is None:
        return Keys(Sqlite(Path(settings.folder)))
    source = settings.database

    def url() -> str:
        return secret(source, env)

    try:
        url()
    except ValueError as error:
        raise ConfigError.one(
            str(error), where="maas.database", fix="postgresql://user:password@host/database"
        ) from None
    return Keys(Postgres(url))


def check(settings: RouterSettings) -> None:
    """What of the settings cannot be used together. Raises :class:`ConfigError`."""
    maas = settings.maas
    if maas is None:
        return
    problems = limits.problems(settings)
    for part in ("token_ttl", "key_ttl", "max_ttl"):
        try:
            if durations.parse(getattr(maas, part)) < SHORTEST_NS:
                problems.append(Problem("is less than 10m", f"maas.{part}", "a Go duration: 4h"))
        except ValueError as error:
            problems.append(Problem(str(error), f"maas.{part}", "a Go duration: 4h, 720h"))
    for name, model in settings.models.items():
        if model.keep_authorization:
            problems.append(Problem(
                "would hand callers' tokens of maas to this model's servers",
                f"models.{name}.keep_authorization",
                "leave it out, and give the model a credential",
            ))  # fmt: skip
    prefixes = [""] if maas.kubernetes or maas.remote else []
    if maas.remote and not secure(maas.remote.url):
        problems.append(Problem("is not https", "maas.remote.url", "https://..."))
    for i, rule in enumerate(maas.oidc):
        at = f"maas.oidc[{i}]"
        if rule.user_prefix in prefixes:
            problems.append(Problem(
                "its users could bear the names of another source's",
                f"{at}.user_prefix",
                "give each source of people a prefix of its own: sso:",
            ))  # fmt: skip
        prefixes.append(rule.user_prefix)
        for part in ("issuer", "jwks_url"):
            url = getattr(rule, part)
            if url and not secure(url):
                problems.append(Problem("is not https", f"{at}.{part}", "https://..."))
    if problems:
        raise ConfigError(problems)


__all__ = ["SHORTEST_NS", "SOURCE", "Maas", "check", "examine", "open_keys"]
