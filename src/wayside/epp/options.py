"""How a picker is run: what its command line says."""

from __future__ import annotations

from pathlib import Path

import msgspec

from wayside.translate.picker_config import PickerConfig
from wayside.vocab.inference import PoolSpec


class Page(msgspec.Struct, frozen=True):
    """Where servers tell their metrics; ``port`` 0 is the one that requests go to."""

    port: int = 0
    path: str = "/metrics"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Ports of 0 take any free one. Times are in seconds, sizes in bytes.

    Endpoints come from ``pool`` (an InferencePool), ``selected`` (pods by label, without one),
    ``endpoints`` (``host:port``) or the configuration's file; exactly one of them.
    """

    config: PickerConfig
    pool: tuple[str, str, str] | None = None
    """Name, namespace and API group."""
    selected: PoolSpec | None = None
    endpoints: tuple[str, ...] = ()
    kubeconfig: str | None = None
    host: str = "0.0.0.0"
    grpc_port: int = 9002
    health_port: int = 9003
    metrics_port: int = 9090
    secure: bool = True
    cert_path: Path | None = None
    """A folder with ``tls.crt`` and ``tls.key``; absent, a certificate is made."""
    reload_certs: bool = False
    tls_minimum: str = "1.2"
    ciphers: tuple[str, ...] = ()
    metrics_auth: bool = False
    metrics_certs: Path | None = None
    metrics_client_ca: Path | None = None
    max_message_bytes: int = 0
    max_body_bytes: int = 64 << 20
    metrics_of_servers: Page = Page()
    scrape_s: float = 0.05
    stale_s: float = 2.0
    drain_s: float = 30.0
    elects: bool = False
    """One of several pickers leads, and health says which."""
    scores: bool = False
    subsets: bool = True
    conformance: bool = False
    skips: bool = False
    """Answers are looked at only where something needs them."""
    verbose: bool = False
    """Every choice is logged."""
