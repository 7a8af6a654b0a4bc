"""TLS of our own listeners, and of the Envoy that asks us from another pod."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from wayside.settings.base import Settings

FilePath = Annotated[str, Field(min_length=1, max_length=4096)]


class ListenerTlsSettings(Settings):
    """TLS that a listener serves, from PEM files.

    The files are looked at every second, and a changed pair is used for new connections; those
    that are open go on. A pair that cannot be used changes nothing: the log says why, and
    ``wayside_tls_reloads_total`` counts it.

    Example: ``{cert_file: /etc/wayside/tls/tls.crt, key_file: /etc/wayside/tls/tls.key}``
    """

    cert_file: FilePath
    """The listener's certificate, followed by those of the authorities between it and the root."""
    key_file: FilePath
    """The key of that certificate, without a password."""
    client_ca_file: FilePath | None = None
    """Mutual TLS: only clients with a certificate of one of these authorities get in, whatever
    name it is for. So use an authority that makes certificates for nobody else."""
    minimum: Literal["1.2", "1.3"] = "1.2"
    """The oldest version that is spoken; 1.3 is, wherever the client knows it."""

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that is followed."""
        ca = () if self.client_ca_file is None else (self.client_ca_file,)
        return (self.cert_file, self.key_file, *ca)


class RouterTlsSettings(Settings):
    """How an Envoy in another pod reaches the router's ext_proc listener, and proves who it is.

    Paths are those where Envoy runs. It reads the files again when their folder is replaced as
    the kubelet does it, or when others are renamed to them.

    Example: ``{ca_file: /tls/ca.crt, server_name: semantic-router, cert_file: /tls/tls.crt,
    key_file: /tls/tls.key}``
    """

    ca_file: FilePath
    """The authorities that may have made the router's certificate."""
    server_name: Annotated[str, Field(min_length=1, max_length=253)]
    """The name, or the address, that the router's certificate is for."""
    cert_file: FilePath | None = None
    """Envoy's own certificate, where the router wants to see one
    (``extproc.tls.client_ca_file``)."""
    key_file: FilePath | None = None
    """The key of that certificate."""

    @model_validator(mode="after")
    def _both(self) -> RouterTlsSettings:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together; give both, or neither")
        return self
