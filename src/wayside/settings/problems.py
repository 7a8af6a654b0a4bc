"""Validation errors, told as paths with the fix beside them."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from wayside.vocab.errors import Problem

_Loc = tuple[int | str, ...]


def problems_from(
    error: ValidationError, model: type[BaseModel], where: str = ""
) -> list[Problem]:
    """Every pydantic error as a :class:`Problem`; unknown keys get the nearest known one."""
    found: list[Problem] = []
    for item in error.errors(include_url=False):
        loc = item["loc"]
        at = path_text(loc, where)
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            known = _keys_at(model, loc[:-1])
            problem = Problem("unknown key", at, suggest(str(loc[-1]), known, "keys here"))
        elif item["type"] == "missing":
            problem = Problem("is required", at, "add it")
        elif item["type"] in ("model_type", "dict_type"):
            problem = Problem(f"expected a mapping, got {_shown(item['input'])}", at, "")
        else:
            problem = Problem(
                f"{message[:1].lower()}{message[1:]}, got {_shown(item['input'])}", at
            )
        if str(problem) not in {str(p) for p in found}:
            found.append(problem)
    return found


def suggest(word: str, known: Iterable[str], what: str = "choices") -> str:
    """``did you mean 'x'?``, or the list to choose from."""
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"{what}: {', '.join(known) if known else '(none)'}"


def path_text(loc: Iterable[int | str], where: str = "") -> str:
    """``("models", "a", "endpoints", 0)`` as ``models.a.endpoints[0]``."""
    text = where
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else str(part)
    return text


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _keys_at(annotation: Any, loc: _Loc) -> set[str]:
    """Keys the settings accept at ``loc``."""
    models = _models_in(annotation)
    for i, part in enumerate(loc):
        inner: list[Any] = []
        for model in models:
            for name, field in model.model_fields.items():
                if part in (name, field.alias):
                    inner.append(field.annotation)
        if inner:
            models = [m for a in inner for m in _models_in(a)]
        elif i == 0 and not models:
            return set()
    return {f.alias or name for m in models for name, f in m.model_fields.items()}


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Settings classes inside ``X | None``, ``tuple[X, ...]``, ``dict[str, X]``, ``Annotated``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    origin = typing.get_origin(annotation)
    if origin is None:
        return []
    args = typing.get_args(annotation)
    if origin is typing.Annotated:
        args = args[:1]
    elif origin in (dict, Mapping):
        args = args[1:]
    elif origin in (typing.Union, types.UnionType, tuple, list):
        args = tuple(a for a in args if a is not Ellipsis)
    return [m for a in args for m in _models_in(a)]
