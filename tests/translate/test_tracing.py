"""vSR's observability.tracing in our words, and back through our own validation."""

from __future__ import annotations

from typing import Any

import pytest

from wayside.settings.tracing import TracingSettings
from wayside.translate.reading import Ledger
from wayside.translate.tracing import read_tracing


def read(given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    ledger = Ledger()
    found = read_tracing(ledger.reader(given))
    TracingSettings.model_validate(found)
    return found, [f"{note.severity}: {note.path}" for note in ledger.close()]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"exporter": {"endpoint": "jaeger:4317", "insecure": True}},
         {"enabled": True, "endpoint": "http://jaeger:4318"}),
        ({"exporter": {"endpoint": "tempo:4318", "insecure": False}},
         {"enabled": True, "endpoint": "https://tempo:4318"}),
        ({"otlp_endpoint": "http://c:4318/v1/traces", "sampling_ratio": 0.25},
         {"enabled": True, "endpoint": "http://c:4318/v1/traces", "sample_ratio": 0.25}),
        ({"sampling": {"type": "always_off"}}, {"sample_ratio": 0.0}),
        ({"sampling": {"type": "probabilistic", "rate": 0.5}}, {"sample_ratio": 0.5}),
        ({"resource": {"service_name": "s", "deployment_environment": "prod"}},
         {"service_name": "s", "attributes": {"deployment.environment.name": "prod"}}),
    ],
)  # fmt: skip
def test_every_field_does_what_it_did(given: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert read({"enabled": True, **given})[0] == wanted


def test_switched_off_is_off() -> None:
    assert read({"enabled": False, "exporter": {"endpoint": "x:4317"}})[0] == {}


def test_what_is_not_known_here_is_refused_by_name() -> None:
    _, notes = read({"enabled": True, "provider": "openinference", "exporter": {"type": "stdout"}})
    assert "refused: provider" in notes
    assert "refused: exporter.type" in notes
