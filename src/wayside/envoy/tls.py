"""TLS that Envoy serves to clients, by a certificate that is followed when it is renewed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wayside.envoy.words import TYPE, Node, typed

_NAME: Final = "certificate"


@dataclass(frozen=True, slots=True)
class Certificate:
    """``tls.crt`` and ``tls.key`` in a folder that is replaced as the kubelet does it: a mounted
    Secret of type ``kubernetes.io/tls``."""

    folder: str


def transport(source: Node) -> Node:
    """The transport socket of a listener; ``source`` is where :func:`secret` is found."""
    return typed(
        "envoy.transport_sockets.tls",
        "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context={
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificate_sds_secret_configs": [{"name": _NAME, "sds_config": source}],
        },
    )


def secret(certificate: Certificate) -> Node:
    """Where Envoy reads the certificate, again whenever its folder is replaced."""
    folder = certificate.folder
    return {
        "@type": TYPE + "extensions.transport_sockets.tls.v3.Secret",
        "name": _NAME,
        "tls_certificate": {
            "certificate_chain": {"filename": f"{folder}/tls.crt"},
            "private_key": {"filename": f"{folder}/tls.key"},
            "watched_directory": {"path": folder},
        },
    }
