"""TLS that our listeners serve, from files that are read again when they change.

A listener is given one context for its whole life. Every handshake is then led to the newest one
(in the callback for the name that the client asks for), which was made anew of the files: so a
pair that cannot be used never touches the one in use, and authorities that are gone from a file
are trusted no longer.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import ssl
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from wayside.net import x509
from wayside.settings.tls import ListenerTlsSettings
from wayside.telemetry.metrics import Counter, Metrics
from wayside.vocab.errors import ConfigError

Say = Callable[..., None]
LOOK_S: Final = 1.0
"""How often files are looked at."""
_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_TRIES: Final = 3
"""How often files are read that change while they are."""


class ServerTls:
    """The TLS of one listener; :attr:`context` is for what listens."""

    def __init__(
        self,
        where: str,
        rule: ListenerTlsSettings,
        *,
        alpn: Sequence[str] = ("http/1.1",),
        log: Say,
        count: Callable[[str], None] = lambda outcome: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``where``: the setting. ``count`` is told ``taken`` or ``refused`` of changed files.
        Raises :class:`ConfigError` for files that cannot be used."""
        self.where, self.rule = where, rule
        self._alpn, self._log, self._count, self._clock = list(alpn), log, count, clock
        self._stamp = self._look()
        self._bad: object = None
        self.context, self.ends = self._made()
        """The first context of all, and when the certificate in use ends (seconds since 1970)."""
        self._newest = self.context
        self.context.sni_callback = self._lead
        if self.ends <= clock():
            log("certificate ended", level="error", listener=where, at=_date(self.ends))

    def refresh(self) -> None:
        """Take files that have changed, for new connections. Never raises."""
        stamp = self._look()
        if stamp in (self._stamp, self._bad):
            return
        for _ in range(_TRIES):
            try:
                newest, ends = self._made()
                if ends <= self._clock() < self.ends:
                    raise self._refusal("the new certificate has ended", f"{_date(ends)}")
            except ConfigError as error:
                again = self._look()
                if again != stamp:  # it was being replaced
                    stamp = again
                    continue
                self._bad = stamp
                self._count("refused")
                self._log("certificate refused", level="error", why=str(error), keeps="the old")
                return
            self._newest, self.ends = newest, ends
            self._stamp, self._bad = stamp, None
            self._count("taken")
            self._log("certificate read again", listener=self.where, ends=_date(ends))
            return

    def _lead(self, connection: Any, _name: str | None, _first: Any) -> None:
        if self._newest is not self.context:
            connection.context = self._newest

    def _look(self) -> object:
        found: list[object] = []
        for path in self.rule.files:
            try:
                status = Path(path).stat()
            except OSError as error:
                found.append(error.errno)
            else:
                found.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return tuple(found)

    def _made(self) -> tuple[ssl.SSLContext, float]:
        rule = self.rule
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = _VERSIONS[rule.minimum]
        made.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        made.set_alpn_protocols(self._alpn)
        part, path = "cert_file", rule.cert_file
        try:
            ends = x509.ends(Path(path).read_text("latin-1"))
            Path(rule.key_file).open("rb").close()  # else which of both is missing is not told
            part = "key_file"
            # A key with a password is refused: nobody is there to be asked for it.
            made.load_cert_chain(path, rule.key_file, password="")
            if rule.client_ca_file is not None:
                part, path = "client_ca_file", rule.client_ca_file
                made.load_verify_locations(path)
                made.verify_mode = ssl.CERT_REQUIRED
                # A session that is taken up again is not verified again.
                made.options |= ssl.OP_NO_TICKET
                made.num_tickets = 0
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            if isinstance(error, ssl.SSLError):
                why = (error.reason or "not PEM").replace("_", " ").lower()
            elif isinstance(error, OSError):
                why = f"{error.filename}: {error.strerror}"
                part = "key_file" if error.filename == rule.key_file else part
            else:
                why = str(error)
            raise self._refusal(f"cannot be used ({why})", "", part) from None
        return made, ends

    def _refusal(self, what: str, more: str, part: str = "cert_file") -> ConfigError:
        return ConfigError.one(
            f"{what} {more}".strip(),
            where=f"{self.where}.{part}",
            fix="give PEM files that can be read: a certificate that has not ended, and the key "
            "that belongs to it, without a password",
        )


class Certificates:
    """Those of every listener of one process."""

    def __init__(self, log: Say, metrics: Metrics | None = None) -> None:
        self._log = log
        self._served: dict[str, ServerTls] = {}
        self._reloads: Counter | None = None
        if metrics is not None:
            metrics.gauge(
                "wayside_tls_certificate_expiry_timestamp_seconds",
                "When the certificate that a listener serves ends, in seconds since 1970.",
                "listener",
                read=lambda: [((name,), one.ends) for name, one in self._served.items()],
            )
            self._reloads = metrics.counter(
                "wayside_tls_reloads_total",
                "Changed certificates of a listener, by whether they were taken or refused.",
                "listener",
                "outcome",
            )

    def serve(
        self,
        listener: str,
        rule: ListenerTlsSettings | None,
        *,
        where: str = "",
        alpn: Sequence[str] = ("http/1.1",),
    ) -> ssl.SSLContext | None:
        """The context of a listener, which is followed from now on; ``None`` without a rule.
        ``where`` is the setting, if it is not the listener's ``tls``. Raises
        :class:`ConfigError`."""
        if rule is None:
            self._served.pop(listener, None)
            return None
        found = ServerTls(
            where or f"{listener}.tls",
            rule,
            alpn=alpn,
            log=self._log,
            count=lambda outcome: self._counted(listener, outcome),
        )
        self._served[listener] = found
        for outcome in ("taken", "refused"):
            self._counted(listener, outcome, 0)
        return found.context

    def refresh(self) -> None:
        """Take what has changed."""
        for one in self._served.values():
            one.refresh()

    async def follow(self) -> None:
        """The same every second, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.refresh()

    def _counted(self, listener: str, outcome: str, by: int = 1) -> None:
        if self._reloads is not None:
            self._reloads.add((listener, outcome), by)


def show(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Have ``context`` show a certificate that is in no file (both PEM). Python reads files only,
    and there may be no folder to write to: on Linux the file is in memory."""
    create = getattr(os, "memfd_create", None)
    with contextlib.ExitStack() as stack:
        if create is not None and Path("/proc/self/fd").is_dir():
            fd = create("certificate", os.MFD_CLOEXEC)
            file = stack.enter_context(os.fdopen(fd, "w", encoding="latin-1"))
            name = f"/proc/self/fd/{fd}"
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="wayside-"))  # 0700
            name = str(Path(folder) / "pem")
            file = stack.enter_context(Path(name).open("w", encoding="latin-1"))
        file.write(f"{key}\n{certificate}")
        file.flush()
        context.load_cert_chain(name, password="")


def _date(moment: float) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
