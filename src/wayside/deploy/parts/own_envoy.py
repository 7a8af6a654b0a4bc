"""A router that writes the files of the Envoy in its pod, so that one ConfigMap is all there is.

The guide's ConfigMap holds the router's configuration and nothing else, and people replace it by
hand. Files of Envoy that were rendered beside it would keep sending requests where models were
before; the router's own are right as soon as its configuration is.
"""

from __future__ import annotations

import copy
from typing import Final

from wayside.deploy import Object
from wayside.deploy.parts.config import FILE
from wayside.deploy.parts.router import BEHIND, FOLDER
from wayside.envoy.pod import BOOTSTRAP
from wayside.envoy.pod import FOLDER as ENVOY_FOLDER
from wayside.manifests.router_pod import ENVOY_VOLUME

_WAITS: Final = f'until [ -s {ENVOY_FOLDER}/{BOOTSTRAP} ]; do sleep 0.2; done; exec "$@"'
"""Envoy's image has bash; the router writes the bootstrap last."""


def of_the_router(deployment: Object) -> Object:
    """The Deployment of :func:`wayside.deploy.parts.router.deployment` with ``envoy=True``, whose
    Envoy is told by its router rather than by a ConfigMap. The router reads its own file under
    whichever key it is."""
    made = copy.deepcopy(deployment)
    pod = made["spec"]["template"]["spec"]
    router, envoy = pod["containers"]
    router["command"] = [
        FOLDER if word == f"{FOLDER}/{FILE}" else word for word in router["command"]
    ]
    router["command"] += ["--envoy-files", ENVOY_FOLDER, "--envoy-port", str(BEHIND.api)]
    router["volumeMounts"].append({"name": ENVOY_VOLUME, "mountPath": ENVOY_FOLDER})
    envoy["command"] = ["bash", "-c", _WAITS, "envoy", *envoy["command"]]
    # Its first file comes when the router has read its models, however long that takes.
    envoy["startupProbe"] |= {"periodSeconds": 2, "failureThreshold": 900}
    for volume in pod["volumes"]:
        if volume["name"] == ENVOY_VOLUME:
            del volume["configMap"]
            volume["emptyDir"] = {}
    return made
