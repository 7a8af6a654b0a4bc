"""``wayside operator``: looks after SemanticRouters and the pools and routes they read."""

from __future__ import annotations

from typing import Any

import click

from wayside.cli.controllers import Flags, flags, operate


@click.command(
    "operator",
    cls=Flags,
    epilog="""\b
Examples:
  wayside operator --kubeconfig ~/.kube/config        on a machine of yours, for all namespaces
  wayside operator --watch-namespace team-a           with a Role in that namespace only
  wayside operator --leader-elect --metrics-bind-address=:8080    as in the manager's Deployment

\b
What is asked of it is in the cluster:
  kubectl get semanticrouters -A
  kubectl describe semanticrouter NAME                conditions and Events
  curl localhost:8081/readyz                          whether everything has been listed
  curl localhost:8080/metrics                         passes, queues, conditions, backends""",
)
@flags({"--watch-namespace": "WATCH_NAMESPACE"}, elects=False)
def command(**given: Any) -> None:
    """Run SemanticRouters on Kubernetes.

    For each SemanticRouter it writes a Deployment, its configuration, Service and what else is
    asked for, keeps them as they shall be, and says in the object's status how it fares. Nothing
    is read of Secrets. Without the CRDs it waits for them.
    """
    operate(
        "operator",
        given,
        manager="semantic-router-operator",
        lease="semantic-router-operator.vllm.ai",
        install="make -C deploy/operator install",
    )
