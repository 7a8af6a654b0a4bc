"""Secrets that are read by name, against a genuine API server and its RBAC (A4-24, A4-28)."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable

from tests.kube.genuine import account, allow, signed_in
from wayside.kube import secrets
from wayside.kube.client import Client
from wayside.vocab.resource import SECRETS

NAME = "openai-api-key"


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


async def test_a_key_is_read_by_name_alone_and_goes_with_its_secret(
    admin: Client, namespace: str
) -> None:
    whole = f"{namespace}/{NAME}"
    told: list[dict[str, bytes]] = []
    said: list[str] = []

    def tell(name: str, data: object) -> bool:
        assert name == whole and isinstance(data, dict)
        fresh = not told or told[-1] != data
        if fresh:
            told.append(data)
        return fresh

    def log(event: str, *, level: str = "info", **fields: str) -> None:
        said.append(f"{level} {event} {fields}")

    def body(value: str) -> dict[str, object]:
        data = {"OPENAI_API_KEY": base64.b64encode(value.encode()).decode()}
        return {"metadata": {"name": NAME}, "data": data}

    async with signed_in(admin, account(namespace, "router")) as router:
        following = asyncio.create_task(
            secrets.follow(lambda: router, lambda: [whole], tell, log, every_s=0.02)
        )
        await until(lambda: told == [{}])  # no right yet
        await admin.create(SECRETS, body("sk-1"), namespace)
        named = {
            "apiGroups": [""],
            "resources": ["secrets"],
            "resourceNames": [NAME],
            "verbs": ["get"],
        }
        await allow(admin, namespace, "router", [named])
        await until(lambda: told[-1] == {"OPENAI_API_KEY": b"sk-1"})
        await admin.merge(SECRETS, NAME, {"data": body("sk-2")["data"]}, namespace)
        await until(lambda: told[-1] == {"OPENAI_API_KEY": b"sk-2"})
        await admin.delete(SECRETS, NAME, namespace)
        await until(lambda: told[-1] == {})
        following.cancel()
        assert len(said) == 4, said  # forbidden, read, read anew, gone: each once
        assert not any("sk-" in line for line in said)
