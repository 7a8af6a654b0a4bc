"""Draft models: names that stand for the model that they propose tokens for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from wayside.settings import ModelSettings
from wayside.vocab.errors import Problem


def drafts(models: Mapping[str, ModelSettings]) -> dict[str, str]:
    """The target of every draft that is no model of its own; one that drafts for several models
    stands for none of them."""
    found: dict[str, list[str]] = {}
    for name, model in models.items():
        draft = model.speculative.draft if model.speculative else None
        if draft is not None and draft not in models:
            found.setdefault(draft, []).append(name)
    return {draft: targets[0] for draft, targets in found.items() if len(targets) == 1}


def problems(models: Mapping[str, ModelSettings]) -> Iterator[Problem]:
    """What is wrong with the pairs."""
    for name, model in models.items():
        said = model.speculative
        if said is None:
            continue
        where = f"models.{name}.speculative"
        if said.method == "draft" and said.draft is None:
            yield Problem("names no draft model", where, "draft: NAME, or another method")
        if said.method != "draft" and said.draft is not None:
            yield Problem(f"{said.method} needs no draft model", f"{where}.draft", "leave it out")
        if said.draft == name:
            yield Problem("a model cannot draft for itself", f"{where}.draft")


def hint(name: str, models: Mapping[str, ModelSettings]) -> str:
    """What to write instead of a draft's name; empty where ``name`` is none."""
    target = drafts(models).get(name)
    return f"{name} drafts for {target}; name {target}" if target else ""
