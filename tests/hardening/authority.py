"""An authority, and its certificates in a folder as the kubelet mounts a Secret."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import trustme


class Mount:
    """A Secret of type ``kubernetes.io/tls`` at ``folder``: ``tls.crt``, ``tls.key`` and
    ``ca.crt`` lead to ``..data``, which is replaced by one rename."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._version = folder, 0
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, **files: bytes) -> None:
        """A new version of everything; ``tls_crt`` is ``tls.crt``."""
        self._version += 1
        made = self.folder / f"..version-{self._version}"
        made.mkdir()
        for name, content in files.items():
            file = name.replace("_", ".")
            (made / file).write_bytes(content)
            link = self.folder / file
            if not link.is_symlink():
                link.symlink_to(f"..data/{file}")
        half = self.folder / "..data_tmp"
        half.symlink_to(made.name)
        half.replace(self.folder / "..data")

    def path(self, name: str) -> str:
        return str(self.folder / name)


class Authority:
    """Makes certificates."""

    def __init__(self) -> None:
        self.ca = trustme.CA()
        self.pem = self.ca.cert_pem.bytes()

    def pair(self, *names: str, ended: bool = False) -> dict[str, bytes]:
        """A certificate and its key, for :meth:`Mount.put`."""
        more = {}
        if ended:
            day = datetime.timedelta(days=1)
            now = datetime.datetime.now(datetime.UTC)
            more = {"not_before": now - 9 * day, "not_after": now - day}
        leaf = self.ca.issue_cert(*names, **more)
        chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
        return {"tls_crt": chain, "tls_key": leaf.private_key_pem.bytes()}

    def trusting(self, *names: str) -> ssl.SSLContext:
        """A client that trusts this authority, and shows a certificate of it for ``names``."""
        context = ssl.create_default_context(cadata=self.pem.decode())
        if names:
            self.ca.issue_cert(*names).configure_cert(context)
        return context


def serial(connection: ssl.SSLObject | ssl.SSLSocket | None) -> str:
    """Which certificate the server showed."""
    assert connection is not None
    found = connection.getpeercert()
    assert found
    return str(found["serialNumber"])
