"""Targets ``istio`` and ``istio-llmd-public``: flavours, variants, providers, refusals."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import wayside.deploy
import wayside.deploy.targets
from wayside.catalog import discover
from wayside.deploy.applying.scene import Offline, rendered
from wayside.deploy.intent import Intent
from wayside.manifests.router_config import merge
from wayside.settings.load import parse
from wayside.vocab.errors import ConfigError

discover(wayside.deploy.targets)
PUBLIC = "istio-llmd-public"
ROOT = Path(__file__).parents[2]
TEMPLATE = (
    ROOT / "deploy/kubernetes/llmd-base/llmd+public-llm/httproute-openai.template"
).read_text("utf-8")
Object = dict[str, Any]


def intent_of(target: str, change: str = "{}") -> Intent:
    example = yaml.safe_load(wayside.deploy.entries()[target].example)
    return Intent.model_validate(merge(example, yaml.safe_load(change)))


def made(target: str, change: str = "{}") -> dict[str, Object]:
    """Objects by kind and name. A problem is an ``AssertionError``."""
    about, intent = wayside.deploy.entries()[target].target, intent_of(target, change)
    assert not about.problems(intent)
    steps = rendered(about, intent, Offline())
    found = [o for step in steps for m in step.manifests for o in m.objects]
    names = [f"{o['kind']}/{o['metadata']['name']}" for o in found]
    assert len(names) == len(set(names)), "two objects of one name"
    return dict(zip(names, found, strict=True))


def notes(target: str, change: str = "{}") -> list[str]:
    steps = rendered(wayside.deploy.entries()[target].target, intent_of(target, change), Offline())
    return [note for step in steps for note in step.notes]


def refused(target: str, change: str) -> dict[str, str]:
    """Paths, and what to write instead."""
    found = wayside.deploy.entries()[target].target.problems(intent_of(target, change))
    assert all(problem.fix for problem in found)
    return {problem.where: f"{problem.what}: {problem.fix}" for problem in found}


def config(objects: dict[str, Object]) -> Object:
    text = objects["ConfigMap/semantic-router-config"]["data"]["config.yaml"]
    found: Object = parse(text, {})
    return found


def option(**said: Any) -> str:
    return json.dumps({"targets": {PUBLIC: said}})


# --- flavours ----------------------------------------------------------------------------------


def test_a4_02_with_llmd_and_without_it_no_name_is_shared() -> None:
    """A4-02, A4-08, A4-31, D43: each pool has its picker's objects for itself, too."""
    pooled = made(PUBLIC, "{targets: {istio-llmd-public: {routes: {gpt-4o-mini: a}}}}")
    direct = made(
        PUBLIC, "{targets: {istio-llmd-public: {llmd: false, routes: {gpt-4o-mini: a}}}}"
    )
    pooled_routes = {k for k in made(PUBLIC) if k.startswith("HTTPRoute/")}
    assert pooled_routes == {"HTTPRoute/vsr-llama8b", "HTTPRoute/vsr-openai-g4"}
    assert not any("epp" in name or "InferencePool" in name for name in direct)
    assert "InferencePool/vllm-llama3-8b-instruct" in pooled
    plain = {k for k in made("istio") if k.startswith("HTTPRoute/")}
    assert plain == {"HTTPRoute/vsr-llama8b-service", "HTTPRoute/vsr-phi4-mini-service"}
    assert not plain & pooled_routes


def test_a4_29_the_names_of_routes_say_their_flavour() -> None:
    base = intent_of(PUBLIC).model_dump(mode="json", exclude_unset=True, by_alias=True)
    base["targets"] = {}
    about = wayside.deploy.entries()[PUBLIC].target
    for llmd, name in ((True, "vsr-llama3-8b"), (False, "vsr-llama3-8b-service")):
        base["targets"] = {PUBLIC: {"llmd": llmd}}
        steps = rendered(about, Intent.model_validate(base), Offline())
        found = {o["metadata"]["name"] for s in steps for m in s.manifests for o in m.objects
                 if o["kind"] == "HTTPRoute"}  # fmt: skip
        assert found == {name, "vsr-gpt-4o-mini"}


def test_a4_16_the_routers_filter_has_a_name_of_its_own() -> None:
    """D37: Istio calls its filter for pools ``envoy.filters.http.ext_proc``, and routes switch it
    off by that name. Under the same name they would switch off the router."""
    (patch,) = made(PUBLIC)["EnvoyFilter/semantic-router"]["spec"]["configPatches"]
    assert patch["patch"]["value"]["name"] != "envoy.filters.http.ext_proc"
    assert patch["patch"]["value"]["typed_config"]["failure_mode_allow"] is False


def test_a4_15_mutual_tls_to_the_router_where_it_has_a_sidecar() -> None:
    def mode(change: str) -> str:
        rule = made(PUBLIC, change)["DestinationRule/semantic-router"]
        found: str = rule["spec"]["trafficPolicy"]["tls"]["mode"]
        return found

    assert mode("{}") == "DISABLE" and mode(option(router_tls="mutual")) == "ISTIO_MUTUAL"


def test_a4_10_a_picker_nobody_verifies_is_said_and_a_certificate_makes_it_verified() -> None:
    (warned,) = notes(PUBLIC)
    assert "insecureSkipVerify" in warned and "picker_certificate" in warned
    secure = option(picker_certificate="llama-picker-tls")
    assert not notes(PUBLIC, secure)
    objects = made(PUBLIC, secure)
    tls = objects["DestinationRule/vllm-llama3-8b-instruct-epp"]["spec"]["trafficPolicy"]["tls"]
    name = "vllm-llama3-8b-instruct-epp.default.svc"
    assert tls == {
        "mode": "SIMPLE",
        "sni": name,
        "subjectAltNames": [name],
        "credentialName": "llama-picker-tls",
    }
    pod = objects["Deployment/llm-d-inference-scheduler-llama3-8b"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"][-3:] == ["--cert-path", "/etc/picker/tls", "--enable-cert-reload"]
    assert {"name": "tls", "mountPath": "/etc/picker/tls", "readOnly": True} in container[
        "volumeMounts"
    ]


def test_a4_09_the_picker_takes_llm_ds_arguments() -> None:
    pod = made(PUBLIC)["Deployment/llm-d-inference-scheduler-llama3-8b"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    args = dict(zip(container["args"][::2], container["args"][1::2], strict=True))
    assert args["--pool-name"] == "vllm-llama3-8b-instruct" and args["--grpc-port"] == "9002"
    assert args["--pool-namespace"] == "default" and args["--grpc-health-port"] == "9003"
    for probe in ("livenessProbe", "readinessProbe"):
        assert container[probe]["grpc"] == {"port": 9003, "service": "inference-extension"}
    text = made(PUBLIC)["ConfigMap/vllm-llama3-8b-instruct-epp"]["data"]["default-plugins.yaml"]
    kinds = [plugin["type"] for plugin in yaml.safe_load(text)["plugins"]]
    assert kinds == ["queue-scorer", "kv-cache-utilization-scorer", "prefix-cache-scorer"]


# --- GPUs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("gpus", [2, 1, 0])
def test_a4_46_two_gpus_one_or_none(gpus: int) -> None:
    """With none, simulators have the same names, Service and pool; and no Secret is needed."""
    objects = made(PUBLIC, option(gpus=gpus))
    spec = objects["Deployment/llama-8b"]["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    limits = container["resources"]["limits"]
    about = wayside.deploy.entries()[PUBLIC].target
    secrets = [n.name for n in about.needs(intent_of(PUBLIC, option(gpus=gpus))) if n.keys]
    if gpus:
        assert spec["replicas"] == gpus and limits["nvidia.com/gpu"] == "1"
        assert secrets == ["hf-token-secret", "openai-api-key"]
    else:
        assert spec["replicas"] == 2 and "nvidia.com/gpu" not in limits
        assert container["command"][:2] == ["wayside", "sim"]
        assert secrets == ["openai-api-key"]
    selector = objects["InferencePool/vllm-llama3-8b-instruct"]["spec"]["selector"]["matchLabels"]
    assert selector.items() <= spec["template"]["metadata"]["labels"].items()


def test_a4_46_replicas_are_shared_out_so_that_every_model_has_one() -> None:
    more = {"run": "vllm", "source": "x/y", "replicas": 3, "pool": "other",
            "service": {"name": "other", "namespace": "default"}}  # fmt: skip
    models = {"models": {"other": more}}
    objects = made(PUBLIC, json.dumps({**models, "targets": {PUBLIC: {"gpus": 4}}}))
    found = [objects[f"Deployment/{name}"]["spec"]["replicas"] for name in ("llama-8b", "other")]
    assert found == [2, 2]
    few = json.dumps({**models, "targets": {PUBLIC: {"gpus": 1}}})
    assert f"targets.{PUBLIC}.gpus" in refused(PUBLIC, few)


def test_a4_05_weights_are_fetched_with_the_hubs_token() -> None:
    pod = made(PUBLIC)["Deployment/llama-8b"]["spec"]["template"]["spec"]
    env = {e["name"]: e for e in pod["containers"][0]["env"]}
    chosen = env["HF_TOKEN"]["valueFrom"]["secretKeyRef"]
    assert chosen == {"name": "hf-token-secret", "key": "token"}
    port = made(PUBLIC)["Service/llama-8b"]["spec"]["ports"][0]
    assert (port["port"], port["targetPort"]) == (80, 8000)


# --- providers ---------------------------------------------------------------------------------


def test_a4_22_tls_by_name_and_verified() -> None:
    """A4-20, A4-21, A4-22, A4-30, A4-32."""
    objects = made(PUBLIC)
    assert objects["Service/openai-external"]["spec"]["externalName"] == "api.openai.com"
    entry = objects["ServiceEntry/openai-api"]["spec"]
    assert entry["hosts"] == ["api.openai.com"] and entry["location"] == "MESH_EXTERNAL"
    tls = objects["DestinationRule/openai-tls"]["spec"]["trafficPolicy"]["tls"]
    assert tls == {
        "mode": "SIMPLE",
        "sni": "api.openai.com",
        "subjectAltNames": ["api.openai.com"],
    }
    (rule,) = objects["HTTPRoute/vsr-openai-g4"]["spec"]["rules"]
    assert rule["filters"] == [
        {"type": "URLRewrite", "urlRewrite": {"hostname": "api.openai.com"}}
    ]
    assert rule["timeouts"] == {"request": "300s"}


def test_a4_47_another_provider_is_a_few_lines() -> None:
    """Two hosts of one provider are told apart; each has its own path, key and right."""
    groq = {
        "cloud": {
            "url": "https://api.groq.com/openai/v1",
            "provider": "groq",
            "key": {"secret": "groq-key", "key": "GROQ_API_KEY"},
        }
    }
    mine = {
        "cloud": {
            "url": "https://llm.example.com:8443/base/v1",
            "provider": "openai",
            "key": {"secret": "mine", "key": "KEY"},
            "ca": {"secret": "mine-ca", "key": "ca.crt"},
        }
    }
    change = json.dumps({"models": {"qwen": groq, "mine": mine}})
    objects = made(PUBLIC, change)
    models = config(objects)["models"]
    assert models["qwen"]["credential"] == {"secret": "default/groq-key", "key": "GROQ_API_KEY"}
    assert models["mine"]["endpoints"] == ["https://llm.example.com:8443/base/v1"]
    names = {k for k in objects if k.startswith(("ServiceEntry/", "DestinationRule/"))}
    assert {"ServiceEntry/groq-api", "DestinationRule/groq-tls"} <= names
    rule = objects["DestinationRule/openai-llm-example-com-tls"]
    assert rule["spec"]["trafficPolicy"]["tls"]["credentialName"] == "mine-ca"
    assert rule["spec"]["trafficPolicy"]["tls"]["sni"] == "llm.example.com"
    (only,) = objects["Role/semantic-router-reads-groq-key"]["rules"]
    assert only["resourceNames"] == ["groq-key"] and only["verbs"] == ["get"]
    needed = [n for n in wayside.deploy.entries()[PUBLIC].target.needs(intent_of(PUBLIC, change))]
    assert {"groq-key", "mine", "mine-ca"} <= {n.name for n in needed}


def test_a4_24_keys_in_the_routers_own_namespace_are_mounted_instead() -> None:
    namespace = "vllm-semantic-router-system"
    objects = made(PUBLIC, option(keys_in=namespace))
    assert not any(k.startswith("Role/semantic-router-reads") for k in objects)
    pod = objects["Deployment/semantic-router"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    mounted = [v for v in pod["volumes"] if "projected" in v]
    source = mounted[0]["projected"]["sources"][0]["secret"]["name"]
    assert source == "openai-api-key"
    assert "file" in config(objects)["models"]["gpt-4o-mini"]["credential"]
    plain = made(PUBLIC)["Deployment/semantic-router"]["spec"]["template"]["spec"]
    assert plain["automountServiceAccountToken"] is True
    assert not [v for v in plain["volumes"] if "projected" in v]


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60))
def test_a4_26_whatever_the_key_step_13_puts_it_nowhere(key: str) -> None:
    """Where ``sed`` takes the key, the template comes out as it was. Where it refuses it (``/``,
    ``\\\\1``), nothing comes out, and the template itself can be applied in its place."""
    done = subprocess.run(
        ["sed", f"s/{{{{OPENAI_API_KEY}}}}/{key}/g"],
        input=TEMPLATE,
        text=True,
        capture_output=True,
    )
    assert done.stdout == (TEMPLATE if done.returncode == 0 else "")
    assert done.returncode == 0 or "/" in key or "\\" in key or "\n" in key


def test_a4_26_the_template_is_whole_and_has_no_place_for_a_key() -> None:
    found = list(yaml.safe_load_all(TEMPLATE))
    assert [o["kind"] for o in found] == ["HTTPRoute", "Role", "RoleBinding"]
    assert "OPENAI_API_KEY" not in TEMPLATE and "uthorization:" not in TEMPLATE


def test_a4_48_the_guides_other_path_has_the_same_configuration() -> None:
    """A4-12: "llmd+public/config.yaml" in step 6, which calls it otherwise in its command."""
    base = ROOT / "deploy/kubernetes/llmd-base"
    alias = (base / "llmd+public/config.yaml").read_text("utf-8")
    assert alias == (base / "llmd+public-llm/config.yaml.openai").read_text("utf-8")


# --- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "change", "where"),
    [
        (PUBLIC, "{gateway: null}", "gateway"),
        (PUBLIC, "{models: {gpt-4o-mini: {cloud: {url: 'http://x.example/v1'}}}}",
         "models.gpt-4o-mini.cloud.url"),
        (PUBLIC, "{models: {gpt-4o-mini: {cloud: {url: 'https://192.0.2.1/v1'}}}}",
         "models.gpt-4o-mini.cloud.url"),
        (PUBLIC, "{models: {gpt-4o-mini: {cloud: {ca: {secret: a, key: b}}}}}",
         "models.gpt-4o-mini.cloud.ca.key"),
        (PUBLIC, "{models: {gpt-4o-mini: {pool: p}}}", "models.gpt-4o-mini.pool"),
        (PUBLIC, "{models: {k: {run: simulator, kserve: k}}}", "models.k.kserve"),
        (PUBLIC, "{models: {llama3-8b: {tiers: []}}}", "models.llama3-8b.tiers"),
        (PUBLIC, "{exposure: {kind: route}}", "exposure.kind"),
        (PUBLIC, "{clusters: [{name: a, context: b}]}", "clusters"),
        (PUBLIC, option(routes={"gpt": "x"}), f"targets.{PUBLIC}.routes.gpt"),
        (PUBLIC, option(picker_certificate="x", llmd=False),
         f"targets.{PUBLIC}.picker_certificate"),
        ("istio", "{models: {a: {cloud: {url: 'https://x.example/v1'}}}}", "models.a.cloud"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_refused_by_its_path(target: str, change: str, where: str) -> None:
    assert where in refused(target, change)


def test_an_option_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=f"targets.{PUBLIC}.gpu"):
        wayside.deploy.entries()[PUBLIC].target.problems(intent_of(PUBLIC, option(gpu=1)))


def test_a4_49_monitoring_and_scaling_are_switches() -> None:
    change = "{monitoring: true, router: {autoscale: {min: 2, max: 4}}}"
    objects = made(PUBLIC, change)
    assert "ServiceMonitor/semantic-router" in objects
    assert "HorizontalPodAutoscaler/semantic-router" in objects
