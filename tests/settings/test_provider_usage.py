"""Which providers are asked for the usage of streams."""

from typing import Any

import pytest

from wayside.settings import ModelSettings


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        ({"endpoints": ["http://a:1"]}, "end"),
        ({"provider": "openai"}, "end"),
        ({"provider": "mistral"}, "asked"),
        ({"provider": "mistral", "usage": "end"}, "end"),
        ({"provider": "azure-openai", "endpoints": ["https://x.openai.azure.com"]}, "end"),
        (
            {
                "provider": "azure-openai",
                "endpoints": ["https://x.openai.azure.com"],
                "upstream_name": "x",
                "api_version": "2024-06-01",
            },
            "asked",
        ),
        (
            {
                "provider": "azure-openai",
                "endpoints": ["https://x.openai.azure.com"],
                "upstream_name": "x",
                "api_version": "2024-10-21",
            },
            "end",
        ),
    ],
)
def test_servers_that_refuse_stream_options_are_not_sent_them(
    said: dict[str, Any], usage: str
) -> None:
    assert ModelSettings.model_validate(said).usage == usage
