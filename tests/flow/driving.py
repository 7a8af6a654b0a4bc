"""Send requests through the pure core: policies from YAML, answers by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from typing import Any

from wayside.flow import Policy, answer
from wayside.runtime import compile_policy
from wayside.runtime.keys import KeyRing
from wayside.settings import RouterSettings
from wayside.settings.load import parse
from wayside.vocab.ask import Ask
from wayside.vocab.observed import Hold
from wayside.vocab.outcome import Forward, Outcome, Request

CHAT = "/v1/chat/completions"
ENV = {"OPENAI_API_KEY": "sk-ours", "OTHER_KEY": "other"}

# The seed of A4: a local model, OpenAI, and a domain classifier in front of both.
A4 = """
models:
  llama3-8b: {endpoints: ["http://llama.default.svc:8000"]}
  gpt-4o-mini:
    endpoints: ["https://api.openai.com/v1"]
    credential: {env: OPENAI_API_KEY}
routing:
  default_model: llama3-8b
  signals:
    domain:
      computer science: {labels: [computer science]}
      math: {labels: [math]}
      other: {labels: [other]}
  decisions:
    - {name: computer_science, when: "domain:computer science", models: [llama3-8b]}
    - {name: math, when: "domain:math", models: [gpt-4o-mini]}
"""


def policy(text: str) -> Policy:
    settings = RouterSettings.model_validate(parse(text, {}))
    return compile_policy(settings, keys=KeyRing(ENV).resolve, created=1_700_000_000)


def post(
    body: Any, headers: Mapping[str, str] | None = None, path: str = CHAT, method: str = "POST"
) -> Request:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request(method, path, headers or {}, raw)


def chat(model: str, text: str = "hi", **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **fields}


def nobody(question: Ask[Any]) -> Any:
    if isinstance(question, Hold):  # what a conversation was given; nobody looks it up
        return None
    raise AssertionError(f"nothing was to be asked: {question}")


def outcome(
    policy: Policy,
    request: Request,
    answers: Callable[[Any], Any] = nobody,
    dice: float = 0.0,
) -> Outcome:
    """What becomes of a request when ``answers`` answers its asks."""
    found = answer(policy, request, dice)
    if not isinstance(found, Generator):
        return found
    try:
        batch = next(found)
        while True:
            batch = found.send(tuple(answers(question) for question in batch))
    except StopIteration as stop:
        result: Outcome = stop.value
        return result


def forwarded(
    policy: Policy,
    request: Request,
    answers: Callable[[Any], Any] = nobody,
    dice: float = 0.0,
) -> Forward:
    found = outcome(policy, request, answers, dice)
    assert isinstance(found, Forward), found
    return found
