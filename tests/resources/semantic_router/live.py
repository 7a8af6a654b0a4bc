"""A router of a configuration that was made, and models that answer it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.running import Running, running
from wayside.resources.semantic_router import secrets
from wayside.resources.semantic_router.config import RouterConfig
from wayside.settings.load import parse

from .goldens import ONE


@contextlib.asynccontextmanager
async def model_server(
    seen: list[str], context: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[int]:
    """A model that answers, and notes who asked."""

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("authorization", ""))
        message = {"role": "assistant", "content": "Hello."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response(
            {"id": "1", "object": "chat.completion", "created": 1, "model": "m",
             "choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
        )  # fmt: skip

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=context)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def external(port: int, scheme: str = "http", **backend: Any) -> dict[str, Any]:
    url = f"{scheme}://127.0.0.1:{port}"
    return {**ONE, "backend": {"type": "external", "external": {"url": url}, **backend}}


@contextlib.asynccontextmanager
async def served(made: RouterConfig, folder: Path) -> AsyncIterator[Running]:
    """The router, with the Secrets where this test has them, and everything that ``serve`` does
    beside requests."""
    assert made.settings is not None, made.problems
    document = parse(made.text.replace(secrets.SECRETS_DIR, str(folder)), {})
    async with running("gateway", document) as router:
        chores = asyncio.create_task(router.app.housekeeping())
        try:
            yield router
        finally:
            chores.cancel()
