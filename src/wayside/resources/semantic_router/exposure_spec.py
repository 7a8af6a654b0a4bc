"""How a SemanticRouter is reached: Service, Gateway, Route, Ingress and network policy."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from wayside.manifests.fields import (
    OPTIONAL,
    STORED,
    Duration,
    Labels,
    Part,
    Port,
    Text,
    core,
    rules,
)

_STORED: dict[str, Any] = {STORED: True}


class GrpcPort(Part):
    """Where Envoys ask the router, by ext_proc."""

    port: Port = 50051
    """Of the Service."""
    target_port: Port = 50051
    """Of the container."""
    protocol: Literal["TCP"] = "TCP"
    """Nothing else would reach it."""


class ApiPort(Part):
    """Where clients come in: Envoy in standalone mode, the router itself behind a Gateway."""

    port: Port = 8080
    """Of the Service."""
    target_port: Port = 8080
    """Of the container."""
    protocol: Literal["TCP"] = "TCP"
    """Nothing else would reach it."""


class MetricsPort(Part):
    """Where Prometheus reads."""

    enabled: bool = True
    """Whether the Service has this port."""
    port: Port = 9190
    """Of the Service."""
    target_port: Port = 9190
    """Of the container."""
    protocol: Literal["TCP"] = "TCP"
    """Nothing else would reach it."""


class ServiceTls(Part):
    """TLS on port `api`, served by the Envoy or the router itself."""

    enabled: bool = False
    """Whether it is https. Routes that end TLS at the router need it."""
    secret_name: Annotated[str, Field(max_length=253)] = ""
    """The certificate: a Secret of type kubernetes.io/tls in the same namespace. OpenShift makes
    one where none is named."""


class ServiceSpec(Part):
    """The Service in front of the router's pods."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.api.targetPort != self.grpc.targetPort"
                " && self.api.targetPort != self.metrics.targetPort"
                " && self.grpc.targetPort != self.metrics.targetPort",
                "service.api, service.grpc and service.metrics need three different targetPorts",
            ),
            (
                "self.api.port != self.grpc.port && (!self.metrics.enabled"
                " || (self.api.port != self.metrics.port && self.grpc.port != self.metrics.port))",
                "service.api, service.grpc and service.metrics need different ports",
            ),
        )
    )

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    """How it is reached from outside the cluster, if at all."""
    annotations: Labels = Field(default_factory=dict)
    """Of the Service: what a cloud's load balancer goes by."""
    tls: ServiceTls = ServiceTls()
    """TLS on port `api`."""
    grpc: GrpcPort = Field(GrpcPort(), json_schema_extra=_STORED)
    """Where Envoys ask the router, by ext_proc."""
    api: ApiPort = Field(ApiPort(), json_schema_extra=_STORED)
    """Where clients come in."""
    metrics: MetricsPort = Field(MetricsPort(), json_schema_extra=_STORED)
    """Where Prometheus reads."""


Hostname = Annotated[
    str,
    Field(
        pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        max_length=253,
    ),
]
"""A host, or all below one: ``*.example.com``."""

# --- behind somebody's Gateway -----------------------------------------------------------------


class GatewayRef(Part):
    """A Gateway that is there already."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    """Its name."""
    namespace: Annotated[str, Field(min_length=1, max_length=63)]
    """Its namespace, which may be another one if the Gateway's listeners allow it."""
    section_name: Annotated[str, Field(max_length=253)] = ""
    """One of its listeners; all of them when absent."""


class GatewayTimeouts(Part):
    """How long the Gateway waits, by path."""

    request: Duration = "60s"
    """For answers of models, to their last byte; `0s` waits for ever."""
    classify: Duration = "30s"
    """For the router's own API."""
    health: Duration = "5s"
    """For `/health`."""


class GatewaySpec(Part):
    """A Gateway of your own in front, in place of the Envoy beside the router."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.existingRef) || !(has(self.hostnames) || has(self.timeouts))",
                "gateway.hostnames and gateway.timeouts are for a gateway.existingRef",
            )
        )
    )

    existing_ref: GatewayRef = Field(json_schema_extra={OPTIONAL: True})
    """Which one. The operator makes an HTTPRoute, and leaves the Envoy out."""
    hostnames: Annotated[tuple[Hostname, ...], Field(max_length=16)] = ()
    """Hosts that the HTTPRoute is for; all that the Gateway has when absent."""
    timeouts: GatewayTimeouts = GatewayTimeouts()
    """How long the Gateway waits."""


# --- OpenShift ---------------------------------------------------------------------------------


class RouteTls(Part):
    """Where TLS ends."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.termination != 'passthrough'"
                " || self.insecureEdgeTerminationPolicy != 'Allow'",
                "tls.insecureEdgeTerminationPolicy Allow cannot be had with passthrough",
            ),
            (
                "self.termination == 'reencrypt' || !has(self.destinationCACertificate)"
                " || size(self.destinationCACertificate) == 0",
                "tls.destinationCACertificate is for termination reencrypt",
            ),
        )
    )

    termination: Literal["edge", "passthrough", "reencrypt"] = "edge"
    """At OpenShift's router, at ours, or at both."""
    insecure_edge_termination_policy: Literal["Allow", "Redirect", "None"] = "Redirect"
    """What becomes of plain HTTP: served, sent to https, or refused."""
    destination_ca_certificate: Annotated[str, Field(max_length=65536)] = Field(
        "", alias="destinationCACertificate"
    )
    """For reencrypt: what the router's certificate is verified with (PEM). Not needed for those
    that OpenShift makes."""


class RoutesSpec(Part):
    """A Route of OpenShift to port `api`."""

    enabled: bool = False
    """Whether there is one."""
    hostname: Annotated[str, Field(max_length=253)] = ""
    """Its host; OpenShift makes one up when absent."""
    tls: RouteTls = RouteTls()
    """Where TLS ends."""


class OpenShiftSpec(Part):
    """What is done on OpenShift only."""

    routes: RoutesSpec = RoutesSpec()
    """A Route of OpenShift."""


# --- Ingress -----------------------------------------------------------------------------------


class IngressPath(Part):
    """A path of a host."""

    path: Text = "/"
    """What paths begin with, or are."""
    path_type: Literal["Exact", "Prefix", "ImplementationSpecific"] = "Prefix"
    """Which of the two."""
    service_port: Port | None = None
    """The Service's port; that of `service.api` when absent."""


class IngressHost(Part):
    """A host."""

    host: Annotated[str, Field(max_length=253)] = ""
    """Its name."""
    paths: Annotated[tuple[IngressPath, ...], Field(max_length=64)] = ()
    """Its paths."""


class IngressTls(Part):
    """A certificate."""

    hosts: Annotated[tuple[Annotated[str, Field(max_length=253)], ...], Field(max_length=64)] = ()
    """Hosts that it is for."""
    secret_name: Annotated[str, Field(max_length=253)] = ""
    """The Secret that has it."""


class IngressSpec(Part):
    """An Ingress in front of the Service."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!self.enabled || (has(self.hosts) && size(self.hosts) > 0)",
                "ingress.hosts must be specified when ingress is enabled",
            ),
            (
                "!self.enabled || !has(self.hosts)"
                " || self.hosts.all(h, has(h.host) && size(h.host) > 0)",
                "ingress.hosts[i].host cannot be empty",
            ),
            (
                "!self.enabled || !has(self.hosts)"
                " || self.hosts.all(h, has(h.paths) && size(h.paths) > 0)",
                "ingress.hosts[i].paths must have at least one path",
            ),
        )
    )

    enabled: bool = False
    """Whether there is one."""
    class_name: Annotated[str, Field(max_length=253)] = ""
    """Whose it is; the cluster's default when absent."""
    annotations: Labels = Field(default_factory=dict)
    """Of the Ingress."""
    hosts: Annotated[tuple[IngressHost, ...], Field(max_length=64)] = ()
    """Hosts and their paths."""
    tls: Annotated[tuple[IngressTls, ...], Field(max_length=64)] = ()
    """Certificates."""


# --- who may come in, and who looks ------------------------------------------------------------

NetworkPeer = Annotated[dict[str, Any], core("networking.v1.NetworkPolicyPeer")]
NetworkEgress = Annotated[dict[str, Any], core("networking.v1.NetworkPolicyEgressRule")]


class NetworkPolicySpec(Part):
    """A NetworkPolicy for the router's pods."""

    enabled: bool = False
    """Whether there is one: only the ports of the Service may then be reached."""
    from_: Annotated[tuple[NetworkPeer, ...], Field(max_length=64)] = Field((), alias="from")
    """Who may reach the ports for clients and Envoys; everybody when absent."""
    metrics_from: Annotated[tuple[NetworkPeer, ...], Field(max_length=64)] = ()
    """Who may reach the port for Prometheus; everybody when absent."""
    egress: Annotated[tuple[NetworkEgress, ...], Field(max_length=64)] | None = None
    """Where the pods may go, besides DNS; anywhere when absent, for backends may be anywhere."""


class ServiceMonitorSpec(Part):
    """A ServiceMonitor of the Prometheus Operator, where the cluster knows such things."""

    enabled: bool = False
    """Whether there is one."""
    labels: Labels = Field(default_factory=dict)
    """Labels by which Prometheus finds it: `release: prometheus`."""
    interval: Duration = "30s"
    """Time between two readings."""
