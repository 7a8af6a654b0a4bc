"""Commands on a file whose models are in a cluster: nobody claims that all is well, nobody
crashes, and a router without a cluster says what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from wayside.cli import cli

FILE = "registry: {llms: true}\nrouting: {decisions: [{name: d, models: [later]}]}\n"
VSR = "version: v0.3\nrouting: {}\nglobal: {router: {config_source: kubernetes}}\n"


def run(folder: Path, text: str, *words: str) -> tuple[int, str]:
    path = folder / "c.yaml"
    path.write_text(text)
    found = CliRunner().invoke(cli, [*words, "-c", str(path)])
    return found.exit_code, found.output


def test_check_says_what_waits_for_the_cluster(tmp_path: Path) -> None:
    code, said = run(tmp_path, FILE, "config", "check")
    assert code == 0
    assert "waits for the cluster: routing.decisions[0].models[0]: no model 'later'" in said
    assert "can be used once the cluster has those" in said
    code, said = run(tmp_path, "registry: {llms: true}\n", "config", "check")
    assert code == 0 and "only what the file says was checked" in said
    wrong = "registry: {llms: true, defaults: {timeout: 3}}\n"
    code, said = run(tmp_path, wrong, "config", "check")
    assert code == 2 and "registry.defaults.timeout" in said and "timeouts" in said


def test_doctor_and_route_say_what_they_do_not_know(tmp_path: Path) -> None:
    code, said = run(tmp_path, FILE, "doctor")
    assert code == 0 and "servers that are found in the cluster are not checked" in said
    code, said = run(tmp_path, FILE, "route", "hello")
    assert code == 2 and "the cluster has yet to have it" in said


@pytest.mark.parametrize("text", [FILE, VSR])
def test_without_a_cluster_it_is_said_what_to_do(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    code, said = run(tmp_path, text, "serve")
    assert code == 2 and "registry:" in said
    assert "found no Kubernetes cluster" in said and "config_source: kubernetes) out" in said
