"""Every argument of llm-d's picker works, or is refused by name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from wayside.cli import epp as module
from wayside.epp.options import Options
from wayside.vocab.errors import ConfigError

SEED = """
apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: queue-scorer}, {type: kv-cache-utilization-scorer}, {type: prefix-cache-scorer}]
schedulingProfiles:
- name: default
  plugins: [{pluginRef: queue-scorer, weight: 1}, {pluginRef: kv-cache-utilization-scorer,
             weight: 1}, {pluginRef: prefix-cache-scorer, weight: 1}]
"""


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[Options]:
    """What would have been served."""
    found: list[Options] = []

    async def serve(options: Options, log: object, *, tracing: bool) -> None:
        found.append(options)

    monkeypatch.setattr(module, "serve", serve)
    monkeypatch.delenv("NAMESPACE", raising=False)
    return found


def run(*args: str) -> Result:
    return CliRunner().invoke(module.command, args)


def options(found: list[Options], *args: str) -> Options:
    result = run(*args)
    assert result.exit_code == 0, result.output or result.exception
    return found[-1]


STATIC = ("--endpoints", "127.0.0.1:1")


def test_the_seeds_arguments_verbatim(parsed: list[Options], tmp_path: Path) -> None:
    """A4-31: the Deployment of llm-d's scheduler, its image exchanged for ours."""
    path = tmp_path / "default-plugins.yaml"
    path.write_text(SEED)
    found = options(
        parsed,
        *("--pool-name", "vllm-llama3-8b-instruct", "--pool-namespace", "default", "--v", "4"),
        *("--zap-encoder", "json", "--grpc-port", "9002", "--grpc-health-port", "9003"),
        *("--config-file", str(path)),
    )
    group = "inference.networking.k8s.io"
    assert found.pool == ("vllm-llama3-8b-instruct", "default", group)
    assert (found.grpc_port, found.health_port, found.metrics_port) == (9002, 9003, 9090)
    assert found.secure and found.verbose and found.cert_path is None
    (profile,) = found.config.profiles.values()
    assert [use.name for use in profile.scorers] == ["queue", "kv_utilization", "prefix_cache"]


@pytest.mark.parametrize(
    ("args", "field", "value"),
    [
        (["-v=4"], "verbose", True),
        (["-v", "5"], "verbose", True),
        (["--v=2"], "verbose", False),
        (["--secure-serving=false"], "secure", False),
        (["--secure-serving"], "secure", True),
        (["-secureServing=false"], "secure", False),
        (["-grpcPort", "1234"], "grpc_port", 1234),
        (["--grpc-port=1234"], "grpc_port", 1234),
        (["--drain-timeout", "1m30s"], "drain_s", 90.0),
        (["--refresh-metrics-interval=100ms"], "scrape_s", 0.1),
        (["--metrics-staleness-threshold=3s"], "stale_s", 3.0),
        (["--emit-endpoint-scores"], "scores", True),
        (["--disable-endpoint-subset-filter"], "subsets", False),
        (["--tls-min-version=VersionTLS13"], "tls_minimum", "VersionTLS13"),
        (["--grpc-max-recv-msg-size=1000000"], "max_message_bytes", 1000000),
        (["--response-phases=needed"], "skips", True),
        (["--tracing=false"], "secure", True),
        (["--tracing"], "secure", True),
        (["--ha-enable-leader-election"], "elects", True),
        (["--enable-pprof=false", "--ha-enable-leader-election=false"], "secure", True),
        (["--total-queued-requests-metric=vllm:num_requests_waiting"], "secure", True),
        (["--kv-cache-usage-percentage-metric", "vllm:gpu_cache_usage_perc"], "secure", True),
        (["--lora-info-metric=vllm:lora_requests_info"], "secure", True),
    ],
)
def test_arguments(parsed: list[Options], args: list[str], field: str, value: object) -> None:
    assert getattr(options(parsed, *STATIC, *args), field) == value


def test_pods_by_label(parsed: list[Options]) -> None:
    args = ("--endpoint-selector", "app=vllm,tier=gold", "--endpoint-target-ports", "8000,8001")
    found = options(parsed, *args).selected
    assert found is not None
    assert found.selector == (("app", "vllm"), ("tier", "gold")) and found.ports == (8000, 8001)


def test_the_namespace_of_the_environment(
    parsed: list[Options], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAMESPACE", "mine")
    found = options(parsed, "--pool-name", "p")
    assert found.pool is not None and found.pool[1] == "mine"


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ([], "no endpoints are named"),
        (["--pool-name", "p", *STATIC], "endpoints come from --pool-name and --endpoints"),
        (["--endpoint-selector", "a=b"], "belong together"),
        ([*STATIC, "--enable-pprof=true"], "not done"),
        ([*STATIC, "--total-queued-requests-metric=my:queue"], "is not read; those are"),
        ([*STATIC, "--secure-serving=maybe"], "neither true nor false"),
        ([*STATIC, "--drain-timeout=soon"], "no duration"),
        ([*STATIC, "--grpc-prot=1"], "--grpc-port"),
        ([*STATIC, "--pool-group=x"], "is not one of"),
        ([*STATIC, "--grpc-max-send-msg-size=10"], "64 KiB"),
        ([*STATIC, "--config-text=kind: X"], "no kind 'X'"),
        ([*STATIC, "--metrics-client-ca-file=ca.pem"], "--metrics-cert-dir"),
        (["--endpoint-selector=a", "--endpoint-target-ports=1"], "label=value"),
        (["--endpoint-selector=a=b", "--endpoint-target-ports=1,1"], "named twice"),
        ([*STATIC, "--config-file=/nowhere.yaml"], "cannot be read"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    parsed: list[Options], args: list[str], why: str
) -> None:
    result = run(*args)
    assert result.exit_code != 0 and not parsed
    told = result.output
    if isinstance(result.exception, ConfigError):
        told += str(result.exception)
    assert why in " ".join(told.replace("│", " ").split())


def test_it_serves_and_leaves_at_sigterm() -> None:
    command = [sys.executable, "-m", "wayside", "epp", "--endpoints", "127.0.0.1:9"]
    command += ["--grpc-port", "0", "--grpc-health-port", "0", "--metrics-port", "0"]
    command += ["--drain-timeout", "0s", "--host", "127.0.0.1"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, env=os.environ.copy(), text=True
    ) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert '"event":"serving"' in line, line
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            rest = process.stderr.read()
            assert process.wait(20) == 0 and time.monotonic() - began < 15
            assert '"event":"stopped"' in rest
        finally:
            process.kill()
