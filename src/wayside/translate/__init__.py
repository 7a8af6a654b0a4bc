"""Foreign configurations, translated into our own settings. One file per format.

Every translation is a pure function of the parsed document. It returns settings that
``RouterSettings`` accepts, and notes: what was left out, what changed meaning, what was assumed.
Each key of the document is either in the settings or named, with its path or an enclosing one, by
a note; :mod:`wayside.translate.reading` sees to that. Keys and passwords written in a document
are never copied, neither into settings nor into notes.

Give the document as parsed, before ``${VAR}`` is filled in: a key written ``${OPENAI_API_KEY}``
becomes a reference to that variable, and a filled-in one would be refused as a literal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from wayside.translate import (
    config_map,
    kubernetes,
    litellm,
    llm_d,
    production_stack,
    vsr_flat,
    vsr_v03,
)
from wayside.translate.notes import Note, Translation, grouped

__all__ = ["FORMATS", "Note", "Translation", "grouped", "translate", "translate_all"]


class _Format(Protocol):
    NAME: str

    def recognises(self, document: Mapping[Any, Any]) -> bool: ...

    def translate(self, document: Mapping[Any, Any]) -> Translation: ...


_FORMATS: tuple[_Format, ...] = (kubernetes, litellm, llm_d, production_stack, vsr_v03, vsr_flat)
FORMATS = tuple(f.NAME for f in _FORMATS)
"""Names of the formats, in the order in which they are tried."""


def translate(document: Mapping[Any, Any], *, hint: str = "") -> Translation | None:
    """``document`` in our settings, or ``None`` if no foreign format recognises it.

    ``hint`` is the file's name without its ending; a file that holds a single algorithm or plugin
    is read as a decision of that name.
    """
    if config_map.recognises(document):
        return config_map.unwrap(document, translate)
    for format_ in _FORMATS:
        if format_.recognises(document):
            return format_.translate(document)
    if {"algorithm", "plugin", "plugins"} & set(document) and len(document) == 1:
        return vsr_v03.translate_fragment(hint, document)
    return None


def translate_all(documents: Sequence[Mapping[Any, Any]], *, hint: str = "") -> Translation | None:
    """Several documents of one file, or files given together: a pool, its routes and their base;
    or one foreign configuration among resources that are nothing to us.

    ``None`` if they are not foreign, or do not belong together.
    """
    documents = [item for document in documents for item in _items(document)]
    if len(documents) == 1:
        return translate(documents[0], hint=hint)
    if kubernetes.belong_together(documents):
        return kubernetes.translate_together(documents)
    if llm_d.belong_together(documents):
        return llm_d.translate_together(documents)
    found = [(i, t) for i, d in enumerate(documents) if (t := translate(d)) is not None]
    if len(found) != 1:
        return None
    ((index, translation),) = found
    others = (
        Note(f"document {i + 1}", f"{d.get('kind', 'a document')}: not a router's", "ignored")
        for i, d in enumerate(documents)
        if i != index
    )
    return replace(translation, notes=(*translation.notes, *others))


def _items(document: Mapping[Any, Any]) -> Sequence[Mapping[Any, Any]]:
    """What a ``List``, as ``kubectl get -o yaml`` writes it, holds; else the document."""
    items = document.get("items")
    if document.get("kind") != "List" or not isinstance(items, list):
        return [document]
    return [item for item in items if isinstance(item, Mapping)] or [document]
