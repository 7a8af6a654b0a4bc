"""Validation errors, told as paths with the fix beside them."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from wayside.vocab.errors import Problem

_Loc = tuple[int | str, ...]
_SECRET = frozenset({"credential", "password", "headers", "key", "token", "secret"})
"""Keys under which somebody may have written a secret, whatever else belongs there."""
_USER = re.compile(r"(^|[\s'\"\[{(,])([a-z][a-z0-9+.-]*://)?[^'\"@\s]+@", re.IGNORECASE)
_QUERY = re.compile(r"(://[^'\"\s?]*\?)[^'\"\s]+")
_FEW_KEYS = 10
"""Where more keys are known than this, listing them helps nobody."""


def problems_from(
    error: ValidationError, model: type[BaseModel], where: str = "", *, repeat: bool = True
) -> list[Problem]:
    """Every pydantic error as a :class:`Problem`; unknown keys get the nearest known one.

    What was written is repeated, unless ``repeat`` is false (a request may hold prompts), but for
    what stands where a secret may: a key, a password, a header.
    """
    found: list[Problem] = []
    for item in error.errors(include_url=False):
        loc = item["loc"]
        at = path_text(loc, where)
        message = item["msg"].removeprefix("Value error, ")
        shown = (
            "" if not repeat or not _SECRET.isdisjoint(loc) else f", got {_shown(item['input'])}"
        )
        if item["type"] == "extra_forbidden":
            known = _keys_at(model, loc[:-1])
            problem = Problem("unknown key", at, suggest(str(loc[-1]), known, "keys here"))
        elif item["type"] == "missing":
            problem = Problem("is required", at, "add it")
        elif item["type"] in ("model_type", "dict_type"):
            fix = _as_mapping(item["input"] if shown else None, _keys_at(model, loc))
            problem = Problem(f"expected a mapping{shown}", at, fix)
        elif item["type"] in ("tuple_type", "list_type"):
            single = isinstance(item["input"], str | int | float)
            problem = Problem(f"expected a list{shown}", at, "put it in [ ]" if single else "")
        elif item["type"] == "too_short":
            problem = Problem("is too short", at, f"give at least {item['ctx']['min_length']}")
        else:
            near = _near(item) if item["type"] == "literal_error" else ""
            problem = Problem(
                f"{message[:1].lower()}{message[1:]}{shown}",
                at,
                f"did you mean {near!r}?" if near else "",
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


def _near(item: Mapping[str, Any]) -> str:
    """The choice that was probably meant; empty where none is near."""
    if not isinstance(item["input"], str):
        return ""
    choices = re.findall(r"'([^']*)'", item["ctx"]["expected"])
    return next(iter(difflib.get_close_matches(item["input"], choices, n=1, cutoff=0.6)), "")


def _as_mapping(value: Any, keys: set[str]) -> str:
    """What to write where ``value`` stands in the place of a mapping that takes ``keys``."""
    if isinstance(value, bool) and "enabled" in keys:
        return f"write {{enabled: {str(value).lower()}}}"
    if 0 < len(keys) <= _FEW_KEYS:
        return f"keys here: {', '.join(sorted(keys))}"
    if isinstance(value, list) and value and all(isinstance(name, str) for name in value):
        return f"write {{{_shown(value[0])[1:-1]}: {{}}}}, each name with its settings"
    return ""


def path_text(loc: Iterable[int | str], where: str = "") -> str:
    """``("models", "a", "endpoints", 0)`` as ``models.a.endpoints[0]``."""
    text = where
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part != "[key]":  # pydantic's word for: the key itself is wrong
            text += f".{part}" if text else str(part)
    return text


def _shown(value: Any) -> str:
    """What was written, shortened, without a user, a password or a query in it."""
    text = _QUERY.sub(r"\1***", _USER.sub(r"\1\2***@", repr(value)[:4000]))
    return text if len(text) <= 60 else text[:57] + "..."


def _keys_at(annotation: Any, loc: _Loc) -> set[str]:
    """Keys the settings accept at ``loc``."""
    here = [annotation]
    for part in loc:
        # pydantic also names the branch of a union, which is no step into the settings
        here = [inner for a in here for inner in _inside(a, part)] or here
    models = [a for outer in here for a in _choices(outer) if _is_model(a)]
    return {f.alias or name for m in models for name, f in m.model_fields.items()}


def _inside(annotation: Any, part: int | str) -> Iterator[Any]:
    """The annotations of what ``part`` leads to."""
    for choice in _choices(annotation):
        origin, args = typing.get_origin(choice), typing.get_args(choice)
        if _is_model(choice):
            fields = choice.model_fields.items()
            yield from (f.annotation for name, f in fields if part in (name, f.alias))
        elif origin in (dict, Mapping):
            yield args[1]
        elif origin in (tuple, list) and isinstance(part, int):
            yield args[0]


def _choices(annotation: Any) -> Iterator[Any]:
    """``X`` and ``Y`` of ``Annotated[X | Y, ...]``."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        yield from _choices(args[0])
    elif origin in (typing.Union, types.UnionType):
        for arg in args:
            yield from _choices(arg)
    else:
        yield annotation


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
