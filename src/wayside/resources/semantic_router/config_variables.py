"""What a configuration expects of the pod's environment, checked against ``spec.env``.

A key that comes from a Secret by way of a variable is read from the mounted Secret instead: a
process never sees its environment change, a file it does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wayside.resources.semantic_router.secrets import SecretUse, use
from wayside.settings.load import fill
from wayside.vocab.errors import ConfigError, Problem
from wayside.vocab.objects import section, text

UNKNOWN = "unknown"
"""Stands for the value of a variable that only the kubelet knows."""
_KEYS = ("credential", "password")
"""Settings that say where a key is: ``{env: NAME}`` or ``{file: PATH}``."""


@dataclass(frozen=True, slots=True)
class Variables:
    """The router container's environment, as far as the spec says it."""

    values: Mapping[str, str]
    """Names, with their values where these are written down."""
    secrets: Mapping[str, SecretUse]
    """Those that come from a Secret."""


def variables(env: Sequence[Mapping[str, Any]]) -> Variables:
    """``spec.env``."""
    values: dict[str, str] = {}
    secrets: dict[str, SecretUse] = {}
    for index, entry in enumerate(env):
        name = text(entry.get("name"))
        values[name] = text(entry.get("value")) or UNKNOWN
        reference = section(entry, "valueFrom", "secretKeyRef")
        if reference:
            made = use(reference, f"spec.env[{index}].valueFrom.secretKeyRef")
            if isinstance(made, SecretUse):
                secrets[name] = made
    return Variables(values, secrets)


def keys_from_files(settings: Any, known: Variables, where: str = "") -> Iterator[SecretUse | str]:
    """Turn ``{env: NAME}`` of keys into ``{file: PATH}``, in place, where ``NAME`` comes from a
    Secret: yields what has to be mounted, and a problem for each variable that nobody sets."""
    if isinstance(settings, list):
        for index, item in enumerate(settings):
            yield from keys_from_files(item, known, f"{where}[{index}]")
        return
    if not isinstance(settings, dict):
        return
    for key, value in settings.items():
        at = f"{where}.{key}" if where else str(key)
        name = value.get("env") if isinstance(value, dict) and key in _KEYS else None
        if not isinstance(name, str):
            yield from keys_from_files(value, known, at)
        elif name in known.secrets:
            del value["env"]
            settings[key] = {"file": known.secrets[name].file, **value}
            yield known.secrets[name]
        elif name not in known.values:
            yield str(
                Problem(
                    f"the router's container has no variable {name}",
                    at,
                    "add it to spec.env, with valueFrom.secretKeyRef",
                )
            )


def filled(settings: dict[str, Any], known: Variables) -> dict[str, Any]:
    """``settings`` as the router will read them, as far as values are known. Raises
    :class:`ConfigError` for every ``${NAME}`` that ``spec.env`` does not have."""
    try:
        return fill(settings, known.values)
    except ConfigError as error:
        raise ConfigError(
            [
                Problem(p.what, p.where, "add it to spec.env, or write $$ for $")
                for p in error.problems
            ]
        ) from None
