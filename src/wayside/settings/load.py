"""Read a configuration file: YAML or JSON, with ``${VAR}`` filled in from the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from wayside.vocab.errors import ConfigError, Problem

MAX_BYTES = 8 << 20
"""A configuration larger than this is refused."""
MAX_VALUES = 1_000_000
"""A configuration of more values, counted where aliases put them, is refused."""

_VARIABLE = re.compile(r"\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})")


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key written twice is an error, and aliases cannot blow up."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._checked: set[yaml.MappingNode] = set()

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        if node in self._checked:
            return
        self._checked.add(node)
        _refuse_repeated(node)
        super().flatten_mapping(node)
        if len(node.value) > MAX_VALUES:
            raise _too_many()

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep=deep)
        except (ValueError, LookupError, AttributeError, TypeError):
            # PyYAML trips over text that does not fit its tag: "!!bool x", "!!int ''", 2026-99-99.
            tag = node.tag.rpartition(":")[2]
            what = f"{str(node.value)[:60]!r} is not a {tag}"
            raise ConstructorError(None, None, what, node.start_mark) from None
        if isinstance(value, int) and abs(value) >> 64:  # Python may refuse to write it out again
            raise ConstructorError(None, None, "the number is too large", node.start_mark)
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Keys are what was written: ``no`` is a name here, not false."""
        if not isinstance(node, yaml.MappingNode):  # "!!map [a]"
            what = f"a {node.id} is not a mapping"
            raise ConstructorError(None, None, what, node.start_mark)
        self.flatten_mapping(node)
        return {key.value: self.construct_object(value, deep=True) for key, value in node.value}


def _refuse_repeated(node: yaml.MappingNode) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        where = f"line {key.start_mark.line + 1}"
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError.one("a key is a word, not a list or mapping", where=where)
        if key.tag == "tag:yaml.org,2002:merge":
            continue
        if key.value in seen:
            what = f"key {key.value!r} is written twice"
            raise ConfigError.one(what, where=where, fix="keep one of them")
        seen.add(key.value)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def _too_many() -> ConfigError:
    return ConfigError.one(f"aliases make more than {MAX_VALUES:,} values", fix="write them out")


def parse(text: str, env: Mapping[str, str]) -> dict[str, Any]:
    """The one document in ``text``, its variables filled in. Raises :class:`ConfigError`."""
    found = documents(text)
    if len(found) > 1:
        raise ConfigError.one(
            f"{len(found)} documents in one file", where="document 2", fix="keep one of them"
        )
    return fill(found[0], env)


def documents(text: str) -> list[dict[str, Any]]:
    """The documents in ``text``, at least one. :class:`ConfigError` with a line for bad YAML."""
    if len(text) > MAX_BYTES:
        raise ConfigError.one(f"the file is larger than {MAX_BYTES >> 20} MiB", fix="split it")
    try:
        found = [d for d in yaml.load_all(text, Loader=_Loader) if d is not None] or [{}]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "document"
        what = " ".join(p for p in (error.problem, error.context) if p)
        line = text.splitlines()[mark.line : mark.line + 1] if mark else []
        fix = (
            'inside [ ] and { } a variable needs quotes: "${NAME}"'
            if "${" in "".join(line)
            else ""
        )
        raise ConfigError.one(f"not valid YAML: {what}", where=where, fix=fix) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError.one(f"not valid YAML: {error}", where="document") from None
    for document in found:
        if not isinstance(document, dict):
            raise ConfigError.one(
                f"a configuration is a mapping, not a {type(document).__name__}", where="document"
            )
    if sum(_size(document, {}) for document in found) > MAX_VALUES:
        raise _too_many()
    return found


def fill(document: dict[str, Any], env: Mapping[str, str]) -> dict[str, Any]:
    """``document`` with its variables filled in, inside strings only.

    A value can never change the document's shape: ``${NAME}`` must be set, ``${NAME:-default}``
    need not be, ``$$`` is ``$``. :class:`ConfigError` lists every variable that is not set.
    """
    problems: list[Problem] = []
    filled: dict[str, Any] = _fill(document, env, "", problems)
    if problems:
        raise ConfigError(problems)
    return filled


def literal(value: Any) -> Any:
    """``value`` so that :func:`fill` gives it back as it is: nothing in it is a variable."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, Mapping):
        return {key: literal(inner) for key, inner in value.items()}
    return [literal(inner) for inner in value] if isinstance(value, list) else value


def _size(value: Any, known: dict[int, int]) -> int:
    """Values in ``value`` as aliases spread them, though each is looked at once; long text counts
    for more, since it is copied when it holds a variable."""
    if isinstance(value, str):
        return 1 + len(value) // 64
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        inner = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_size(v, known) for v in inner)
    return known[id(value)]


def _fill(value: Any, env: Mapping[str, str], where: str, problems: list[Problem]) -> Any:
    if isinstance(value, dict):
        return {
            key: _fill(inner, env, f"{where}.{key}".strip("."), problems)
            for key, inner in value.items()
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
