"""Listeners that others than this machine can reach, and what protects them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from starlette.types import ASGIApp

from wayside.gateway.hosts import OwnNames
from wayside.settings import ListenSettings, ManagementSettings, RouterSettings


def on_loopback(address: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def by_own_names(app: ASGIApp, where: ManagementSettings) -> ASGIApp:
    """``app``; on loopback, where browsers of this machine are, only for who asks us by a name of
    ours. Others' names of other listeners are not known here."""
    if not on_loopback(where.address):
        return app
    return OwnNames(app, {urlsplit(where.console.url).hostname or ""} - {""})


def opened(where: ManagementSettings) -> str:
    """What is to be said of a management listener that others reach; empty for others."""
    if not where.enabled or on_loopback(where.address):
        return ""
    if where.tls is None:
        return (
            f"management.address {where.address} lets whoever reaches it read what others asked "
            "and change what is in force, unencrypted: put it back on 127.0.0.1 (metrics and "
            "probes have --metrics-address), or give management.tls with a client_ca_file"
        )
    if where.tls.client_ca_file is None:
        return (
            f"management.address {where.address} lets whoever reaches it read what others asked "
            "and change what is in force: give management.tls.client_ca_file, so that only those "
            "with a certificate get in"
        )
    return ""


def exposed(settings: RouterSettings) -> Iterator[str]:
    """The same of every listener of these settings."""
    listen, extproc = settings.listen, settings.extproc
    if not on_loopback(listen.address) and listen.tls is None:
        yield (
            f"listen.address {listen.address} is reached by others, and speaks plain HTTP: give "
            "listen.tls, unless a mesh or a proxy in front encrypts what goes there"
        )
    if warning := opened(settings.management):
        yield warning
    local = extproc.unix is not None or on_loopback(extproc.address)
    if not local and (extproc.tls is None or extproc.tls.client_ca_file is None):
        missing = "tls" if extproc.tls is None else "tls.client_ca_file"
        yield (
            f"extproc.address {extproc.address} lets whoever reaches it ask in the place of "
            f"Envoy: give extproc.{missing}, unless a mesh or a NetworkPolicy keeps others away"
        )


def url_of(where: ListenSettings | ManagementSettings, port: int) -> str:
    """A listener's URL."""
    host = f"[{where.address}]" if ":" in where.address else where.address
    return f"{'http' if where.tls is None else 'https'}://{host}:{port}"


def url_here(where: ListenSettings | ManagementSettings, port: int) -> str:
    """The same for somebody on its machine, who cannot connect to "everywhere"."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}
    address = everywhere.get(where.address, where.address)
    return url_of(where.model_copy(update={"address": address}), port)
