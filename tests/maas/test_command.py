"""``wayside maas``: over a wire, and over the files."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tests.maas.rig import ALICE, BOB
from tests.running import chat, running
from wayside.cli import cli

DOCUMENT: dict[str, Any] = {
    "models": {"m": {"endpoints": ["http://127.0.0.1:1"], "tiers": []}},
    "maas": {"users": [{"name": "alice", "token": {"env": "ALICE_TOKEN"}}]},
}


def run(*args: str, env: dict[str, str] | None = None) -> Any:
    return CliRunner().invoke(cli, ["maas", *args], env=env or {})


async def test_a_token_from_a_running_router(tmp_path: Path) -> None:
    """A2-04: the operator's keys and the signing keys turn under it."""
    document = {**DOCUMENT, "maas": {**DOCUMENT["maas"], "folder": str(tmp_path / "maas")}}
    path = tmp_path / "wayside.yaml"
    path.write_text(yaml.safe_dump(document))
    config = ["--config", str(path)]
    async with running("gateway", document, {"ALICE_TOKEN": ALICE}) as router:

        async def asked(*args: str, **env: str) -> Any:
            return await asyncio.to_thread(
                run, "token", "--router", router.url, *args, env={"MINE": ALICE, **env}
            )

        async def ran(*args: str) -> Any:
            return await asyncio.to_thread(run, *args)

        async def status(token: str) -> int:
            answer = await router.ask(chat("hi", "m"), {"authorization": f"Bearer {token}"})
            return int(answer.status)

        said = await asked("--from-env", "MINE", "--expiration", "10m")
        assert said.exit_code == 0, said.output
        token = said.output.strip()
        assert await status(token) in (502, 503)  # let in: that server is not there
        file = tmp_path / "mine"
        file.write_text(f"{ALICE}\n")
        whole = json.loads((await asked("--from-file", str(file), "--json")).output)
        assert whole["expiration"] == "4h0m0s"
        for args, why in (
            (("--from-env", "MINE", "--expiration", "5m"), "at least 10 minutes"),
            (("--from-env", "OTHER"), "invalid"),
            (("--from-env", "NONE"), "not set"),
            ((), "--from-env"),
        ):
            refused = await asked(*args, OTHER=BOB)
            assert refused.exit_code != 0
            assert why in refused.output
            assert BOB not in refused.output

        made = await router.ask(
            {"name": "ci"}, {"authorization": f"Bearer {ALICE}"}, "/v1/api-keys"
        )
        (row,) = json.loads((await ran("keys", "list", *config, "--json")).output)
        assert row["id"] == made.json["jti"]
        assert (row["user"], row["name"], row["status"]) == ("alice", "ci", "active")
        assert "alice" in (await ran("keys", "list", *config)).output
        assert (
            await ran("keys", "list", *config, "--user", "bob", "--json")
        ).output.strip() == "[]"
        assert await status(made.json["token"]) in (502, 503)
        assert (await ran("keys", "revoke", *config, row["id"])).exit_code == 0
        assert await status(made.json["token"]) == 401
        again = await ran("keys", "revoke", *config, row["id"])
        assert again.exit_code == 1
        assert row["id"] in again.output

        assert "signs from now on" in (await ran("rotate-keys", *config)).output
        assert await status(token) in (502, 503)
        issuer = router.app.maas._issuer  # type: ignore[union-attr]
        assert issuer is not None
        issuer._looked = float("-inf")  # a second went by
        assert "void" in (await ran("rotate-keys", *config)).output
        issuer._looked = float("-inf")
        fresh = (await asked("--from-env", "MINE")).output.strip()
        assert await status(fresh) in (502, 503)
        router.app.maas.callers.forget()  # type: ignore[union-attr]
        assert await status(token) == 401


def test_what_cannot_be(tmp_path: Path) -> None:
    path = tmp_path / "wayside.yaml"
    path.write_text("models: {m: {endpoints: ['http://127.0.0.1:1']}}")
    assert "no maas" in run("keys", "list", "--config", str(path)).output
    path.write_text("maas: {kubernetes: {}}\nmodels: {m: {endpoints: ['http://127.0.0.1:1']}}")
    assert "cluster signs" in run("rotate-keys", "--config", str(path)).output
    nobody = run("token", "--router", "http://127.0.0.1:1", "--from-env", "T", env={"T": "x"})
    assert nobody.exit_code == 1
    assert "cannot be asked" in nobody.output


@pytest.mark.parametrize("text", ["a\nb", "ä"])
def test_a_token_that_is_none_goes_nowhere(text: str) -> None:
    refused = run("token", "--from-env", "T", env={"T": text})
    assert refused.exit_code == 2
    assert text not in refused.output
