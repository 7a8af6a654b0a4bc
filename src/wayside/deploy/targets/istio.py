"""Istio's gateway, the router behind it, and models of this cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from wayside.deploy import Check, Need, Scene, Step, target
from wayside.deploy.intent import Intent
from wayside.deploy.parts import istio_needs, istio_steps
from wayside.deploy.parts.istio_options import IstioOptions, fitted
from wayside.deploy.parts.options import options
from wayside.vocab.errors import Problem

NAME: Final = "istio"


@target(
    NAME,
    options=IstioOptions,
    example="""\
name: semantic-router
namespace: vllm-semantic-router-system
target: istio
gateway: {name: inference-gateway, namespace: default, class: istio}
models:
  llama3-8b:
    run: vllm
    source: meta-llama/Llama-3.1-8B-Instruct
    service: {name: llama-8b, namespace: default, port: 80, target_port: 8000}
    token: {secret: hf-token-secret, key: token}
    storage: 50Gi
    settings: {description: "Llama 3.1 8B Instruct, in this cluster."}
  phi4-mini:
    run: vllm
    source: microsoft/Phi-4-mini-instruct
    service: {name: phi4-mini, namespace: default, port: 80, target_port: 8000}
    token: {secret: hf-token-secret, key: token}
    storage: 50Gi
    settings: {description: "Phi-4 mini, in this cluster."}
default_model: llama3-8b
router:
  settings:
    routing:
      signals:
        domain:
          math: {labels: [math], threshold: 0.4}
      decisions:
        - {name: math, when: "domain:math", models: [phi4-mini]}
targets:
  istio:
    routes: {llama3-8b: vsr-llama8b-service, phi4-mini: vsr-phi4-mini-service}
""",
)
class Istio:
    """Istio's gateway asks the router, and sends each request to one of this cluster's models."""

    def problems(self, intent: Intent) -> Sequence[Problem]:
        return istio_needs.problems(
            intent, options(intent, NAME, IstioOptions), NAME, public=False
        )

    def needs(self, intent: Intent) -> Sequence[Need]:
        wish = options(intent, NAME, IstioOptions)
        return istio_needs.needs(fitted(intent, wish.gpus)[0], wish)

    def steps(self, intent: Intent, scene: Scene) -> Iterator[Step]:
        wish = options(intent, NAME, IstioOptions)
        intent, notes = fitted(intent, wish.gpus)
        yield from istio_steps.model_steps(intent, wish, notes)
        yield from istio_steps.pool_steps(intent, wish)
        yield from istio_steps.router_steps(intent, wish)
        yield from istio_steps.gateway_steps(intent, wish)
        yield from istio_steps.route_steps(intent, wish)

    def checks(self, intent: Intent) -> Sequence[Check]:
        return istio_needs.checks(intent)
