"""The variables of requirement 003 with odd values: each works, or is refused by its name (A3-17
to A3-21)."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from wayside.cli import router_controller
from wayside.cli.controllers import BindAddress
from wayside.vocab.errors import ConfigError


def refusal(monkeypatch: pytest.MonkeyPatch, **env: str) -> str:
    """What is said; empty where the controller would run."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("wayside.cli.controllers.find_access", lambda _: _raise(LookupError()))
    found = CliRunner().invoke(router_controller.command, [])
    if isinstance(found.exception, LookupError):
        return ""
    return str(found.exception) if isinstance(found.exception, ConfigError) else found.output


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("METRICS_ADDR", v) for v in ("0", ":8080", "0.0.0.0:8080", "[::]:8080", "")),
        *(("LEADER_ELECTION_ENABLED", v) for v in ("TRUE", "true", "1", "false", "0", "")),
        *(("GPU_METRICS_ENDPOINT", v) for v in ("dcgm:9400", "http://dcgm:9400/metrics", "")),
        *(("KUBERNETES_NAMESPACE", v) for v in ("models", " models ", "")),
    ],
)
def test_what_is_plain_is_taken(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(monkeypatch, **{name: value}) == ""


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        *(("METRICS_ADDR", v, "write :8080") for v in ("8080", ":99999", "http://x:1", ":x")),
        ("METRICS_ADDR", ":\N{ARABIC-INDIC DIGIT THREE}", "write :8080"),
        ("HEALTH_PROBE_ADDR", "8081", "HEALTH_PROBE_ADDR"),
        ("LEADER_ELECTION_ENABLED", "no", "neither true nor false"),
        ("GPU_METRICS_ENDPOINT", "ftp://dcgm", "GPU_METRICS_ENDPOINT: write http://"),
        ("GPU_METRICS_ENDPOINT", "http://dcgm:port", "GPU_METRICS_ENDPOINT"),
        ("KUBERNETES_NAMESPACE", "a,b", "several namespaces"),
        ("KUBERNETES_NAMESPACE", "Not A Name", "is no name of a namespace"),
    ],
)
def test_what_is_not_is_refused_by_name(
    name: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = refusal(monkeypatch, **{name: value})
    assert says in said, said


def test_an_address_is_a_host_and_a_port() -> None:
    assert BindAddress().convert("[::1]:8080", None, None) == ("::1", 8080)
