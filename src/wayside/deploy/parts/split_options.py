"""What is chosen for the target ``openshift-split``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wayside.deploy.intent import Quantity
from wayside.settings.base import Settings


class SplitOptions(Settings):
    """Of `--target openshift-split`.

    Example: ``{discovery: cluster-ip, cache: 20Gi}``
    """

    discovery: Literal["dns", "cluster-ip"] = "dns"
    """How the router finds models: by their Services' DNS names, or by the addresses that those
    Services have on this cluster, as the guide does it. A headless Service has none, and is found
    by its name."""
    discovery_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """How long to wait until a Service has an address."""
    format: Literal["guide", "wayside"] | None = None
    """How the ConfigMap is written: `vllm_endpoints` with name, address and port, as the guide
    prints it, or our own format. Unsaid: the guide's where it can say everything."""
    rollout: bool = True
    """A new configuration brings new pods. Running pods follow it anyway, within seconds."""
    cache: Quantity | None = "20Gi"
    """The claim for files that stores keep under `/app/cache`; none where it is `null`."""
    platform: Literal["openshift", "kubernetes"] | None = None
    """On OpenShift the namespace says as which user pods run. Unsaid: as the cluster looks."""
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany"] = "ReadWriteOnce"
    """Of the router's claims. Several routers need ReadWriteMany."""
