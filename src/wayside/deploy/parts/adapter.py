"""How an autoscaler gets at what Prometheus recorded: a rule for prometheus-adapter, and whether
the cluster has such an adapter."""

from __future__ import annotations

from typing import Final

from wayside.deploy import Need, Text
from wayside.deploy.intent import Intent
from wayside.deploy.parts.sound import RATE
from wayside.vocab.resource import Resource

FILE: Final = "prometheus-adapter-values.yaml"
_SERVICES: Final = Resource("apiregistration.k8s.io", "v1", "apiservices")
_RULE: Final = f"""\
# Values for the chart prometheus-community/prometheus-adapter: the series that our PrometheusRule
# records, as the custom metric of pods that the HorizontalPodAutoscaler asks for.
#   helm upgrade --install prometheus-adapter prometheus-community/prometheus-adapter \\
#     -n monitoring -f {FILE} --set prometheus.url=http://prometheus.monitoring.svc
rules:
  default: false
  custom:
  - seriesQuery: '{RATE}{{namespace!="",pod!=""}}'
    resources:
      overrides:
        namespace: {{resource: namespace}}
        pod: {{resource: pod}}
    name: {{as: {RATE}}}
    metricsQuery: 'sum(<<.Series>>{{<<.LabelMatchers>>}}) by (<<.GroupBy>>)'
"""


def asked(intent: Intent) -> bool:
    """Whether the router's autoscaler goes by requests."""
    wish = intent.router.autoscale
    return wish is not None and wish.requests_per_second is not None


def texts(intent: Intent) -> tuple[Text, ...]:
    """The adapter's values, beside the manifests; nothing where nobody asks for the metric."""
    return (Text(FILE, _RULE),) if asked(intent) else ()


def needs(intent: Intent) -> tuple[Need, ...]:
    """The adapter. Without it pods are scaled by CPU alone, and never down."""
    if not asked(intent):
        return ()
    fix = f"install prometheus-adapter with {FILE} of `wayside deploy render --out FOLDER`"
    name = "v1beta1.custom.metrics.k8s.io"
    what = f"custom metric {RATE}"
    return (Need(what=what, resource=_SERVICES, name=name, fix=fix, level="warning"),)
