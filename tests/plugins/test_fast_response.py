from typing import Any

import pytest
from pydantic import ValidationError

from wayside.plugins import Draft, Early
from wayside.plugins.fast_response import FastResponsePlugin, FastResponseRule
from wayside.vocab.prompt import Prompt


def early(**rule: Any) -> Early | None:
    draft = Draft(lambda: pytest.fail("the body is not looked at"))
    FastResponsePlugin(FastResponseRule.model_validate(rule)).before(Prompt(model="m"), draft)
    return draft.early


def test_it_says_its_message() -> None:
    assert early(message="No.") == Early("No.", "fast_response", False, 403, "content_filter")


def test_as_an_error_it_has_a_status_and_a_code() -> None:
    found = early(message="No.", **{"as": "error"}, status=451, code="law")
    assert found == Early("No.", "blocked", True, 451, "law")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({}, "Field required"),
        ({"message": ""}, "at least 1"),
        ({"message": "x", "as": "html"}, "completion"),
        ({"message": "x", "as": "error", "status": 200}, "400"),
        ({"message": "x", "status": 500}, "belong to as: error"),
        ({"message": "x", "code": "y"}, "belong to as: error"),
    ],
)
def test_bad_settings_are_refused(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FastResponseRule.model_validate(rule)
