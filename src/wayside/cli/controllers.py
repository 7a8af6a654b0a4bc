"""What ``wayside operator`` and ``wayside router-controller`` share: flags, and running."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import signal
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import click
import uvloop

import wayside.resources
from wayside import __version__
from wayside.catalog import discover
from wayside.cli.epp_flags import BOOLEAN
from wayside.kube.kubeconfig import find_access
from wayside.operator.program import Options, Program
from wayside.resources import Program as Name
from wayside.resources import kinds
from wayside.telemetry.log import Log
from wayside.vocab.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])
_OFF: Final = ("0", "", "off")
_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LEVELS: Final = {"panic": "error", "dpanic": "error", "fatal": "error", "warn": "warning"}


class BindAddress(click.ParamType):  # type: ignore[type-arg]
    """``:8081``, ``127.0.0.1:8081``, ``[::1]:8081``; ``0`` serves nothing."""

    name = "address"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, int] | None:
        if value is None or isinstance(value, tuple):
            return value
        if value in _OFF:
            return None
        host, colon, port = str(value).rpartition(":")
        digits = port.isascii() and port.isdigit() and len(port) < 6
        if not colon or not digits or int(port) > 65535 or "/" in host:
            self.fail(f"{value!r} is no address; write :8080, 127.0.0.1:8080, or 0", param, ctx)
        return host.strip("[]"), int(port)


class Flags(click.Command):
    """Takes ``-name`` for ``--name``, as Go's flags do."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = {opt for param in self.get_params(ctx) for opt in param.opts}
        given = [
            f"-{a}" if a[:2] != "--" and f"-{a.partition('=')[0]}" in known else a for a in args
        ]
        return super().parse_args(ctx, given)


def flags(env: Mapping[str, str], *, elects: bool) -> Callable[[F], F]:
    """The options of a controller. ``env``: environment variables by the option they stand for."""

    def add(command: F) -> F:
        for option in reversed(_options(env, elects)):
            command = option(command)
        return command

    return add


def _options(env: Mapping[str, str], elects: bool) -> list[Callable[[Any], Any]]:
    def option(*names: str, **how: Any) -> Callable[[Any], Any]:
        variable = env.get(names[0])
        shown: dict[str, Any] = {"envvar": variable, "show_envvar": True} if variable else {}
        return click.option(*names, **shown, **how)

    def flag(*names: str, default: bool, help: str) -> Callable[[Any], Any]:
        how = {"type": BOOLEAN, "is_flag": False, "flag_value": "true"}
        return option(*names, default=default, show_default=True, help=help, **how)

    return [
        option(
            "--metrics-bind-address",
            type=BindAddress(),
            default=":8080",
            show_default=True,
            help="Where /metrics is; 0 for nowhere.",
        ),
        option(
            "--health-probe-bind-address",
            type=BindAddress(),
            default=":8081",
            show_default=True,
            help="Where /healthz and /readyz are; 0 for nowhere.",
        ),
        flag(
            "--leader-elect",
            default=elects,
            help="Of several replicas only one works; the others wait for its Lease.",
        ),
        option(
            "--leader-election-namespace",
            help="Where the Lease is.  [default: that of the service account]",
        ),
        option(
            "--watch-namespace",
            "--namespace",
            "watch_namespace",
            help="Look after this namespace only, with a Role in it.  [default: all of them]",
        ),
        option("--kubeconfig", help="Of the cluster; in a pod its service account is used."),
        option(
            "--max-concurrent-reconciles",
            type=click.IntRange(1, 64),
            default=4,
            show_default=True,
            help="Objects of a kind that are worked on at once.",
        ),
        option("--log-level", "--zap-log-level", "log_level", default="info", show_default=True),
        option("--zap-encoder", type=click.Choice(["json", "console"]), hidden=True),
        flag("--zap-devel", default=False, help="Log for people."),
        flag(
            "--metrics-secure",
            default=False,
            help="Refused if true: put a proxy with TLS before the metrics port.",
        ),
    ]


def operate(
    name: Name, given: Mapping[str, Any], *, manager: str, lease: str, install: str
) -> None:
    """Run one of our controllers until SIGTERM. Raises :class:`ConfigError`."""
    if given["metrics_secure"]:
        raise ConfigError.one(
            "metrics are not served over TLS",
            where="--metrics-secure",
            fix="bind them to 127.0.0.1 and put a proxy before them, or leave it out",
        )
    namespace = (given["watch_namespace"] or "").strip()
    if "," in namespace:
        raise ConfigError.one(
            f"{namespace!r} are several namespaces",
            where="--watch-namespace",
            fix="name one, or none for all; run one controller for each",
        )
    if namespace and not _NAMESPACE.fullmatch(namespace):
        raise ConfigError.one(
            f"{namespace!r} is no name of a namespace",
            where="--watch-namespace",
            fix="lower-case letters, digits and hyphens, 63 at most; or none for all",
        )
    discover(wayside.resources)
    options = Options(
        access=find_access(given["kubeconfig"]),
        manager=manager,
        lease=lease,
        elects=given["leader_elect"],
        lease_namespace=given["leader_election_namespace"] or os.environ.get("POD_NAMESPACE", ""),
        namespace=namespace or None,
        metrics=given["metrics_bind_address"],
        health=given["health_probe_bind_address"],
        workers=given["max_concurrent_reconciles"],
        settings=os.environ,
        version=__version__,
        install=install,
    )
    level = given["log_level"]
    console = True if given["zap_devel"] or given["zap_encoder"] == "console" else None
    log = Log(console=console, level=_level(str(level)))
    gc.collect()
    gc.freeze()  # classes and schemas stay: they are not looked through again and again
    uvloop.run(_until_stopped(options, name, log))


async def _until_stopped(options: Options, name: Name, log: Log) -> None:
    program = Program(options, kinds(name), log)
    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    log(
        "starting",
        program=name,
        version=__version__,
        server=str(options.access.server),
        namespace=options.namespace or "all",
        kinds=", ".join(kind.kind for kind in kinds(name)),
    )
    running = asyncio.create_task(program.run())
    stopping = asyncio.create_task(stop.wait())
    flushing = asyncio.create_task(_flush(log))
    try:
        await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    finally:
        for task in (running, stopping, flushing):
            task.cancel()
        await asyncio.gather(running, stopping, flushing, return_exceptions=True)
        log("stopped")
        log.flush()


async def _flush(log: Log) -> None:
    while True:
        await asyncio.sleep(0.5)
        log.flush()


def _level(text: str) -> str:
    """zap's names and numbers, too."""
    if text.isdigit():
        return "debug" if int(text) >= 1 else "info"
    text = _LEVELS.get(text.lower(), text.lower())
    return text if text in ("debug", "info", "warning", "error") else "info"
