"""Where the API server is, how we know it, and who we are to it.

In a pod that is the service account's folder, whose token the kubelet replaces about every hour;
elsewhere a kubeconfig (:mod:`wayside.kube.kubeconfig`). Secrets are read when they are needed,
again when their files change, and are in no repr, error or log line.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from wayside.net.tls import show
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
                show(context, self.certificate.read(), self.key.read())
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            why = getattr(error, "reason", None) or getattr(error, "strerror", None) or "not PEM"
            raise ConfigError.one(
                f"cannot use the {part} ({why})",
                where=self.origin,
                fix="give PEM certificates, and the key that belongs to them",
            ) from None  # the cause may quote a key
        context.set_alpn_protocols(["http/1.1"])
        return context


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
        server=address_of(f"https://{host}:{port}", where),
        namespace=namespace or "default",
        origin=where,
        ca=Material(account / "ca.crt"),
        token=Token(path=account / "token"),
    )


def address_of(url: str, where: str) -> Address:
    try:
        if "://" not in url:
            raise ValueError(f"the server {url!r} is no URL; write https://host:port")
        return parse_address(url)
    except ValueError as error:
        raise ConfigError.one(str(error), where=where) from None
