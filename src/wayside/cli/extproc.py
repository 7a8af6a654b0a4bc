"""``wayside extproc``: the router for somebody else's Envoy or Istio."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Literal

import click
import uvloop

from wayside.cli.app import App, until
from wayside.cli.beside import HOST_PORT, Beside, api_option, beside, leave, metrics_option
from wayside.cli.config import notes, placeholders
from wayside.cli.envoy_files import EnvoyFiles
from wayside.cli.files import Loaded, config_option, load
from wayside.cli.registry import app_of
from wayside.cli.serve import managed, management, meanwhile, requests_first, taken
from wayside.envoy.pod import EVERYWHERE, Ports
from wayside.envoy.resilience import not_done
from wayside.extproc import serve_extproc
from wayside.runtime.composers import longest_s
from wayside.settings import disaggregation
from wayside.settings.address import Address, parse_address
from wayside.settings.model import ExtProcSettings


@click.command(
    "extproc",
    epilog="""\b
Examples:
  wayside extproc --listen 0.0.0.0:50051
  wayside extproc --unix /run/wayside/extproc.sock
  wayside extproc --server grpcio           (needs: pip install 'wayside[grpcio]')""",
)
@config_option
@click.option("--listen", help="host:port.  [default: extproc.address and port, 127.0.0.1:50051]")
@click.option("--unix", help="A Unix socket instead.")
@click.option("--server", type=click.Choice(["framed", "grpcio"]), help="[default: framed]")
@click.option(
    "--management-address", help="Whoever reaches it needs no key.  [default: 127.0.0.1]"
)
@click.option("--management-port", type=click.IntRange(0, 65535), help="[default: 8080]")
@metrics_option
@api_option
@click.option(
    "--outlive",
    type=HOST_PORT,
    help="On SIGTERM, go on until nobody listens there (limits.drain_s at most): the Envoy that "
    "asks us, which leaves at the same time and has requests under way.",
)
@click.option(
    "--envoy-files",
    type=click.Path(path_type=Path),
    help="Write there what an Envoy in the same pod follows, again whenever the configuration "
    "changes. Its admin page is where --outlive says, our API where --api-address says.",
)
@click.option(
    "--envoy-port",
    type=click.IntRange(1, 65535),
    multiple=True,
    help="Where that Envoy takes clients.  [default: 8801]",
)
def command(
    path: Path | None,
    listen: str | None,
    unix: str | None,
    server: Literal["framed", "grpcio"] | None,
    management_address: str | None,
    management_port: int | None,
    metrics_address: Address | None,
    api_address: Address | None,
    outlive: Address | None,
    envoy_files: Path | None,
    envoy_port: tuple[int, ...],
) -> None:
    """Serve envoy.service.ext_proc.v3 over gRPC, with gRPC health.

    Envoy asks where each request goes; the answer is x-selected-model, the changed body, and
    nothing else: which cluster serves a model is Envoy's business, so models need no endpoints
    here. BUFFERED, STREAMED and FULL_DUPLEX_STREAMED bodies are understood.
    """
    loaded = load(path)
    notes(loaded.notes)
    s = loaded.settings
    change: dict[str, object] = {}
    if listen:
        try:
            address = parse_address(listen)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--listen") from None
        change |= {"address": address.host, "port": address.port}
    if unix:
        change["unix"] = unix
    if (unix or s.extproc.unix) and s.extproc.tls is not None:
        raise click.UsageError("extproc.tls is for TCP: nobody else reads on a Unix socket")
    if server:
        change["server"] = server
    update: dict[str, object] = {"extproc": s.extproc.model_copy(update=change)}
    update |= managed(s, management_address, management_port)
    envoy = None
    if envoy_files is not None:
        if api_address is None or outlive is None or unix:
            raise click.UsageError(
                "--envoy-files needs --listen, --api-address and --outlive: Envoy's file says "
                "where the router, its API and Envoy's own admin page are"
            )
        found = update["extproc"]
        assert isinstance(found, ExtProcSettings)
        ports = Ports(
            clients=envoy_port or (8801,),
            address="::" if found.address == "::" else EVERYWHERE,
            extproc=found.port,
            router_api=api_address.port,
            admin=outlive.port,
        )
        envoy = envoy_files, ports
    elif envoy_port:
        raise click.UsageError("--envoy-port is for --envoy-files, and there is none")
    uvloop.run(serve(loaded, update, Beside(metrics_address, api_address), outlive, envoy))


async def serve(
    loaded: Loaded,
    update: dict[str, object],
    also: Beside = Beside(),  # noqa: B008 - frozen
    outlive: Address | None = None,
    envoy: tuple[Path, Ports] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, and a little longer where ``outlive`` says so. With
    ``envoy``, the files of an Envoy in this folder, with these ports, are ours to write."""

    def make(loaded: Loaded, **more: Any) -> App:
        made = App(loaded, update=update, needs_endpoints=envoy is not None, **more)
        if envoy is not None:
            written = EnvoyFiles(made, *envoy)
            written.write()
            made.on_reload.append(written.follow)
        return made

    places = meanwhile(loaded.settings.model_copy(update=update), "management")
    async with app_of(loaded, make, meanwhile=places) as (app, followed):
        await serve_app(app, also, outlive, watches=not followed)


async def serve_app(
    app: App, also: Beside, outlive: Address | None, *, watches: bool = True
) -> None:
    """The same; ``watches``: there is a file to follow."""
    for what in not_done(app.settings):
        app.log("not done by Envoy", level="warning", what=what)
    for what in placeholders(app.settings):
        app.log("placeholder", level="warning", what=what)
    where = app.settings.extproc
    requests_first()
    stop = asyncio.Event()
    leave(stop, app, outlive=outlive, longest_s=app.settings.limits.drain_s)
    replicas = app.replicas()
    chores = [
        asyncio.create_task(app.housekeeping()),
        asyncio.create_task(replicas.look_up()),
    ]
    if watches:
        chores.append(asyncio.create_task(app.watcher().run()))
    try:
        tls = app.certificates.serve("extproc", where.tls, alpn=("h2",))
        async with management(app, told=True), beside(app, also):
            try:
                server = await serve_extproc(
                    where,
                    app.runtime,
                    app.telemetry,
                    app.settings.limits,
                    log=app.log,
                    replicas=replicas,
                    tls=tls,
                    admission=app.admission,
                )
            except OSError as error:
                raise taken(where.address, where.port, "extproc", error) from error
            app.serving = True
            needed = longest_s(app.runtime.policy)
            if needed := needed + disaggregation.longest_s(app.settings.models.values()):
                app.log("asks models itself", ext_proc_message_timeout_at_least_s=needed + 1)
            app.log("serving", extproc=where.unix or f"{where.address}:{server.port}")
            app.log.flush()
            await until(stop, *chores)
            app.draining = True
            await server.stop(app.settings.limits.drain_s)
    finally:
        app.calls.close()
        await app.close()
        app.telemetry.flush()
