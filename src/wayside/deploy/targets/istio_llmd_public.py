"""Istio's gateway, the router behind it, llm-d's pools of local replicas, and public models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from wayside.deploy import Check, Need, Scene, Step, target
from wayside.deploy.intent import Intent
from wayside.deploy.parts import istio_needs, istio_steps
from wayside.deploy.parts.istio_options import PublicOptions, fitted
from wayside.deploy.parts.options import options
from wayside.vocab.errors import Problem

NAME: Final = "istio-llmd-public"


@target(
    NAME,
    options=PublicOptions,
    example="""\
name: semantic-router
namespace: vllm-semantic-router-system
target: istio-llmd-public
gateway: {name: inference-gateway, namespace: default, class: istio}
models:
  llama3-8b:
    run: vllm
    source: meta-llama/Llama-3.1-8B-Instruct
    service: {name: llama-8b, namespace: default, port: 80, target_port: 8000}
    pool: vllm-llama3-8b-instruct
    replicas: 2
    token: {secret: hf-token-secret, key: token}
    storage: 50Gi
    settings: {description: "Llama 3.1 8B Instruct, in this cluster."}
  gpt-4o-mini:
    cloud:
      url: https://api.openai.com/v1
      provider: openai
      key: {secret: openai-api-key, key: OPENAI_API_KEY}
    settings: {description: "GPT-4o mini, at OpenAI."}
default_model: gpt-4o-mini
router:
  settings:
    routing:
      signals:
        domain:
          math: {labels: [math], threshold: 0.4}
          computer science: {labels: [computer science], threshold: 0.4}
          business: {labels: [business], threshold: 0.4}
          law: {labels: [law], threshold: 0.4}
          psychology: {labels: [psychology], threshold: 0.4}
          biology: {labels: [biology], threshold: 0.4}
          chemistry: {labels: [chemistry], threshold: 0.4}
          history: {labels: [history], threshold: 0.4}
          other: {labels: [other], threshold: 0.4}
          health: {labels: [health], threshold: 0.4}
          economics: {labels: [economics], threshold: 0.4}
          philosophy: {labels: [philosophy], threshold: 0.4}
          physics: {labels: [physics], threshold: 0.4}
          engineering: {labels: [engineering], threshold: 0.4}
      decisions:
        - {name: math, when: "domain:math", models: [gpt-4o-mini]}
        - {name: computer science, when: "domain:computer science", models: [llama3-8b]}
        - {name: business, when: "domain:business", models: [llama3-8b]}
        - {name: law, when: "domain:law", models: [llama3-8b]}
        - {name: psychology, when: "domain:psychology", models: [llama3-8b]}
        - {name: biology, when: "domain:biology", models: [llama3-8b]}
        - {name: chemistry, when: "domain:chemistry", models: [llama3-8b]}
        - {name: history, when: "domain:history", models: [llama3-8b]}
        - {name: other, when: "domain:other", models: [llama3-8b]}
        - {name: health, when: "domain:health", models: [llama3-8b]}
        - {name: economics, when: "domain:economics", models: [llama3-8b]}
        - {name: philosophy, when: "domain:philosophy", models: [llama3-8b]}
        - {name: physics, when: "domain:physics", models: [llama3-8b]}
        - {name: engineering, when: "domain:engineering", models: [llama3-8b]}
targets:
  istio-llmd-public:
    routes: {llama3-8b: vsr-llama8b, gpt-4o-mini: vsr-openai-g4}
""",
)
class IstioLlmdPublic:
    """Istio's gateway asks the router, and sends each request to a pool here, or to a provider."""

    def problems(self, intent: Intent) -> Sequence[Problem]:
        return istio_needs.problems(
            intent, options(intent, NAME, PublicOptions), NAME, public=True
        )

    def needs(self, intent: Intent) -> Sequence[Need]:
        wish = options(intent, NAME, PublicOptions)
        return istio_needs.needs(fitted(intent, wish.gpus)[0], wish)

    def steps(self, intent: Intent, scene: Scene) -> Iterator[Step]:
        wish = options(intent, NAME, PublicOptions)
        intent, notes = fitted(intent, wish.gpus)
        yield from istio_steps.model_steps(intent, wish, notes)
        yield from istio_steps.pool_steps(intent, wish)
        yield from istio_steps.router_steps(intent, wish)
        yield from istio_steps.gateway_steps(intent, wish)
        yield from istio_steps.cloud_steps(intent, wish)
        yield from istio_steps.route_steps(intent, wish)

    def checks(self, intent: Intent) -> Sequence[Check]:
        return istio_needs.checks(intent)
