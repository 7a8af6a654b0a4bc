"""A ConfigMap that carries one of the other formats as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from wayside.settings.load import documents
from wayside.translate.notes import Note, Translation
from wayside.translate.reading import Ledger, join
from wayside.vocab.errors import ConfigError

NAME = "config_map"


def recognises(document: Mapping[Any, Any]) -> bool:
    """Whether ``document`` is a ConfigMap."""
    return document.get("kind") == "ConfigMap" and isinstance(document.get("data"), Mapping)


def unwrap(
    document: Mapping[Any, Any],
    translate: Callable[[Mapping[Any, Any]], Translation | None],
) -> Translation | None:
    """The first entry that ``translate`` recognises; the others are noted. ``None`` if there is
    no such entry.
    """
    ledger = Ledger()
    root = ledger.reader(document)
    root.raw("apiVersion")
    root.raw("kind")
    for key in ("metadata", "immutable"):
        root.set_aside(key, "the cluster's, not the router's", "ignored")
    root.set_aside("binaryData", "not text", "ignored")
    data = root.inner("data")
    found: Translation | None = None
    for key in data:
        inside = _parse(data.raw(key))
        made = translate(inside) if inside is not None and found is None else None
        if made is None:
            data.note("not read: not the configuration of a router", "ignored", key=key)
        else:
            at = join("data", key)
            notes = tuple(Note(f"{at}:{n.path}", n.what, n.severity) for n in made.notes)
            found = replace(made, notes=notes)
    if found is None:
        return None
    return replace(found, notes=(*found.notes, *ledger.close()))


def _parse(text: Any) -> Mapping[Any, Any] | None:
    if not isinstance(text, str):
        return None
    try:
        found = documents(text)
    except ConfigError:
        return None
    return found[0] if len(found) == 1 else None
