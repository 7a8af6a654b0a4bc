"""``wayside extproc --envoy-files``: one configuration for the router and for Envoy beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from wayside.cli import cli
from wayside.cli.app import App
from wayside.cli.envoy_files import ORDER, EnvoyFiles
from wayside.cli.files import load
from wayside.envoy.pod import Ports
from wayside.runtime.reload import Watcher
from wayside.vocab.errors import ConfigError

PORTS = Ports(clients=(8801,), extproc=50051, router_api=18081, admin=19000)
AWAY = ["--listen", "0.0.0.0:50051", "--api-address", "127.0.0.1:18081"]
AWAY += ["--outlive", "127.0.0.1:19000"]


def split(address_b: str) -> str:
    """The requirement's format, as its ConfigMap has it."""
    return yaml.safe_dump(
        {
            "vllm_endpoints": [
                {"name": "model-a-endpoint", "address": "10.96.10.50", "port": 8000},
                {"name": "model-b-endpoint", "address": address_b, "port": 8001},
            ],
            "model_config": {
                "Model-A": {"preferred_endpoints": ["model-a-endpoint"]},
                "Model-B": {"preferred_endpoints": ["model-b-endpoint"]},
            },
            "default_model": "Model-A",
        }
    )


def clusters(folder: Path) -> dict[str, str]:
    """Where Envoy sends requests, by cluster."""
    found = json.loads((folder / "clusters.yaml").read_text())["resources"]
    text = {one["name"]: json.dumps(one) for one in found}
    return {
        name: next((ip for ip in ("10.96.10.50", "10.96.20.80", "10.96.20.81") if ip in said), "")
        for name, said in text.items()
    }


async def test_envoy_follows_the_routers_own_configuration(tmp_path: Path) -> None:
    """A0-26: an edited ConfigMap alone, under the key that the guide gives it, moves both; what
    did not change is left alone."""
    config, out = tmp_path / "config", tmp_path / "envoy"
    config.mkdir()
    out.mkdir()
    (config / "dynamic-config.yaml").write_text(split("10.96.20.80"))
    app = App(load(config, env={}), env={})
    written = EnvoyFiles(app, out, PORTS)
    written.write()
    app.on_reload.append(written.follow)
    assert sorted(p.name for p in out.iterdir()) == sorted(("secrets.yaml", *ORDER))
    assert sorted(clusters(out).values()) == ["10.96.10.50", "10.96.20.80"]
    assert '"port_value": 19000' in (out / "envoy.yaml").read_text()
    before = (out / "envoy.yaml").stat()
    watcher = app.watcher()
    (config / "dynamic-config.yaml").write_text(split("10.96.20.81"))
    watcher.look()
    assert sorted(clusters(out).values()) == ["10.96.10.50", "10.96.20.81"]
    assert (out / "envoy.yaml").stat().st_ino == before.st_ino
    await app.close()


async def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(split("10.96.20.80"))
    app = App(load(tmp_path, env={}), env={})
    written = EnvoyFiles(app, tmp_path / "gone", PORTS)
    with pytest.raises(ConfigError, match="cannot be written"):
        written.write()
    written.follow()
    assert "cannot be written" in app.state.error
    await app.close()


def test_a_folder_holds_the_configuration_under_either_key(tmp_path: Path) -> None:
    """The one of the guide, and our own, which is asked for first."""
    seen: list[bytes] = []
    refused: list[ConfigError] = []
    watcher: Watcher[bytes] = Watcher(tmp_path, bytes, seen.append, refused.append, seen=b"")
    watcher.look()
    assert seen == [] and "cannot be read" in str(refused[0])
    (tmp_path / "dynamic-config.yaml").write_text("a")
    watcher.look()
    (tmp_path / "config.yaml").write_text("b")
    watcher.look()
    (tmp_path / "config.yaml").unlink()
    watcher.look()
    assert seen == [b"a", b"b", b"a"]


def invoke(*argv: str) -> Any:
    return CliRunner().invoke(cli, argv)


def test_an_empty_folder_says_what_is_looked_for(tmp_path: Path) -> None:
    done = invoke("config", "check", str(tmp_path))
    assert done.exit_code == 2
    assert "dynamic-config.yaml" in done.output


def test_the_ports_of_the_pod_are_needed(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(split("10.96.20.80"))
    done = invoke("extproc", "-c", str(tmp_path), "--envoy-files", str(tmp_path))
    assert done.exit_code == 2
    assert "--outlive" in done.output
    done = invoke("extproc", "-c", str(tmp_path), *AWAY, "--envoy-port", "8801")
    assert done.exit_code == 2
    assert "--envoy-files" in done.output


def test_a_forgotten_placeholder_is_named(tmp_path: Path) -> None:
    """A0-08: the guide's sed replaces the first address alone; the second is told by name."""
    path = tmp_path / "dynamic-config.yaml"
    path.write_text(split("172.30.116.177"))
    done = invoke("config", "check", str(path))
    assert done.exit_code == 0
    assert "172.30.116.177 is a placeholder" in done.output
    assert "requests for Model-B go nowhere" in done.output
    path.write_text(split("10.96.20.80"))
    assert "is a placeholder" not in invoke("config", "check", str(path)).output
