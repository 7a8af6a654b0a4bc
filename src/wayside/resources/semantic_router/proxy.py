"""The Envoy beside the router, in standalone mode: its container, and the ConfigMap it follows."""

from __future__ import annotations

from typing import Final

from wayside.manifests import router_pod, workload
from wayside.manifests.meta import labels
from wayside.manifests.router_pod import (
    DRAIN_S,
    TLS_FOLDER,
    TLS_VOLUME,
    Ports,
    leave,
    patient,
)
from wayside.manifests.router_pod import ENVOY_CONTAINER as CONTAINER
from wayside.manifests.router_pod import ENVOY_IMAGE as IMAGE
from wayside.manifests.router_pod import ENVOY_VOLUME as VOLUME
from wayside.manifests.router_pod import envoy_ports as where
from wayside.resources import Object, World
from wayside.settings import RouterSettings
from wayside.translate.semantic_router_cache import SECRETS_DIR

__all__ = [
    "CA_VOLUME", "CONTAINER", "DRAIN_S", "IMAGE", "IMAGE_SETTING", "TLS_FOLDER", "TLS_VOLUME",
    "VOLUME", "config_map", "container", "files", "leave", "patient", "where",
]  # fmt: skip

IMAGE_SETTING: Final = "ENVOY_IMAGE"
"""The operator's setting that names another, such as one of a mirror, by digest."""
CA_VOLUME: Final = "backend-authorities"


def files(settings: RouterSettings, ports: Ports, *, tls: bool) -> dict[str, str]:
    """Envoy's files, as its ConfigMap has them."""
    return router_pod.envoy_files(settings, ports, tls=tls, followed=SECRETS_DIR)


def config_map(name: str, namespace: str, files: dict[str, str]) -> Object:
    """``<name>-envoy-config``."""
    own = labels("semantic-router", name, "semantic-router-operator")
    return workload.config_map(f"{name}-envoy-config", namespace, own, files)


def container(
    settings: RouterSettings,
    ports: Ports,
    world: World,
    *,
    tls: bool,
    trusts: list[Object],
    openshift: bool,
) -> Object:
    """The container. ``trusts``: mounts with the CAs of backends."""
    return router_pod.envoy_container(
        settings,
        ports,
        image=world.setting(IMAGE_SETTING) or IMAGE,
        tls=tls,
        trusts=trusts,
        openshift=openshift,
    )
