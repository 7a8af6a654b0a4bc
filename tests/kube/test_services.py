"""The servers behind a Service's name."""

from __future__ import annotations

from typing import Any

import pytest

from wayside.kube.services import Backend, backends, read_service, read_slice

SERVICE = {
    "metadata": {"name": "llm", "namespace": "ns", "labels": {"model": "m"}},
    "spec": {"ports": [{"name": "http", "port": 80}, {"name": "metrics", "port": 9090}]},
}


def part(
    name: str,
    *endpoints: tuple[str, bool | None],
    family: str = "IPv4",
    service: str = "llm",
    ports: Any = ({"name": "http", "port": 8000}, {"name": "metrics", "port": 9090}),
) -> Any:
    return read_slice(
        {
            "metadata": {
                "name": name,
                "namespace": "ns",
                "labels": {"kubernetes.io/service-name": service},
            },
            "addressType": family,
            "ports": list(ports),
            "endpoints": [
                {
                    "addresses": [at, "10.9.9.9"],
                    "conditions": {"ready": ready},
                    "targetRef": {"kind": "Pod", "name": f"pod-{at}"},
                }
                for at, ready in endpoints
            ],
        }
    )


def found(*parts: Any, wanted: str | int | None = "http") -> list[str]:
    return [b.host_port for b in backends(read_service(SERVICE), parts, wanted)]


def test_ready_servers_of_all_slices() -> None:
    one = part("a", ("10.0.0.2", True), ("10.0.0.1", None), ("10.0.0.3", False))
    two = part("b", ("10.0.0.4", True), ("10.0.0.2", True))  # on its way from one to the other

    assert found(one, two) == ["10.0.0.1:8000", "10.0.0.2:8000", "10.0.0.4:8000"]
    assert backends(read_service(SERVICE), [two])[0] == Backend("10.0.0.2:8000", "pod-10.0.0.2")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("http", ["10.0.0.1:8000"]),
        (80, ["10.0.0.1:8000"]),
        ("metrics", ["10.0.0.1:9090"]),
        (None, ["10.0.0.1:8000"]),  # of several, the one called http
        ("grpc", []),
        (8000, []),  # a server's port is not the Service's
    ],
)
def test_a_port_is_found_by_name_or_number(wanted: str | int | None, expected: list[str]) -> None:
    assert found(part("a", ("10.0.0.1", True)), wanted=wanted) == expected


def test_the_only_port_needs_no_name() -> None:
    service = read_service({**SERVICE, "spec": {"ports": [{"port": 80}]}})
    slices = [part("a", ("10.0.0.1", True), ports=[{"port": 8000}])]

    assert [b.host_port for b in backends(service, slices)] == ["10.0.0.1:8000"]


def test_a_server_of_two_families_is_one() -> None:
    six = part("a", ("fd00::1", True), family="IPv6")

    assert found(six, part("b", ("10.0.0.1", True))) == ["10.0.0.1:8000"]
    assert found(six) == ["[fd00::1]:8000"]
    assert found(six, part("b", ("10.0.0.1", False))) == ["[fd00::1]:8000"]


def test_slices_of_another_service_are_not_ours() -> None:
    assert found(part("a", ("10.0.0.1", True), service="other")) == []


def test_a_service_has_a_name_and_a_url() -> None:
    service = read_service(SERVICE)

    assert service.url(80) == "http://llm.ns.svc:80"
    assert service.labels == {"model": "m"}
    assert service.external_name == ""


def test_an_external_name_is_known_as_one() -> None:
    spec = {"type": "ExternalName", "externalName": "api.openai.com"}

    assert read_service({"spec": spec}).external_name == "api.openai.com"
    assert read_service({"spec": {**spec, "type": "ClusterIP"}}).external_name == ""
