"""Kubeconfig files, as kubectl reads them, and which access to use where there are several."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from wayside.kube.access import ACCOUNT, Access, Material, Token, address_of, in_cluster
from wayside.vocab.errors import ConfigError


def find_access(
    kubeconfig: str | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    context: str | None = None,
    account: Path = ACCOUNT,
) -> Access:
    """The access to use: ``kubeconfig`` if given, else ``KUBECONFIG``, else the pod's service
    account, else ``~/.kube/config``. Raises :class:`ConfigError` where there is none."""
    if kubeconfig:
        return from_kubeconfig([Path(kubeconfig)], context=context)
    if listed := [Path(p) for p in environ.get("KUBECONFIG", "").split(os.pathsep) if p]:
        present = [p for p in listed if p.exists()] or listed[:1]  # as kubectl: some may be absent
        return from_kubeconfig(present, context=context)
    if environ.get("KUBERNETES_SERVICE_HOST"):
        return in_cluster(environ=environ, account=account)
    home = Path(environ.get("HOME", "")) / ".kube" / "config"
    if environ.get("HOME") and home.exists():
        return from_kubeconfig([home], context=context)
    raise ConfigError.one(
        "found no Kubernetes cluster: this is not a pod, KUBECONFIG is not set, and there is no "
        "~/.kube/config",
        where="kubernetes",
        fix="give --kubeconfig FILE, or run in a pod that has a service account",
    )


def from_kubeconfig(paths: list[Path], *, context: str | None = None) -> Access:
    """Read kubeconfig files, of which the first that says something counts. ``context`` is the
    one to use, else ``current-context``.

    Raises :class:`ConfigError` for what is missing, and for what this client does not do: running
    other programs for a token (``exec``), passwords, impersonation and proxies. None of them is
    passed over in silence.
    """
    named: dict[str, dict[str, tuple[Mapping[str, Any], Path]]] = {
        "contexts": {},
        "clusters": {},
        "users": {},
    }
    current = context or ""
    for path in paths:
        document = _document(path)
        current = current or _text(document.get("current-context"))
        for kind, found in named.items():
            for item in _list(document.get(kind)):
                body = item.get(kind[:-1])
                if isinstance(body, Mapping):
                    found.setdefault(_text(item.get("name")), (body, path.parent))
    origin = os.pathsep.join(map(str, paths))
    if not current:
        raise ConfigError.one(
            "has no current-context",
            where=origin,
            fix=_known("name a context", named["contexts"]),
        )
    chosen, _ = _named("context", current, named["contexts"], origin)
    cluster, cluster_home = _named(
        "cluster", _text(chosen.get("cluster")), named["clusters"], origin
    )
    user_name = _text(chosen.get("user"))
    user, user_home = (
        _named("user", user_name, named["users"], origin) if user_name else ({}, Path())
    )
    where = f"{origin}: context {current}"
    _refuse(cluster, _CLUSTER_CANNOT, f"{where}: clusters.{_text(chosen.get('cluster'))}")
    _refuse(user, _USER_CANNOT, f"{where}: users.{user_name}")
    token, token_file = _text(user.get("token")).strip(), _text(user.get("tokenFile"))
    if not (token.isascii() and token.isprintable()):
        raise ConfigError.one(
            "is more than plain characters on one line", where=f"{where}: users.{user_name}.token"
        )
    certificate = _material(user, "client-certificate", user_home, where)
    key = _material(user, "client-key", user_home, where)
    if (certificate is None) != (key is None):
        raise ConfigError.one(
            "has only one of client-certificate and client-key",
            where=f"{where}: users.{user_name}",
            fix="give both",
        )
    return Access(
        server=address_of(_text(cluster.get("server")), where),
        namespace=_text(chosen.get("namespace")) or "default",
        origin=where,
        ca=_material(cluster, "certificate-authority", cluster_home, where),
        token=Token(path=user_home / token_file) if token_file else Token(token),
        certificate=certificate,
        key=key,
        server_name=_text(cluster.get("tls-server-name")) or None,
        verified=cluster.get("insecure-skip-tls-verify") is not True,
    )


_USER_CANNOT: Final = {
    "exec": "runs a program for its token, which this client does not do; use a token of a "
    "service account (kubectl create token NAME)",
    "auth-provider": "uses an auth-provider, which Kubernetes removed in 1.26; use a token",
    "username": "uses a password, which Kubernetes removed in 1.19; use a token",
    "password": "uses a password, which Kubernetes removed in 1.19; use a token",
    "as": "impersonates another user, which this client does not do; use that user's token",
    "as-uid": "impersonates another user, which this client does not do; use that user's token",
    "as-groups": "impersonates groups, which this client does not do; use a token of their own",
    "as-user-extra": "impersonates another user, which this client does not do; use its token",
}
_CLUSTER_CANNOT: Final = {
    "proxy-url": "goes through a proxy, which this client does not do; name the server itself",
}


def _refuse(entry: Mapping[str, Any], cannot: Mapping[str, str], where: str) -> None:
    for key, why in cannot.items():
        if entry.get(key):
            raise ConfigError.one(why, where=f"{where}.{key}")


def _material(entry: Mapping[str, Any], name: str, home: Path, where: str) -> Material | None:
    """``NAME-data`` (base64) before ``NAME``, a path relative to its file."""
    if data := _text(entry.get(f"{name}-data")):
        try:
            return Material(text=base64.b64decode(data, validate=True).decode())
        except (binascii.Error, UnicodeError):
            raise ConfigError.one(f"{name}-data is not base64 of PEM text", where=where) from None
    path = _text(entry.get(name))
    return Material(home / path) if path else None


def _document(path: Path) -> Mapping[str, Any]:
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError.one(
            f"cannot be read: {error.strerror}",
            where=str(path),
            fix="look at KUBECONFIG and --kubeconfig",
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError):
        # The parser's own words may quote the file, which holds secrets.
        raise ConfigError.one("is not YAML", where=str(path)) from None
    if not isinstance(document, Mapping):
        raise ConfigError.one(
            "is not a kubeconfig", where=str(path), fix="see kubectl config view"
        )
    return document


def _named(
    kind: str, name: str, found: Mapping[str, tuple[Mapping[str, Any], Path]], origin: str
) -> tuple[Mapping[str, Any], Path]:
    if name not in found:
        raise ConfigError.one(f"has no {kind} {name!r}", where=origin, fix=_known("use", found))
    return found[name]


def _known(what: str, found: Mapping[str, Any]) -> str:
    return f"{what}: {', '.join(sorted(found))}" if found else "it names none"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
