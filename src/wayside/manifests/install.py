"""Our two controllers in a cluster: what they are called, where they live, how they are started.

Every shipped manifest takes its names from here, whole: nothing puts a prefix before them later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from wayside.manifests.meta import NAME

Object = dict[str, Any]

METRICS_PORT = 8080
PROBE_PORT = 8081


@dataclass(frozen=True, slots=True, kw_only=True)
class Install:
    """One controller. ``manager`` names its Deployment, its ServiceAccount and its Service;
    ``app`` is the label by which its logs are found, and begins the names of its ClusterRoles."""

    program: Literal["operator", "router-controller"]
    app: str
    manager: str
    namespace: str
    image: str
    """Without a tag: that is the version which is shipped."""
    lease: str
    """The Lease that its replicas elect their leader by."""
    args: tuple[str, ...]
    """After ``wayside``."""
    image_setting: str
    """Variable of its environment that names the image of the routers it starts: its own. One
    image has all programs, and so a router is never of another version than its controller."""
    env: tuple[tuple[str, str], ...] = field(default=())

    @property
    def labels(self) -> dict[str, str]:
        """Of everything that is installed with it."""
        return {NAME: self.app}

    @property
    def selector(self) -> dict[str, str]:
        """Of its pods."""
        return {NAME: self.app, "control-plane": "controller-manager"}

    @property
    def account(self) -> str:
        """Who it is to the API server."""
        return f"system:serviceaccount:{self.namespace}:{self.manager}"

    def head(
        self, name: str, labels: Mapping[str, str] | None = None, *, cluster: bool = False
    ) -> Object:
        """``metadata`` of something in its namespace, or of the cluster."""
        metadata: Object = {"name": name, "labels": {**self.labels, **(labels or {})}}
        return metadata if cluster else {**metadata, "namespace": self.namespace}


OPERATOR = Install(
    program="operator",
    app="semantic-router-operator",
    manager="semantic-router-operator-controller-manager",
    namespace="semantic-router-operator-system",
    image="ghcr.io/vllm-project/semantic-router-operator",
    lease="semantic-router-operator.vllm.ai",
    image_setting="ROUTER_IMAGE",
    args=(
        "operator",
        "--leader-elect",
        f"--metrics-bind-address=:{METRICS_PORT}",
        f"--health-probe-bind-address=:{PROBE_PORT}",
    ),
)
ROUTER_CONTROLLER = Install(
    program="router-controller",
    app="router-controller",
    manager="router-controller-manager",
    namespace="router-controller-system",
    image="ghcr.io/vllm-project/semantic-router-operator",
    lease="27bc728d.vllm.ai",
    image_setting="ROUTER_IMAGE",
    args=("router-controller",),
    env=(
        ("KUBERNETES_NAMESPACE", ""),  # empty: it looks after all namespaces
        ("METRICS_ADDR", f":{METRICS_PORT}"),
        ("HEALTH_PROBE_ADDR", f":{PROBE_PORT}"),
        ("LEADER_ELECTION_ENABLED", "true"),
        ("GPU_METRICS_ENDPOINT", ""),  # empty: none is asked
    ),
)
INSTALLS = (OPERATOR, ROUTER_CONTROLLER)
