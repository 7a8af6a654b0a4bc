"""A2-43: models that Models-as-a-Service publishes are models of a router."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wayside.kube.client import Client
from wayside.kube.published import (
    EXTERNAL_MODELS,
    MODEL_REFS,
    External,
    Published,
    Ref,
    published,
    read_external,
    read_ref,
)
from wayside.runtime.published import found
from wayside.settings.registry import RegistrySettings
from wayside.vocab.resource import KSERVE_LLMS

from .genuine import crd as stand_in
from .genuine import install
from .test_registry import BOTH, routing, until

Object = dict[str, Any]


def ref(name: str, to: str, kind: str = "LLMInferenceService", phase: str = "Ready") -> Object:
    return {
        "apiVersion": MODEL_REFS.api_version,
        "kind": "MaaSModelRef",
        "metadata": {"name": name, "namespace": "n"},
        "spec": {"modelRef": {"kind": kind, "name": to}},
        "status": {"phase": phase},
    }


GPT: Object = {
    "apiVersion": EXTERNAL_MODELS.api_version,
    "kind": "ExternalModel",
    "metadata": {"name": "gpt", "namespace": "n"},
    "spec": {
        "provider": "openai",
        "endpoint": "api.openai.com",
        "targetModel": "gpt-4o",
        "credentialRef": {"name": "openai"},
    },
}


@pytest.mark.parametrize(
    ("phase", "served"),
    [("Ready", True), ("Unhealthy", True), ("Pending", False), ("Failed", False), ("", False)],
)
def test_a_ref_counts_where_it_is_served(phase: str, served: bool) -> None:
    assert (read_ref(ref("m", "llm", phase=phase)) is not None) == served


def test_refs_lead_to_what_they_refer_to() -> None:
    external = read_external(GPT)
    assert external == External("openai", "api.openai.com", "gpt-4o", "openai")
    refs = {
        ("n", "own"): Ref("own", "n", "LLMInferenceService", "llm"),
        ("n", "big"): Ref("big", "n", "ExternalModel", "gpt"),
        ("n", "moved"): Ref("moved", "n", "LLMInferenceService", "llm", "https://there/x"),
        ("n", "lost"): Ref("lost", "n", "LLMInferenceService", "nobody"),
        ("o", "other"): Ref("other", "o", "LLMInferenceService", "llm"),
    }
    served = {("n", "llm"): ("http://llm.n.svc:8000", "Qwen/Q")}
    made = list(published(refs, served, {("n", "gpt"): external}))
    assert [(p.name, p.url, p.model) for p in made] == [
        ("big", "https://api.openai.com", "gpt-4o"),
        ("moved", "https://there/x", "Qwen/Q"),
        ("own", "http://llm.n.svc:8000", "Qwen/Q"),
    ]


def external(provider: str) -> Published:
    whose = External(provider, "api.example.com", "their-name", "secret")
    return Published(
        name="m", namespace="n", url="https://api.example.com", model="x", external=whose
    )


def test_an_external_model_is_asked_with_the_mounted_key_alone() -> None:
    left: list[str] = []
    (one,) = found([external("anthropic")], "/keys", left)
    assert one.settings == {
        "upstream_name": "x",
        "provider": "anthropic",
        "credential": {"file": "/keys/secret/api-key"},
    }
    assert one.endpoint["url"] == "https://api.example.com/v1" and not left
    for provider, keys, why in (
        ("openai", "", "published.keys"),
        ("nobody", "/keys", "no provider 'nobody'"),
        ("vertex", "/keys", "location"),
    ):
        assert not list(found([external(provider)], keys, left))
        assert why in left.pop()


def test_something_has_to_be_taken() -> None:
    assert RegistrySettings.model_validate({"published": True}).published is not None
    with pytest.raises(ValueError, match="published"):
        RegistrySettings()


async def test_a_cluster_without_them_has_none(
    kubeconfig: Path, admin: Client, namespace: str, tmp_path: Path
) -> None:
    """A2-43: only where the CRDs exist; the router does not wait for them."""
    document = {"registry": {"published": True}, "models": BOTH}
    async with routing(kubeconfig, namespace, tmp_path, **document) as router:
        await router.up()
        assert await router.models() == ["big", "small"]


async def test_a2_43_published_models_come_and_go(
    kubeconfig: Path, admin: Client, namespace: str, tmp_path: Path
) -> None:
    """A2-43: on a cluster; what is not published is no model, though it is served."""
    await install(admin, stand_in(KSERVE_LLMS, "LLMInferenceService"))
    await install(admin, stand_in(MODEL_REFS, "MaaSModelRef"))
    await install(admin, stand_in(EXTERNAL_MODELS, "ExternalModel"))
    document = {
        "registry": {"published": {"keys": str(tmp_path)}},
        "models": BOTH,
    }
    (tmp_path / "openai").mkdir()
    (tmp_path / "openai" / "api-key").write_text("sk-a-key-of-the-test")
    for name in ("llm", "hidden"):
        await admin.create(
            KSERVE_LLMS,
            {
                "apiVersion": KSERVE_LLMS.api_version,
                "kind": "LLMInferenceService",
                "metadata": {"name": name},
                "spec": {"model": {"name": "Qwen/Q"}},
                "status": {"url": f"http://{name}.{namespace}.svc:8000"},
            },
            namespace,
        )
    async with routing(kubeconfig, namespace, tmp_path, **document) as router:
        await router.up()
        assert await router.models() == ["big", "small"]
        for made, resource in (
            (ref("own", "llm"), MODEL_REFS),
            (GPT, EXTERNAL_MODELS),
            (ref("gpt", "gpt", "ExternalModel"), MODEL_REFS),
        ):
            body = {**made, "metadata": {"name": made["metadata"]["name"]}}
            await admin.create(resource, body, namespace)

        async def are_there() -> bool:
            return await router.models() == ["big", "gpt", "own", "small"]

        await until(are_there)
        assert router.app is not None
        models = router.app.settings.models
        assert models["own"].upstream_name == "Qwen/Q" and models["gpt"].provider == "openai"
        await admin.delete(MODEL_REFS, "own", namespace)

        async def is_gone() -> bool:
            return await router.models() == ["big", "gpt", "small"]

        await until(is_gone)
