"""``wayside models``: list, pull and verify, against a hub on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Wayside
from tests.engines import hub_server, tiny
from tests.engines.hub_server import REPOSITORY, Storage
from wayside.engines import BUILT_IN
from wayside.engines.base import Tools
from wayside.engines.onnx import OnnxEncoder, OnnxSettings

CONFIG = """
engines:
  mine:
    onnx: {model: acme/tiny, int8: true}
  far:
    http_chat: {base_url: "http://x/v1", model: m, labels: {a: b, c: d}}
models:
  small: {endpoints: ["127.0.0.1:8000"]}
routing:
  default_model: small
"""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    for name in ("HF_TOKEN", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WAYSIDE_MODELS", str(tmp_path / "store"))
    table = {"[CLS]": [0.0, 0.0], "[SEP]": [0.0, 0.0], "add": [4.0, 0.0]}
    folder = tiny.folder(tmp_path / "hub", table, labels=("math", "law"))
    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with hub_server.serving(files) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.hub)
        yield served


def test_what_is_built_in_and_known_is_listed(wayside: Wayside, hub: Storage) -> None:
    said = wayside("models", "list")
    assert said.status == 0
    for name in (*BUILT_IN, "llm-semantic-router/mmbert32k-pii-detector-merged"):
        assert name in said.out
    found = json.loads(wayside("models", "list", "--json").out)
    domain = next(row for row in found["built_in"] if row["name"] == "domain")
    assert domain["task"] == "classify" and domain["size"] > 1_000_000 and domain["license"]
    assert found["here"] == [] and found["configured"] == []


async def test_a_model_is_pulled_listed_verified_and_used(
    wayside: Wayside, hub: Storage, here: Path
) -> None:
    said = wayside("models", "pull", REPOSITORY)
    assert said.status == 0, said.err
    assert f"{REPOSITORY}: 0.0 MB in {here}/store/acme/tiny (licence: mit)" in said.out
    found = json.loads(wayside("models", "list", "--json").out)
    assert [row["name"] for row in found["here"]] == [REPOSITORY]
    assert "1 compared, no difference" in wayside("models", "verify").out
    engine = OnnxEncoder(OnnxSettings(model=REPOSITORY), Tools("it"))
    assert (await engine.classify("add"))[0][0] == "math"
    engine.close()
    (here / "store/acme/tiny/model.onnx").write_bytes(b"other")
    said = wayside("models", "verify", REPOSITORY)
    assert said.status == 1 and "model.onnx: has 5 bytes" in said.err


def test_what_a_configuration_uses_is_pulled(wayside: Wayside, hub: Storage, here: Path) -> None:
    (here / "wayside.yaml").write_text(CONFIG)
    listed = json.loads(wayside("models", "list", "-c", "wayside.yaml", "--json").out)
    (row,) = listed["configured"]
    assert row["engine"] == "mine" and "run: wayside models pull acme/tiny" in row["where"]
    said = wayside("models", "pull", "--config", "wayside.yaml")
    assert said.status == 0, said.err
    assert (here / "store/acme/tiny/model_int8.onnx").is_file(), "int8 was asked for"
    assert wayside("models", "verify").status == 0
    listed = json.loads(wayside("models", "list", "-c", "wayside.yaml", "--json").out)
    assert listed["configured"][0]["where"] == str(here / "store/acme/tiny")
    (here / "wayside.yaml").write_text(CONFIG.replace("acme/tiny", str(here / "hub")))
    said = wayside("models", "pull", "--config", "wayside.yaml")
    assert "uses no model that has to be pulled" in said.out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("mmbert32k-intent-clasifier-merged",), "did you mean 'mmbert32k-intent-classifier"),
        (("acme/tiny", "--max-gb", "0.000001"), "allow it with --max-gb"),
        (("acme/tiny", "--file", "other.onnx"), "has no other.onnx; it has model.onnx"),
        (("acme/tiny", "--weights", "torch"), "pickled weights are not taken"),
    ],
)
def test_a_pull_that_cannot_be(
    wayside: Wayside, hub: Storage, arguments: tuple[str, ...], problem: str
) -> None:
    said = wayside("models", "pull", *arguments)
    assert said.status == 1 and problem in said.err and "Traceback" not in said.err


def test_offline(wayside: Wayside, monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    monkeypatch.setenv("WAYSIDE_MODELS", str(here / "store"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    said = wayside("models", "pull", REPOSITORY)
    assert said.status == 1 and "cannot reach http://127.0.0.1:9" in said.err
    said = wayside("models", "verify", REPOSITORY)
    assert said.status == 1 and "was not pulled" in said.err
