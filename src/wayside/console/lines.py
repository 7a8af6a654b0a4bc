"""Which line of a file a problem is about."""

from __future__ import annotations

import re
from typing import Final

import yaml

_LINE: Final = re.compile(r"\bline (\d{1,9})\b")
_INDEX: Final = re.compile(r"\[(\d{1,9})\]")


class Lines:
    """The lines of one text, by the paths that problems have: ``models.big.endpoints[0].url``."""

    def __init__(self, text: str) -> None:
        try:
            self._root = yaml.compose(text, Loader=yaml.SafeLoader)
        except (yaml.YAMLError, ValueError, RecursionError):
            self._root = None

    def of(self, where: str) -> int | None:
        """The line, from 1, of the place, or of the nearest one around it that is in the file;
        ``None`` where not even its first part is."""
        said = _LINE.search(where)
        if said:
            return int(said[1])
        node, line, rest = self._root, None, where
        while rest and node is not None:
            found = _step(node, rest)
            if found is None:
                break
            line, node, rest = found
        return line


def _step(node: yaml.Node, rest: str) -> tuple[int, yaml.Node, str] | None:
    """The line of what ``rest`` begins with, what is there, and the remainder of the path."""
    if isinstance(node, yaml.SequenceNode):
        found = _INDEX.match(rest)
        if found is None or int(found[1]) >= len(node.value):
            return None
        inner = node.value[int(found[1])]
        return inner.start_mark.line + 1, inner, rest[found.end() :].removeprefix(".")
    if not isinstance(node, yaml.MappingNode):
        return None
    best: tuple[int, yaml.Node, str] | None = None
    longest = -1
    for key, value in node.value:
        name = str(key.value)
        after = rest[len(name) : len(name) + 1]
        # A name may have dots in it, `gpt-4.1`: the longest that fits is meant.
        if rest.startswith(name) and after in ("", ".", "[") and len(name) > longest:
            longest = len(name)
            best = key.start_mark.line + 1, value, rest[len(name) :].removeprefix(".")
    return best
