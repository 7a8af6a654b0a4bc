"""TLS that Envoy serves to clients, and TLS by which it asks the router. Certificates are
followed: Envoy reads them again when the folder they are in is replaced (Kubernetes), or when
another file is renamed to one of them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from wayside.envoy.words import TYPE, Node, is_ip, typed
from wayside.settings.tls import ListenerTlsSettings, RouterTlsSettings

Source = Callable[[str], Node]
"""By the name of a secret, where Envoy finds it."""
SERVED: Final = "secrets.yaml"
"""The file with the certificate that clients see."""
_NAME: Final = "certificate"
_CLIENTS: Final = "clients"
_OWN: Final = "router/certificate"
_ROUTER: Final = "router/authorities"


@dataclass(frozen=True, slots=True)
class Certificate:
    """``tls.crt`` and ``tls.key`` in a folder that is replaced as the kubelet does it: a mounted
    Secret of type ``kubernetes.io/tls``."""

    folder: str

    @property
    def rule(self) -> ListenerTlsSettings:
        """The same, as settings say it."""
        return ListenerTlsSettings(
            cert_file=f"{self.folder}/tls.crt", key_file=f"{self.folder}/tls.key"
        )


def file_of(name: str) -> str:
    """The file that holds a secret: Envoy takes a single one from each."""
    if name == _NAME:
        return SERVED
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[-40:]
    return f"secret-{words}-{hashlib.sha256(name.encode()).hexdigest()[:8]}.yaml"


def transport(rule: ListenerTlsSettings, source: Source) -> Node:
    """The transport socket of a listener; ``source`` tells where :func:`secrets` are found."""
    verified: Node = {}
    if rule.client_ca_file is not None:
        verified = {"validation_context_sds_secret_config": _from(_CLIENTS, source)}
    return typed(
        "envoy.transport_sockets.tls",
        "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context={
            "tls_params": _versions(rule.minimum),
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificate_sds_secret_configs": [_from(_NAME, source)],
            **verified,
        },
        # A session that is taken up again is not verified again.
        **(
            {
                "require_client_certificate": True,
                "disable_stateless_session_resumption": True,
                "disable_stateful_session_resumption": True,
            }
            if verified
            else {}
        ),
    )


def secrets(rule: ListenerTlsSettings) -> list[Node]:
    """Where Envoy reads what :func:`transport` refers to."""
    found = [_pair(_NAME, rule.cert_file, rule.key_file)]
    if rule.client_ca_file is not None:
        found.append(_authorities(_CLIENTS, rule.client_ca_file))
    return found


def to_router(rule: RouterTlsSettings, source: Source) -> Node:
    """The transport socket to the router, whose name is verified; ``source`` tells where
    :func:`router_secrets` are found."""
    name = rule.server_name
    by_ip = is_ip(name)
    san = {"san_type": "IP_ADDRESS" if by_ip else "DNS", "matcher": {"exact": name}}
    context: Node = {
        "common_tls_context": {
            "tls_params": _versions("1.2"),
            "alpn_protocols": ["h2"],
            "combined_validation_context": {
                "default_validation_context": {"match_typed_subject_alt_names": [san]},
                "validation_context_sds_secret_config": _from(_ROUTER, source),
            },
        }
    }
    if rule.cert_file is not None:
        own = [_from(_OWN, source)]
        context["common_tls_context"]["tls_certificate_sds_secret_configs"] = own
    if not by_ip:  # RFC 6066 allows no addresses in SNI
        context["sni"] = name
    return typed(
        "envoy.transport_sockets.tls",
        "extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        **context,
    )


def router_secrets(rule: RouterTlsSettings) -> list[Node]:
    """Where Envoy reads what :func:`to_router` refers to."""
    found = [_authorities(_ROUTER, rule.ca_file)]
    if rule.cert_file is not None and rule.key_file is not None:
        found.append(_pair(_OWN, rule.cert_file, rule.key_file))
    return found


def _from(name: str, source: Source) -> Node:
    return {"name": name, "sds_config": source(name)}


def _versions(minimum: str) -> Node:
    return {
        "tls_minimum_protocol_version": f"TLSv{minimum.replace('.', '_')}",
        "tls_maximum_protocol_version": "TLSv1_3",
    }


def _secret(name: str, **what: Node) -> Node:
    kind = TYPE + "extensions.transport_sockets.tls.v3.Secret"
    return {"@type": kind, "name": name, **what}


def _pair(name: str, certificate: str, key: str) -> Node:
    return _secret(
        name,
        tls_certificate={
            "certificate_chain": {"filename": certificate},
            "private_key": {"filename": key},
            "watched_directory": {"path": _folder(certificate)},
        },
    )


def _authorities(name: str, path: str) -> Node:
    return _secret(
        name,
        validation_context={
            "trusted_ca": {"filename": path},
            "watched_directory": {"path": _folder(path)},
        },
    )


def _folder(path: str) -> str:
    return path.rpartition("/")[0] or ("/" if path.startswith("/") else ".")
