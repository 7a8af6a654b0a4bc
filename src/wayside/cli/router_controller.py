"""``wayside router-controller``: production-stack's custom resources, as routers of ours."""

from __future__ import annotations

import os
from typing import Any

import click

from wayside.cli.controllers import Flags, flags, operate
from wayside.manifests.production_stack_metrics import GPU_METRICS, page_of_gpus
from wayside.settings.fleet import http_url
from wayside.vocab.errors import ConfigError


@click.command(
    "router-controller",
    cls=Flags,
    epilog="""\b
Environment (an option given on the command line counts more):
  KUBERNETES_NAMESPACE      look after this namespace only; empty for all
  METRICS_ADDR              :8080, 127.0.0.1:8080, or 0 for no metrics
  HEALTH_PROBE_ADDR         :8081, or 0
  LEADER_ELECTION_ENABLED   true where several replicas run
  GPU_METRICS_ENDPOINT      http://... of a DCGM exporter, which routers read GPU load from

\b
Examples:
  KUBERNETES_NAMESPACE=models wayside router-controller
  wayside router-controller --kubeconfig ~/.kube/config --leader-elect=false

\b
What is asked of it is in the cluster:
  kubectl get staticroutes,inferencegateways,inferenceservices.production-stack.vllm.ai -A""",
)
@flags(
    {
        "--watch-namespace": "KUBERNETES_NAMESPACE",
        "--metrics-bind-address": "METRICS_ADDR",
        "--health-probe-bind-address": "HEALTH_PROBE_ADDR",
        "--leader-elect": "LEADER_ELECTION_ENABLED",
    },
    elects=False,
)
def command(**given: Any) -> None:
    """Run production-stack's StaticRoutes, InferenceGateways and what belongs to them.

    Each StaticRoute becomes a ConfigMap that a router reloads, each InferenceGateway a
    configuration with its services, caches and pools. Backends and routers are asked how they
    fare; the objects' conditions say it. Without the CRDs it waits for them.
    """
    endpoint = os.environ.get(GPU_METRICS, "")
    if endpoint:
        try:
            http_url(page_of_gpus(endpoint))
        except ValueError as error:
            raise ConfigError.one(str(error), where=GPU_METRICS, fix="or leave it empty") from None
    operate(
        "router-controller",
        given,
        manager="router-controller",
        lease="27bc728d.vllm.ai",
        install="kubectl apply -k deploy/router-controller/config/crd",
    )
