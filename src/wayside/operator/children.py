"""Making what there is what there shall be: an object's children, written, repaired and pruned.

Every write says which state of the child it was decided on (``resourceVersion``; for one that is
not there, a version that no object has), so that a copy that lags behind costs another look and
never somebody else's object.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from wayside.kube.cache import Cache, Held, owner_of
from wayside.kube.client import Client
from wayside.kube.errors import (
    Conflict,
    Forbidden,
    Invalid,
    KubeError,
    NotFound,
    Refused,
    ServerError,
    TooManyRequests,
    Unreachable,
)
from wayside.kube.watch import Key
from wayside.operator.fields import DIGEST, all_ours, digest, ours, without_nulls
from wayside.operator.looks import Look, state_of
from wayside.operator.own import OwnWrites
from wayside.resources import FOR, Desired, Kind, Object, Trouble
from wayside.vocab.objects import section, text
from wayside.vocab.resource import Resource, resource_of

TRIES: Final = 4
"""Of a write that somebody else's came in between of, one right after another."""
FIRST_S: Final = 5.0
LONGEST_S: Final = 300.0
"""What the server refused is tried again after so long, twice as long each time, unless it or we
changed: it says no to the same thing again."""
MAX_MEMORY: Final = 20_000
"""Refusals and oddities that are remembered; the oldest are forgotten."""
NEW: Final = "1"
"""A ``resourceVersion`` that no object has: who applies it wants to make a new one."""
TRANSIENT: Final = (Unreachable, ServerError, TooManyRequests, Conflict)
Reason = Literal["NameTaken", "Refused", "Forbidden", "Absent", "Unreachable", "Invalid"]


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    looks: set[Look] = field(default_factory=set)
    """What it depended on."""
    wrote: set[Look] = field(default_factory=set)
    done: dict[str, list[str]] = field(default_factory=dict)
    """``Created``, ``Updated`` and ``Deleted``: kinds and names."""
    troubles: list[Trouble] = field(default_factory=list)
    failed: KubeError | None = None
    """What may go better at once, and the rest was left for then."""
    again_s: float | None = None

    def did(self, what: str, resource: Resource, child: Mapping[str, Any]) -> None:
        meta = section(child, "metadata")
        name, namespace = text(meta.get("name")), text(meta.get("namespace"))
        kind = text(child.get("kind")) or resource.plural
        self.done.setdefault(what, []).append(f"{kind} {name}")
        self.wrote |= {(resource, namespace, name), (resource, namespace, "*")}
        self.wrote.add((resource, "*", "*"))

    def soon(self, seconds: float) -> None:
        self.again_s = seconds if self.again_s is None else min(self.again_s, seconds)


@dataclass(slots=True)
class _Refusal:
    digest: str
    version: str
    pause_s: float
    until: float
    trouble: Trouble


class Owned:
    """The children of each object, by its uid: kept from what the cache tells."""

    def __init__(self) -> None:
        self._of: dict[str, set[Look]] = {}

    def changed(self, resource: Resource, key: Key, old: Held | None, new: Held | None) -> None:
        before = old.owner if old is not None else ""
        after = new.owner if new is not None else ""
        if before == after:
            return
        child = (resource, *key)
        if before and before in self._of:
            self._of[before].discard(child)
            if not self._of[before]:
                del self._of[before]
        if after:
            self._of.setdefault(after, set()).add(child)

    def of(self, uid: str) -> Iterable[Look]:
        return sorted(self._of.get(uid, ()), key=lambda look: (str(look[0]), look[1:]))


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
        self._manager, self._lives, self._dice = manager, lives, dice
        self._own = own
        self._refusals: dict[Look, _Refusal] = {}
        self._odd: dict[Look, tuple[str, str]] = {}

    async def bring(self, kind: Kind, found: Object, desired: Desired) -> Outcome:
        """Write what differs, in the order of ``desired``, and delete what is no longer wanted.
        Raises nothing of the API's: what could not be done is in the outcome."""
        outcome = Outcome()
        wanted: set[Look] = set()
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
                wanted.add(look)
                outcome.looks |= {look, state_of(resource)}
                if not isinstance(outcome.failed, Unreachable):
                    await self._one(look, body, found, outcome)
        for look in self._owned.of(found["metadata"]["uid"]):
            outcome.looks.add(look)
            kept = look in wanted or not desired.prune
            if not kept and look[0] in kind.owns and outcome.failed is None:
                await self.delete(look, found, outcome)
        return outcome

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
        outcome.did("Deleted", resource, live)

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
                if why := self._taken(live, found):
                    outcome.troubles.append(Trouble(kind, name, "NameTaken", why))
                    return
                if self._as_applied(look, live, wanted, body):
                    self._refusals.pop(look, None)
                    return
            refused = self._refusals.get(look)
            if refused is not None and (refused.digest, refused.version) == (wanted, version):
                left = refused.until - _now()
                if left > 0:
                    outcome.troubles.append(refused.trouble)
                    outcome.soon(left)
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
            self._refusals.pop(look, None)
            fields = ours(now, self._manager)
            if not all_ours(body, fields):
                _remember(self._odd, look, (wanted, digest(fields)))
            if text(section(now, "metadata").get("resourceVersion")) != version:
                outcome.did("Updated" if version else "Created", resource, body)
            return
        outcome.failed = conflict

    def _as_applied(self, look: Look, live: Object, wanted: str, body: Object) -> bool:
        """Whether what we would apply is what we applied, and nobody changed it since. Where a
        webhook always changes what we apply, what came of it counts."""
        if section(live, "metadata", "annotations").get(DIGEST) != wanted:
            return False
        fields = ours(live, self._manager)
        return all_ours(body, fields) or self._odd.get(look) == (wanted, digest(fields))

    def _taken(self, live: Object, found: Object) -> str:
        """Why ``live`` is not for ``found``; empty where it is. One that we made for an object
        that is gone, and that was to outlive it, is for its namesake."""
        uid, owner = found["metadata"]["uid"], owner_of(live)
        if owner == uid:
            return ""
        made_for = text(section(live, "metadata", "annotations").get(FOR))
        if not owner and made_for and (made_for == uid or not self._lives(made_for)):
            return ""
        return (
            f"an object of that name belongs to another ({owner or made_for})"
            if owner or made_for
            else "an object of that name is there, and nobody owns it"
        ) + ": it was left alone; rename or delete it"

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
        reason: Reason = "Refused"
        if isinstance(error, Forbidden):
            reason = "Forbidden"
        elif isinstance(error, NotFound):
            reason = "Absent"
        elif isinstance(error, Invalid):
            reason = "Invalid"
        said = error.message if isinstance(error, Refused) and error.message else str(error)
        before = self._refusals.get(look)
        pause = FIRST_S
        if before is not None and (before.digest, before.version) == (wanted, version):
            pause = min(LONGEST_S, 2 * before.pause_s)
        due = pause * (1 - self._dice() / 4)
        trouble = Trouble(kind, look[2], reason, said)
        kept = _Refusal(wanted, version, pause, _now() + due, trouble)
        _remember(self._refusals, look, kept)
        outcome.troubles.append(trouble)
        outcome.soon(due)


def made(child: Object, found: Object, *, owned: bool) -> tuple[Object, str]:
    """What is applied for ``child``, with the mark of whom it is for and its digest; and what is
    wrong with it."""
    body: Object = without_nulls(child)
    meta = body.setdefault("metadata", {})
    ours = found["metadata"]
    meta.setdefault("namespace", ours.get("namespace", ""))
    notes = dict(meta.get("annotations", {}))
    if owned:
        if meta["namespace"] != ours.get("namespace", ""):
            return body, "an owned object has to be in its owner's namespace"
        meta["ownerReferences"] = [owner(found)]
    else:
        notes[FOR] = ours["uid"]
    meta["annotations"] = notes
    notes[DIGEST] = digest(body)
    return body, ""


def owner(found: Object) -> Object:
    """The reference of an object that controls another one."""
    return {
        "apiVersion": found["apiVersion"],
        "kind": found["kind"],
        "name": found["metadata"]["name"],
        "uid": found["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _remember(memory: dict[Look, Any], look: Look, what: Any) -> None:
    memory.pop(look, None)
    memory[look] = what
    if len(memory) > MAX_MEMORY:
        del memory[next(iter(memory))]


def _now() -> float:
    return asyncio.get_running_loop().time()
