"""Models that were found in a cluster, added to those of a configuration.

A name or an address that does not go with the rest costs that one model or server, and is said:
nobody who starts a model server may put a router out of order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from wayside.settings.address import parse_address, strict_ip_problem
from wayside.vocab.objects import section, sections, text

MOST_MODELS: Final = 2_000
"""Models that are found; further ones are left out. Their names take part in every compilation."""
MOST_NAME: Final = 256

Object = dict[str, Any]


class Found(NamedTuple):
    """A server of a model: what requests call the model, and who said so, for people."""

    model: str
    endpoint: Mapping[str, Any]
    """As ``models.<name>.endpoints`` has them."""
    by: str
    settings: Mapping[str, Any] = MappingProxyType({})
    """Of the model, where the document does not name it: `upstream_name`, `provider`."""


def with_found(
    document: Mapping[str, Any], found: Iterable[Found], defaults: Mapping[str, Any]
) -> tuple[Object, list[str]]:
    """The models of ``document`` with those that were found, and what was left out, and why.

    ``defaults`` are the settings of models that the document does not name.
    """
    models: Object = dict(section(document, "models"))
    taken = dict(_taken(document, models))
    strict = document.get("strict_ip") is True
    left: list[str] = []
    several: dict[str, list[Found]] = {}
    for one in found:
        several.setdefault(one.model, []).append(one)
    added = 0
    for model, servers in several.items():
        said = _unfit(model, taken)
        if not said and model not in models:
            added += 1
            if added > MOST_MODELS:
                said = f"there are more than {MOST_MODELS} models"
        if said:
            left.append(f"model {model[:80]!r} of {servers[0].by}: {said}")
            continue
        if model in models and not isinstance(models[model], Mapping):
            continue  # what is wrong there is told when it is validated
        known = dict(models.get(model, {**defaults, **servers[0].settings}))
        endpoints, wrong = _joined(model, known, servers, strict=strict)
        left += wrong
        if endpoints:
            models[model] = {**known, "endpoints": endpoints}
    return models, left


def _taken(document: Mapping[str, Any], models: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names that mean something else already, and what."""
    autos = document.get("auto_names", ("auto", "MoM"))
    for name in _names(autos):
        yield name, "asks the router to choose (auto_names)"
    for entry in sections(document.get("entrypoints")):
        for name in _names(entry.get("names")):
            yield name, "is an entrypoint"
    for owner, model in models.items():
        for alias in _names(section(model).get("aliases")):
            yield alias, f"is an alias of model {owner!r}"
        loras = section(model).get("loras")
        for lora in loras if isinstance(loras, list | tuple) else ():
            name = text(lora) or text(section(lora).get("name"))
            yield name, f"is an adapter of model {owner!r}"


def _names(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if _is_list(value) else []


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _unfit(model: str, taken: Mapping[str, str]) -> str:
    """Why a model cannot be called that; empty where it can."""
    if not model or len(model) > MOST_NAME:
        return f"a name has 1 to {MOST_NAME} characters"
    if not model.isprintable() or model != model.strip():
        return "its name has characters that cannot be printed"
    if model in taken:
        return f"this name {taken[model]}; serve it by another one"
    return ""


def _joined(
    model: str, known: Mapping[str, Any], servers: Iterable[Found], *, strict: bool
) -> tuple[list[Any], list[str]]:
    """The endpoints of a model with further ones, which have to have the same path."""
    given = known.get("endpoints", ())
    endpoints: list[Any] = list(given) if _is_list(given) else []
    urls = [entry if isinstance(entry, str) else section(entry).get("url") for entry in endpoints]
    paths = {_path(url) for url in urls if isinstance(url, str)} - {None}
    discover = section(known, "discover")
    for how in ("dns", "kubernetes"):
        if how in discover:
            paths.add(text(section(discover, how).get("path")) or "/v1")
    seen = {url for url in urls if isinstance(url, str)}
    left: list[str] = []
    for server in servers:
        url = text(server.endpoint.get("url"))
        path = _path(url)
        said = ""
        if path is None:
            said = f"{url[:200]!r} is no address"
        elif paths and path not in paths:
            other = ", ".join(sorted(str(p) for p in paths))
            said = f"it is served under {path}, and by others under {other}"
        elif strict and not parse_address(url).is_ip:
            said = f"{strict_ip_problem(parse_address(url).host)} (strict_ip)"
        if said:
            left.append(f"{server.by} as a server of {model!r}: {said}")
        elif url not in seen:
            seen.add(url)
            paths.add(path)
            endpoints.append(dict(server.endpoint))
    return endpoints, left


def _path(url: str) -> str | None:
    """The base path of an address; ``None`` for what is none."""
    try:
        return parse_address(url).base_path or "/v1"
    except ValueError:
        return None
