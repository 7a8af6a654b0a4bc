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
from wayside.envoy.words import Node, tcp, typed
from wayside.settings import RouterSettings


def bootstrap(
    settings: RouterSettings,
    *,
    extproc_socket: str | Sequence[str],
    run_dir: str | None = None,
    body_mode: BodyMode = DEFAULT_BODY_MODE,
    ca_file: str = CA_FILE,
) -> Node:
    """Envoy's bootstrap: as JSON it is a file for ``envoy -c``.

    ``extproc_socket`` is where the router listens: a path, or one for each worker. With
    ``run_dir``, the admin interface is a Unix socket in it unless ``envoy.admin_port`` is set.
    ``ca_file`` holds the certificates that https servers are verified by, where Envoy runs.
    """
    sockets = [extproc_socket] if isinstance(extproc_socket, str) else list(extproc_socket)
    models = served(settings)
    found: Node = {
        "node": {"id": "wayside", "cluster": "wayside"},
        "static_resources": {
            "listeners": [
                listener(settings, {"route_config": routes(settings, models)}, body_mode)
            ],
            "clusters": [
                extproc_cluster([{"pipe": {"path": path}} for path in sockets]),
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
    extproc_socket: str | Sequence[str],
    run_dir: str | None = None,
    body_mode: BodyMode = DEFAULT_BODY_MODE,
    ca_file: str = CA_FILE,
) -> str:
    """:func:`bootstrap` for people to read, and for ``envoy -c``."""
    found = bootstrap(
        settings,
        extproc_socket=extproc_socket,
        run_dir=run_dir,
        body_mode=body_mode,
        ca_file=ca_file,
    )
    return yaml.safe_dump(found, sort_keys=False, width=99)


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
