"""The model servers: who they are, how loaded, how healthy, and connections to them.

Knows nothing of HTTP and never decides which model answers; a shell asks for one of a model's
replicas and reports how it went.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from wayside.fleet.dial import DialError, dial
from wayside.fleet.pool import Dice, Pool
from wayside.fleet.replica import Replica, Secure
from wayside.fleet.resolve import Resolver
from wayside.fleet.urgency import Urgencies
from wayside.settings.credential import TlsSettings
from wayside.settings.model import EndpointSettings, ModelSettings
from wayside.settings.picking import PickingSettings
from wayside.vocab.endpoint import Need
from wayside.vocab.errors import ConfigError
from wayside.vocab.roles import decodes, prefills

__all__ = [
    "DialError",
    "Dice",
    "Fleet",
    "Pool",
    "Replica",
    "Resolver",
    "Secure",
    "Urgencies",
    "dial",
]


class Fleet:
    """Every model's pool. ``pools`` is keyed by the model's name in the settings."""

    def __init__(
        self,
        models: Mapping[str, ModelSettings],
        *,
        resolver: Resolver | None = None,
        picking: PickingSettings | None = None,
    ) -> None:
        """Raises :class:`ConfigError` for a CA file that cannot be used."""
        self.resolver = resolver or Resolver()
        self.pools: dict[str, Pool] = {}
        self.urgency = Urgencies()
        """Whose requests go first; whoever has the settings sets it."""
        self.shortest_timeout_s = float("inf")
        self.told: Callable[[str, Replica, Need], None] | None = None
        """Hears of every request whose server a strategy picked."""
        self.fault: Callable[[str, Exception], None] | None = None
        """Hears of every bug in a strategy of a model."""
        self._contexts: dict[Hashable, ssl.SSLContext] = {}
        self._found: dict[str, tuple[EndpointSettings, ...]] = {}
        self.replace(models, picking=picking)

    def replace(
        self, models: Mapping[str, ModelSettings], *, picking: PickingSettings | None = None
    ) -> None:
        """Follow new settings; ``picking`` is for models without their own. Unchanged endpoints
        keep connections, load and health; removed ones are drained. On :class:`ConfigError` the
        fleet is as it was."""
        old = {
            (model, replica.identity): replica
            for model, pool in self.pools.items()
            for replica in pool.everybody
        }
        contexts: dict[Hashable, ssl.SSLContext] = {}
        if picking is not None:
            models = {
                name: m if m.picking else m.model_copy(update={"picking": picking})
                for name, m in models.items()
            }
        found = {m: f for m, f in self._found.items() if m in models and models[m].discover}
        planned = [
            (model, settings, _plan(model, settings, found, self._contexts, contexts))
            for model, settings in models.items()
        ]
        pools: dict[str, Pool] = {}
        for model, settings, replicas in planned:
            kept = [_kept(old.pop((model, r.identity), None), r) for r in replicas]
            pools[model] = _pool(self.pools.get(model), kept, settings)
        for gone in old.values():
            gone.retire()
        self.pools, self._contexts, self._found = pools, contexts, found
        self._settled()

    def rotated(self) -> list[str]:
        """Files of certificates whose content is another one than was read: :meth:`replace` with
        the same settings reads them again. One that cannot be read just now has not changed."""
        changed: list[str] = []
        for key in self._contexts:
            if isinstance(key, tuple):
                path, known = key
                with suppress(OSError):
                    if hashlib.sha256(Path(path).read_bytes()).digest() != known:
                        changed.append(path)
        return changed

    def discovered(self, model: str, endpoints: Sequence[EndpointSettings]) -> None:
        """``endpoints`` are those of a model that its ``discover`` tells of; as :meth:`replace`
        for this model alone. Those that `endpoints` of the settings name as well count once."""
        pool = self.pools.get(model)
        if pool is None or pool.settings.discover is None:
            return  # the settings have changed meanwhile
        found = {**self._found, model: tuple(endpoints)}
        contexts: dict[Hashable, ssl.SSLContext] = {}
        replicas = _plan(model, pool.settings, found, self._contexts, contexts)
        old = {replica.identity: replica for replica in pool.everybody}
        kept = [_kept(old.pop(r.identity, None), r) for r in replicas]
        self.pools[model] = _pool(pool, kept, pool.settings)
        for gone in old.values():
            gone.retire()
        everybody = [r for each in self.pools.values() for r in each.everybody]
        used = {r.secure.context for r in everybody if r.secure is not None}
        contexts = {**self._contexts, **contexts}
        self._contexts = {key: c for key, c in contexts.items() if c in used}
        self._found = found
        self._settled()

    def _settled(self) -> None:
        """The pools are as they should be."""
        self.shortest_timeout_s = min(
            [_shortest(pool) for pool in self.pools.values()], default=float("inf")
        )
        for model, pool in self.pools.items():
            pool.told = partial(self._tell, model)
            pool.fault = partial(self._fault, model)
            if pool.prefill is not None:
                pool.prefill.told, pool.prefill.fault = pool.told, pool.fault

    def _tell(self, model: str, replica: Replica, need: Need) -> None:
        if self.told is not None:
            self.told(model, replica, need)

    def _fault(self, model: str, bug: Exception) -> None:
        if self.fault is not None:
            self.fault(model, bug)

    def close_idle(self, now: float) -> None:
        """Close connections that have been idle for too long, and let who waits go to servers
        that are back."""
        for pool in self.pools.values():
            if pool.line:
                pool.look(now)
            for replica in pool.everybody:
                if replica.idle:
                    replica.close_idle(now)

    def close(self) -> None:
        """Close every idle connection; those in use end with their requests."""
        for pool in self.pools.values():
            for replica in pool.everybody:
                replica.retire()


def _pool(pool: Pool | None, replicas: list[Replica], settings: ModelSettings) -> Pool:
    """The pool of those that write answers, and within it that of those that read prompts."""
    apart = settings.disaggregation
    if apart is None:
        prefill = None
    else:
        reading = [r for r in replicas if prefills(r.labels, apart.label)]
        replicas = [r for r in replicas if decodes(r.labels, apart.label)]
        mine = settings.model_copy(
            update={"picking": apart.picking or settings.picking, "disaggregation": None}
        )
        prefill = _pool(pool.prefill if pool else None, reading, mine)
    if pool is None:
        pool = Pool(replicas, settings)
    else:
        pool.replace(replicas, settings)
    pool.prefill = pool.beside = prefill
    if prefill is not None:
        prefill.beside = pool
    return pool


def _kept(replica: Replica | None, fresh: Replica) -> Replica:
    """The one that is there, with what the settings say of it by now."""
    if replica is None:
        return fresh
    replica.name, replica.weight = fresh.name, fresh.weight
    replica.standby = fresh.standby
    replica.timeouts, replica.breaker = fresh.timeouts, fresh.breaker
    replica.max_in_flight, replica.labels = fresh.max_in_flight, fresh.labels
    replica.gpu_metrics = fresh.gpu_metrics
    return replica


def _shortest(pool: Pool) -> float:
    """The shortest time that something of a model may take."""
    settings = pool.settings
    found = [settings.queue.timeout_s, settings.timeouts.total_s or float("inf")]
    for replica in pool.replicas:
        times = replica.timeouts
        found += [times.first_byte_s, times.until_token_s, times.idle_s]
    return min(found)


def _plan(
    model: str,
    settings: ModelSettings,
    found: Mapping[str, Sequence[EndpointSettings]],
    known: Mapping[Hashable, ssl.SSLContext],
    used: dict[Hashable, ssl.SSLContext],
) -> list[Replica]:
    """Replicas as the settings describe them, not yet joined with the ones already there."""
    seen: dict[Hashable, int] = {}
    replicas = []
    told = {endpoint.address for endpoint in settings.endpoints}
    further = [e for e in found.get(model, ()) if e.address not in told]
    tls = settings.tls
    if settings.discover is not None and settings.discover.dns is not None and not tls.server_name:
        named = tls.model_copy(update={"server_name": settings.discover.dns.name})
    else:
        named = tls
    planned = [(e, tls) for e in settings.endpoints] + [(e, named) for e in further]
    for endpoint, proof in planned:
        key, secure = _secure(model, endpoint, proof, known, used)
        place = (str(endpoint.address), key)
        seen[place] = seen.get(place, 0) + 1  # the same URL twice is two replicas
        replicas.append(
            Replica(
                endpoint.name or endpoint.address.netloc,
                endpoint.address,
                weight=endpoint.weight,
                timeouts=endpoint.timeouts.over(settings.timeouts),
                breaker=settings.breaker,
                max_in_flight=endpoint.max_in_flight,
                labels=endpoint.labels,
                gpu_metrics=endpoint.gpu_metrics,
                standby=endpoint.standby,
                secure=secure,
                identity=(place, seen[place]),
            )
        )
    return replicas


def _secure(
    model: str,
    endpoint: EndpointSettings,
    tls: TlsSettings,
    known: Mapping[Hashable, ssl.SSLContext],
    used: dict[Hashable, ssl.SSLContext],
) -> tuple[Hashable, Secure | None]:
    if endpoint.address.scheme != "https":
        return None, None
    key: Hashable = None
    where = f"models.{model}.tls.ca_file"
    if tls.ca_file is not None:
        try:
            content = Path(tls.ca_file).read_bytes()
        except OSError as error:
            raise ConfigError.one(
                f"cannot read {tls.ca_file}: {error.strerror}", where=where
            ) from error
        key = (tls.ca_file, hashlib.sha256(content).digest())  # a rotated file is a new key
    context = used.get(key) or known.get(key)
    if context is None:
        try:
            context = ssl.create_default_context(cafile=tls.ca_file)
        except (ssl.SSLError, OSError) as error:
            raise ConfigError.one(
                f"{tls.ca_file} is not a PEM bundle of certificates: {error}", where=where
            ) from error
        context.set_alpn_protocols(["http/1.1"])
    used[key] = context
    name = tls.server_name or endpoint.address.host
    return (key, name), Secure(context, name)
