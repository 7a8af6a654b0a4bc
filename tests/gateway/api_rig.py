"""A management listener whose models are plain functions, and a client of it."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import aiohttp

from wayside.cli.app import App
from wayside.cli.files import read
from wayside.engines.base import Engine
from wayside.gateway.listener import serve_management
from wayside.settings import Task
from wayside.telemetry import Log
from wayside.vocab.ask import Labels, Span, Spans
from wayside.vocab.errors import AskFailed

CONFIG = """
models: {small: {endpoints: [http://127.0.0.1:1]}, coder: {endpoints: [http://127.0.0.1:2]}}
management: {max_batch_size: 4}
routing:
  default_model: small
  signals:
    keyword: {urgent: {keywords: [urgent]}}
  decisions:
    - {name: hurry, when: "keyword:urgent", models: [coder]}
"""


class Fake(Engine):
    """Answers with whatever its functions say."""

    def __init__(
        self,
        task: Task,
        classify: Callable[[str], Labels] | None = None,
        mark: Callable[[str, str], Spans] | None = None,
        embed: Callable[[tuple[str, ...]], Any] | None = None,
    ) -> None:
        self.tasks: frozenset[Task] = frozenset([task])
        self._classify, self._mark, self._embed = classify, mark, embed
        self.asked: list[Any] = []

    def classify(self, text: str) -> Labels:
        self.asked.append(text)
        assert self._classify is not None
        return self._classify(text)

    def mark(self, text: str, context: str) -> Spans:
        self.asked.append((text, context))
        assert self._mark is not None
        return self._mark(text, context)

    def embed(self, texts: tuple[str, ...]) -> Any:
        self.asked.append(texts)
        assert self._embed is not None
        return self._embed(texts)


def ranked(**probabilities: float) -> Labels:
    pairs = [(name.replace("_", " "), p) for name, p in probabilities.items()]
    return tuple(sorted(pairs, key=lambda pair: -pair[1]))


def attack(text: str) -> Labels:
    risk = 0.9 if "ignore" in text.lower() else 0.4 if "maybe" in text else 0.02
    return ranked(jailbreak=risk, benign=1 - risk)


def find(text: str, _: str) -> Spans:
    """Every word with an @, and Ada wherever she is."""
    found, at = [], 0
    for word in text.split(" "):
        if "@" in word:
            found.append(Span(at, at + len(word), "EMAIL_ADDRESS", 0.98))
        elif word == "Ada":
            found.append(Span(at, at + 3, "PERSON", 0.6))
        elif word == "Monday":
            found.append(Span(at, at + 6, "DATE_TIME", 0.8))
        at += len(word) + 1
    return tuple(found)


def ground(claim: str, context: str) -> Spans:
    if claim in context:
        return ()
    label = "contradicted" if "not" in claim else "unsupported"
    return (Span(0, len(claim), label, 0.8),)


def vectors(texts: tuple[str, ...]) -> Any:
    """Four numbers: how many of a, b and c, and a bit of one."""
    import numpy as np

    rows = np.array([[t.count("a"), t.count("b"), t.count("c"), 0.1] for t in texts], np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def models() -> dict[str, Fake]:
    return {
        "domain": Fake("classify", lambda text: ranked(math=0.7, law=0.2, other=0.1)),
        "jailbreak": Fake("classify", attack),
        "fact_check": Fake(
            "classify",
            lambda text: (
                (("needs_fact_check", 0.55), ("no_fact_check_needed", 0.45))
                if "?" in text
                else (("no_fact_check_needed", 0.9), ("needs_fact_check", 0.1))
            ),
        ),
        "feedback": Fake("classify", lambda text: (("wrong_answer", 0.8), ("none", 0.2))),
        "pii": Fake("mark", mark=find),
        "grounding": Fake("mark", mark=ground),
        "embedding": Fake("embed", embed=vectors),
    }


def sleeping(text: str, *_: Any) -> Any:
    raise AskFailed(f"nobody answers {text!r} with key sk-abcdefghijklmnop")


class Api:
    """A listener, and a client of it."""

    def __init__(
        self, app: App, url: str, session: aiohttp.ClientSession, engines: Mapping[str, Fake]
    ) -> None:
        self.app, self.url, self.session, self.engines = app, url, session, engines

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.session.get(self.url + path) as answer:
            return answer.status, await answer.json()

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.session.post(self.url + path, data=data) as answer:
            assert answer.content_type == "application/json"
            return answer.status, await answer.json()


@contextlib.asynccontextmanager
async def listening(
    engines: Mapping[str, Fake] | None, config: str = CONFIG, log: Log | None = None
) -> AsyncIterator[Api]:
    """``engines`` in the place of the built-in ones; ``None`` leaves those."""
    app = App(read(config.encode(), "wayside.yaml", env={}), env={}, log=log or Log(io.StringIO()))
    app.serving = True
    app.engines._made.update(engines or {})
    server = await serve_management(app.management.app(), "127.0.0.1", 0)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        async with aiohttp.ClientSession() as session:
            yield Api(app, f"http://127.0.0.1:{port}", session, engines or {})
    finally:
        await server.stop()
