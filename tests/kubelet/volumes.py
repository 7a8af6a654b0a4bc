"""A pod's volumes as folders, and the variables of its containers: what it is given from outside.

ConfigMaps and Secrets are written as the kubelet does: a folder per version, and one link
(``..data``) that is swapped, so that a reader sees all of the old files or all of the new.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.kubelet.world import World
from wayside.kube.client import Object
from wayside.vocab.resource import CLAIMS, CONFIG_MAPS, SECRETS

Files = dict[str, tuple[bytes, int]]
"""Content and mode, by path within the volume."""
FIRST_USERS = 0xEFFFFFFD
"""The number of a machine's first user namespace."""
PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"


def has_others() -> bool:
    """Whether there is anybody else to become: in a user namespace of ours there is not."""
    return Path("/proc/self/ns/user").stat().st_ino == FIRST_USERS


class NotYet(Exception):
    """Something a pod needs is not there: the reason as the kubelet's events call it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


class Given:
    """What one pod is given."""

    def __init__(
        self, world: World, pod: Object, folder: Path, claims: Path, account: Files
    ) -> None:
        self._world, self._pod, self._folder, self._claims = world, pod, folder, claims
        self._account = account
        """Token, authority and namespace of its service account."""
        self.ip = ""
        self._written: dict[str, Files] = {}
        group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
        self.group: int | None = group if has_others() else None

    def volume(self, name: str) -> Path:
        """The folder of a volume. Raises :class:`NotYet`."""
        found = next(
            (v for v in self._pod["spec"].get("volumes") or [] if v["name"] == name), None
        )
        if found is None and name != "kube-api-access":
            raise NotYet("FailedMount", f"there is no volume {name!r}")
        if found and "persistentVolumeClaim" in found:
            claim = self.claim(found["persistentVolumeClaim"]["claimName"])
            return self._made(self._claims / claim["spec"]["volumeName"])
        if found and "emptyDir" in found:
            return self._made(self._folder / name)
        return self._folder / name

    def refresh(self) -> None:
        """Write what is made of objects, where it changed. Raises :class:`NotYet`."""
        self._swap("kube-api-access", self._account)
        for volume in self._pod["spec"].get("volumes") or []:
            if "emptyDir" not in volume and "persistentVolumeClaim" not in volume:
                self._swap(volume["name"], self._files(volume))
            else:
                self.volume(volume["name"])

    def claim(self, name: str) -> Object:
        claim = self._world.get(CLAIMS, self._pod["metadata"]["namespace"], name)
        if claim is None:
            raise NotYet("FailedScheduling", f'persistentvolumeclaim "{name}" not found')
        if (claim.get("status") or {}).get("phase") != "Bound":
            raise NotYet("FailedScheduling", f'persistentvolumeclaim "{name}" is not bound')
        return claim

    def environment(self, container: Object, image: Mapping[str, str]) -> dict[str, str]:
        """A container's variables. Raises :class:`NotYet`."""
        name = self._pod["metadata"]["name"]
        out = {"PATH": PATH, "HOME": "/", "HOSTNAME": name, **image}
        out |= {"KUBERNETES_SERVICE_HOST": "kubernetes.default.svc"}
        out |= {"KUBERNETES_SERVICE_PORT": "443"}
        for source in container.get("envFrom") or []:
            prefix = source.get("prefix", "")
            for kind in ("configMapRef", "secretRef"):
                if reference := source.get(kind):
                    found = self._data(kind[:-3], reference["name"], reference.get("optional"))
                    out |= {prefix + key: value.decode() for key, value in found.items()}
        for entry in container.get("env") or []:
            value = self._value(entry)
            if value is not None:
                out[entry["name"]] = value if "valueFrom" in entry else expand(value, out)
        return out

    def _value(self, entry: Object) -> str | None:
        source = entry.get("valueFrom")
        if source is None:
            return str(entry.get("value", ""))
        if "fieldRef" in source:
            return self._field(source["fieldRef"]["fieldPath"])
        for kind in ("configMapKeyRef", "secretKeyRef"):
            if reference := source.get(kind):
                found = self._data(kind[:-6], reference["name"], reference.get("optional"))
                if reference["key"] in found:
                    return found[reference["key"]].decode()
                if reference.get("optional"):
                    return None
                raise NotYet(
                    "CreateContainerConfigError",
                    f"couldn't find key {reference['key']} in {kind[:-6]} {reference['name']}",
                )
        raise NotYet("CreateContainerConfigError", f"{sorted(source)} is not played here")

    def _field(self, path: str) -> str:
        if path == "status.podIP":
            return self.ip
        if path == "status.hostIP":
            return "10.244.0.1"
        value: Any = self._pod
        if keyed := re.fullmatch(r"(.+)\['(.+)'\]", path):
            path = keyed[1]
        for part in path.split("."):
            value = (value or {}).get(part)
        return str((value or {}).get(keyed[2], "") if keyed else value or "")

    def _data(self, kind: str, name: str, optional: bool | None) -> dict[str, bytes]:
        secret = kind == "secret"
        namespace = self._pod["metadata"]["namespace"]
        found = self._world.get(SECRETS if secret else CONFIG_MAPS, namespace, name)
        if found is None:
            if optional:
                return {}
            raise NotYet("CreateContainerConfigError", f'{kind.lower()} "{name}" not found')
        data = found.get("data") or {}
        if secret:
            return {key: base64.b64decode(value) for key, value in data.items()}
        binary = {k: base64.b64decode(v) for k, v in (found.get("binaryData") or {}).items()}
        return {**{key: value.encode() for key, value in data.items()}, **binary}

    def _files(self, volume: Object) -> Files:
        if projected := volume.get("projected"):
            out: Files = {}
            for source in projected["sources"]:
                out |= self._source(source, projected.get("defaultMode", 0o644))
            return out
        return self._source(volume, None)

    def _source(self, of: Object, mode: int | None) -> Files:
        for kind, name in (("configMap", "name"), ("secret", "secretName"), ("secret", "name")):
            if kind in of and (reference := of[kind]).get(name):
                usual = reference.get("defaultMode", 0o644) if mode is None else mode
                optional = reference.get("optional")
                try:
                    data = self._data(kind, reference[name], optional)
                except NotYet as problem:
                    raise NotYet("FailedMount", problem.message) from None
                items = reference.get("items") or [{"key": key, "path": key} for key in data]
                out = {}
                for item in items:
                    if item["key"] in data:
                        out[item["path"]] = data[item["key"]], item.get("mode", usual)
                    elif not optional:
                        raise NotYet("FailedMount", f"no key {item['key']} in {reference[name]}")
                return out
        if "downwardAPI" in of:
            return {
                item["path"]: (self._field(item["fieldRef"]["fieldPath"]).encode(), 0o644)
                for item in of["downwardAPI"].get("items") or []
            }
        if "serviceAccountToken" in of:
            return {of["serviceAccountToken"]["path"]: self._account["token"]}
        raise NotYet("FailedMount", f"a volume of {sorted(set(of) - {'name'})} is not played here")

    def _made(self, folder: Path) -> Path:
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(0o777)
            if self.group is not None:
                os.chown(folder, -1, self.group)
                folder.chmod(0o2777)
        return folder

    def _swap(self, name: str, files: Files) -> None:
        if self._written.get(name) == files:
            return
        folder = self._folder / name
        fresh = folder / f"..{uuid.uuid4().hex}"
        fresh.mkdir(parents=True)
        fresh.chmod(0o755)
        for path, (content, mode) in files.items():
            file = fresh / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            if self.group is not None:
                os.chown(file, -1, self.group)
                mode |= 0o440
            file.chmod(mode)
        link, old = folder / "..data", os.path.realpath(folder / "..data")
        (folder / "..data_tmp").symlink_to(fresh.name)
        (folder / "..data_tmp").rename(link)
        tops = {path.partition("/")[0] for path in files}
        for top in tops:
            if not (folder / top).is_symlink():
                (folder / top).symlink_to(f"..data/{top}")
        for left in folder.iterdir():
            if not left.name.startswith("..") and left.name not in tops:
                left.unlink()
        if old != str(link):
            shutil.rmtree(old)
        self._written[name] = files


def expand(text: str, known: Mapping[str, str]) -> str:
    """``$(NAME)`` of what is known; ``$$`` is a dollar, and what is not known stays."""

    def one(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        return known.get(found[1], found[0])

    return re.sub(r"\$\$|\$\(([^()]+)\)", one, text)
