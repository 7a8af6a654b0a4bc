"""One pass over one object: what there shall be is asked, made, and told in its status.

A pass depends on nothing but what is there. It may be ended between any two writes, run twice, or
run for no reason; the next one finds what is left to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from wayside.kube.cache import Cache
from wayside.kube.client import Client
from wayside.kube.errors import Conflict, KubeError, NotFound
from wayside.kube.watch import Log
from wayside.operator.children import Children, Outcome
from wayside.operator.events import Tell, stamp
from wayside.operator.fields import digest
from wayside.operator.figures import Figures
from wayside.operator.looks import Asker, Lookers, Seen, glance
from wayside.operator.own import OwnWrites
from wayside.operator.prober import Prober
from wayside.operator.status import difference, wanted
from wayside.resources import Desired, Kind, Object, Trouble
from wayside.vocab.objects import section, text
from wayside.vocab.resource import resource_of

ROUNDS: Final = 3
"""How often ``desired`` is asked in one pass, because what it looked at was written by it."""
PATIENCE: Final = 3
"""Passes that may fail in a row before the status says so: most of what fails does so once."""
MAX_NAMED: Final = 8
"""Children that an Event names."""


@dataclass(slots=True)
class Tools:
    """What a pass works with; one of each for a program."""

    client: Client
    cache: Cache
    children: Children
    lookers: Lookers
    prober: Prober
    tell: Tell
    log: Log
    manager: str
    own: OwnWrites
    asked: Callable[[tuple[str, ...]], None]
    """Hears of each call of ``desired``: its controller."""
    settings: Mapping[str, str] = field(default_factory=dict)
    figures: Figures = field(default_factory=Figures)


class Retry(Exception):
    """This pass could not be ended: again, after a pause of at least ``after_s``. ``at_once``
    where only somebody else's write came in between."""

    def __init__(self, why: str, *, after_s: float = 0.0, at_once: bool = False) -> None:
        super().__init__(why)
        self.after_s, self.at_once = after_s, at_once


class Keeping:
    """Passes over the objects of one kind."""

    def __init__(self, kind: Kind, tools: Tools) -> None:
        self.kind, self._t = kind, tools
        self._unsaid: set[str] = set()
        self._settled: dict[Asker, tuple[int, float | None]] = {}

    async def look_after(self, namespace: str, name: str, failures: int) -> float | None:
        """One pass; after how many seconds another one is wanted though nothing changes.

        ``failures``: how many passes before this one failed in a row. Raises :class:`Retry`.
        """
        asker = (self.kind.kind, namespace, name)
        found = self._t.cache.get(self.kind.resource, namespace, name)
        if found is None:
            self.forget(namespace, name)
            return None
        found.setdefault("apiVersion", self.kind.resource.api_version)
        found.setdefault("kind", self.kind.kind)
        try:
            if section(found, "metadata").get("deletionTimestamp"):
                await self._farewell(asker, found)
                return None
            if self.kind.finalizer and self.kind.finalizer not in _finalizers(found):
                finalizers = [*_finalizers(found), self.kind.finalizer]
                found = await self._patch(found, {"metadata": {"finalizers": finalizers}})
            return await self._bring(asker, found, failures)
        except Conflict as error:
            await self._look_again(namespace, name)
            raise Retry(str(error), at_once=True) from error
        except NotFound:  # deleted meanwhile
            await self._look_again(namespace, name)
            return None
        except KubeError as error:
            raise _retry(error) from error

    def forget(self, namespace: str, name: str) -> None:
        """There is no such object any more."""
        asker = (self.kind.kind, namespace, name)
        self._settled.pop(asker, None)
        self._t.lookers.remember(asker, ())
        self._t.prober.want(asker, ())
        self._t.figures.say(asker, ())

    # --- inner workings ------------------------------------------------------------------------

    async def _bring(self, asker: Asker, found: Object, failures: int) -> float | None:
        settled = self._settled.pop(asker, None)
        if settled is not None and settled[0] == self._glance(asker, found):
            self._settled[asker] = settled
            return settled[1]  # all is as it was when there was nothing to do
        done: dict[str, list[str]] = {}
        before: Desired | None = None
        outcome = Outcome()
        for _ in range(ROUNDS):
            world = Seen(self._t.cache, self._t.prober, self._t.settings)
            self._t.asked((self.kind.kind.lower(),))
            desired = self.kind.keeper.desired(found, world)
            self._t.prober.want(asker, world.probes)
            if before is not None and _same_children(before, desired):
                self._t.lookers.remember(asker, world.looks | outcome.looks)
                break  # they have just been brought about
            outcome = self._t.children.plan(found, desired)
            # Before anything is waited for: what changes from here on is told.
            self._t.lookers.remember(asker, world.looks | outcome.looks)
            seen = self._glance(asker, found)
            await self._t.children.bring(self.kind, found, desired, outcome)
            self._t.lookers.remember(asker, world.looks | outcome.looks)
            for what, names in outcome.done.items():
                done.setdefault(what, []).extend(names)
            if not world.looks & outcome.wrote or outcome.failed:
                break
            before = desired
        else:
            outcome.soon(0.0)
        self._t.figures.say(asker, desired.figures)
        self._say_done(found, done)
        troubles = list(outcome.troubles)
        if outcome.failed is not None:
            if failures < PATIENCE:
                raise _retry(outcome.failed) from outcome.failed
            troubles.append(Trouble("", "", "Unreachable", str(outcome.failed)))
        if troubles:
            desired = self.kind.keeper.troubled(desired, found, troubles)
        said = await self._say(found, desired)
        if outcome.failed is not None:
            raise _retry(outcome.failed) from outcome.failed
        if not (said or done or troubles or world.probes or outcome.again_s is not None):
            self._settled[asker] = (seen, desired.again_s)
        return _sooner(desired.again_s, outcome.again_s)

    def _glance(self, asker: Asker, found: Object) -> int:
        """A number for all that a pass depends on; probes aside."""
        meta, looks = found["metadata"], self._t.lookers.looks(asker)
        return hash((meta["uid"], meta["resourceVersion"], glance(self._t.cache, looks)))

    async def _say(self, found: Object, desired: Desired) -> bool:
        """Write the status, and tell Events of conditions that changed; whether anything was to
        be said."""
        status, changed = wanted(found, desired, stamp())
        patch = difference(section(found, "status"), status)
        if digest(patch) in self._unsaid:
            return False
        if patch:
            after = await self._patch(found, {"status": patch}, "status")
            left = difference(section(after, "status"), status)
            if left:
                self._cannot_say(found, left)
        for condition in changed:
            if condition.event:
                reason = condition.event_reason or condition.reason
                self._t.tell(found, condition.event, reason, condition.message)
        return bool(patch or changed)

    def _cannot_say(self, found: Object, left: Object) -> None:
        """The schema of the status does not let it through: do not try it for ever."""
        if len(self._unsaid) < 1_000:
            self._unsaid.add(digest(left))
        self._t.log(
            "status not taken",
            level="warning",
            kind=self.kind.kind,
            object=found["metadata"]["name"],
            fields=", ".join(sorted(left)),
            fix="the CRD in the cluster is older than this program: install the current one",
        )

    async def _farewell(self, asker: Asker, found: Object) -> None:
        """What is left to do for an object that is being deleted; then its finalizer goes."""
        self._t.prober.want(asker, ())
        if self.kind.finalizer not in _finalizers(found):
            self._t.lookers.remember(asker, ())
            return
        world = Seen(self._t.cache, self._t.prober, self._t.settings)
        farewell = self.kind.keeper.farewell(found, world)
        self._t.lookers.remember(asker, world.looks)
        kept = Desired(unowned=farewell.unowned, prune=False)
        outcome = self._t.children.plan(found, kept)
        await self._t.children.bring(self.kind, found, kept, outcome)
        for child in farewell.delete:
            meta = child["metadata"]
            look = (resource_of(child), meta.get("namespace", asker[1]), meta["name"])
            await self._t.children.delete(look, found, outcome, uid=text(meta.get("uid")))
        self._say_done(found, outcome.done)
        if outcome.failed is not None:
            raise _retry(outcome.failed) from outcome.failed
        if outcome.troubles:
            first = outcome.troubles[0]
            why = f"cannot delete {first.kind} {first.name}: {first.message}"
            self._t.tell(found, "Warning", "DeletionBlocked", why)
            raise Retry(why, after_s=outcome.again_s or 0.0)
        for severity, reason, message in farewell.events:
            self._t.tell(found, severity, reason, message)
        others = [name for name in _finalizers(found) if name != self.kind.finalizer]
        await self._patch(found, {"metadata": {"finalizers": others or None}})

    async def _patch(self, found: Object, patch: dict[str, Any], sub: str = "") -> Object:
        """Change ``found`` in place of nobody else: only as it was seen."""
        meta = found["metadata"]
        patch.setdefault("metadata", {})["resourceVersion"] = meta["resourceVersion"]
        look = (self.kind.resource, meta.get("namespace", ""), meta["name"])
        with self._t.own.writing(look, found) as write:
            after = await self._t.client.merge(
                self.kind.resource,
                meta["name"],
                patch,
                meta.get("namespace"),
                manager=self._t.manager,
                sub=sub,
            )
            write.gave(after)
        return after

    async def _look_again(self, namespace: str, name: str) -> None:
        try:
            self._t.cache.learn(
                self.kind.resource,
                await self._t.client.get(self.kind.resource, name, namespace or None),
            )
        except NotFound:
            self._t.cache.forget(self.kind.resource, namespace, name)
        except KubeError:
            pass  # the next pass will tell

    def _say_done(self, found: Object, done: Mapping[str, list[str]]) -> None:
        for what in ("Created", "Updated", "Deleted"):
            names = list(dict.fromkeys(done.get(what, ())))
            if names:
                more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
                said = f"{what} {', '.join(names[:MAX_NAMED])}{more}"
                self._t.tell(found, "Normal", what, said)


def _finalizers(found: Object) -> list[str]:
    return list(section(found, "metadata").get("finalizers") or ())


def _same_children(a: Desired, b: Desired) -> bool:
    return a.children == b.children and a.unowned == b.unowned


def _retry(error: KubeError) -> Retry:
    return Retry(str(error), after_s=getattr(error, "retry_after_s", 0.0))


def _sooner(a: float | None, b: float | None) -> float | None:
    return min((x for x in (a, b) if x is not None), default=None)
