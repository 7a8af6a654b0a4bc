"""Headers a decision adds, overwrites and removes."""

from typing import Any

import pytest
from pydantic import ValidationError

from wayside.dialects.openai_chat import ChatBody
from wayside.plugins import Draft
from wayside.plugins.header_mutation import HeaderMutationPlugin, HeaderMutationRule
from wayside.vocab.prompt import Prompt


def after(settings: dict[str, Any], **headers: str) -> Draft:
    draft = Draft(ChatBody(b'{"model":"m","messages":[]}').edit)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    plugin = HeaderMutationPlugin(HeaderMutationRule.model_validate(settings))
    plugin.before(Prompt(model="m", headers=sent), draft)
    return draft


def test_add_leaves_what_the_client_sent() -> None:
    rule = {"add": [{"name": "X-Tenant", "value": "blue"}]}
    assert after(rule).set == {"x-tenant": "blue"}
    assert after(rule, x_tenant="red").set == {}


def test_update_overwrites_what_the_client_sent() -> None:
    rule = {"update": [{"name": "x-tenant", "value": "blue"}]}
    assert after(rule, x_tenant="red").set == {"x-tenant": "blue"}


def test_delete_removes() -> None:
    assert after({"delete": ["X-Legacy"]}).removed == ["x-legacy"]


def test_changing_headers_does_not_take_the_body_apart() -> None:
    assert not after({"add": [{"name": "a", "value": "b"}]}).edited


@pytest.mark.parametrize(
    "name",
    [
        "host",
        "Content-Length",
        "transfer-encoding",
        "x-selected-model",
        "x-vsr-debug",
        "x-user-openai-key",
        "authorization",
        "X-Api-Key",
        "api-key",
        "bad name",
        "bad\r\nname",
        "",
    ],
)
def test_some_headers_are_not_to_be_changed(name: str) -> None:
    for settings in (
        {"add": [{"name": name, "value": "x"}]},
        {"update": [{"name": name, "value": "x"}]},
        {"delete": [name]},
    ):
        with pytest.raises(ValidationError):
            HeaderMutationRule.model_validate(settings)


@pytest.mark.parametrize("value", ["a\r\nx: y", "caf\u00e9", "\x00"])
def test_a_value_is_one_line_of_ascii(value: str) -> None:
    with pytest.raises(ValidationError, match="printable ASCII"):
        HeaderMutationRule.model_validate({"add": [{"name": "a", "value": value}]})
