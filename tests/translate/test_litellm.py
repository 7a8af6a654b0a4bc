"""LiteLLM's ``config.yaml``: what becomes of it, beyond what the golden files show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from wayside.cli.files import read
from wayside.runtime import compile_policy
from wayside.translate import Translation, litellm, translate

KEYS = {"OPENAI_API_KEY": "k1", "VLLM_URL": "http://vllm:8000/v1", "ORG": "org-1"}


def one(**params: Any) -> dict[str, Any]:
    """A proxy's file with one entry."""
    params = {"model": "openai/gpt-4o", **params}
    return {"model_list": [{"model_name": "m", "litellm_params": params}]}


def made(document: dict[str, Any]) -> Translation:
    found = translate(document)
    assert found is not None and found.format == litellm.NAME
    return found


def model(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = made(document).settings["models"]["m"]
    return found


def test_a_file_of_litellms_is_served_as_it_is() -> None:
    """Variables are filled in when it is read, as LiteLLM does."""
    document = one(api_base="os.environ/VLLM_URL", organization="os.environ/ORG")
    loaded = read(yaml.safe_dump(document).encode(), "config.yaml", env=KEYS)
    assert loaded.format == "litellm"
    served = loaded.settings.models["m"]
    assert str(served.endpoints[0].address) == "http://vllm:8000/v1"
    assert served.headers == {"openai-organization": "org-1"}
    compile_policy(loaded.settings, keys=lambda reference, where: None)


def test_without_a_key_the_variable_of_the_provider_is_taken() -> None:
    assert model(one())["credential"] == {"env": "OPENAI_API_KEY"}
    assert "credential" not in model(one(api_base="http://vllm:8000/v1"))


@pytest.mark.parametrize(
    ("named", "provider", "upstream"),
    [
        ("gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("claude-opus-4-1", "anthropic", "claude-opus-4-1"),
        ("anthropic/claude-opus-4-1", "anthropic", "claude-opus-4-1"),
        ("openrouter/google/gemma-3-27b-it", "openrouter", "google/gemma-3-27b-it"),
        ("together_ai/meta-llama/Llama-3-70b", "together", "meta-llama/Llama-3-70b"),
        ("groq/llama-3.3-70b", "groq", "llama-3.3-70b"),
        ("gemini/gemini-2.5-flash", "gemini", "gemini-2.5-flash"),
    ],
)
def test_the_provider_stands_before_the_model(named: str, provider: str, upstream: str) -> None:
    found = model(one(model=named))
    assert (found["provider"], found["upstream_name"]) == (provider, upstream)


def test_the_provider_may_stand_by_itself() -> None:
    found = model(
        one(model="qwen/qwen3", custom_llm_provider="hosted_vllm", api_base="http://v:1")
    )
    assert "provider" not in found and found["upstream_name"] == "qwen/qwen3"


def test_requests_are_drawn_by_weight_else_by_rpm_else_by_tpm() -> None:
    def entry(host: str, **params: Any) -> dict[str, Any]:
        held = {"model": "openai/x", "api_base": f"http://{host}:1", **params}
        return {"model_name": "m", "litellm_params": held}

    entries = [entry("a", rpm=100, weight=3), entry("b", rpm=100, tpm=9), entry("c", tpm=7)]
    found = made({"model_list": entries}).settings["models"]["m"]["endpoints"]
    assert [endpoint["weight"] for endpoint in found] == [3.0, 100.0, 7.0]


def test_a_name_with_several_sorts_of_deployments_routes_between_them() -> None:
    entries = [
        {"model_name": "m", "litellm_params": {"model": name, "api_key": f"os.environ/{key}"}}
        for name, key in (("openai/a", "A"), ("groq/b", "B"))
    ]
    settings = made({"model_list": entries}).settings
    loaded = read(yaml.safe_dump({"model_list": entries}).encode(), "c.yaml", env={})
    policy = compile_policy(loaded.settings, keys=lambda reference, where: None)
    assert set(settings["models"]) == {"openai/a", "groq/b"}
    assert policy.virtual["m"].name == "m"
    assert settings["models"]["openai/a"]["fallbacks"] == ["groq/b"]


def test_a_model_of_its_own_is_called_by_its_id_where_a_person_gave_it_one() -> None:
    entries = [
        {"model_name": "m", "litellm_params": {"model": "openai/a"}, "model_info": {"id": "1"}},
        {"model_name": "m", "litellm_params": {"model": "groq/b"}, "model_info": {"id": "spare"}},
    ]
    assert set(made({"model_list": entries}).settings["models"]) == {"openai/a", "spare"}


def test_a_provider_without_a_model_is_no_model() -> None:
    found = made(one(model="azure/", api_base="https://x.openai.azure.com"))
    assert "models" not in found.settings
    assert "names no model of azure" in found.notes[0].what


def test_names_that_already_mean_something_here_are_theirs() -> None:
    found = made({"model_list": [{"model_name": "auto", "litellm_params": {"model": "gpt-4o"}}]})
    assert found.settings["auto_names"] == ["MoM"]


def test_a_proxy_that_asked_for_keys_does_not_become_one_that_answers_everybody() -> None:
    """Its listener stays where only this machine reaches it, and a note says why."""
    document = {**one(), "general_settings": {"master_key": "sk-1"}}
    found = made(document)
    assert "listen" not in found.settings
    (note,) = [n for n in found.notes if n.path == "general_settings.master_key"]
    assert note.severity == "unsupported" and "loopback" in note.what


@pytest.mark.parametrize(
    "document",
    [
        {"model_list": []},
        {"model_list": "x"},
        {"model_list": [1, None, {"model_name": 7}]},
        {"litellm_settings": None},
        {"model_list": None, "router_settings": [], "credential_list": [{}]},
    ],
)
def test_what_is_odd_is_told_and_not_fatal(document: dict[str, Any]) -> None:
    assert made(document).settings.get("models") is None


def test_a_manifest_with_a_list_of_models_is_not_taken_for_it() -> None:
    assert not litellm.recognises({"kind": "Thing", "model_list": []})


def test_the_page_names_every_section_that_is_read() -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/migrate-from-litellm.md").read_text()
    for key in ("model_list", "router_settings", "litellm_settings", "general_settings",
                "credential_list", "environment_variables"):  # fmt: skip
        assert f"`{key}" in page
