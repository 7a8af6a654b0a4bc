"""Configuration files, ours and foreign: read, translated, validated, compiled.

Whatever the text, the only thing that comes out besides settings is a ``ConfigError``.
"""

from __future__ import annotations

from tests.fuzz.targets import check
from wayside.cli.files import read
from wayside.runtime import compile_policy
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


def run(data: bytes) -> None:
    try:
        loaded = read(data, "fuzz.yaml", env=ENV)
        compile_policy(loaded.settings)
        compile_policy(loaded.settings, needs_endpoints=False)
    except ConfigError as error:
        check(error.problems, "a refusal without a reason")
        for problem in error.problems:
            check(problem.what and str(problem), "a problem that says nothing")
