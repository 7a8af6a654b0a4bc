"""The management API against its own OpenAPI document, by schemathesis.

Never a 500, no status and no shape that is not documented, for what the document allows and for
what it does not. Bounded examples, no state; ``tests/gateway/test_api_contract.py`` has further
properties.
"""

from __future__ import annotations

import io
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.gateway.api_rig import CONFIG, models
from wayside.cli.app import App
from wayside.cli.files import read
from wayside.telemetry import Log


def no_bug(ctx: Any, response: Any, case: Any) -> None:
    """503 says that a model or a store is not there; 500 is a bug of ours."""
    assert response.status_code != 500, response.text


CHECKS = [
    no_bug,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def _application() -> App:
    app = App(read(CONFIG.encode(), "wayside.yaml", env={}), env={}, log=Log(io.StringIO()))
    app.serving = True
    app.engines._made.update(models())
    return app


_app = _application()
schema = schemathesis.openapi.from_asgi("/openapi.json", _app.management.app())


@pytest.mark.filterwarnings("ignore")
@schema.parametrize()
@settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_every_operation_answers_as_documented(case: schemathesis.Case) -> None:
    case.call_and_validate(checks=CHECKS)


# Its POSTs are the ones above, by the same handlers.
clients = schemathesis.openapi.from_asgi("/openapi.json", _app.management.app("clients"))


@pytest.mark.filterwarnings("ignore")
@clients.include(method="GET").parametrize()
@settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_what_clients_may_see_on_the_data_plane_does_too(case: schemathesis.Case) -> None:
    case.call_and_validate(checks=CHECKS)
