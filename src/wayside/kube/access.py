"""Where the API server is, whom it may be believed to be, and who we are to it.

In a pod that is the service account's folder, whose token the kubelet replaces about every hour;
elsewhere a kubeconfig, as kubectl reads it. Secrets are read when they are needed, again when
their files change, and are in no repr, error or log line.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from wayside.settings.address import Address, parse_address
from wayside.vocab.errors import ConfigError

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
REREAD_S: Final = 30.0
"""A token from a file is read again after so long, and whenever the server refuses it. Kubelets
replace one with a fifth of its life (at least ten minutes) still to go, which leaves time."""
MAX_TOKEN: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Material:
    """A certificate or key: in a file, which may be replaced, or written out in a kubeconfig."""

    path: Path | None = None
    text: str | None = field(default=None, repr=False)

    def read(self) -> str:
        """Raises ``OSError``, and ``ValueError`` for what is not text."""
        return self.text if self.path is None else self.path.read_text()  # type: ignore[return-value]

    def stamp(self) -> object:
        """Differs when the file has been replaced (kubelets swap a link to its folder)."""
        if self.path is None:
            return None
        try:
            about = self.path.stat()
        except OSError:
            return "absent"
        return about.st_mtime_ns, about.st_ino, about.st_size


class Token:
    """What we show to the server: written out, or in a file that somebody replaces."""

    __slots__ = ("_path", "_read_at", "_text")

    def __init__(self, text: str = "", path: Path | None = None) -> None:
        self._text, self._path = text.strip(), path
        self._read_at = float("-inf")

    def __repr__(self) -> str:
        return f"Token({self._path or 'written out'})"

    def get(self, now: float) -> str:
        """The token, read again where that is due; empty where there is none. A file that cannot
        be read for a moment leaves the last one in use. ``now``: seconds of a steady clock."""
        if self._path is not None and now - self._read_at >= REREAD_S:
            self._read_at = now
            try:
                with self._path.open() as file:
                    text = file.read(MAX_TOKEN).strip()
            except (OSError, UnicodeError):
                text = ""
            if text.isascii() and text.isprintable():
                self._text = text or self._text
        return self._text

    def refused(self, token: str, now: float) -> bool:
        """The server did not accept ``token``: look for another; whether there is one."""
        self._read_at = float("-inf")
        return self.get(now) != token


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach one API server.

    ``namespace`` is the one that we are in, or that the kubeconfig's context names. ``origin``
    says in errors where all this comes from.
    """

    server: Address
    namespace: str = "default"
    origin: str = ""
    ca: Material | None = None
    """Certificates that may have signed the server's; the system's where there are none."""
    token: Token = field(default_factory=Token)
    certificate: Material | None = None
    key: Material | None = None
    server_name: str | None = None
    """The name in the server's certificate, where it is not the host's."""
    verified: bool = True
    """``False`` after ``insecure-skip-tls-verify``: anybody may pass for the server."""

    def stamp(self) -> object:
        """Differs when a certificate or key has been replaced."""
        return [m.stamp() for m in (self.ca, self.certificate, self.key) if m is not None]

    def tls(self) -> ssl.SSLContext | None:
        """How the server is verified, and we to it; nothing for plain http.

        Raises :class:`ConfigError` for files that cannot be used.
        """
        if self.server.scheme != "https":
            return None
        part = "certificate-authority"
        try:
            given = self.ca.read() if self.ca else None
            if given is not None and "BEGIN" not in given:
                raise ValueError  # an empty text would mean the system's certificates
            context = ssl.create_default_context(cadata=given)
            # Clusters' own authorities often lack an extension that Python 3.13 insists on.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            if not self.verified:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            part = "client-certificate"
            if self.certificate is not None and self.key is not None:
                _show(context, self.certificate, self.key)
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            why = getattr(error, "reason", None) or getattr(error, "strerror", None) or "not PEM"
            raise ConfigError.one(
                f"cannot use the {part} ({why})",
                where=self.origin,
                fix="give PEM certificates, and the key that belongs to them",
            ) from None  # the cause may quote a key
        context.set_alpn_protocols(["http/1.1"])
        return context


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


def in_cluster(*, environ: Mapping[str, str] = os.environ, account: Path = ACCOUNT) -> Access:
    """The service account of the pod we run in. Raises :class:`ConfigError`."""
    host, port = (
        environ.get("KUBERNETES_SERVICE_HOST", ""),
        environ.get("KUBERNETES_SERVICE_PORT", "443"),
    )
    host = f"[{host}]" if ":" in host else host
    where = str(account)
    if not (account / "token").is_file():
        raise ConfigError.one(
            "this pod has no service account token",
            where=where,
            fix="set automountServiceAccountToken: true and a serviceAccountName in the pod",
        )
    try:
        namespace = (account / "namespace").read_text().strip()
    except OSError:
        namespace = ""
    return Access(
        server=_address(f"https://{host}:{port}", where),
        namespace=namespace or "default",
        origin=where,
        ca=Material(account / "ca.crt"),
        token=Token(path=account / "token"),
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
    token_file = _text(user.get("tokenFile"))
    certificate = _material(user, "client-certificate", user_home, where)
    key = _material(user, "client-key", user_home, where)
    if (certificate is None) != (key is None):
        raise ConfigError.one(
            "has only one of client-certificate and client-key",
            where=f"{where}: users.{user_name}",
            fix="give both",
        )
    return Access(
        server=_address(_text(cluster.get("server")), where),
        namespace=_text(chosen.get("namespace")) or "default",
        origin=where,
        ca=_material(cluster, "certificate-authority", cluster_home, where),
        token=Token(path=user_home / token_file)
        if token_file
        else Token(_text(user.get("token"))),
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


def _show(context: ssl.SSLContext, certificate: Material, key: Material) -> None:
    """Python takes certificates and keys from files only: those written out go through one that
    only we can read, and that is gone at once."""
    with tempfile.TemporaryDirectory(prefix="wayside-") as folder:
        paths = []
        for name, material in (("certificate", certificate), ("key", key)):
            path = material.path
            if path is None:
                path = Path(folder) / name
                path.touch(mode=0o600)
                path.write_text(material.read())
            paths.append(path)
        # A key with a password is refused: nobody is there to be asked for it.
        context.load_cert_chain(paths[0], paths[1], password="")


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


def _address(url: str, where: str) -> Address:
    try:
        if "://" not in url:
            raise ValueError(f"the server {url!r} is no URL; write https://host:port")
        return parse_address(url)
    except ValueError as error:
        raise ConfigError.one(str(error), where=where) from None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
