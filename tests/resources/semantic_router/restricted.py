"""The Pod Security Standard ``restricted``, as the API server's admission plugin checks it.

Written from kubernetes.io/docs/concepts/security/pod-security-standards; what is not there is not
checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_VOLUMES = frozenset(
    (
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    )
)


def violations(pod: Mapping[str, Any]) -> Iterator[str]:
    """What of a pod's spec the standard forbids."""
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            yield field
    for volume in pod.get("volumes", ()):
        for kind in volume.keys() - {"name"} - _VOLUMES:
            yield f"volume {volume['name']}: {kind}"
    whole = pod.get("securityContext") or {}
    listed = [*pod.get("initContainers", ()), *pod["containers"]]
    for one in listed:
        own = one.get("securityContext") or {}
        at = one["name"]
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"{at}: allowPrivilegeEscalation"
        if own.get("privileged"):
            yield f"{at}: privileged"
        if own.get("capabilities", {}).get("drop") != ["ALL"]:
            yield f"{at}: capabilities.drop"
        if set(own.get("capabilities", {}).get("add", ())) - {"NET_BIND_SERVICE"}:
            yield f"{at}: capabilities.add"
        if own.get("runAsNonRoot", whole.get("runAsNonRoot")) is not True:
            yield f"{at}: runAsNonRoot"
        if own.get("runAsUser", whole.get("runAsUser")) == 0:
            yield f"{at}: runAsUser"
        seccomp = own.get("seccompProfile", whole.get("seccompProfile")) or {}
        if seccomp.get("type") not in ("RuntimeDefault", "Localhost"):
            yield f"{at}: seccompProfile"
        for port in one.get("ports", ()):
            if port.get("hostPort"):
                yield f"{at}: hostPort"
