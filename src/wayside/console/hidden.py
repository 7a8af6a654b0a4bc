"""Keys that somebody wrote into a configuration are not shown: a placeholder stands for each, and
is turned back into what it stands for when the text is saved.

A placeholder is made of the value by a key of this process, so that it says nothing about the
value, stays where it is moved to, and differs when the value does.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator
from typing import Final

import yaml

from wayside.vocab.headers import CREDENTIALS
from wayside.vocab.patterns import compile_pattern

_NAMES: Final = re.compile(
    r"(?i)(?:api|access|private|signing|secret|encryption|account|auth|master)[-_]?key$"
    r"|pass(?:word|wd|phrase)?$|(?:^|[-_])(?:token|secret|bearer|dsn)$|authorization$|credentials?$"
)
"""Keys of a mapping whose value is a secret where it is text."""
_REFERENCE: Final = re.compile(r"\$\{[A-Za-z_]")
# Texts may be large, and anybody's: RE2, whose time is linear in them whatever they are.
_SHAPES: Final = compile_pattern(
    r"(?i:\b(?:bearer|basic)\s+)([\w.~+/=-]{8,})"
    r"|(\b(?:sk|pk|hf|ghp|gho|glpat|xox[a-z]|AKIA|AIza)[-_]?[A-Za-z0-9_-]{12,})"
    r"|(\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
    r"|://([^/@\s:'\"]*:[^/@\s'\"]+)@"
    r"|[?&](?i:api[-_]?key|key|token|password|secret)=([^&\s'\"#]{4,})"
)
_PAIR: Final = compile_pattern(
    r"""([\w.-]{1,80})['"]?[ \t]*:[ \t]+"""
    r"""("[^"\n]*"|'[^'\n]*'|[^\s,{}\[\]#'"][^\s,{}\[\]]*)"""
)
"""As it stands in a comment, or in a file that is no YAML."""
_REST: Final = compile_pattern(
    r"(?m)^[ \t#-]*['\"]?([\w.-]{1,80})['\"]?[ \t]*:[ \t]+([^\s#{\[][^\r\n]*)"
)
"""The same of a line that has nothing else: its value may have spaces in it."""
_COMMENT: Final = compile_pattern(r"#[^\n]*")
_PLACEHOLDER: Final = re.compile(r"HIDDEN-[0-9a-f]{16}")


class Hidden:
    """Hides what is secret in texts, and finds it again."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def hide(self, text: str) -> str:
        """``text`` as it may be shown."""
        shown, at = [], 0
        text = text.encode("utf-8", "replace").decode()
        for start, end in _merged(text, _spans(text)):
            shown += [text[at:start], self._placeholder(text[start:end])]
            at = end
        return "".join([*shown, text[at:]])

    def reveal(self, text: str, *origins: str) -> str:
        """``text``, in which placeholders stand for what is hidden in ``origins``. Raises
        ``KeyError`` with a placeholder that stands for nothing in them."""
        if not _PLACEHOLDER.search(text):
            return text
        known = {
            self._placeholder(origin[start:end]): origin[start:end]
            for origin in origins
            for start, end in _merged(origin, _spans(origin))
        }
        return _PLACEHOLDER.sub(lambda found: known[found.group()], text)

    def scrub(self, said: str, text: str) -> str:
        """``said`` without what is hidden in ``text``."""
        for start, end in _merged(text, _spans(text)):
            value = text[start:end].strip("'\"")
            if len(value) > 3:
                said = said.replace(value, "***")
        return said

    def _placeholder(self, value: str) -> str:
        made = hmac.new(self._key, value.encode("utf-8", "surrogatepass"), hashlib.sha256)
        return f"HIDDEN-{made.hexdigest()[:16]}"


def _spans(text: str) -> Iterator[tuple[int, int]]:
    for found in _SHAPES.finditer(text):
        for group in range(1, 6):
            start, end = found.span(group)
            if start >= 0 and not _REFERENCE.search(text, start, end):
                yield start, end
    try:
        nodes = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError):
        nodes = []
    seen: set[int] = set()
    for node in nodes:
        yield from _of_node(node, "", seen)
    texts = [(c.start(), c.end()) for c in _COMMENT.finditer(text)] if nodes else [(0, len(text))]
    for start, end in texts:
        for pattern in (_PAIR, _REST):
            for found in pattern.finditer(text[start:end]):
                if _secret(found.group(1), found.group(2)):
                    yield start + found.start(2), start + found.end(2)


def _of_node(node: yaml.Node | None, parent: str, seen: set[int]) -> Iterator[tuple[int, int]]:
    """Each node once, however many aliases lead to it, and without recursion."""
    waiting: list[tuple[yaml.Node | None, str]] = [(node, parent)]
    while waiting:
        here, inside = waiting.pop()
        if here is None or id(here) in seen:
            continue
        seen.add(id(here))
        if isinstance(here, yaml.SequenceNode):
            waiting += [(inner, inside) for inner in here.value]
        elif isinstance(here, yaml.MappingNode):
            names = {str(key.value) for key, _ in here.value}
            for key, value in here.value:
                name = str(key.value)
                if isinstance(value, yaml.ScalarNode):
                    if name == "secret" and "key" in names:
                        continue  # which Secret of the cluster, and which of its keys
                    header = inside == "headers" and name.lower() in CREDENTIALS
                    if (header and not _REFERENCE.search(value.value)) or (
                        _secret(name, value.value) and value.tag == "tag:yaml.org,2002:str"
                    ):
                        yield value.start_mark.index, value.end_mark.index
                else:
                    waiting.append((value, name))


def _secret(name: str, value: str) -> bool:
    """Whether ``value`` is a secret itself; ``${NAME}`` says where one is."""
    plain = bool(value) and value not in ("|", ">", "null", "~", "true", "false")
    return plain and bool(_NAMES.search(name)) and not _REFERENCE.search(value)


def _merged(text: str, spans: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    """In order, those that overlap as one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        end = start + len(text[start:end].rstrip())  # a block ends where the next line begins
        if _PLACEHOLDER.fullmatch(text[start:end].strip("'\"")):
            continue
        if found and start < found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        elif end > start:
            found.append((start, end))
    return found
