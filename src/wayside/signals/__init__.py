"""Signals read a prompt and return verdicts. One file per kind.

One signal object holds every configured rule of its kind, so that a kind can do shared work
once: one scan for all keywords, one classifier call for all labels. ``read`` returns verdicts for
the rules that matched, and for those that came near when that costs nothing; silence means no.

A signal that needs nothing from outside is a plain function of the prompt. A signal that needs
a model yields an ask (see :mod:`wayside.vocab.ask`). Settings are validated when the policy is
compiled; a constructor may raise :class:`~wayside.vocab.errors.ConfigError` for what a schema
cannot say (a pattern that does not compile), with ``where`` being ``<rule name>.<field>``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from wayside.vocab.ask import Flow
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

Reading = Mapping[str, Verdict]


class Signal(Protocol):
    """Built once per policy from ``{rule name: settings}``."""

    def __init__(self, rules: Mapping[str, Any]) -> None: ...

    def read(self, prompt: Prompt) -> Reading | Flow[Reading]: ...
