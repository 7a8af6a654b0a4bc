"""A router with models as a service, asked without a wire; its clock stands still."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from wayside.cli import app as cli_app
from wayside.cli.app import App
from wayside.cli.files import read
from wayside.maas import Maas
from wayside.telemetry import Log
from wayside.vocab.outcome import Forward, Outcome, Request

ALICE, BOB, CAROL = "a" * 20, "b" * 20, "c" * 20
ENV = {"ALICE_TOKEN": ALICE, "BOB_TOKEN": BOB, "CAROL_TOKEN": CAROL}
USERS = [
    {"name": "alice", "groups": ["premium-user"], "token": {"env": "ALICE_TOKEN"}},
    {"name": "bob", "token": {"env": "BOB_TOKEN"}},
    {"name": "carol", "groups": ["wayside-admin"], "token": {"env": "CAROL_TOKEN"}},
]
TIERS = [
    {"name": "free", "display_name": "Free", "level": 0, "groups": ["system:authenticated"]},
    {"name": "premium", "display_name": "Premium Tier", "level": 1, "groups": ["premium-user"]},
]
"""Without limits: here it is about who somebody is."""
MODELS = {
    "Model-A": {"endpoints": ["http://10.0.0.1:8000"], "tiers": ["premium"]},
    "Model-B": {"endpoints": ["http://10.0.0.2:8000"], "tiers": []},
    "Model-C": {"endpoints": ["http://10.0.0.3:8000"]},
}


class Clock:
    """Seconds since 1970, when somebody moves it."""

    def __init__(self, now: float = 1_763_682_600.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Answer:
    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.status = 200 if isinstance(outcome, Forward) else outcome.status
        self.headers = {} if isinstance(outcome, Forward) else dict(outcome.report)
        self.body = outcome.body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Rig:
    """``ask`` is a request of somebody with a token, ``chat`` one to a model: 200 is one that
    went on."""

    def __init__(self, app: App, clock: Clock, text: dict[str, Any]) -> None:
        assert app.maas is not None
        self.app, self.maas, self.clock, self.document = app, app.maas, clock, text

    async def ask(
        self,
        method: str,
        path: str,
        token: str | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        sent = {"host": "maas.example.com", **(headers or {})}
        if token is not None:
            sent["authorization"] = f"Bearer {token}"
        raw = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        outcome = self.app.runtime.handle(Request(method, path, sent, raw))
        if not hasattr(outcome, "status") and hasattr(outcome, "__await__"):
            outcome = await outcome
        return Answer(outcome)  # type: ignore[arg-type]

    async def chat(
        self,
        token: str | None = None,
        model: str = "Model-B",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
        return await self.ask("POST", "/v1/chat/completions", token, body, headers)

    async def token(self, person: str = ALICE, expiration: Any = "10m") -> str:
        body = {"expiration": expiration}
        found = await self.ask("POST", "/maas-api/v1/tokens", person, body)
        assert found.status == 201, found.body
        return str(found.json["token"])

    async def key(self, person: str = ALICE, name: str = "ci", **more: Any) -> dict[str, Any]:
        found = await self.ask("POST", "/maas-api/v1/api-keys", person, {"name": name, **more})
        assert found.status == 201, found.body
        return dict(found.json)

    def reload(self, change: Mapping[str, Any]) -> None:
        """Other settings of ``maas`` or ``models`` are in force."""
        document = {**self.document, **change}
        if "maas" in change:
            document["maas"] = {**self.document["maas"], **change["maas"]}
        self.app.apply(yaml.safe_dump(document).encode())


def rig(
    folder: Path,
    *,
    maas: Mapping[str, Any] | None = None,
    models: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    **more: Any,
) -> Rig:
    """``maas`` on top of three users; ``folder`` has its keys."""
    ticking = clock or Clock()
    document = {
        "listen": {"port": 0},
        "management": {"enabled": False},
        "models": dict(models or MODELS),
        "maas": {
            "folder": str(folder),
            "users": USERS,
            "tiers": TIERS,
            "usage": {"enabled": False},
        }
        | dict(maas or {}),
        **more,
    }
    environ = {**ENV, **(env or {})}
    loaded = read(yaml.safe_dump(document).encode(), "test.yaml", env=environ)
    before = cli_app._maas
    cli_app._maas = lambda s, e, log: Maas(s, e, log, clock=ticking)  # type: ignore[assignment]
    try:
        app = App(loaded, env=environ, log=Log(io.StringIO()))
    finally:
        cli_app._maas = before
    return Rig(app, ticking, document)
