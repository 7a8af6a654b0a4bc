"""What has to be in a cluster before a deployment, and is not made by it."""

from __future__ import annotations

from collections.abc import Iterator

from wayside.deploy import Need
from wayside.deploy.intent import Intent
from wayside.deploy.parts import rights
from wayside.vocab.resource import SECRETS, SERVICES


def given(intent: Intent, client: str = "kubectl") -> Iterator[Need]:
    """Secrets that the router and its models' servers are given, and Services of models that
    somebody else runs. ``client`` is what people type."""
    for use, where in rights.secrets(intent):
        yield Need(
            what=f"Secret {use.name} of the {where}",
            resource=SECRETS,
            name=use.name,
            namespace=intent.namespace,
            keys=(use.key,),
            fix=f"{client} -n {intent.namespace} create secret generic {use.name} "
            f"--from-file={use.key}=FILE",
        )
    for name, model in intent.models.items():
        if model.service is not None and model.run is None:
            at = model.service.namespace or intent.namespace
            yield Need(
                what=f"Service {at}/{model.service.name} of the model {name}",
                resource=SERVICES,
                name=model.service.name,
                namespace=at,
                fix=f"create it, or write models.{name}.run",
            )
