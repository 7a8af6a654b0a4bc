"""Models that the path names: ``POST /<model>/v1/chat/completions``, as a gateway of
Models-as-a-Service has them, beside ``/v1/chat/completions`` with the model in its body."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import unquote

import msgspec

from wayside.dialects import Edit
from wayside.dialects.anthropic_messages import COUNT_PATH
from wayside.flow.protocols import BODIES
from wayside.vocab.errors import RequestError
from wayside.vocab.outcome import Request

V1 = "/v1/"
NAMES_MODEL = frozenset((*BODIES, COUNT_PATH))
"""Paths whose body names a model."""


class Place(NamedTuple):
    """A model, and the namespace that may stand before its name; ``""``: any."""

    model: str
    namespace: str = ""


class Named(NamedTuple):
    """What a path says: the model, and the path that is left."""

    model: str
    path: str


def read(places: Mapping[str, Place], path: str) -> Named | None:
    """The model that ``path`` (without a query) names; ``None`` where it names none.

    A whole prefix that is a model's name counts first: such names may have slashes.
    """
    at = path.find(V1, 1)
    prefix = unquote(path[1:at]) if at > 0 else ""
    if not prefix:
        return None
    place = places.get(prefix)
    if place is None:
        namespace, _, name = prefix.partition("/")
        place = places.get(name)
        if place is None or not namespace or place.namespace not in ("", namespace):
            return None
    return Named(place.model, path[at:])


def rewritten(request: Request, named: Named, target_of: Callable[[str], str | None]) -> Request:
    """``request`` without the model in its path; a body that names none gets it. Raises
    :class:`RequestError` for a body that names another; ``target_of`` says which model a name
    stands for."""
    query = request.path.partition("?")[2]
    path = f"{named.path}?{query}" if query else named.path
    if request.method != "POST" or named.path not in NAMES_MODEL:
        return msgspec.structs.replace(request, path=path)
    edit = Edit(request.body)
    said = edit.get("model")
    if said is None or said == "":
        edit.set("model", named.model)
        return msgspec.structs.replace(request, path=path, body=edit.encode())
    if not isinstance(said, str) or target_of(said) != named.model:
        other = said[:256] if isinstance(said, str) else "something else"
        raise RequestError(
            f"The path names the model `{named.model}`, and the body `{other}`: leave the "
            "body's out, or ask at /v1.",
            param="model",
            code="model_mismatch",
        )
    return msgspec.structs.replace(request, path=path)
