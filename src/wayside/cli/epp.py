"""``wayside epp``: an endpoint picker that takes the place of llm-d's."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import uvloop

from wayside.cli.epp_flags import (
    BOOLEAN,
    Duration,
    Level,
    Pflags,
    Ports,
    Selector,
    metric_name,
    not_done,
)
from wayside.cli.tracing import tracer_of
from wayside.epp.certificates import VERSIONS
from wayside.epp.options import Options, Page
from wayside.epp.serve import Epp
from wayside.kube.inference import GROUP, POOLS
from wayside.runtime.keys import KeyRing
from wayside.settings.tracing import TracingSettings
from wayside.telemetry.log import Log
from wayside.translate.endpoint_picker_config import DEFAULT, read
from wayside.translate.picker_config import PickerConfig
from wayside.vocab.errors import ConfigError, Problem
from wayside.vocab.inference import PoolSpec

F = TypeVar("F", bound=Callable[..., Any])
_PORT: Final = click.IntRange(0, 65535)


def _flag(*names: str, default: bool, help: str) -> Callable[[F], F]:
    """A boolean as Go has it: ``--x``, ``--x=true``, ``--x=false``."""
    return click.option(
        *names, type=BOOLEAN, is_flag=False, flag_value="true", default=default, help=help
    )


def _refused(*names: str, why: str) -> Callable[[F], F]:
    """A boolean whose work is not done here: ``false`` is taken, ``true`` is refused by name."""
    return click.option(
        *names,
        type=BOOLEAN,
        is_flag=False,
        flag_value="true",
        default=False,
        hidden=True,
        expose_value=False,
        callback=not_done(why),
    )


def _metric(*names: str) -> Callable[[F], F]:
    return click.option(*names, hidden=True, expose_value=False, callback=metric_name)


@click.command(
    "epp",
    cls=Pflags,
    epilog="""\b
Examples:
  wayside epp --pool-name my-pool --pool-namespace default --config-file picker.yaml
  wayside epp --endpoint-selector app=vllm --endpoint-target-ports 8000
  wayside epp --endpoints 127.0.0.1:8001,127.0.0.1:8002 --secure-serving=false""",
)
@click.option("--pool-name", "--poolName", help="The InferencePool whose pods are picked from.")
@click.option(
    "--pool-namespace",
    "--poolNamespace",
    help="Its namespace.  [default: $NAMESPACE, or that of the service account]",
)
@click.option("--pool-group", default=GROUP, type=click.Choice(list(POOLS)), show_default=True)
@click.option(
    "--endpoint-selector", type=Selector(), help="Pods by label (app=vllm), without a pool."
)
@click.option("--endpoint-target-ports", type=Ports(), help="Their ports (8000,8001).")
@click.option("--endpoints", help="host:port,... instead of a cluster's pods.")
@click.option("--kubeconfig", help="Of the cluster; in a pod its service account is used.")
@click.option(
    "--config-file",
    "--configFile",
    type=click.Path(dir_okay=False, path_type=Path),
    help="An EndpointPickerConfig.",
)
@click.option("--config-text", "--configText", help="The same, as text.")
@click.option("--host", default="0.0.0.0", show_default=True, help="Where all ports listen.")
@click.option("--grpc-port", "--grpcPort", type=_PORT, default=9002, show_default=True)
@click.option(
    "--grpc-health-port", "--grpcHealthPort", type=_PORT, default=9003, show_default=True
)
@click.option("--metrics-port", "--metricsPort", type=_PORT, default=9090, show_default=True)
@_flag("--metrics-endpoint-auth", default=False, help="Ask the cluster who may read metrics.")
@click.option("--metrics-cert-dir", type=click.Path(path_type=Path), help="TLS for metrics.")
@click.option(
    "--metrics-client-ca-file",
    type=click.Path(path_type=Path),
    help="Whose clients may read metrics.",
)
@_flag("--secure-serving", "--secureServing", default=True, help="TLS on the gRPC port.")
@click.option(
    "--cert-path",
    "--certPath",
    type=click.Path(path_type=Path),
    help="A folder with tls.crt and tls.key.  [default: a certificate of its own]",
)
@_flag("--enable-cert-reload", default=False, help="Read it again when it changes.")
@click.option("--tls-min-version", type=click.Choice(list(VERSIONS)), default="VersionTLS12")
@click.option("--tls-cipher-suites", default="", help="TLS 1.2 suites, by Go's names.")
@_flag(
    "--health-checking",
    "--healthChecking",
    default=False,
    help="Health is answered on the gRPC port, too, with or without this.",
)
@click.option(
    "--grpc-max-recv-msg-size",
    type=click.IntRange(0),
    default=0,
    help="Bytes of one message from Envoy; 0 for --max-body-bytes.",
)
@click.option("--grpc-max-send-msg-size", type=click.IntRange(0), default=0, hidden=True)
@click.option("--max-body-bytes", type=click.IntRange(1024), default=64 << 20, show_default=True)
@click.option(
    "--refresh-metrics-interval",
    "--refreshMetricsInterval",
    type=Duration(),
    default="50ms",
    show_default=True,
    help="Between two readings of an endpoint.",
)
@click.option("--metrics-staleness-threshold", type=Duration(), default="2s", show_default=True)
@click.option(
    "--model-server-metrics-port",
    "--modelServerMetricsPort",
    type=_PORT,
    default=0,
    help="[default: the port that requests go to]",
)
@click.option("--model-server-metrics-path", "--modelServerMetricsPath", default="/metrics")
@click.option(
    "--model-server-metrics-scheme",
    "--modelServerMetricsScheme",
    type=click.Choice(["http"]),
    default="http",
    hidden=True,
)
@click.option("--drain-timeout", type=Duration(), default="30s", show_default=True)
@_flag(
    "--ha-enable-leader-election",
    "--haEnableLeaderElection",
    default=False,
    help="Of several pickers one is ready, elected by a Lease.",
)
@_flag("--emit-endpoint-scores", default=False, help="Tell Envoy every candidate's score.")
@_flag("--disable-endpoint-subset-filter", default=False, help="Ignore Envoy's subset hints.")
@_flag(
    "--conformance-headers",
    default=False,
    help="The conformance suite's headers steer it. Never in production.",
)
@click.option(
    "--response-phases",
    type=click.Choice(["all", "needed"]),
    default="all",
    show_default=True,
    help="Look at all answers (their tokens are counted), or only where something needs them.",
)
@_flag("--allow-experimental-plugins", default=False, help="Taken; no plugin is held back.")
@click.option("-v", "--v", "verbosity", type=Level(), default=2, help="4 and more: every choice.")
@click.option("--zap-encoder", type=click.Choice(["json", "console"]), default="json")
@click.option("--zap-log-level", default="", help="debug, info or error, or a number.")
@_flag("--zap-devel", default=False, help="Lines for people.")
@_flag("--tracing", default=False, help="Trace requests, where OTEL_EXPORTER_OTLP_* say.")
@_refused("--enable-pprof", why="there is no profiling port; use py-spy")
@_refused("--enable-grpc-stream-metrics", why="streams are not counted one by one")
@_metric("--total-queued-requests-metric", "--totalQueuedRequestsMetric")
@_metric("--total-running-requests-metric", "--totalRunningRequestsMetric")
@_metric("--kv-cache-usage-percentage-metric", "--kvCacheUsagePercentageMetric")
@_metric("--lora-info-metric", "--loraInfoMetric")
@_metric("--cache-info-metric", "--cacheInfoMetric")
def command(**given: Any) -> None:
    """Pick endpoints of a pool for a gateway, in the place of llm-d's inference scheduler.

    Takes its arguments, its EndpointPickerConfig and its ports: 9002 (ext_proc over TLS), 9003
    (gRPC health), 9090 (metrics).
    """
    options = _options(given)
    level = "debug" if options.verbose else _level(given["zap_log_level"])
    log = Log(console=given["zap_devel"] or given["zap_encoder"] == "console", level=level)
    uvloop.run(serve(options, log, tracing=given["tracing"]))


async def serve(options: Options, log: Log, *, tracing: bool = False) -> None:
    """Serve until SIGTERM or SIGINT."""
    for note in options.config.notes:
        log("configuration", where=note.path, what=note.what, sort=note.severity)
    epp = Epp(options, log)
    if tracing:
        said = TracingSettings(enabled=True, service_name=_service_name())
        keys = KeyRing(os.environ).resolve
        epp.door.tracer = tracer_of(said, os.environ, keys, epp.registry, log)
    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    try:
        await epp.start()
    except OSError as error:
        raise ConfigError.one(f"cannot listen: {error}", fix="choose other ports") from error
    log("serving", grpc=epp.server.port, health=epp.health.port, metrics=epp.exposed.port)
    log.flush()
    ended = asyncio.create_task(stop.wait())
    broken = asyncio.create_task(epp.until_broken())
    flushing = asyncio.create_task(_flush(log))
    try:
        await asyncio.wait([ended, broken], return_when=asyncio.FIRST_COMPLETED)
        if broken.done():
            broken.result()
    finally:
        for task in (ended, broken, flushing):
            task.cancel()
        await epp.stop()
        if epp.door.tracer is not None:
            await asyncio.to_thread(epp.door.tracer.spool.close)
        log("stopped")
        log.flush()


def _service_name() -> str | None:
    """As llm-d's picker calls itself, unless the environment says."""
    return None if os.environ.get("OTEL_SERVICE_NAME") else "llm-d-router/epp"


async def _flush(log: Log) -> None:
    while True:
        await asyncio.sleep(0.5)
        log.flush()


def _options(given: dict[str, Any]) -> Options:
    config = _config(given["config_file"], given["config_text"])
    endpoints = tuple(e for part in (given["endpoints"] or "").split(",") if (e := part.strip()))
    namespace = given["pool_namespace"] or os.environ.get("NAMESPACE", "")
    selector, ports = given["endpoint_selector"], given["endpoint_target_ports"]
    sources = {
        "--pool-name": given["pool_name"],
        "--endpoint-selector": selector,
        "--endpoints": endpoints,
        "a file-discovery plugin": config.file,
    }
    named = [name for name, value in sources.items() if value]
    if len(named) != 1:
        what = f"endpoints come from {' and '.join(named)}" if named else "no endpoints are named"
        fix = f"give one of: {', '.join(sources)}"
        raise ConfigError([Problem(what, "", fix)])
    if bool(selector) != bool(ports):
        what = "--endpoint-selector and --endpoint-target-ports belong together"
        raise ConfigError([Problem(what, "", "give both")])
    send = given["grpc_max_send_msg_size"]
    if send and send < 64 << 10:
        raise ConfigError([Problem("too small", "--grpc-max-send-msg-size", "64 KiB at least")])
    if given["metrics_client_ca_file"] and not given["metrics_cert_dir"]:
        fix = "give --metrics-cert-dir, too"
        raise ConfigError([Problem("needs TLS", "--metrics-client-ca-file", fix)])
    selected = None
    if selector:
        selected = PoolSpec(
            name="selected",
            namespace=namespace,
            group=GROUP,
            selector=tuple(sorted(selector.items())),
            ports=ports,
        )
    pool = (given["pool_name"], namespace, given["pool_group"]) if given["pool_name"] else None
    ciphers = tuple(c for part in given["tls_cipher_suites"].split(",") if (c := part.strip()))
    return Options(
        config=config,
        pool=pool,
        selected=selected,
        endpoints=endpoints,
        kubeconfig=given["kubeconfig"],
        host=given["host"],
        grpc_port=given["grpc_port"],
        health_port=given["grpc_health_port"],
        metrics_port=given["metrics_port"],
        secure=given["secure_serving"],
        cert_path=given["cert_path"],
        reload_certs=given["enable_cert_reload"],
        tls_minimum=given["tls_min_version"],
        ciphers=ciphers,
        metrics_auth=given["metrics_endpoint_auth"],
        metrics_certs=given["metrics_cert_dir"],
        metrics_client_ca=given["metrics_client_ca_file"],
        max_message_bytes=given["grpc_max_recv_msg_size"],
        max_body_bytes=given["max_body_bytes"],
        metrics_of_servers=Page(
            given["model_server_metrics_port"], given["model_server_metrics_path"]
        ),
        scrape_s=given["refresh_metrics_interval"],
        stale_s=given["metrics_staleness_threshold"],
        drain_s=given["drain_timeout"],
        elects=given["ha_enable_leader_election"],
        scores=given["emit_endpoint_scores"],
        subsets=not given["disable_endpoint_subset_filter"],
        conformance=given["conformance_headers"],
        skips=given["response_phases"] == "needed",
        verbose=given["verbosity"] >= 4,
    )


def _config(path: Path | None, text: str | None) -> PickerConfig:
    if path is not None and text is not None:
        raise ConfigError([Problem("--config-file and --config-text", "", "give one of them")])
    if path is None:
        return read(text or DEFAULT)
    try:
        return read(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError.one(f"cannot be read: {error}", where=str(path)) from None


def _level(text: str) -> str:
    if text.isdigit():
        return "debug" if int(text) >= 4 else "info"
    return text if text in ("debug", "info", "warning", "error") else "info"
