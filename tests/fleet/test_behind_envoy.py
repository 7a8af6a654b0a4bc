"""What of the view the generated Envoy does itself, and what it is said not to do."""

from __future__ import annotations

from typing import Any

from wayside.envoy.bootstrap import bootstrap
from wayside.envoy.resilience import not_done
from wayside.settings import RouterSettings

DNS = {"name": "vllm.models.svc", "port": 8000}


def settings(**model: Any) -> RouterSettings:
    return RouterSettings.model_validate(
        {"models": {"m": model}, "routing": {"default_model": "m"}}
    )


def cluster(**model: Any) -> dict[str, Any]:
    found = bootstrap(settings(**model), extproc_socket="/run/x.sock")
    clusters: list[dict[str, Any]] = found["static_resources"]["clusters"]
    (mine,) = [c for c in clusters if c["name"] == "model/m"]
    return mine


def addresses(found: dict[str, Any]) -> list[tuple[str, int]]:
    (group,) = found["load_assignment"]["endpoints"]
    places = [e["endpoint"]["address"]["socket_address"] for e in group["lb_endpoints"]]
    return [(place["address"], place["port_value"]) for place in places]


def test_a_name_is_looked_up_by_envoy_beside_the_endpoints() -> None:
    found = cluster(endpoints=["http://10.0.0.1:80"], discover={"dns": DNS})
    assert found["type"] == "STRICT_DNS"
    assert addresses(found) == [("10.0.0.1", 80), ("vllm.models.svc", 8000)]
    alone = cluster(discover={"dns": DNS})
    assert addresses(alone) == [("vllm.models.svc", 8000)]
    assert "outlier_detection" in alone, "a name may be several servers"
    assert "outlier_detection" not in cluster(endpoints=["http://10.0.0.1:80"])


def test_envoy_checks_health_as_the_gateway_does() -> None:
    check = {"path": "/ready", "port": 8081, "interval_s": 3, "timeout_s": 0.5, "failures": 4}
    found = cluster(endpoints=["http://10.0.0.1:80/llama/v1"], health_check=check)
    (health,) = found["health_checks"]
    assert health["http_health_check"]["path"] == "/llama/ready"
    assert (health["interval"], health["no_traffic_interval"], health["timeout"]) == (
        "3s",
        "3s",
        "0.5s",
    )
    assert (health["unhealthy_threshold"], health["healthy_threshold"]) == (4, 1)
    assert found["common_lb_config"]["healthy_panic_threshold"]["value"] == 1
    (one,) = found["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert one["endpoint"]["health_check_config"] == {"hostname": "10.0.0.1", "port_value": 8081}
    assert "health_checks" not in cluster(endpoints=["http://10.0.0.1:80"])


def test_what_envoy_does_not_do_is_said() -> None:
    told = not_done(
        settings(
            discover={"file": "servers.yaml"},
            check_models=True,
            health_check={"asleep_path": "/is_sleeping"},
        )
    )
    assert [line.partition(":")[0] for line in told] == [
        "models.m.discover.file",
        "models.m.check_models",
        "models.m.health_check.asleep_path",
    ]
    assert not list(not_done(settings(discover={"dns": DNS}, health_check={})))
    (line,) = not_done(settings(discover={"kubernetes": {"service": "s"}}))
    assert line.startswith("models.m.discover.kubernetes: Envoy has the endpoints")
