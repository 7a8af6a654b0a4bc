"""Configuration files, ours and foreign: read, translated, validated, compiled.

Whatever the text, the only thing that comes out besides settings is a ``ConfigError``. An input
that begins with a zero byte is no text: it says which values of a good configuration are replaced
by which odd ones, so that translations meet every type in every place.
"""

from __future__ import annotations

import copy
import datetime
import math
from functools import cache
from typing import Any

from pydantic import ValidationError

from tests.fuzz.targets import check, seeds
from wayside.cli.files import read
from wayside.runtime import compile_policy
from wayside.settings import RouterSettings
from wayside.settings.load import documents, fill
from wayside.settings.problems import problems_from
from wayside.translate import translate_all
from wayside.vocab.errors import ConfigError

ENV = {"NAME": "value", "PORT": "8000"}

WORDS = (
    b"models:\n  a: {endpoints: [http://a:1]}\n",
    b"routing:\n  default_model: a\n",
    b"signals:\n",
    b"decisions:\n",
    b"vllm_endpoints:\n",
    b"model_config:\n",
    b"providers:\n",
    b"kind: ConfigMap\ndata:\n  config.yaml: |\n",
    b"kind: IntelligentRoute\n",
    b"kind: IntelligentPool\n",
    b"apiVersion: v1\n",
    b"version: v0.3\n",
    b"static_backends",
    b"${NAME}",
    b"${MISSING:-x}",
    b"&a [*a]",
    b"<<: *a\n",
    b"!!binary ",
    b"!!timestamp ",
    b"!!int ",
    b"!!float ",
    b"!!bool ",
    b"!!set ",
    b"!!omap ",
    b"!!pairs ",
    b"!!null ",
    b"!!str ",
    b"2026-99-99",
    b"1:60:60",
    b".inf",
    b"---\n",
    b"{",
    b"}",
    b"[",
    b"]",
    b"null",
    b"true",
)


ODD: tuple[Any, ...] = (
    None,
    "",
    "x",
    0,
    -1,
    10**400,
    1.5,
    math.inf,
    math.nan,
    True,
    [],
    {},
    [None],
    [[]],
    [{}],
    ["x", 1],
    {"x": None},
    {"x": {}},
    {"": []},
    "a" * 300,
    "9" * 400,
    "${NAME}",
    "ü\n\x00",
    "\ud800",
    "http://[::1]:99999",
    datetime.date(2026, 1, 1),
    b"x",
    {"x"},
)
"""What stands where something else is expected; all but the last few can be written in YAML."""


def run(data: bytes) -> None:
    try:
        if data[:1] == b"\0":
            settings = _replaced(data[1:])
        else:
            settings = read(data, "fuzz.yaml", env=ENV).settings
        compile_policy(settings)
        compile_policy(settings, needs_endpoints=False)
    except ConfigError as error:
        check(error.problems, "a refusal without a reason")
        for problem in error.problems:
            check(problem.what and str(problem), "a problem that says nothing")


def _replaced(script: bytes) -> RouterSettings:
    """Read a good configuration with odd values: pairs of bytes say where and what."""
    found = documents(_good()[script[0] % len(_good())]) if script else []
    for i in range(1, len(script) - 2, 3):
        _replace(found, script[i] << 8 | script[i + 1], ODD[script[i + 2] % len(ODD)])
    documents_ = [document for document in found if isinstance(document, dict)]
    translation = translate_all(documents_, hint="fuzz") if documents_ else None
    native = dict(translation.settings) if translation else (documents_ or [{}])[0]
    try:
        return RouterSettings.model_validate(fill(native, ENV))
    except ValidationError as error:
        raise ConfigError(problems_from(error, RouterSettings)) from None


def _replace(tree: Any, choice: int, value: Any) -> None:
    """Put ``value`` in the place number ``choice`` of ``tree``."""
    places: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting and len(places) < 3_000:
        node = waiting.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node))
        for key in keys:
            places.append((node, key))
            if isinstance(node[key], dict | list):
                waiting.append(node[key])
    if places:
        node, key = places[choice % len(places)]
        node[key] = copy.deepcopy(value)


@cache
def _good() -> list[str]:
    return [seed.decode() for seed in seeds("config") if b"\0" not in seed and len(seed) > 120]
