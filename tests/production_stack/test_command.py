"""``wayside vllm-router`` as people call it, and the page that teaches it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tests.docs.pages import ROOT, blocks
from tests.running import chat, running
from wayside.cli import cli
from wayside.cli.files import read
from wayside.cli.vllm_router import Source
from wayside.sim import SimModel, SimServer, serve_sim
from wayside.translate.production_stack_args import ARGUMENTS, parsed
from wayside.vocab.errors import ConfigError

PAGE = ROOT / "docs" / "how-to" / "replace-production-stack.md"
STATIC = [
    "--service-discovery", "static", "--static-backends", "http://a:8000",
    "--static-models", "m", "--routing-logic", "roundrobin",
]  # fmt: skip


def called(*words: str) -> Any:
    return CliRunner().invoke(cli, ["vllm-router", *words])


def test_help_tells_of_every_argument() -> None:
    text = called("--help").output
    assert [a.name for a in ARGUMENTS if f"--{a.name}" not in text] == []


def test_what_it_becomes_is_a_configuration_of_ours() -> None:
    found = called(*STATIC, "--engine-stats-interval", "15", "--print-config")
    assert found.exit_code == 0
    assert "# mapped: engine_stats_interval" in found.output
    loaded = read(found.output.encode(), "wayside.yaml", env={})
    assert loaded.format == "wayside"
    assert loaded.settings.production_stack.enabled
    assert loaded.settings.listen.port == 8001


def commands() -> list[list[str]]:
    found = []
    for block in blocks(PAGE, "sh"):
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:2] == ["wayside", "vllm-router"]:
                end = words.index(">") if ">" in words else len(words)
                found.append([w for w in words[2:end] if w != "--print-config"])
    return found


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_of_the_page_can_be_served(words: list[str]) -> None:
    found = called(*words, "--print-config")
    assert found.exit_code == 0, found.output
    assert read(found.output.encode(), "wayside.yaml", env={}).settings.models


def test_files_are_put_together(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("port: 9\nlog-level: debug\n")
    (tmp_path / "external.yaml").write_text(
        yaml.safe_dump(
            {
                "external_providers": [
                    {"name": "o", "api_base": "https://x/v1", "models": [{"id": "gpt"}]}
                ]
            }
        )
    )
    (tmp_path / "dynamic.json").write_text(
        json.dumps(
            {
                "service_discovery": "static",
                "routing_logic": "roundrobin",
                "static_backends": "http://b:1",
                "static_models": "new",
            }
        )
    )
    words = [*STATIC, "--config", str(tmp_path / "config.yaml"),
             "--dynamic-config-json", str(tmp_path / "dynamic.json"),
             "--external-providers-config", str(tmp_path / "external.yaml")]  # fmt: skip
    source = Source(parsed(words), {})
    settings = source.loaded(source.text()).settings
    assert settings.listen.port == 9
    assert settings.log.level == "debug"
    assert set(settings.models) == {"new", "gpt"}


@pytest.mark.parametrize("key", ["config", "dynamic-config-json", "external-providers-config"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml: cannot be read"):
        source = Source(parsed([*STATIC, f"--{key}", str(tmp_path / "gone.yaml")]), {})
        source.loaded(source.text())


async def test_plugins_do_what_a_request_rewriter_would() -> None:
    """The configuration of the page, as it stands there."""
    (block,) = [b for b in blocks(PAGE, "yaml") if "guard_recipe" in b.text]
    async with serve_sim([SimServer((SimModel("m"),))]) as (sim,):
        document = {"models": {"m": {"endpoints": [sim.url]}}, **yaml.safe_load(block.text)}
        async with running("gateway", document) as found:
            body = chat("hello", "m", max_tokens=5000, logprobs=True)
            assert (await found.ask(body)).status == 200
            request = sim.requests[0]
            sent = json.loads(request.body)
            assert sent["max_tokens"] == 1000
            assert "logprobs" not in sent
            assert sent["messages"][0] == {"role": "system", "content": "Answer in English."}
            assert dict(request.headers)["x-team"] == "search"


async def test_the_gates_become_plugins_that_work() -> None:
    words = [*STATIC, "--feature-gates", "SemanticCache=true,PIIDetection=true"]
    async with serve_sim([SimServer((SimModel("m"),))]) as (sim,):
        given = {**parsed(words), "static_backends": sim.url.removesuffix("/v1")}
        document = Source(given, {}).translated(b"").settings
        async with running("gateway", {**document, "listen": {"port": 0}}) as found:
            first = await found.ask(chat("what is the capital of France", "m"))
            again = await found.ask(chat("what is the capital of France", "m"))
            assert first.status == again.status == 200
            assert again.headers["x-wayside-cache"].startswith("hit")
            assert len(sim.requests) == 1
            told = await found.ask(chat("my address is ann@example.com, 555-010-2030", "m"))
            assert len(sim.requests) == 1
            assert told.headers["x-vsr-response-path"] == "fast_response"
