"""KServe runs the models, and the router stands beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal

from wayside.deploy import Check, Manifest, Need, Scene, Step, target
from wayside.deploy.intent import Intent
from wayside.deploy.parts import exposure, kserve, maas, maas_entry, maas_tiers
from wayside.deploy.parts.maas import MaasOptions
from wayside.deploy.parts.options import options
from wayside.settings.base import Settings
from wayside.vocab.errors import Problem

NAME: Final = "kserve"
EXAMPLE: Final = """\
name: semantic-router
namespace: vllm-semantic-router-system
target: kserve
models:
  Model-A: {run: simulator, kserve: model-a}
  Model-B: {run: simulator, kserve: model-b}
default_model: Model-A
router:
  settings:
    routing:
      signals:
        domain:
          words: {labels: [business, law, psychology, health, philosophy], threshold: 0.3}
      decisions:
        - {name: words, when: "domain:words", models: [Model-B]}
"""


class KserveOptions(Settings):
    """Of `--target kserve`.

    Example: ``{api: v1alpha2, maas: {tenant: maas-default-gateway}}``
    """

    api: kserve.Api = "auto"
    """The version of LLMInferenceService to write; the newest that the cluster serves."""
    platform: Literal["openshift", "kubernetes"] = "openshift"
    """On OpenShift the namespace says as which user pods run."""
    maas: MaasOptions | None = None
    """The router is reached through the gateway of this MaaS only: it reviews the tokens, and asks
    the cluster which models are the caller's."""


@target(
    NAME,
    options=KserveOptions,
    example=EXAMPLE,
)
class Kserve:
    """Models as LLMInferenceServices of KServe, and the router as semantic-router-kserve."""

    def problems(self, intent: Intent) -> Sequence[Problem]:
        intent, wish = kserve.of_kserve(intent), options(intent, NAME, KserveOptions)
        kinds = (
            ("none", "route") if wish.platform == "openshift" else ("none", "ingress", "gateway")
        )
        found = [*kserve.problems(intent), *exposure.problems(intent, kinds)]
        if intent.gateway is not None and wish.maas is None and intent.exposure.kind != "gateway":
            fix = "write exposure.kind: gateway, or leave it out"
            found.append(Problem("nothing goes through a gateway", "gateway", fix))
        if wish.maas is not None:
            found += maas.problems(intent, wish.maas)
        else:
            found += [
                Problem(
                    "nobody asks for anybody's tier here",
                    f"models.{name}.tiers",
                    "write targets.kserve.maas, or leave it out",
                )
                for name, model in intent.models.items()
                if model.tiers is not None
            ]
            if intent.tiers is not None:
                found.append(
                    Problem(
                        "nobody asks for anybody's tier here",
                        "tiers",
                        "write targets.kserve.maas, or leave it out",
                    )
                )
        return found

    def needs(self, intent: Intent) -> Sequence[Need]:
        return kserve.needs(kserve.of_kserve(intent))

    def steps(self, intent: Intent, scene: Scene) -> Iterator[Step]:
        intent, wish = kserve.of_kserve(intent), options(intent, NAME, KserveOptions)
        yield from kserve.model_steps(intent, scene, wish.api, routed=wish.maas is not None)
        if wish.maas is not None:
            yield from maas_tiers.steps(intent, wish.maas)
        made = kserve.Router(
            configuration=kserve.configured(intent, scene, wish.api, wish.maas),
            openshift=wish.platform == "openshift",
            peers=() if wish.maas is None else maas_entry.peers(intent),
        )
        yield from kserve.router_steps(intent, made, wish.maas)
        name = kserve.router_name(intent)
        if found := exposure.exposed(intent, service=name, name=name):
            yield Step(title="exposure", manifests=(Manifest("exposure.yaml", found),))

    def checks(self, intent: Intent) -> Sequence[Check]:
        behind = options(intent, NAME, KserveOptions).maas is not None
        return kserve.closed_checks() if behind else kserve.open_checks()
