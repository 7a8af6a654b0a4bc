"""Gateways, HTTPRoutes and OpenShift's Routes get the status that their controllers write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Kubectl, serving
from tests.kubelet import Cluster
from tests.kubelet.stand_ins import definitions

from .test_cluster import read, until


def an(api_version: str, kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def test_gateways_and_routes(tmp_path: Path) -> None:
    """An HTTPRoute is accepted when its Gateway is there; a Route without a host is given one."""
    gateway = "gateway.networking.k8s.io/v1"
    with serving(tmp_path) as server:
        kubectl = Kubectl(server.kubeconfig)
        kubectl.apply(*definitions("gateway"), *definitions("router"))
        with Cluster(
            server.kubeconfig, namespaces=["default"], stand_ins=["gateway", "router"]
        ) as cluster:
            to = [{"name": "public"}]
            kubectl.apply(
                an(gateway, "HTTPRoute", "chat", parentRefs=to),
                an("route.openshift.io/v1", "Route", "chat"),
                an("route.openshift.io/v1", "Route", "named", host="chat.example.com"),
                namespace="default",
            )

            def status(*what: str) -> Any:
                return read(kubectl, "default", *what).get("status") or {}

            until(lambda: "ingress" in status("route", "named"))
            assert status("route", "named")["ingress"][0]["host"] == "chat.example.com"
            until(lambda: "ingress" in status("route", "chat"))
            host = status("route", "chat")["ingress"][0]["host"]
            assert host == "chat-default.apps.cluster.test"
            assert not status("httproute", "chat").get("parents")
            kubectl.apply(an(gateway, "Gateway", "public"), namespace="default")
            until(lambda: status("httproute", "chat").get("parents"))
            (parent,) = status("httproute", "chat")["parents"]
            assert {c["type"]: c["status"] for c in parent["conditions"]} == {
                "Accepted": "True",
                "ResolvedRefs": "True",
            }
            with pytest.raises(AssertionError, match="no container"):
                cluster.exec("default", "nobody", "true")
