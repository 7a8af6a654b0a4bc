"""What the command line of `wayside sim` says, as settings."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import yaml
from pydantic import TypeAdapter, ValidationError

from .settings import (
    FaultRates,
    GpuExporter,
    KvEvents,
    SimModel,
    SimServer,
    SimSettings,
    TlsFiles,
    parse_settings,
)

_MODEL: TypeAdapter[SimModel] = TypeAdapter(SimModel)
_FAULTS: TypeAdapter[FaultRates] = TypeAdapter(FaultRates)


def read_options(*, host: str, gpu_exporter_port: int | None, **options: Any) -> SimSettings:
    """Settings from the options of `wayside sim`.

    Raises `click.UsageError`, or `pydantic.ValidationError` for a value that will not do.
    """
    exporter = None if gpu_exporter_port is None else GpuExporter(host, gpu_exporter_port)
    return SimSettings(tuple(_servers(host=host, **options)), exporter)


def _servers(
    *,
    models: tuple[str, ...],
    replicas: int,
    host: str,
    port: int,
    unix: Path | None,
    provider: str | None,
    key_variables: tuple[str, ...],
    tls_cert: Path | None,
    tls_key: Path | None,
    ttft: float,
    itl: float,
    prefill: float,
    max_running: int,
    answer_tokens: int,
    faults: tuple[str, ...],
    seed: int,
    keep: int,
    role: str,
    sidecar: bool,
    kv_events: str | None,
    kv_events_connect: str | None,
    hash_seed: str,
    metrics: str,
) -> list[SimServer]:
    if not models:
        raise click.UsageError("name at least one --model, or give a --config")
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key go together")
    defaults = {
        "ttft_s": ttft,
        "itl_s": itl,
        "prefill_s_per_token": prefill,
        "max_running": max_running,
        "answer_tokens": answer_tokens,
    }
    parsed = tuple(_model(text, defaults) for text in models)
    together = [parsed] if provider else [(model,) for model in parsed]
    plain: dict[str, Any] = {
        "host": host,
        "provider": provider,
        "tls": TlsFiles(tls_cert, tls_key) if tls_cert and tls_key else None,
        "api_keys": tuple(_key(variable) for variable in key_variables),
        "faults": _faults(faults, seed),
        "keep": keep,
        "role": role,
        "sidecar": sidecar,
        "metrics": metrics,
    }
    if kv_events and kv_events_connect:
        raise click.UsageError("--kv-events binds and --kv-events-connect connects; give one")
    servers: list[SimServer] = []
    for group in together:
        for replica in range(replicas):
            place: dict[str, Any] = {"port": port + len(servers) if port else 0}
            if unix is not None:
                name = provider or group[0].name.replace("/", "_")
                place = {"unix": unix / f"{name}-{replica}.sock"}
            number = len(servers)
            place |= {
                "faults": dataclasses.replace(plain["faults"], seed=seed + number),
            }
            if kv_events:
                place["kv_events"] = KvEvents(
                    endpoint=_next_port(kv_events, number), hash_seed=hash_seed
                )
            elif kv_events_connect:
                place["kv_events"] = KvEvents(
                    endpoint=kv_events_connect, bind=False, hash_seed=hash_seed
                )
            servers.append(SimServer(group, replica, **{**plain, **place}))
    return servers


def _next_port(endpoint: str, number: int) -> str:
    """The same endpoint, `number` ports further; one without a port number stays as it is."""
    head, colon, port = endpoint.rpartition(":")
    return f"{head}{colon}{int(port) + number}" if port.isdecimal() else endpoint


def _model(text: str, defaults: dict[str, Any]) -> SimModel:
    name, settings = _split(text, "--model")
    for listed in ("aliases", "loras"):
        if isinstance(names := settings.get(listed), str):
            settings[listed] = names.split("+")
    return _MODEL.validate_python({**defaults, **settings, "name": name})


def _faults(texts: tuple[str, ...], seed: int) -> FaultRates:
    faults: dict[str, Any] = {"seed": seed}
    for text in texts:
        head, settings = _split(text, "--fault")
        kind, _, rate = head.partition("=")
        faults[kind] = {"rate": rate, **settings}
    return _FAULTS.validate_python(faults)


def _split(text: str, option: str) -> tuple[str, dict[str, Any]]:
    """`head,key=value,...` taken apart; dashes in keys are underscores."""
    head, *rest = text.split(",")
    pairs = [part.partition("=") for part in rest]
    if not head or not all(equals for _, equals, _ in pairs):
        raise click.UsageError(f"cannot read {option} {text!r}; write NAME,KEY=VALUE,...")
    return head, {key.strip().replace("-", "_"): value for key, _, value in pairs}


def _key(variable: str) -> str:
    key = os.environ.get(variable)
    if not key:
        raise click.UsageError(f"--api-key-env: ${variable} is not set")
    return key


def read_config(path: Path) -> SimSettings:
    """Settings from a YAML file; raises as `read_options` does."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise click.ClickException(f"{path}: not YAML: {error}") from error
    if not isinstance(document, dict):
        raise click.ClickException(f"{path}: expected `servers:` at the top")
    return parse_settings(document)


def placed(settings: SimSettings, environment: Mapping[str, str]) -> SimSettings:
    """The same, in the pod that Kubernetes says this is: $POD_NAME, $POD_NAMESPACE, $POD_IP.

    What the settings say goes first. Many servers of one pod are numbered; without a pod they are
    `sim-0` and on. A provider has no pod of its own accord.
    """
    name = environment.get("POD_NAME") or "sim"
    alone = len(settings.servers) == 1 and bool(environment.get("POD_NAME"))
    servers = []
    for number, server in enumerate(settings.servers):
        pod = server.pod
        if pod is None and server.provider is None:
            pod = name if alone else f"{name}-{number}"
        servers.append(
            dataclasses.replace(
                server,
                pod=pod,
                namespace=server.namespace or environment.get("POD_NAMESPACE") or None,
                pod_ip=server.pod_ip or environment.get("POD_IP") or None,
            )
        )
    return dataclasses.replace(settings, servers=tuple(servers))


def explain(error: ValidationError) -> str:
    """What is wrong, a line for each, with the path to it."""
    return "\n".join(
        f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
        for problem in error.errors()
    )
