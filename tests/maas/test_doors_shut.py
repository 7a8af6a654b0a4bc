"""What would leave the router open, or its limits without meaning, is refused when it is asked
for: at start, by a reload, and by ``wayside config check``."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tests.maas.rig import MODELS, rig
from wayside.cli import cli
from wayside.cli.app import App
from wayside.cli.files import read
from wayside.cli.workers import WORKER
from wayside.telemetry import Log
from wayside.vocab.errors import ConfigError

PLAIN = {
    "models": {"m": {"endpoints": ["http://10.0.0.1:8000"]}},
    "management": {"enabled": False},
}


def test_a_reload_does_not_pretend_to_close_the_door(tmp_path: Path) -> None:
    """The router goes on as it is, and says why: it never says yes and answers everybody."""
    app = App(
        read(yaml.safe_dump(PLAIN).encode(), "w.yaml", env={}), env={}, log=Log(io.StringIO())
    )
    before = app.state.digest
    with pytest.raises(ConfigError, match=r"maas: .*everybody.*restart"):
        app.apply(yaml.safe_dump({**PLAIN, "maas": {"folder": str(tmp_path)}}).encode())
    assert (app.settings.maas, app.state.digest) == (None, before)


def test_workers_do_not_count_alone(tmp_path: Path) -> None:
    """Not in the parent, nor in a worker, nor by a reload of one."""
    path = tmp_path / "w.yaml"
    path.write_text(yaml.safe_dump({**PLAIN, "maas": {"folder": str(tmp_path)}}))
    said = CliRunner().invoke(cli, ["serve", "--config", str(path), "--workers", "2"])
    assert said.exit_code != 0
    assert "maas.limits.store" in said.output + str(said.exception) and not list(
        tmp_path.glob("*.db")
    )
    with pytest.raises(ConfigError, match=r"maas\.limits\.store.*redis"):
        rig(tmp_path, env={WORKER: "/x"})


async def test_a_worker_keeps_to_what_is_shared(tmp_path: Path) -> None:
    stores = {"shared": {"redis": {"url": "redis://127.0.0.1:1/0"}}}
    r = rig(tmp_path, env={WORKER: "/x"}, maas={"limits": {"store": "shared"}}, stores=stores)
    with pytest.raises(ConfigError, match=r"maas\.limits\.store.*redis"):
        r.reload({"maas": {"limits": {"store": "memory"}}})
    await r.app.close()


BAD: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"token_ttl": "5m"}, {}, "maas.token_ttl"),
    ({"instance": "i" * 40, "tiers": [{"name": "t" * 32}]}, {}, "namespace"),
    ({"limits": {"store": "nope"}}, {}, "maas.limits.store"),
    ({"users": [{"name": "u", "token": {"env": "SHORT"}}]}, {}, "maas.users[0].token"),
    ({"oidc": [{"issuer": "http://sso.example.com", "audience": "x"}]}, {}, "maas.oidc[0].issuer"),
    ({"tiers_file": "TIERS"}, {}, "maas.tiers_file"),
    ({}, {"m": {"endpoints": ["http://h:1"], "keep_authorization": True}},
     "models.m.keep_authorization"),
]  # fmt: skip


@pytest.mark.parametrize(("maas", "models", "said"), BAD)
def test_config_check_sees_what_serve_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, maas: dict[str, Any], models: dict[str, Any],
    said: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("SHORT", "short")
    tiers = tmp_path / "tiers"
    tiers.write_bytes(b"\x00\xff not yaml")
    if "tiers_file" in maas:
        maas = {"tiers_file": str(tiers)}
    folder = tmp_path / "never"
    document = {**PLAIN, "models": models or PLAIN["models"],
                "maas": {"folder": str(folder), **maas}}  # fmt: skip
    path = tmp_path / "w.yaml"
    path.write_text(yaml.safe_dump(document))
    found = CliRunner().invoke(cli, ["config", "check", str(path)])
    assert found.exit_code != 0
    told = found.output + str(found.exception)
    assert said in told and "short" not in told.replace("shorter", "")
    assert not folder.exists(), "checking makes nothing"


def test_what_is_only_not_here_is_a_hint(tmp_path: Path) -> None:
    document = {
        "models": MODELS,
        "maas": {
            "folder": str(tmp_path / "never"),
            "tiers_file": "/nowhere/tiers",
            "users": [{"name": "alice", "token": {"env": "NOT_SET_HERE"}}],
            "database": {"file": "/nowhere/url"},
        },
    }
    path = tmp_path / "w.yaml"
    path.write_text(yaml.safe_dump(document))
    found = CliRunner().invoke(cli, ["config", "check", str(path)])
    assert found.exit_code == 0, found.output
    for hint in (
        "maas.users[0].token: NOT_SET_HERE",
        "maas.tiers_file: /nowhere",
        "maas.database",
    ):
        assert hint in found.output
    assert not (tmp_path / "never").exists()


def test_config_check_wants_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ConfigError.one("needs the packages PyJWT and cryptography", where="maas")

    monkeypatch.setattr("wayside.maas.available", missing)
    path = tmp_path / "w.yaml"
    path.write_text(yaml.safe_dump({**PLAIN, "maas": {"folder": str(tmp_path)}}))
    found = CliRunner().invoke(cli, ["config", "check", str(path)])
    assert found.exit_code != 0
    assert "PyJWT" in found.output + str(found.exception)
