"""The Envoy in the router's own pod, which follows its files when they change.

A ConfigMap is mounted as a folder. ``envoy.yaml`` is read once; it names files that Envoy
reads again whenever the kubelet has put a new version of the folder in place (by renaming
``..data``): ``clusters.yaml``, ``routes.yaml``, ``listeners.yaml``, ``secrets.yaml`` and a
``secret-NAME.yaml`` for every further certificate. So a model that comes or
goes costs no connection, and no pod. Only what ``envoy.yaml`` says itself needs another process:
:func:`lasting` is that part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from wayside.envoy.bootstrap import bounds
from wayside.envoy.clusters import (
    CA_FILE,
    Trusted,
    authorities,
    extproc_cluster,
    model_clusters,
    router_api_cluster,
    served,
)
from wayside.envoy.listener import DEFAULT_BODY_MODE, BodyMode, listener
from wayside.envoy.routes import routes
from wayside.envoy.tls import (
    SERVED,
    Certificate,
    Source,
    file_of,
    router_secrets,
    to_router,
    transport,
)
from wayside.envoy.tls import secrets as of_clients
from wayside.envoy.words import TYPE, Node, tcp
from wayside.settings import RouterSettings
from wayside.settings.tls import RouterTlsSettings
from wayside.vocab.errors import ConfigError

FOLDER: Final = "/etc/envoy"
BOOTSTRAP: Final = "envoy.yaml"
_HERE: Final = "127.0.0.1"
EVERYWHERE: Final = "0.0.0.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where everything in the pod listens."""

    clients: tuple[int, ...]
    """Of Envoy; all have the same routes."""
    address: str = EVERYWHERE
    """Where Envoy takes clients; ``::`` for IPv6 and IPv4."""
    extproc: int
    """Of the router, for Envoy's questions."""
    router_api: int
    """Of the router, on loopback: what else it serves to clients."""
    admin: int
    """Of Envoy, on loopback."""


def files(
    settings: RouterSettings,
    ports: Ports,
    *,
    folder: str = FOLDER,
    body_mode: BodyMode = DEFAULT_BODY_MODE,
    ca_file: str = CA_FILE,
    certificate: Certificate | None = None,
    followed: str = "",
    mounted: bool = True,
) -> dict[str, str]:
    """Names and contents of the files, for ``envoy -c <folder>/envoy.yaml``. With a
    ``certificate``, or with ``listen.tls``, clients connect by TLS. ``followed``: a mounted folder
    with certificates of backends' authorities, which are read again when it is replaced.
    ``mounted``: the folder is a ConfigMap, and no plain one whose files come one by one. Raises
    :class:`ConfigError` where the router wants TLS that Envoy is not told of."""
    models = served(settings)
    by_name: Node = {
        "rds": {"route_config_name": "wayside", "config_source": _watched(folder, "routes.yaml")}
    }
    clients = certificate.rule if certificate is not None else settings.listen.tls
    socket = transport(clients, _source(folder, mounted)) if clients else None
    listeners = [
        listener(
            settings,
            by_name,
            body_mode,
            name="wayside" if i == 0 else f"wayside-{port}",
            address=ports.address,
            port=port,
            socket=socket,
        )
        for i, port in enumerate(ports.clients)
    ]
    trusted = Trusted(ca_file, followed, _source(folder, mounted))
    secrets = [*(of_clients(clients) if clients else []), *authorities(models, trusted)]
    if (rule := _to_router(settings)) is not None:
        secrets += router_secrets(rule)
    return {
        BOOTSTRAP: _text(lasting(settings, ports, folder=folder, mounted=mounted)),
        "listeners.yaml": _resources("config.listener.v3.Listener", listeners),
        "routes.yaml": _resources(
            "config.route.v3.RouteConfiguration", [routes(settings, models, with_api=True)]
        ),
        "clusters.yaml": _resources(
            "config.cluster.v3.Cluster", model_clusters(settings, models, trusted)
        ),
        SERVED: _lines([]),
        **{file_of(one["name"]): _lines([one]) for one in secrets},
    }


def lasting(
    settings: RouterSettings, ports: Ports, *, folder: str = FOLDER, mounted: bool = True
) -> Node:
    """The bootstrap: all that Envoy does not follow while it runs."""
    rule = _to_router(settings)
    by_tls = to_router(rule, _source(folder, mounted)) if rule else None
    router = "::1" if ports.address == "::" else _HERE  # its socket for ``::`` takes IPv6 alone
    return {
        "node": {"id": "wayside", "cluster": "wayside"},
        "admin": {"address": tcp(_HERE, ports.admin)},
        "static_resources": {
            "clusters": [
                extproc_cluster([tcp(router, ports.extproc)], by_tls),
                router_api_cluster(tcp(_HERE, ports.router_api)),
            ]
        },
        "dynamic_resources": {
            "cds_config": _watched(folder, "clusters.yaml"),
            "lds_config": _watched(folder, "listeners.yaml"),
        },
        **bounds(settings),
    }


def _to_router(settings: RouterSettings) -> RouterTlsSettings | None:
    """How Envoy reaches the router in its pod, which serves ext_proc to others on the same port.
    Raises :class:`ConfigError` where that is by TLS and Envoy is not told how."""
    if settings.extproc.tls is None:
        return None
    if settings.envoy.router_tls is None:
        raise ConfigError.one(
            "the router serves ext_proc by TLS, and the Envoy in its pod is not told how to reach "
            "it",
            where="envoy.router_tls",
            fix="give ca_file and server_name, and cert_file and key_file where "
            "extproc.tls.client_ca_file is set",
        )
    return settings.envoy.router_tls


def _source(folder: str, mounted: bool) -> Source:
    """The kubelet puts a new version of the folder in place before it makes the links to files
    that were not there before, and Envoy refuses what refers to a file that is not: so such files
    are found in the version itself."""

    def found(name: str) -> Node:
        file = file_of(name)
        return _watched(folder, f"..data/{file}" if mounted and file != SERVED else file)

    return found


def _watched(folder: str, name: str) -> Node:
    return {
        "resource_api_version": "V3",
        "path_config_source": {
            "path": f"{folder}/{name}",
            "watched_directory": {"path": folder},
        },
    }


def _resources(kind: str, found: list[Node]) -> str:
    return _lines([{"@type": TYPE + kind, **one} for one in found])


def _lines(found: list[Node]) -> str:
    """A line for each: a ConfigMap holds a megabyte, and a difference of two is read by people."""
    lines = [msgspec.json.encode(one).decode() for one in found]
    return '{"resources": [\n' + ",\n".join(lines) + "\n]}\n"


def _text(found: Node) -> str:
    """As JSON, which is YAML, too, and written in a hundredth of the time."""
    return msgspec.json.format(msgspec.json.encode(found), indent=1).decode() + "\n"
