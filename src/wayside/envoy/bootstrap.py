"""The Envoy that stands in front of the router, generated from the router's own settings.

A route per model on ``x-selected-model``, a cluster per model, and nothing else: no request is
ever proxied by its ``Host``, and what a client claims about routing is dropped at the door,
before any filter and whether or not the router answers.
"""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from wayside.envoy.clusters import CA_FILE, Trusted, extproc_cluster, model_clusters, served
from wayside.envoy.listener import DEFAULT_BODY_MODE, RUNTIME, BodyMode, listener
from wayside.envoy.routes import routes
from wayside.envoy.tls import file_of, router_secrets, to_router, transport
from wayside.envoy.tls import secrets as of_clients
from wayside.envoy.words import Node, tcp, typed
from wayside.settings import RouterSettings
from wayside.settings.address import Address
from wayside.vocab.errors import ConfigError


def bootstrap(
    settings: RouterSettings,
    *,
    extproc_socket: str | Sequence[str] = (),
    routers: Sequence[Address] = (),
    run_dir: str | None = None,
    body_mode: BodyMode = DEFAULT_BODY_MODE,
    ca_file: str = CA_FILE,
    secrets_folder: str = "",
) -> Node:
    """Envoy's bootstrap: as JSON it is a file for ``envoy -c``.

    ``extproc_socket`` is where the router listens: a path, or one for each worker. ``routers`` are
    others, elsewhere, which Envoy reaches as ``envoy.router_tls`` says. With ``run_dir``, the
    admin interface is a Unix socket in it unless ``envoy.admin_port`` is set. ``ca_file`` holds
    the certificates that https servers are verified by, where Envoy runs; ``secrets_folder`` is
    where it finds the files of :func:`secrets`, needed where it speaks TLS itself. Raises
    :class:`ConfigError` where that is not said.
    """
    sockets = [extproc_socket] if isinstance(extproc_socket, str) else list(extproc_socket)
    models = served(settings)
    clients, router = settings.listen.tls, settings.envoy.router_tls if routers else None
    if (clients or router) and not secrets_folder:
        raise ConfigError.one(
            "Envoy finds certificates that are followed by files of their own",
            where="listen.tls" if clients else "envoy.router_tls",
            fix="say where those will be: --secrets /etc/envoy; `wayside envoy secrets` writes "
            "them",
        )

    def source(name: str) -> Node:
        path = f"{secrets_folder}/{file_of(name)}"
        return {"path_config_source": {"path": path}, "resource_api_version": "V3"}

    places = [{"pipe": {"path": path}} for path in sockets]
    places += [tcp(address.host, address.port) for address in routers]
    found: Node = {
        "node": {"id": "wayside", "cluster": "wayside"},
        "static_resources": {
            "listeners": [
                listener(
                    settings,
                    {"route_config": routes(settings, models)},
                    body_mode,
                    socket=transport(clients, source) if clients else None,
                )
            ],
            "clusters": [
                extproc_cluster(places, to_router(router, source) if router else None),
                *model_clusters(settings, models, Trusted(ca_file)),
            ],
        },
        **bounds(settings),
    }
    if settings.envoy.admin_port:
        found["admin"] = {"address": tcp("127.0.0.1", settings.envoy.admin_port)}
    elif run_dir is not None:
        path = f"{run_dir}/admin.sock"
        found["admin"] = {"address": {"pipe": {"path": path, "mode": 0o600}}}
    return found


def bootstrap_yaml(
    settings: RouterSettings,
    *,
    extproc_socket: str | Sequence[str] = (),
    routers: Sequence[Address] = (),
    run_dir: str | None = None,
    body_mode: BodyMode = DEFAULT_BODY_MODE,
    ca_file: str = CA_FILE,
    secrets_folder: str = "",
) -> str:
    """:func:`bootstrap` for people to read, and for ``envoy -c``."""
    found = bootstrap(
        settings,
        extproc_socket=extproc_socket,
        routers=routers,
        run_dir=run_dir,
        body_mode=body_mode,
        ca_file=ca_file,
        secrets_folder=secrets_folder,
    )
    return yaml.safe_dump(found, sort_keys=False, width=99)


def secrets(settings: RouterSettings, *, routers: bool = False) -> dict[str, str]:
    """The files, by name, that Envoy reads where ``secrets_folder`` says: which certificates are
    where, and no key. ``routers``: those by which it reaches routers elsewhere, too."""
    clients, router = settings.listen.tls, settings.envoy.router_tls if routers else None
    found = [*(of_clients(clients) if clients else [])]
    found += router_secrets(router) if router else []
    return {
        file_of(one["name"]): yaml.safe_dump({"resources": [one]}, sort_keys=False, width=99)
        for one in found
    }


def bounds(settings: RouterSettings) -> Node:
    """What holds for a whole Envoy: how many connections, and how large a pattern may be."""
    connections = typed(
        "envoy.resource_monitors.global_downstream_max_connections",
        "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        max_active_downstream_connections=settings.limits.max_connections,
    )
    return {
        "overload_manager": {"resource_monitors": [connections]},
        "layered_runtime": {"layers": [{"name": "wayside", "static_layer": RUNTIME}]},
    }
