"""The TLS that a picker serves: its own certificate, or one from a folder, read again when it
changes."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Final

from wayside.epp.self_signed import context, server_context
from wayside.extproc.session import Say
from wayside.net.tls import show
from wayside.vocab.errors import ConfigError

LOOK_S: Final = 5.0
"""How often files are looked at: kubelets renew mounted Secrets within a minute or two."""
VERSIONS: Final = {
    "1.2": ssl.TLSVersion.TLSv1_2, "VersionTLS12": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3, "VersionTLS13": ssl.TLSVersion.TLSv1_3,
}  # fmt: skip
_GO_NAMES: Final = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
}
"""TLS 1.2's suites by Go's names, which Kubernetes' components take, and OpenSSL's."""


class Certificates:
    """``folder`` has ``tls.crt`` and ``tls.key``; ``None``: a certificate is made."""

    def __init__(
        self,
        folder: Path | None,
        *,
        minimum: str = "1.2",
        ciphers: tuple[str, ...] = (),
        client_ca: Path | None = None,
        log: Say,
    ) -> None:
        """Raises :class:`ConfigError`."""
        self._folder, self._log = folder, log
        self.context = context() if folder is None else server_context()
        self.context.minimum_version = VERSIONS[minimum]
        if ciphers:
            _choose(self.context, ciphers)
        self._stamp: object = None
        if folder is not None:
            self._stamp = self._files()
            self._load()
        if client_ca is not None:
            try:
                self.context.load_verify_locations(client_ca)
            except (OSError, ssl.SSLError) as error:
                raise ConfigError.one(f"cannot be used: {error}", where=str(client_ca)) from None
            self.context.verify_mode = ssl.CERT_REQUIRED

    async def follow(self) -> None:
        """Take files that have changed, for new connections, until cancelled."""
        if self._folder is None:
            return
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                stamp = self._files()
                if stamp != self._stamp:
                    self._load()
                    self._stamp = stamp
                    self._log("certificate read again", folder=str(self._folder))
            except ConfigError as error:
                self._log("certificate not read", level="error", why=str(error))

    def _files(self) -> object:
        assert self._folder is not None
        try:
            found = [(self._folder / name).stat() for name in ("tls.crt", "tls.key")]
        except OSError as error:
            raise ConfigError.one(
                f"cannot be read: {error}", where=str(self._folder), fix="mount the Secret there"
            ) from None
        return [(s.st_mtime_ns, s.st_size, s.st_ino) for s in found]

    def _load(self) -> None:
        """Take the two files as they are now. A context that is given a certificate and a key
        that do not belong together loses those it had, so another one tries them first."""
        assert self._folder is not None
        try:
            certificate = (self._folder / "tls.crt").read_text("latin-1")
            key = (self._folder / "tls.key").read_text("latin-1")
            show(server_context(), certificate, key)
            show(self.context, certificate, key)
        except (OSError, ValueError) as error:
            # Never the error's own words: they may quote a key.
            raise ConfigError.one(
                f"cannot be used ({type(error).__name__})",
                where=str(self._folder),
                fix="give PEM files tls.crt and tls.key that belong together",
            ) from None


def _choose(found: ssl.SSLContext, names: tuple[str, ...]) -> None:
    try:
        found.set_ciphers(":".join(_GO_NAMES.get(name, name) for name in names))
    except ssl.SSLError:
        raise ConfigError.one(
            "no such cipher suites",
            where="--tls-cipher-suites",
            fix=f"for example {next(iter(_GO_NAMES))}",
        ) from None
