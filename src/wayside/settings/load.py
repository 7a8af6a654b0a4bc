"""Read a configuration file: YAML or JSON, with ``${VAR}`` filled in from the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from wayside.vocab.errors import ConfigError, Problem

MAX_BYTES = 8 << 20
"""A configuration larger than this is refused."""

_VARIABLE = re.compile(r"\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})")


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key written twice is an error, and aliases cannot blow up."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if key.tag == "tag:yaml.org,2002:merge":
            continue
        if key.value in seen:
            mark = key.start_mark
            raise ConfigError.one(
                f"key {key.value!r} is written twice",
                where=f"line {mark.line + 1}",
                fix="keep one of them",
            )
        seen.add(key.value)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def parse(text: str, env: Mapping[str, str]) -> dict[str, Any]:
    """The document in ``text``. Raises :class:`ConfigError` with a line for bad YAML.

    Variables are filled in after parsing, inside strings only, so a value can never change the
    document's shape: ``${NAME}`` must be set, ``${NAME:-default}`` need not be, ``$$`` is ``$``.
    """
    if len(text) > MAX_BYTES:
        raise ConfigError.one(f"the file is larger than {MAX_BYTES >> 20} MiB", fix="split it")
    try:
        document = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "document"
        what = " ".join(p for p in (error.problem, error.context) if p)
        raise ConfigError.one(f"not valid YAML: {what}", where=where) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError.one(f"not valid YAML: {error}", where="document") from None
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise ConfigError.one(
            f"a configuration is a mapping, not a {type(document).__name__}", where="document"
        )
    problems: list[Problem] = []
    filled = _fill(document, env, "", problems)
    if problems:
        raise ConfigError(problems)
    result: dict[str, Any] = filled
    return result


def _fill(value: Any, env: Mapping[str, str], where: str, problems: list[Problem]) -> Any:
    if isinstance(value, dict):
        return {
            k if isinstance(k, str) else str(k): _fill(v, env, f"{where}.{k}".strip("."), problems)
            for k, v in value.items()
        }
    if isinstance(value, list):
        return [_fill(v, env, f"{where}[{i}]", problems) for i, v in enumerate(value)]
    if not isinstance(value, str) or "$" not in value:
        return value

    def substitute(match: re.Match[str]) -> str:
        name, default = match.groups()
        if name is None:
            return "$"
        if name in env and (env[name] or default is None):
            return env[name]
        if default is not None:
            return default
        problems.append(
            Problem(
                f"environment variable {name} is not set",
                where,
                f"set it, or write ${{{name}:-a default}}",
            )
        )
        return ""

    return _VARIABLE.sub(substitute, value)
