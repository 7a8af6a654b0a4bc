"""Making what there is what there shall be: an object's children, written, repaired and pruned.

Every write says which state of the child it was decided on (``resourceVersion``; for one that is
not there, a version that no object has), so that a copy that lags behind costs another look and
never somebody else's object.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from wayside.kube.cache import Cache, owner_of
from wayside.kube.client import Client
from wayside.kube.errors import (
    Conflict,
    KubeError,
    NotFound,
    ServerError,
    TooManyRequests,
    Unreachable,
)
from wayside.operator.body import Owned, made, taken
from wayside.operator.fields import DIGEST, all_ours, digest, ours
from wayside.operator.looks import Look, state_of, those_of
from wayside.operator.own import OwnWrites
from wayside.operator.refusals import Reason, Refusals, remember
from wayside.resources import Desired, Kind, Object, Trouble
from wayside.vocab.objects import section, text
from wayside.vocab.resource import Resource, resource_of

TRIES: Final = 4
"""Of a write that somebody else's came in between of, one right after another."""
NEW: Final = "1"
"""A ``resourceVersion`` that no object has: who applies it wants to make a new one."""
TRANSIENT: Final = (Unreachable, ServerError, TooManyRequests, Conflict)


@dataclass(slots=True)
class Outcome:
    """What was to be done, and what came of it."""

    planned: dict[Look, Object] = field(default_factory=dict)
    looks: set[Look] = field(default_factory=set)
    """What it depended on."""
    wrote: set[Look] = field(default_factory=set)
    done: dict[str, list[str]] = field(default_factory=dict)
    """``Created``, ``Updated`` and ``Deleted``: kinds and names."""
    troubles: list[Trouble] = field(default_factory=list)
    failed: KubeError | None = None
    """What may go better at once, and the rest was left for then."""
    again_s: float | None = None

    def did(self, what: str, resource: Resource, child: Object, was: Object | None) -> None:
        """``child`` was written over what ``was`` there; of one that is gone, both are that."""
        meta = section(child, "metadata")
        name, namespace = text(meta.get("name")), text(meta.get("namespace"))
        kind = text(child.get("kind")) or resource.plural
        self.done.setdefault(what, []).append(f"{kind} {name}")
        self.wrote.add((resource, namespace, name))
        for those in {*those_of(child), *those_of(was)}:
            self.wrote |= {(resource, namespace, those), (resource, "*", those)}

    def refused(self, trouble: Trouble, again_s: float) -> None:
        self.troubles.append(trouble)
        self.soon(again_s)

    def soon(self, seconds: float) -> None:
        self.again_s = seconds if self.again_s is None else min(self.again_s, seconds)


class Children:
    """Writes children for one program, as ``manager``."""

    def __init__(
        self,
        client: Client,
        cache: Cache,
        owned: Owned,
        manager: str,
        *,
        own: OwnWrites,
        lives: Callable[[str], bool],
        dice: Callable[[], float] = random.random,
    ) -> None:
        """``lives``: whether there is an object of ours with this uid."""
        self._client, self._cache, self._owned = client, cache, owned
        self._manager, self._lives = manager, lives
        self._own = own
        self._refusals = Refusals(dice)
        self._odd: dict[Look, tuple[str, str]] = {}

    def plan(self, found: Object, desired: Desired) -> Outcome:
        """What is to be written, and what it depends on; nothing has been done."""
        outcome = Outcome()
        for owned, children in ((True, desired.children), (False, desired.unowned)):
            for child in children:
                name = str(section(child, "metadata").get("name", ""))
                try:
                    resource = resource_of(child)
                    body, trouble = made(child, found, owned=owned)
                except KeyError:
                    trouble = "objects of this kind are never made"
                if trouble:
                    said = Trouble(str(child.get("kind")), name, "Invalid", trouble)
                    outcome.troubles.append(said)
                    continue
                look = (resource, body["metadata"]["namespace"], name)
                outcome.planned[look] = body
                outcome.looks |= {look, state_of(resource)}
        return outcome

    async def bring(self, kind: Kind, found: Object, desired: Desired, outcome: Outcome) -> None:
        """Write what differs, in the order of the plan, and delete what is no longer wanted.
        Raises nothing of the API's: what could not be done is in the outcome."""
        for look, body in outcome.planned.items():
            if not isinstance(outcome.failed, Unreachable):
                await self._one(look, body, found, outcome)
        for look in self._owned.of(found["metadata"]["uid"]):
            outcome.looks.add(look)
            kept = look in outcome.planned or not desired.prune
            pruned = look[0] in kind.owns and look[0] not in kind.spares
            if pruned and not kept and outcome.failed is None:
                await self.delete(look, found, outcome)

    async def delete(self, look: Look, found: Object, outcome: Outcome, uid: str = "") -> None:
        """Delete one object if ``found`` still owns it, or if it is the one with this ``uid``."""
        resource, namespace, name = look
        live = self._cache.get(resource, namespace, name)
        meta = section(live, "metadata")
        if live is None or meta.get("deletionTimestamp"):
            return
        if uid not in ("", meta.get("uid")):
            return
        if not uid and owner_of(live) != found["metadata"]["uid"]:
            return
        where = namespace or None
        try:
            with self._own.writing(look, found) as write:
                await self._client.delete(
                    resource, name, where, uid=text(meta.get("uid")), propagation="Background"
                )
                write.gave(None)
        except NotFound:
            self._cache.forget(*look)
            return
        except Conflict:
            await self._look_again(look)
            return
        except KubeError as error:
            self._could_not(error, look, text(live.get("kind")), outcome)
            return
        outcome.did("Deleted", resource, live, live)

    # --- inner workings ------------------------------------------------------------------------

    async def _one(self, look: Look, body: Object, found: Object, outcome: Outcome) -> None:
        resource, namespace, name = look
        kind, wanted = body["kind"], body["metadata"]["annotations"][DIGEST]
        copy = self._cache.copy(resource, namespace)
        if copy is None or copy.known in ("forbidden", "absent", "starting"):
            state = copy.known if copy is not None else "forbidden"
            if copy is not None and state != "starting":  # else we are told when it has started
                reason: Reason = "Forbidden" if state == "forbidden" else "Absent"
                outcome.troubles.append(Trouble(kind, name, reason, copy.problem))
            return
        conflict: Conflict | None = None
        for _ in range(TRIES):
            live = copy.get((namespace, name))
            version = text(section(live, "metadata").get("resourceVersion"))
            if live is not None:
                if section(live, "metadata").get("deletionTimestamp"):
                    return  # its end is told
                if why := taken(live, found, self._lives):
                    outcome.troubles.append(Trouble(kind, name, "NameTaken", why))
                    return
                if self._as_applied(look, live, wanted, body):
                    self._refusals.forget(look)
                    return
            refused = self._refusals.of(look, wanted, version)
            if refused is not None:
                outcome.refused(*refused)
                return
            body["metadata"]["resourceVersion"] = version or NEW
            try:
                with self._own.writing(look, found) as write:
                    now = await self._client.apply(
                        resource, body, namespace or None, manager=self._manager, force=True
                    )
                    write.gave(now)
            except Conflict as error:
                conflict = error
                await self._look_again(look)
                continue
            except KubeError as error:
                self._could_not(error, look, kind, outcome, wanted, version)
                return
            self._refusals.forget(look)
            fields = ours(now, self._manager)
            if not all_ours(body, fields):
                remember(self._odd, look, (wanted, digest(fields)))
            if text(section(now, "metadata").get("resourceVersion")) != version:
                outcome.did("Updated" if version else "Created", resource, body, live)
            return
        outcome.failed = conflict

    def _as_applied(self, look: Look, live: Object, wanted: str, body: Object) -> bool:
        """Whether what we would apply is what we applied, and nobody changed it since. Where a
        webhook always changes what we apply, what came of it counts."""
        if section(live, "metadata", "annotations").get(DIGEST) != wanted:
            return False
        fields = ours(live, self._manager)
        return all_ours(body, fields) or self._odd.get(look) == (wanted, digest(fields))

    async def _look_again(self, look: Look) -> None:
        resource, namespace, name = look
        try:
            self._cache.learn(resource, await self._client.get(resource, name, namespace or None))
        except NotFound:
            self._cache.forget(*look)
        except KubeError:
            pass  # the write that follows will tell

    def _could_not(
        self,
        error: KubeError,
        look: Look,
        kind: str,
        outcome: Outcome,
        wanted: str = "",
        version: str = "",
    ) -> None:
        if isinstance(error, TRANSIENT):
            outcome.failed = error
            return
        outcome.refused(*self._refusals.add(look, kind, error, wanted, version))
