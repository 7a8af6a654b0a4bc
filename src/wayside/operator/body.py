"""What is applied for a child, and whose an object is that is there already."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from wayside.kube.cache import Held, owner_of
from wayside.kube.watch import Key
from wayside.operator.fields import DIGEST, digest, without_nulls
from wayside.operator.looks import Look
from wayside.resources import FOR, Object
from wayside.vocab.objects import section, sections, text
from wayside.vocab.resource import Resource


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


def taken(live: Object, found: Object, lives: Callable[[str], bool]) -> str:
    """Why ``live`` is not for ``found``; empty where it is. One that we made for an object that
    is gone (``lives`` says so of a uid), and that was to outlive it, is for its namesake."""
    uid, owner = found["metadata"]["uid"], owner_of(live)
    if owner == uid:
        return ""
    made_for = text(section(live, "metadata", "annotations").get(FOR))
    if not owner and made_for and (made_for == uid or not lives(made_for)):
        return ""
    if owner or made_for:
        whose = f"an object of that name belongs to {_owner_named(live) or made_for}"
    else:
        whose = "an object of that name is there, and nobody owns it"
    return f"{whose}: it was left alone; rename or delete it"


def _owner_named(live: Object) -> str:
    """Its controller, for people: ``SemanticRouter other``."""
    for found in sections(section(live, "metadata").get("ownerReferences")):
        if found.get("controller") is True:
            return f"{text(found.get('kind'))} {text(found.get('name'))}"
    return ""


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
