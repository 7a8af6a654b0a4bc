"""What a container is put into: its root, and whom it runs as; :file:`box.sh` makes it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from tests.kubelet.images import Image
from tests.kubelet.net import NODE
from tests.kubelet.volumes import Given, NotYet, has_others
from wayside.kube.client import Object

BOX = Path(__file__).with_name("box.sh")
KEPT = "chown,dac_override,fowner,fsetid,kill,setgid,setuid,setpcap,net_bind_service,net_raw"
KEPT += ",sys_chroot,mknod,audit_write,setfcap"
"""Capabilities that a container runtime leaves to root."""
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def needed() -> list[str]:
    """Folders of our own programs that a container would not see, as it has a ``/tmp`` of its own:
    a checkout there."""
    ours = {str(Path(__file__).parents[2]), sys.prefix}
    return sorted(path for path in ours if path.startswith(("/tmp/", "/run/")))


class Box:
    """Of one container of a pod."""

    def __init__(self, spec: Object, pod: Object, given: Given) -> None:
        self._spec, self._pod, self._given = spec, pod, given

    def person(self, image: Image) -> list[str]:
        """The command that runs another as whom it shall be, with what that one may do. Raises
        :class:`NotYet` for what its own security context does not allow."""
        user = self._security("runAsUser")
        user = image.user if user is None else user
        if self._security("runAsNonRoot") and user == 0:
            raise NotYet(
                "CreateContainerConfigError",
                "container has runAsNonRoot and image will run as root",
            )
        capabilities = self._security("capabilities") or {}
        kept = [] if "ALL" in (capabilities.get("drop") or []) else KEPT.split(",")
        kept += [name.lower() for name in capabilities.get("add") or []]
        bounds = ",".join(["-all", *(f"+{name}" for name in kept)])
        out = ["setpriv", f"--bounding-set={bounds}", "--inh-caps=-all"]
        if self._security("allowPrivilegeEscalation") is False:
            out.append("--no-new-privs")
        if has_others():
            group = self._security("runAsGroup") or 0
            more = self._security("supplementalGroups") or []
            groups = [*more, *([self._given.group] if self._given.group is not None else [])]
            out += [f"--reuid={user}", f"--regid={group}"]
            out.append(f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups")
        return out

    def script(self, image: Image, folder: Path) -> Path:
        """What :file:`box.sh` reads: the programs, files and volumes of this container. Raises
        :class:`NotYet` for volumes that are not there."""
        folder.mkdir(parents=True, exist_ok=True)
        meta = self._pod["metadata"]
        search = f"{meta['namespace']}.svc.cluster.local svc.cluster.local cluster.local"
        resolv = f"nameserver {NODE}\nsearch {search}\noptions ndots:5\n"
        hosts = f"127.0.0.1\tlocalhost\n{self._given.ip}\t{meta['name']}\n"
        lines = [f"hostname={shlex.quote(meta['name'])}", f"work={shlex.quote(str(folder))}"]
        lines.append(f"read_only={'yes' if self._security('readOnlyRootFilesystem') else ''}")
        lines.append(f"needed={shlex.quote(' '.join(needed()))}")
        lines.append("fill() {")
        for name, program in image.programs.items():
            lines.append(f"program {shlex.quote(name)} {shlex.quote(program)}")
        for name, text in (("resolv.conf", resolv), ("hosts", hosts)):
            (folder / name).write_text(text)
            lines.append(f"volume {shlex.quote(str(folder / name))} /etc/{name} rw")
        mounts = list(self._spec.get("volumeMounts") or [])
        if self._pod["spec"].get("automountServiceAccountToken") is not False:
            mounts.append({"name": "kube-api-access", "mountPath": ACCOUNT, "readOnly": True})
        for mount in sorted(mounts, key=lambda m: len(m["mountPath"])):
            source = self._source(mount)
            how = "ro" if mount.get("readOnly") or self._is_given(mount["name"]) else "rw"
            at = mount["mountPath"].rstrip("/")
            lines.append(f"volume {shlex.quote(str(source))} {shlex.quote(at)} {how}")
        path = folder / "what"
        path.write_text("\n".join([*lines, "}", ""]))
        return path

    def _source(self, mount: Object) -> Path:
        source = self._given.volume(mount["name"])
        if sub := mount.get("subPath"):
            source = source / sub
            if not source.exists():
                source.mkdir(parents=True)
                source.chmod(0o777)
            source = source.resolve()
        return source

    def _security(self, key: str) -> Any:
        """Of the container, else of its pod."""
        for of in (self._spec, self._pod["spec"]):
            if (found := (of.get("securityContext") or {}).get(key)) is not None:
                return found
        return None

    def _is_given(self, name: str) -> bool:
        """ConfigMaps, Secrets and the like cannot be written."""
        for volume in self._pod["spec"].get("volumes") or []:
            if volume["name"] == name:
                return "emptyDir" not in volume and "persistentVolumeClaim" not in volume
        return True
