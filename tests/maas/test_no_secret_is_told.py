"""Tokens and keys are nowhere but with whoever shows them (rows A2-08, A2-40)."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.running import Running, chat, running
from wayside.sim import Sim, SimModel, SimServer, serve_sim

CANARY = "canary-" + "0123456789abcdef" * 2
OTHER = "another-" + "fedcba9876543210" * 2
pytestmark = pytest.mark.asyncio(loop_scope="module")


class Place:
    def __init__(self, router: Running, sim: Sim, folder: Path, log: io.StringIO) -> None:
        self.router, self.sim, self.folder, self.log = router, sim, folder, log
        self.secrets = {"a person's own": CANARY, "unknown": OTHER}


def document(url: str, folder: Path) -> dict[str, Any]:
    replay = {"router_replay": {"request_body": True, "response_body": True}}
    return {
        "models": {
            "m": {"endpoints": [url], "tiers": []},
            "away": {"endpoints": ["http://127.0.0.1:1"], "tiers": []},
            "closed": {"endpoints": [url]},
        },
        "routing": {
            "default_model": "m",
            "signals": {"keyword": {"hi": {"keywords": ["hi"]}}},
            "decisions": [{"name": "hi", "when": "keyword:hi", "models": ["m"],
                           "plugins": {"response_cache": {"mode": "exact"}, **replay}}],
        },
        "batches": {"enabled": True, "folder": str(folder / "batches")},
        "log": {"level": "debug"},
        "maas": {
            "folder": str(folder / "maas"),
            "users": [{"name": "u", "token": {"env": "CANARY"}}],
            "tiers": [{"name": "t", "groups": ["system:authenticated"],
                       "requests": [{"limit": 30, "window": "1h"}]}],
        },
    }  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    folder = tmp_path_factory.mktemp("maas")
    async with (
        serve_sim([SimServer((SimModel("m"),))]) as (sim,),
        running("gateway", document(sim.url, folder), {"CANARY": CANARY}) as router,
    ):
        log = io.StringIO()
        router.app.log._stream = log
        found = Place(router, sim, folder, log)
        await everything(found)
        yield found


async def everything(place: Place) -> None:
    """Every kind of request, good and bad, with each secret in each place where one may stand."""
    router, secrets = place.router, place.secrets
    mine = {"authorization": f"Bearer {CANARY}"}
    for path, name in (("tokens", "token"), ("api-keys", "key")):
        made = await router.ask(
            {"name": "n"} if name == "key" else {}, mine, f"/maas-api/v1/{path}"
        )
        secrets[name] = made.json["token"]
    secrets["revoked"] = (await router.ask({}, mine, "/maas-api/v1/tokens")).json["token"]
    for shown in list(secrets.values()):
        for headers in (
            {"authorization": f"Bearer {shown}"},
            {"x-api-key": shown},
            {"authorization": f"Bearer {shown}, Bearer {shown}"},
            {"authorization": f"Bearer {shown}", "x-api-key": "x"},
            {"authorization": f"Bearer {shown}x", "x-maas-username": shown},
        ):
            for body in (chat("hi"), chat("hi", "m", stream=True), chat("hi", "away"),
                         chat("hi", "closed"), b"{", chat("hi", "nothing")):  # fmt: skip
                await router.ask(body, headers)
        for path in ("/v1/messages", "/v1/files", "/maas-api/v1/models", "/m/v1/chat/completions",
                     "/maas-api/v1/tokens", "/nothing"):  # fmt: skip
            await router.ask({"model": "m", "messages": []}, {"x-api-key": shown}, path)
    form = aiohttp.FormData({"purpose": "batch"})
    line = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": chat("hi")}
    form.add_field("file", json.dumps(line).encode(), filename="in.jsonl")
    token = {"authorization": f"Bearer {secrets['token']}"}
    async with aiohttp.ClientSession(headers=token) as session:
        async with session.post(f"{router.url}/v1/files", data=form) as said:
            file = (await said.json())["id"]
        batch = {"input_file_id": file, "endpoint": "/v1/chat/completions",
                 "completion_window": "24h"}  # fmt: skip
        async with session.post(f"{router.url}/v1/batches", json=batch) as said:
            assert said.status == 200, await said.text()
    await _bug(place, token)
    maas = router.app.maas
    assert maas is not None and maas.metering.ledger is not None
    async with aiohttp.ClientSession(headers=mine) as session:
        async with session.delete(f"{router.url}/maas-api/v1/tokens") as said:
            assert said.status == 204
    await router.ask(chat("hi"), {"authorization": f"Bearer {secrets['revoked']}"})
    await asyncio.to_thread(maas.metering.ledger.flushed)
    router.app.telemetry.flush()


async def _bug(place: Place, token: dict[str, str]) -> None:
    """Tracebacks are told, too."""
    callers = place.router.app.maas.callers  # type: ignore[union-attr]

    def broken(token: str) -> Any:
        raise RuntimeError("a bug")

    callers.recall, kept = broken, callers.recall  # type: ignore[method-assign]
    try:
        assert (await place.router.ask(chat("hi"), token)).status == 500
    finally:
        callers.recall = kept  # type: ignore[method-assign]


def forms(secret: str) -> list[bytes]:
    """As it is, its parts that prove something, and as somebody might have packed it."""
    parts = [secret, secret.rpartition(".")[2], secret.rpartition("_")[2]]
    whole = [base64.b64encode(secret.encode()).rstrip(b"="), secret.encode().hex().encode()]
    return [part.encode() for part in parts] + whole


async def test_nothing_tells_a_token(place: Place) -> None:
    app = place.router.app
    app.log.flush()
    seen = {
        "log": place.log.getvalue().encode(),
        "access": json.dumps(place.router.access.lines, default=str).encode(),
        "metrics": app.telemetry.metrics.text(),
        "argv": Path("/proc/self/cmdline").read_bytes(),
        "servers": repr(
            [vars(r) if hasattr(r, "__dict__") else r for r in place.sim.requests]
        ).encode(),
        "settings": repr(app.settings).encode() + app.loaded.text,
        "people": repr((app.maas._users.persons, app.maas.tiers)).encode(),  # type: ignore[union-attr]
    }
    assert b"a bug" in seen["log"] and b"Traceback" in seen["log"]
    assert len(place.router.access.lines) > 50 and b"token made" in seen["log"]
    files = {str(p): p.read_bytes() for p in place.folder.rglob("*") if p.is_file()}
    assert {"keys.db", "usage.db"} <= {Path(name).name for name in files}
    for what, secret in place.secrets.items():
        for form in forms(secret):
            told = [where for where, text in {**seen, **files}.items() if form in text]
            assert not told, (what, told)


async def test_files_are_their_owner_s_alone(place: Place) -> None:
    """Also those that SQLite makes beside its own."""
    folder = place.folder / "maas"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = [p for p in folder.iterdir() if p.is_file()]
    assert any(p.name.endswith("-wal") for p in files)
    for path in files:
        if path.name != "lock":
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        assert path.stat().st_uid == os.geteuid()
